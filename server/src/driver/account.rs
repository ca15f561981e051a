//! The task of one account: it owns the core's `Account`, and takes messages from the
//! account's connections.
//!
//! It begins with the first login and ends some seconds after the last connection has
//! left, when everything is committed. A login that comes while the machine finishes
//! waits on its way, and gets a new machine: there is never more than one machine
//! of an account in a process. While all connections only wait there is none: what the task
//! keeps of them is little, and a doorbell or a request begins a new one.

use super::Server;
use super::clock::Deadline;
use super::connection::Answers;
use super::phase::{Phase, Watch};
use super::registry::{Bell, Inbox, Message, Rings, Way};
use crate::runtime::Runtime;
use crate::storage::Desk;
use core::task::{Context, Poll};
use core::time::Duration;
use futures_util::stream::StreamExt;
use restante_core::account::{
    Account, AccountInput, AccountOutput, ConnectionId, Sleepers, Writers,
};
use restante_core::doorbell::Change;
use restante_core::mailbox::AccountId;
use restante_core::time::{Instant, Now};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rounds that an account may make before the other tasks of its thread have a turn.
const ROUNDS_MAX: usize = 32;
/// How long an account stays open without a connection that needs it: clients often come
/// back at once.
const LINGER: Duration = Duration::from_secs(10);

/// An account's machine: the core's, or a scripted one in tests.
pub(crate) trait Machine: Send + 'static {
    fn handle_input(&mut self, now: Now, input: AccountInput);
    fn poll_output(&mut self) -> AccountOutput;
    /// Whether no connection would miss it.
    fn is_unneeded(&self) -> bool {
        false
    }
    /// Those who wait beside it, for the next one.
    fn take_sleepers(&mut self) -> Sleepers {
        Sleepers::default()
    }
    /// As whom the next one may write.
    fn take_writers(&mut self) -> Writers {
        Writers::default()
    }
}

impl Machine for Account {
    fn handle_input(&mut self, now: Now, input: AccountInput) {
        Self::handle_input(self, now, input);
    }

    fn poll_output(&mut self) -> AccountOutput {
        Self::poll_output(self)
    }

    fn is_unneeded(&self) -> bool {
        Self::is_unneeded(self)
    }

    fn take_sleepers(&mut self) -> Sleepers {
        Self::take_sleepers(self)
    }

    fn take_writers(&mut self) -> Writers {
        Self::take_writers(self)
    }
}

/// Runs machines, one after another, for as long as connections need the account.
pub(crate) async fn drive<R: Runtime, M: Machine>(
    server: Arc<Server<R>>,
    account: AccountId,
    way: Arc<Way>,
    new_machine: impl Fn(Now, Sleepers) -> M + Send + 'static,
) {
    let mut guard = Guard {
        server: Arc::clone(&server),
        account,
        way: Arc::clone(&way),
        connections: BTreeMap::new(),
        armed: true,
    };
    let bell = server.registry.bell(account);
    tracing::debug!("opened");
    let mut sleepers = Sleepers::default();
    loop {
        let machine = new_machine(server.clock.now(), core::mem::take(&mut sleepers));
        let connections = &mut guard.connections;
        // Boxed: while there is no machine, the task has no room for it.
        let driver = Driver::new(&server, account, &way, &bell, connections, machine);
        let mut driver = Box::new(driver);
        core::future::poll_fn(|cx| driver.poll(cx)).await;
        // Before the account is closed: the next login may open it on another thread.
        server
            .machine_writers
            .keep(account, driver.machine.take_writers());
        sleepers = driver.machine.take_sleepers();
        drop(driver);
        if server.phases.now() == Phase::Ending {
            break;
        }
        if server.registry.close_unused(account) {
            guard.armed = false;
            break;
        }
        let mut watch = Watch::new(Arc::clone(&server.phases));
        core::future::poll_fn(|cx| poll_needed(cx, &way, &bell, &mut watch)).await;
    }
    tracing::debug!("closed");
}

/// Ready when a machine has something to do. A server that says goodbye gives it nothing
/// before the connections leave.
fn poll_needed(cx: &mut Context<'_>, way: &Way, bell: &Bell, watch: &mut Watch) -> Poll<()> {
    let comes = way.poll_comes(cx).is_ready() | bell.poll_rings(cx).is_ready();
    let mut ending = false;
    while let Poll::Ready(phase) = watch.poll(cx) {
        ending = phase == Phase::Ending;
    }
    match comes || ending {
        true => Poll::Ready(()),
        false => Poll::Pending,
    }
}

/// Leaves nobody waiting, however the task ends.
struct Guard<R: Runtime> {
    server: Arc<Server<R>>,
    account: AccountId,
    way: Arc<Way>,
    connections: BTreeMap<ConnectionId, Arc<Inbox>>,
    armed: bool,
}

impl<R: Runtime> Drop for Guard<R> {
    fn drop(&mut self) {
        if self.armed {
            self.server.registry.close(self.account);
            // Nobody sets out any more, but some may not have arrived.
            for message in self.way.take_all() {
                if let Message::Attach(_, inbox) = message {
                    inbox.close();
                }
            }
        }
        for inbox in self.connections.values() {
            inbox.close();
        }
    }
}

struct Driver<'a, R: Runtime, M> {
    server: &'a Server<R>,
    account: AccountId,
    way: &'a Way,
    bell: &'a Bell,
    connections: &'a mut BTreeMap<ConnectionId, Arc<Inbox>>,
    machine: M,
    desk: Desk,
    answers: Answers,
    deadline: Deadline<R>,
    wait: Option<Instant>,
    /// When to end, as long as no connection needs the machine.
    linger: Option<Instant>,
    linger_deadline: Deadline<R>,
    watch: Watch,
    /// The machine was told to finish; messages wait for the next one.
    stopping: bool,
}

impl<'a, R: Runtime, M: Machine> Driver<'a, R, M> {
    fn new(
        server: &'a Server<R>,
        account: AccountId,
        way: &'a Way,
        bell: &'a Bell,
        connections: &'a mut BTreeMap<ConnectionId, Arc<Inbox>>,
        machine: M,
    ) -> Self {
        Self {
            server,
            account,
            way,
            bell,
            connections,
            machine,
            desk: Desk::new(Arc::clone(&server.storage)),
            answers: Answers::new(),
            deadline: Deadline::new(&server.runtime, server.clock),
            wait: None,
            linger: None,
            linger_deadline: Deadline::new(&server.runtime, server.clock),
            watch: Watch::new(Arc::clone(&server.phases)),
            stopping: false,
        }
    }

    /// Ready when the machine is done.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS_MAX {
            if self.drain() {
                return Poll::Ready(());
            }
            let mut progress = self.poll_messages(cx) | self.poll_bell(cx);
            while let Poll::Ready(Some(answer)) = self.answers.poll_next_unpin(cx) {
                if let Some((id, response)) = answer {
                    self.input(AccountInput::Storage(id, response));
                    progress = true;
                }
            }
            if self.deadline.poll(cx, self.wait).is_ready() {
                self.wait = None;
                self.input(AccountInput::Timeout);
                progress = true;
            }
            progress |= self.poll_end(cx);
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does what the machine says, up to where it waits; whether it is done.
    fn drain(&mut self) -> bool {
        loop {
            match self.machine.poll_output() {
                AccountOutput::Storage(id, request) => {
                    self.answers.push(self.desk.start(id, request));
                }
                AccountOutput::Abandon(id) => self.desk.abandon(id),
                AccountOutput::Reply(connection, reply) => {
                    if let Some(inbox) = self.connections.get(&connection) {
                        inbox.push(reply);
                    }
                }
                AccountOutput::Ring(log) => self.server.announce(Change {
                    account: self.account,
                    log,
                }),
                AccountOutput::Event(event) => super::log(&event),
                AccountOutput::Wait { deadline } => {
                    self.wait = deadline;
                    return false;
                }
                AccountOutput::Done => return true,
            }
        }
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.stopping
            && let Poll::Ready(message) = self.way.poll(cx)
        {
            progress = true;
            match message {
                Message::Attach(connection, inbox) => {
                    self.connections.insert(connection, inbox);
                }
                Message::Request(connection, request) => {
                    self.linger = None;
                    self.input(AccountInput::Request(connection, request));
                }
                Message::Detach(connection) => {
                    self.connections.remove(&connection);
                    self.server.registry.detached(self.account);
                    self.input(AccountInput::Detach(connection));
                }
            }
            // What it has to say goes out before it is told the next thing.
            if self.drain() {
                break;
            }
        }
        progress
    }

    /// What others wrote. If the machine is finishing, it is for the next one to know: somebody
    /// may be asleep.
    fn poll_bell(&mut self, cx: &Context<'_>) -> bool {
        if self.stopping {
            return false;
        }
        let Poll::Ready(Rings { all, logs }) = self.bell.poll(cx) else {
            return false;
        };
        if all {
            self.input(AccountInput::RungAll);
        }
        for log in logs {
            self.input(AccountInput::Rung(log));
        }
        true
    }

    /// Tells the machine to finish when nobody needs it any more, or the server ends.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> bool {
        let phase = self.watch.poll(cx);
        if self.stopping {
            return phase.is_ready();
        }
        let draining = self.server.phases.now() >= Phase::Draining;
        let now = self.server.clock.instant();
        let unneeded = self.connections.is_empty() || self.machine.is_unneeded();
        if !unneeded {
            self.linger = None;
        } else if self.linger.is_none() {
            self.linger = Some(now.after(LINGER));
        }
        let unused = self.connections.is_empty() && draining
            || unneeded && self.linger_deadline.poll(cx, self.linger).is_ready();
        if unused || self.server.phases.now() == Phase::Ending {
            self.stopping = true;
            self.input(AccountInput::Shutdown);
            return true;
        }
        phase.is_ready()
    }

    fn input(&mut self, input: AccountInput) {
        self.machine.handle_input(self.server.clock.now(), input);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::threads::Threads;

    /// The allocator keeps what is of one class of sizes in the same pages (`docs/decisions/020-allocator.md`), and
    /// pages go back to the system when nothing is in them. The task of a connection, which stays while its account
    /// sleeps, is of the class from 1,537 to 1,792 octets.
    #[test]
    fn what_goes_when_an_account_falls_asleep_does_not_lie_among_what_stays() {
        let octets = size_of::<Driver<'static, Threads, Account>>();
        assert!(octets <= 1_536, "{octets} octets");
    }
}
