//! Which items of a log are contained in a state: of each writer all up to a number,
//! and those beyond it that came before their predecessors.
//!
//! Of a batch in several items either all are contained or none. Those of a batch that
//! was never written to its end are in no vector, so they are never deleted, and should
//! the rest come at last they are all still there.

use super::WriterId;
use super::encoding::{DecodeError, Decoder, Encoder};
use std::collections::{BTreeMap, BTreeSet};

/// Names one item of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogPosition {
    /// Who wrote it.
    pub(crate) writer: WriterId,
    /// Which of that writer's items it is, from 0 without gaps.
    pub(crate) seq: u64,
}

/// What a state has taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionVector {
    writers: BTreeMap<WriterId, Seen>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Everything below is contained.
    next: u64,
    /// Contained as well; all above `next`.
    beyond: BTreeSet<u64>,
}

impl VersionVector {
    /// Whether the item is contained.
    pub(crate) fn contains(&self, position: LogPosition) -> bool {
        self.writers
            .get(&position.writer)
            .is_some_and(|seen| position.seq < seen.next || seen.beyond.contains(&position.seq))
    }

    /// Adds an item; `false` if it was contained already.
    pub(crate) fn insert(&mut self, position: LogPosition) -> bool {
        let seen = self.writers.entry(position.writer).or_default();
        if position.seq < seen.next || !seen.beyond.insert(position.seq) {
            return false;
        }
        while seen.beyond.remove(&seen.next) {
            seen.next += 1;
        }
        true
    }

    /// Whether everything in `other` is contained here as well.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.writers.iter().all(|(writer, theirs)| {
            let Some(ours) = self.writers.get(writer) else {
                return theirs.next == 0 && theirs.beyond.is_empty();
            };
            // What they have contiguously must be below ours, or fill our gaps.
            (ours.next..theirs.next).all(|seq| ours.beyond.contains(&seq))
                && theirs
                    .beyond
                    .iter()
                    .all(|seq| *seq < ours.next || ours.beyond.contains(seq))
        })
    }

    /// Of a writer: the number below which everything is contained, and the numbers of what is
    /// contained beyond it, ascending.
    pub(crate) fn of_writer(&self, writer: WriterId) -> (u64, impl Iterator<Item = u64>) {
        let seen = self.writers.get(&writer);
        let beyond = seen
            .into_iter()
            .flat_map(|seen| seen.beyond.iter().copied());
        (seen.map_or(0, |seen| seen.next), beyond)
    }

    /// Items that are not contained though later ones of their writer are, ascending, so many at most.
    /// A writer leaves no number out, and writes none before the one before it is durable.
    pub(crate) fn gaps(&self, max: usize) -> Vec<LogPosition> {
        let gaps = self.writers.iter().flat_map(|(writer, seen)| {
            let end = seen.beyond.last().copied().unwrap_or(seen.next);
            let gaps = (seen.next..end).filter(|seq| !seen.beyond.contains(seq));
            gaps.map(|seq| LogPosition {
                writer: *writer,
                seq,
            })
        });
        gaps.take(max).collect()
    }

    /// Of each writer, the number up to which everything is contained.
    pub(crate) fn next_by_writer(&self) -> impl Iterator<Item = (WriterId, u64)> {
        self.writers
            .iter()
            .map(|(writer, seen)| (*writer, seen.next))
    }

    /// Appends the encoded form.
    pub(crate) fn encode(&self, encoder: &mut Encoder) {
        encoder.count(self.writers.len());
        for (writer, seen) in &self.writers {
            encoder.array(&writer.0);
            encoder.number(seen.next);
            encoder.count(seen.beyond.len());
            for seq in &seen.beyond {
                encoder.number(*seq);
            }
        }
    }

    /// Reads the encoded form.
    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut writers = BTreeMap::new();
        for _ in 0..decoder.count(18)? {
            let writer = WriterId(decoder.array()?);
            let next = decoder.number()?;
            let mut beyond = BTreeSet::new();
            for _ in 0..decoder.count(1)? {
                let seq = decoder.number()?;
                if seq <= next {
                    return Err(DecodeError::Invalid("version vector"));
                }
                beyond.insert(seq);
            }
            writers.insert(writer, Seen { next, beyond });
        }
        Ok(Self { writers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(writer: u8, seq: u64) -> LogPosition {
        LogPosition {
            writer: WriterId([writer; 16]),
            seq,
        }
    }

    #[test]
    fn late_items_fill_their_gap() {
        let mut vector = VersionVector::default();
        assert!(vector.insert(at(1, 0)));
        assert!(vector.insert(at(1, 2)));
        assert!(!vector.contains(at(1, 1)));
        assert!(!vector.insert(at(1, 2)));
        assert!(vector.insert(at(1, 1)));
        assert_eq!(vector.writers[&WriterId([1; 16])].next, 3);
        assert!(vector.writers[&WriterId([1; 16])].beyond.is_empty());
    }

    #[test]
    fn numbers_that_were_left_out_are_gaps() {
        let mut vector = VersionVector::default();
        for seq in [0, 1, 4, 6, u64::MAX - 1] {
            vector.insert(at(1, seq));
        }
        vector.insert(at(2, 0));
        vector.insert(at(3, 1));
        assert_eq!(vector.gaps(4), [at(1, 2), at(1, 3), at(1, 5), at(1, 7)]);
        vector.writers.remove(&WriterId([1; 16]));
        assert_eq!(vector.gaps(100), [at(3, 0)]);
    }

    #[test]
    fn covering_looks_at_every_item() {
        let mut small = VersionVector::default();
        let mut large = VersionVector::default();
        for seq in [0, 1, 3] {
            small.insert(at(1, seq));
            large.insert(at(1, seq));
        }
        large.insert(at(2, 0));
        assert!(large.covers(&small) && !small.covers(&large));
        small.insert(at(1, 2));
        assert!(!large.covers(&small));
        large.insert(at(1, 2));
        assert!(large.covers(&small));
    }
}
