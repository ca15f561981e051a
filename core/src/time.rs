//! Time as a parameter. The core never asks for the time: every input carries it.

use core::time::Duration;

/// A point on the monotonic clock, in microseconds since an origin that the
/// driver chooses (usually the start of the process).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `duration` later; saturates at the end of time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// How long after `earlier` this instant is; zero if it is before it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// What both clocks show when an input happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: time-outs count on it.
    pub instant: Instant,
    /// The wall clock, milliseconds since 1970-01-01T00:00:00Z: INTERNALDATE
    /// and the logical clocks start from it. It may jump.
    pub unix_ms: u64,
}
