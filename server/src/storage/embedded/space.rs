//! Says "full" before the disk does, so that nothing stops half-way and room is left
//! to delete.
//!
//! Deleting is more than to delete: that a message is marked, that it is expunged, and what
//! is to be collected later, are items. So objects stop first, and with them the messages
//! that come; items go on until there is half as much room.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use restante_core::storage::StorageError;

/// Reserves that stay free of objects.
const RESERVES_FOR_OBJECTS: u64 = 2;

/// Looks at the room that is left where a store is.
#[derive(Clone)]
pub(super) struct Space {
    folder: PathBuf,
    reserve: u64,
}

impl Space {
    /// Keeps `reserve` bytes free in the file system of `folder`, and as many more from objects.
    pub(super) fn new(folder: &Path, reserve: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            reserve,
        }
    }

    /// Whether items of `bytes` more may be stored.
    pub(super) fn room_for_items(&self, bytes: u64) -> Result<(), StorageError> {
        self.room(self.reserve, bytes)
    }

    /// Whether an object, or a part of one, of `bytes` more may be stored.
    pub(super) fn room_for_object(&self, bytes: u64) -> Result<(), StorageError> {
        self.room(self.reserve.saturating_mul(RESERVES_FOR_OBJECTS), bytes)
    }

    fn room(&self, reserve: u64, bytes: u64) -> Result<(), StorageError> {
        let Ok(system) = rustix::fs::statvfs(&self.folder) else {
            // A file system that does not say is asked by writing.
            return Ok(());
        };
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if free < reserve.saturating_add(bytes) {
            return Err(StorageError::Full);
        }
        Ok(())
    }
}

/// Whether an error means that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}
