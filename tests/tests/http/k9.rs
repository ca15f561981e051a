//! K-9 asks for Mozilla's autoconfig: the stable versions (6.x) by one reader, Thunderbird for
//! Android and K-9's betas by a stricter one. Both are here as they read, so that a file which
//! they would pass over without a word fails a test.

use quick_xml::{Reader, escape::resolve_xml_entity, events::Event};
use restante_tests::{
    Server, Test, http::Answer, http::Http, http::socket, tests, tls, trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    stable_and_beta_find_both_servers => needs(&[Need::OwnProcess]),
    odd_addresses_are_logged_in_as_they_are => needs(&[Need::OwnProcess]),
    the_readers_pass_over_what_k9_passes_over => needs(&[Need::OwnProcess]),
];

/// What a pull parser meets.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Start(String, Vec<(String, String)>),
    End(String),
    Text(String),
}

/// The tokens of a document. Like Android's parser, text comes in one piece, whatever
/// references are in it.
fn tokens(xml: &str) -> Option<Vec<Token>> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    let mut tokens = Vec::new();
    let add_text = |tokens: &mut Vec<Token>, more: &str| match tokens.last_mut() {
        Some(Token::Text(text)) => text.push_str(more),
        _ => tokens.push(Token::Text(more.to_owned())),
    };
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                let mut attributes = Vec::new();
                for attribute in start.attributes() {
                    let attribute = attribute.ok()?;
                    let value = attribute.value.to_string();
                    attributes.push((attribute.key.as_ref().to_owned(), value));
                }
                tokens.push(Token::Start(start.name().as_ref().to_owned(), attributes));
            }
            Event::End(end) => tokens.push(Token::End(end.name().as_ref().to_owned())),
            Event::Text(text) => add_text(&mut tokens, &text),
            Event::CData(text) => add_text(&mut tokens, &text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(character) => add_text(&mut tokens, &character.to_string()),
                None => add_text(&mut tokens, resolve_xml_entity(&reference)?),
            },
            Event::Eof => return Some(tokens),
            _ => {}
        }
    }
}

/// What is found: host, port, security, login.
#[derive(Debug, PartialEq)]
struct Found {
    host: String,
    port: u16,
    security: String,
    login: String,
}

/// The reader of the stable versions: any element of these names, and nothing is checked but
/// that it is there. It fills in `%EMAILADDRESS%` and no other variable.
fn stable(xml: &str, email: &str) -> Option<[Found; 2]> {
    let tokens = tokens(xml)?;
    let servers = |element: &str, kind: &str| {
        let mut found = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            if let Token::Start(name, attributes) = token
                && name == element
            {
                let server = stable_server(&tokens[at..], element, email)?;
                let typed = attributes.contains(&("type".to_owned(), kind.to_owned()));
                found.extend(typed.then_some(server));
            }
        }
        // It takes the first one.
        (!found.is_empty()).then(|| found.remove(0))
    };
    Some([
        servers("incomingServer", "imap")?,
        servers("outgoingServer", "smtp")?,
    ])
}

fn stable_server(tokens: &[Token], element: &str, email: &str) -> Option<Found> {
    let (mut host, mut port, mut security, mut login) = (None, None, None, String::new());
    let mut authentication = None;
    for (at, token) in tokens.iter().enumerate() {
        let text = || match tokens.get(at + 1) {
            Some(Token::Text(text)) => text.clone(),
            _ => String::new(),
        };
        match token {
            Token::End(name) if name == element => break,
            Token::Start(name, _) => match name.as_str() {
                "hostname" => host = Some(text()),
                // What is no number ends the search.
                "port" => port = Some(text().parse().ok()?),
                "username" => login = text().replace("%EMAILADDRESS%", email),
                "authentication" => {
                    let known = ["password-cleartext", "TLS-client-cert", "secure"];
                    authentication = authentication.or(known.contains(&text().as_str()).then(text));
                }
                "socketType" => {
                    security = ["plain", "SSL", "STARTTLS"]
                        .contains(&text().as_str())
                        .then(text);
                }
                _ => {}
            },
            _ => {}
        }
    }
    // Without one it would ask the user, which is no discovery.
    authentication?;
    let (host, port, security) = (host?, port?, security?);
    Some(Found {
        host,
        port,
        security,
        login,
    })
}

/// The reader of the betas and of Thunderbird for Android: elements where they belong, all
/// of them valid, or nothing at all.
struct Beta<'a> {
    tokens: std::slice::Iter<'a, Token>,
    email: &'a str,
}

impl Beta<'_> {
    fn read(xml: &str, email: &str) -> Option<[Found; 2]> {
        let tokens = tokens(xml)?;
        let mut reader = Beta {
            tokens: tokens.iter(),
            email,
        };
        let mut found = None;
        while let Some(token) = reader.tokens.next() {
            match token {
                Token::Start(name, _) if name == "clientConfig" => found = Some(reader.config()?),
                Token::Start(..) => reader.skip()?,
                _ => {}
            }
        }
        found
    }

    fn config(&mut self) -> Option<[Found; 2]> {
        let mut found = None;
        loop {
            match self.tokens.next()? {
                Token::Start(name, attributes) if name == "emailProvider" => {
                    found = Some(self.provider(attributes)?);
                }
                Token::Start(..) => self.skip()?,
                Token::End(_) => return found,
                Token::Text(_) => {}
            }
        }
    }

    fn provider(&mut self, attributes: &[(String, String)]) -> Option<[Found; 2]> {
        let id = attributes.iter().find(|(name, _)| name == "id");
        is_host(&id?.1).then_some(())?;
        let (mut domain, mut incoming, mut outgoing) = (false, None, None);
        loop {
            match self.tokens.next()? {
                Token::Start(name, attributes) => match name.as_str() {
                    "domain" => domain |= is_host(&self.filled_in()?),
                    "incomingServer" => {
                        let server = self.server(attributes, "imap")?;
                        incoming = incoming.or(server);
                    }
                    "outgoingServer" => {
                        let server = self.server(attributes, "smtp")?;
                        outgoing = outgoing.or(server);
                    }
                    _ => self.skip()?,
                },
                Token::End(_) => return domain.then_some([incoming?, outgoing?]),
                Token::Text(_) => {}
            }
        }
    }

    /// A server of this type; `Some(None)`: one of another type, which is passed over.
    fn server(&mut self, attributes: &[(String, String)], kind: &str) -> Option<Option<Found>> {
        if !attributes.contains(&("type".to_owned(), kind.to_owned())) {
            self.skip()?;
            return Some(None);
        }
        let (mut host, mut port, mut security, mut login) = (None, None, None, None);
        let mut authentication = 0;
        loop {
            match self.tokens.next()? {
                Token::Start(name, _) => match name.as_str() {
                    "hostname" => host = Some(self.filled_in().filter(|host| is_host(host))?),
                    "port" => port = Some(self.text()?.parse().ok()?),
                    "username" => login = Some(self.filled_in()?),
                    "authentication" => {
                        let known = ["OAuth2", "password-cleartext", "password-encrypted"];
                        authentication += usize::from(known.contains(&self.text()?.as_str()));
                    }
                    "socketType" => {
                        let text = self.text()?;
                        security = Some(
                            ["SSL", "STARTTLS"]
                                .contains(&text.as_str())
                                .then_some(text)?,
                        );
                    }
                    _ => self.skip()?,
                },
                Token::End(_) => break,
                Token::Text(_) => {}
            }
        }
        (authentication > 0).then_some(())?;
        let (host, port, security, login) = (host?, port?, security?, login?);
        Some(Some(Found {
            host,
            port,
            security,
            login,
        }))
    }

    /// The text of an element that holds nothing else.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.tokens.next()? {
                Token::Text(more) => text.clone_from(more),
                Token::End(_) => return Some(text),
                Token::Start(..) => return None,
            }
        }
    }

    fn filled_in(&mut self) -> Option<String> {
        let (local, domain) = self.email.rsplit_once('@')?;
        let text = self.text()?.replace("%EMAILDOMAIN%", domain);
        Some(
            text.replace("%EMAILLOCALPART%", local)
                .replace("%EMAILADDRESS%", self.email),
        )
    }

    fn skip(&mut self) -> Option<()> {
        let mut depth = 1;
        while depth > 0 {
            match self.tokens.next()? {
                Token::Start(..) => depth += 1,
                Token::End(_) => depth -= 1,
                Token::Text(_) => {}
            }
        }
        Some(())
    }
}

fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
    };
    name.len() <= 255 && name.split('.').all(label)
}

/// The four places where K-9 looks, in its order: two paths by HTTPS, then by HTTP.
fn answers(server: &Server, query: &str) -> [Answer; 4] {
    let paths = [
        "/mail/config-v1.1.xml",
        "/.well-known/autoconfig/mail/config-v1.1.xml",
    ];
    let stream = tls::handshake(socket(server.https_address())).expect("TLS");
    let mut secure = Http::on(stream);
    let mut plain = Http::connect(server.http_address());
    let [first, second] = paths.map(|path| secure.get(&format!("{path}{query}")));
    let [third, fourth] = paths.map(|path| plain.get(&format!("{path}{query}")));
    [first, second, third, fourth]
}

fn expected(server: &Server, login: &str) -> [Found; 2] {
    [server.tls_address().port(), 465].map(|port| Found {
        host: "mx.example.org".to_owned(),
        port,
        security: "SSL".to_owned(),
        login: login.to_owned(),
    })
}

/// Both readers find both servers, with `email` to log in.
fn both_find(server: &Server, xml: &str, email: &str) {
    let expected = Some(expected(server, email));
    assert_eq!(stable(xml, email), expected, "{xml}");
    assert_eq!(Beta::read(xml, email), expected, "{xml}");
}

fn stable_and_beta_find_both_servers(server: &Server) {
    let email = "alice@example.org";
    // As OkHttp writes the address into a query; without, as the stable versions ask at the
    // well-known path.
    for query in ["?emailaddress=alice%40example.org", ""] {
        for answer in answers(server, query) {
            assert_eq!(answer.status, 200);
            assert_eq!(
                answer.field("content-type"),
                Some("text/xml; charset=utf-8")
            );
            both_find(server, &answer.text(), email);
        }
    }
}

fn odd_addresses_are_logged_in_as_they_are(server: &Server) {
    for (email, query) in [
        ("a+b@example.org", "a%2Bb%40example.org"),
        ("o'hara&sons@example.org", "o%27hara%26sons%40example.org"),
        ("Alice@Example.ORG", "Alice%40Example.ORG"),
    ] {
        for answer in answers(server, &format!("?emailaddress={query}")) {
            both_find(server, &answer.text(), email);
        }
    }
}

/// So that the readers themselves are known to refuse.
fn the_readers_pass_over_what_k9_passes_over(server: &Server) {
    let email = "alice@example.org";
    let [answer, ..] = answers(server, "?emailaddress=alice%40example.org");
    let xml = answer.text();
    // Whether the stable one minds as well.
    for (from, to, both) in [
        ("password-cleartext", "plain", true),
        ("<socketType>SSL", "<socketType>TLS", true),
        ("<port>465", "<port>smtps", true),
        ("</clientConfig>", "</client>", true),
        (" id=\"mx.example.org\"", "", false),
        (" id=\"mx.example.org\"", " id=\"Example Mail\"", false),
        ("<domain>example.org</domain>", "", false),
        ("<username>alice@example.org</username>", "", false),
        ("<hostname>mx", "<hostname><b/>mx", true),
    ] {
        let spoilt = xml.replace(from, to);
        assert_ne!(spoilt, xml, "{from} is in the file");
        assert_eq!(Beta::read(&spoilt, email), None, "{to}");
        let found = stable(&spoilt, email);
        assert_eq!(
            found != Some(expected(server, email)),
            both || from.contains("username"),
            "{to}"
        );
    }
    let local = xml.replace("<username>alice@", "<username>%EMAILLOCALPART%@");
    assert_eq!(Beta::read(&local, email), Some(expected(server, email)));
    assert_ne!(
        stable(&local, email),
        Some(expected(server, email)),
        "it knows no such variable"
    );
}
