//! The clocks that the core is told of, and deadlines on them.

use crate::runtime::{Runtime, Timer};
use core::task::{Context, Poll};
use core::time::Duration;
use restante_core::time::{Instant, Now};
use std::time::{self, SystemTime, UNIX_EPOCH};

/// Counts from the start of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: time::Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            origin: time::Instant::now(),
        }
    }

    pub(crate) fn instant(self) -> Instant {
        Instant::default().after(self.origin.elapsed())
    }

    pub(crate) fn now(self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            instant: self.instant(),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn system(self, instant: Instant) -> time::Instant {
        // A deadline beyond what the system can express is one that never comes.
        let never = Duration::from_secs(100 * 365 * 24 * 3_600);
        self.origin + instant.since(Instant::default()).min(never)
    }
}

/// The timer of one machine. Deadlines move with almost every input, mostly later; so
/// the timer stays where it is until it goes off, and is only then set to the deadline
/// of that moment.
pub(crate) struct Deadline<R: Runtime> {
    clock: Clock,
    timer: R::Timer,
    set: Option<Instant>,
}

impl<R: Runtime> Deadline<R> {
    pub(crate) fn new(runtime: &R, clock: Clock) -> Self {
        Self {
            clock,
            timer: runtime.timer(),
            set: None,
        }
    }

    /// Ready once `deadline` has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        loop {
            if self.clock.instant() >= deadline {
                return Poll::Ready(());
            }
            if self.set.is_none_or(|set| set > deadline) {
                self.timer.set(self.clock.system(deadline));
                self.set = Some(deadline);
            }
            if self.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.set = None;
        }
    }
}
