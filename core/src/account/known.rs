//! What is known of a log, and what of it storage need not be asked for again.

use super::apart::Apart;
use crate::mailbox::{CheckpointPointer, LogPosition, LogState, VersionVector, WriterId};
use crate::storage::SortKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Stretches of one log that are left out when looking for what is new.
const STRETCHES_MAX: usize = 15;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Known<S> {
    pub(super) state: Arc<S>,
    pub(super) covered: VersionVector,
    /// The number behind the last item in storage, by writer.
    pub(super) present: BTreeMap<WriterId, u64>,
    /// Items that were read and are not contained in the state.
    pub(super) apart: Arc<Apart>,
    /// Operations that the newest checkpoint does not contain.
    pub(super) operations: usize,
    /// Checkpoints that were seen, by the sort keys of their pointers.
    pub(super) checkpoints: BTreeMap<SortKey, Option<CheckpointPointer>>,
    /// Items there were of pointers to checkpoints, with those that were deleted.
    pub(super) pointers: u32,
    /// Items in storage that are contained in a checkpoint already.
    pub(super) superfluous: usize,
    /// Checkpoints exist but none could be read: what is known may be a part only, and
    /// must not become a checkpoint itself.
    pub(super) partial: bool,
}

impl<S> Known<S> {
    /// Of a log of which nothing was read: how it begins.
    pub(super) fn nothing(state: S) -> Self {
        Self {
            state: Arc::new(state),
            covered: VersionVector::default(),
            present: BTreeMap::new(),
            apart: Arc::default(),
            operations: 0,
            checkpoints: BTreeMap::new(),
            pointers: 0,
            superfluous: 0,
            partial: false,
        }
    }

    /// Items that were read and are not contained in the state, to be changed.
    pub(super) fn apart(&mut self) -> &mut Apart {
        Arc::make_mut(&mut self.apart)
    }

    /// Whether something is where a writer's next item is to be, or behind it. Whoever may write to the storage can
    /// put something there.
    pub(super) fn is_taken(&self, next: LogPosition) -> bool {
        let end = self.present.get(&next.writer);
        self.covered.contains(next) || end.is_some_and(|end| *end > next.seq)
    }

    /// Whether it has all that any of the checkpoints has.
    pub(super) fn is_complete(&self) -> bool {
        let mut pointers = self.checkpoints.values().flatten();
        self.partial || pointers.all(|pointer| self.covered.covers(&pointer.covered))
    }

    /// Leaves out what was told of checkpoints that have more. What they have cannot be told any more,
    /// but what it was told under is not given to others.
    pub(super) fn stay_above_checkpoints(&mut self)
    where
        S: LogState,
    {
        if self.is_complete() {
            return;
        }
        let state = Arc::make_mut(&mut self.state);
        for pointer in self.checkpoints.values().flatten() {
            state.stay_above(pointer.floor);
        }
    }

    /// Where nothing new can be: for each writer from a number up to another one, ascending. That
    /// is all up to its last item that was read, but for what was not read below that.
    ///
    /// A writer writes nothing before what it wrote before is durable. Still an item may be read
    /// and the one before it not: a read asks two of three nodes, of which one answered earlier,
    /// when neither item was there, and the other one has only the later item yet.
    pub(super) fn stretches(&self) -> Vec<(WriterId, u64, u64)> {
        let mut stretches = Vec::new();
        for (writer, end) in &self.present {
            let mut from = 0;
            for (gap, behind) in self.gaps(*writer, *end) {
                stretches.push((*writer, from, gap));
                from = behind;
            }
            stretches.push((*writer, from, *end));
        }
        stretches.retain(|(_, from, end)| from < end);
        // Where there are too many, those that save most are skipped.
        stretches.sort_by_key(|(_, from, end)| core::cmp::Reverse(end - from));
        stretches.truncate(STRETCHES_MAX);
        stretches.sort_unstable();
        stretches
    }

    /// What of a writer was not read below a number: numbers, and those behind the last of each
    /// stretch, ascending.
    fn gaps(&self, writer: WriterId, end: u64) -> Vec<(u64, u64)> {
        let (mut next, beyond) = self.covered.of_writer(writer);
        if next >= end {
            return Vec::new();
        }
        let mut read: Vec<u64> = beyond.chain(self.apart.of_writer(writer)).collect();
        read.sort_unstable();
        let mut gaps = Vec::new();
        for seq in read.into_iter().chain([end]) {
            if seq > next {
                gaps.push((next, seq));
            }
            next = next.max(seq.saturating_add(1));
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Part;
    use bytes::Bytes;

    const WRITER: WriterId = WriterId([3; 16]);

    fn known(end: u64, covered: &[u64], parts: &[(u64, u64, u64)]) -> Known<()> {
        let at = |seq| LogPosition {
            writer: WRITER,
            seq,
        };
        let mut known = Known::nothing(());
        known.present.insert(WRITER, end);
        for seq in covered {
            known.covered.insert(at(*seq));
        }
        for (seq, index, count) in parts.iter().copied() {
            let piece = Bytes::new();
            let part = Part {
                index,
                count,
                piece,
            };
            assert_eq!(known.apart().take(at(seq), part), Ok(None));
        }
        known
    }

    fn stretches(known: &Known<()>) -> Vec<(u64, u64)> {
        let stretches = known.stretches().into_iter();
        stretches.map(|(_, from, end)| (from, end)).collect()
    }

    #[test]
    fn what_was_read_without_gaps_is_one_stretch() {
        assert_eq!(stretches(&known(4, &[0, 1, 2, 3], &[])), [(0, 4)]);
        // A checkpoint covers what may not be there any more.
        assert_eq!(stretches(&known(2, &[0, 1, 2, 3], &[])), [(0, 2)]);
        assert_eq!(stretches(&known(0, &[], &[])), []);
    }

    #[test]
    fn an_item_that_was_passed_over_is_asked_for_again() {
        let it = known(7, &[0, 1, 3, 6], &[]);
        assert_eq!(stretches(&it), [(0, 2), (3, 4), (6, 7)]);
        assert_eq!(stretches(&known(2, &[1], &[])), [(1, 2)]);
        let last = u64::MAX;
        assert_eq!(
            stretches(&known(last, &[0, last - 1], &[])),
            [(0, 1), (last - 1, last)]
        );
    }

    #[test]
    fn parts_of_a_batch_are_not_asked_for_again_and_what_it_lacks_is() {
        let batch = [(2, 0, 4), (4, 2, 4)];
        assert_eq!(stretches(&known(5, &[0, 1], &batch)), [(0, 3), (4, 5)]);
        // The next batch was read, and the last part of this one not.
        let it = known(7, &[0, 1, 6], &[(2, 0, 4), (3, 1, 4), (4, 2, 4)]);
        assert_eq!(stretches(&it), [(0, 5), (6, 7)]);
    }
}
