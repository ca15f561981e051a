//! What strangers can make happen thousands of times a second, told to the log about once a
//! minute: the first time at once, then how often it happened since.

use core::time::Duration;
use restante_core::time::Instant;
use std::sync::{Mutex, PoisonError};

/// How long it is only counted once it was told.
const QUIET: Duration = Duration::from_secs(60);

/// How often something happened that the log was not told of.
#[derive(Debug, Default)]
pub(crate) struct Flood(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    untold: u64,
    /// Nothing is told before.
    quiet_until: Instant,
}

impl Flood {
    /// It happened. How often that was since the log was told, if it is to be told now.
    pub(crate) fn happened(&self, now: Instant) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.untold = counted.untold.saturating_add(1);
        counted.tell(now)
    }

    /// How often it happened since the log was told, if it is to be told of that now.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.tell(now)
    }

    /// The same, at the end, when there is nothing to wait for any more.
    pub(crate) fn rest(&self) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.tell(Instant(u64::MAX))
    }
}

impl Counted {
    fn tell(&mut self, now: Instant) -> Option<u64> {
        if self.untold == 0 || now < self.quiet_until {
            return None;
        }
        self.quiet_until = now.after(QUIET);
        Some(core::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_at_once_and_then_once_a_minute_with_its_number() {
        let flood = Flood::default();
        let at = |ms: u64| Instant::default().after(Duration::from_millis(ms));
        let mut told = Vec::new();
        // A thousand a second for five minutes, from the start of the server on.
        for ms in 0..300_000 {
            told.extend(flood.happened(at(ms)));
        }
        assert_eq!(told, [1, 60_000, 60_000, 60_000, 60_000]);
        assert_eq!(flood.due(at(299_999)), None);
        assert_eq!(flood.due(at(300_000)), Some(59_999));
        assert_eq!(flood.due(at(3_000_000)), None);
        // The next one is told at once, and what comes at the end is not lost.
        assert_eq!(flood.happened(at(3_000_000)), Some(1));
        assert_eq!(flood.happened(at(3_000_001)), None);
        assert_eq!(flood.rest(), Some(1));
        assert_eq!(flood.rest(), None);
    }
}
