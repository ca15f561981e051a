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

/// How often what reads for a command may still ask again. All that reads messages shares this: where one
/// was given up, the next ones have an attempt each, until something comes.
#[derive(Clone, Debug)]
pub(super) struct Retries {
    tried: Arc<Mutex<Tried>>,
    whole: Arc<Mutex<Whole>>,
}

#[derive(Debug)]
struct Tried {
    /// Rests since something came.
    rests: u32,
    rests_max: u32,
}

/// What is of the command as a whole.
#[derive(Debug, Default)]
struct Whole {
    rested: Duration,
    /// The log was told that summaries did not come.
    told: bool,
}

impl Retries {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            tried: Arc::new(Mutex::new(Tried {
                rests: 0,
                rests_max: config.storage_retries_max,
            })),
            whole: Arc::default(),
        }
    }

    /// For what is read beside the messages of the same command, which may come though they do not.
    pub(super) fn beside(&self, config: &Config) -> Self {
        Self {
            whole: Arc::clone(&self.whole),
            ..Self::new(config)
        }
    }

    /// Something came.
    pub(super) fn succeeded(&self) {
        lock(&self.tried).rests = 0;
    }

    /// How long to rest before storage is asked again; `None`: that is not worth while.
    pub(super) fn next(&self) -> Option<Duration> {
        let (mut tried, mut whole) = (lock(&self.tried), lock(&self.whole));
        let rest = RETRY_PAUSE * (1 << tried.rests.min(6));
        if tried.rests >= tried.rests_max || whole.rested + rest > RESTS_MAX {
            return None;
        }
        tried.rests += 1;
        whole.rested += rest;
        Some(rest)
    }

    /// Whether the log was not told yet that summaries did not come; now it is.
    pub(super) fn tells(&self) -> bool {
        !core::mem::replace(&mut lock(&self.whole).told, true)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Numbers, none of which depends on the others.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
