//! Whether the server runs or stops, as every task can see and wait for.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU8, Ordering};
use core::task::{Context, Poll};
use event_listener::{Event, EventListener};
use std::sync::Arc;

/// What the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serving.
    Running,
    /// Connections finish their command and say BYE.
    Draining,
    /// Accounts finish their commits, whoever still waits for them.
    Ending,
}

/// The phase of a server.
#[derive(Default)]
pub(crate) struct Phases {
    phase: AtomicU8,
    event: Event,
}

impl Phases {
    /// Goes on to a phase; there is no way back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        self.event.notify(usize::MAX);
    }

    pub(crate) fn now(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Ending,
        }
    }
}

/// One task's view of the phase.
pub(crate) struct Watch {
    phases: Arc<Phases>,
    seen: Phase,
    listener: Option<EventListener>,
}

impl Watch {
    pub(crate) fn new(phases: Arc<Phases>) -> Self {
        Self {
            phases,
            seen: Phase::Running,
            listener: None,
        }
    }

    /// Ready with each phase that comes, the latest one only.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        loop {
            let phase = self.phases.now();
            if phase > self.seen {
                self.seen = phase;
                return Poll::Ready(phase);
            }
            // The phase is looked at once more after the listener was made: a change
            // in between is not missed.
            match &mut self.listener {
                none @ None => *none = Some(self.phases.event.listen()),
                Some(listener) => match Pin::new(listener).poll(cx) {
                    Poll::Ready(()) => self.listener = None,
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Waits for the next phase.
    pub(crate) async fn next(&mut self) -> Phase {
        core::future::poll_fn(|cx| self.poll(cx)).await
    }
}
