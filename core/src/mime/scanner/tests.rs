use proptest::prelude::*;

use super::*;
use crate::mime::{Octets, write_bodystructure};

fn scan_with(config: &Config, message: &[u8]) -> Scanned {
    let mut scanner = Scanner::new(config);
    scanner.feed(message);
    scanner.finish()
}

fn scan(message: &[u8]) -> Scanned {
    scan_with(&Config::default(), message)
}

fn body(message: &[u8]) -> String {
    let mut out = Vec::new();
    write_bodystructure(&scan(message).structure, false, &mut out);
    String::from_utf8(out).unwrap()
}

/// The octets of the bodies of all leaves.
fn leaves(message: &[u8]) -> Vec<&[u8]> {
    let scanned = scan(message);
    let leaves = scanned
        .structure
        .parts()
        .iter()
        .filter(|it| it.kind == Kind::Leaf);
    leaves
        .map(|it| &message[it.body.offset as usize..it.body.end() as usize])
        .collect()
}

const PLAIN: &str = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit""#;

#[test]
fn a_message_without_a_blank_line_is_all_header() {
    let scanned = scan(b"Subject: x\r\nTo: y");
    assert_eq!((scanned.size, scanned.header_len), (17, 17));
    assert_eq!(scanned.header, b"Subject: x\r\nTo: y");
    assert_eq!(scanned.structure.root().body, Span { offset: 17, len: 0 });
    assert_eq!(body(b""), format!("{PLAIN} 0 0)"));
}

#[test]
fn bare_line_feeds_end_lines() {
    let message = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\r\n--b--\n";
    assert_eq!(leaves(message), [b"one", b"two"]);
}

#[test]
fn a_missing_closing_boundary_ends_with_the_message() {
    let message =
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n";
    assert_eq!(leaves(message), [&b"one"[..], b"two\r\n"]);
}

#[test]
fn the_longest_boundary_that_a_line_begins_with_counts() {
    let message = b"Content-Type: multipart/mixed; boundary=foo\r\n\r\n\
        --foo\r\nContent-Type: multipart/mixed; boundary=foobar\r\n\r\n\
        --foobar\r\n\r\n1\r\n--foobar\r\n\r\n2\r\n--foobar--\r\nepilogue\r\n\
        --foo\r\n\r\n3\r\n--foo--\r\n";
    assert_eq!(leaves(message), [b"1", b"2", b"3"]);
    let outer_is_longer = b"Content-Type: multipart/mixed; boundary=foobar\r\n\r\n\
        --foobar\r\nContent-Type: multipart/mixed; boundary=foo\r\n\r\n\
        --foo\r\n\r\n1\r\n--foobar\r\n\r\n2\r\n--foobar--\r\n";
    assert_eq!(leaves(outer_is_longer), [b"1", b"2"]);
}

#[test]
fn a_boundary_that_ends_in_dashes_is_not_taken_for_the_end() {
    let message = b"Content-Type: multipart/mixed; boundary=\"b--\"\r\n\r\n\
        --b--\r\n\r\n1\r\n--b--\r\n\r\n2\r\n--b----\r\n";
    assert_eq!(leaves(message), [b"1", b"2"]);
}

#[test]
fn a_boundary_ends_a_header() {
    let message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: message/rfc822\r\n--b\r\n--b--\r\n";
    let scanned = scan(message);
    let empty = format!("{PLAIN} 0 0)");
    let nils = ["NIL"; 10].join(" ");
    assert_eq!(
        body(message),
        format!(r#"(("message" "rfc822" NIL NIL NIL "7bit" 0 ({nils}) {empty} 0){empty} "mixed")"#)
    );
    let header = scanned.structure.parts()[1].header;
    assert_eq!(
        &message[header.offset as usize..header.end() as usize],
        b"Content-Type: message/rfc822"
    );
}

#[test]
fn a_multipart_without_boundary_or_parts() {
    assert_eq!(
        body(b"Content-Type: multipart/mixed\r\n\r\nx\r\n"),
        format!("({PLAIN} 0 0) \"mixed\")")
    );
    assert_eq!(
        body(b"Content-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n"),
        format!("({PLAIN} 0 0) \"mixed\")")
    );
}

#[test]
fn nul_never_reaches_an_imap_string() {
    let message = b"Content-Type: text/plain; name=\"a\0b\"; \0x=\0y\r\nContent-ID: \0\r\n\r\n\0";
    let mut out = Vec::new();
    write_bodystructure(&scan(message).structure, true, &mut out);
    assert!(!out.contains(&0));
    assert!(
        out.windows(8).any(|it| it == b"{3}\r\na\x80b"),
        "8-bit data is a literal"
    );
}

#[test]
fn ten_thousand_levels_stop_at_the_limit() {
    let config = Config::default();
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
    let structure = scan_with(&config, nested.as_bytes()).structure;
    assert_eq!(structure.parts().len(), config.mime_depth_max);
    let mut out = Vec::new();
    write_bodystructure(&structure, true, &mut out);
    assert!(out.len() < 300 * config.mime_depth_max);
    let multiparts: String = (0..10_000)
        .map(|level| {
            format!(
                "--b{level:05}\r\nContent-Type: multipart/x; boundary=b{:05}\r\n\r\n",
                level + 1
            )
        })
        .collect();
    let multiparts = format!("Content-Type: multipart/x; boundary=b00000\r\n\r\n{multiparts}");
    let structure = scan_with(&config, multiparts.as_bytes()).structure;
    assert_eq!(structure.parts().len(), config.mime_depth_max);
}

#[test]
fn endless_boundaries_stop_at_the_limit() {
    let config = Config::default();
    let mut message = b"Content-Type: multipart/x; boundary=b\r\n\r\n".to_vec();
    message.extend(b"--b\r\n".repeat(200_000));
    let structure = scan_with(&config, &message).structure;
    assert_eq!(structure.parts().len(), config.mime_parts_max);
    assert_eq!(structure.root().body.end(), message.len() as u64);
}

#[test]
fn header_bombs_stay_within_the_room_of_a_structure() {
    let config = Config::default();
    let many: String = (0..10_000).map(|it| format!("; p{it}=v{it}")).collect();
    let long = "x".repeat(1_000_000);
    let mut message = b"Content-Type: multipart/x; boundary=b\r\n\r\n".to_vec();
    for bomb in [
        many,
        format!("; long={long}"),
        format!("; a*0={long}; a*99999=x"),
    ]
    .iter()
    .cycle()
    .take(30)
    {
        message.extend_from_slice(
            format!("--b\r\nContent-Type: text/plain{bomb}\r\n\r\nx\r\n").as_bytes(),
        );
    }
    let scanned = scan_with(&config, &message);
    assert_eq!(scanned.structure.parts().len(), 31);
    let weight: usize = scanned
        .structure
        .parts()
        .iter()
        .map(|it| it.description.weight())
        .sum();
    assert!(weight <= config.structure_bytes_max + 31 * 512, "{weight}");
    let top = [b"Subject: ", long.as_bytes(), b"\r\n\r\nbody"].concat();
    let scanned = scan_with(&config, &top);
    assert_eq!(scanned.header.len(), config.header_bytes_max);
    assert_eq!(scanned.header_len, top.len() as u64 - 4);
}

#[test]
fn what_is_left_of_a_long_name_holds_no_memory_of_the_rest() {
    let config = Config::default();
    let long = "x".repeat(config.mime_header_bytes_max / 3);
    let mut message = b"Content-Type: multipart/x; boundary=b\r\n\r\n".to_vec();
    for _ in 1..config.mime_parts_max {
        let header = format!("Content-Type: {long}/{long}\r\nContent-Transfer-Encoding: {long}");
        message.extend_from_slice(format!("--b\r\n{header}\r\n\r\n").as_bytes());
    }
    let scanned = scan_with(&config, &message);
    let parts = scanned.structure.parts();
    assert_eq!(parts.len(), config.mime_parts_max);
    let names = parts.iter().flat_map(|part| {
        let it = &part.description;
        [
            Some(&it.media_type),
            Some(&it.subtype),
            it.encoding.as_ref(),
        ]
    });
    let names: Vec<Octets> = names.flatten().cloned().collect();
    drop(scanned);
    // As many octets as its memory has behind its beginning, if it is its own.
    let held = |name: Octets| {
        let alone = name.try_into_mut();
        alone.map_or_else(|shared| shared.len(), |alone| alone.capacity())
    };
    let held: usize = names.into_iter().map(held).sum();
    let max = config.structure_bytes_max + config.mime_parts_max * 3 * 128;
    assert!(held <= max, "{held}");
}

/// Pieces that make and break messages.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("--a".to_owned()),
        Just("--ab".to_owned()),
        Just("--".to_owned()),
        Just("Content-Type: multipart/mixed; boundary=a\r\n\r\n".to_owned()),
        Just("Content-Type: multipart/digest;\r\n boundary=\"ab\"\r\n\r\n".to_owned()),
        Just("Content-Type: message/rfc822\r\n\r\n".to_owned()),
        Just("From: A <a@b>\r\nSubject: s\r\n\r\n".to_owned()),
        "[ -~]{0,100}",
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        fragments in prop::collection::vec(fragment(), 0..40),
        sizes in prop::collection::vec(1_usize..40, 1..10),
    ) {
        let message = fragments.concat().into_bytes();
        let whole = scan(&message);
        let mut scanner = Scanner::new(&Config::default());
        let mut rest = message.as_slice();
        for size in sizes.iter().cycle() {
            let (chunk, after) = rest.split_at(rest.len().min(*size));
            scanner.feed(chunk);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(&scanner.finish(), &whole);
        prop_assert_eq!(whole.size, message.len() as u64);
        // Each part lies where its parent's body lies, and counts its own lines.
        for part in whole.structure.parts() {
            prop_assert_eq!(part.header.end(), part.body.offset);
            let body = &message[part.body.offset as usize..part.body.end() as usize];
            prop_assert_eq!(part.body_lines, body.iter().filter(|&&it| it == b'\n').count() as u64);
            let children = match &part.kind {
                Kind::Leaf => vec![],
                Kind::Multipart { children } => children.clone(),
                Kind::Message { child, .. } => vec![*child],
            };
            for child in children {
                let child = whole.structure.part(child);
                prop_assert!(child.header.offset >= part.body.offset);
                prop_assert!(child.body.end() <= part.body.end());
            }
        }
    }
}
