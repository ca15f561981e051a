//! A log on the way to be known: what was read of it, and the state that it makes.

use super::{GAPS_MAX, ReadOutcome};
use crate::account::known::Known;
use crate::mailbox::{Floor, LogPosition, LogState, Owed, Stamp, WriterId};
use std::sync::Arc;

/// The work on the way.
pub(super) struct Progressing<S: LogState> {
    pub(super) state: S,
    pub(super) known: Known<S>,
    pub(super) floor: Floor,
    /// Items that were passed over before this reading, ascending; [`GAPS_MAX`] at most.
    pub(super) gaps: Vec<LogPosition>,
    pub(super) latest: Stamp,
    /// Batches that were read and are to be applied to the state.
    pub(super) batches: Vec<(WriterId, S::Batch)>,
    /// The state with all of them, and what they left to be written, once they were applied.
    pub(super) applied: Option<(S, Owed)>,
    /// Whether the state is another one now.
    pub(super) changed: bool,
}

impl<S: LogState> Progressing<S> {
    /// Takes in a batch that is whole.
    pub(super) fn take_in(&mut self, writer: WriterId, batch: S::Batch) {
        self.latest = self.latest.max(S::stamp(&batch));
        self.known.operations += S::weight(&batch);
        self.changed = true;
        self.applied = None;
        self.batches.push((writer, batch));
    }

    /// Applies the batches, unless that was done since the last one came.
    pub(super) fn apply(&mut self) {
        // Items come writer by writer. They are applied in the order in which they were
        // written, or an expunge that is read before what it expunges would be told
        // under the wrong MODSEQ.
        self.batches.sort_by_key(|(_, batch)| S::stamp(batch));
        self.applied.get_or_insert_with(|| {
            let (mut state, mut owed) = (self.state.clone(), Owed::default());
            for (writer, batch) in &self.batches {
                state.apply_batch(*writer, batch, self.floor, &mut owed);
            }
            (state, owed)
        });
    }

    /// Whether a batch was read that names another one, or a message, which was not, or an item and
    /// not the one before it of the same writer. A log is read in pages, and each of them from
    /// two nodes: of what is written meanwhile, a part may be behind the page that is just
    /// read, and what it builds on before it. To show one without the other would be to show what
    /// no server had, under the HIGHESTMODSEQ that others give to both.
    pub(super) fn misses_some(&mut self) -> bool {
        if self.batches.is_empty() {
            return false;
        }
        let gaps = self.known.covered.gaps(GAPS_MAX).into_iter();
        let mut gaps = gaps.filter(|gap| !self.known.apart.is_unreadable(*gap));
        if gaps.any(|gap| self.gaps.binary_search(&gap).is_err()) {
            return true;
        }
        self.apply();
        let applied = self.applied.as_ref();
        applied.is_some_and(|(state, _)| state.misses_more_than(&self.state))
    }

    pub(super) fn finish(mut self, whole: bool) -> ReadOutcome<S> {
        if !self.batches.is_empty() {
            self.apply();
        }
        let (mut state, owed) = self.applied.take().unwrap_or((self.state, Owed::default()));
        if self.changed {
            state.finish();
            self.known.state = Arc::new(state);
        }
        ReadOutcome {
            known: self.known,
            latest: self.latest,
            owed,
            whole,
        }
    }
}
