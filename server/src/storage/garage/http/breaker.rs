//! A circuit breaker: when requests fail one after another, the next ones fail at once
//! for a while instead of waiting for a Garage that is gone, and then one is let through
//! to see whether it is back. What Garage itself cannot do is an answer, and no failure here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether requests are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All of them.
    Closed,
    /// None of them: they fail at once.
    Open,
    /// One, to see whether Garage is back.
    HalfOpen,
}

/// The breaker of one interface.
pub(super) struct Breaker {
    name: &'static str,
    failures_max: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    /// How many requests have failed since one did not.
    Closed {
        failures: u32,
    },
    /// When to try again.
    Open {
        until: Instant,
    },
    HalfOpen,
}

/// Lets one request through.
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    probe: bool,
    reported: bool,
}

impl Breaker {
    pub(super) fn new(name: &'static str, failures_max: u32, pause: Duration) -> Self {
        Self {
            name,
            failures_max,
            pause,
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match *self.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen => BreakerState::HalfOpen,
        }
    }

    /// Whether a poll may be sent now. It is never the one that tries whether Garage is back: its
    /// answer may take as long as it waits for something to happen.
    pub(super) fn admit_poll(self: &Arc<Self>) -> Option<Pass> {
        matches!(*self.lock(), State::Closed { .. }).then(|| self.pass(false))
    }

    /// Whether a request may be sent now, which is answered at once where Garage is there.
    pub(super) fn admit(self: &Arc<Self>, now: Instant) -> Option<Pass> {
        let mut state = self.lock();
        let probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } if now >= until => {
                tracing::info!(interface = self.name, "trying whether Garage is back");
                *state = State::HalfOpen;
                true
            }
            State::Open { .. } | State::HalfOpen => return None,
        };
        Some(self.pass(probe))
    }

    fn pass(self: &Arc<Self>, probe: bool) -> Pass {
        Pass {
            breaker: Arc::clone(self),
            probe,
            reported: false,
        }
    }

    /// Whether it opens by this.
    fn report(&self, probe: bool, healthy: bool, now: Instant) -> bool {
        let mut state = self.lock();
        let open = State::Open {
            until: now + self.pause,
        };
        match (*state, healthy) {
            (State::Closed { .. }, true) => *state = State::Closed { failures: 0 },
            (State::Closed { failures }, false) if failures + 1 < self.failures_max => {
                *state = State::Closed {
                    failures: failures + 1,
                };
            }
            (State::Closed { .. }, false) => {
                tracing::warn!(
                    interface = self.name,
                    "Garage does not answer; failing fast"
                );
                *state = open;
                return true;
            }
            // An answer is an answer, even to a request from before.
            (State::Open { .. } | State::HalfOpen, true) => {
                tracing::info!(interface = self.name, "Garage answers again");
                *state = State::Closed { failures: 0 };
            }
            (State::HalfOpen, false) if probe => *state = open,
            (State::Open { .. } | State::HalfOpen, false) => {}
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Says how the request went. Whether the breaker opens by it.
    pub(super) fn report(mut self, healthy: bool, now: Instant) -> bool {
        self.reported = true;
        self.breaker.report(self.probe, healthy, now)
    }
}

impl Drop for Pass {
    /// A probe that was given up tells nothing: the next request is one.
    fn drop(&mut self) {
        if self.probe && !self.reported {
            let mut state = self.breaker.lock();
            if matches!(*state, State::HalfOpen) {
                *state = State::Open {
                    until: Instant::now(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_an_answer() {
        let pause = Duration::from_secs(1);
        let breaker = Arc::new(Breaker::new("test", 3, pause));
        let begin = Instant::now();
        let fail = |now| breaker.admit(now).unwrap().report(false, now);
        fail(begin);
        fail(begin);
        breaker.admit(begin).unwrap().report(true, begin);
        fail(begin);
        fail(begin);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(breaker.admit_poll().is_some());
        fail(begin);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.admit(begin + pause / 2).is_none());

        // Only what is answered at once tries again.
        assert!(breaker.admit_poll().is_none());
        let probe = breaker.admit(begin + pause).unwrap();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.admit(begin + pause).is_none(), "one at a time");
        assert!(breaker.admit_poll().is_none());
        probe.report(false, begin + pause);
        assert!(breaker.admit(begin + pause * 3 / 2).is_none());

        // A probe that was given up leaves the way free for the next one.
        drop(breaker.admit(begin + pause * 2).unwrap());
        let now = Instant::now() + pause * 2;
        breaker.admit(now).unwrap().report(true, now);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_late_failure_does_not_keep_it_open() {
        let breaker = Arc::new(Breaker::new("test", 1, Duration::from_secs(1)));
        let begin = Instant::now();
        let late = breaker.admit(begin).unwrap();
        breaker.admit(begin).unwrap().report(false, begin);
        let probe = breaker.admit(begin + Duration::from_secs(1)).unwrap();
        late.report(false, begin + Duration::from_secs(1));
        probe.report(true, begin + Duration::from_secs(2));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
