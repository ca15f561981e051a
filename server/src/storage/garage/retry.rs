//! Makes a request again that may succeed the next time, always with the same bytes.

use super::failure::Failure;
use super::limits::GarageLimits;
use crate::seed;
use crate::storage::Sleeper;
use core::time::Duration;
use restante_core::random::Random;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a request does, should an attempt have been carried out that seemed to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Read,
    /// It is there, whatever later attempts are told.
    Write,
}

/// How often and when requests are made again.
pub(super) struct Retry {
    attempts_max: u32,
    /// After that no further attempt is begun: who has waited for one answer in vain
    /// would wait as long for the next, and the client with it.
    time_max: Duration,
    pause: Duration,
    sleeper: Sleeper,
    random: Mutex<Random>,
}

impl Retry {
    pub(super) fn new(limits: &GarageLimits, sleeper: Sleeper) -> Self {
        Self {
            attempts_max: limits.attempts_max,
            time_max: limits.request_timeout(),
            pause: limits.retry_pause(),
            sleeper,
            random: Mutex::new(seed::random()),
        }
    }

    /// Runs `attempt` until it succeeds, fails for good, or has been tried often or long
    /// enough.
    pub(super) async fn run<T, F>(
        &self,
        effect: Effect,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut number = 0;
        let begin = Instant::now();
        loop {
            let failure = match attempt().await {
                Ok(output) => return Ok(output),
                Err(failure) => failure,
            };
            number += 1;
            if !failure.is_temporary() {
                // An attempt before may have stored it after all.
                return Err(failure.if_carried_out(number > 1 && effect == Effect::Write));
            }
            if !self.goes_on(number, begin) {
                return Err(failure);
            }
            tracing::debug!(%failure, number, "again");
            (self.sleeper)(self.pause(number)).await;
        }
    }

    /// Between half and all of a time that doubles, so that those that failed together
    /// do not come back together.
    pub(super) fn pause(&self, number: u32) -> Duration {
        let full = self.pause * (1 << (number - 1).min(16));
        let full = full.min(PAUSE_MAX);
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let [share] = random.bytes();
        full / 2 + full / 2 * u32::from(share) / 255
    }

    /// Waits before attempt `number` (from 1) of something that is repeated elsewhere.
    pub(super) async fn wait(&self, number: u32) {
        (self.sleeper)(self.pause(number)).await;
    }

    /// Whether there is another attempt after `number` of them, of which the first began then.
    pub(super) fn goes_on(&self, number: u32, begin: Instant) -> bool {
        number < self.attempts_max && begin.elapsed() < self.time_max
    }
}
