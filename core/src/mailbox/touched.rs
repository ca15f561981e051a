//! What happened to single flags of a message since a client was shown it. There is one
//! MODSEQ for all of them, but the registers say who changed each of them last: so a state
//! that was shown tells which flags a later one has left alone (RFC 7162 §3.1.12).
//!
//! > Let T be what was shown, S the state now, and let all batches of S that are not in T
//! > have known all of T. Whoever was shown a state with the MODSEQ that the message has in T
//! > was shown its last change in T: if that state holds a batch that T does not, it holds all
//! > of T, and otherwise it is so by what [`modseq`](super::modseq) says of T. If a flag's
//! > register is the same in S, its last change is among these.
//!
//! Where a batch did not know all of T, somebody may have been shown it and not T: then
//! nothing is said.

use super::clock::Stamp;
use super::message::FlagBit;
use super::{Flag, MailboxState, Message, ModSeq, Uid, WriterId};

/// A state that was shown, beside a later one of the same mailbox.
pub(crate) struct Since<'a> {
    shown: &'a MailboxState,
    now: &'a MailboxState,
}

impl<'a> Since<'a> {
    /// `None`: it cannot be told what happened.
    pub(crate) fn new(shown: &'a MailboxState, now: &'a MailboxState) -> Option<Self> {
        // What was shown before the numbers were led on has fewer of them than that.
        let batches = |state: &MailboxState| state.highest_modseq.0.checked_sub(state.lead);
        let more = batches(now)?.checked_sub(batches(shown)?)?;
        let follows = now.history.follows(&shown.history, more);
        follows.then_some(Self { shown, now })
    }

    /// Whether none of these flags of a message was changed after `modseq`, as far as can be told.
    pub(crate) fn left_alone(&self, uid: Uid, flags: &[Flag], modseq: ModSeq) -> bool {
        let (Some(shown), Some(now)) = (self.shown.find(uid), self.now.find(uid)) else {
            return false;
        };
        let mut flags = flags.iter();
        shown.id == now.id
            && shown.modseq <= modseq
            && flags
                .all(|flag| self.shown.last_change(shown, flag) == self.now.last_change(now, flag))
    }
}

impl MailboxState {
    /// Who changed a flag last, and when; `None`: nobody since the message came.
    fn last_change(&self, message: &Message, flag: &Flag) -> Option<(Stamp, WriterId)> {
        let bit: FlagBit = self.bit(flag)?;
        let mut registers = message.registers.as_deref().unwrap_or_default().iter();
        let register = registers.find(|register| register.flag == bit)?;
        let writer = self.writers.get(register.writer as usize)?;
        Some((register.stamp, *writer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::UidValidity;

    #[test]
    fn of_what_was_shown_before_numbers_were_led_on_nothing_is_said() {
        let now = MailboxState::new(UidValidity(core::num::NonZeroU32::MIN));
        let mut shown = now.clone();
        shown.lead = shown.highest_modseq.0 + 1_000;
        assert!(Since::new(&shown, &now).is_none());
        assert!(Since::new(&now, &shown).is_none());
    }
}
