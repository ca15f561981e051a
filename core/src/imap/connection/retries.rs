//! When a command asks storage again that did not answer: after a rest, so that what is away for a
//! second is back by then, and not over and over for each of many messages.

use crate::config::Config;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The first rest; each one after it is twice as long. The four of the default configuration take
/// 1.5 s, half as long again as the connector asks nobody who is away.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// All rests of one command together: storage that comes and goes makes no command endless.
const RESTS_MAX: Duration = Duration::from_secs(60);

/// How often a command may still ask again. All that reads for it shares this: where one message was
/// given up, the next ones have an attempt each, until something comes.
#[derive(Clone, Debug)]
pub(super) struct Retries(Arc<Mutex<Tried>>);

#[derive(Debug)]
struct Tried {
    /// Rests since something came.
    rests: u32,
    rests_max: u32,
    /// Since the command began.
    rested: Duration,
}

impl Retries {
    pub(super) fn new(config: &Config) -> Self {
        Self(Arc::new(Mutex::new(Tried {
            rests: 0,
            rests_max: config.storage_retries_max,
            rested: Duration::ZERO,
        })))
    }

    fn tried(&self) -> MutexGuard<'_, Tried> {
        // Numbers, none of which depends on the others.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something came.
    pub(super) fn succeeded(&self) {
        self.tried().rests = 0;
    }

    /// How long to rest before storage is asked again; `None`: that is not worth while.
    pub(super) fn next(&self) -> Option<Duration> {
        let mut tried = self.tried();
        let rest = RETRY_PAUSE * (1 << tried.rests.min(6));
        if tried.rests >= tried.rests_max || tried.rested + rest > RESTS_MAX {
            return None;
        }
        tried.rests += 1;
        tried.rested += rest;
        Some(rest)
    }
}
