//! Mozilla's autoconfig, version 1.1: Thunderbird, K-9, FairEmail, Evolution and others.
//!
//! Where no address is asked for, the file holds placeholders that the client fills in.
//! `password-cleartext` says how the password goes inside TLS; clients refuse the older
//! word for it.

use super::markup::Escaped;
use super::{Address, Endpoint, Login, Security, Service};
use core::fmt::Write;

/// The media type; clients pass over a file with another one.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// The file for an address, or for whatever address of a domain that has mail here.
#[must_use]
pub fn config(service: &Service, address: Option<&Address>) -> String {
    let username = match (address, service.login) {
        (Some(address), _) => service.login_of(address),
        (None, Login::Address) => "%EMAILADDRESS%",
        (None, Login::Name) => "%EMAILLOCALPART%",
    };
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n  \
         <emailProvider id=\"{}\">\n",
        Escaped(&service.imap.host)
    );
    for domain in domains(service, address) {
        line(
            &mut xml,
            format_args!("    <domain>{}</domain>", Escaped(domain)),
        );
    }
    let name = Escaped(&service.name);
    line(
        &mut xml,
        format_args!("    <displayName>{name}</displayName>"),
    );
    line(
        &mut xml,
        format_args!("    <displayShortName>{name}</displayShortName>"),
    );
    server(&mut xml, "incomingServer", "imap", &service.imap, username);
    let submission = &service.submission;
    server(&mut xml, "outgoingServer", "smtp", submission, username);
    xml + "  </emailProvider>\n</clientConfig>\n"
}

fn domains(service: &Service, address: Option<&Address>) -> Vec<String> {
    match address {
        Some(address) => vec![address.domain().to_ascii_lowercase()],
        None if service.domains.is_empty() => vec![service.imap.host.clone()],
        None => service.domains.clone(),
    }
}

fn server(xml: &mut String, element: &str, kind: &str, endpoint: &Endpoint, username: &str) {
    for way in endpoint.ways() {
        let security = match way.security {
            Security::Tls => "SSL",
            Security::StartTls => "STARTTLS",
        };
        line(
            xml,
            format_args!(
                "    <{element} type=\"{kind}\">\n      \
                 <hostname>{}</hostname>\n      \
                 <port>{}</port>\n      \
                 <socketType>{security}</socketType>\n      \
                 <username>{}</username>\n      \
                 <authentication>password-cleartext</authentication>\n    \
                 </{element}>",
                Escaped(&endpoint.host),
                way.port,
                Escaped(username),
            ),
        );
    }
}

fn line(xml: &mut String, text: core::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = writeln!(xml, "{text}");
}

#[cfg(test)]
mod tests {
    use super::super::samples::{address, assert_golden, service};
    use super::*;

    #[test]
    fn golden() {
        assert_golden("mozilla.xml", &config(&service(), Some(&address())));
        assert_golden("mozilla-any.xml", &config(&service(), None));
    }

    #[test]
    fn a_name_to_log_in_with_and_a_domain_whatever_is_configured() {
        let mut service = service();
        service.login = Login::Name;
        service.domains.clear();
        let xml = config(&service, Some(&address()));
        assert!(
            xml.contains("<username>o&#39;hara&amp;sons</username>"),
            "{xml}"
        );
        let xml = config(&service, None);
        assert!(
            xml.contains("<username>%EMAILLOCALPART%</username>"),
            "{xml}"
        );
        assert!(xml.contains("<domain>imap.example.org</domain>"), "{xml}");
    }
}
