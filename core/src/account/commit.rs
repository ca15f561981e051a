//! A commit: requests become one batch, the batch becomes items, and when storage has all
//! of them the requests are answered.
//!
//! All items of a batch go in one request, and with them the summaries of messages that
//! were added. Storage may keep any part of them when the
//! request fails or the process dies: no reader counts a batch before it is whole, so the
//! batch either happens or does not. The same request is made again, with the same
//! bytes, a few times. If it fails for good, nobody knows whether what is missing comes
//! yet: so its numbers are never used again, which means that this machine goes on as
//! another writer, and reads the log before it writes.

use super::AccountFailure;
use super::apart::Given;
use super::log::{Activity, Happened, Log, RETRY_PAUSE};
use super::plan::{Planned, Planner};
use super::shared::Shared;
use crate::boundary::Event;
use crate::mailbox::{LogPosition, Owed, Part};
use crate::storage::{
    InsertItem, ItemKey, RequestId, StorageError, StorageRequest, StorageResponse,
};
use crate::time::Instant;
use std::sync::Arc;

/// A batch on its way to storage.
#[derive(Debug)]
pub(super) struct Commit<S: Planner> {
    /// In flight, or when to send it again.
    pub(super) request: Result<RequestId, Instant>,
    /// The batch, in as many items as it takes, with consecutive numbers, and behind it
    /// what is stored beside it.
    pub(super) items: Vec<InsertItem>,
    /// How many of them are the batch.
    numbers: u64,
    /// Of the first of them.
    position: LogPosition,
    attempt: u32,
    /// The state afterwards.
    next: S,
    operations: usize,
    /// Whether what merging left is in it.
    pub(super) settles: bool,
    /// The work, should it fail, and the answers, should it not.
    pub(super) done: Vec<(S::Work, S::Answer)>,
    /// Whether UIDs are claimed in it, or UIDVALIDITYs reserved.
    claims: bool,
    /// Whether what unreadable items may have given is passed over.
    passes_over: bool,
}

impl<S: Planner> Log<S> {
    pub(super) fn start_commit(&mut self, shared: &mut Shared, happened: &mut Vec<Happened<S>>) {
        let Some(known) = &self.known else { return };
        let mut before = Arc::clone(&known.state);
        let given = known.apart.given();
        if given != Given::default() {
            let floor = given.above(before.floor());
            Arc::make_mut(&mut before).stay_above(floor);
        }
        let mut next = S::clone(&before);
        let stamp = shared.clock.tick(shared.now);
        let (mut writer, mut seq) = shared.writer(self.id);
        if known.is_taken(LogPosition { writer, seq }) {
            // Beside it the items would not be seen by who has read that.
            shared.writers.remove(&self.id);
            (writer, seq) = shared.writer(self.id);
        }
        let (mut operations, mut weight) = (Vec::new(), 0);
        let (mut done, mut at_once) = (Vec::new(), Vec::new());
        let mut stamped = false;
        let (mut beside, mut beside_bytes) = (Vec::new(), 0);
        while weight < shared.config.commit_operations_max
            && beside_bytes < shared.config.commit_summaries_bytes_max
            && let Some(work) = self.jobs.pop_front_if(|work| !(stamped && S::stamps(work)))
        {
            match next.plan(&work, &self.owed, shared) {
                Ok(Planned {
                    operations: new,
                    answer,
                }) if new.is_empty() => match done.is_empty() {
                    true => at_once.push(answer),
                    false => done.push((work, answer)),
                },
                Ok(Planned {
                    operations: new,
                    answer,
                }) => {
                    stamped |= S::stamps(&work);
                    weight += next.take_in(&before, writer, stamp, &new);
                    operations.extend(new);
                    let summaries = S::beside(&work);
                    beside_bytes += summaries.iter().map(|it| it.value.len()).sum::<usize>();
                    beside.extend_from_slice(summaries);
                    done.push((work, answer));
                }
                Err(failure) => happened.push(Happened::Failed(work, failure)),
            }
        }
        if !at_once.is_empty() {
            happened.push(Happened::Done(at_once));
        }
        if operations.is_empty() {
            self.confirm(happened);
            return;
        }
        let passes_over = S::is_change(&operations);
        if !passes_over && given != Given::default() {
            // Others would not know what was passed over.
            before = Arc::clone(&known.state);
            next = S::clone(&before);
            next.take_in(&before, writer, stamp, &operations);
        }
        let claims = operations.iter().any(S::claims);
        let batch = S::encode_batch(&before.batch(stamp, operations));
        let mut items = self.seal(shared, LogPosition { writer, seq }, &batch);
        let numbers = items.len() as u64;
        items.append(&mut beside);
        let insert = StorageRequest::InsertItems(items.clone());
        self.activity = Activity::Committing(Box::new(Commit {
            request: Ok(shared.request(self.id, insert)),
            items,
            numbers,
            position: LogPosition { writer, seq },
            attempt: 0,
            next,
            operations: weight,
            settles: done.iter().any(|(work, _)| S::settles(work)),
            done,
            claims,
            passes_over,
        }));
    }

    pub(super) fn commit_answered(
        &mut self,
        shared: &mut Shared,
        response: StorageResponse,
        happened: &mut Vec<Happened<S>>,
    ) {
        let Activity::Committing(commit) = core::mem::replace(&mut self.activity, Activity::Idle)
        else {
            return;
        };
        let error = match response {
            StorageResponse::Done => return self.committed(shared, *commit, happened),
            StorageResponse::Failed(error) => error,
            other => StorageError::Unavailable(format!("not an answer to an insert: {other:?}")),
        };
        let unavailable = matches!(error, StorageError::Unavailable(_));
        // Once an answer was lost the items may be there, whatever is answered later. And
        // of several some may be there even if the whole was refused.
        let lost = unavailable || commit.attempt > 0 || commit.items.len() > 1;
        if unavailable && commit.attempt < shared.config.storage_retries_max {
            let pause = RETRY_PAUSE * (1 << commit.attempt.min(6));
            self.activity = Activity::Committing(Box::new(Commit {
                request: Err(shared.now.instant.after(pause)),
                attempt: commit.attempt + 1,
                ..*commit
            }));
            return;
        }
        shared.event(Event::StorageFailed {
            step: "commit",
            reason: error.to_string(),
        });
        if lost {
            // It may be there, or parts of it, or come yet, and nothing else may ever be
            // written under these numbers. What is shown stays right: should all of it
            // be there, it is read like what others write.
            shared.writers.remove(&self.id);
            self.read_needed = true;
            happened.push(Happened::Written);
        }
        if lost || commit.settles {
            self.look_again(shared);
        }
        let failure = match error {
            StorageError::Full => AccountFailure::OverQuota,
            _ => AccountFailure::Unavailable,
        };
        for (work, _) in self.unconfirmed.drain(..).chain(commit.done) {
            happened.push(Happened::Failed(work, failure.clone()));
        }
    }

    fn committed(
        &mut self,
        shared: &mut Shared,
        commit: Commit<S>,
        happened: &mut Vec<Happened<S>>,
    ) {
        let LogPosition { writer, seq } = commit.position;
        let end = seq + commit.numbers;
        shared.writers.insert(self.id, (writer, end));
        let Some(mut known) = self.known.clone() else {
            return;
        };
        known.state = Arc::new(S::clone(&commit.next));
        known.apart().note_own(writer);
        if commit.passes_over {
            known.apart().pass_over();
        }
        for seq in seq..end {
            known.covered.insert(LogPosition { writer, seq });
        }
        known.present.insert(writer, end);
        known.operations += commit.operations;
        let mut done = commit.done.iter();
        let news = done.any(|(work, answer)| S::is_news(work, answer));
        if commit.claims && shared.config.shared_storage {
            self.start_verifying(shared, commit, known);
        } else {
            self.known = Some(known);
            if commit.settles {
                self.owed = Owed::default();
            }
            self.note_commit(shared);
            let answers = commit.done.into_iter().map(|(_, answer)| answer);
            happened.push(Happened::Done(answers.collect()));
            self.confirm(happened);
        }
        if news {
            happened.push(Happened::Written);
        }
    }

    /// Makes a checkpoint when the log has become long.
    pub(super) fn note_commit(&mut self, shared: &Shared) {
        let size = self.known.as_ref().map_or(0, |known| known.state.size());
        let due = shared.config.checkpoint_operations_min.max(size / 8);
        self.want_checkpoint(due);
    }

    /// The items of a batch, sealed once: what is sent again are the same bytes.
    fn seal(&self, shared: &mut Shared, first: LogPosition, batch: &[u8]) -> Vec<InsertItem> {
        let keys = Arc::clone(&shared.keys);
        let parts = Part::cut(batch, shared.config.log_item_bytes_max);
        let seal = |(seq, part): (u64, Vec<u8>)| {
            let key = ItemKey {
                partition: self.partition.clone(),
                sort: shared.places.operation(first.writer, seq),
            };
            let value = keys.seal_item(&key, S::OPERATION, &part, &mut shared.random);
            let token = None;
            InsertItem { key, token, value }
        };
        (first.seq..).zip(parts).map(seal).collect()
    }
}
