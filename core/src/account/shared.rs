//! What all logs of one account machine use: keys, clocks, randomness, and the queue of
//! what goes out.

use super::AccountOutput;
use crate::boundary::Event;
use crate::config::Config;
use crate::mailbox::{Clock, MailboxId, WriterId};
use crate::random::Random;
use crate::seal::{AccountKeys, Places};
use crate::storage::{RequestId, StorageRequest};
use crate::time::Now;
use crate::workflow::{Effect, RequestIds, Workflow};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Names one log of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LogId {
    /// The directory's.
    Directory,
    /// A mailbox's.
    Mailbox(MailboxId),
    /// No log of its own: the upkeep of the account, which looks at all of them.
    Upkeep,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) keys: Arc<AccountKeys>,
    pub(super) places: Places,
    pub(super) ids: Arc<RequestIds>,
    pub(super) random: Random,
    pub(super) clock: Clock,
    pub(super) now: Now,
    pub(super) outputs: VecDeque<AccountOutput>,
    /// Whose request it is. Forgotten with each answer.
    pub(super) routes: BTreeMap<RequestId, LogId>,
    /// As whom this machine writes to logs that it has written to, and the next number.
    pub(super) writers: BTreeMap<LogId, (WriterId, u64)>,
}

impl Shared {
    /// Sends a request on behalf of a log.
    pub(super) fn request(&mut self, log: LogId, request: StorageRequest) -> RequestId {
        let id = self.ids.next();
        self.send(log, id, request);
        id
    }

    /// Carries out what a workflow wants done.
    pub(super) fn carry_out<T>(&mut self, log: LogId, workflow: &mut Workflow<T>) {
        while let Some(effect) = workflow.next_effect() {
            match effect {
                Effect::Storage(id, request) => self.send(log, id, request),
                Effect::Abandon(id) => self.abandon(id),
                Effect::Event(event) => self.event(event),
                Effect::Account(_) => unreachable!("no body of an account asks the account"),
            }
        }
    }

    /// Gives up a workflow with all its requests.
    pub(super) fn give_up<T>(&mut self, workflow: &Workflow<T>) {
        for id in workflow.open_requests() {
            self.abandon(id);
        }
    }

    /// Tells the log.
    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(AccountOutput::Event(event));
    }

    /// As whom to write to a log next, and under which number.
    pub(super) fn writer(&mut self, log: LogId) -> (WriterId, u64) {
        let (unix_ms, random) = (self.now.unix_ms, &mut self.random);
        *self
            .writers
            .entry(log)
            .or_insert_with(|| (WriterId::at(unix_ms, random), 0))
    }

    fn send(&mut self, log: LogId, id: RequestId, request: StorageRequest) {
        self.routes.insert(id, log);
        self.outputs.push_back(AccountOutput::Storage(id, request));
    }

    fn abandon(&mut self, id: RequestId) {
        self.routes.remove(&id);
        self.outputs.push_back(AccountOutput::Abandon(id));
    }
}
