//! As whom a process writes to the logs of an account, beyond the life of one machine.
//!
//! A writer is remembered by every log that it wrote to, in each checkpoint and for ever.
//! Machines come and go with the logins of clients; were each a new writer, a mailbox that
//! is looked at ten times a day would have thousands. So a machine that is done hands its
//! writers to the next one of the same process.

use super::Account;
use super::shared::LogId;
use crate::mailbox::{Clock, WriterId};
use std::collections::BTreeMap;

/// See the module. Whoever loses them loses nothing: the next machine writes as others.
#[derive(Debug, Default)]
pub struct Writers {
    /// With the next number.
    logs: BTreeMap<LogId, (WriterId, u64)>,
    /// Above everything that they have written.
    clock: Clock,
}

impl Writers {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }
}

impl Account {
    /// Writes as these, which are those of a machine of this account that is no more. No
    /// other machine may have them.
    #[must_use]
    pub fn with_writers(mut self, writers: Writers) -> Self {
        self.shared.writers = writers.logs;
        self.shared.clock = writers.clock;
        self
    }

    /// As whom the next machine may write, after [`Done`]. Before that there are none:
    /// nobody knows what of the last ones' is on its way.
    ///
    /// [`Done`]: super::AccountOutput::Done
    pub fn take_writers(&mut self) -> Writers {
        if !self.is_done() {
            return Writers::default();
        }
        Writers {
            logs: core::mem::take(&mut self.shared.writers),
            clock: core::mem::take(&mut self.shared.clock),
        }
    }
}
