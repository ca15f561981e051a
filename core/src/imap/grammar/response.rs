//! Answers: functions that append pieces of responses (RFC 3501 §7) to a buffer of the
//! caller. None of them adds CRLF except those called `*_line`.

use super::cursor::is_atom_char;
use super::{InternalDate, ListKind, MailboxEncoding, StatusItem, encode_mutf7};
use crate::mailbox::{Flag, MailboxName, SpecialUse};
use core::ops::RangeInclusive;

/// Octets of the longest string that is sent quoted. Longer ones are literals: clients
/// have limits on lines, hardly on literals.
const QUOTED_BYTES_MAX: usize = 1024;

/// Appends a string: quoted where that can be, else as a literal (RFC 3501 §4.3).
pub fn string(out: &mut Vec<u8>, octets: &[u8]) {
    let plain = |octet: &u8| matches!(octet, 1..=127) && !matches!(octet, b'\r' | b'\n');
    if octets.len() <= QUOTED_BYTES_MAX && octets.iter().all(plain) {
        quoted(out, octets);
    } else {
        literal(out, octets);
    }
}

/// Appends a string, or NIL for none.
pub fn nstring(out: &mut Vec<u8>, octets: Option<&[u8]>) {
    match octets {
        Some(octets) => string(out, octets),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends an atom where that can be, else a string. NIL is quoted, for clients that
/// would take it for the absence of a value.
pub fn astring(out: &mut Vec<u8>, octets: &[u8]) {
    let is_atom = !octets.is_empty()
        && octets.len() <= QUOTED_BYTES_MAX
        && octets.iter().all(|&octet| is_atom_char(octet))
        && !octets.eq_ignore_ascii_case(b"NIL");
    if is_atom {
        out.extend_from_slice(octets);
    } else {
        string(out, octets);
    }
}

/// Appends `{n}`, CRLF and the octets. A literal cannot hold NUL (RFC 3501 §9, `CHAR8`):
/// it becomes 0x80, which keeps the length. (FETCH announces octets of messages itself and sends
/// them as they are, NUL included.)
pub fn literal(out: &mut Vec<u8>, octets: &[u8]) {
    literal_header(out, octets.len() as u64);
    out.extend(
        octets
            .iter()
            .map(|&octet| if octet == 0 { 0x80 } else { octet }),
    );
}

/// Appends the announcement of a literal of `len` octets, with its CRLF.
pub fn literal_header(out: &mut Vec<u8>, len: u64) {
    out.extend_from_slice(format!("{{{len}}}\r\n").as_bytes());
}

/// Appends a number.
pub fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// Appends the name of a mailbox, in quotes or as a literal, as the client reads names.
pub fn mailbox(out: &mut Vec<u8>, name: &MailboxName, names: MailboxEncoding) {
    match names {
        MailboxEncoding::ModifiedUtf7 => string(out, encode_mutf7(name.as_str()).as_bytes()),
        // RFC 9051 §4.3: quoted strings hold UTF-8 then.
        MailboxEncoding::Utf8 => {
            let name = name.as_str().as_bytes();
            if name.len() <= QUOTED_BYTES_MAX
                && !name.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n'))
            {
                quoted(out, name);
            } else {
                literal(out, name);
            }
        }
    }
}

/// Appends a flag.
pub fn flag(out: &mut Vec<u8>, flag: &Flag) {
    out.extend_from_slice(match flag {
        Flag::Answered => b"\\Answered",
        Flag::Flagged => b"\\Flagged",
        Flag::Deleted => b"\\Deleted",
        Flag::Seen => b"\\Seen",
        Flag::Draft => b"\\Draft",
        Flag::Keyword(keyword) => keyword.as_str().as_bytes(),
    });
}

/// Appends `(\Seen $Junk)`, with `\Recent` last if `recent`.
pub fn flag_list<'a>(out: &mut Vec<u8>, flags: impl IntoIterator<Item = &'a Flag>, recent: bool) {
    flags_and(out, flags, recent.then_some("\\Recent"));
}

/// Appends the flags of PERMANENTFLAGS, with `\*` last if clients may make new keywords.
pub fn permanent_flags<'a>(
    out: &mut Vec<u8>,
    flags: impl IntoIterator<Item = &'a Flag>,
    new_keywords: bool,
) {
    flags_and(out, flags, new_keywords.then_some("\\*"));
}

/// Appends `"17-Jul-1996 02:44:25 -0700"`.
pub fn internal_date(out: &mut Vec<u8>, date: InternalDate) {
    date.write(out);
}

/// Appends a set of numbers: `1:3,5`. Nothing is appended for no ranges, which the
/// grammar of a set does not have: the caller leaves the response out.
pub fn set(out: &mut Vec<u8>, ranges: impl IntoIterator<Item = RangeInclusive<u32>>) {
    for (place, range) in ranges.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        number(out, u64::from(*range.start()));
        if range.start() != range.end() {
            out.push(b':');
            number(out, u64::from(*range.end()));
        }
    }
}

/// Joins ascending numbers to ranges, one at a time, without holding them.
pub fn ranges(numbers: impl IntoIterator<Item = u32>) -> impl Iterator<Item = RangeInclusive<u32>> {
    let mut numbers = numbers.into_iter().peekable();
    core::iter::from_fn(move || {
        let first = numbers.next()?;
        let mut last = first;
        while let Some(next) = numbers.next_if(|&next| last.checked_add(1) == Some(next)) {
            last = next;
        }
        Some(first..=last)
    })
}

/// An attribute of a mailbox in a LIST response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAttribute {
    /// RFC 3501 §7.2.2: cannot be selected.
    NoSelect,
    /// RFC 5258 §3: does not exist; implies `NoSelect`.
    NonExistent,
    /// RFC 3501 §7.2.2: nothing can be below it.
    NoInferiors,
    /// RFC 3348: something is below it.
    HasChildren,
    /// RFC 3348: nothing is below it.
    HasNoChildren,
    /// RFC 3501 §7.2.2
    Marked,
    /// RFC 3501 §7.2.2
    Unmarked,
    /// RFC 5258 §3
    Subscribed,
    /// RFC 6154 §2
    SpecialUse(SpecialUse),
    /// XLIST only: this is INBOX.
    Inbox,
}

impl ListAttribute {
    fn name(self, kind: ListKind) -> &'static str {
        match self {
            Self::NoSelect => "\\Noselect",
            Self::NonExistent => "\\NonExistent",
            Self::NoInferiors => "\\Noinferiors",
            Self::HasChildren => "\\HasChildren",
            Self::HasNoChildren => "\\HasNoChildren",
            Self::Marked => "\\Marked",
            Self::Unmarked => "\\Unmarked",
            Self::Subscribed => "\\Subscribed",
            // What XLIST called it.
            Self::SpecialUse(SpecialUse::Junk) if kind == ListKind::Xlist => "\\Spam",
            Self::SpecialUse(special) => special_use(special),
            Self::Inbox => "\\Inbox",
        }
    }
}

/// A line of LIST, LSUB or XLIST.
#[derive(Clone, Debug)]
pub struct ListLine<'a> {
    /// Which of them.
    pub kind: ListKind,
    /// What is said of the mailbox.
    pub attributes: &'a [ListAttribute],
    /// The mailbox.
    pub name: &'a MailboxName,
    /// Whether something subscribed is below it: `("CHILDINFO" ("SUBSCRIBED"))`, the
    /// answer to RECURSIVEMATCH (RFC 5258 §3.5).
    pub child_subscribed: bool,
}

/// Appends `* LIST (\HasNoChildren) "/" "INBOX"` with CRLF.
pub fn list_line(out: &mut Vec<u8>, line: &ListLine<'_>, names: MailboxEncoding) {
    out.extend_from_slice(format!("* {} (", line.kind.name()).as_bytes());
    for (place, attribute) in line.attributes.iter().enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(attribute.name(line.kind).as_bytes());
    }
    out.extend_from_slice(b") ");
    separator(out);
    out.push(b' ');
    mailbox(out, line.name, names);
    if line.child_subscribed {
        out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer to `LIST "" ""` with CRLF: the separator and the empty root.
pub fn separator_line(out: &mut Vec<u8>, kind: ListKind) {
    out.extend_from_slice(format!("* {} (\\Noselect) ", kind.name()).as_bytes());
    separator(out);
    out.extend_from_slice(b" \"\"\r\n");
}

/// Appends `* STATUS "INBOX" (MESSAGES 2 UNSEEN 1)` with CRLF.
pub fn status_line(
    out: &mut Vec<u8>,
    name: &MailboxName,
    values: &[(StatusItem, u64)],
    names: MailboxEncoding,
) {
    out.extend_from_slice(b"* STATUS ");
    mailbox(out, name, names);
    out.extend_from_slice(b" (");
    for (place, (item, value)) in values.iter().enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(item.name().as_bytes());
        out.push(b' ');
        number(out, *value);
    }
    out.extend_from_slice(b")\r\n");
}

fn quoted(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'"');
    for &octet in octets {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out.push(b'"');
}

fn flags_and<'a>(out: &mut Vec<u8>, flags: impl IntoIterator<Item = &'a Flag>, last: Option<&str>) {
    out.push(b'(');
    let start = out.len();
    for each in flags {
        if out.len() > start {
            out.push(b' ');
        }
        flag(out, each);
    }
    if let Some(last) = last {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(last.as_bytes());
    }
    out.push(b')');
}

fn separator(out: &mut Vec<u8>) {
    quoted(out, &[MailboxName::SEPARATOR as u8]);
}

fn special_use(special: SpecialUse) -> &'static str {
    match special {
        SpecialUse::Archive => "\\Archive",
        SpecialUse::Drafts => "\\Drafts",
        SpecialUse::Junk => "\\Junk",
        SpecialUse::Sent => "\\Sent",
        SpecialUse::Trash => "\\Trash",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Keyword;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings() {
        for (octets, expected) in [
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\tb", "\"a\tb\""),
            ("a\r\nb", "{4}\r\na\r\nb"),
            ("é", "{2}\r\né"),
        ] {
            assert_eq!(written(|out| string(out, octets.as_bytes())), expected);
            assert_eq!(
                written(|out| nstring(out, Some(octets.as_bytes()))),
                expected
            );
        }
        assert_eq!(written(|out| nstring(out, None)), "NIL");
        let long = "a".repeat(1025);
        assert_eq!(
            written(|out| string(out, long.as_bytes())),
            format!("{{1025}}\r\n{long}")
        );
        let mut out = Vec::new();
        string(&mut out, b"a\0b");
        assert_eq!(out, b"{3}\r\na\x80b");
    }

    #[test]
    fn astrings() {
        for (octets, expected) in [
            ("abc", "abc"),
            ("", "\"\""),
            ("nil", "\"nil\""),
            ("a b", "\"a b\""),
            ("a]", "\"a]\""),
            ("a*", "\"a*\""),
            ("é", "{2}\r\né"),
        ] {
            assert_eq!(written(|out| astring(out, octets.as_bytes())), expected);
        }
    }

    #[test]
    fn mailboxes() {
        let name = MailboxName::new("Entwürfe & \"mehr\"");
        assert_eq!(
            written(|out| mailbox(out, &name, MailboxEncoding::ModifiedUtf7)),
            "\"Entw&APw-rfe &- \\\"mehr\\\"\""
        );
        assert_eq!(
            written(|out| mailbox(out, &name, MailboxEncoding::Utf8)),
            "\"Entwürfe & \\\"mehr\\\"\""
        );
    }

    #[test]
    fn flags() {
        let flags = [Flag::Seen, Flag::Keyword(Keyword::new("$Junk"))];
        assert_eq!(
            written(|out| flag_list(out, &flags, true)),
            "(\\Seen $Junk \\Recent)"
        );
        assert_eq!(written(|out| flag_list(out, &[], false)), "()");
        assert_eq!(written(|out| flag_list(out, &[], true)), "(\\Recent)");
        assert_eq!(
            written(|out| permanent_flags(out, &flags[..1], true)),
            "(\\Seen \\*)"
        );
    }

    #[test]
    fn sets() {
        assert_eq!(written(|out| set(out, ranges([1, 2, 3, 5]))), "1:3,5");
        assert_eq!(written(|out| set(out, ranges([7]))), "7");
        assert_eq!(
            written(|out| set(out, ranges([u32::MAX - 1, u32::MAX]))),
            "4294967294:4294967295"
        );
        assert_eq!(written(|out| set(out, ranges([]))), "");
    }

    #[test]
    fn lines() {
        let inbox = MailboxName::inbox();
        let line = |kind, attributes, child_subscribed| ListLine {
            kind,
            attributes,
            name: &inbox,
            child_subscribed,
        };
        let names = MailboxEncoding::default();
        assert_eq!(
            written(|out| list_line(
                out,
                &line(
                    ListKind::List,
                    &[
                        ListAttribute::HasNoChildren,
                        ListAttribute::SpecialUse(SpecialUse::Junk)
                    ],
                    false
                ),
                names
            )),
            "* LIST (\\HasNoChildren \\Junk) \"/\" \"INBOX\"\r\n"
        );
        assert_eq!(
            written(|out| list_line(
                out,
                &line(
                    ListKind::Xlist,
                    &[ListAttribute::SpecialUse(SpecialUse::Junk)],
                    false
                ),
                names
            )),
            "* XLIST (\\Spam) \"/\" \"INBOX\"\r\n"
        );
        // RFC 5258 §5, example 9
        assert_eq!(
            written(|out| list_line(out, &line(ListKind::List, &[], true), names)),
            "* LIST () \"/\" \"INBOX\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
        );
        assert_eq!(
            written(|out| separator_line(out, ListKind::List)),
            "* LIST (\\Noselect) \"/\" \"\"\r\n"
        );
        assert_eq!(
            written(|out| status_line(
                out,
                &inbox,
                &[(StatusItem::Messages, 231), (StatusItem::UidNext, 44292)],
                names
            )),
            "* STATUS \"INBOX\" (MESSAGES 231 UIDNEXT 44292)\r\n"
        );
    }

    proptest! {
        /// What we say of a name comes back as that name when a client repeats it.
        #[test]
        fn a_client_can_repeat_what_it_was_told(name in "\\PC{1,40}|[&A-Z,+/\"\\\\-]{1,20}", utf8: bool) {
            let names = if utf8 { MailboxEncoding::Utf8 } else { MailboxEncoding::ModifiedUtf7 };
            let name = MailboxName::new(&name);
            let mut line = b"a DELETE ".to_vec();
            mailbox(&mut line, &name, names);
            let limits = crate::config::Config::default();
            let parsed = super::super::parse_command(&line, &limits, names).unwrap();
            let expected = super::super::Command::Delete { mailbox: name };
            prop_assert_eq!(parsed.command, expected);
        }

        #[test]
        fn ranges_hold_the_same_numbers(numbers in prop::collection::btree_set(any::<u8>(), 0..40)) {
            let numbers: Vec<u32> = numbers.into_iter().map(u32::from).collect();
            let ranges: Vec<_> = ranges(numbers.iter().copied()).collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end() + 1 < *pair[1].start()));
            prop_assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), numbers);
        }
    }
}
