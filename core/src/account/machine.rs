//! The machine: what goes in, what comes out, and who is told.

use super::log::{Happened, Log};
use super::plan::{DirectoryAnswer, DirectoryWork, MailboxAnswer, MailboxWork};
use super::requests::{Ask, Waiting};
use super::shared::{LogId, Shared};
use super::{
    AccountFailure, AccountInput, AccountOutput, AccountReply, ConnectionId, Copied, Snapshot,
};
use crate::config::Config;
use crate::mailbox::{Clock, Directory, MailboxId, MailboxState, Uid};
use crate::random::{Random, Seed};
use crate::seal::{AccountKeys, Places};
use crate::storage::{RequestId, StorageResponse};
use crate::time::{Instant, Now};
use crate::workflow::RequestIds;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One user's mailboxes.
///
/// The driver owns it in one task and keeps to this contract:
///
/// - After every [`handle_input`](Self::handle_input) it calls
///   [`poll_output`](Self::poll_output) until that says `Wait` or `Done`, and carries out
///   each output.
/// - Each [`AccountOutput::Storage`] is answered by one [`AccountInput::Storage`], unless
///   it was abandoned. Answers may come in any order.
/// - At the deadline of the last `Wait` it gives [`AccountInput::Timeout`]; sooner or
///   later does no harm.
/// - A connection has one request open at most, and is announced by its first request.
#[derive(Debug)]
pub struct Account {
    pub(super) shared: Shared,
    pub(super) directory: Log<Directory>,
    pub(super) mailboxes: BTreeMap<MailboxId, Mailbox>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    /// Requests that wait for a log to be read.
    pub(super) waiting: Vec<Waiting>,
    pub(super) shutdown: bool,
}

/// A mailbox that is or was in use.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) log: Log<MailboxState>,
    /// Messages from here on are `\Recent`: no session was told of them.
    recent_from: Uid,
    /// Since when no connection has it selected.
    idle_since: Option<Instant>,
    /// What need not be written at once is written, or was tried to be.
    tidied: bool,
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) selected: Option<Selected>,
}

/// What a connection has selected.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) mailbox: MailboxId,
    pub(super) read_only: bool,
    /// What it was told last.
    pub(super) told: Option<Arc<MailboxState>>,
}

impl Account {
    /// The machine of the account whose keys these are. Nothing is read before the
    /// first request.
    #[must_use]
    pub fn new(config: Arc<Config>, keys: Arc<AccountKeys>, seed: Seed, now: Now) -> Self {
        let places = Places::new(keys.account());
        let directory = Directory::initial(&keys);
        Self {
            directory: Log::new(LogId::Directory, places.directory(), directory),
            shared: Shared {
                config,
                keys,
                places,
                ids: Arc::new(RequestIds::default()),
                random: Random::new(seed),
                clock: Clock::default(),
                now,
                outputs: VecDeque::new(),
                routes: BTreeMap::new(),
                writers: BTreeMap::new(),
            },
            mailboxes: BTreeMap::new(),
            connections: BTreeMap::new(),
            waiting: Vec::new(),
            shutdown: false,
        }
    }

    /// Takes an input. Never fails: what goes wrong is told to whom it concerns.
    pub fn handle_input(&mut self, now: Now, input: AccountInput) {
        self.shared.now = now;
        match input {
            AccountInput::Request(connection, request) => {
                self.connections.entry(connection).or_default();
                if self.shutdown {
                    self.fail(connection, AccountFailure::Unavailable);
                } else {
                    self.dispatch(Ask::new(connection, request));
                }
            }
            AccountInput::Detach(connection) => {
                self.deselect(connection);
                self.connections.remove(&connection);
                self.waiting
                    .retain(|waiting| waiting.ask.connection != connection);
            }
            AccountInput::Storage(id, response) => self.storage(id, response),
            AccountInput::Timeout => self.timeout(),
            AccountInput::Shutdown => self.begin_shutdown(),
        }
    }

    /// The next thing to be done; to be called until it is `Wait` or `Done`.
    pub fn poll_output(&mut self) -> AccountOutput {
        if let Some(output) = self.shared.outputs.pop_front() {
            return output;
        }
        if self.shutdown && self.is_quiet() {
            return AccountOutput::Done;
        }
        AccountOutput::Wait {
            deadline: self.deadline(),
        }
    }

    /// Whether all is committed.
    fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
            && self.directory.is_quiet()
            && self
                .mailboxes
                .values()
                .all(|mailbox| mailbox.log.is_quiet())
    }

    fn deadline(&self) -> Option<Instant> {
        let timeout = self.shared.config.mailbox_idle_timeout;
        self.mailboxes
            .values()
            .flat_map(|mailbox| {
                let idle = mailbox.idle_since.filter(|_| !self.shutdown);
                [
                    mailbox.log.deadline(),
                    idle.map(|since| since.after(timeout)),
                ]
            })
            .chain([self.directory.deadline()])
            .flatten()
            .min()
    }

    fn storage(&mut self, id: RequestId, response: StorageResponse) {
        match self.shared.routes.remove(&id) {
            Some(LogId::Directory) => {
                let happened = self.directory.answer(&mut self.shared, id, response);
                self.after_directory(happened);
            }
            Some(LogId::Mailbox(mailbox)) => {
                if let Some(it) = self.mailboxes.get_mut(&mailbox) {
                    let happened = it.log.answer(&mut self.shared, id, response);
                    self.after_mailbox(mailbox, happened);
                }
            }
            None => {}
        }
    }

    fn timeout(&mut self) {
        self.run_directory();
        let mailboxes: Vec<_> = self.mailboxes.keys().copied().collect();
        for mailbox in mailboxes {
            self.run_mailbox(mailbox);
            self.rest(mailbox);
        }
    }

    fn begin_shutdown(&mut self) {
        self.shutdown = true;
        let operations_min = self.idle_checkpoint_min();
        self.directory.want_checkpoint(operations_min);
        self.run_directory();
        let mailboxes: Vec<_> = self.mailboxes.keys().copied().collect();
        for mailbox in mailboxes {
            self.tidy(mailbox);
        }
    }

    /// What a rested log is worth a checkpoint for.
    fn idle_checkpoint_min(&self) -> usize {
        self.shared.config.checkpoint_operations_min / 4
    }

    /// Writes down what need not be written at once.
    fn tidy(&mut self, mailbox: MailboxId) {
        let operations_min = self.idle_checkpoint_min();
        let Some(it) = self.mailboxes.get_mut(&mailbox) else {
            return;
        };
        let Some(state) = it.log.state() else { return };
        if state.recent_from() < it.recent_from {
            it.log.push(MailboxWork::Recent(it.recent_from));
        }
        it.log.want_checkpoint(operations_min);
        self.run_mailbox(mailbox);
    }

    /// Lets go of a mailbox that nobody has had selected for a while.
    fn rest(&mut self, mailbox: MailboxId) {
        let (now, timeout) = (
            self.shared.now.instant,
            self.shared.config.mailbox_idle_timeout,
        );
        let Some(it) = self.mailboxes.get(&mailbox) else {
            return;
        };
        if it.idle_since.is_none_or(|since| since.after(timeout) > now) {
            return;
        }
        let busy = !it.log.is_quiet() || self.waits_for(mailbox);
        if !busy && it.tidied {
            self.mailboxes.remove(&mailbox);
            return;
        }
        if let Some(it) = self.mailboxes.get_mut(&mailbox) {
            it.idle_since = Some(now);
            it.tidied |= !busy;
        }
        if !busy {
            self.tidy(mailbox);
        }
    }

    fn waits_for(&self, mailbox: MailboxId) -> bool {
        self.waiting
            .iter()
            .any(|waiting| waiting.log == LogId::Mailbox(mailbox))
    }

    /// Does what can be done in the directory's log.
    pub(super) fn run_directory(&mut self) {
        let happened = self.directory.run(&mut self.shared);
        self.after_directory(happened);
    }

    /// Does what can be done in a mailbox's log.
    pub(super) fn run_mailbox(&mut self, mailbox: MailboxId) {
        if let Some(it) = self.mailboxes.get_mut(&mailbox) {
            let happened = it.log.run(&mut self.shared);
            self.after_mailbox(mailbox, happened);
        }
    }

    fn after_directory(&mut self, happened: Vec<Happened<Directory>>) {
        for event in happened {
            match event {
                Happened::Read => {
                    self.forget_deleted();
                    self.resume_waiting(LogId::Directory, None);
                }
                Happened::Unreadable(failure) => {
                    self.resume_waiting(LogId::Directory, Some(failure));
                }
                Happened::Failed(DirectoryWork { connection, .. }, failure) => {
                    self.fail(connection, failure);
                }
                Happened::Done(answers) => {
                    self.forget_deleted();
                    for answer in answers {
                        match answer {
                            DirectoryAnswer::Done(connection) => {
                                self.reply(connection, AccountReply::Done);
                            }
                            DirectoryAnswer::MoveInbox(connection, to) => {
                                self.dispatch(Ask::move_inbox(connection, to));
                            }
                        }
                    }
                }
            }
        }
    }

    fn after_mailbox(&mut self, mailbox: MailboxId, happened: Vec<Happened<MailboxState>>) {
        let changed = !happened.is_empty();
        for event in happened {
            match event {
                Happened::Read => self.resume_waiting(LogId::Mailbox(mailbox), None),
                Happened::Unreadable(failure) => {
                    self.resume_waiting(LogId::Mailbox(mailbox), Some(failure));
                }
                Happened::Failed(MailboxWork::Settle, _) => {
                    // It can be shown all the same: what has no UID stays hidden.
                    self.resume_waiting(LogId::Mailbox(mailbox), None);
                }
                Happened::Failed(work, failure) => {
                    if let Some(connection) = work.connection() {
                        self.fail(connection, failure);
                    }
                }
                Happened::Done(answers) => {
                    for answer in answers {
                        self.mailbox_answer(mailbox, answer);
                    }
                }
            }
        }
        if changed {
            self.publish(mailbox);
        }
    }

    fn mailbox_answer(&mut self, mailbox: MailboxId, answer: MailboxAnswer) {
        match answer {
            MailboxAnswer::Appended(connection, uids) => {
                let selected = self.selected(connection) == Some(mailbox);
                let snapshot = selected.then(|| self.snapshot(connection)).flatten();
                let Some(state) = self.state(mailbox) else {
                    return;
                };
                let uid_validity = state.uid_validity();
                let reply = AccountReply::Appended {
                    uid_validity,
                    uids,
                    snapshot,
                };
                self.reply(connection, reply);
            }
            MailboxAnswer::Copied(connection, origin, uids) => {
                let Some(state) = self.state(mailbox) else {
                    return;
                };
                let copied = Copied {
                    uid_validity: state.uid_validity(),
                    uids: origin
                        .originals
                        .iter()
                        .map(|(uid, _)| *uid)
                        .zip(uids)
                        .collect(),
                };
                if !origin.expunge {
                    return self.tell(connection, |snapshot| AccountReply::Copied {
                        copied,
                        snapshot,
                    });
                }
                let messages = origin.originals.iter().map(|(_, id)| *id).collect();
                let work = MailboxWork::Remove {
                    connection,
                    messages,
                    copied,
                    rename: origin.rename,
                };
                self.mailbox(origin.mailbox).log.push(work);
                self.run_mailbox(origin.mailbox);
            }
            MailboxAnswer::Stored(connection, modified) => {
                self.tell(connection, |snapshot| AccountReply::Stored {
                    snapshot,
                    modified,
                });
            }
            MailboxAnswer::Expunged(connection) => self.tell(connection, AccountReply::Snapshot),
            MailboxAnswer::Removed(connection, _, true) => {
                self.reply(connection, AccountReply::Done);
            }
            MailboxAnswer::Removed(connection, copied, false) => {
                self.tell(connection, |snapshot| AccountReply::Copied {
                    copied,
                    snapshot,
                });
            }
            MailboxAnswer::Settled => self.resume_waiting(LogId::Mailbox(mailbox), None),
            MailboxAnswer::Nothing => {}
        }
    }

    /// Requests that waited for this log go on, or fail.
    fn resume_waiting(&mut self, log: LogId, failure: Option<AccountFailure>) {
        let reads = match log {
            LogId::Directory => self.directory.reads(),
            LogId::Mailbox(mailbox) => match self.mailboxes.get(&mailbox) {
                Some(it) => it.log.reads(),
                None => u64::MAX,
            },
        };
        let (now, later) = core::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| waiting.log == log && waiting.read <= reads);
        self.waiting = later;
        for Waiting { mut ask, .. } in now {
            match &failure {
                Some(failure) => self.fail(ask.connection, failure.clone()),
                None => {
                    ask.was_read(log);
                    self.dispatch(ask);
                }
            }
        }
    }

    /// The mailbox, made ready to be used.
    pub(super) fn mailbox(&mut self, mailbox: MailboxId) -> &mut Mailbox {
        let Some(state) = self.directory.state() else {
            unreachable!("mailboxes are found in the directory");
        };
        let uid_validity = state.uid_validity(mailbox);
        let partition = self.shared.places.log(mailbox);
        let now = self.shared.now.instant;
        self.mailboxes.entry(mailbox).or_insert_with(|| Mailbox {
            log: Log::new(
                LogId::Mailbox(mailbox),
                partition,
                MailboxState::new(uid_validity),
            ),
            recent_from: Uid::FIRST,
            idle_since: Some(now),
            tidied: false,
        })
    }

    /// What a connection has selected.
    pub(super) fn selected(&self, connection: ConnectionId) -> Option<MailboxId> {
        let selected = self.connections.get(&connection)?.selected.as_ref()?;
        Some(selected.mailbox)
    }

    /// The state of a mailbox, if it is known.
    pub(super) fn state(&self, mailbox: MailboxId) -> Option<&Arc<MailboxState>> {
        self.mailboxes.get(&mailbox)?.log.state()
    }

    /// The state with what is recent now, for STATUS.
    pub(super) fn status(&self, mailbox: MailboxId) -> Option<Arc<MailboxState>> {
        let it = self.mailboxes.get(&mailbox)?;
        let mut state = Arc::clone(it.log.state()?);
        if state.recent_from() < it.recent_from {
            Arc::make_mut(&mut state).take_recent(it.recent_from);
        }
        Some(state)
    }

    /// A connection has this mailbox selected from now on.
    pub(super) fn select(&mut self, connection: ConnectionId, mailbox: MailboxId, read_only: bool) {
        if let Some(it) = self.connections.get_mut(&connection) {
            it.selected = Some(Selected {
                mailbox,
                read_only,
                told: None,
            });
            let it = self.mailbox(mailbox);
            it.idle_since = None;
            it.tidied = false;
            it.log.hold(true);
        }
    }

    /// A connection has nothing selected from now on.
    pub(super) fn deselect(&mut self, connection: ConnectionId) {
        let selected = self
            .connections
            .get_mut(&connection)
            .and_then(|it| it.selected.take());
        if let Some(selected) = selected {
            self.note_idle(selected.mailbox);
        }
    }

    /// Starts to wait before a mailbox is let go, if nobody has it selected.
    fn note_idle(&mut self, mailbox: MailboxId) {
        let held = self.is_held(mailbox);
        let now = self.shared.now.instant;
        if let Some(it) = self.mailboxes.get_mut(&mailbox) {
            it.log.hold(held);
            if !held && it.idle_since.is_none() {
                it.idle_since = Some(now);
            }
        }
        let idle = self.mailboxes.iter();
        let idle = idle.filter_map(|(id, it)| Some((it.idle_since?, *id)));
        let mut idle: Vec<_> = idle.collect();
        let surplus = idle
            .len()
            .saturating_sub(self.shared.config.idle_mailboxes_max);
        idle.sort_unstable();
        for (_, mailbox) in idle.into_iter().take(surplus) {
            self.tidy(mailbox);
            let quiet = self.mailboxes.get(&mailbox);
            if quiet.is_some_and(|it| it.log.is_quiet()) && !self.waits_for(mailbox) {
                self.mailboxes.remove(&mailbox);
            }
        }
    }

    fn is_held(&self, mailbox: MailboxId) -> bool {
        let mut selected = self
            .connections
            .values()
            .filter_map(|it| it.selected.as_ref());
        selected.any(|selected| selected.mailbox == mailbox)
    }

    /// The state of the selected mailbox for its connection; what is recent is given to
    /// the first that may take it.
    pub(super) fn snapshot(&mut self, connection: ConnectionId) -> Option<Snapshot> {
        let selected = self.connections.get_mut(&connection)?.selected.as_mut()?;
        let mailbox = self.mailboxes.get_mut(&selected.mailbox)?;
        let state = Arc::clone(mailbox.log.state()?);
        let from = mailbox.recent_from.max(state.recent_from());
        let recent = state.position(from).unwrap_or_else(|next| next) < state.len();
        if recent && !selected.read_only {
            mailbox.recent_from = state.uid_next();
        }
        selected.told = Some(Arc::clone(&state));
        Some(Snapshot {
            state,
            recent_from: recent.then_some(from),
        })
    }

    /// Answers with the new state of the selected mailbox.
    pub(super) fn tell(
        &mut self,
        connection: ConnectionId,
        reply: impl FnOnce(Snapshot) -> AccountReply,
    ) {
        match self.snapshot(connection) {
            Some(snapshot) => self.reply(connection, reply(snapshot)),
            None => self.fail(connection, AccountFailure::NonExistent),
        }
    }

    /// Tells everybody else who has the mailbox selected.
    fn publish(&mut self, mailbox: MailboxId) {
        let Some(state) = self.state(mailbox).cloned() else {
            return;
        };
        let others: Vec<_> = self
            .connections
            .iter()
            .filter_map(|(id, connection)| {
                let selected = connection.selected.as_ref()?;
                let told = selected.told.as_ref()?;
                let new = selected.mailbox == mailbox && !Arc::ptr_eq(told, &state);
                new.then_some(*id)
            })
            .collect();
        for connection in others {
            if let Some(snapshot) = self.snapshot(connection) {
                self.reply(connection, AccountReply::Changed(snapshot));
            }
        }
        let held = self.is_held(mailbox);
        if let Some(it) = self.mailboxes.get_mut(&mailbox) {
            it.log.hold(held);
        }
    }

    /// Mailboxes that are no more: their connections are told.
    fn forget_deleted(&mut self) {
        let Some(directory) = self.directory.state().cloned() else {
            return;
        };
        let gone: Vec<_> = self
            .mailboxes
            .keys()
            .copied()
            .filter(|mailbox| !directory.contains(*mailbox))
            .collect();
        for mailbox in gone {
            if let Some(it) = self.mailboxes.remove(&mailbox) {
                for work in it.log.end(&mut self.shared) {
                    if let Some(connection) = work.connection() {
                        self.fail(connection, AccountFailure::NonExistent);
                    }
                }
            }
            self.resume_waiting(LogId::Mailbox(mailbox), Some(AccountFailure::NonExistent));
            let mut told = Vec::new();
            for (id, connection) in &mut self.connections {
                let selected = connection.selected.as_ref();
                if selected.is_some_and(|selected| selected.mailbox == mailbox) {
                    connection.selected = None;
                    told.push(*id);
                }
            }
            for connection in told {
                self.reply(connection, AccountReply::Vanished);
            }
        }
    }

    /// Tells a connection, if it is still there.
    pub(super) fn reply(&mut self, connection: ConnectionId, reply: AccountReply) {
        if self.connections.contains_key(&connection) {
            let output = AccountOutput::Reply(connection, reply);
            self.shared.outputs.push_back(output);
        }
    }

    /// Tells a connection that it cannot be.
    pub(super) fn fail(&mut self, connection: ConnectionId, failure: AccountFailure) {
        self.reply(connection, AccountReply::Failed(failure));
    }
}
