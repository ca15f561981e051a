//! The account's task and the way to it.

use super::server;
use crate::config::Limits;
use crate::driver::account::{Machine, drive};
use crate::driver::registry::Attachment;
use crate::driver::{Phase, Server};
use crate::runtime::threads::Threads;
use crate::runtime::{Runtime, timeout};
use core::time::Duration;
use futures_util::FutureExt;
use restante_core::account::{
    AccountInput, AccountOutput, AccountReply, AccountRequest, ConnectionId,
};
use restante_core::doorbell::Change;
use restante_core::mailbox::AccountId;
use restante_core::time::Now;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::sleep;
use std::time::Instant;

const ACCOUNT: AccountId = AccountId([7; 16]);

/// Answers every request with `Done`; panics when asked to unselect.
struct Obliging {
    outputs: VecDeque<AccountOutput>,
    /// Its connection sleeps.
    unneeded: bool,
    /// Tells the test that it is there.
    _machines: Arc<AtomicUsize>,
    /// Whether it finishes by itself when it is told to.
    finishes: bool,
}

impl Machine for Obliging {
    fn handle_input(&mut self, _: Now, input: AccountInput) {
        match input {
            AccountInput::Request(_, AccountRequest::Unselect) => panic!("as the test wants it"),
            AccountInput::Request(_, AccountRequest::Sleep) => self.unneeded = true,
            AccountInput::Rung(_) => self
                .outputs
                .push_back(AccountOutput::Reply(ConnectionId(1), AccountReply::Stirred)),
            AccountInput::Request(connection, _) => self
                .outputs
                .push_back(AccountOutput::Reply(connection, AccountReply::Done)),
            AccountInput::Shutdown if self.finishes => self.outputs.push_back(AccountOutput::Done),
            _ => {}
        }
    }

    fn poll_output(&mut self) -> AccountOutput {
        self.outputs
            .pop_front()
            .unwrap_or(AccountOutput::Wait { deadline: None })
    }

    fn is_unneeded(&self) -> bool {
        self.unneeded
    }
}

fn attach(
    server: &Arc<Server<Threads>>,
    connection: u64,
    machines: &Arc<AtomicUsize>,
    finishes: bool,
) -> Attachment {
    let attached = server
        .registry
        .attach(ACCOUNT, ConnectionId(connection), |messages| {
            let machines = Arc::clone(machines);
            let new_machine = move |_, _| {
                machines.fetch_add(1, Ordering::SeqCst);
                Obliging {
                    outputs: VecDeque::new(),
                    unneeded: false,
                    _machines: Arc::clone(&machines),
                    finishes,
                }
            };
            let task = drive(Arc::clone(server), ACCOUNT, messages, new_machine);
            Threads.spawn(AssertUnwindSafe(task).catch_unwind().map(drop));
        });
    attached.expect("there is room")
}

fn reply(attachment: &Attachment) -> Option<AccountReply> {
    async_io::block_on(core::future::poll_fn(|cx| attachment.poll_reply(cx)))
}

fn wait_until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(30), "never");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn connections_share_one_machine_and_each_gets_its_replies() {
    let (server, _folder) = server(&Limits::default());
    let machines = Arc::default();
    let attachments = [1, 2, 3].map(|number| attach(&server, number, &machines, true));
    for attachment in &attachments {
        attachment.request(AccountRequest::List);
    }
    for attachment in &attachments {
        assert!(matches!(reply(attachment), Some(AccountReply::Done)));
    }
    assert_eq!(machines.load(Ordering::SeqCst), 1);
}

#[test]
fn panic_of_an_account_ends_its_connections_and_nothing_else() {
    let (server, _folder) = server(&Limits::default());
    let machines = Arc::default();
    let attachment = attach(&server, 1, &machines, true);
    attachment.request(AccountRequest::Unselect);
    assert!(reply(&attachment).is_none());
    wait_until(|| server.registry.len() == 0);
    drop(attachment);
    let again = attach(&server, 2, &machines, true);
    again.request(AccountRequest::List);
    assert!(matches!(reply(&again), Some(AccountReply::Done)));
}

/// Takes a request when the test is there, and panics when the test lets it go on.
struct Doomed(Arc<Barrier>);

impl Machine for Doomed {
    fn handle_input(&mut self, _: Now, _: AccountInput) {
        self.0.wait();
        self.0.wait();
        panic!("as the test wants it");
    }

    fn poll_output(&mut self) -> AccountOutput {
        AccountOutput::Wait { deadline: None }
    }
}

#[test]
fn panic_of_an_account_ends_a_connection_that_was_about_to_join_it() {
    let (server, _folder) = server(&Limits::default());
    let gate = Arc::new(Barrier::new(2));
    let attach = |connection| {
        let attached = server
            .registry
            .attach(ACCOUNT, ConnectionId(connection), |messages| {
                let gate = Arc::clone(&gate);
                let new_machine = move |_, _| Doomed(Arc::clone(&gate));
                let task = drive(Arc::clone(&server), ACCOUNT, messages, new_machine);
                Threads.spawn(AssertUnwindSafe(task).catch_unwind().map(drop));
            });
        attached.expect("there is room")
    };
    let first = attach(1);
    first.request(AccountRequest::List);
    gate.wait();
    let second = attach(2);
    gate.wait();
    for attachment in [&first, &second] {
        let end = core::future::poll_fn(|cx| attachment.poll_reply(cx));
        let end = async_io::block_on(timeout(&Threads, Duration::from_secs(5), end));
        assert!(matches!(end, Some(None)), "{end:?}");
    }
}

#[test]
fn an_account_whose_connections_sleep_has_no_machine_until_it_is_needed() {
    for rung in [false, true] {
        let (server, _folder) = server(&Limits::default());
        let machines: Arc<AtomicUsize> = Arc::default();
        let attachment = attach(&server, 1, &machines, true);
        attachment.request(AccountRequest::List);
        assert!(matches!(reply(&attachment), Some(AccountReply::Done)));
        attachment.request(AccountRequest::Sleep);
        let holders = Arc::strong_count(&machines);
        wait_until(|| Arc::strong_count(&machines) < holders);
        assert_eq!(server.registry.len(), 1, "the connection is still there");
        sleep(Duration::from_millis(50));
        assert_eq!(machines.load(Ordering::SeqCst), 1);
        if rung {
            server.registry.ring(Change {
                account: ACCOUNT,
                log: None,
            });
            assert!(matches!(reply(&attachment), Some(AccountReply::Stirred)));
        } else {
            attachment.request(AccountRequest::List);
            assert!(matches!(reply(&attachment), Some(AccountReply::Done)));
        }
        assert_eq!(machines.load(Ordering::SeqCst), 2);
    }
}

/// A machine without whom its one connection can be, that takes its time to finish.
struct Slow {
    outputs: VecDeque<AccountOutput>,
    finishing: Arc<AtomicBool>,
    done_at: Option<restante_core::time::Instant>,
}

impl Machine for Slow {
    fn handle_input(&mut self, now: Now, input: AccountInput) {
        match input {
            AccountInput::Shutdown => {
                self.finishing.store(true, Ordering::SeqCst);
                self.done_at = Some(now.instant.after(Duration::from_millis(300)));
            }
            AccountInput::Timeout if self.done_at.is_some_and(|at| at <= now.instant) => {
                self.outputs.push_back(AccountOutput::Done);
            }
            AccountInput::Rung(_) if self.done_at.is_none() => {
                let stirred = AccountOutput::Reply(ConnectionId(1), AccountReply::Stirred);
                self.outputs.push_back(stirred);
            }
            _ => {}
        }
    }

    fn poll_output(&mut self) -> AccountOutput {
        let deadline = self.done_at;
        let next = self.outputs.pop_front();
        next.unwrap_or(AccountOutput::Wait { deadline })
    }

    fn is_unneeded(&self) -> bool {
        true
    }
}

#[test]
fn a_ring_while_a_machine_finishes_is_heard_by_the_next() {
    let (server, _folder) = server(&Limits::default());
    let finishing: Arc<AtomicBool> = Arc::default();
    let attached = server
        .registry
        .attach(ACCOUNT, ConnectionId(1), |messages| {
            let finishing = Arc::clone(&finishing);
            let new_machine = move |_, _| Slow {
                outputs: VecDeque::new(),
                finishing: Arc::clone(&finishing),
                done_at: None,
            };
            let task = drive(Arc::clone(&server), ACCOUNT, messages, new_machine);
            Threads.spawn(AssertUnwindSafe(task).catch_unwind().map(drop));
        });
    let attachment = attached.expect("there is room");
    wait_until(|| finishing.load(Ordering::SeqCst));
    server.registry.ring(Change {
        account: ACCOUNT,
        log: None,
    });
    let heard = core::future::poll_fn(|cx| attachment.poll_reply(cx));
    let heard = async_io::block_on(timeout(&Threads, Duration::from_secs(5), heard));
    assert!(
        matches!(heard, Some(Some(AccountReply::Stirred))),
        "{heard:?}"
    );
}

#[test]
fn stopping_waits_for_connections_and_then_for_accounts() {
    let (server, _folder) = server(&Limits::default());
    let attachment = attach(&server, 1, &Arc::default(), true);
    server.phases.enter(Phase::Draining);
    // The connection may still finish its command.
    attachment.request(AccountRequest::List);
    assert!(matches!(reply(&attachment), Some(AccountReply::Done)));
    assert_eq!(server.registry.len(), 1);
    drop(attachment);
    wait_until(|| server.registry.len() == 0);
}

#[test]
fn stopping_begins_no_machines_for_who_sleeps_or_has_nothing_selected() {
    let (server, _folder) = server(&Limits::default());
    let machines: Arc<AtomicUsize> = Arc::default();
    let attachment = attach(&server, 1, &machines, true);
    attachment.request(AccountRequest::Sleep);
    attachment.request(AccountRequest::List);
    assert!(matches!(reply(&attachment), Some(AccountReply::Done)));
    let holders = Arc::strong_count(&machines);
    server.phases.enter(Phase::Draining);
    attachment.request(AccountRequest::List);
    assert!(matches!(reply(&attachment), Some(AccountReply::Done)));
    // It ends after a while, and no other one begins.
    wait_until(|| Arc::strong_count(&machines) < holders);
    sleep(Duration::from_millis(50));
    assert_eq!(machines.load(Ordering::SeqCst), 1);
    drop(attachment);
    wait_until(|| server.registry.len() == 0);
    assert_eq!(machines.load(Ordering::SeqCst), 2);
}

#[test]
fn stopping_takes_no_longer_than_it_may() {
    let limits = Limits {
        shutdown_timeout_s: 1,
        ..Limits::default()
    };
    let (server, _folder) = server(&limits);
    let _attachment = attach(&server, 1, &Arc::default(), false);
    let start = Instant::now();
    async_io::block_on(server.stop());
    assert!(start.elapsed() < Duration::from_secs(5));
}
