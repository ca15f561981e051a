//! The task that drives the core's `Doorbell`: one in each process whose storage other
//! processes may use as well.
//!
//! Accounts leave their changes with a [`Ringer`] and go on at once: no client waits for
//! an announcement. What others announce goes to the open accounts by the registry.

use super::clock::{Clock, Deadline};
use super::connection::Answers;
use super::registry::Registry;
use crate::runtime::Runtime;
use crate::seed::seed;
use crate::storage::{Desk, Storage};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use futures_util::stream::StreamExt;
use futures_util::task::AtomicWaker;
use restante_core::config::Config;
use restante_core::doorbell::{Change, Doorbell, DoorbellInput, DoorbellOutput};
use restante_core::time::Instant;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Rounds that the task may make before the other tasks of its thread have a turn.
const ROUNDS_MAX: usize = 32;

/// Where changes wait until the task takes them, which it does as soon as it runs. A log
/// that changes again meanwhile waits once.
#[derive(Default)]
pub(crate) struct Ringer {
    changes: Mutex<BTreeSet<Change>>,
    waker: AtomicWaker,
    ending: AtomicBool,
    done: AtomicBool,
}

impl Ringer {
    /// Other processes are to be told.
    pub(crate) fn ring(&self, change: Change) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.insert(change);
        drop(changes);
        self.waker.wake();
    }

    /// No more changes will come.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Whether all was announced after the [end](Self::end), or cannot be.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    fn take(&self) -> BTreeSet<Change> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        core::mem::take(&mut *changes)
    }
}

/// Runs until the ringer ends.
pub(crate) async fn drive<R: Runtime>(
    runtime: R,
    clock: Clock,
    storage: Arc<dyn Storage>,
    core: Arc<Config>,
    registry: Arc<Registry>,
    ringer: Arc<Ringer>,
) {
    let _guard = Guard(Arc::clone(&ringer));
    let mut driver: Driver<R> = Driver {
        clock,
        registry,
        ringer,
        machine: Doorbell::new(core, seed(), clock.now()),
        desk: Desk::new(storage),
        answers: Answers::new(),
        deadline: Deadline::new(&runtime, clock),
        wait: None,
        ending: false,
    };
    core::future::poll_fn(|cx| driver.poll(cx)).await;
}

/// Whoever waits for the end is not left waiting, however it comes.
struct Guard(Arc<Ringer>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::SeqCst);
    }
}

struct Driver<R: Runtime> {
    clock: Clock,
    registry: Arc<Registry>,
    ringer: Arc<Ringer>,
    machine: Doorbell,
    desk: Desk,
    answers: Answers,
    deadline: Deadline<R>,
    wait: Option<Instant>,
    ending: bool,
}

impl<R: Runtime> Driver<R> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS_MAX {
            if self.drain() {
                return Poll::Ready(());
            }
            let mut progress = self.poll_ringer(cx);
            while let Poll::Ready(Some(answer)) = self.answers.poll_next_unpin(cx) {
                if let Some((id, response)) = answer {
                    self.input(DoorbellInput::Storage(id, response));
                    progress = true;
                }
            }
            if self.deadline.poll(cx, self.wait).is_ready() {
                self.wait = None;
                self.input(DoorbellInput::Timeout);
                progress = true;
            }
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
                DoorbellOutput::Storage(id, request) => {
                    self.answers.push(self.desk.start(id, request));
                }
                DoorbellOutput::Abandon(id) => self.desk.abandon(id),
                DoorbellOutput::Rung(change) => self.registry.ring(change),
                DoorbellOutput::RungAll(shard) => self.registry.ring_all(shard),
                DoorbellOutput::Event(event) => super::log(&event),
                DoorbellOutput::Wait { deadline } => {
                    self.wait = deadline;
                    return false;
                }
                DoorbellOutput::Done => return true,
            }
        }
    }

    fn poll_ringer(&mut self, cx: &Context<'_>) -> bool {
        self.ringer.waker.register(cx.waker());
        // In this order: what was left before the end is taken before it.
        let ending = !self.ending && self.ringer.ending.load(Ordering::SeqCst);
        let changes = self.ringer.take();
        let progress = ending || !changes.is_empty();
        for change in changes {
            self.input(DoorbellInput::Changed(change));
        }
        if ending {
            self.ending = true;
            self.input(DoorbellInput::Shutdown);
        }
        progress
    }

    fn input(&mut self, input: DoorbellInput) {
        self.machine.handle_input(self.clock.now(), input);
    }
}
