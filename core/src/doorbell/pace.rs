//! How often something may be done in a shard: soon after it was done last, until it was done
//! many times in a row, and then seldom.
//!
//! Each announcement is an insert here, the end of a poll, and a look at the shard on every
//! server. Where mail comes in by the hundred a second that would be more work than the mail
//! itself, and nobody who waits there sees the difference between a message told after 20 ms and
//! one told after 160. Who only works with the mailbox never gets that far.

use crate::config::Config;
use crate::time::Instant;
use core::time::Duration;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Until it is done the first time, there is nothing to wait for.
    last: Option<Instant>,
    /// The pauses that were not made, at that time: each time adds a long one, and time that goes
    /// by takes away as much as goes by.
    owed: Duration,
}

impl Pace {
    /// When it may be done again.
    pub(super) fn next(&self, config: &Config) -> Instant {
        let credit = config.doorbell_interval_max * config.doorbell_rush_max;
        let pause = self.owed.saturating_sub(credit);
        let next = |last: Instant| last.after(pause.max(config.doorbell_interval));
        self.last.map(next).unwrap_or_default()
    }

    /// It is done now.
    pub(super) fn done(&mut self, now: Instant, config: &Config) {
        let gone = self.last.map_or(Duration::MAX, |last| now.since(last));
        self.owed = self.owed.saturating_sub(gone) + config.doorbell_interval_max;
        self.last = Some(now);
    }

    /// The next time may be at once.
    pub(super) fn hurry(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            doorbell_interval: Duration::from_millis(20),
            doorbell_interval_max: Duration::from_millis(160),
            doorbell_rush_max: 4,
            ..Config::default()
        }
    }

    /// The pauses between so many times, each as soon as it may be and somebody wants it.
    fn pauses(pace: &mut Pace, now: &mut Instant, times: usize, wanted: Duration) -> Vec<u128> {
        let config = config();
        let one = |_| {
            let next = pace.next(&config).max(now.after(wanted));
            let pause = next.since(*now).as_millis();
            *now = next;
            pace.done(*now, &config);
            pause
        };
        (0..times).map(one).collect()
    }

    #[test]
    fn the_first_times_are_near_and_a_long_rush_is_slow() {
        let mut now = Instant::default().after(Duration::from_secs(1));
        let mut pace = Pace::default();
        assert!(pace.next(&config()) <= now);
        pace.done(now, &config());
        let found = pauses(&mut pace, &mut now, 9, Duration::ZERO);
        assert_eq!(found, [20, 20, 20, 20, 80, 160, 160, 160, 160]);
        // After a while it is as in the beginning.
        now = now.after(Duration::from_secs(1));
        pace.done(now, &config());
        let found = pauses(&mut pace, &mut now, 5, Duration::ZERO);
        assert_eq!(found, [20, 20, 20, 20, 80]);
        pace.hurry();
        assert!(pace.next(&config()) <= now);
    }

    #[test]
    fn what_is_wanted_seldom_never_waits() {
        let mut now = Instant::default();
        let mut pace = Pace::default();
        let seldom = Duration::from_millis(160);
        let found = pauses(&mut pace, &mut now, 100, seldom);
        assert_eq!(found, [160; 100]);
    }
}
