//! The machine: what goes in, what comes out, and who is told.

use super::log::{Happened, Log};
use super::plan::{DirectoryAnswer, DirectoryChange, MailboxAnswer, MailboxWork};
use super::requests::{Ask, Waiting};
use super::shared::{LogId, Shared};
use super::upkeep::Upkeep;
use super::{AccountFailure, AccountInput, AccountOutput, AccountReply, ConnectionId, Copied};
use crate::config::Config;
use crate::mailbox::{Clock, Directory, MailboxId, MailboxState, ModSeq, Uid};
use crate::random::{Random, Seed};
use crate::seal::{AccountKeys, Places};
use crate::storage::{RequestId, StorageResponse};
use crate::time::{Instant, Now};
use crate::workflow::RequestIds;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One user's mailboxes.
///
/// Its owner is one task and keeps to this contract:
///
/// - After every [`handle_input`](Self::handle_input) it calls
///   [`poll_output`](Self::poll_output) until that says `Wait` or `Done`, and carries out
///   each output.
/// - Each [`AccountOutput::Storage`] is answered by one [`AccountInput::Storage`], unless
///   it was abandoned. Answers may come in any order.
/// - At the deadline of the last `Wait` it gives [`AccountInput::Timeout`]; sooner or
///   later does no harm.
/// - A connection has one request open at most, and is announced by its first request.
///
/// ```
/// use restante_core::account::{
///     Account, AccountInput, AccountOutput, AccountReply, AccountRequest, ConnectionId,
/// };
/// use restante_core::config::Config;
/// use restante_core::mailbox::AccountId;
/// use restante_core::random::{Random, Seed};
/// use restante_core::seal::AccountKeys;
/// use restante_core::storage::{StorageRequest, StorageResponse};
/// use restante_core::time::{Instant, Now};
/// use std::collections::VecDeque;
/// use std::sync::Arc;
///
/// let now = Now { instant: Instant(0), unix_ms: 1_700_000_000_000 };
/// // Seeds are random in a server; fixed ones give a fixed run.
/// let keys = AccountKeys::generate(AccountId([1; 16]), &mut Random::new(Seed::new([2; 32])));
/// let config = Arc::new(Config::default());
/// let mut account = Account::new(config, Arc::new(keys), Seed::new([3; 32]), now);
///
/// let mut names = Vec::new(); // what the connection is told
/// // What came from connections, storage and the clock, and the machine has not had yet.
/// let list = AccountInput::Request(ConnectionId(1), AccountRequest::List);
/// let mut inputs = VecDeque::from([list]);
/// 'machine: loop {
///     // 1. Drain: do what each output says, until Wait or Done.
///     let deadline = loop {
///         match account.poll_output() {
///             // Here storage is empty and answers at once; elsewhere it answers later,
///             // and much else may come in before.
///             AccountOutput::Storage(id, StorageRequest::ReadRange(_)) => {
///                 let (items, next) = (Vec::new(), None);
///                 let response = StorageResponse::Range { items, next };
///                 inputs.push_back(AccountInput::Storage(id, response));
///             }
///             AccountOutput::Storage(..) => unreachable!("LIST only reads"),
///             // No answer to this one, please; if it is too late for that, no harm.
///             AccountOutput::Abandon(_) => {}
///             AccountOutput::Reply(ConnectionId(1), AccountReply::Directory(directory)) => {
///                 names.extend(directory.mailboxes().map(|it| it.name.as_str().to_owned()));
///                 // That was all that anybody wanted.
///                 inputs.push_back(AccountInput::Detach(ConnectionId(1)));
///                 inputs.push_back(AccountInput::Shutdown);
///             }
///             // For other servers, when others are there.
///             AccountOutput::Ring(_) => {}
///             AccountOutput::Reply(..) | AccountOutput::Event(_) => {}
///             AccountOutput::Wait { deadline } => break deadline,
///             AccountOutput::Done => break 'machine,
///         }
///     };
///     // 2. Wait for an input, or the deadline, and hand in one.
///     let input = match inputs.pop_front() {
///         Some(input) => input,
///         None if deadline.is_some() => AccountInput::Timeout,
///         None => break,
///     };
///     account.handle_input(now, input);
/// }
/// assert_eq!(names, ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]);
/// ```
///
/// # The end
///
/// After [`AccountInput::Shutdown`] what was begun goes on, in a bounded number of storage
/// requests, and `Done` comes when the last of them is answered, be it with failures. The
/// machine has no clock of its own to end that: if storage never answers, `Done` never
/// comes. So the owner waits for as long as it can afford, and then drops the machine.
/// That is as if the process had died: nobody was told that it is done, what was being
/// committed appears as a whole or not at all, and all else is durable already.
#[derive(Debug)]
pub struct Account {
    pub(super) shared: Shared,
    pub(super) directory: Log<Directory>,
    /// Each on its own: a node of the map has room for eleven, and most accounts use one.
    pub(super) mailboxes: BTreeMap<MailboxId, Box<Mailbox>>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    /// Requests that wait for a log to be read.
    pub(super) waiting: Vec<Waiting>,
    pub(super) upkeep: Upkeep,
    pub(super) shutdown: bool,
}

/// A mailbox that is or was in use.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) log: Log<MailboxState>,
    /// Messages from here on are `\Recent`: no session was told of them.
    pub(super) recent_from: Uid,
    /// When to write that down.
    pub(super) recent_due: Option<Instant>,
    /// Since when no connection has it selected.
    pub(super) idle_since: Option<Instant>,
    /// What need not be written at once is written, or was tried to be.
    pub(super) tidied: bool,
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) selected: Option<Selected>,
    /// Where it is about to add messages, and which reading of that log will do for it.
    pub(super) probed: Option<(MailboxId, u64)>,
}

/// What a connection has selected.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) mailbox: MailboxId,
    pub(super) read_only: bool,
    /// What it was told last.
    pub(super) told: Option<Arc<MailboxState>>,
    /// It sleeps.
    pub(super) sleep: Option<Sleep>,
}

/// A connection that need not be told more than that there are news.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sleep {
    /// It was told of all changes up to here, and of so many messages.
    pub(super) known: (ModSeq, usize),
    /// It was told that there are news.
    pub(super) stirred: bool,
}

impl Account {
    /// The machine of the account whose keys these are. Nothing is read before the
    /// first request.
    #[must_use]
    pub fn new(config: Arc<Config>, keys: Arc<AccountKeys>, seed: Seed, now: Now) -> Self {
        let places = Places::new(keys.account());
        let shared = Shared {
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
        };
        Self {
            directory: Log::new(LogId::Directory, places.directory(), ()),
            upkeep: Upkeep::new(&shared),
            shared,
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
                    let patience = self.shared.config.refresh_patience;
                    let patience = now.instant.after(patience);
                    self.dispatch(Ask::new(connection, request, patience));
                }
            }
            AccountInput::Detach(connection) => {
                self.deselect(connection);
                self.connections.remove(&connection);
                self.waiting
                    .retain(|waiting| waiting.ask.connection != connection);
            }
            AccountInput::Storage(id, response) => self.storage(id, response),
            AccountInput::Rung(log) => self.rung(log),
            AccountInput::RungAll => self.rung_all(),
            AccountInput::Timeout => self.timeout(),
            AccountInput::Shutdown => self.begin_shutdown(),
        }
    }

    /// The next thing to be done; to be called until it is `Wait` or `Done`.
    pub fn poll_output(&mut self) -> AccountOutput {
        if let Some(output) = self.shared.outputs.pop_front() {
            return output;
        }
        if self.is_done() {
            return AccountOutput::Done;
        }
        AccountOutput::Wait {
            deadline: self.deadline(),
        }
    }

    /// Whether it was told to finish and has nothing left to do.
    pub(super) fn is_done(&self) -> bool {
        self.shutdown && self.shared.outputs.is_empty() && self.is_quiet()
    }

    /// Whether all is committed.
    pub(super) fn is_quiet(&self) -> bool {
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
                    mailbox.recent_due.filter(|_| !self.shutdown),
                    mailbox.log.deadline(),
                    idle.map(|since| since.after(timeout)),
                ]
            })
            .chain([self.directory.deadline(), self.upkeep.deadline()])
            .chain(self.waiting.iter().map(|waiting| waiting.ask.patience))
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
            Some(LogId::Upkeep) => self.upkeep_answered(id, response),
            None => {}
        }
    }

    fn timeout(&mut self) {
        self.end_patience();
        self.run_upkeep();
        self.run_directory();
        let mailboxes: Vec<_> = self.mailboxes.keys().copied().collect();
        for mailbox in mailboxes {
            self.note_recent(mailbox, false);
            self.run_mailbox(mailbox);
            self.rest(mailbox);
        }
    }

    fn begin_shutdown(&mut self) {
        self.shutdown = true;
        self.end_upkeep();
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
    pub(super) fn tidy(&mut self, mailbox: MailboxId) {
        let operations_min = self.idle_checkpoint_min();
        self.note_recent(mailbox, true);
        let Some(it) = self.mailboxes.get_mut(&mailbox) else {
            return;
        };
        it.log.want_checkpoint(operations_min);
        self.run_mailbox(mailbox);
    }

    /// Writes down which messages are `\Recent` no more, when it is time or `now`. Nobody
    /// waits for it: if it is lost, a message is `\Recent` once more.
    fn note_recent(&mut self, mailbox: MailboxId, now: bool) {
        let instant = self.shared.now.instant;
        let Some(it) = self.mailboxes.get_mut(&mailbox) else {
            return;
        };
        if it.recent_due.is_some_and(|due| now || due <= instant) {
            it.recent_due = None;
            it.log.push(MailboxWork::Recent(it.recent_from));
        }
    }

    /// Lets go of a mailbox that nobody has had selected for a while.
    pub(super) fn rest(&mut self, mailbox: MailboxId) {
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

    pub(super) fn waits_for(&self, mailbox: MailboxId) -> bool {
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
        let left = self.leave_deleted(&happened);
        let mut goes_on = false;
        for event in happened {
            match event {
                Happened::Written => self.ring(None),
                Happened::Read => {
                    self.forget_deleted();
                    self.resume_waiting(LogId::Directory, None);
                }
                Happened::Unreadable(failure) => {
                    self.resume_waiting(LogId::Directory, Some(failure));
                }
                Happened::Failed(work, failure) => match work.wanted {
                    // The messages are where they should be. That this was not written
                    // down only means that the same RENAME may be made again.
                    DirectoryChange::InboxMoved(_) => {
                        self.reply(work.connection, AccountReply::Done);
                    }
                    _ => self.fail(work.connection, failure),
                },
                Happened::Done(answers) => {
                    self.forget_deleted();
                    for answer in answers {
                        match answer {
                            DirectoryAnswer::Done(connection) => {
                                self.reply(connection, AccountReply::Done);
                            }
                            DirectoryAnswer::Deleted(connection, _) => {
                                let selected = left.contains(&connection);
                                self.reply(connection, AccountReply::Deleted { selected });
                            }
                            DirectoryAnswer::Reserved(work) => {
                                self.directory.push(work);
                                goes_on = true;
                            }
                            DirectoryAnswer::MoveInbox(connection, to, target) => {
                                self.dispatch(Ask::move_inbox(connection, to, target));
                            }
                        }
                    }
                }
            }
        }
        if goes_on {
            self.run_directory();
        }
    }

    fn after_mailbox(&mut self, mailbox: MailboxId, happened: Vec<Happened<MailboxState>>) {
        let changed = !happened.is_empty();
        for event in happened {
            match event {
                Happened::Read => self.resume_waiting(LogId::Mailbox(mailbox), None),
                Happened::Written => self.ring(Some(mailbox)),
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
            self.hand_over_ring(mailbox);
        }
    }

    fn mailbox_answer(&mut self, mailbox: MailboxId, answer: MailboxAnswer) {
        match answer {
            MailboxAnswer::Appended(connection, uids) => {
                let selected = self.selected(connection) == Some(mailbox);
                if selected {
                    self.rouse(connection);
                }
                let snapshot = selected.then(|| self.snapshot(connection)).flatten();
                let Some(state) = self.state(mailbox) else {
                    return;
                };
                let uid_validity = state.uid_validity();
                let uids = uids.into_iter().map(|(_, uid)| uid).collect();
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
                        .zip(uids.into_iter().map(|(_, uid)| uid))
                        .collect(),
                };
                if !origin.expunge {
                    return self.tell(connection, |snapshot| AccountReply::Copied {
                        copied,
                        snapshot,
                    });
                }
                if !self.has_mailbox(origin.mailbox) {
                    // Deleted while the copies were made: the originals went with it.
                    let why = "The mailbox was deleted while its messages were moved";
                    return self.fail(connection, AccountFailure::Cannot(why));
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
            MailboxAnswer::Removed(connection, _, Some(target)) => {
                self.inbox_moved(connection, target);
            }
            MailboxAnswer::Removed(connection, copied, None) => {
                self.tell(connection, |snapshot| AccountReply::Copied {
                    copied,
                    snapshot,
                });
            }
            MailboxAnswer::Skipped(connection) => self.reply(connection, AccountReply::Done),
            MailboxAnswer::Settled => self.resume_waiting(LogId::Mailbox(mailbox), None),
            MailboxAnswer::Nothing => {}
        }
    }

    /// Requests that waited for this log go on, or fail.
    pub(super) fn resume_waiting(&mut self, log: LogId, failure: Option<AccountFailure>) {
        let well = failure.is_none();
        let read = match log {
            LogId::Directory => self.directory.last_reading(well),
            LogId::Mailbox(mailbox) => match self.mailboxes.get(&mailbox) {
                Some(it) => it.log.last_reading(well),
                None => u64::MAX,
            },
            // Nobody waits for it that way.
            LogId::Upkeep => u64::MAX,
        };
        let (now, later) = core::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| waiting.log == log && waiting.read <= read);
        self.waiting = later;
        for Waiting { mut ask, .. } in now {
            match &failure {
                Some(_) if ask.patience.is_some() => self.tell_known(&ask),
                Some(failure) => self.fail(ask.connection, failure.clone()),
                None => {
                    ask.was_read(log);
                    self.dispatch(ask);
                }
            }
        }
    }

    pub(super) fn has_mailbox(&self, mailbox: MailboxId) -> bool {
        let directory = self.directory.state();
        directory.is_some_and(|directory| directory.contains(mailbox))
    }

    /// The mailbox, made ready to be used.
    pub(super) fn mailbox(&mut self, mailbox: MailboxId) -> &mut Mailbox {
        let Some(state) = self.directory.state() else {
            unreachable!("mailboxes are found in the directory");
        };
        let uid_validity = state.uid_validity(mailbox);
        let partition = self.shared.places.log(mailbox);
        let now = self.shared.now.instant;
        self.mailboxes.entry(mailbox).or_insert_with(|| {
            Box::new(Mailbox {
                log: Log::new(LogId::Mailbox(mailbox), partition, uid_validity),
                recent_from: Uid::FIRST,
                recent_due: None,
                idle_since: Some(now),
                tidied: false,
            })
        })
    }
}
