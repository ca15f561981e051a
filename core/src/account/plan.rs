//! What a request becomes: operations, planned on a copy of the state that already has
//! those of the requests before it.

mod directory;
mod mailbox;

pub(super) use directory::{DirectoryAnswer, DirectoryChange, DirectoryWork};
pub(super) use mailbox::{MailboxAnswer, MailboxWork, Origin};

use super::AccountFailure;
use super::shared::Shared;
use crate::mailbox::{LogState, Owed, Stamp, WriterId};
use crate::storage::InsertItem;
use core::fmt;

/// A state that requests change.
pub(super) trait Planner: LogState + fmt::Debug {
    /// What a request wants.
    type Work: fmt::Debug;
    /// What it is told once that is durable.
    type Answer: fmt::Debug;
    /// What it becomes.
    type Operation: Clone;

    /// Makes operations of it. None: there is nothing to do.
    fn plan(
        &self,
        work: &Self::Work,
        owed: &Owed,
        shared: &mut Shared,
    ) -> Result<Planned<Self>, AccountFailure>;
    /// The batch that follows this state.
    fn batch(&self, stamp: Stamp, operations: Vec<Self::Operation>) -> Self::Batch;
    /// What is to be written because of what was merged.
    fn settle(&self, owed: &Owed) -> Option<Self::Work>;
    /// Whether this is such work.
    fn settles(work: &Self::Work) -> bool;
    /// Items that are stored by the same request as the operations.
    fn beside(_: &Self::Work) -> &[InsertItem] {
        &[]
    }
    /// Whether it claims a UID or reserves a UIDVALIDITY, which somebody else may do as well.
    fn claims(_: &Self::Operation) -> bool {
        false
    }
    /// Whether these are told under a MODSEQ of their own.
    fn is_change(_: &[Self::Operation]) -> bool {
        true
    }
    /// Makes an answer say what became of the UIDs that it names; `false` if a message has
    /// none.
    fn confirm(&self, _: &mut Self::Answer) -> bool {
        true
    }
    /// Whether two of such work may not share a batch, and so a MODSEQ.
    fn stamps(work: &Self::Work) -> bool;
    /// Whether other servers' clients want to know what it became.
    fn is_news(work: &Self::Work, answer: &Self::Answer) -> bool;

    /// Applies operations of the batch that follows `before`; what they weigh.
    fn take_in(
        &mut self,
        before: &Self,
        writer: WriterId,
        stamp: Stamp,
        operations: &[Self::Operation],
    ) -> usize {
        let batch = before.batch(stamp, operations.to_vec());
        let (floor, mut owed) = (crate::mailbox::Floor::default(), Owed::default());
        self.apply_batch(writer, &batch, floor, &mut owed);
        self.finish();
        Self::weight(&batch)
    }
}

/// See [`Planner::plan`].
#[derive(Debug)]
pub(super) struct Planned<S: Planner> {
    pub(super) operations: Vec<S::Operation>,
    pub(super) answer: S::Answer,
}
