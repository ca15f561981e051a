//! From a request to the logs that it needs.
//!
//! A request is dispatched again and again: each time it finds something missing (the
//! directory is not read, the mailbox is not read, or not recently enough) it waits for
//! that, until nothing is missing and it is answered or becomes work of a log.

use super::machine::Account;
use super::plan::{DirectoryChange, DirectoryWork, MailboxWork, Origin};
use super::shared::LogId;
use super::{AccountFailure, AccountReply, AccountRequest, ConnectionId, Copied, NewMessage};
use crate::mailbox::{Directory, MailboxId, MailboxName, MailboxState, Message};
use crate::time::Instant;
use std::sync::Arc;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) connection: ConnectionId,
    request: AccountRequest,
    /// The messages of INBOX go to this mailbox, which was made for them.
    move_inbox: Option<MailboxId>,
    /// Logs that were read since the request came.
    read: Vec<LogId>,
    /// Logs that are being read for it, and which reading will do.
    ahead: Vec<(LogId, u64)>,
    /// Until when it waits; then what is known will do.
    pub(super) patience: Option<Instant>,
}

/// A request that waits for a log to be read.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) log: LogId,
    /// Which reading will do.
    pub(super) read: u64,
    pub(super) ask: Ask,
}

/// The request waits, or was answered: nothing more is to be done now.
struct Later;

impl Ask {
    /// A request that came; `patience` is for one that can do with what is known.
    pub(super) fn new(
        connection: ConnectionId,
        request: AccountRequest,
        patience: Instant,
    ) -> Self {
        let hurries = matches!(
            request,
            AccountRequest::Refresh | AccountRequest::Resume { .. }
        );
        Self {
            patience: hurries.then_some(patience),
            connection,
            request,
            move_inbox: None,
            read: Vec::new(),
            ahead: Vec::new(),
        }
    }

    /// The second half of RENAME of INBOX.
    pub(super) fn move_inbox(connection: ConnectionId, to: MailboxName, target: MailboxId) -> Self {
        let from = MailboxName::inbox();
        Self {
            connection,
            request: AccountRequest::Rename { from, to },
            move_inbox: Some(target),
            read: Vec::new(),
            ahead: Vec::new(),
            patience: None,
        }
    }

    /// Whether a log was read since it came, if this is the last reading that ended well.
    fn has_read(&self, log: LogId, read: u64) -> bool {
        let ahead = |it: &(LogId, u64)| it.0 == log && it.1 <= read;
        self.read.contains(&log) || self.ahead.iter().any(ahead)
    }

    /// Which reading of a log was begun for it.
    fn ahead_of(&self, log: LogId) -> Option<u64> {
        let mut ahead = self.ahead.iter();
        ahead.find(|it| it.0 == log).map(|it| it.1)
    }

    /// A log that it waited for was read.
    pub(super) fn was_read(&mut self, log: LogId) {
        if !self.read.contains(&log) {
            self.read.push(log);
        }
    }
}

/// How new a log must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// It was read once.
    Any,
    /// It was read since the request came.
    Fresh,
    /// That many readings of it, or more, have ended well.
    Since(u64),
}

impl Account {
    /// Goes on with a request.
    pub(super) fn dispatch(&mut self, ask: Ask) {
        // What waits or is answered needs nothing more here.
        let _: Result<(), Later> = self.try_dispatch(ask);
    }

    fn try_dispatch(&mut self, ask: Ask) -> Result<(), Later> {
        let connection = ask.connection;
        if let Some(target) = ask.move_inbox {
            return self.move_inbox(ask, target);
        }
        match &ask.request {
            AccountRequest::List => {
                let age = self.listing_age();
                let (_, directory) = self.directory_for(ask, age)?;
                self.reply(connection, AccountReply::Directory(directory));
            }
            AccountRequest::Create { .. }
            | AccountRequest::Delete(_)
            | AccountRequest::Rename { .. }
            | AccountRequest::Subscribe { .. } => self.change_directory(ask)?,
            AccountRequest::Select { .. } => self.ask_select(ask)?,
            AccountRequest::Unselect => {
                self.deselect(connection);
                self.reply(connection, AccountReply::Done);
            }
            AccountRequest::Sleep => self.sleep(connection),
            AccountRequest::Resume { mailbox, read_only } => {
                let (mailbox, read_only) = (*mailbox, *read_only);
                self.ask_resume(ask, mailbox, read_only)?;
            }
            AccountRequest::Refresh => {
                let (ask, mailbox) = self.selected_for(ask)?;
                self.mailbox_for(ask, mailbox, Age::Fresh)?;
                self.tell(connection, AccountReply::Snapshot);
            }
            AccountRequest::Status(name) => {
                let name = name.clone();
                let (ask, mailbox) = self.find_for(ask, &name)?;
                self.mailbox_for(ask, mailbox, Age::Fresh)?;
                if let Some(state) = self.status(mailbox) {
                    self.reply(connection, AccountReply::Status(state));
                }
                // Some programs ask for all of their mailboxes, which may be thousands.
                self.let_go_of_surplus();
            }
            AccountRequest::Probe(name) => {
                let name = name.clone();
                let age = self.listing_age();
                let (ask, _) = self.directory_for(ask, age)?;
                let (_, mailbox) = self.find_for(ask, &name)?;
                self.read_ahead(connection, mailbox);
                self.reply(connection, AccountReply::Done);
            }
            AccountRequest::Append { name, .. } => {
                let name = name.clone();
                let (ask, mailbox) = self.find_for(ask, &name)?;
                let age = self.probed_age(connection, mailbox);
                let (ask, _) = self.mailbox_for(ask, mailbox, age)?;
                if let AccountRequest::Append {
                    messages,
                    summaries,
                    ..
                } = ask.request
                {
                    let work = MailboxWork::Append {
                        connection,
                        messages,
                        summaries,
                    };
                    self.work(mailbox, work);
                }
            }
            AccountRequest::Store { .. } | AccountRequest::Expunge { .. } => {
                let (ask, mailbox) = self.selected_for(ask)?;
                let age = self.deciding_age(&ask.request);
                let (ask, _) = self.mailbox_for(ask, mailbox, age)?;
                self.change_mailbox(ask, mailbox);
            }
            AccountRequest::Copy { .. } => self.ask_copy(ask)?,
            AccountRequest::Sweep | AccountRequest::Check(_) | AccountRequest::Undelete { .. } => {
                self.ask_upkeep(connection, ask.request);
            }
            AccountRequest::SkipUids { mailbox, above } => {
                let (mailbox, above) = (*mailbox, *above);
                let (ask, directory) = self.directory_for(ask, Age::Any)?;
                if !directory.contains(mailbox) {
                    self.fail(connection, AccountFailure::NonExistent);
                    return Err(Later);
                }
                self.mailbox_for(ask, mailbox, Age::Fresh)?;
                self.work(mailbox, MailboxWork::SkipUids { connection, above });
            }
        }
        Ok(())
    }

    /// CREATE, DELETE, RENAME, SUBSCRIBE.
    fn change_directory(&mut self, ask: Ask) -> Result<(), Later> {
        let connection = ask.connection;
        let (ask, _) = self.directory_for(ask, Age::Fresh)?;
        let wanted = match ask.request {
            AccountRequest::Create { name, special_use } => {
                DirectoryChange::Create(name, special_use)
            }
            AccountRequest::Delete(name) => DirectoryChange::Delete(name),
            AccountRequest::Rename { from, to } if from.is_inbox() => {
                DirectoryChange::RenameInbox(to)
            }
            AccountRequest::Rename { from, to } => DirectoryChange::Rename(from, to),
            AccountRequest::Subscribe { name, subscribed } => {
                DirectoryChange::Subscribe(name, subscribed)
            }
            _ => unreachable!("only requests that change the directory come here"),
        };
        self.directory.push(DirectoryWork::new(connection, wanted));
        self.run_directory();
        Ok(())
    }

    fn ask_select(&mut self, ask: Ask) -> Result<(), Later> {
        let AccountRequest::Select { name, read_only } = &ask.request else {
            return Ok(());
        };
        let (connection, name, read_only) = (ask.connection, name.clone(), *read_only);
        // Also when it fails: RFC 3501 §6.3.1.
        self.deselect(connection);
        let age = self.listing_age();
        let (ask, _) = self.directory_for(ask, age)?;
        let (ask, mailbox) = self.find_for(ask, &name)?;
        self.mailbox_for(ask, mailbox, Age::Fresh)?;
        self.select(connection, mailbox, read_only);
        self.tell(connection, |snapshot| AccountReply::Selected {
            mailbox,
            snapshot,
        });
        Ok(())
    }

    /// A connection that slept wants to know the mailbox again.
    fn ask_resume(&mut self, ask: Ask, mailbox: MailboxId, read_only: bool) -> Result<(), Later> {
        let connection = ask.connection;
        // What somebody watches is read whenever others write to it.
        let age = if self.is_held(mailbox) {
            Age::Any
        } else {
            Age::Fresh
        };
        let (ask, directory) = self.directory_for(ask, Age::Any)?;
        if !directory.contains(mailbox) {
            self.deselect(connection);
            self.fail(connection, AccountFailure::NonExistent);
            return Err(Later);
        }
        self.mailbox_for(ask, mailbox, age)?;
        self.select(connection, mailbox, read_only);
        self.tell(connection, AccountReply::Snapshot);
        Ok(())
    }

    /// STORE and EXPUNGE.
    fn change_mailbox(&mut self, ask: Ask, mailbox: MailboxId) {
        let connection = ask.connection;
        let work = match ask.request {
            AccountRequest::Store {
                uids,
                change,
                unchanged_since,
            } => MailboxWork::Store {
                connection,
                uids,
                change,
                unchanged_since,
            },
            AccountRequest::Expunge { uids } => MailboxWork::Expunge { connection, uids },
            _ => unreachable!("only requests that change the selected mailbox come here"),
        };
        self.work(mailbox, work);
    }

    /// COPY and MOVE.
    fn ask_copy(&mut self, ask: Ask) -> Result<(), Later> {
        let AccountRequest::Copy { to, expunge, .. } = &ask.request else {
            return Ok(());
        };
        let (connection, to, expunge) = (ask.connection, to.clone(), *expunge);
        let (mut ask, source) = self.selected_for(ask)?;
        let age = match self.deciding_age(&ask.request) {
            Age::Fresh => Age::Fresh,
            _ => self.copying_age(source),
        };
        self.read_for_copy(&mut ask, source, age, &to);
        let (ask, state) = self.mailbox_for(ask, source, age)?;
        // What is copied to a mailbox that another server has deleted would be lost.
        let listing = match self.shared.config.shared_storage {
            true => Age::Fresh,
            false => Age::Any,
        };
        let (ask, _) = self.directory_for(ask, listing)?;
        let (ask, target) = self.find_for(ask, &to)?;
        // The client may have been told of UIDs there that this server has not seen.
        let (ask, target_state) = self.mailbox_for(ask, target, Age::Fresh)?;
        let AccountRequest::Copy { uids, .. } = &ask.request else {
            return Ok(());
        };
        let found: Vec<&Message> = uids.iter().filter_map(|uid| state.find(*uid)).collect();
        if found.is_empty() {
            let copied = Copied {
                uid_validity: target_state.uid_validity(),
                uids: Vec::new(),
            };
            self.tell(connection, |snapshot| AccountReply::Copied {
                copied,
                snapshot,
            });
            return Ok(());
        }
        let origin = Origin {
            mailbox: source,
            target,
            originals: found.iter().map(|it| (it.uid, it.id)).collect(),
            expunge,
            rename: None,
        };
        self.work(target, copy_work(connection, &state, &found, origin));
        Ok(())
    }

    /// Has all the logs read at once that COPY or MOVE will look into one after the other.
    fn read_for_copy(&mut self, ask: &mut Ask, source: MailboxId, age: Age, to: &MailboxName) {
        if age == Age::Fresh {
            self.read_for(ask, LogId::Mailbox(source));
        }
        let Some(directory) = self.directory.state() else {
            return;
        };
        let target = directory.find(to).map(|entry| entry.id);
        if self.shared.config.shared_storage {
            self.read_for(ask, LogId::Directory);
        }
        if let Some(target) = target {
            self.read_for(ask, LogId::Mailbox(target));
        }
    }

    /// Begins to read a log that a request will need, unless that was done.
    fn read_for(&mut self, ask: &mut Ask, log: LogId) {
        let read = |it: &(LogId, u64)| it.0 == log;
        if ask.read.contains(&log) || ask.ahead.iter().any(read) {
            return;
        }
        match log {
            LogId::Directory => {
                ask.ahead.push((log, self.directory.want_read(true)));
                self.run_directory();
            }
            LogId::Mailbox(mailbox) => {
                ask.ahead
                    .push((log, self.mailbox(mailbox).log.want_read(true)));
                self.run_mailbox(mailbox);
            }
            LogId::Upkeep => {}
        }
    }

    /// The second half of RENAME of INBOX: what is in it now goes to the mailbox that was
    /// made for it. If any step fails, the whole request may be made again and goes on
    /// from there.
    fn move_inbox(&mut self, ask: Ask, target: MailboxId) -> Result<(), Later> {
        let connection = ask.connection;
        let (ask, source) = self.find_for(ask, &MailboxName::inbox())?;
        // What another server has moved away just now must not come again under this name.
        let (ask, state) = self.mailbox_for(ask, source, Age::Fresh)?;
        let (ask, directory) = self.directory_for(ask, Age::Any)?;
        if !directory.contains(target) {
            self.fail(connection, AccountFailure::NonExistent);
            return Err(Later);
        }
        self.mailbox_for(ask, target, Age::Any)?;
        let found: Vec<&Message> = state.iter_from(0).collect();
        if found.is_empty() {
            self.inbox_moved(connection, target);
            return Ok(());
        }
        let origin = Origin {
            mailbox: source,
            target,
            originals: found.iter().map(|it| (it.uid, it.id)).collect(),
            expunge: true,
            rename: Some(target),
        };
        self.work(target, copy_work(connection, &state, &found, origin));
        Ok(())
    }

    /// All messages of INBOX are in the mailbox that it is renamed to: that is the end.
    pub(super) fn inbox_moved(&mut self, connection: ConnectionId, target: MailboxId) {
        let wanted = DirectoryChange::InboxMoved(target);
        self.directory.push(DirectoryWork::new(connection, wanted));
        self.run_directory();
    }

    /// A message for this mailbox is on its way: its log is read meanwhile, so that what
    /// the client was told by other servers before is known when it gets its UID; unless it
    /// was read just now.
    fn read_ahead(&mut self, connection: ConnectionId, mailbox: MailboxId) {
        let (now, age_max) = (
            self.shared.now.instant,
            self.shared.config.claim_read_age_max,
        );
        let read = self.mailbox(mailbox).log.want_read_within(now, age_max);
        if let Some(it) = self.connections.get_mut(&connection) {
            it.probed = Some((mailbox, read));
        }
        self.run_mailbox(mailbox);
    }

    /// How new a log must be for messages of a connection: read since it said that they
    /// would come.
    fn probed_age(&self, connection: ConnectionId, mailbox: MailboxId) -> Age {
        match self.connections.get(&connection).and_then(|it| it.probed) {
            Some((probed, read)) if probed == mailbox => Age::Since(read),
            Some(_) => Age::Fresh,
            // It was said to a machine that is no more.
            None if self.shared.config.shared_storage => Age::Fresh,
            None => Age::Any,
        }
    }

    /// Queues work on a mailbox.
    fn work(&mut self, mailbox: MailboxId, work: MailboxWork) {
        self.mailbox(mailbox).log.push(work);
        self.run_mailbox(mailbox);
    }

    /// Whether the list of mailboxes is too old to be shown.
    fn listing_age(&self) -> Age {
        let now = self.shared.now.instant;
        let age_max = self.shared.config.directory_age_max;
        match self.directory.last_read() {
            Some(read) if read.after(age_max) >= now => Age::Any,
            _ => Age::Fresh,
        }
    }

    /// How new the selected mailbox must be for a change that depends on what is in it: EXPUNGE takes what is
    /// `\Deleted`, MOVE what is still there, STORE with UNCHANGEDSINCE what nobody has changed. Each
    /// must know what another server acknowledged before, or it expunges what was kept after all,
    /// moves what was moved already, or writes over what it should have left alone.
    fn deciding_age(&self, request: &AccountRequest) -> Age {
        let depends = match request {
            AccountRequest::Expunge { .. } => true,
            AccountRequest::Copy { expunge, .. } => *expunge,
            AccountRequest::Store {
                unchanged_since, ..
            } => unchanged_since.is_some(),
            _ => false,
        };
        match depends && self.shared.config.shared_storage {
            true => Age::Fresh,
            false => Age::Any,
        }
    }

    /// How new the mailbox must be that messages are copied from. What was expunged long ago
    /// is collected, and must not be named again by who does not know of it.
    fn copying_age(&self, source: MailboxId) -> Age {
        let now = self.shared.now.instant;
        let age_max = self.shared.config.copy_age_max;
        let read = self
            .mailboxes
            .get(&source)
            .and_then(|it| it.log.last_read());
        match read {
            Some(read) if read.after(age_max) >= now => Age::Any,
            _ => Age::Fresh,
        }
    }

    /// The directory, or the request waits for it.
    fn directory_for(&mut self, ask: Ask, age: Age) -> Result<(Ask, Arc<Directory>), Later> {
        let fresh =
            age == Age::Any || ask.has_read(LogId::Directory, self.directory.last_reading(true));
        if let Some(state) = self.directory.state().filter(|_| fresh) {
            let state = Arc::clone(state);
            return Ok((ask, state));
        }
        let ahead = ask.ahead_of(LogId::Directory);
        let ahead = ahead.filter(|read| self.directory.is_to_read(*read));
        let read = ahead.unwrap_or_else(|| self.directory.want_read(age == Age::Fresh));
        self.waiting.push(Waiting {
            log: LogId::Directory,
            read,
            ask,
        });
        self.run_directory();
        Err(Later)
    }

    /// The mailbox of this name. Before it is said that there is none, the directory is
    /// read: another server may have made it.
    fn find_for(&mut self, ask: Ask, name: &MailboxName) -> Result<(Ask, MailboxId), Later> {
        let (mut ask, mut directory) = self.directory_for(ask, Age::Any)?;
        if directory.find(name).is_none() {
            (ask, directory) = self.directory_for(ask, Age::Fresh)?;
        }
        if let Some(entry) = directory.find(name) {
            return Ok((ask, entry.id));
        }
        self.fail(ask.connection, AccountFailure::NonExistent);
        Err(Later)
    }

    /// The mailbox that the connection has selected.
    fn selected_for(&mut self, ask: Ask) -> Result<(Ask, MailboxId), Later> {
        match self.selected(ask.connection) {
            Some(mailbox) => Ok((ask, mailbox)),
            None => {
                self.fail(ask.connection, AccountFailure::NonExistent);
                Err(Later)
            }
        }
    }

    /// The state of a mailbox, or the request waits for it.
    fn mailbox_for(
        &mut self,
        ask: Ask,
        mailbox: MailboxId,
        age: Age,
    ) -> Result<(Ask, Arc<MailboxState>), Later> {
        let log = LogId::Mailbox(mailbox);
        let fresh = match age {
            Age::Any => true,
            Age::Fresh => ask.has_read(log, self.mailbox(mailbox).log.last_reading(true)),
            Age::Since(read) => {
                ask.read.contains(&log) || self.mailbox(mailbox).log.was_read_since(read)
            }
        };
        if let Some(state) = self.mailbox(mailbox).log.state().filter(|_| fresh) {
            let state = Arc::clone(state);
            return Ok((ask, state));
        }
        let its = &mut self.mailbox(mailbox).log;
        // It may have failed, or the mailbox been let go of and come back.
        let ahead = ask.ahead_of(log).filter(|read| its.is_to_read(*read));
        let read = ahead.unwrap_or_else(|| its.want_read(age == Age::Fresh));
        self.waiting.push(Waiting { log, read, ask });
        self.run_mailbox(mailbox);
        Err(Later)
    }
}

/// The target's part of copying messages.
fn copy_work(
    connection: ConnectionId,
    state: &MailboxState,
    found: &[&Message],
    origin: Origin,
) -> MailboxWork {
    let messages = found.iter().map(|message| copy_of(state, message));
    MailboxWork::Copy {
        connection,
        messages: messages.collect(),
        origin,
    }
}

/// A message as it arrives in another mailbox: the same content, another identity.
fn copy_of(state: &MailboxState, message: &Message) -> NewMessage {
    NewMessage {
        content: message.content,
        kind: message.kind,
        size: message.size,
        summary_offset: message.summary_offset,
        summary_len: message.summary_len,
        internal_date: message.internal_date,
        flags: state.flags(message).collect(),
    }
}
