//! When to try again what failed.

use crate::time::Instant;
use core::time::Duration;

/// The first pause, doubled each time.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Instant,
}

impl Backoff {
    /// It failed; whether it had worked before.
    pub(super) fn failed(&mut self, now: Instant, pause_max: Duration) -> bool {
        let pause = PAUSE * (1 << self.failures.min(16));
        self.until = now.after(pause.min(pause_max));
        self.failures = self.failures.saturating_add(1);
        self.failures == 1
    }

    /// It works.
    pub(super) fn worked(&mut self) {
        *self = Self::default();
    }

    /// When it may be tried.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}
