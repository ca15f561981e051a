//! An account without connections: a command, or a server before it shows an account, asks it one thing after
//! another. Servers that share the storage are rung at its end.

pub(crate) mod mending;

use super::clock::Clock;
use super::connection::Answers;
use super::doorbell::{self, Ringer};
use super::registry::Registry;
use crate::runtime::{self, Runtime};
use crate::seed::seed;
use crate::storage::{Desk, Storage};
use core::time::Duration;
use futures_util::future::{self, Either};
use futures_util::stream::StreamExt;
use restante_core::account::{
    Account, AccountInput, AccountOutput, AccountReply, AccountRequest, ConnectionId,
};
use restante_core::boundary::Event;
use restante_core::config::Config;
use restante_core::doorbell::Change;
use restante_core::mailbox::AccountId;
use restante_core::seal::AccountKeys;
use restante_core::time::Instant;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

/// How long what was committed may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(30);
/// The one connection that there is.
const CONNECTION: ConnectionId = ConnectionId(0);

/// See the module.
pub(crate) struct Steward<R: Runtime> {
    runtime: R,
    clock: Clock,
    account: AccountId,
    config: Arc<Config>,
    machine: Account,
    storage: Arc<dyn Storage>,
    desk: Desk,
    answers: Answers,
    /// What other servers are to be told of.
    changes: BTreeSet<Change>,
    /// Why storage failed last.
    trouble: Option<String>,
}

impl<R: Runtime> Steward<R> {
    /// An account on a storage. It collects nothing by itself.
    pub(crate) fn new(
        runtime: R,
        storage: Arc<dyn Storage>,
        config: Config,
        keys: Arc<AccountKeys>,
    ) -> Self {
        let clock = Clock::new();
        let config = Config {
            sweep_delay: Duration::MAX,
            ..config
        };
        let (config, account) = (Arc::new(config), keys.account());
        let machine = Account::new(Arc::clone(&config), keys, seed(), clock.now());
        Self {
            runtime,
            clock,
            account,
            config,
            machine,
            storage: Arc::clone(&storage),
            desk: Desk::new(storage),
            answers: Answers::new(),
            changes: BTreeSet::new(),
            trouble: None,
        }
    }

    /// The wall clock, milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now().unix_ms
    }

    /// Why storage failed last, if it did.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Asks for something and waits for the reply.
    pub(crate) async fn ask(&mut self, request: AccountRequest) -> AccountReply {
        self.input(AccountInput::Request(CONNECTION, request));
        loop {
            match self.next().await {
                AccountOutput::Reply(_, AccountReply::Changed(_) | AccountReply::Vanished) => {}
                AccountOutput::Reply(_, reply) => return reply,
                _ => {}
            }
        }
    }

    /// Lets what was begun come to its end; what other servers are to be told of.
    pub(crate) async fn end(mut self) -> BTreeSet<Change> {
        self.come_to_an_end().await;
        self.changes
    }

    async fn come_to_an_end(&mut self) {
        let runtime = self.runtime.clone();
        self.input(AccountInput::Detach(CONNECTION));
        self.input(AccountInput::Shutdown);
        let end = async { while !matches!(self.next().await, AccountOutput::Done) {} };
        // What was answered is durable; the rest are only checkpoints.
        let _in_time = runtime::timeout(&runtime, END_TIMEOUT, end).await;
    }

    /// The same where there is no server, and tells the others.
    pub(crate) async fn finish(mut self) {
        let runtime = self.runtime.clone();
        self.come_to_an_end().await;
        if self.config.shared_storage && !self.changes.is_empty() {
            // Who is not rung finds the news with the next look.
            let _in_time = runtime::timeout(&runtime, END_TIMEOUT, self.ring()).await;
        }
    }

    /// Tells the servers that share the storage what was changed.
    async fn ring(&mut self) {
        let ringer = Arc::new(Ringer::default());
        for change in core::mem::take(&mut self.changes) {
            ringer.ring(change);
        }
        ringer.end();
        let (runtime, storage) = (self.runtime.clone(), Arc::clone(&self.storage));
        let config = Arc::clone(&self.config);
        // No account is open here that others could ring.
        let nobody = Arc::new(Registry::new(0));
        doorbell::drive(runtime, self.clock, storage, config, nobody, ringer).await;
    }

    /// The next output that is not for storage.
    async fn next(&mut self) -> AccountOutput {
        loop {
            match self.machine.poll_output() {
                AccountOutput::Storage(id, request) => {
                    self.answers.push(self.desk.start(id, request));
                }
                AccountOutput::Abandon(id) => self.desk.abandon(id),
                AccountOutput::Event(Event::StorageFailed { reason, .. }) => {
                    self.trouble = Some(reason);
                }
                AccountOutput::Event(_) => {}
                AccountOutput::Ring(log) => {
                    let account = self.account;
                    self.changes.insert(Change { account, log });
                }
                AccountOutput::Wait { deadline } => self.wait(deadline).await,
                output => return output,
            }
        }
    }

    /// Until an answer comes, or the deadline.
    async fn wait(&mut self, deadline: Option<Instant>) {
        let (runtime, now) = (self.runtime.clone(), self.clock.instant());
        let timeout = async {
            match deadline {
                Some(deadline) => runtime::sleep(&runtime, deadline.since(now)).await,
                None => future::pending().await,
            }
        };
        let answer = async {
            match self.answers.next().await {
                Some(answer) => answer,
                None => future::pending().await,
            }
        };
        let input = match future::select(pin!(answer), pin!(timeout)).await {
            Either::Left((None, _)) => return,
            Either::Left((Some((id, response)), _)) => AccountInput::Storage(id, response),
            Either::Right(((), _)) => AccountInput::Timeout,
        };
        self.input(input);
    }

    fn input(&mut self, input: AccountInput) {
        self.machine.handle_input(self.clock.now(), input);
    }
}
