//! As whom this process has written to accounts that are closed, for when they are opened
//! again. There is one machine of an account at a time, and it takes what the one before
//! has left; what a panic loses is never used again.

use restante_core::account::Writers;
use restante_core::mailbox::AccountId;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Accounts whose writers are kept; then all are forgotten, and machines write as new ones.
const ACCOUNTS_MAX: usize = 100_000;

/// See the module.
#[derive(Default)]
pub(super) struct KeptWriters(Mutex<HashMap<AccountId, Writers>>);

impl KeptWriters {
    /// What the last machine left; nobody else gets it.
    pub(super) fn take(&self, account: AccountId) -> Writers {
        self.lock().remove(&account).unwrap_or_default()
    }

    /// For the next machine.
    pub(super) fn keep(&self, account: AccountId, writers: Writers) {
        if writers.is_empty() {
            return;
        }
        let mut kept = self.lock();
        if kept.len() >= ACCOUNTS_MAX {
            kept.clear();
        }
        kept.insert(account, writers);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Writers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
