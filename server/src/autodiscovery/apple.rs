//! Apple's configuration profile: iPhone, iPad and Mac.
//!
//! It holds no password; the device asks for it. Its identifiers depend on nothing but the
//! server and the address, so that a profile that is fetched again takes the place of the
//! one before.

use super::markup::Escaped;
use super::{Address, Endpoint, Service};
use core::fmt::Write;
use sha2::{Digest, Sha256};

/// The media type; Safari offers to install what has it.
pub const CONTENT_TYPE: &str = "application/x-apple-aspen-config";

/// A value of a property list.
enum Value<'a> {
    Text(&'a str),
    Number(u16),
    Bool(bool),
}

/// The profile for an address.
#[must_use]
pub fn profile(service: &Service, address: &Address) -> String {
    use Value::{Bool, Number, Text};
    let login = service.login_of(address);
    let host = &service.imap.host;
    let identifier = |part| uuid(&[part, host, address.text()]);
    let (profile, account) = (identifier("profile"), identifier("mail"));
    // Names in reverse, as Apple has them; told apart by the address, which may be one of many.
    let base: Vec<&str> = host.rsplit('.').collect();
    let base = format!("{}.restante.{profile}", base.join("."));
    let (imap, submission) = (port(&service.imap), port(&service.submission));
    let mail = [
        ("EmailAccountDescription", Text(&service.name)),
        ("EmailAccountName", Text(address.text())),
        ("EmailAccountType", Text("EmailTypeIMAP")),
        ("EmailAddress", Text(address.text())),
        (
            "IncomingMailServerAuthentication",
            Text("EmailAuthPassword"),
        ),
        ("IncomingMailServerHostName", Text(host)),
        ("IncomingMailServerPortNumber", Number(imap)),
        ("IncomingMailServerUseSSL", Bool(true)),
        ("IncomingMailServerUsername", Text(login)),
        (
            "OutgoingMailServerAuthentication",
            Text("EmailAuthPassword"),
        ),
        ("OutgoingMailServerHostName", Text(&service.submission.host)),
        ("OutgoingMailServerPortNumber", Number(submission)),
        ("OutgoingMailServerUseSSL", Bool(true)),
        ("OutgoingMailServerUsername", Text(login)),
        ("OutgoingPasswordSameAsIncomingPassword", Bool(true)),
        ("PayloadDisplayName", Text(&service.name)),
        ("PayloadIdentifier", Text(&format!("{base}.mail"))),
        ("PayloadType", Text("com.apple.mail.managed")),
        ("PayloadUUID", Text(&account)),
        ("PayloadVersion", Number(1)),
    ];
    let description = format!("Sets up mail for {}", address.text());
    let envelope = [
        ("PayloadDescription", Text(&description)),
        ("PayloadDisplayName", Text(&service.name)),
        ("PayloadIdentifier", Text(&base)),
        ("PayloadOrganization", Text(&service.name)),
        ("PayloadRemovalDisallowed", Bool(false)),
        ("PayloadType", Text("Configuration")),
        ("PayloadUUID", Text(&profile)),
        ("PayloadVersion", Number(1)),
    ];
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
        \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
        <plist version=\"1.0\">\n<dict>\n  <key>PayloadContent</key>\n  <array>\n    <dict>\n"
        .to_owned();
    entries(&mut xml, "      ", &mail);
    xml += "    </dict>\n  </array>\n";
    entries(&mut xml, "  ", &envelope);
    xml + "</dict>\n</plist>\n"
}

fn entries(xml: &mut String, indent: &str, entries: &[(&str, Value<'_>)]) {
    for (key, value) in entries {
        // Writing to a string does not fail.
        let _written = match value {
            Value::Text(text) => writeln!(
                xml,
                "{indent}<key>{key}</key>\n{indent}<string>{}</string>",
                Escaped(text)
            ),
            Value::Number(number) => writeln!(
                xml,
                "{indent}<key>{key}</key>\n{indent}<integer>{number}</integer>"
            ),
            Value::Bool(value) => writeln!(xml, "{indent}<key>{key}</key>\n{indent}<{value}/>"),
        };
    }
}

/// The better port; Apple finds out by itself how TLS begins there.
fn port(endpoint: &Endpoint) -> u16 {
    endpoint.ways().next().map_or(0, |way| way.port)
}

/// A UUID of version 8 (RFC 9562 §5.8) that follows from what it names.
fn uuid(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        // Belongs to no part, so that their borders count.
        hash.update([0]);
    }
    let mut octets = [0; 16];
    octets.copy_from_slice(&hash.finalize()[..16]);
    octets[6] = octets[6] & 0x0f | 0x80;
    octets[8] = octets[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (index, octet) in octets.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // As above.
        let _written = write!(text, "{octet:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::samples::{address, assert_golden, service};
    use super::*;

    #[test]
    fn golden() {
        assert_golden("apple.mobileconfig", &profile(&service(), &address()));
    }

    #[test]
    fn identifiers_are_stable_and_each_is_another() {
        let one = uuid(&["mail", "host", "a@b"]);
        assert_eq!(one, uuid(&["mail", "host", "a@b"]));
        assert_ne!(one, uuid(&["mailhost", "", "a@b"]));
        assert_ne!(one, uuid(&["mail", "host", "b@b"]));
        assert_eq!((one.len(), &one[14..15]), (36, "8"));
    }
}
