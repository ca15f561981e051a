//! What a process says in its item of a shard.

use crate::mailbox::{AccountId, DecodeError, Decoder, Encoder, MailboxId};

/// Version of the encoding.
const VERSION: u8 = 1;

/// A log that was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// Whose.
    pub account: AccountId,
    /// The mailbox's log, or the directory's.
    pub log: Option<MailboxId>,
}

/// The latest changes of one process in one shard. Each has a number of its own, counted
/// from 1; one that happens again is only listed with its latest number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Announcement {
    /// When it was written, milliseconds since 1970 by the clock of the process.
    pub(super) unix_ms: u64,
    /// The number of the last change.
    pub(super) last: u64,
    /// Changes up to this number may be missing in the list.
    pub(super) forgotten: u64,
    /// Ascending.
    changes: Vec<(u64, Change)>,
}

impl Announcement {
    /// Adds a change, and forgets the oldest if there are more than `changes_max`.
    pub(super) fn add(&mut self, change: Change, changes_max: usize) {
        self.last += 1;
        self.changes.retain(|(_, known)| *known != change);
        self.changes.push((self.last, change));
        let surplus = self.changes.len().saturating_sub(changes_max);
        for (number, _) in self.changes.drain(..surplus) {
            self.forgotten = self.forgotten.max(number);
        }
    }

    /// The changes behind this number; `None` if that is not known of all.
    pub(super) fn since(&self, number: u64) -> Option<impl Iterator<Item = Change>> {
        let known = self.forgotten <= number && number <= self.last;
        let at = self.changes.partition_point(|(it, _)| *it <= number);
        known.then(|| self.changes[at..].iter().map(|(_, change)| *change))
    }

    /// The encoded form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(VERSION);
        encoder.number(self.unix_ms);
        encoder.number(self.last);
        encoder.number(self.forgotten);
        encoder.count(self.changes.len());
        for (number, change) in &self.changes {
            encoder.number(*number);
            encoder.array(&change.account.0);
            match &change.log {
                None => encoder.byte(0),
                Some(mailbox) => {
                    encoder.byte(1);
                    encoder.array(&mailbox.0);
                }
            }
        }
        encoder.finish()
    }

    /// Reads the encoded form.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes, VERSION)?;
        let mut announcement = Self {
            unix_ms: decoder.number()?,
            last: decoder.number()?,
            forgotten: decoder.number()?,
            changes: Vec::new(),
        };
        for _ in 0..decoder.count(18)? {
            let number = decoder.number()?;
            let account = AccountId(decoder.array()?);
            let log = match decoder.byte()? {
                0 => None,
                1 => Some(MailboxId(decoder.array()?)),
                _ => return Err(DecodeError::Invalid("change")),
            };
            announcement.changes.push((number, Change { account, log }));
        }
        decoder.finish()?;
        let ordered = announcement.changes.is_sorted_by(|one, two| one.0 < two.0);
        let last = announcement
            .changes
            .last()
            .is_none_or(|it| it.0 <= announcement.last);
        if !ordered || !last {
            return Err(DecodeError::Invalid("order"));
        }
        Ok(announcement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(account: u8, mailbox: Option<u8>) -> Change {
        Change {
            account: AccountId([account; 16]),
            log: mailbox.map(|number| MailboxId([number; 16])),
        }
    }

    fn some() -> Announcement {
        let mut some = Announcement {
            unix_ms: 1_800_000_000_000,
            ..Announcement::default()
        };
        for (account, mailbox) in [(1, None), (2, Some(3)), (1, Some(4)), (2, Some(3))] {
            some.add(change(account, mailbox), 2);
        }
        some
    }

    #[test]
    fn version_1_is_read_for_ever() {
        let golden = include_bytes!("golden/announcement-1.bin");
        assert_eq!(some().encode(), golden);
        assert_eq!(Announcement::decode(golden), Ok(some()));
    }

    #[test]
    fn changes_are_known_since_the_last_one_that_was_forgotten() {
        let some = some();
        assert_eq!((some.last, some.forgotten), (4, 1));
        let since = |number| some.since(number).map(Iterator::collect::<Vec<_>>);
        assert_eq!(since(0), None);
        let both = vec![change(1, Some(4)), change(2, Some(3))];
        assert_eq!(since(1), Some(both.clone()));
        assert_eq!(since(2), Some(both));
        assert_eq!(since(3), Some(vec![change(2, Some(3))]));
        assert_eq!(since(4), Some(vec![]));
        // A process never counts backwards.
        assert_eq!(since(5), None);
    }

    #[test]
    fn one_cut_short_or_out_of_order_is_refused() {
        let bytes = some().encode();
        for len in 0..bytes.len() {
            assert!(Announcement::decode(&bytes[..len]).is_err(), "{len}");
        }
        let mut other = some();
        other.changes.reverse();
        assert!(Announcement::decode(&other.encode()).is_err());
        other = some();
        other.last = 3;
        assert!(Announcement::decode(&other.encode()).is_err());
    }
}
