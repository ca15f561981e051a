//! One log of the account: at any time it is read, or one batch is being committed, or
//! nothing happens; beside that a checkpoint may be in the making.
//!
//! Requests that want to change the state wait as *jobs*. When the log is free, as many
//! of them as one batch may hold are planned one after the other on a copy of the state,
//! the batch is stored, and only then the copy becomes the state and all of them are
//! answered: many connections share one write.

use super::AccountFailure;
use super::checkpoint::{Checkpointed, Checkpointing};
use super::commit::Commit;
use super::known::Known;
use super::load::{ReadOutcome, Reader};
use super::plan::Planner;
use super::shared::{LogId, Shared};
use super::verify::Verifying;
use crate::boundary::Event;
use crate::mailbox::{CheckpointPointer, Owed};
use crate::random::Random;
use crate::storage::{
    PartitionKey, RequestId, SortKey, StorageError, StorageRequest, StorageResponse,
};
use crate::time::Instant;
use crate::workflow::{Io, Workflow};
use core::task::Poll;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

/// The first pause before a failed request is made again; doubled each time.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Something that its account must know.
#[derive(Debug)]
pub(super) enum Happened<S: Planner> {
    /// The log was read; the state may have changed.
    Read,
    /// A batch was stored, or may have been, that others want to know of.
    Written,
    /// It cannot be read.
    Unreadable(AccountFailure),
    /// These were committed (or needed no commit) and the state shows it.
    Done(Vec<S::Answer>),
    /// Nothing of this work was done.
    Failed(S::Work, AccountFailure),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Log<S: Planner> {
    pub(super) id: LogId,
    pub(super) partition: PartitionKey,
    pub(super) origin: S::Origin,
    pub(super) known: Option<Known<S>>,
    /// The state that was shown last, where clients still hold it.
    pub(super) shown: Option<Arc<S>>,
    pub(super) owed: Owed,
    pub(super) activity: Activity<S>,
    pub(super) background: Option<Workflow<Result<Checkpointed, StorageError>>>,
    /// When the background work is given up: a checkpoint that is made of what the log
    /// held too long ago could miss what others wrote and forgot meanwhile.
    pub(super) background_until: Instant,
    /// Durable, but some UID was claimed by others as well: answered when it is settled.
    pub(super) unconfirmed: Vec<(S::Work, S::Answer)>,
    /// Work that waits for its commit.
    pub(super) jobs: VecDeque<S::Work>,
    pub(super) read_wanted: bool,
    /// A commit was begun while it was to be read.
    passed_over: bool,
    /// A write may or may not have landed: nothing is written before that is known.
    pub(super) read_needed: bool,
    /// How many times the log began to be read.
    pub(super) reads: u64,
    /// Which of these readings was the last that ended, well or not.
    ended: u64,
    /// Which of these readings was the last that ended well.
    pub(super) read: u64,
    /// How many operations are worth the checkpoint that somebody asked for.
    pub(super) checkpoint_wanted: Option<usize>,
    /// When the reading that is under way began.
    pub(super) read_began: Instant,
    /// Others wrote to it after it was read last.
    pub(super) rung: bool,
    /// Those who sleep were stirred since then, and ask until they are told.
    handed_over: bool,
    /// When to try to read that again.
    pub(super) reread_at: Option<Instant>,
    /// A checkpoint that was made while the log was being read, and what it contains of
    /// its operations: the reading began before and does not know of it. The next one only
    /// begins when the log was read.
    pub(super) checkpointed: Option<(SortKey, CheckpointPointer, usize)>,
    /// Since when this machine knows of each checkpoint.
    pub(super) pointers_seen: BTreeMap<SortKey, Instant>,
    /// When to look again whether the log can be shortened.
    pub(super) shorten_at: Option<Instant>,
    pub(super) last_read: Option<Instant>,
    /// When the last reading that ended well began.
    pub(super) last_read_began: Option<Instant>,
}

/// What a log does.
#[derive(Debug)]
pub(super) enum Activity<S: Planner> {
    Idle,
    Reading {
        workflow: Workflow<Result<ReadOutcome<S>, StorageError>>,
        attempt: u32,
    },
    /// Reading failed; again at this time.
    Pausing {
        until: Instant,
        attempt: u32,
    },
    Committing(Box<Commit<S>>),
    Verifying(Box<Verifying<S>>),
}

impl<S: Planner> Activity<S> {
    /// Whether the log is being read.
    fn reads(&self) -> bool {
        matches!(self, Self::Reading { .. } | Self::Verifying(_))
    }
}

impl<S: Planner> Log<S> {
    pub(super) fn new(id: LogId, partition: PartitionKey, origin: S::Origin) -> Self {
        Self {
            id,
            partition,
            origin,
            known: None,
            shown: None,
            owed: Owed::default(),
            activity: Activity::Idle,
            background: None,
            background_until: Instant(0),
            unconfirmed: Vec::new(),
            jobs: VecDeque::new(),
            read_wanted: false,
            passed_over: false,
            read_needed: false,
            reads: 0,
            ended: 0,
            read: 0,
            checkpoint_wanted: None,
            read_began: Instant(0),
            rung: false,
            handed_over: false,
            reread_at: None,
            checkpointed: None,
            pointers_seen: BTreeMap::new(),
            shorten_at: None,
            last_read: None,
            last_read_began: None,
        }
    }

    /// The state, if it is known.
    pub(super) fn state(&self) -> Option<&Arc<S>> {
        self.known.as_ref().map(|known| &known.state)
    }

    /// When the log was read last.
    pub(super) fn last_read(&self) -> Option<Instant> {
        self.last_read
    }

    /// Asks for the log to be read, unless it is known as it was that long ago, or later;
    /// says which reading will do.
    pub(super) fn want_read_within(&mut self, now: Instant, age_max: Duration) -> u64 {
        let known = self.known.is_some() && !self.read_needed && !self.rung;
        match self.last_read_began {
            Some(began) if known && now.since(began) <= age_max => self.read,
            _ => self.want_read(true),
        }
    }

    /// Asks for the log to be read; says which reading will do, counted from 1. A fresh
    /// one is one that has not begun yet.
    pub(super) fn want_read(&mut self, fresh: bool) -> u64 {
        let reading = matches!(
            self.activity,
            Activity::Reading { .. } | Activity::Pausing { .. }
        );
        if reading && !fresh {
            return self.reads;
        }
        self.read_wanted = true;
        self.reads + 1
    }

    /// Others wrote to the log: it is read again, however often that fails.
    pub(super) fn ring(&mut self) {
        self.rung = true;
        self.handed_over = false;
        self.want_read(true);
    }

    /// There may be more in it than can be shown now, and nobody will ring for it: who watches it has
    /// it read again after a while.
    pub(super) fn look_again(&mut self, shared: &Shared) {
        self.rung = true;
        self.handed_over = false;
        let interval = shared.config.reread_interval;
        self.reread_at = Some(shared.now.instant.after(interval));
    }

    /// Nobody watches it: whether those who sleep are to ask for what others wrote, which was not
    /// read yet. It is said once for each ring: who cannot be told then asks again.
    pub(super) fn hand_over(&mut self) -> bool {
        self.rung && !core::mem::replace(&mut self.handed_over, true)
    }

    /// Which reading was the last that ended, and `well` if asked for. The next one may have begun
    /// already, and of what it finds nobody knows yet.
    pub(super) fn last_reading(&self, well: bool) -> u64 {
        if well { self.read } else { self.ended }
    }

    /// Whether clients wait to be told what is in it.
    fn is_watched(&self) -> bool {
        self.shown.is_some() || self.id == LogId::Directory
    }

    /// Whether this reading is under way, or will be.
    pub(super) fn is_to_read(&self, read: u64) -> bool {
        let wanted = self.read_wanted && read == self.reads + 1;
        wanted || (read == self.reads && self.ended < read)
    }

    /// Whether this reading has ended, or a later one.
    pub(super) fn was_read_since(&self, read: u64) -> bool {
        self.read >= read
    }

    /// Asks for a checkpoint if so many operations are in no checkpoint.
    pub(super) fn want_checkpoint(&mut self, operations_min: usize) {
        let operations_min = operations_min.max(1);
        let wanted = self
            .checkpoint_wanted
            .map_or(operations_min, |it| it.min(operations_min));
        self.checkpoint_wanted = Some(wanted).filter(|min| self.is_worth_a_checkpoint(*min));
    }

    fn is_worth_a_checkpoint(&self, operations_min: usize) -> bool {
        let due = |known: &Known<S>| {
            known.operations >= operations_min && !known.partial && known.is_complete()
        };
        self.known.as_ref().is_some_and(due)
    }

    /// Queues work.
    pub(super) fn push(&mut self, work: S::Work) {
        self.jobs.push_back(work);
    }

    /// Whether nothing happens and nothing waits.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self.activity, Activity::Idle)
            && self.jobs.is_empty()
            && !self.read_wanted
            && self.checkpoint_wanted.is_none()
            && self.background.is_none()
    }

    /// Clients hold the state: what follows must follow from it.
    pub(super) fn hold(&mut self, held: bool) {
        self.shown = held
            .then(|| self.state().cloned())
            .flatten()
            .or(self.shown.take().filter(|_| held));
    }

    /// When to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let own = match &self.activity {
            Activity::Pausing { until, .. } => Some(*until),
            Activity::Committing(commit) => commit.request.err(),
            Activity::Verifying(verifying) => verifying.deadline(),
            _ => None,
        };
        let background = match &self.background {
            Some(_) => Some(self.background_until),
            None => self.shorten_at,
        };
        let reread = self.reread_at.filter(|_| self.is_watched());
        [own, background, reread].into_iter().flatten().min()
    }

    /// Takes an answer of storage.
    pub(super) fn answer(
        &mut self,
        shared: &mut Shared,
        id: RequestId,
        response: StorageResponse,
    ) -> Vec<Happened<S>> {
        let mut happened = Vec::new();
        let response = match &mut self.activity {
            Activity::Committing(commit) if commit.request == Ok(id) => {
                self.commit_answered(shared, response, &mut happened);
                None
            }
            Activity::Reading { workflow, .. } if workflow.open_requests().contains(&id) => {
                workflow.answer(id, response);
                None
            }
            Activity::Verifying(verifying) if verifying.asked(id) => {
                verifying.answer(id, response);
                None
            }
            _ => Some(response),
        };
        if let (Some(response), Some(background)) = (response, &mut self.background) {
            background.answer(id, response);
        }
        self.go_on(shared, &mut happened);
        happened
    }

    /// Does whatever can be done now.
    pub(super) fn run(&mut self, shared: &mut Shared) -> Vec<Happened<S>> {
        let mut happened = Vec::new();
        self.go_on(shared, &mut happened);
        happened
    }

    /// Ends everything, for a log that is no more.
    pub(super) fn end(mut self, shared: &mut Shared) -> Vec<S::Work> {
        let mut work: Vec<_> = self.jobs.drain(..).collect();
        shared.writers.remove(&self.id);
        match self.activity {
            Activity::Reading { workflow, .. } => shared.give_up(&workflow),
            Activity::Committing(commit) => {
                // It may land or not: nobody will read it.
                work.extend(commit.done.into_iter().map(|(work, _)| work));
            }
            Activity::Verifying(verifying) => work.extend(verifying.end(shared)),
            Activity::Idle | Activity::Pausing { .. } => {}
        }
        work.extend(self.unconfirmed.into_iter().map(|(work, _)| work));
        if let Some(background) = &self.background {
            shared.give_up(background);
        }
        work
    }

    fn go_on(&mut self, shared: &mut Shared, happened: &mut Vec<Happened<S>>) {
        self.wake(shared);
        self.run_background(shared);
        self.run_reading(shared, happened);
        self.run_verifying(shared, happened);
        while matches!(self.activity, Activity::Idle) {
            // What merging left is to be settled before anything else is shown or told.
            let settles = self.jobs.front().is_some_and(S::settles);
            let reads = (self.read_wanted || self.checkpoint_due()) && !settles;
            let commits = !self.jobs.is_empty() && self.known.is_some() && !self.read_needed;
            // Whoever waits for a commit has waited longer than who wants to read. But after one
            // it is the turn of the others, or they would wait as long as somebody always writes.
            if commits && !(reads && self.passed_over) {
                self.passed_over = reads;
                self.start_commit(shared, happened);
            } else if self.read_wanted || !self.jobs.is_empty() || self.checkpoint_due() {
                self.start_reading(shared, 0);
                self.run_reading(shared, happened);
            } else {
                break;
            }
        }
        self.start_shortening(shared);
        self.run_background(shared);
    }

    /// A checkpoint begins with a look at the log, or it might miss what others wrote
    /// and then forgot.
    fn checkpoint_due(&self) -> bool {
        self.checkpoint_wanted.is_some() && self.background.is_none()
    }

    fn wake(&mut self, shared: &mut Shared) {
        let now = shared.now.instant;
        if self.background_until <= now
            && let Some(background) = self.background.take()
        {
            shared.give_up(&background);
        }
        if self.is_watched() && self.reread_at.is_some_and(|at| at <= now) {
            self.reread_at = None;
            self.read_wanted = true;
        }
        self.wake_verifying(shared);
        match &mut self.activity {
            Activity::Pausing { until, attempt } if *until <= now => {
                let attempt = *attempt;
                self.start_reading(shared, attempt);
            }
            Activity::Committing(commit) => {
                if let Err(at) = commit.request
                    && at <= now
                {
                    let insert = StorageRequest::InsertItems(commit.items.clone());
                    commit.request = Ok(shared.request(self.id, insert));
                }
            }
            _ => {}
        }
    }

    pub(super) fn reader(&self, shared: &Shared, io: Io) -> Reader {
        Reader {
            io,
            config: Arc::clone(&shared.config),
            keys: Arc::clone(&shared.keys),
            places: shared.places,
            partition: self.partition.clone(),
            unix_ms: shared.now.unix_ms,
            damaged: Mutex::default(),
        }
    }

    fn start_reading(&mut self, shared: &mut Shared, attempt: u32) {
        self.read_wanted = false;
        self.passed_over = false;
        self.reread_at = None;
        self.read_began = shared.now.instant;
        self.checkpointed = None;
        self.reads += 1;
        let (known, origin) = (self.known.clone(), self.origin);
        let workflow = Workflow::new(&shared.ids, |io| {
            let reader = self.reader(shared, io);
            async move {
                match known {
                    Some(known) => reader.refresh(known, origin).await,
                    None => reader.load(origin).await,
                }
            }
        });
        self.activity = Activity::Reading { workflow, attempt };
    }

    fn run_reading(&mut self, shared: &mut Shared, happened: &mut Vec<Happened<S>>) {
        let Activity::Reading { workflow, attempt } = &mut self.activity else {
            return;
        };
        let outcome = workflow.resume();
        shared.carry_out(self.id, workflow);
        let Poll::Ready(outcome) = outcome else {
            return;
        };
        let attempt = *attempt;
        shared.give_up(workflow);
        self.activity = Activity::Idle;
        let began = self.read_began;
        let outcome = self.in_time(shared, began, outcome);
        match outcome {
            Ok(outcome) => self.was_read(shared, began, outcome, happened),
            Err(StorageError::Unavailable(_)) if attempt < shared.config.storage_retries_max => {
                self.activity = Activity::Pausing {
                    until: shared
                        .now
                        .instant
                        .after(RETRY_PAUSE * (1 << attempt.min(6))),
                    attempt: attempt + 1,
                };
            }
            Err(error) => {
                shared.event(Event::StorageFailed {
                    step: "read a log",
                    reason: error.to_string(),
                });
                self.checkpoint_wanted = None;
                self.ended = self.reads;
                if self.rung {
                    let interval = shared.config.reread_interval;
                    self.reread_at = Some(shared.now.instant.after(interval));
                }
                let unconfirmed = self.unconfirmed.drain(..).map(|(work, _)| work);
                for work in unconfirmed.chain(self.jobs.drain(..)) {
                    happened.push(Happened::Failed(work, AccountFailure::Unavailable));
                }
                happened.push(Happened::Unreadable(AccountFailure::Unavailable));
            }
        }
    }

    /// What was read, unless that took so long that what was to be read last may have been
    /// deleted since the first was read.
    pub(super) fn in_time(
        &self,
        shared: &Shared,
        began: Instant,
        outcome: Result<ReadOutcome<S>, StorageError>,
    ) -> Result<ReadOutcome<S>, StorageError> {
        let took = shared.now.instant.since(began);
        outcome.and_then(|outcome| match took < shared.config.log_grace / 2 {
            true => Ok(outcome),
            false => Err(StorageError::Unavailable(
                "a log took too long to be read".to_owned(),
            )),
        })
    }

    pub(super) fn was_read(
        &mut self,
        shared: &mut Shared,
        began: Instant,
        outcome: ReadOutcome<S>,
        happened: &mut Vec<Happened<S>>,
    ) {
        shared.clock.observe(outcome.latest);
        self.last_read = Some(shared.now.instant);
        self.last_read_began = Some(began);
        (self.read, self.ended) = (self.reads, self.reads);
        self.read_needed = false;
        self.rung = self.read_wanted;
        self.owed.extend(outcome.owed);
        let mut known = outcome.known;
        if let Some((key, pointer, operations)) = self.checkpointed.take() {
            if !outcome.whole {
                known.operations = known.operations.saturating_sub(operations);
            }
            known.checkpoints.insert(key, Some(pointer));
        }
        self.note_pointers(&known, shared.now.instant);
        if outcome.whole
            && let Some(shown) = &self.shown
        {
            Arc::make_mut(&mut known.state).follow(shown, &mut self.owed);
        }
        if outcome.whole && known.superfluous > shared.config.checkpoint_operations_min {
            self.shorten_at = Some(shared.now.instant);
        }
        if self.checkpoint_due() && !known.partial && known.is_complete() {
            self.checkpoint_wanted = None;
            self.start_checkpoint(shared, &known, true);
        }
        self.checkpoint_wanted = None;
        if let Some(settle) = known.state.settle(&self.owed) {
            // Nobody is told before it is settled, if it can be.
            self.jobs.push_front(settle);
        } else {
            happened.push(Happened::Read);
        }
        self.known = Some(known);
    }

    fn note_pointers(&mut self, known: &Known<S>, now: Instant) {
        self.pointers_seen
            .retain(|key, _| known.checkpoints.contains_key(key));
        for key in known.checkpoints.keys() {
            self.pointers_seen.entry(key.clone()).or_insert(now);
        }
    }

    fn start_checkpoint(&mut self, shared: &mut Shared, known: &Known<S>, write: bool) {
        let stamp = shared.clock.tick(shared.now);
        let (writer, _) = shared.writer(self.id);
        let random = Random::new(shared.random.seed());
        let settled = self.pointers_seen.iter();
        let settled = settled
            .filter(|(_, since)| shared.now.instant.since(**since) >= shared.config.log_grace);
        let settled = settled.map(|(key, _)| key.clone()).collect();
        self.background_until = shared.now.instant.after(shared.config.log_grace / 2);
        self.background = Some(Workflow::new(&shared.ids, |io| {
            let checkpointing = Checkpointing {
                reader: self.reader(shared, io),
                state: Arc::clone(&known.state),
                covered: known.covered.clone(),
                stamp,
                writer,
                random,
                operations: known.operations,
                write,
                settled,
            };
            checkpointing.run()
        }));
        self.shorten_at = None;
    }

    fn start_shortening(&mut self, shared: &mut Shared) {
        let due = self.shorten_at.is_some_and(|at| at <= shared.now.instant);
        if !due || self.background.is_some() {
            return;
        }
        match self.known.clone() {
            Some(known) => self.start_checkpoint(shared, &known, false),
            None => self.shorten_at = None,
        }
    }

    fn run_background(&mut self, shared: &mut Shared) {
        let Some(workflow) = &mut self.background else {
            return;
        };
        let outcome = workflow.resume();
        shared.carry_out(self.id, workflow);
        let Poll::Ready(outcome) = outcome else {
            return;
        };
        shared.give_up(workflow);
        self.background = None;
        let grace = shared.config.log_grace;
        match outcome {
            Ok(done) => {
                if let (Some((key, pointer)), Some(known)) = (done.written, &mut self.known) {
                    // What was committed meanwhile is in no checkpoint yet.
                    known.operations = known.operations.saturating_sub(done.operations);
                    self.pointers_seen.insert(key.clone(), shared.now.instant);
                    if self.activity.reads() {
                        self.checkpointed = Some((key.clone(), pointer.clone(), done.operations));
                    }
                    known.checkpoints.insert(key, Some(pointer));
                }
                if !done.clean {
                    self.shorten_at = Some(shared.now.instant.after(grace));
                }
            }
            Err(error) => {
                // Nothing is lost: the log is only longer than it should be.
                shared.event(Event::StorageFailed {
                    step: "make a checkpoint",
                    reason: error.to_string(),
                });
                if let Some(known) = &mut self.known {
                    // Not again at the very next operation.
                    known.operations /= 2;
                }
                self.shorten_at = None;
            }
        }
        // What was wanted while this one was made may be in it.
        let wanted = self.checkpoint_wanted.take();
        self.checkpoint_wanted = wanted.filter(|min| self.is_worth_a_checkpoint(*min));
    }
}
