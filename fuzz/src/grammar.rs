//! The parsers of commands on any octets. What imap-codec takes as well means the same to it,
//! but for the differences that are listed in `core/src/imap/grammar/oracle/`.
//!
//! Input: an octet of choices, then the octets of a command.

use super::comparison::{append_meanings, meanings, refusal};
use restante_core::config::Config;
use restante_core::imap::grammar::{
    Command, ListPattern, MailboxEncoding, append_next, append_start, decode_base64, decode_mutf7,
    encode_base64, encode_mutf7, is_done, parse_command, parse_literal_header, read_tag,
};
use restante_core::mailbox::MailboxName;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&choices, octets)) = data.split_first() else {
        return;
    };
    let limits = limits(choices & 1 != 0);
    let names = match choices & 2 {
        0 => MailboxEncoding::ModifiedUtf7,
        _ => MailboxEncoding::Utf8,
    };
    command(octets, &limits, names);
    let started = append_start(octets, &limits, names);
    drop(format!("{started:?}"));
    for before_literal in [false, true] {
        drop(format!(
            "{:?}",
            append_next(octets, before_literal, &limits)
        ));
    }
    if let Some(header) = parse_literal_header(octets) {
        assert!(header.header_len <= octets.len());
    }
    let _ = is_done(octets);
    texts(octets);
    // Its time grows with the square of some commands' length.
    if octets.len() <= COMPARED_BYTES_MAX {
        compare(octets);
    }
}

const COMPARED_BYTES_MAX: usize = 1_024;

fn compare(octets: &[u8]) {
    assert_eq!(refusal(octets), None, "imap-codec takes it");
    if let Some((ours, theirs)) = meanings(octets) {
        assert!(ours == theirs, "it means something else to imap-codec");
    }
    if let Some((ours, theirs)) = append_meanings(octets) {
        assert!(ours == theirs, "it means something else to imap-codec");
    }
}

fn limits(small: bool) -> Config {
    if !small {
        return Config::default();
    }
    Config {
        search_depth_max: 3,
        search_keys_max: 4,
        set_ranges_max: 2,
        fetch_items_max: 2,
        list_patterns_max: 2,
        flags_max: 2,
        keyword_bytes_max: 8,
        mailbox_name_bytes_max: 20,
        mailbox_depth_max: 2,
        ..Config::default()
    }
}

/// A tag is read the same way whatever follows it, and `Debug` shows only the tag and the
/// name of the command.
fn command(octets: &[u8], limits: &Config, names: MailboxEncoding) {
    let tag = read_tag(octets, limits);
    match parse_command(octets, limits, names) {
        Ok(tagged) => {
            assert_eq!(Some(&tagged.tag), tag.as_ref());
            let shown = format!("{:?}", tagged.command);
            let name = tagged.command.name();
            assert_eq!(shown, format!("Command({name} …)"), "arguments are shown");
            if let Command::List(list) = &tagged.command {
                let name = MailboxName::new(&list.reference);
                for pattern in &list.patterns {
                    let _ = pattern.matches(&name);
                }
            }
        }
        Err(rejected) => {
            assert_eq!(rejected.tag, tag);
            let plain = |octet: u8| octet.is_ascii_graphic() || octet == b' ';
            assert!(!rejected.text.is_empty() && rejected.text.bytes().all(plain));
        }
    }
}

/// What is encoded is decoded to the same.
fn texts(octets: &[u8]) {
    let encoded = encode_base64(octets);
    let decoded = decode_base64(encoded.as_bytes());
    assert_eq!(decoded.as_ref().map(|it| it.as_slice()), Some(octets));
    let _ = decode_base64(octets);
    let Ok(text) = core::str::from_utf8(octets) else {
        return;
    };
    let encoded = encode_mutf7(text);
    assert!(encoded.bytes().all(|octet| (b' '..0x7f).contains(&octet)));
    assert_eq!(decode_mutf7(&encoded).as_deref(), Some(text));
    if let Some(name) = decode_mutf7(text) {
        assert_eq!(decode_mutf7(&encode_mutf7(&name)), Some(name));
    }
    let (reference, pattern) = text.split_at(middle(text));
    let pattern = ListPattern::new(reference, pattern);
    let name = MailboxName::new(text);
    assert_eq!(pattern.matches(&name), pattern.matcher().matches(&name));
}

/// The boundary of characters at or before the middle of `text`.
fn middle(text: &str) -> usize {
    text.floor_char_boundary(text.len() / 2)
}
