//! Messages with parts, composed of what the fuzzer says: the scanner must find the parts that
//! were put in, and mail-parser must find the same. And messages of any octets: where their
//! header is well formed, mail-parser reads the same fields in it.
//!
//! Input: an octet of choices; then either how the parts nest and what is in them, or the
//! message.

use super::source::Source;
use mail_parser::{HeaderName, Message, MessageParser, PartType};
use restante_core::config::Config;
use restante_core::imap::grammar::encode_base64;
use restante_core::mime::decode::TransferDecoder;
use restante_core::mime::header::fields;
use restante_core::mime::{Kind, Scanned, Scanner};

const ANY_OCTETS: u8 = 1;

/// Multiparts and messages around a part.
const DEPTH_MAX: usize = 6;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    if source.byte() & ANY_OCTETS != 0 {
        return same_fields(source.rest());
    }
    let mut composer = Composer::default();
    composer.message(&mut source, 0);
    let message = composer.message;
    let mut scanner = Scanner::new(&Config::default());
    scanner.feed(&message);
    let found = leaves(&scanner.finish(), &message);
    assert_eq!(found, composer.leaves, "{}", message.escape_ascii());

    if composer.is_nested_at_once {
        return;
    }
    let parsed = MessageParser::default().parse(&message);
    let mut theirs = Vec::new();
    their_leaves(&parsed.expect("a message"), &mut theirs);
    assert_eq!(found, theirs, "{}", message.escape_ascii());
}

/// The decoded octets of all parts that have no parts.
fn leaves(scanned: &Scanned, message: &[u8]) -> Vec<Vec<u8>> {
    let leaves = scanned.structure.parts().iter();
    let leaves = leaves.filter(|part| part.kind == Kind::Leaf);
    let decode = |part: &restante_core::mime::Part| {
        let body = &message[part.body.offset as usize..part.body.end() as usize];
        let mut decoder = TransferDecoder::new(part.description.encoding.as_deref());
        let mut decoded = Vec::new();
        decoder.feed(body, &mut decoded);
        decoder.finish(&mut decoded);
        decoded
    };
    leaves.map(decode).collect()
}

fn their_leaves(message: &Message<'_>, leaves: &mut Vec<Vec<u8>>) {
    for part in &message.parts {
        match &part.body {
            PartType::Text(text) | PartType::Html(text) => leaves.push(text.as_bytes().to_vec()),
            PartType::Binary(octets) | PartType::InlineBinary(octets) => {
                leaves.push(octets.to_vec());
            }
            PartType::Message(message) => their_leaves(message, leaves),
            PartType::Multipart(_) => {}
        }
    }
}

#[derive(Default)]
struct Composer {
    message: Vec<u8>,
    /// What is in the parts that have no parts.
    leaves: Vec<Vec<u8>>,
    boundaries: usize,
    /// A message that is all that there is in a message: mail-parser (0.11.9) takes the end of a
    /// multipart around both for that of the outer one, and with debug assertions it panics.
    is_nested_at_once: bool,
}

impl Composer {
    fn say(&mut self, text: &str) {
        self.message.extend_from_slice(text.as_bytes());
    }

    fn message(&mut self, source: &mut Source<'_>, depth: usize) {
        self.say("Subject: composed\r\nMIME-Version: 1.0\r\n");
        let kind = source.byte();
        self.is_nested_at_once |= depth > 0 && depth < DEPTH_MAX && kind % 8 == 7;
        self.part(source, depth, kind);
    }

    /// A part from its Content-Type on, without the line end before a boundary.
    fn part(&mut self, source: &mut Source<'_>, depth: usize, kind: u8) {
        match kind % 8 {
            _ if depth >= DEPTH_MAX => self.leaf(source, kind),
            0..=3 => self.leaf(source, kind),
            4..=6 => self.multipart(source, depth, kind),
            _ => {
                self.say("Content-Type: message/rfc822\r\n\r\n");
                self.message(source, depth + 1);
            }
        }
    }

    fn multipart(&mut self, source: &mut Source<'_>, depth: usize, kind: u8) {
        let subtype = ["mixed", "alternative", "related", "digest"][usize::from(kind >> 6)];
        // None is the beginning of another.
        let boundary = format!("={:03}=", self.boundaries);
        self.boundaries += 1;
        self.say(&format!(
            "Content-Type: multipart/{subtype};\r\n boundary=\"{boundary}\"\r\n\r\n"
        ));
        let (preamble, epilogue) = (kind & 0x10 != 0, kind & 0x20 != 0);
        if preamble {
            self.say("This is a message in several parts.\r\n");
        }
        let children = source.byte() % 4 + 1;
        for _ in 0..children {
            self.say(&format!("--{boundary}\r\n"));
            let kind = source.byte();
            self.part(source, depth + 1, kind);
            self.say("\r\n");
        }
        self.say(&format!("--{boundary}--"));
        if epilogue {
            self.say("\r\nThat was all.");
        }
    }

    fn leaf(&mut self, source: &mut Source<'_>, kind: u8) {
        let is_text = kind & 0x08 != 0;
        self.say(match is_text {
            true => "Content-Type: text/plain; charset=utf-8\r\n",
            false => "Content-Type: application/octet-stream\r\n",
        });
        let octets = source.octets();
        let content = match is_text {
            true => String::from_utf8_lossy(octets).into_owned().into_bytes(),
            false => octets.to_vec(),
        };
        match kind >> 4 & 3 {
            0 | 1 => {
                self.say("\r\n");
                self.leaves.push(lines(&content));
                self.message.extend_from_slice(&lines(&content));
            }
            2 => {
                self.say("Content-Transfer-Encoding: base64\r\n\r\n");
                let encoded = encode_base64(&content);
                let lines: Vec<_> = encoded.as_bytes().chunks(76).collect();
                self.message.extend_from_slice(&lines.join(&b"\r\n"[..]));
                self.leaves.push(content);
            }
            _ => {
                self.say("Content-Transfer-Encoding: Quoted-Printable\r\n\r\n");
                self.say(&quoted_printable(&content));
                self.leaves.push(content);
            }
        }
    }
}

/// Octets as lines that are no boundary.
fn lines(octets: &[u8]) -> Vec<u8> {
    let octets = octets.iter().filter(|&&octet| octet != b'\r');
    let mut lines = Vec::new();
    for &octet in octets {
        match octet {
            b'\n' => lines.extend_from_slice(b"\r\n"),
            b'-' => lines.push(b'_'),
            octet => lines.push(octet),
        }
    }
    lines
}

fn quoted_printable(octets: &[u8]) -> String {
    let mut encoded = String::new();
    for (number, octet) in octets.iter().enumerate() {
        if number % 24 == 23 {
            encoded.push_str("=\r\n");
        }
        match octet {
            octet if octet.is_ascii_alphanumeric() => encoded.push(char::from(*octet)),
            octet => encoded.push_str(&format!("={octet:02X}")),
        }
    }
    encoded
}

/// Names and values of the fields, where both must find the same.
fn same_fields(message: &[u8]) {
    let Some(header) = well_formed_header(message) else {
        return;
    };
    let ours: Vec<_> = fields(header)
        .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
        .collect();
    // One field named here keeps it from taking the others apart by their names.
    let parser = MessageParser::new()
        .header_raw(HeaderName::Subject)
        .default_header_raw();
    let parsed = parser.parse_headers(message).expect("fields");
    let theirs: Vec<_> = parsed.parts[0]
        .headers
        .iter()
        .map(|field| {
            let value = &message[field.offset_start as usize..field.offset_end as usize];
            let value = value.strip_suffix(b"\n").unwrap_or(value);
            let value = value.strip_suffix(b"\r").unwrap_or(value);
            (
                field.name.as_str().to_ascii_lowercase().into_bytes(),
                value.to_vec(),
            )
        })
        .collect();
    assert_eq!(ours, theirs);
}

/// The header of a message, where it is one by RFC 5322 §2.2: fields with a name, each on a line
/// of its own and on those after it that begin with white space and have something else,
/// then a blank line.
fn well_formed_header(message: &[u8]) -> Option<&[u8]> {
    let mut rest = message;
    let mut is_first = true;
    loop {
        let end = rest.iter().position(|&octet| octet == b'\n')? + 1;
        let line = rest[..end].strip_suffix(b"\r\n")?;
        rest = &rest[end..];
        if line.is_empty() {
            return (!is_first).then(|| &message[..message.len() - rest.len()]);
        }
        let is_fold = line.starts_with(b" ") || line.starts_with(b"\t");
        let name = line.split(|&octet| octet == b':').next()?;
        let is_name = name.len() < line.len() && !name.is_empty();
        let is_name = is_name && name.iter().all(u8::is_ascii_graphic);
        let goes_on = is_fold && !is_first && !line.trim_ascii().is_empty();
        if !(goes_on || is_name) || line.contains(&b'\r') {
            return None;
        }
        is_first = false;
    }
}
