//! Says "full" before the disk does, so that nothing stops half-way and room is left
//! to delete.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use restante_core::storage::StorageError;

/// Looks at the room that is left where a store is.
#[derive(Clone)]
pub(super) struct Space {
    folder: PathBuf,
    reserve: u64,
}

impl Space {
    /// Keeps `reserve` bytes free in the file system of `folder`.
    pub(super) fn new(folder: &Path, reserve: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            reserve,
        }
    }

    /// Whether `bytes` more may be stored.
    pub(super) fn room_for(&self, bytes: u64) -> Result<(), StorageError> {
        let Ok(system) = rustix::fs::statvfs(&self.folder) else {
            // A file system that does not say is asked by writing.
            return Ok(());
        };
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if free < self.reserve.saturating_add(bytes) {
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
