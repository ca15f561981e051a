//! Bodies of long objects: one file each, of blocks that are checked one by one.
//!
//! ```text
//! 7 bytes "restbdy", u8 version (1)
//! then for each 65,536 bytes of the object (fewer in the last block):
//!     the bytes, u32 CRC-32 of (u64 number of the file, u64 index of the block, the bytes)
//! ```
//!
//! Numbers are little endian. The length of the object is in its row. A file is written
//! in `staging/`, made durable, and named by a row; only then is it moved to
//! `objects/`. So a file in `staging/` that no row names was never finished, and a
//! start deletes it; the move itself need not be durable, because both places are
//! looked at.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use restante_core::storage::StorageError;

use super::folder::sync_folder;
use super::pool::Pool;
use super::space::{Space, is_full};

/// Bytes of an object in one block.
pub(super) const BLOCK: usize = 64 * 1024;
/// First bytes of a file; the last one is its version.
const HEADER: &[u8; 8] = b"restbdy\x01";
/// Bytes of the sum after each block.
const SUM: usize = 4;

/// Where the files of a store are.
#[derive(Clone)]
pub(super) struct Bodies {
    folder: Arc<Path>,
    space: Space,
    /// Deletes what is not wanted any more.
    pool: Pool,
}

impl Bodies {
    /// The files of the store in `folder`.
    pub(super) fn new(folder: &Path, space: Space, pool: Pool) -> Self {
        Self {
            folder: folder.into(),
            space,
            pool,
        }
    }

    fn staged(&self, number: u64) -> PathBuf {
        self.folder.join(format!("staging/{number:016x}"))
    }

    fn placed(&self, number: u64) -> PathBuf {
        let shard = number & 0xff;
        self.folder
            .join(format!("objects/{shard:02x}/{number:016x}"))
    }

    /// Begins a file. Blocks the thread.
    pub(super) fn create(&self, number: u64) -> Result<BodyWriter, StorageError> {
        let path = self.staged(number);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(&path, &error))?;
        let staged = Staged {
            bodies: self.clone(),
            number,
            kept: false,
        };
        file.write_all(HEADER)
            .map_err(|error| failed(&path, &error))?;
        Ok(BodyWriter {
            file,
            staged,
            blocks: 0,
        })
    }

    /// Opens a file; `None` where there is none. Blocks the thread.
    pub(super) fn open(&self, number: u64, len: u64) -> Result<Option<Body>, StorageError> {
        // Looked for twice where it goes to, for it may be moved in between.
        for path in [
            self.placed(number),
            self.staged(number),
            self.placed(number),
        ] {
            match File::open(&path) {
                Ok(file) => {
                    let mut header = [0; HEADER.len()];
                    file.read_exact_at(&mut header, 0)
                        .map_err(|error| failed(&path, &error))?;
                    if header != *HEADER {
                        return Err(damaged(&path, "it is not a body of version 1"));
                    }
                    return Ok(Some(Body {
                        file,
                        path,
                        number,
                        len,
                    }));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path, &error)),
            }
        }
        Ok(None)
    }

    /// Deletes a file, wherever it is; one that is gone already is no error.
    pub(super) fn remove(&self, number: u64) {
        for path in [self.placed(number), self.staged(number)] {
            // What stays is found by the next start.
            let _gone = fs::remove_file(path);
        }
    }

    /// Makes it durable that these files are gone. Blocks the thread.
    pub(super) fn sync_removed(&self, numbers: &[u64]) -> io::Result<()> {
        let placed = numbers.iter().map(|number| self.placed(*number));
        let shards: BTreeSet<PathBuf> = placed
            .filter_map(|path| path.parent().map(Path::to_owned))
            .collect();
        for shard in shards {
            match sync_folder(&shard) {
                // Nothing was ever moved there.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Moves a file that a row names to its place. What fails is done by the next start.
    fn place(&self, number: u64) {
        let target = self.placed(number);
        let source = self.staged(number);
        if fs::rename(&source, &target).is_err() {
            let made = target.parent().map(fs::create_dir);
            if matches!(made, Some(Ok(()))) {
                let _later = fs::rename(&source, &target);
            }
        }
    }

    /// Numbers of the files in `staging/`.
    pub(super) fn all_staged(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.folder.join("staging"))? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|n| u64::from_str_radix(n, 16).ok());
            numbers.extend(number);
        }
        Ok(numbers)
    }

    /// Ends what an earlier process left in `staging/`: a file that is `named` goes to
    /// its place, another one is deleted.
    pub(super) fn settle(&self, number: u64, named: bool) {
        if named {
            self.place(number);
        } else {
            self.remove(number);
        }
    }
}

/// A file that is being written. Dropping it deletes the file.
pub(super) struct BodyWriter {
    file: File,
    staged: Staged,
    blocks: u64,
}

impl BodyWriter {
    /// Appends one block, full unless it is the last. Blocks the thread.
    pub(super) fn write(&mut self, block: &[u8]) -> Result<(), StorageError> {
        debug_assert!(block.len() <= BLOCK);
        let bodies = &self.staged.bodies;
        bodies.space.room_for_object((block.len() + SUM) as u64)?;
        let sum = sum(self.staged.number, self.blocks, block);
        self.blocks += 1;
        self.file
            .write_all(block)
            .and_then(|()| self.file.write_all(&sum))
            .map_err(|error| failed(&bodies.staged(self.staged.number), &error))
    }

    /// Makes the file durable under its name in `staging/`. Blocks the thread.
    pub(super) fn sync(self) -> Result<Staged, StorageError> {
        let path = self.staged.bodies.staged(self.staged.number);
        self.file
            .sync_all()
            .and_then(|()| sync_folder(path.parent().unwrap_or(&path)))
            .map_err(|error| failed(&path, &error))?;
        Ok(self.staged)
    }
}

/// A file in `staging/`. Dropping it deletes the file, unless it was kept or left.
pub(super) struct Staged {
    bodies: Bodies,
    number: u64,
    kept: bool,
}

impl Staged {
    /// Which file.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Perhaps a row names it from now on: unless somebody says more, the next start decides.
    pub(super) fn leave(&mut self) {
        self.kept = true;
    }

    /// A row names it: it goes to its place. Blocks the thread for a moment.
    pub(super) fn keep(mut self) {
        self.kept = true;
        self.bodies.place(self.number);
    }

    /// No row names it: it is deleted.
    pub(super) fn discard(mut self) {
        self.kept = false;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept {
            let path = self.bodies.staged(self.number);
            self.bodies.pool.leave(move || {
                let _gone = fs::remove_file(path);
            });
        }
    }
}

/// A file that is being read. It can be read on when the object is deleted.
pub(super) struct Body {
    file: File,
    path: PathBuf,
    number: u64,
    len: u64,
}

impl Body {
    /// Bytes `start..end` of the object, which it must have. `last` is the block that the
    /// last call ended in, and is left for the next. Blocks the thread.
    pub(super) fn read(
        &self,
        start: u64,
        end: u64,
        last: &mut Option<(u64, Bytes)>,
    ) -> Result<Bytes, StorageError> {
        let block_bytes = BLOCK as u64;
        let mut out: Option<BytesMut> = None;
        let mut at = start;
        while at < end {
            let index = at / block_bytes;
            let block = match last.take() {
                Some((known, block)) if known == index => block,
                _ => self.block(index)?,
            };
            let begin = index * block_bytes;
            let till = end.min(begin + block.len() as u64);
            let part = block.slice(place(at - begin)..place(till - begin));
            *last = Some((index, block));
            if at == start && till == end {
                return Ok(part);
            }
            out.get_or_insert_with(|| BytesMut::with_capacity(place(end - start)))
                .extend_from_slice(&part);
            at = till;
        }
        Ok(out.unwrap_or_default().freeze())
    }

    fn block(&self, index: u64) -> Result<Bytes, StorageError> {
        let begin = index * BLOCK as u64;
        let bytes = place((self.len - begin).min(BLOCK as u64));
        let mut block = BytesMut::zeroed(bytes + SUM);
        let place = HEADER.len() as u64 + index * (BLOCK + SUM) as u64;
        self.file
            .read_exact_at(&mut block, place)
            .map_err(|error| failed(&self.path, &error))?;
        let found = block.split_off(bytes);
        if found[..] != sum(self.number, index, &block) {
            return Err(damaged(
                &self.path,
                &format!("block {index} has a wrong sum"),
            ));
        }
        Ok(block.freeze())
    }
}

/// A number of bytes within one block or one chunk.
fn place(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a chunk is smaller than 4 GiB")
}

fn sum(number: u64, index: u64, block: &[u8]) -> [u8; SUM] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&number.to_le_bytes());
    sum.update(&index.to_le_bytes());
    sum.update(block);
    sum.finalize().to_le_bytes()
}

fn failed(path: &Path, error: &io::Error) -> StorageError {
    if is_full(error) {
        return StorageError::Full;
    }
    StorageError::Unavailable(format!("{}: {error}", path.display()))
}

/// A file that is not as it was written.
fn damaged(path: &Path, why: &str) -> StorageError {
    StorageError::Unavailable(format!("{} is damaged: {why}", path.display()))
}
