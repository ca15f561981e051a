//! Between this server and the others: what they are told was changed here, and what is
//! done when they, or a delivery, have written; and clients that do not wait for it.

use super::machine::Account;
use super::requests::{Ask, Waiting};
use super::{AccountFailure, AccountOutput, AccountReply};
use crate::mailbox::MailboxId;

impl Account {
    /// Others are told that a log was written to (`None`: the directory's).
    pub(super) fn ring(&mut self, log: Option<MailboxId>) {
        self.shared.outputs.push_back(AccountOutput::Ring(log));
    }

    /// Others wrote to a log. What nobody watches is read when somebody asks for it.
    pub(super) fn rung(&mut self, log: Option<MailboxId>) {
        if self.shutdown {
            return;
        }
        match log {
            None if self.directory.state().is_some() || !self.directory.is_quiet() => {
                self.directory.ring();
                self.run_directory();
            }
            // Who selects it or is just waking may be reading it already, and from before this.
            Some(mailbox)
                if self.is_held(mailbox) || self.is_waking(mailbox) || self.waits_for(mailbox) =>
            {
                if let Some(it) = self.mailboxes.get_mut(&mailbox) {
                    it.log.ring();
                }
                if !self.is_held(mailbox) {
                    // Who was stirred may not ask for long, and the mailbox have been let go of.
                    self.stir(|it| it == mailbox);
                }
                self.run_mailbox(mailbox);
            }
            // Who sleeps reads it when it wakes.
            _ => self.stir(|mailbox| log.is_none_or(|log| log == mailbox)),
        }
    }

    /// Others may have written to any log.
    pub(super) fn rung_all(&mut self) {
        let mailboxes: Vec<_> = self.mailboxes.keys().copied().map(Some).collect();
        for log in mailboxes.into_iter().chain([None]) {
            self.rung(log);
        }
        if !self.shutdown {
            self.stir(|_| true);
        }
    }

    /// Nobody watches a mailbox that others wrote to and that could not be read since: those who sleep
    /// on it are stirred.
    pub(super) fn hand_over_ring(&mut self, mailbox: MailboxId) {
        if self.is_held(mailbox) {
            return;
        }
        let it = self.mailboxes.get_mut(&mailbox);
        if it.is_some_and(|it| it.log.hand_over()) {
            self.stir(|it| it == mailbox);
        }
    }

    /// Whoever has waited for storage as long as it may is told what is known.
    pub(super) fn end_patience(&mut self) {
        let now = self.shared.now.instant;
        let over = |it: &Waiting| it.ask.patience.is_some_and(|until| until <= now);
        let waiting = core::mem::take(&mut self.waiting);
        let (over, waiting) = waiting.into_iter().partition::<Vec<_>, _>(over);
        self.waiting = waiting;
        for waiting in over {
            self.tell_known(&waiting.ask);
        }
    }

    /// Answers a request with the state that is known.
    pub(super) fn tell_known(&mut self, ask: &Ask) {
        if self.is_asleep(ask.connection) {
            self.sleep_on(ask.connection);
            // What is known may be older than what it was shown.
            return self.fail(ask.connection, AccountFailure::Unavailable);
        }
        self.tell(ask.connection, AccountReply::Snapshot);
    }
}
