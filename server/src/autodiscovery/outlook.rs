//! Outlook's autodiscovery in plain XML ("POX", MS-OXDSCLI): asked by POST, answered with
//! 200 whatever comes of it.

use super::markup::Escaped;
use super::{Address, Endpoint, Security, Service};
use core::fmt::Write;
use quick_xml::Reader;
use quick_xml::events::Event;

/// The media type of the answer.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";
/// The one schema of answers that has IMAP in it.
const SCHEMA: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// What cannot be answered, by the numbers of MS-OXDSCLI §2.2.4.1.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    UnknownDomain,
    InvalidRequest,
    UnknownSchema,
}

/// The answer to a request's body.
#[must_use]
pub fn answer(service: &Service, body: &[u8]) -> String {
    match asked(body) {
        Err(refusal) => refused(refusal),
        Ok(address) if !service.serves(address.domain()) => refused(Refusal::UnknownDomain),
        Ok(address) => settings(service, &address),
    }
}

fn settings(service: &Service, address: &Address) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\n  \
         <Response xmlns=\"{SCHEMA}\">\n    \
         <User>\n      <DisplayName>{}</DisplayName>\n    </User>\n    \
         <Account>\n      <AccountType>email</AccountType>\n      <Action>settings</Action>\n",
        Escaped(address.text())
    );
    let login = service.login_of(address);
    protocol(&mut xml, "IMAP", &service.imap, login, "");
    let submission = "        <UsePOPAuth>on</UsePOPAuth>\n        <SMTPLast>off</SMTPLast>\n";
    protocol(&mut xml, "SMTP", &service.submission, login, submission);
    xml + "    </Account>\n  </Response>\n</Autodiscover>\n"
}

/// The better way only: Outlook takes the first of a kind.
fn protocol(xml: &mut String, kind: &str, endpoint: &Endpoint, login: &str, more: &str) {
    let Some(way) = endpoint.ways().next() else {
        return;
    };
    // `SSL` alone means TLS from the first byte.
    let security = match way.security {
        Security::Tls => "<SSL>on</SSL>",
        Security::StartTls => "<SSL>on</SSL>\n        <Encryption>TLS</Encryption>",
    };
    // Writing to a string does not fail.
    let _written = writeln!(
        xml,
        "      <Protocol>\n        \
         <Type>{kind}</Type>\n        \
         <Server>{}</Server>\n        \
         <Port>{}</Port>\n        \
         <DomainRequired>off</DomainRequired>\n        \
         <LoginName>{}</LoginName>\n        \
         <SPA>off</SPA>\n        \
         {security}\n        \
         <AuthRequired>on</AuthRequired>\n\
         {more}      </Protocol>",
        Escaped(&endpoint.host),
        way.port,
        Escaped(login),
    );
}

fn refused(refusal: Refusal) -> String {
    let (code, message) = match refusal {
        Refusal::UnknownDomain => (500, "This server has no mail for that domain"),
        Refusal::InvalidRequest => (600, "Invalid Request"),
        Refusal::UnknownSchema => (601, "Only the Outlook schema 2006a is known here"),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\n  \
         <Response>\n    <Error>\n      <ErrorCode>{code}</ErrorCode>\n      \
         <Message>{message}</Message>\n      <DebugData/>\n    </Error>\n  </Response>\n</Autodiscover>\n"
    )
}

/// The address in a request. Elements are told by their names alone, whatever prefix they
/// have. A document type is refused: nothing good ever came with one.
fn asked(body: &[u8]) -> Result<Address, Refusal> {
    let text = core::str::from_utf8(body).map_err(|_| Refusal::InvalidRequest)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let (mut address, mut schema) = (None, None);
    // What the text belongs to, if to anything of interest.
    let mut inside: Option<&mut Option<String>> = None;
    loop {
        match reader.read_event().map_err(|_| Refusal::InvalidRequest)? {
            Event::Start(start) => {
                inside = match start.local_name().as_ref() {
                    name if name.eq_ignore_ascii_case("EMailAddress") => Some(&mut address),
                    name if name.eq_ignore_ascii_case("AcceptableResponseSchema") => {
                        Some(&mut schema)
                    }
                    _ => None,
                };
            }
            Event::End(_) => inside = None,
            Event::Text(text) => push(&mut inside, &text),
            Event::CData(text) => push(&mut inside, &text),
            Event::GeneralRef(reference) => push(&mut inside, &character(&reference)?),
            Event::DocType(_) => return Err(Refusal::InvalidRequest),
            Event::Eof => break,
            _ => {}
        }
    }
    if schema.is_some_and(|schema| schema.trim() != SCHEMA) {
        return Err(Refusal::UnknownSchema);
    }
    let address = address.as_deref().and_then(Address::parse);
    address.ok_or(Refusal::InvalidRequest)
}

fn push(inside: &mut Option<&mut Option<String>>, text: &str) {
    if let Some(value) = inside {
        value.get_or_insert_default().push_str(text);
    }
}

/// What `&…;` stands for; there are none but XML's own without a document type.
fn character(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, Refusal> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character.to_string());
    }
    let entity = quick_xml::escape::resolve_xml_entity(reference);
    entity.map(str::to_owned).ok_or(Refusal::InvalidRequest)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{assert_golden, service};
    use super::*;

    fn request(address: &str, schema: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
             <Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\">\
             <Request><EMailAddress>{address}</EMailAddress>\
             <AcceptableResponseSchema>{schema}</AcceptableResponseSchema></Request></Autodiscover>"
        )
    }

    fn refusal(body: &str) -> Option<Refusal> {
        asked(body.as_bytes()).err()
    }

    #[test]
    fn golden() {
        let asked = request("o'hara&amp;sons@Example.org", SCHEMA);
        assert_golden("outlook.xml", &answer(&service(), asked.as_bytes()));
        let asked = request("alice@example.com", SCHEMA);
        assert_golden("outlook-refused.xml", &answer(&service(), asked.as_bytes()));
    }

    #[test]
    fn starttls_is_said_where_there_is_nothing_else() {
        let mut service = service();
        service.imap.tls = None;
        let xml = answer(&service, request("a@example.org", SCHEMA).as_bytes());
        assert!(xml.contains("<Port>143</Port>"), "{xml}");
        assert_eq!(xml.matches("<Encryption>TLS</Encryption>").count(), 1);
    }

    #[test]
    fn requests_as_clients_write_them() {
        for (body, address) in [
            (request("alice@example.org", SCHEMA), "alice@example.org"),
            (
                format!("\u{feff}{}", request("\r\n  a@b.example ", SCHEMA)),
                "a@b.example",
            ),
            (
                "<x:Autodiscover xmlns:x='u'><x:Request><x:EMailAddress><![CDATA[a&b@c.example]]>\
                 </x:EMailAddress></x:Request></x:Autodiscover>"
                    .to_owned(),
                "a&b@c.example",
            ),
            (request("&#97;&#x62;@c.example", SCHEMA), "ab@c.example"),
        ] {
            assert_eq!(asked(body.as_bytes()).unwrap().text(), address);
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let phone =
            "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006";
        let deep = "<a>".repeat(20_000);
        for body in [
            "",
            "no xml",
            "<",
            "<a",
            "<a></b>",
            "<Autodiscover/>",
            &request("", SCHEMA),
            &request("alice", SCHEMA),
            &request("&lt;script&gt;@example.org", SCHEMA),
            &request("&nbsp;@example.org", SCHEMA),
            &request("&#0;@example.org", SCHEMA),
            &request("<b>a@example.org</b>", SCHEMA),
            &format!(
                "<!DOCTYPE a [<!ENTITY e 'x'>]>{}",
                request("&e;@a.b", SCHEMA)
            ),
            &deep,
        ] {
            assert_eq!(refusal(body), Some(Refusal::InvalidRequest), "{body:.80}");
        }
        let asked = request("a@example.org", phone);
        assert_eq!(refusal(&asked), Some(Refusal::UnknownSchema));
        assert!(super::asked(b"<EMailAddress>\xff@a.b</EMailAddress>").is_err());
        let refused = answer(&service(), b"no xml");
        assert!(refused.contains("<ErrorCode>600</ErrorCode>"), "{refused}");
    }
}
