//! Accounts whose storage was put back from a backup, as the accounts file says (`account restored`).
//!
//! What was put back is an earlier state: clients were told of UIDs that it does not know, and if these
//! were given to other messages, clients would show one message for another. So before anybody is shown
//! anything of such an account, its mailboxes skip these UIDs, and messages that are in storage and in no
//! mailbox go to `Recovered`. It needs the account's keys, so it is done when somebody logs in first; the
//! login waits for it. Then the mark in the accounts file is taken away.
//!
//! Several servers may each do this, and one may do it twice: a few more UIDs are skipped. So each
//! does it once for the mark in its own accounts file, and nobody need know of the others.

use super::Server;
use super::steward::Steward;
use super::steward::mending::Refused;
use crate::accounts::Opened;
use crate::runtime::Runtime;
use core::panic::AssertUnwindSafe;
use futures_channel::oneshot;
use futures_util::future::FutureExt;
use futures_util::lock::Mutex as Turns;
use restante_core::account::{Bodies, CheckOptions};
use restante_core::boundary::{Login, LoginError};
use restante_core::config::Config as CoreConfig;
use restante_core::mailbox::AccountId;
use restante_core::seal::AccountKeys;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::Instrument;

/// What has been done by this process, for each account that is or was marked.
#[derive(Default)]
pub(super) struct Restored(Mutex<HashMap<AccountId, Arc<Turns<Done>>>>);

/// The mark for which it was done last; whoever does it has the lock.
type Done = Option<u64>;

impl Restored {
    fn of(&self, account: AccountId) -> Arc<Turns<Done>> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(account).or_default())
    }
}

impl<R: Runtime> Server<R> {
    /// Waits until what the account has may be shown.
    ///
    /// # Errors
    /// `Unavailable` if storage does not answer.
    pub(super) async fn settle_restored(
        self: &Arc<Self>,
        opened: Opened,
    ) -> Result<Login, LoginError> {
        let Opened { login, restored_ms } = opened;
        let Some(mark) = restored_ms else {
            return Ok(login);
        };
        let (done, wait) = oneshot::channel();
        let (server, keys) = (Arc::clone(self), Arc::clone(&login.keys));
        // In a task of its own: it may take longer than a client has patience, and would begin anew with
        // each login.
        let work = async move {
            let settled = server.settle(&keys, mark).await;
            // Who logged in may have gone.
            let _gone = done.send(settled);
        };
        let span = tracing::info_span!(parent: None, "restored", account = %login.keys.account());
        let work = AssertUnwindSafe(work).catch_unwind().map(drop);
        self.runtime.spawn(work.instrument(span));
        match wait.await {
            Ok(Ok(())) => Ok(login),
            Ok(Err(_)) | Err(_) => Err(LoginError::Unavailable),
        }
    }

    /// Does what is to be done for this mark, unless it is done. The log has what went wrong.
    async fn settle(&self, keys: &Arc<AccountKeys>, mark: u64) -> Result<(), Refused> {
        let account = keys.account();
        let turn = self.restored.of(account);
        let mut done = turn.lock().await;
        if *done == Some(mark) {
            return Ok(());
        }
        tracing::info!("storage was put back from a backup: UIDs are skipped");
        let mut steward = self.steward(keys);
        let settled = bring_back(&mut steward, mark).await;
        for change in steward.end().await {
            self.registry.ring(change);
            self.announce(change);
        }
        match settled {
            Ok(recovered) => tracing::info!(recovered, "the account may be shown again"),
            Err(why) => {
                tracing::warn!(reason = %why, "the account cannot be shown yet");
                return Err(why);
            }
        }
        *done = Some(mark);
        self.accounts.note_settled(account, mark).await;
        Ok(())
    }

    fn steward(&self, keys: &Arc<AccountKeys>) -> Steward<R> {
        // `Recovered` may have to be made, however many mailboxes were deleted.
        let config = CoreConfig {
            deleted_mailboxes_max: usize::MAX,
            ..(*self.core).clone()
        };
        let (runtime, storage) = (self.runtime.clone(), Arc::clone(&self.storage));
        Steward::new(runtime, storage, config, Arc::clone(keys))
    }
}

/// Skips UIDs and brings back messages; how many of these.
async fn bring_back<R: Runtime>(steward: &mut Steward<R>, mark: u64) -> Result<usize, Refused> {
    let options = CheckOptions {
        bodies: Bodies::Skip,
        repair: false,
        rebuild: false,
        restored_ms: Some(mark),
    };
    let mut report = steward.check(options).await?;
    steward.skip_uids(&report.lost).await?;
    let mut recovered = 0;
    loop {
        let more = report.more_orphans && !report.orphans.is_empty();
        recovered += report.orphans.len();
        steward.recover(report.orphans).await?;
        if !more {
            return Ok(recovered);
        }
        report = steward.check(options).await?;
    }
}
