//! Messages of any form, cut anywhere.
//!
//! Input: an octet of choices, the lengths of the pieces, then the message.

use super::source::{Source, pieces};
use super::stream::is_balanced;
use restante_core::config::Config;
use restante_core::mime::decode::{PartText, TextMatcher};
use restante_core::mime::header::{decode_text, fields, fields_matching, sent_date};
use restante_core::mime::{
    Kind, PartId, Scanned, Scanner, Span, Structure, write_bodystructure, write_envelope,
};
use restante_core::summary::Summary;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choices = source.byte();
    let pattern = source.byte();
    let pattern = source.take(1 + usize::from(pattern % 8));
    let message = source.rest();
    let limits = limits(choices & 1 != 0);

    let whole = scan(&[message], &limits);
    let pieces = pieces(message, pattern);
    assert_eq!(
        scan(&pieces, &limits),
        whole,
        "it matters how a message is cut"
    );
    assert_eq!(whole.size, message.len() as u64);
    inspect(&whole.structure, whole.size);
    header(&whole.header);
    text(&whole.structure, message, pattern);

    let summary = Summary::new(whole, pattern.to_vec());
    let stored = summary.encode();
    assert_eq!(Summary::decode(&stored).as_ref(), Ok(&summary));
}

fn limits(small: bool) -> Config {
    if !small {
        return Config::default();
    }
    Config {
        header_bytes_max: 48,
        mime_parts_max: 4,
        mime_depth_max: 3,
        mime_header_bytes_max: 64,
        structure_bytes_max: 200,
        ..Config::default()
    }
}

fn scan(pieces: &[&[u8]], limits: &Config) -> Scanned {
    let mut scanner = Scanner::new(limits);
    for piece in pieces {
        scanner.feed(piece);
    }
    scanner.finish()
}

/// What a FETCH may ask of a structure, which lies in a message of `size` octets.
pub(crate) fn inspect(structure: &Structure, size: u64) {
    for extended in [false, true] {
        let mut out = Vec::new();
        write_bodystructure(structure, extended, &mut out);
        assert!(is_balanced(&out), "{}", out.escape_ascii());
    }
    let inside = |span: Span| assert!(span.end() <= size, "{span:?} is outside of {size}");
    for part in structure.parts() {
        inside(part.header);
        inside(part.body);
        if let Kind::Message { envelope, .. } = &part.kind {
            let mut out = Vec::new();
            write_envelope(envelope, &mut out);
            assert!(is_balanced(&out), "{}", out.escape_ascii());
        }
    }
    for found in structure.searchable_parts() {
        inside(found.place().1);
    }
    walk(structure, &mut |path| {
        let found = structure.resolve(path);
        let found = found.unwrap_or_else(|| panic!("{path:?} is not found"));
        let spans = [Some(found.body), found.mime, found.header, found.text];
        spans.into_iter().flatten().for_each(inside);
    });
    for path in [&[0][..], &[u32::MAX], &[1; 200]] {
        let _ = structure.resolve(path);
    }
}

/// Calls `visit` with the number of each part that FETCH can name.
fn walk(structure: &Structure, visit: &mut impl FnMut(&[u32])) {
    // What is numbered, and the number before it. A message is numbered as what it holds.
    let mut steps = vec![(PartId::ROOT, Vec::new(), true)];
    visit(&[]);
    while let Some((id, number, is_message)) = steps.pop() {
        if number.len() > PATH_MAX {
            continue;
        }
        let child = |place: u32| [number.as_slice(), &[place]].concat();
        match &structure.part(id).kind {
            Kind::Multipart { children } => {
                for (&id, place) in children.iter().zip(1..) {
                    visit(&child(place));
                    steps.push((id, child(place), false));
                }
            }
            _ if is_message => {
                visit(&child(1));
                steps.push((id, child(1), false));
            }
            Kind::Message { child, .. } => steps.push((*child, number, true)),
            Kind::Leaf => {}
        }
    }
}

/// Numbers of parts that are tried: a stored structure may nest as deep as it likes.
const PATH_MAX: usize = 64;

/// What SEARCH and FETCH read of a header.
pub(crate) fn header(header: &[u8]) {
    let _ = sent_date(header);
    for field in fields(header) {
        let _ = decode_text(field.value);
    }
    let names = ["Subject", "Content-Type"];
    let with = fields_matching(header, &names, false);
    let without = fields_matching(header, &names, true);
    // Both end in a blank line, and a last line without its end gets one.
    assert!(with.len() + without.len() <= header.len() + 6);
}

/// A text is found wherever it is cut.
fn text(structure: &Structure, message: &[u8], pattern: &[u8]) {
    let needles = ["a".to_owned(), "one two".to_owned(), "\u{df}".to_owned()];
    let find = |pattern: &[u8]| {
        let mut matcher = TextMatcher::new(&needles);
        for place in structure.searchable_parts() {
            let (_, span) = place.place();
            let octets = &message[span.offset as usize..span.end() as usize];
            let mut text = PartText::new(structure, &place);
            for piece in pieces(octets, pattern) {
                text.feed(piece, &mut matcher);
            }
            text.finish(&mut matcher);
        }
        matcher.found().to_vec()
    };
    assert_eq!(find(&[]), find(pattern), "it matters how a text is cut");
}
