//! What of a log cannot be opened, or is of a version that only a newer server knows: a reader notes it,
//! and tells the log of events.

use super::Reader;
use crate::account::known::Known;
use crate::boundary::Event;
use crate::mailbox::{ContentId, DecodeError};
use crate::storage::{ItemKey, StorageError};
use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

/// What a reader could not open.
#[derive(Debug, Default)]
pub(in crate::account) struct Damaged {
    /// How many things, but for what is beside what can be opened.
    pub(in crate::account) count: usize,
    /// Those of them that are items, [`DAMAGED_ITEMS_MAX`] at most.
    pub(in crate::account) items: BTreeSet<ItemKey>,
    /// Items with one value that can be opened, and others that cannot; as many at most. Whoever may
    /// write to the storage can put something there.
    pub(in crate::account) beside: BTreeSet<ItemKey>,
    /// Those of them that are checkpoints.
    pub(in crate::account) checkpoints: Vec<ContentId>,
    /// An item that is of a version that this server does not know.
    newer: Option<String>,
    /// The same of a checkpoint.
    pub(super) newer_checkpoint: Option<String>,
}

/// Why a value of a log cannot be understood.
pub(super) enum Obscure {
    Damaged(String),
    /// The account's own servers wrote it, in a version that is not known here.
    Newer(u8),
}

impl From<DecodeError> for Obscure {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Version(version) => Self::Newer(version),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Damaged items that a reader can name.
const DAMAGED_ITEMS_MAX: usize = 10_000;

impl Reader {
    pub(super) fn note_damage(&self, note: impl FnOnce(&mut Damaged)) {
        let mut damaged = self.lock();
        damaged.count += 1;
        note(&mut damaged);
    }

    pub(super) fn obscure(&self, key: &ItemKey, why: Obscure) {
        match why {
            Obscure::Damaged(reason) => self.damaged(key, reason),
            Obscure::Newer(version) => {
                let place = format!("{}/{}", key.partition, key.sort);
                self.lock().newer = Some(too_old(&place, version));
            }
        }
    }

    /// Some values of an item cannot be opened, beside one that can or not.
    pub(super) fn obscure_values(&self, key: &ItemKey, values: Vec<Obscure>, beside: bool) {
        for why in values {
            match why {
                Obscure::Damaged(reason) if beside => {
                    let mut damaged = self.lock();
                    if damaged.beside.len() < DAMAGED_ITEMS_MAX {
                        damaged.beside.insert(key.clone());
                    }
                    let place = format!("{}/{}", key.partition, key.sort);
                    self.io.event(Event::Damaged { place, reason });
                }
                why => self.obscure(key, why),
            }
        }
    }

    /// Refuses a log with an item that only a newer server understands.
    pub(super) fn knows_all_items(&self) -> Result<(), StorageError> {
        match self.lock().newer.take() {
            None => Ok(()),
            Some(newer) => Err(StorageError::Refused(newer)),
        }
    }

    /// Refuses a log of which a part is only in a checkpoint that a newer server understands.
    pub(super) fn knows_all_of<S>(&self, known: &Known<S>) -> Result<(), StorageError> {
        match self.lock().newer_checkpoint.take() {
            Some(newer) if known.partial || !known.is_complete() => {
                Err(StorageError::Refused(newer))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Damaged> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an item once, and tells of it, however often it is read.
    pub(super) fn damaged(&self, key: &ItemKey, reason: String) {
        let mut damaged = self.lock();
        if damaged.items.contains(key) {
            return;
        }
        damaged.count += 1;
        if damaged.items.len() < DAMAGED_ITEMS_MAX {
            damaged.items.insert(key.clone());
        }
        drop(damaged);
        let place = format!("{}/{}", key.partition, key.sort);
        self.io.event(Event::Damaged { place, reason });
    }
}

pub(super) fn too_old(place: &str, version: u8) -> String {
    format!("{place} has version {version}: this server is too old for it")
}
