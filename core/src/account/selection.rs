//! Who has what selected, and who is told what: a requester gets the new state with its
//! reply, everybody else who has the mailbox selected gets it as a change.

use super::log::Happened;
use super::machine::{Account, Selected};
use super::plan::DirectoryAnswer;
use super::shared::LogId;
use super::{AccountFailure, AccountOutput, AccountReply, ConnectionId, Snapshot};
use crate::mailbox::{Directory, MailboxId, MailboxState};
use std::sync::Arc;

impl Account {
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
                sleep: None,
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
    pub(super) fn note_idle(&mut self, mailbox: MailboxId) {
        self.hand_over_ring(mailbox);
        let held = self.is_held(mailbox);
        let now = self.shared.now.instant;
        if let Some(it) = self.mailboxes.get_mut(&mailbox) {
            it.log.hold(held);
            if !held && it.idle_since.is_none() {
                it.idle_since = Some(now);
            }
        }
        self.let_go_of_surplus();
    }

    /// Lets go of mailboxes that nobody has selected, where they are too many.
    pub(super) fn let_go_of_surplus(&mut self) {
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

    /// Whether a connection has it selected and is awake.
    pub(super) fn is_held(&self, mailbox: MailboxId) -> bool {
        let mut selected = self
            .connections
            .values()
            .filter_map(|it| it.selected.as_ref());
        selected.any(|selected| selected.mailbox == mailbox && selected.sleep.is_none())
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
            let delay = self.shared.config.recent_delay;
            mailbox.recent_due = mailbox
                .recent_due
                .or(Some(self.shared.now.instant.after(delay)));
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
    pub(super) fn publish(&mut self, mailbox: MailboxId) {
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
        self.stir_behind(mailbox, &state);
        let held = self.is_held(mailbox);
        if let Some(it) = self.mailboxes.get_mut(&mailbox) {
            it.log.hold(held);
        }
    }

    /// Who deleted the very mailbox that it has selected has nothing selected any more, and
    /// hears of it in the answer to its DELETE.
    pub(super) fn leave_deleted(&mut self, happened: &[Happened<Directory>]) -> Vec<ConnectionId> {
        let answers = happened.iter().filter_map(|event| match event {
            Happened::Done(answers) => Some(answers),
            _ => None,
        });
        let mut left = Vec::new();
        for answer in answers.flatten() {
            let DirectoryAnswer::Deleted(id, mailbox) = answer else {
                continue;
            };
            let selected = self
                .connections
                .get_mut(id)
                .and_then(|it| it.selected.take_if(|it| it.mailbox == *mailbox));
            if selected.is_some() {
                left.push(*id);
            }
        }
        left
    }

    /// Mailboxes that are no more: their connections are told.
    pub(super) fn forget_deleted(&mut self) {
        let Some(directory) = self.directory.state().cloned() else {
            return;
        };
        let gone: Vec<_> = self
            .mailboxes
            .keys()
            .copied()
            .filter(|mailbox| !directory.contains(*mailbox))
            .collect();
        self.stir(|mailbox| !directory.contains(mailbox));
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
