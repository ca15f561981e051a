//! UIDVALIDITYs that servers have reserved for mailboxes that they are about to make.
//!
//! Two servers that do not know of each other may take the same number. So each of them
//! stores first that it wants it, and reads the log once more: of two that want one
//! number at least the one that reads later finds both, and whoever finds another one
//! there takes another number. Only a number that is held by one alone becomes a
//! mailbox's (`docs/decisions/022-the-uidvalidity-of-a-new-mailbox.md`).
//!
//! What is not known here is held by nobody: that costs another number and nothing else.
//! So none of this is in checkpoints, and it need not be the same on all servers.

use super::{MailboxId, UidValidity};
use std::collections::BTreeMap;

/// Numbers that are remembered at most: those of servers that died before they made a
/// mailbox with them, until the next mailbox is made.
const RESERVED_MAX: usize = 1_024;

/// A number for a mailbox that is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    /// Which mailbox it will be.
    pub(crate) mailbox: MailboxId,
    /// Its UIDVALIDITY.
    pub(crate) uid_validity: UidValidity,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Reserved {
    /// `None`: several mailboxes want it.
    numbers: BTreeMap<UidValidity, Option<MailboxId>>,
    /// Numbers up to here are held by nobody: mailboxes were made with them or with higher
    /// ones, and what a name has must never go down (RFC 3501 §2.3.1.1).
    past: u32,
}

impl Reserved {
    /// Nobody holds what may have been given before: the numbers up to `highest`.
    pub(super) fn above(highest: u32) -> Self {
        Self {
            numbers: BTreeMap::new(),
            past: highest,
        }
    }

    /// Somebody wants a number.
    pub(super) fn insert(&mut self, reservation: Reservation) {
        let Reservation {
            mailbox,
            uid_validity,
        } = reservation;
        if uid_validity.0.get() <= self.past {
            return;
        }
        let holder = self.numbers.entry(uid_validity).or_insert(Some(mailbox));
        if *holder != Some(mailbox) {
            *holder = None;
        }
        if self.numbers.len() > RESERVED_MAX
            && let Some((lowest, _)) = self.numbers.pop_first()
        {
            // Or it would be held by who wants it next.
            self.past = self.past.max(lowest.0.get());
        }
    }

    /// A mailbox was made with this number.
    pub(super) fn made(&mut self, uid_validity: UidValidity) {
        self.past = self.past.max(uid_validity.0.get());
        let past = self.past;
        self.numbers.retain(|number, _| number.0.get() > past);
    }

    /// Whether this mailbox alone wants the number.
    pub(super) fn holds(&self, reservation: Reservation) -> bool {
        self.numbers.get(&reservation.uid_validity) == Some(&Some(reservation.mailbox))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::num::NonZeroU32;

    fn number(number: u32) -> UidValidity {
        UidValidity(NonZeroU32::new(number).unwrap())
    }

    fn wants(mailbox: u8, uid_validity: u32) -> Reservation {
        Reservation {
            mailbox: MailboxId([mailbox; 16]),
            uid_validity: number(uid_validity),
        }
    }

    #[test]
    fn a_number_that_two_mailboxes_want_is_held_by_neither_in_any_order() {
        for [first, second] in [[1, 2], [2, 1]] {
            let mut reserved = Reserved::above(6);
            reserved.insert(wants(first, 100));
            assert!(reserved.holds(wants(first, 100)));
            assert!(!reserved.holds(wants(second, 100)));
            // It is read again.
            reserved.insert(wants(first, 100));
            assert!(reserved.holds(wants(first, 100)));
            reserved.insert(wants(second, 100));
            reserved.insert(wants(first, 100));
            assert!(!reserved.holds(wants(1, 100)) && !reserved.holds(wants(2, 100)));
        }
    }

    #[test]
    fn a_number_below_one_that_a_mailbox_was_made_with_is_held_by_nobody() {
        let mut reserved = Reserved::above(6);
        assert!(!reserved.holds(wants(1, 100)));
        reserved.insert(wants(1, 6));
        assert!(!reserved.holds(wants(1, 6)));
        for (mailbox, uid_validity) in [(1, 100), (2, 101), (3, 102)] {
            reserved.insert(wants(mailbox, uid_validity));
        }
        reserved.made(number(101));
        assert!(!reserved.holds(wants(1, 100)) && !reserved.holds(wants(2, 101)));
        assert!(reserved.holds(wants(3, 102)));
        // Whoever comes late finds no place.
        reserved.insert(wants(4, 101));
        assert!(!reserved.holds(wants(4, 101)));
    }

    #[test]
    fn what_is_forgotten_for_want_of_room_is_held_by_nobody() {
        let mut reserved = Reserved::above(6);
        let last = 100 + RESERVED_MAX as u32;
        for uid_validity in 100..=last {
            reserved.insert(wants(1, uid_validity));
        }
        assert_eq!(reserved.numbers.len(), RESERVED_MAX);
        reserved.insert(wants(2, 100));
        assert!(!reserved.holds(wants(1, 100)) && !reserved.holds(wants(2, 100)));
        assert!(reserved.holds(wants(1, 101)) && reserved.holds(wants(1, last)));
    }
}
