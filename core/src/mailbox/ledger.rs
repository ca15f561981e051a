//! What the sweeps of an account remember from one to the next: one item, sealed like all
//! others.
//!
//! A sweep deletes only what an earlier one has found unnamed too, so that neither a
//! message on its way nor a clock that is wrong costs anything. And it looks whether what
//! the last one saw is still there: an index that has lost mailboxes or messages names too
//! little, and then nothing may be deleted.

use super::encoding::{DecodeError, Decoder, Encoder};
use super::{ContentId, MailboxId, Uid};
use std::collections::BTreeMap;

/// Version of the encoding.
const VERSION: u8 = 1;

/// See the module. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// When the last sweep was.
    pub(crate) swept_at: u64,
    /// UIDNEXT of every mailbox.
    pub(crate) mailboxes: BTreeMap<MailboxId, Uid>,
    /// Mailboxes that were deleted, and since when that is known.
    pub(crate) deleted: BTreeMap<MailboxId, Deleted>,
    /// Bodies that nobody names, and since when that is known.
    pub(crate) contents: BTreeMap<ContentId, u64>,
    /// Checkpoints that nobody names, and since when that is known.
    pub(crate) checkpoints: BTreeMap<ContentId, u64>,
}

/// How far a deleted mailbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// Its log is kept. Known to be deleted since then.
    Since(u64),
    /// Its log is gone as well.
    Collected,
}

impl Ledger {
    /// The encoded form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(VERSION);
        encoder.number(self.swept_at);
        encoder.count(self.mailboxes.len());
        for (mailbox, uid_next) in &self.mailboxes {
            encoder.array(&mailbox.0);
            encoder.number(u64::from(uid_next.get()));
        }
        encoder.count(self.deleted.len());
        for (mailbox, deleted) in &self.deleted {
            encoder.array(&mailbox.0);
            match deleted {
                Deleted::Since(since) => {
                    encoder.byte(1);
                    encoder.number(*since);
                }
                Deleted::Collected => encoder.byte(2),
            }
        }
        for marks in [&self.contents, &self.checkpoints] {
            encoder.count(marks.len());
            for (content, since) in marks {
                encoder.array(&content.0);
                encoder.number(*since);
            }
        }
        encoder.finish()
    }

    /// Reads the encoded form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes, VERSION)?;
        let mut ledger = Self {
            swept_at: decoder.number()?,
            ..Self::default()
        };
        for _ in 0..decoder.count(17)? {
            let mailbox = MailboxId(decoder.array()?);
            let uid_next = Uid::new(decoder.number32()?).ok_or(DecodeError::Invalid("UID"))?;
            ledger.mailboxes.insert(mailbox, uid_next);
        }
        for _ in 0..decoder.count(17)? {
            let mailbox = MailboxId(decoder.array()?);
            let deleted = match decoder.byte()? {
                1 => Deleted::Since(decoder.number()?),
                2 => Deleted::Collected,
                _ => return Err(DecodeError::Invalid("deleted mailbox")),
            };
            ledger.deleted.insert(mailbox, deleted);
        }
        for marks in [&mut ledger.contents, &mut ledger.checkpoints] {
            for _ in 0..decoder.count(17)? {
                let content = ContentId(decoder.array()?);
                marks.insert(content, decoder.number()?);
            }
        }
        decoder.finish()?;
        Ok(ledger)
    }

    /// Two servers swept at once: of what they say, what lets less be deleted.
    pub(crate) fn merge(&mut self, other: Self) {
        self.swept_at = self.swept_at.max(other.swept_at);
        for (mailbox, uid_next) in other.mailboxes {
            let known = self.mailboxes.entry(mailbox).or_insert(uid_next);
            *known = uid_next.max(*known);
        }
        for (mailbox, deleted) in other.deleted {
            let known = self.deleted.entry(mailbox).or_insert(deleted);
            if let (Deleted::Since(one), Deleted::Since(two)) = (*known, deleted) {
                *known = Deleted::Since(one.max(two));
            } else {
                *known = Deleted::Collected;
            }
        }
        for (marks, others) in [
            (&mut self.contents, other.contents),
            (&mut self.checkpoints, other.checkpoints),
        ] {
            for (content, since) in others {
                let known = marks.entry(content).or_insert(since);
                *known = since.max(*known);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mailbox = |number| MailboxId([number; 16]);
        let content = |number| ContentId([number; 16]);
        Ledger {
            swept_at: 1_800_000_000_000,
            mailboxes: [
                (mailbox(1), Uid::FIRST),
                (mailbox(2), Uid::new(300).unwrap()),
            ]
            .into(),
            deleted: [
                (mailbox(3), Deleted::Since(1_700_000_000_000)),
                (mailbox(4), Deleted::Collected),
            ]
            .into(),
            contents: [(content(5), 1_799_000_000_000)].into(),
            checkpoints: [(content(6), 7), (content(7), 0)].into(),
        }
    }

    #[test]
    fn version_1_is_read_for_ever() {
        let golden = include_bytes!("golden/ledger-1.bin");
        assert_eq!(ledger().encode(), golden);
        assert_eq!(Ledger::decode(golden), Ok(ledger()));
        for len in 0..golden.len() {
            assert!(Ledger::decode(&golden[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn of_two_ledgers_the_more_careful_holds() {
        let (mut one, mut two) = (ledger(), ledger());
        let id = ContentId([5; 16]);
        two.contents.insert(id, 1_800_000_000_000);
        two.mailboxes.remove(&MailboxId([1; 16]));
        two.deleted.insert(MailboxId([3; 16]), Deleted::Collected);
        let mut other = two.clone();
        other.merge(one.clone());
        one.merge(two);
        assert_eq!(one, other);
        assert_eq!(one.contents[&id], 1_800_000_000_000);
        assert_eq!(one.mailboxes.len(), 2);
        assert_eq!(one.deleted[&MailboxId([3; 16])], Deleted::Collected);
    }
}
