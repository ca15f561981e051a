//! What a server has acknowledged in one mailbox, and whether it keeps its word
//! through faults in which answers get lost.

use std::collections::{BTreeMap, BTreeSet};

use restante_tests::{Client, Response, Server, samples};

/// The date of all messages here, and none that a clock would give.
const DATE: &str = "17-Jul-1996 02:44:25 -0700";

/// A command whose connection may break. Returns its tagged answer.
pub(crate) fn attempt(client: &mut Client, command: &[u8]) -> Option<Response> {
    let tag = format!("{} ", client.tag().0);
    let line = [tag.as_bytes(), command, b"\r\n"].concat();
    client.try_send(&line).ok()?;
    loop {
        let response = client.try_response()?;
        if response.starts_with(&tag) {
            return Some(response);
        }
    }
}

/// Whether a tagged answer says OK.
pub(crate) fn is_ok(answer: &Response) -> bool {
    answer.text().split(' ').nth(1) == Some("OK")
}

/// A message that the server has acknowledged or shown.
struct Kept {
    message: Vec<u8>,
    /// The flags it may have: more than one set where an answer was lost.
    flags: BTreeSet<BTreeSet<String>>,
    /// An EXPUNGE of it was sent and never answered.
    may_be_gone: bool,
}

/// The account of one mailbox.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) mailbox: &'static str,
    uid_validity: Option<u32>,
    kept: BTreeMap<u32, Kept>,
    gone: BTreeSet<u32>,
    /// Messages, with their flags, whose APPEND was not answered by OK: there or not.
    possible: BTreeMap<Vec<u8>, BTreeSet<String>>,
    appends: u64,
}

fn set(flags: &[&str]) -> BTreeSet<String> {
    flags.iter().map(|&flag| flag.to_owned()).collect()
}

impl Ledger {
    /// A ledger of a mailbox that exists.
    pub(crate) fn new(mailbox: &'static str) -> Self {
        Self {
            mailbox,
            ..Self::default()
        }
    }

    /// Messages that must be there.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Appends a message of its own. Says whether that was acknowledged, or nothing when
    /// the connection broke.
    pub(crate) fn append(&mut self, client: &mut Client, octets: usize) -> Option<bool> {
        self.appends += 1;
        let subject = format!("{} {}", self.mailbox, self.appends);
        let message = samples::plain(&subject, &"x".repeat(octets));
        let flags = if self.appends.is_multiple_of(2) {
            set(&["\\Seen", "Mark"])
        } else {
            set(&[])
        };
        let list = flags.iter().cloned().collect::<Vec<_>>().join(" ");
        let command = format!(
            "APPEND {} ({list}) \"{DATE}\" {{{}+}}\r\n",
            self.mailbox,
            message.len()
        );
        let command = [command.as_bytes(), &message].concat();
        let answer = attempt(client, &command);
        let Some(uid) = answer.as_ref().filter(|answer| is_ok(answer)).map(uid_of) else {
            self.possible.insert(message, flags);
            return answer.map(|_| false);
        };
        assert!(!self.gone.contains(&uid), "UID {uid} comes again");
        let kept = Kept {
            message,
            flags: BTreeSet::from([flags]),
            may_be_gone: false,
        };
        let before = self.kept.insert(uid, kept);
        assert!(before.is_none(), "UID {uid} is given twice");
        Some(true)
    }

    /// Replaces the flags of one of the messages, chosen by a number. The mailbox must
    /// be selected.
    pub(crate) fn store(&mut self, client: &mut Client, choice: usize) -> Option<()> {
        let (uid, kept) = choose(&mut self.kept, choice)?;
        let new = match choice % 3 {
            0 => set(&["\\Flagged"]),
            1 => set(&["\\Answered", "Other"]),
            _ => set(&[]),
        };
        let list = new.iter().cloned().collect::<Vec<_>>().join(" ");
        let command = format!("UID STORE {uid} FLAGS.SILENT ({list})");
        kept.flags.insert(new.clone());
        if is_ok(&attempt(client, command.as_bytes())?) && !kept.may_be_gone {
            kept.flags = BTreeSet::from([new]);
        }
        Some(())
    }

    /// Expunges one of the messages, chosen by a number.
    pub(crate) fn expunge(&mut self, client: &mut Client, choice: usize) -> Option<()> {
        let (uid, kept) = choose(&mut self.kept, choice)?;
        let deleted: Vec<_> = kept
            .flags
            .iter()
            .map(|flags| flags | &set(&["\\Deleted"]))
            .collect();
        kept.flags.extend(deleted);
        let command = format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)");
        if !is_ok(&attempt(client, command.as_bytes())?) {
            return Some(());
        }
        kept.may_be_gone = true;
        let answer = attempt(client, format!("UID EXPUNGE {uid}").as_bytes())?;
        if is_ok(&answer) {
            self.kept.remove(&uid);
            self.gone.insert(uid);
        }
        Some(())
    }

    /// Reads the whole mailbox and compares. What was uncertain and is seen now must
    /// stay so.
    pub(crate) fn check(&mut self, server: &Server) {
        let mut client = server.login();
        let mailbox = self.mailbox;
        let reply = client.ok(format!("EXAMINE {mailbox}"));
        let uid_validity = reply.code_number("UIDVALIDITY");
        assert_eq!(*self.uid_validity.get_or_insert(uid_validity), uid_validity);
        let mut fetches = Vec::new();
        if reply.exists() > Some(0) {
            let items = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])";
            fetches = client.ok(format!("FETCH 1:* {items}")).fetches();
        }
        let mut seen = BTreeSet::new();
        let mut messages = BTreeSet::new();
        for fetch in &fetches {
            let (uid, message) = (fetch.uid(), fetch.bytes("BODY[]").to_vec());
            let mut flags = fetch.flags();
            flags.remove("\\Recent");
            assert!(!self.gone.contains(&uid), "expunged UID {uid} is back");
            assert_eq!(fetch.item("RFC822.SIZE").number(), message.len() as u64);
            assert_eq!(fetch.item("INTERNALDATE").text().trim_matches('"'), DATE);
            let kept = self.kept.entry(uid).or_insert_with(|| {
                let flags = self
                    .possible
                    .remove(&message)
                    .unwrap_or_else(|| panic!("nobody appended what is UID {uid}"));
                Kept {
                    message: message.clone(),
                    flags: BTreeSet::from([flags]),
                    may_be_gone: false,
                }
            });
            assert!(kept.message == message, "UID {uid} is another message");
            assert!(
                kept.flags.contains(&flags),
                "UID {uid} has {flags:?} instead of one of {:?}",
                kept.flags
            );
            (kept.flags, kept.may_be_gone) = (BTreeSet::from([flags]), false);
            assert!(messages.insert(message), "UID {uid} is there twice");
            assert!(seen.insert(uid), "UID {uid} comes twice");
        }
        let gone: Vec<u32> = self
            .kept
            .iter()
            .filter(|(uid, _)| !seen.contains(uid))
            .map(|(uid, kept)| {
                assert!(kept.may_be_gone, "UID {uid} was acknowledged and is lost");
                *uid
            })
            .collect();
        for uid in gone {
            self.kept.remove(&uid);
            self.gone.insert(uid);
        }
    }
}

fn choose(kept: &mut BTreeMap<u32, Kept>, choice: usize) -> Option<(u32, &mut Kept)> {
    let count = kept.len().max(1);
    kept.iter_mut()
        .nth(choice % count)
        .map(|(uid, kept)| (*uid, kept))
}

/// The UID of an answer to APPEND (RFC 4315 §3).
fn uid_of(answer: &Response) -> u32 {
    let code = answer
        .code("APPENDUID")
        .unwrap_or_else(|| panic!("APPENDUID in {answer:?}"));
    code.rsplit(' ')
        .next()
        .and_then(|uid| uid.parse().ok())
        .unwrap_or_else(|| panic!("a UID in {answer:?}"))
}
