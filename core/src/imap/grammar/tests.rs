//! Known answers, from the examples of the RFCs and from what clients send, and
//! properties that hold for any octets.

mod appending;
mod mailboxes;
mod messages;
mod searching;
mod session;

use super::*;
use crate::mailbox::{Flag, FlagAction, Keyword, MailboxName, SpecialUse, UidValidity};
use core::num::{NonZeroU32, NonZeroU64};
use proptest::prelude::*;

fn parse(octets: impl AsRef<[u8]>) -> Result<Tagged, Rejected> {
    parse_command(
        octets.as_ref(),
        &Config::default(),
        MailboxEncoding::default(),
    )
}

/// The command in a line that must parse.
#[track_caller]
fn command(line: &str) -> Command {
    match parse(line) {
        Ok(tagged) => tagged.command,
        Err(rejected) => panic!("{line:?}: {}", rejected.text),
    }
}

/// Why a line that must not parse is rejected.
#[track_caller]
fn rejected(line: impl AsRef<[u8]>) -> Rejected {
    match parse(&line) {
        Err(rejected) => rejected,
        Ok(_) => panic!("{:?} was taken", String::from_utf8_lossy(line.as_ref())),
    }
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name)
}

#[track_caller]
fn set(text: &str) -> SequenceSet {
    match command(&format!("a UID EXPUNGE {text}")) {
        Command::UidExpunge(set) => set,
        _ => unreachable!("UID EXPUNGE was parsed"),
    }
}

#[track_caller]
fn fetch_items(text: &str) -> Vec<FetchItem> {
    match command(&format!("a FETCH 1 {text}")) {
        Command::Fetch { items, .. } => items,
        _ => unreachable!("FETCH was parsed"),
    }
}

#[track_caller]
fn search_key(text: &str) -> SearchKey {
    match command(&format!("a SEARCH {text}")) {
        Command::Search { key, .. } => key,
        _ => unreachable!("SEARCH was parsed"),
    }
}

#[track_caller]
fn list(line: &str) -> ListCommand {
    match command(line) {
        Command::List(list) => list,
        _ => unreachable!("LIST was parsed"),
    }
}

fn flagged(flag: Flag) -> SearchKey {
    SearchKey::Flag { flag, set: true }
}

fn unflagged(flag: Flag) -> SearchKey {
    SearchKey::Flag { flag, set: false }
}

fn date(field: DateField, test: DateTest, year: u16, month: u8, day: u8) -> SearchKey {
    let day = Date::new(year, month, day).unwrap();
    SearchKey::Date { field, test, day }
}

fn header(name: &str, text: &str) -> SearchKey {
    SearchKey::Header {
        name: name.to_owned(),
        text: text.into(),
    }
}

/// Commands that parse, to mutate.
pub(super) const VALID: &[&str] = &[
    "a001 LOGIN {5}\r\nSMITH \"SES\\\"AME\"",
    "a AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q=",
    "a ID (\"name\" \"sodr\" \"vendor\" NIL)",
    "a SELECT &ZeVnLIqe- (CONDSTORE QRESYNC (7 9 1:3 (1 2)))",
    "a CREATE b (USE (\\Sent))",
    "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"a*\" %) RETURN (CHILDREN STATUS (MESSAGES))",
    "a STATUS \"a b\" (MESSAGES UIDNEXT)",
    "a SEARCH RETURN (MIN ALL) CHARSET UTF-8 OR NOT (SEEN 1:*) HEADER a {2}\r\nbc SINCE 1-Feb-1994",
    "a UID FETCH 1:*,3 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (A \"b\")]<0.9>) (CHANGEDSINCE 3 VANISHED)",
    "a STORE 1:2 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\\Seen $x)",
    "a UID MOVE 1,2 {3}\r\nabc",
    "a APPEND b (\\Seen) \" 7-Feb-1994 21:52:25 -0800\" ",
];

/// Where to edit, with which octet, and whether to replace, insert or remove.
type Edit = (prop::sample::Index, u8, u8);

/// A few edits with octets that mean something to the grammar.
pub(super) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let octets = &b" ()[]{}<>\"\\*%$&-+.,:09aZ\r\n\0\xff~="[..];
    let edit = (
        any::<prop::sample::Index>(),
        prop::sample::select(octets),
        0..3_u8,
    );
    prop::collection::vec(edit, 1..6)
}

pub(super) fn mutate(line: &str, edits: Vec<Edit>) -> Vec<u8> {
    let mut octets = line.as_bytes().to_vec();
    for (place, octet, edit) in edits {
        let place = place.index(octets.len().max(1));
        match edit {
            0 if place < octets.len() => octets[place] = octet,
            2 if place < octets.len() => {
                octets.remove(place);
            }
            _ => octets.insert(place, octet),
        }
    }
    octets
}

/// Those without base64, where case does matter.
fn case_free() -> Vec<&'static str> {
    let encoded = |line: &&&str| line.contains('&') || line.contains("AUTHENTICATE");
    VALID
        .iter()
        .filter(|line| !encoded(line))
        .copied()
        .collect()
}

fn try_everything(octets: &[u8]) {
    let limits = Config::default();
    for names in [MailboxEncoding::ModifiedUtf7, MailboxEncoding::Utf8] {
        if let Ok(Tagged {
            command: Command::Fetch { items, .. },
            ..
        }) = parse_command(octets, &limits, names)
        {
            let mut out = Vec::new();
            items.iter().for_each(|item| item.write_name(&mut out));
            assert!(out.iter().all(|octet| (b' '..=b'~').contains(octet)));
        }
        let _ = append_start(octets, &limits, names);
    }
    for before_literal in [false, true] {
        let _ = append_next(octets, before_literal, &limits);
    }
    if let Some(header) = parse_literal_header(octets) {
        assert!(header.header_len <= octets.len());
    }
}

#[test]
fn the_commands_to_mutate_are_valid() {
    for line in VALID.iter().filter(|line| !line.contains("APPEND")) {
        command(line);
    }
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(octets: Vec<u8>) {
        try_everything(&octets);
        try_everything(&[b"a ", octets.as_slice()].concat());
    }

    #[test]
    fn no_mutation_makes_it_panic(line in prop::sample::select(VALID), edits in edits()) {
        try_everything(&mutate(line, edits));
    }

    #[test]
    fn a_truncated_command_does_not_panic(line in prop::sample::select(VALID), end in any::<prop::sample::Index>()) {
        try_everything(&line.as_bytes()[..end.index(line.len())]);
    }

    #[test]
    fn case_does_not_matter(line in prop::sample::select(case_free()), upper: bool) {
        let changed = if upper { line.to_ascii_uppercase() } else { line.to_ascii_lowercase() };
        prop_assert_eq!(parse(line).is_ok(), parse(changed).is_ok());
    }
}
