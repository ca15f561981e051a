//! STORE with UNCHANGEDSINCE (RFC 7162 §3.1.3): what changed after the MODSEQ that the client names is
//! left alone, and the answer says which that is.

use crate::answers;
use crate::client::{Pending, View};
use crate::ledger::Place;
use crate::world::World;

/// UNCHANGEDSINCE, and what the client knew when it gave it.
#[derive(Debug)]
pub(crate) struct Condition {
    modseq: u64,
    /// The flags that are not listed are taken away: they count as well.
    replaces: bool,
    uid_validity: u32,
    /// The messages, with the MODSEQ that was told of each.
    messages: Vec<(u32, Option<u64>)>,
    /// When the client was told of this MODSEQ or a higher one: who asked for a change later, at
    /// whichever server, gave the message a higher one than this.
    heard: u64,
}

impl Condition {
    /// As it stands in the command.
    pub(crate) fn modifier(&self) -> String {
        format!(" (UNCHANGEDSINCE {})", self.modseq)
    }
}

impl World {
    /// Whether a client that goes by MODSEQs makes a condition of one that it was told.
    pub(crate) fn condition(
        &mut self,
        client: usize,
        view: &View,
        some: &[(u32, usize)],
        replaces: bool,
    ) -> Option<Condition> {
        self.clients[client].caches.as_ref()?;
        if !self.chance.permille(700) {
            return None;
        }
        let told = |uid: u32| {
            let mut messages = view.messages.iter();
            let seen = messages.find(|seen| seen.uid == Some(uid));
            seen.and_then(|seen| seen.modseq)
        };
        let messages: Vec<_> = some.iter().map(|(uid, _)| (*uid, told(*uid))).collect();
        let newest = messages.iter().filter_map(|(_, modseq)| *modseq).max();
        let known = self.clients[client].device.modseqs(view.uid_validity);
        let modseq = match self.chance.below(10) {
            0..6 => newest.or(known.last().copied())?,
            6..8 => known.last().copied()?,
            8 if !known.is_empty() => *self.chance.pick(&known),
            _ => 0,
        };
        let heard = self.clients[client].device.heard(view.uid_validity, modseq);
        Some(Condition {
            modseq,
            replaces,
            uid_validity: view.uid_validity,
            messages,
            heard: heard?,
        })
    }

    /// Judges which messages are said to have changed; those.
    pub(crate) fn judge_condition(
        &self,
        client: usize,
        pending: &Pending,
        changes: &[((Place, String), usize)],
        condition: &Condition,
        code: &str,
    ) -> Result<Vec<u32>, String> {
        let modified = code.strip_prefix("MODIFIED ").map(answers::numbers);
        let modified = modified.unwrap_or_default();
        let asked = |uid: &u32| condition.messages.iter().any(|(it, _)| it == uid);
        if let Some(uid) = modified.iter().find(|uid| !asked(uid)) {
            return Err(format!("[{code}], but UID {uid} was not to be stored"));
        }
        let session = self.clients[client].session.as_ref();
        let view = session.and_then(|session| session.view.as_ref());
        for (uid, before) in &condition.messages {
            let mut shown = view.iter().flat_map(|view| &view.messages);
            let Some(seen) = shown.find(|seen| seen.uid == Some(*uid)) else {
                // It is gone, and was passed over.
                continue;
            };
            let place = (condition.uid_validity, *uid);
            if modified.contains(uid) {
                if seen.modseq.is_none_or(|modseq| modseq <= condition.modseq) {
                    return Err(format!(
                        "{place:?} has changed since {}, and its MODSEQ is {:?}",
                        condition.modseq, seen.modseq
                    ));
                }
                continue;
            }
            // Of single flags those count that are to be stored, if the server can tell (§3.1.12).
            if condition.replaces && before.is_some_and(|modseq| modseq > condition.modseq) {
                return Err(format!(
                    "{place:?} had MODSEQ {before:?} and is stored unless changed since {}",
                    condition.modseq
                ));
            }
            self.overwrites_nothing(pending, changes, condition, place)?;
        }
        Ok(modified)
    }

    /// Nothing that was acknowledged before was asked for after the client heard of its MODSEQ.
    fn overwrites_nothing(
        &self,
        pending: &Pending,
        changes: &[((Place, String), usize)],
        condition: &Condition,
        place: Place,
    ) -> Result<(), String> {
        for ((of, flag), _) in changes.iter().filter(|((of, _), _)| *of == place) {
            let span = condition.heard..pending.asked;
            if let Some(change) = self.ledger.changed_within(*of, flag, span) {
                return Err(format!(
                    "{flag} at {place:?} is stored unless changed since {}, of which the client heard at {}, after {change:?}",
                    condition.modseq, condition.heard
                ));
            }
        }
        Ok(())
    }
}
