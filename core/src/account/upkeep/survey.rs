//! Reading the whole index of an account, fresh from storage: what upkeep is based on, not
//! what this server happens to remember.

use super::super::load::{Damaged, Reader};
use crate::config::Config;
use crate::mailbox::{
    CheckpointPointer, ContentId, Directory, Ledger, LogPosition, LogState, MailboxId,
    MailboxState, VersionVector,
};
use crate::seal::{AccountKeys, ItemKind, Places};
use crate::storage::{
    CausalityToken, ObjectKey, PartitionKey, SortKey, StorageError, StorageRequest, StorageResponse,
};
use crate::workflow::Io;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

/// How often a log is read that others shorten meanwhile.
const READINGS_MAX: usize = 4;

/// What a body of upkeep works with.
#[derive(Clone)]
pub(super) struct Survey {
    pub(super) io: Io,
    pub(super) config: Arc<Config>,
    pub(super) keys: Arc<AccountKeys>,
    pub(super) places: Places,
    /// The wall clock when it began, milliseconds since 1970.
    pub(super) now_ms: u64,
}

/// A log as storage has it.
pub(super) struct Whole<S> {
    pub(super) partition: PartitionKey,
    pub(super) state: Arc<S>,
    pub(super) covered: VersionVector,
    /// Items that are there and contained in nothing: they cannot be read, or are parts of a batch that
    /// lacks others.
    pub(super) apart: BTreeSet<LogPosition>,
    /// The sort keys of the pointers to its checkpoints, the oldest first.
    pub(super) pointers: Vec<SortKey>,
    /// Its checkpoints, the oldest first. `None`: the pointer cannot be opened.
    pub(super) checkpoints: Vec<Option<CheckpointPointer>>,
    pub(super) damaged: Damaged,
    /// No checkpoint could be read though there are some.
    pub(super) partial: bool,
    /// It has all that any of the checkpoints has.
    complete: bool,
    /// Whether there is anything at all.
    pub(super) empty: bool,
}

impl<S> Whole<S> {
    /// Whether it says all that was ever written to it.
    pub(super) fn is_sound(&self) -> bool {
        self.damaged.count == 0
            && self.damaged.beside.is_empty()
            && !self.partial
            && self.complete
            && self.checkpoints.iter().all(Option::is_some)
    }

    /// Whether it has all that any of the checkpoints has.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The objects of its checkpoints.
    pub(super) fn checkpoint_objects(&self) -> impl Iterator<Item = ContentId> {
        self.checkpoints.iter().flatten().map(|it| it.content)
    }
}

impl Survey {
    /// The directory.
    pub(super) async fn directory(&self) -> Result<Whole<Directory>, StorageError> {
        self.read(self.places.directory(), ()).await
    }

    /// A mailbox, deleted or not.
    pub(super) async fn mailbox(
        &self,
        directory: &Directory,
        mailbox: MailboxId,
    ) -> Result<Whole<MailboxState>, StorageError> {
        let uid_validity = directory.uid_validity(mailbox);
        self.read(self.places.log(mailbox), uid_validity).await
    }

    pub(super) fn reader(&self, partition: PartitionKey) -> Reader {
        Reader {
            io: self.io.clone(),
            config: Arc::clone(&self.config),
            keys: Arc::clone(&self.keys),
            places: self.places,
            partition,
            // Everything that is there, also what a new checkpoint contains.
            unix_ms: u64::MAX,
            damaged: Default::default(),
        }
    }

    /// Reads a log. If others make a checkpoint meanwhile they may forget items that were
    /// not read yet: then it is read again.
    pub(super) async fn read<S: LogState>(
        &self,
        partition: PartitionKey,
        origin: S::Origin,
    ) -> Result<Whole<S>, StorageError> {
        for _ in 0..READINGS_MAX {
            let reader = self.reader(partition.clone());
            let known = reader.load(origin).await?.known;
            let pointers = self.pointers(&reader).await?;
            if !pointers.iter().eq(known.checkpoints.keys()) {
                continue;
            }
            let damaged = reader.damaged.into_inner();
            let complete = known.is_complete();
            let empty = known.present.is_empty() && known.checkpoints.is_empty();
            let apart = known.apart.positions().collect();
            let (pointers, checkpoints) = known.checkpoints.into_iter().unzip();
            return Ok(Whole {
                partition,
                state: known.state,
                covered: known.covered,
                apart,
                empty,
                pointers,
                checkpoints,
                damaged: damaged.unwrap_or_else(PoisonError::into_inner),
                partial: known.partial,
                complete,
            });
        }
        let why = "a log changes faster than it can be read".to_owned();
        Err(StorageError::Unavailable(why))
    }

    /// The sort keys of the pointers to a log's checkpoints.
    pub(super) async fn pointers(&self, reader: &Reader) -> Result<Vec<SortKey>, StorageError> {
        let pointers = reader.pointers().await?.into_iter();
        Ok(pointers.map(|item| item.key.sort).collect())
    }

    /// What the last sweep noted, and how to replace it. What cannot be opened counts as
    /// nothing: then all waiting begins anew.
    pub(super) async fn ledger(
        &self,
    ) -> Result<(Option<Ledger>, Option<CausalityToken>), StorageError> {
        let key = self.places.ledger();
        let request = StorageRequest::ReadItems(vec![key.clone()]);
        let StorageResponse::Items(items) = self.io.request(request).await? else {
            return Err(out_of_step());
        };
        let Some(item) = items.into_iter().find(|item| item.key == key) else {
            return Ok((None, None));
        };
        let mut all: Option<Ledger> = None;
        for value in &item.values {
            let opened = self.keys.open_item(&key, ItemKind::Settings, value).ok();
            match (opened.and_then(|it| Ledger::decode(&it).ok()), &mut all) {
                (Some(ledger), Some(all)) => all.merge(ledger),
                (Some(ledger), None) => all = Some(ledger),
                (None, _) => {}
            }
        }
        Ok((all, Some(item.token)))
    }

    /// One page of the objects that begin with `prefix`, and whether there are more.
    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<ObjectKey>,
    ) -> Result<(Vec<ObjectKey>, bool), StorageError> {
        let request = StorageRequest::ListObjects {
            prefix: prefix.to_owned(),
            after: after.clone(),
            limit: self.config.list_page_objects,
        };
        match self.io.request(request).await? {
            StorageResponse::Objects { keys, more } => {
                let goes_on = keys.last() > after.as_ref();
                if more && !goes_on {
                    let why = "a list of objects that does not go on".to_owned();
                    return Err(StorageError::Refused(why));
                }
                Ok((keys, more))
            }
            _ => Err(out_of_step()),
        }
    }

    /// Whether something of this time is old enough to be judged.
    pub(super) fn is_old(&self, unix_ms: u64) -> bool {
        let age = millis(self.config.orphan_age_min);
        unix_ms.saturating_add(age) <= self.now_ms
    }

    /// Whether what went at this time can be brought back no more. The margin is for clocks
    /// that differ, and for who is just bringing it back.
    pub(super) fn is_past(&self, unix_ms: u64) -> bool {
        let kept = self.config.undelete_retention + self.config.orphan_age_min;
        unix_ms.saturating_add(millis(kept)) <= self.now_ms
    }

    /// Whether it need not be known any more that a message was expunged at this time.
    pub(super) fn is_forgettable(&self, unix_ms: u64) -> bool {
        self.is_past(unix_ms.saturating_add(millis(self.config.forget_delay)))
    }
}

/// What a mailbox names and has named, as far as it is still known.
pub(super) fn contents_of(state: &MailboxState) -> impl Iterator<Item = ContentId> {
    let gone = state.tombstones().map(|tombstone| tombstone.content);
    state.contents().chain(gone)
}

pub(super) fn millis(duration: core::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn out_of_step() -> StorageError {
    StorageError::Refused("an answer to another question".to_owned())
}
