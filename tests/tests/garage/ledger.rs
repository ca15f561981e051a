//! What a server has acknowledged in one mailbox, and whether it keeps its word
//! through faults in which answers get lost.

use std::collections::{BTreeMap, BTreeSet};

use restante_tests::{Client, Reply, Response, Server, Status, samples};

/// The date of all messages here, and none that a clock would give.
const DATE: &str = "17-Jul-1996 02:44:25 -0700";

/// A command whose connection may break. Returns its answer.
pub(crate) fn attempt(client: &mut Client, command: &[u8]) -> Option<Reply> {
    let tag = format!("{} ", client.tag().0);
    let line = [tag.as_bytes(), command, b"\r\n"].concat();
    client.try_send(&line).ok()?;
    let mut untagged = Vec::new();
    loop {
        let response = client.try_response()?;
        if response.starts_with(&tag) {
            return Some(Reply {
                untagged,
                status: status(&response),
                tagged: response,
            });
        }
        untagged.push(response);
    }
}

fn status(tagged: &Response) -> Status {
    match tagged.text().split(' ').nth(1) {
        Some("OK") => Status::Ok,
        Some("NO") => Status::No,
        _ => panic!("{tagged:?}"),
    }
}

/// Whether an answer says OK.
pub(crate) fn is_ok(answer: &Reply) -> bool {
    answer.status == Status::Ok
}

/// A message that the server has acknowledged or shown.
struct Kept {
    message: Vec<u8>,
    /// The flags it may have: more than one set where an answer was lost.
    flags: BTreeSet<BTreeSet<String>>,
    /// An EXPUNGE or MOVE of it was sent and never answered.
    may_be_gone: bool,
    /// In another mailbox there is one like it, or may be.
    elsewhere: bool,
}

/// The account of one mailbox.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) mailbox: &'static str,
    uid_validity: Option<u32>,
    kept: BTreeMap<u32, Kept>,
    gone: BTreeSet<u32>,
    /// The highest UID that was ever acknowledged or shown.
    uid_max: u32,
    /// UIDNEXT when the mailbox was last read.
    uid_next: u32,
    /// Messages, with the flags that they may have, whose APPEND, COPY or MOVE to here was not
    /// answered by OK: there or not.
    possible: BTreeMap<Vec<u8>, BTreeSet<BTreeSet<String>>>,
    /// Messages whose MOVE to elsewhere was not answered by OK: here, or there, or both.
    on_the_way: Vec<Vec<u8>>,
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
        let flags = BTreeSet::from([flags]);
        if let Some(answer) = answer.as_ref().filter(|answer| is_ok(answer)) {
            self.keep(new_uid(answer, "APPENDUID"), message, flags, false);
            return Some(true);
        }
        self.possible.insert(message, flags);
        answer.map(|_| false)
    }

    /// Notes what was acknowledged with a new UID, which is above all others (RFC 3501 §2.3.1.1).
    fn keep(
        &mut self,
        uid: u32,
        message: Vec<u8>,
        flags: BTreeSet<BTreeSet<String>>,
        elsewhere: bool,
    ) {
        assert!(
            uid > self.uid_max,
            "UID {uid} is given after {}",
            self.uid_max
        );
        self.uid_max = uid;
        let kept = Kept {
            message,
            flags,
            may_be_gone: false,
            elsewhere,
        };
        self.kept.insert(uid, kept);
    }

    /// Replaces the flags of one of the messages, chosen by a number. The mailbox must
    /// be selected.
    pub(crate) fn store(&mut self, client: &mut Client, choice: usize) -> Option<()> {
        let Some((uid, kept)) = choose(&mut self.kept, choice) else {
            return Some(());
        };
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
        let Some((uid, kept)) = choose(&mut self.kept, choice) else {
            return Some(());
        };
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

    /// Copies one of the messages that are nowhere else, chosen by a number.
    pub(crate) fn copy(&mut self, to: &mut Self, client: &mut Client, choice: usize) -> Option<()> {
        let Some((uid, kept)) = choose_only_here(&mut self.kept, choice) else {
            return Some(());
        };
        kept.elsewhere = true;
        let (message, flags) = (kept.message.clone(), kept.flags.clone());
        let command = format!("UID COPY {uid} {}", to.mailbox);
        let answer = attempt(client, command.as_bytes());
        match answer.as_ref().filter(|answer| is_ok(answer)) {
            Some(answer) => to.keep(new_uid(answer, "COPYUID"), message, flags, true),
            None => drop(to.possible.insert(message, flags)),
        }
        answer.map(drop)
    }

    /// Moves one of the messages that are nowhere else, chosen by a number.
    pub(crate) fn move_away(
        &mut self,
        to: &mut Self,
        client: &mut Client,
        choice: usize,
    ) -> Option<()> {
        let Some((uid, kept)) = choose_only_here(&mut self.kept, choice) else {
            return Some(());
        };
        (kept.may_be_gone, kept.elsewhere) = (true, true);
        let (message, flags) = (kept.message.clone(), kept.flags.clone());
        let command = format!("UID MOVE {uid} {}", to.mailbox);
        let answer = attempt(client, command.as_bytes());
        if let Some(answer) = answer.as_ref().filter(|answer| is_ok(answer)) {
            to.keep(new_uid(answer, "COPYUID"), message, flags, false);
            self.kept.remove(&uid);
            self.gone.insert(uid);
        } else {
            self.on_the_way.push(message.clone());
            to.possible.insert(message, flags);
        }
        answer.map(drop)
    }

    /// Compares with the mailbox to which messages went, after both were read: a MOVE that was
    /// not answered has left its message in one of the two.
    pub(crate) fn check_moves(&mut self, to: &Self) {
        for message in self.on_the_way.drain(..) {
            let mut both = self.kept.values().chain(to.kept.values());
            assert!(
                both.any(|kept| kept.message == message),
                "a message was lost on its way from {} to {}",
                self.mailbox,
                to.mailbox
            );
        }
    }

    /// Reads the whole mailbox and compares. What was uncertain and is seen now must
    /// stay so.
    pub(crate) fn check(&mut self, server: &Server) {
        let mut client = server.login();
        let mailbox = self.mailbox;
        let reply = client.ok(format!("EXAMINE {mailbox}"));
        let uid_validity = reply.code_number("UIDVALIDITY");
        assert_eq!(*self.uid_validity.get_or_insert(uid_validity), uid_validity);
        let uid_next_before = self.uid_next;
        self.uid_next = reply.code_number("UIDNEXT");
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
            assert!(uid < self.uid_next, "UID {uid} is not below UIDNEXT");
            self.uid_max = self.uid_max.max(uid);
            assert_eq!(fetch.item("RFC822.SIZE").number(), message.len() as u64);
            assert_eq!(fetch.item("INTERNALDATE").text().trim_matches('"'), DATE);
            let kept = self.kept.entry(uid).or_insert_with(|| {
                assert!(uid >= uid_next_before, "UID {uid} comes too late");
                let flags = self
                    .possible
                    .remove(&message)
                    .unwrap_or_else(|| panic!("nobody appended what is UID {uid}"));
                Kept {
                    message: message.clone(),
                    flags,
                    may_be_gone: false,
                    elsewhere: true,
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

fn choose_only_here(kept: &mut BTreeMap<u32, Kept>, choice: usize) -> Option<(u32, &mut Kept)> {
    let only_here = |kept: &Kept| !kept.elsewhere && !kept.may_be_gone;
    let count = kept.values().filter(|kept| only_here(kept)).count().max(1);
    kept.iter_mut()
        .filter(|(_, kept)| only_here(kept))
        .nth(choice % count)
        .map(|(uid, kept)| (*uid, kept))
}

/// The new UID that an answer tells in `APPENDUID` or `COPYUID` (RFC 4315 §3).
fn new_uid(answer: &Reply, code: &str) -> u32 {
    answer
        .code(code)
        .as_deref()
        .and_then(|code| code.rsplit(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("{code} in {answer:?}"))
}
