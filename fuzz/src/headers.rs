//! Fields of a header: any octets, which must do no harm, and subjects and lists of addresses
//! composed of what the fuzzer says, of which we and mail-parser must read what was put in.
//!
//! Input: an octet of choices, then what the field is made of.

use super::source::Source;
use super::stream::is_balanced;
use mail_parser::{Address, MessageParser};
use restante_core::imap::grammar::encode_base64;
use restante_core::mime::header::{decode_text, fields, sent_date};
use restante_core::mime::{Envelope, write_envelope};

/// Words of a subject or a name, and addresses of a list.
const WORDS_MAX: u8 = 6;
/// Characters of a word: an encoded one has at most 75 octets (RFC 2047 §2), but ours may be
/// longer.
const CHARACTERS_MAX: usize = 40;

const NAMES: [&str; 6] = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"];

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    match source.byte() % 4 {
        0 => any_octets(source.rest()),
        1 => subject(&mut source),
        _ => addresses(&mut source),
    }
}

/// ENVELOPE, SEARCH and the date of a field of any octets.
fn any_octets(octets: &[u8]) {
    for name in NAMES.into_iter().chain(["Subject", "Date", "Message-ID"]) {
        let header = [name.as_bytes(), b": ", octets, b"\r\n\r\n"].concat();
        let envelope = Envelope::from_header(&header);
        let mut out = Vec::new();
        write_envelope(&envelope, &mut out);
        assert!(is_balanced(&out), "{}", out.escape_ascii());
        let _ = sent_date(&header);
        for field in fields(&header) {
            let text = decode_text(field.value);
            let has_words = field.value.windows(2).any(|two| two == b"=?");
            assert!(has_words || !text.contains(['\r', '\n']), "{text:?}");
        }
    }
}

/// A text as it is written, and what it says.
#[derive(Default)]
struct Text {
    written: String,
    says: String,
    ends_encoded: bool,
}

impl Text {
    fn space(&mut self, source: &mut Source<'_>) {
        self.written.push_str(match source.byte() % 3 {
            0 => "\r\n ",
            _ => " ",
        });
    }

    fn plain(&mut self, word: &str) {
        if !self.says.is_empty() {
            self.says.push(' ');
        }
        self.written.push_str(word);
        self.says.push_str(word);
        self.ends_encoded = false;
    }

    /// An encoded word (RFC 2047 §2). White space between two of them is not shown (§6.2).
    fn encoded(&mut self, source: &mut Source<'_>) {
        let kind = source.byte();
        let (charset, octets, says) = charset(kind, source);
        let content = match kind & 0x80 {
            0 => format!("b?{}", encode_base64(&octets)),
            _ => format!("Q?{}", q(&octets)),
        };
        if !self.says.is_empty() && !self.ends_encoded {
            self.says.push(' ');
        }
        self.written.push_str(&format!("=?{charset}?{content}?="));
        self.says.push_str(&says);
        self.ends_encoded = true;
    }
}

/// Octets in a charset, and what they say.
fn charset(kind: u8, source: &mut Source<'_>) -> (&'static str, Vec<u8>, String) {
    let octets = source.octets();
    match kind % 4 {
        0 => {
            let visible = |octet: &&u8| octet.is_ascii_graphic();
            let visible = octets.iter().filter(visible).take(CHARACTERS_MAX);
            let octets: Vec<u8> = [b'x'].iter().chain(visible).copied().collect();
            let says = octets.iter().map(|&octet| char::from(octet)).collect();
            ("US-ASCII", octets, says)
        }
        1 => {
            // Below are controls, which we take for windows-1252's, as WHATWG has it.
            let octets = octets.iter().map(|octet| octet | 0xa0);
            let octets: Vec<u8> = [b'x'].into_iter().chain(octets.take(40)).collect();
            let says = octets.iter().map(|&octet| char::from(octet)).collect();
            ("iso-8859-1", octets, says)
        }
        _ => {
            let text = String::from_utf8_lossy(octets);
            // White space at the ends goes with that around the word.
            let text = text
                .chars()
                .filter(|it| !it.is_control() && !it.is_whitespace());
            let says: String = ['\u{e4}'].into_iter().chain(text.take(40)).collect();
            ("utf-8", says.as_bytes().to_vec(), says)
        }
    }
}

/// The Q encoding (RFC 2047 §4.2).
fn q(octets: &[u8]) -> String {
    let mut encoded = String::new();
    for octet in octets {
        match octet {
            octet if octet.is_ascii_alphanumeric() => encoded.push(char::from(*octet)),
            octet => encoded.push_str(&format!("={octet:02X}")),
        }
    }
    encoded
}

/// A word of characters that mean nothing in a field.
fn word(source: &mut Source<'_>) -> String {
    let plain = |octet: u8| match octet % 64 {
        it @ 0..26 => char::from(b'a' + it),
        it @ 26..52 => char::from(b'A' + it - 26),
        it => ['0', '1', '2', '!', '#', '$', '%', '*', '-', '_', '~', '{'][usize::from(it) - 52],
    };
    let octets = source.octets();
    let octets = &octets[..octets.len().min(CHARACTERS_MAX)];
    let rest: String = octets.iter().copied().map(plain).collect();
    format!("w{rest}")
}

fn subject(source: &mut Source<'_>) {
    let mut text = Text::default();
    for number in 0..=source.byte() % WORDS_MAX {
        if number > 0 {
            text.space(source);
        }
        match source.byte() & 1 {
            0 => text.plain(&word(source)),
            _ => text.encoded(source),
        }
    }
    let header = format!("Subject: {}\r\n\r\n", text.written);
    let field = fields(header.as_bytes()).next().expect("a field");
    assert_eq!(decode_text(field.value), text.says, "{header}");
    let parsed = MessageParser::default().parse_headers(&header);
    let parsed = parsed.expect("a header");
    assert_eq!(parsed.subject(), Some(text.says.as_str()), "{header}");
}

/// One address as it is put in.
struct Put {
    name: Option<String>,
    local: String,
    host: String,
}

fn addresses(source: &mut Source<'_>) {
    let mut written = String::new();
    let mut all = Vec::new();
    let mut marks = 0;
    for number in 0..=source.byte() % WORDS_MAX {
        if number > 0 {
            written.push_str(if source.byte() & 1 == 0 {
                ", "
            } else {
                ",\r\n\t"
            });
        }
        if !source.byte().is_multiple_of(4) {
            all.push(address(source, &mut written));
            continue;
        }
        written.push_str(&format!("{}: ", word(source)));
        for number in 0..source.byte() % 3 {
            if number > 0 {
                written.push(',');
            }
            all.push(address(source, &mut written));
        }
        written.push(';');
        marks += 2;
    }
    let header = format!("To: {written}\r\n\r\n");
    let envelope = Envelope::from_header(header.as_bytes());
    let (marked, ours): (Vec<_>, Vec<_>) = envelope.to.iter().partition(|it| it.host.is_none());
    assert_eq!(marked.len(), marks, "{header}");
    assert_eq!(ours.len(), all.len(), "{header}");
    for (ours, put) in ours.iter().zip(&all) {
        let name = ours.name.as_ref().map(|name| decode_text(name));
        assert_eq!(name, put.name, "{header}");
        assert_eq!(
            ours.mailbox.as_deref(),
            Some(put.local.as_bytes()),
            "{header}"
        );
        assert_eq!(ours.host.as_deref(), Some(put.host.as_bytes()), "{header}");
        assert_eq!(ours.adl, None, "{header}");
    }
    let parsed = MessageParser::default().parse_headers(&header);
    let parsed = parsed.expect("a header");
    let theirs: Vec<_> = match parsed.to() {
        Some(Address::List(list)) => list.iter().collect(),
        Some(Address::Group(groups)) => groups.iter().flat_map(|it| &it.addresses).collect(),
        None => vec![],
    };
    let theirs: Vec<_> = theirs
        .iter()
        .map(|it| {
            (
                it.name.as_deref().map(str::to_owned),
                it.address.as_deref().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let put: Vec<_> = all
        .iter()
        .map(|put| (put.name.clone(), format!("{}@{}", put.local, put.host)))
        .collect();
    assert_eq!(theirs, put, "{header}");
}

/// An address with or without a name (RFC 5322 §3.4).
fn address(source: &mut Source<'_>, written: &mut String) -> Put {
    let kind = source.byte();
    let local = word(source);
    let local = match kind & 0x40 {
        0 => local,
        _ => format!("{local}.{}", word(source)),
    };
    let host = match kind & 0x80 {
        0 => "example.org".to_owned(),
        _ => "[192.0.2.1]".to_owned(),
    };
    let mut name = Text::default();
    match kind % 4 {
        0 => {}
        1 => {
            // A quoted string: everything stands for itself, or behind a backslash. Without
            // encoded words, which may not be there (RFC 2047 §5) and are read all the same.
            let text = String::from_utf8_lossy(source.octets()).into_owned();
            let text = text.chars().filter(|it| !it.is_control() && *it != '?');
            let says: String = ['q'].into_iter().chain(text.take(CHARACTERS_MAX)).collect();
            let says = says.trim().to_owned();
            let escaped = says.replace('\\', "\\\\").replace('"', "\\\"");
            name.written = format!("\"{escaped}\"");
            name.says = says;
        }
        2 => {
            for number in 0..=source.byte() % WORDS_MAX {
                if number > 0 {
                    name.space(source);
                }
                name.plain(&word(source));
            }
        }
        _ => {
            for number in 0..=source.byte() % WORDS_MAX {
                if number > 0 {
                    name.space(source);
                }
                name.encoded(source);
            }
        }
    }
    if name.written.is_empty() {
        written.push_str(&format!("{local}@{host}"));
    } else {
        written.push_str(&format!("{} <{local}@{host}>", name.written));
    }
    Put {
        name: (!name.says.is_empty()).then_some(name.says),
        local,
        host,
    }
}
