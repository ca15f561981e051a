//! The hybrid logical clock that orders changes of flags and names.
//!
//! A stamp is the wall clock in milliseconds with a counter below it. A writer never
//! gives the same stamp twice and always one above every stamp it has seen, so what
//! was done knowing of something is ordered after it even when wall clocks differ.

use crate::time::Now;

/// A point in logical time: 48 bits of milliseconds since 1970, 16 bits of counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Stamp(pub(crate) u64);

impl Stamp {
    /// The first stamp of a millisecond.
    pub(crate) fn at(unix_ms: u64) -> Self {
        Self(unix_ms.min(u64::MAX >> 16) << 16)
    }

    /// The wall-clock part in milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) fn unix_ms(self) -> u64 {
        self.0 >> 16
    }
}

/// The clock of one account machine.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Stamp,
}

impl Clock {
    /// A new stamp, above every one given or seen before.
    pub(crate) fn tick(&mut self, now: Now) -> Stamp {
        let next = Stamp(self.last.0.saturating_add(1)).max(Stamp::at(now.unix_ms));
        self.last = next;
        next
    }

    /// Takes note of a stamp of another writer.
    pub(crate) fn observe(&mut self, stamp: Stamp) {
        self.last = self.last.max(stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn a_stamp_is_above_all_before_it_even_when_the_wall_clock_goes_back() {
        let at = |unix_ms| Now {
            instant: Instant(0),
            unix_ms,
        };
        let mut clock = Clock::default();
        let first = clock.tick(at(5_000));
        assert_eq!(first.unix_ms(), 5_000);
        assert!(clock.tick(at(4_000)) > first);
        clock.observe(Stamp::at(9_000));
        assert!(clock.tick(at(6_000)) > Stamp::at(9_000));
        assert_eq!(clock.tick(at(10_000)).unix_ms(), 10_000);
    }
}
