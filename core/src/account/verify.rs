//! Between a commit and its answer: were the UIDs claimed by somebody else as well?
//!
//! Two servers that do not know of each other may claim the same UID. Each of them stores
//! its claim first, and then reads the log once more before it shows the UID to anybody.
//! Storage gives every read that begins after a write was acknowledged what was written, so
//! of the two readings at least the later one finds both claims, and who finds both shows
//! neither: the UID is burned, and the messages get others, which are verified in turn. So
//! a UID is shown for one message at most, on whichever server.
//!
//! The UIDVALIDITYs of new mailboxes are reserved in the same way, before the mailboxes are
//! made: what two servers reserved no mailbox gets.
//!
//! Where nobody else writes to the same storage ([`Config::shared_storage`]) none of this
//! is needed.
//!
//! [`Config::shared_storage`]: crate::config::Config::shared_storage

use super::AccountFailure;
use super::commit::Commit;
use super::known::Known;
use super::load::ReadOutcome;
use super::log::{Activity, Happened, Log, RETRY_PAUSE};
use super::plan::Planner;
use super::shared::Shared;
use crate::boundary::Event;
use crate::mailbox::Owed;
use crate::storage::{RequestId, StorageError, StorageResponse};
use crate::time::Instant;
use crate::workflow::Workflow;
use core::task::Poll;

/// A batch that is durable, and whose UIDs nobody was told yet.
#[derive(Debug)]
pub(super) struct Verifying<S: Planner> {
    commit: Commit<S>,
    /// With the batch.
    known: Known<S>,
    /// `Err`: reading failed; again at this time.
    reading: Result<Reading<S>, Instant>,
    attempt: u32,
    began: Instant,
}

type Reading<S> = Workflow<Result<ReadOutcome<S>, StorageError>>;

impl<S: Planner> Verifying<S> {
    /// When to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reading.as_ref().err().copied()
    }

    /// Takes an answer of storage, if this asked for it.
    pub(super) fn answer(&mut self, id: RequestId, response: StorageResponse) {
        if let Ok(reading) = &mut self.reading {
            reading.answer(id, response);
        }
    }

    /// Whether this asked for it.
    pub(super) fn asked(&self, id: RequestId) -> bool {
        let reading = self.reading.as_ref();
        reading.is_ok_and(|reading| reading.open_requests().contains(&id))
    }

    /// Ends it, for a log that is no more: who waits.
    pub(super) fn end(self, shared: &mut Shared) -> Vec<S::Work> {
        if let Ok(reading) = &self.reading {
            shared.give_up(reading);
        }
        self.commit.done.into_iter().map(|(work, _)| work).collect()
    }
}

impl<S: Planner> Log<S> {
    /// Reads again before anybody is told of this batch.
    pub(super) fn start_verifying(
        &mut self,
        shared: &mut Shared,
        commit: Commit<S>,
        known: Known<S>,
    ) {
        let began = shared.now.instant;
        self.checkpointed = None;
        let reading = Ok(self.verifying_reading(shared, &known));
        self.activity = Activity::Verifying(Box::new(Verifying {
            commit,
            known,
            reading,
            attempt: 0,
            began,
        }));
    }

    fn verifying_reading(&self, shared: &mut Shared, known: &Known<S>) -> Reading<S> {
        let (known, origin) = (known.clone(), self.origin);
        let ids = std::sync::Arc::clone(&shared.ids);
        Workflow::new(&ids, |io| {
            let reader = self.reader(shared, io);
            async move { reader.refresh(known, origin).await }
        })
    }

    /// Reads once more after a pause.
    pub(super) fn wake_verifying(&mut self, shared: &mut Shared) {
        let Activity::Verifying(verifying) = &self.activity else {
            return;
        };
        if verifying
            .deadline()
            .is_none_or(|at| at > shared.now.instant)
        {
            return;
        }
        let reading = self.verifying_reading(shared, &verifying.known);
        if let Activity::Verifying(verifying) = &mut self.activity {
            verifying.reading = Ok(reading);
            verifying.began = shared.now.instant;
        }
    }

    /// Goes on with it.
    pub(super) fn run_verifying(&mut self, shared: &mut Shared, happened: &mut Vec<Happened<S>>) {
        let Activity::Verifying(verifying) = &mut self.activity else {
            return;
        };
        let Ok(reading) = &mut verifying.reading else {
            return;
        };
        let outcome = reading.resume();
        shared.carry_out(self.id, reading);
        let Poll::Ready(outcome) = outcome else {
            return;
        };
        shared.give_up(reading);
        let began = verifying.began;
        let outcome = self.in_time(shared, began, outcome);
        let Activity::Verifying(mut verifying) =
            core::mem::replace(&mut self.activity, Activity::Idle)
        else {
            return;
        };
        match outcome {
            Ok(outcome) => self.verified(shared, verifying.commit, began, outcome, happened),
            Err(StorageError::Unavailable(_))
                if verifying.attempt < shared.config.storage_retries_max =>
            {
                let pause = RETRY_PAUSE * (1 << verifying.attempt.min(6));
                verifying.reading = Err(shared.now.instant.after(pause));
                verifying.attempt += 1;
                self.activity = Activity::Verifying(verifying);
            }
            Err(error) => self.unverified(shared, verifying.commit, &error, happened),
        }
    }

    fn verified(
        &mut self,
        shared: &mut Shared,
        mut commit: Commit<S>,
        began: Instant,
        outcome: ReadOutcome<S>,
        happened: &mut Vec<Happened<S>>,
    ) {
        if commit.settles {
            self.owed = Owed::default();
        }
        self.unconfirmed.append(&mut commit.done);
        self.was_read(shared, began, outcome, happened);
        self.note_commit(shared);
        self.confirm(happened);
    }

    /// It is durable, and stays so; but nobody can be told under which UIDs.
    fn unverified(
        &mut self,
        shared: &mut Shared,
        commit: Commit<S>,
        error: &StorageError,
        happened: &mut Vec<Happened<S>>,
    ) {
        shared.event(Event::StorageFailed {
            step: "read a log after a commit",
            reason: error.to_string(),
        });
        // What is known is what was known before: the batch is read like others'.
        self.read_needed = true;
        self.look_again(shared);
        for (work, _) in self.unconfirmed.drain(..).chain(commit.done) {
            happened.push(Happened::Failed(work, AccountFailure::Unavailable));
        }
    }

    /// Answers all whose messages have UIDs that hold, once nothing is to be settled.
    pub(super) fn confirm(&mut self, happened: &mut Vec<Happened<S>>) {
        let Some(known) = &self.known else { return };
        if self.jobs.front().is_some_and(S::settles) {
            return;
        }
        let mut answers = Vec::new();
        for (work, mut answer) in self.unconfirmed.drain(..) {
            match known.state.confirm(&mut answer) {
                true => answers.push(answer),
                false => happened.push(Happened::Failed(work, AccountFailure::Unavailable)),
            }
        }
        if !answers.is_empty() {
            happened.push(Happened::Done(answers));
        }
    }
}
