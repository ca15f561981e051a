//! Into INBOXes whose keys nobody here has: as whom this process writes to them, and who is
//! told.

use super::Server;
use crate::runtime::Runtime;
use futures_util::lock::Mutex as Turns;
use restante_core::delivery::{InboxWriter, Recipient};
use restante_core::doorbell::Change;
use restante_core::mailbox::AccountId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// INBOXes whose writers are kept; then those that nobody uses now are forgotten, and the
/// next messages come from new ones.
const WRITERS_MAX: usize = 10_000;

/// As whom this process writes to INBOXes.
#[derive(Default)]
pub(super) struct Writers(Mutex<HashMap<AccountId, Writer>>);

/// As whom it writes to one; nothing while a message has it, so that one whose delivery is
/// given up in between is never lent again.
pub(super) type Writer = Arc<Turns<Option<InboxWriter>>>;

impl<R: Runtime> Server<R> {
    /// Something came, or may have come, into an INBOX: its account is told, here and in
    /// other processes.
    pub(super) fn rang(&self, recipient: Recipient) {
        let change = Change {
            account: recipient.account,
            log: Some(recipient.inbox),
        };
        self.registry.ring(change);
        self.announce(change);
    }
}

impl Writers {
    /// The writer for the INBOX of an account.
    pub(super) fn of(&self, account: AccountId) -> Writer {
        let mut writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writers.len() >= WRITERS_MAX && !writers.contains_key(&account) {
            writers.retain(|_, writer| Arc::strong_count(writer) > 1);
        }
        Arc::clone(writers.entry(account).or_default())
    }
}
