//! What anybody may ask of autodiscovery, as far as it is read by us: hyper takes the head of a
//! request apart, and we its path, its query, and the address and XML in its body.
//!
//! Input: an octet for the method and the beginning of the path, one for the service, the rest
//! of the path with the query, then the body.

use super::autodiscovery::{Answer, Endpoint, Login, Request, Service};
use super::source::Source;
use http::{Method, StatusCode, Uri};
use quick_xml::Reader;
use quick_xml::events::Event;

const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::HEAD, Method::PUT];

const PATHS: [&str; 8] = [
    "/",
    "/?emailaddress=",
    "/mail/config-v1.1.xml?emailaddress=",
    "/.well-known/autoconfig/mail/config-v1.1.xml?EmailAddress=",
    "/autodiscover/autodiscover.xml",
    "/Autodiscover/Autodiscover.json/v1.0/",
    "/autodiscover/autodiscover.json?Protocol=AutodiscoverV1&Email=",
    "/apple.mobileconfig?emailaddress=",
];

/// Runs one input.
pub(crate) fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choices = source.byte();
    let method = &METHODS[usize::from(choices % 4)];
    let path = PATHS[usize::from(choices >> 2) % PATHS.len()];
    let service = service(source.byte());
    let target = [path.as_bytes(), source.octets()].concat();
    let body = source.rest();
    let Ok(uri) = Uri::try_from(target.as_slice()) else {
        // hyper answers that itself.
        return;
    };
    let request = match Request::read(method, &uri) {
        Ok(request) => request,
        Err(answer) => return check_refusal(&answer),
    };
    let _ = (request.wants_signature(), format!("{request:?}"));
    // A body is read where it means something only (`driver/http.rs`).
    let body = if request.wants_body() { body } else { b"" };
    let answer = request.answer(&service, body);
    assert_eq!(request.answer(&service, body).body(), answer.body());
    check(&service, &answer);
}

fn service(choices: u8) -> Service {
    let endpoint = |host: &str, choices: u8| Endpoint {
        host: host.to_owned(),
        tls: (choices & 1 == 0).then_some(993),
        starttls: (choices & 3 != 0).then_some(143),
    };
    Service {
        name: "Example & <Sons>".to_owned(),
        domains: match choices & 1 {
            0 => vec!["example.org".to_owned()],
            _ => vec![],
        },
        login: match choices & 2 {
            0 => Login::Address,
            _ => Login::Name,
        },
        imap: endpoint("imap.example.org", choices >> 2),
        submission: endpoint("smtp.example.org", choices >> 4),
        url: "https://imap.example.org".to_owned(),
    }
}

fn check_refusal(answer: &Answer) {
    let refusals = [
        StatusCode::BAD_REQUEST,
        StatusCode::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED,
    ];
    assert!(refusals.contains(&answer.status()), "{}", answer.status());
    let plain = |octet: &u8| octet.is_ascii_graphic() || matches!(octet, b' ' | b'\n');
    assert!(answer.body().iter().all(plain));
}

/// Whatever was asked, what comes back is of its kind, and no tag in it was asked for: as
/// many as in the answer to somebody of the same fortune who asked for nothing strange.
fn check(service: &Service, answer: &Answer) {
    let kind = answer.headers()[http::header::CONTENT_TYPE].to_str();
    let kind = kind.expect("a type is ASCII");
    let body = core::str::from_utf8(answer.body()).expect("answers are UTF-8");
    if kind.starts_with("text/plain") {
        return check_refusal(answer);
    }
    if kind.starts_with("application/json") {
        let read: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert!(read.is_object());
        return;
    }
    if kind.starts_with("text/css") {
        return;
    }
    if kind.starts_with("text/html") {
        let usual: Vec<usize> = ["/", "/?emailaddress=x", "/?emailaddress=a@b.c", ALICE]
            .into_iter()
            .map(|path| tags(&ask(service, path, b"")))
            .collect();
        assert!(usual.contains(&tags(body)), "{body}");
        return;
    }
    let usual = [
        ask(service, "/mail/config-v1.1.xml", b""),
        ask(
            service,
            "/mail/config-v1.1.xml?emailaddress=alice@example.org",
            b"",
        ),
        ask(
            service,
            "/apple.mobileconfig?emailaddress=alice@example.org",
            b"",
        ),
        ask(service, OUTLOOK, b"<a/>"),
        ask(
            service,
            OUTLOOK,
            b"<EMailAddress>alice@example.org</EMailAddress>",
        ),
    ];
    let found = elements(body);
    let usual = usual.iter().any(|usual| elements(usual) == found);
    assert!(usual, "{body}");
}

const ALICE: &str = "/?emailaddress=alice@example.org";
const OUTLOOK: &str = "/autodiscover/autodiscover.xml";

fn ask(service: &Service, path: &str, body: &[u8]) -> String {
    let uri = Uri::try_from(path).expect("a path");
    let method = if path == OUTLOOK {
        Method::POST
    } else {
        Method::GET
    };
    let request = Request::read(&method, &uri).expect("it is here");
    let answer = request.answer(service, body);
    String::from_utf8(answer.body().to_vec()).expect("answers are UTF-8")
}

fn tags(html: &str) -> usize {
    html.matches('<').count()
}

/// The elements of well-formed XML in order.
fn elements(xml: &str) -> Vec<String> {
    let mut reader = Reader::from_str(xml);
    let (mut found, mut depth) = (Vec::new(), 0);
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(start) => {
                found.push(start.name().as_ref().to_owned());
                depth += 1;
            }
            Event::Empty(start) => found.push(start.name().as_ref().to_owned()),
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "an element is open: {xml}");
    found
}
