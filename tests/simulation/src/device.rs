//! What one client was told over all its sessions, with whichever servers: it may cache
//! all of it, so nothing of it may ever be taken back.

use crate::ledger::Place;
use crate::world::World;
use restante_core::account::{AccountReply, Snapshot};
use restante_core::mailbox::{Flag, MailboxId, MailboxState, ModSeq, UidValidity};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Device {
    /// Which mail was where.
    shown: BTreeMap<Place, usize>,
    /// Places that were said to be empty for ever.
    vanished: BTreeSet<Place>,
    /// By UIDVALIDITY: below this UID the client knew all messages.
    complete: BTreeMap<u32, u32>,
    /// The highest UIDNEXT by UIDVALIDITY.
    uid_next: BTreeMap<u32, u32>,
    /// By UIDVALIDITY.
    mirrors: BTreeMap<u32, Mirror>,
    /// By UIDVALIDITY: each MODSEQ above all that were told before it, and when it was told.
    heard: BTreeMap<u32, BTreeMap<u64, u64>>,
}

/// A mailbox as a client keeps it that asks only for changes (RFC 7162).
#[derive(Debug, Default)]
struct Mirror {
    modseq: ModSeq,
    messages: BTreeMap<u32, Vec<String>>,
}

type Verdict = Result<(), String>;

impl Device {
    /// Mail `mail` is at a place.
    pub(crate) fn show(&mut self, place: Place, mail: usize) -> Verdict {
        if self.vanished.contains(&place) {
            return Err(format!("{place:?} vanished and is back with mail {mail}"));
        }
        if let Some(before) = self.shown.insert(place, mail) {
            if before != mail {
                return Err(format!("{place:?} named mail {before}, now mail {mail}"));
            }
        } else if place.1 < self.complete.get(&place.0).copied().unwrap_or(0) {
            return Err(format!(
                "{place:?} (mail {mail}) came below what was UIDNEXT"
            ));
        }
        Ok(())
    }

    /// In the end mail `mail` is at a place: nothing that was told speaks against it.
    pub(crate) fn check(&self, place: Place, mail: usize) -> Verdict {
        if self.vanished.contains(&place) {
            return Err(format!("{place:?} vanished and is there with mail {mail}"));
        }
        match self.shown.get(&place) {
            Some(before) if *before != mail => Err(format!(
                "{place:?} named mail {before}, in the end mail {mail}"
            )),
            _ => Ok(()),
        }
    }

    /// Which mail the client was told is at a place.
    pub(crate) fn mail_at(&self, place: Place) -> Option<usize> {
        self.shown.get(&place).copied()
    }

    /// A message at a place is gone.
    pub(crate) fn vanish(&mut self, place: Place) {
        self.vanished.insert(place);
    }

    /// SELECT or STATUS says UIDNEXT.
    pub(crate) fn uid_next(&mut self, uid_validity: u32, uid_next: u32) -> Verdict {
        let before = self.uid_next.entry(uid_validity).or_default();
        if uid_next < *before {
            return Err(format!(
                "UIDNEXT of {uid_validity} goes back from {before} to {uid_next}"
            ));
        }
        *before = uid_next;
        Ok(())
    }

    /// A MODSEQ was told.
    pub(crate) fn hear(&mut self, uid_validity: u32, modseq: u64, now: u64) {
        let heard = self.heard.entry(uid_validity).or_default();
        if heard.last_key_value().is_none_or(|(it, _)| *it < modseq) {
            heard.insert(modseq, now);
        }
    }

    /// MODSEQs that were told, ascending.
    pub(crate) fn modseqs(&self, uid_validity: u32) -> Vec<u64> {
        let heard = self.heard.get(&uid_validity).into_iter();
        heard.flat_map(|heard| heard.keys().copied()).collect()
    }

    /// When this MODSEQ or a higher one was told first.
    pub(crate) fn heard(&self, uid_validity: u32, modseq: u64) -> Option<u64> {
        let mut from = self.heard.get(&uid_validity)?.range(modseq..);
        from.next().map(|(_, at)| *at)
    }

    /// The client knows all messages below this UID.
    pub(crate) fn is_complete(&mut self, uid_validity: u32, uid_next: u32) {
        let known = self.complete.entry(uid_validity).or_default();
        *known = (*known).max(uid_next);
    }

    /// A state is shown: whoever kept the one before and asks for the changes since must
    /// have the same as this.
    fn follow(&mut self, state: &MailboxState) -> Verdict {
        let uid_validity = state.uid_validity().0.get();
        let modseq = state.highest_modseq();
        let mirror = self.mirrors.entry(uid_validity).or_default();
        let since = mirror.modseq;
        if modseq < since {
            return Err(format!(
                "HIGHESTMODSEQ of {uid_validity} goes back from {} to {}",
                since.0, modseq.0
            ));
        }
        for uid in state.expunged_since(since) {
            mirror.messages.remove(&uid.get());
        }
        let mut truth = BTreeMap::new();
        for message in state.iter_from(0) {
            let mut flags: Vec<String> = state.flags(message).map(|flag| name(&flag)).collect();
            flags.sort();
            if message.modseq > since {
                mirror.messages.insert(message.uid.get(), flags.clone());
            }
            if message.modseq > modseq {
                return Err(format!("a MODSEQ above HIGHESTMODSEQ in {uid_validity}"));
            }
            truth.insert(message.uid.get(), flags);
        }
        mirror.modseq = modseq;
        if mirror.messages != truth {
            return Err(format!(
                "changes of {uid_validity} since {} up to {} give {:?} instead of {truth:?}",
                since.0, modseq.0, mirror.messages
            ));
        }
        Ok(())
    }
}

fn name(flag: &Flag) -> String {
    match flag {
        Flag::Keyword(keyword) => keyword.as_str().to_owned(),
        flag => format!("{flag:?}"),
    }
}

impl World {
    /// A connection is about to be told something by its account.
    pub(crate) fn observe(&mut self, process: usize, connection: u64, reply: &AccountReply) {
        if let AccountReply::Selected { mailbox, snapshot } = reply {
            self.identify(*mailbox, snapshot.state.uid_validity());
        }
        let snapshot: &Snapshot = match reply {
            AccountReply::Selected { snapshot, .. }
            | AccountReply::Snapshot(snapshot)
            | AccountReply::Stored { snapshot, .. }
            | AccountReply::Copied { snapshot, .. }
            | AccountReply::Changed(snapshot)
            | AccountReply::Appended {
                snapshot: Some(snapshot),
                ..
            } => snapshot,
            _ => return,
        };
        let uid_validity = snapshot.state.uid_validity().0.get();
        for message in snapshot.state.iter_from(0) {
            let places = self.contents.entry(message.content).or_default();
            places.insert((uid_validity, message.uid.get()));
        }
        let Some(line) = self.processes[process].connections.get(&connection) else {
            return;
        };
        let client = line.client;
        let verdict = self.clients[client].device.follow(&snapshot.state);
        if let Err(what) = verdict {
            self.blame(format!("client {client}: {what}"));
        }
    }

    /// A mailbox is told by its UIDVALIDITY: it always has the same, and no other one ever
    /// has it (RFC 3501 §2.3.1.1).
    fn identify(&mut self, mailbox: MailboxId, uid_validity: UidValidity) {
        let known = self.validities.iter().find(|(_, of)| **of == mailbox);
        let changed = known.is_some_and(|(known, _)| *known != uid_validity);
        let other = self.validities.insert(uid_validity, mailbox);
        if changed || other.is_some_and(|other| other != mailbox) {
            self.blame(format!(
                "{uid_validity:?} is {mailbox} now, {other:?} before"
            ));
        }
    }
}
