//! The item in which this process announces its changes in one shard.
//!
//! At most one insert is under way, and there is a [pause](super::pace) between one and
//! the next. What changes meanwhile waits for the next one, which says all of it.

use super::Change;
use super::announcement::Announcement;
use super::backoff::Backoff;
use super::machine::Outlet;
use super::pace::Pace;
use crate::config::Config;
use crate::storage::{
    CausalityToken, InsertItem, ItemKey, RequestId, StorageError, StorageRequest, StorageResponse,
};
use crate::time::{Instant, Now};

/// Inserts with the same causality token, each of which leaves one more sibling, before
/// the item is read again.
const SIBLINGS_MAX: u32 = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Outgoing {
    key: ItemKey,
    said: Announcement,
    /// Whether it is not yet said.
    due: bool,
    request: Option<RequestId>,
    /// When it may be said.
    pace: Pace,
    token: Option<CausalityToken>,
    /// Inserts since the token was read.
    siblings: u32,
    backoff: Backoff,
}

impl Outgoing {
    pub(super) fn new(key: ItemKey) -> Self {
        Self {
            key,
            said: Announcement::default(),
            due: false,
            request: None,
            pace: Pace::default(),
            token: None,
            siblings: 0,
            backoff: Backoff::default(),
        }
    }

    /// Something is to be announced.
    pub(super) fn add(&mut self, change: Change, config: &Config) {
        self.said.add(change, config.doorbell_changes_max);
        self.due = true;
    }

    /// The shard was read, and the item was there if there is a token.
    pub(super) fn was_read(&mut self, token: Option<CausalityToken>) {
        self.siblings = 0;
        self.token = token.or(self.token.take());
    }

    /// Nothing can be said before the shard was read.
    pub(super) fn must_read(&self) -> bool {
        self.due && self.siblings >= SIBLINGS_MAX
    }

    /// Nothing is left to say.
    pub(super) fn is_quiet(&self) -> bool {
        !self.due && self.request.is_none()
    }

    /// Does not pause any more.
    pub(super) fn hurry(&mut self) {
        self.pace.hurry();
    }

    /// Says nothing more than what is being said.
    pub(super) fn give_up(&mut self) {
        self.due = false;
    }

    /// When to be woken.
    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        let waits = self.due && self.request.is_none() && !self.must_read();
        waits.then(|| self.backoff.until().max(self.pace.next(config)))
    }

    /// Says what can be said now.
    pub(super) fn run(&mut self, now: Now, config: &Config, outlet: &mut Outlet) {
        if self.deadline(config).is_none_or(|at| at > now.instant) {
            return;
        }
        self.due = false;
        self.pace.done(now.instant, config);
        self.siblings += 1;
        self.said.unix_ms = now.unix_ms;
        let insert = InsertItem {
            key: self.key.clone(),
            token: self.token.clone(),
            value: self.said.encode().into(),
        };
        self.request = Some(outlet.request(StorageRequest::InsertItems(vec![insert])));
    }

    /// Takes an answer; `false` if it is not for this.
    pub(super) fn answer(
        &mut self,
        now: Now,
        id: RequestId,
        response: &StorageResponse,
        config: &Config,
        outlet: &mut Outlet,
    ) -> bool {
        if self.request != Some(id) {
            return false;
        }
        self.request = None;
        match response {
            StorageResponse::Done => self.backoff.worked(),
            other => {
                self.due = true;
                if self.backoff.failed(now.instant, config.doorbell_pause_max) {
                    outlet.failed("ring other servers", other);
                }
            }
        }
        true
    }
}

/// What storage said instead of what was asked for.
pub(super) fn reason(response: &StorageResponse) -> String {
    match response {
        StorageResponse::Failed(error) => error.to_string(),
        other => StorageError::Refused(format!("not an answer to this: {other:?}")).to_string(),
    }
}
