//! What the judge of two servers (`tests/tests/model/judge.rs`) lets pass, and what not.

use crate::commands::{Answer, Command};
use crate::judge::{Ever, Round, Shown, View};
use std::collections::BTreeMap;

/// UIDVALIDITY, name, and messages by UID.
type Row<'a> = (u32, &'a str, &'a [(u32, u32)]);

fn view(mailboxes: &[Row<'_>]) -> View {
    let mailboxes = mailboxes.iter().map(|(validity, name, messages)| {
        let shown = Shown {
            name: (*name).to_owned(),
            messages: messages.iter().copied().collect(),
        };
        (*validity, shown)
    });
    View {
        mailboxes: mailboxes.collect::<BTreeMap<_, _>>(),
        ..View::default()
    }
}

fn said(command: Command, tagged: Option<&str>) -> (Command, Answer) {
    let answer = Answer {
        lines: Vec::new(),
        tagged: tagged.map(str::to_owned),
    };
    (command, answer)
}

fn judge(before: &View, said: &[(Command, Answer)], end: &View) -> Result<(), String> {
    let mut ever = Ever::default();
    ever.look(before)?;
    Round::new(before, said).judge(end, &mut ever)
}

/// INBOX has message 1. Message 2 was appended to A and told with UID 1, and has UID 2 in the end.
fn another_uid(other: (Command, Answer), end: &View) -> Result<(), String> {
    let before = view(&[(1, "INBOX", &[(1, 1)]), (5, "A", &[])]);
    let append = Command::Append("A".to_owned(), 2);
    let append = said(append, Some("t1 OK [APPENDUID 5 1] done"));
    judge(&before, &[append, other], end)
}

#[test]
fn a_uid_is_taken_back_where_another_message_may_have_got_it() {
    // The RENAME of INBOX goes on with a mailbox that another server made, and has given the
    // same UID.
    let rename = Command::Rename("INBOX".to_owned(), "A".to_owned());
    let end = view(&[(1, "INBOX", &[]), (5, "A", &[(2, 2), (3, 1)])]);
    another_uid(said(rename, None), &end).expect("both have others");
    // So has an APPEND that nobody was told of.
    let append = Command::Append("A".to_owned(), 3);
    let end = view(&[(1, "INBOX", &[(1, 1)]), (5, "A", &[(2, 2), (3, 3)])]);
    another_uid(said(append, None), &end).expect("both have others");
}

#[test]
fn a_uid_is_not_taken_back_where_nothing_else_came() {
    let end = view(&[(1, "INBOX", &[(1, 1)]), (5, "A", &[(2, 2)])]);
    let elsewhere = Command::Append("B".to_owned(), 3);
    let why = another_uid(said(elsewhere, None), &end).expect_err("nobody else had UID 1");
    assert!(why.contains("under UID 1"), "{why}");
    // And a message that is not there at all is lost, whatever else came.
    let end = view(&[(1, "INBOX", &[]), (5, "A", &[(2, 1)])]);
    let rename = Command::Rename("INBOX".to_owned(), "A".to_owned());
    another_uid(said(rename, None), &end).expect_err("message 2 is lost");
}
