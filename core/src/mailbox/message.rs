//! One message of a mailbox as its state keeps it: small, because a mailbox may have
//! millions.

use super::blocks::Keyed;
use super::clock::Stamp;
use super::{ContentId, Flag, Keyword, MessageId, ModSeq, Uid};
use crate::account::InternalDate;
use crate::seal::ContentKind;
use std::sync::Arc;

/// Number of a flag in a [`FlagSet`]: five system flags, then the mailbox's keywords in
/// the order of [`MailboxState::keywords`](super::MailboxState::keywords).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlagBit(pub(crate) u8);

impl FlagBit {
    /// `\Answered`
    pub const ANSWERED: Self = Self(0);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(1);
    /// `\Deleted`
    pub const DELETED: Self = Self(2);
    /// `\Seen`
    pub const SEEN: Self = Self(3);
    /// `\Draft`
    pub const DRAFT: Self = Self(4);

    /// How many bits there are.
    pub(crate) const COUNT: usize = 128;
    /// The bit of the first keyword.
    pub(crate) const FIRST_KEYWORD: usize = 5;

    /// The bit of a flag where these are the keywords; `None` for any other keyword.
    pub(crate) fn of(flag: &Flag, keywords: &[Keyword]) -> Option<Self> {
        Some(match flag {
            Flag::Answered => Self::ANSWERED,
            Flag::Flagged => Self::FLAGGED,
            Flag::Deleted => Self::DELETED,
            Flag::Seen => Self::SEEN,
            Flag::Draft => Self::DRAFT,
            Flag::Keyword(keyword) => {
                let index = keywords.iter().position(|known| known == keyword)?;
                Self::keyword(index)?
            }
        })
    }

    /// The flag of this bit where these are the keywords.
    pub(crate) fn flag(self, keywords: &[Keyword]) -> Option<Flag> {
        Some(match self {
            Self::ANSWERED => Flag::Answered,
            Self::FLAGGED => Flag::Flagged,
            Self::DELETED => Flag::Deleted,
            Self::SEEN => Flag::Seen,
            Self::DRAFT => Flag::Draft,
            Self(bit) => {
                let index = usize::from(bit) - Self::FIRST_KEYWORD;
                Flag::Keyword(keywords.get(index)?.clone())
            }
        })
    }

    /// The bit of the keyword at `index`; `None` if there is no room for so many.
    pub(crate) fn keyword(index: usize) -> Option<Self> {
        let bit = index + Self::FIRST_KEYWORD;
        (bit < Self::COUNT).then_some(Self(bit as u8))
    }
}

/// The flags of a message as bits. Which keywords they are says the state that the message is
/// of: another one, though of the same mailbox, may count them in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FlagSet([u64; 2]);

impl FlagSet {
    /// Whether the flag is set.
    #[must_use]
    pub fn contains(self, flag: FlagBit) -> bool {
        self.0[usize::from(flag.0 >> 6)] >> (flag.0 & 63) & 1 == 1
    }

    /// `\Seen`
    #[must_use]
    pub fn seen(self) -> bool {
        self.contains(FlagBit::SEEN)
    }

    /// `\Deleted`
    #[must_use]
    pub fn deleted(self) -> bool {
        self.contains(FlagBit::DELETED)
    }

    /// `\Answered`
    #[must_use]
    pub fn answered(self) -> bool {
        self.contains(FlagBit::ANSWERED)
    }

    /// `\Flagged`
    #[must_use]
    pub fn flagged(self) -> bool {
        self.contains(FlagBit::FLAGGED)
    }

    /// `\Draft`
    #[must_use]
    pub fn draft(self) -> bool {
        self.contains(FlagBit::DRAFT)
    }

    /// The flags that are set where these are the keywords.
    pub(crate) fn flags(self, keywords: &[Keyword]) -> impl Iterator<Item = Flag> {
        self.bits().filter_map(|bit| bit.flag(keywords))
    }

    /// Sets or clears a flag.
    pub(crate) fn assign(&mut self, flag: FlagBit, set: bool) {
        let (word, bit) = (usize::from(flag.0 >> 6), 1 << (flag.0 & 63));
        if set {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
    }

    /// The flags that are set, ascending.
    pub(crate) fn bits(self) -> impl Iterator<Item = FlagBit> {
        let mut rest = u128::from(self.0[0]) | u128::from(self.0[1]) << 64;
        core::iter::from_fn(move || {
            let bit = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            (bit < 128).then_some(FlagBit(bit as u8))
        })
    }
}

/// Who changed a flag last, and when: the last writer wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register {
    pub(crate) stamp: Stamp,
    /// Index into the writers of the state.
    pub(crate) writer: u32,
    pub(crate) flag: FlagBit,
    pub(crate) set: bool,
}

/// The registers of a message by flag; most messages with the same history share them.
pub(crate) type Registers = Option<Arc<[Register]>>;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its UID.
    pub uid: Uid,
    /// RFC822.SIZE in octets.
    pub size: u64,
    /// Where its body and summary are.
    pub content: ContentId,
    /// How they are sealed.
    pub kind: ContentKind,
    /// Which message it is, whatever becomes of its UID.
    pub id: MessageId,
    /// Where in the stored object the sealed summary begins, in octets.
    pub summary_offset: u64,
    /// Length of the sealed summary in octets.
    pub summary_len: u32,
    /// INTERNALDATE.
    pub internal_date: InternalDate,
    /// When it changed last.
    pub modseq: ModSeq,
    /// Its flags.
    pub flags: FlagSet,
    /// Flags that were changed since it arrived. All others are as they were then.
    pub(crate) registers: Registers,
}

impl Keyed for Message {
    type Key = Uid;
    fn key(&self) -> Uid {
        self.uid
    }
}

impl Message {
    /// What stands for a message of which only the UID is still known.
    pub(super) fn lost(uid: Uid) -> Self {
        Self {
            uid,
            size: 0,
            content: ContentId([0; 16]),
            kind: ContentKind::Message,
            id: MessageId([0; 16]),
            summary_offset: 0,
            summary_len: 0,
            internal_date: InternalDate {
                unix_s: 0,
                zone_min: 0,
            },
            modseq: ModSeq::default(),
            flags: FlagSet::default(),
            registers: None,
        }
    }

    /// Lets a change of a flag win if it is the newest; `order` says which of two
    /// writers wins where stamps are equal.
    pub(crate) fn set_flag(&mut self, new: Register, order: impl Fn(u32, u32) -> bool) {
        if merge_register(&mut self.registers, new, order) {
            self.flags.assign(new.flag, new.set);
        }
    }
}

/// Puts a register into its place; `false` if the one that is there is newer.
pub(crate) fn merge_register(
    registers: &mut Registers,
    new: Register,
    newer: impl Fn(u32, u32) -> bool,
) -> bool {
    let old: &[Register] = registers.as_deref().unwrap_or_default();
    let place = old.binary_search_by_key(&new.flag, |register| register.flag);
    let mut merged = Vec::with_capacity(old.len() + 1);
    merged.extend_from_slice(old);
    match place {
        Ok(at) => {
            let there = old[at];
            if there.stamp > new.stamp
                || (there.stamp == new.stamp
                    && there.writer != new.writer
                    && newer(there.writer, new.writer))
            {
                return false;
            }
            merged[at] = new;
        }
        Err(at) => merged.insert(at, new),
    }
    *registers = Some(merged.into());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_small() {
        assert!(size_of::<Message>() <= 128, "{}", size_of::<Message>());
        assert!(size_of::<Register>() <= 16);
    }

    #[test]
    fn bits_come_back_in_order() {
        let mut flags = FlagSet::default();
        for bit in [127, 64, 63, 3, 0] {
            flags.assign(FlagBit(bit), true);
        }
        flags.assign(FlagBit(0), false);
        let bits: Vec<_> = flags.bits().map(|flag| flag.0).collect();
        assert_eq!(bits, [3, 63, 64, 127]);
        assert!(flags.seen() && !flags.answered());
    }
}
