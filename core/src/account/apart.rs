//! Items of a log that are there and contained in nothing.
//!
//! Of some batches a part was read and others are not there yet. Either they are just being written, or
//! their writer died over it, or one of them cannot be read. The rest may still come late or
//! never: what is here waits for it, counted as nothing.
//!
//! And some items cannot be understood. They are asked for again with all that is new, for the right value may
//! come beside the wrong one. It may never come: what clients were told of it under UIDs and a MODSEQ must not be
//! told of something else, so with the next batch as many are passed over as it may have given.

use crate::mailbox::{Floor, LogPosition, ModSeq, Part, WriterId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Items of one log that are remembered not to be readable. Of more, each reading tells anew.
const UNREADABLE_MAX: usize = 10_000;

/// UIDs that are passed over at most for what cannot be read: whoever may write to the storage can put much there, and
/// a mailbox has 2^32 of them.
const GIVEN_UIDS_MAX: u32 = 1 << 16;

/// Octets that a batch takes at least for each UID that it gives: a kind, an identity of 16 octets, a number.
const CLAIM_BYTES_MIN: usize = 18;

/// See the module. A clone shares the octets.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart {
    /// By the position of their first item.
    batches: BTreeMap<LogPosition, Unfinished>,
    /// [`UNREADABLE_MAX`] at most.
    unreadable: BTreeSet<LogPosition>,
    /// What these may have given, and was not passed over yet.
    given: Given,
    /// Writers of whom something was read, or written here, that takes the account's keys. Nothing is delivered as
    /// one of them.
    own: BTreeSet<WriterId>,
}

/// UIDs and changes that batches may hold which nobody can read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// [`GIVEN_UIDS_MAX`] at most.
    uids: u32,
    changes: u64,
}

#[derive(Clone, Debug)]
struct Unfinished {
    count: u64,
    read: BTreeMap<u64, Bytes>,
}

/// A batch whose items are all there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finished {
    /// The position of its first item.
    pub(super) first: LogPosition,
    /// How many items it has.
    pub(super) count: u64,
    /// The encoded batch.
    pub(super) batch: Vec<u8>,
}

/// A part that cannot be where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misplaced;

impl Apart {
    /// Takes in the part at a position. The batch, if that was the last one missing.
    pub(super) fn take(
        &mut self,
        position: LogPosition,
        part: Part,
    ) -> Result<Option<Finished>, Misplaced> {
        let first = position.seq.checked_sub(part.index).ok_or(Misplaced)?;
        first.checked_add(part.count).ok_or(Misplaced)?;
        let first = LogPosition {
            seq: first,
            ..position
        };
        let unfinished = self.batches.entry(first).or_insert(Unfinished {
            count: part.count,
            read: BTreeMap::new(),
        });
        if unfinished.count != part.count {
            return Err(Misplaced);
        }
        unfinished.read.insert(part.index, part.piece);
        Ok(self.finish(first))
    }

    /// Notes that an item cannot be understood; `false` if that is known.
    pub(super) fn note_unreadable(&mut self, position: LogPosition) -> bool {
        !self.unreadable.contains(&position)
            && (self.unreadable.len() >= UNREADABLE_MAX || self.unreadable.insert(position))
    }

    /// Notes that nobody knows what an item of so many octets has given.
    pub(super) fn note_given(&mut self, octets: usize) {
        let uids = u32::try_from(octets / CLAIM_BYTES_MIN + 1).unwrap_or(u32::MAX);
        self.given.uids = self.given.uids.saturating_add(uids).min(GIVEN_UIDS_MAX);
        self.given.changes += 1;
    }

    /// What is to be passed over with the next batch.
    pub(super) fn given(&self) -> Given {
        self.given
    }

    /// Notes that it was.
    pub(super) fn pass_over(&mut self) {
        self.given = Given::default();
    }

    /// Notes that an item can be understood.
    pub(super) fn note_readable(&mut self, position: LogPosition) {
        self.unreadable.remove(&position);
    }

    /// Whether it is known that an item cannot be understood.
    pub(super) fn is_unreadable(&self, position: LogPosition) -> bool {
        self.unreadable.contains(&position)
    }

    /// Notes that a writer has the account's keys.
    pub(super) fn note_own(&mut self, writer: WriterId) {
        self.own.insert(writer);
    }

    /// Whether that is known of a writer.
    pub(super) fn is_own(&self, writer: WriterId) -> bool {
        self.own.contains(&writer)
    }

    /// The numbers of a writer's parts that are here, without order.
    pub(super) fn of_writer(&self, writer: WriterId) -> impl Iterator<Item = u64> {
        let from = LogPosition { writer, seq: 0 };
        let to = LogPosition {
            writer,
            seq: u64::MAX,
        };
        let batches = self.batches.range(from..=to);
        batches.flat_map(|(first, it)| it.read.keys().map(|index| first.seq + index))
    }

    /// All items that are here, without order.
    pub(super) fn positions(&self) -> impl Iterator<Item = LogPosition> {
        let batches = self.batches.iter();
        let parts = batches.flat_map(|(first, it)| {
            it.read.keys().map(|index| LogPosition {
                seq: first.seq + index,
                ..*first
            })
        });
        parts.chain(self.unreadable.iter().copied())
    }

    fn finish(&mut self, first: LogPosition) -> Option<Finished> {
        let it = self.batches.get(&first)?;
        // Their numbers are below the count.
        if it.read.len() as u64 != it.count {
            return None;
        }
        let it = self.batches.remove(&first)?;
        let pieces: Vec<Bytes> = it.read.into_values().collect();
        Some(Finished {
            first,
            count: it.count,
            batch: pieces.concat(),
        })
    }
}

impl Given {
    /// Where to go on behind all of them.
    pub(super) fn above(self, floor: Floor) -> Floor {
        Floor {
            modseq: ModSeq(floor.modseq.0.saturating_add(self.changes)),
            uid_next: floor.uid_next.saturating_add(self.uids),
        }
    }
}

impl Finished {
    /// The positions of its items.
    pub(super) fn positions(&self) -> impl Iterator<Item = LogPosition> {
        let first = self.first;
        (first.seq..first.seq + self.count).map(move |seq| LogPosition { seq, ..first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITER: WriterId = WriterId([3; 16]);

    fn at(seq: u64) -> LogPosition {
        let writer = WRITER;
        LogPosition { writer, seq }
    }

    fn part(index: u64, count: u64) -> Part {
        let piece = Bytes::from(vec![index as u8]);
        Part {
            index,
            count,
            piece,
        }
    }

    #[test]
    fn a_batch_is_there_with_its_last_part_in_any_order() {
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
            let mut parts = Apart::default();
            for index in &order[..2] {
                assert_eq!(parts.take(at(5 + index), part(*index, 3)), Ok(None));
                // Read again: no change.
                assert_eq!(parts.take(at(5 + index), part(*index, 3)), Ok(None));
            }
            let last = order[2];
            let finished = parts.take(at(5 + last), part(last, 3));
            let finished = finished.unwrap().unwrap();
            assert_eq!(finished.batch, [0, 1, 2]);
            assert!(finished.positions().eq([at(5), at(6), at(7)]));
            assert!(parts.batches.is_empty());
        }
    }

    #[test]
    fn a_batch_with_an_item_that_cannot_be_read_waits_for_it() {
        let mut parts = Apart::default();
        let numbers = |parts: &Apart, writer| {
            let mut numbers: Vec<_> = parts.of_writer(writer).collect();
            numbers.sort_unstable();
            numbers
        };
        for (seq, index) in [(2, 0), (6, 4), (4, 2), (5, 3), (7, 5)] {
            assert_eq!(parts.take(at(seq), part(index, 6)), Ok(None));
        }
        assert_eq!(numbers(&parts, WRITER), [2, 4, 5, 6, 7]);
        assert_eq!(numbers(&parts, WriterId([4; 16])), []);
        let finished = parts.take(at(3), part(1, 6)).unwrap().unwrap();
        assert_eq!((finished.count, finished.batch.len()), (6, 6));
        assert_eq!(numbers(&parts, WRITER), []);
    }

    #[test]
    fn a_part_that_contradicts_the_others_is_refused() {
        let mut parts = Apart::default();
        assert_eq!(parts.take(at(1), part(2, 3)), Err(Misplaced));
        parts.take(at(4), part(0, 3)).unwrap();
        assert_eq!(parts.take(at(5), part(1, 4)), Err(Misplaced));
        let last = part(u64::MAX - 1, u64::MAX);
        assert_eq!(parts.take(at(u64::MAX), last), Err(Misplaced));
    }
}
