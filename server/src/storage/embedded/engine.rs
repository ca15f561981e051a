//! The rows of a store, in fjall: a log-structured tree with a journal.
//!
//! Everything that names fjall is here. After a failed write fjall takes no more. Where
//! the disk was full, [`Engine::reopen`] then reads the journal again from the disk, which says what
//! was not written; after any other failure the disk is not asked ([`is_broken`]).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use restante_core::storage::StorageError;

use super::EmbeddedConfig;
use super::journal::{self, Unfit};
use super::space::is_full;

/// Threads of fjall that write tables and merge them.
const WORKERS: usize = 2;
/// Bytes of the journal before tables are written; fjall takes no less.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// Files that fjall keeps open.
const OPEN_FILES: usize = 128;
/// Values from this size on are kept apart from their keys, so that merging the keys
/// does not copy them again and again.
const APART_BYTES: u32 = 1024;
/// Bytes of a file of values.
const APART_FILE_BYTES: u64 = 32 * 1024 * 1024;
/// Full write buffers of one keyspace that wait to be written as a table, before
/// commits wait for them.
const FULL_BUFFERS_MAX: usize = 2;
/// How long one commit waits for that.
const FLUSH_WAIT: Duration = Duration::from_millis(500);
/// How long a reopening waits for reads under way.
const READS_WAIT: Duration = Duration::from_secs(10);

/// The rows, as long as they are open. Clones of the `Arc` are short-lived: one read
/// or one commit.
pub(super) struct Rows {
    /// Items by partition and sort key.
    pub(super) items: Keyspace,
    /// Objects by key.
    pub(super) objects: Keyspace,
    /// The clock, and what is known of files.
    pub(super) state: Keyspace,
    database: Database,
    /// The error (errno) by which the disk says that the next commit, which is written, is not; 0: none.
    #[cfg(test)]
    pub(super) next_sync_fails: std::sync::atomic::AtomicI32,
}

/// Rows to be written and removed together.
#[derive(Default)]
pub(super) struct Changes {
    /// Rows of `items`: key and value, `None` to remove.
    pub(super) items: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Rows of `objects`.
    pub(super) objects: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Rows of `state`.
    pub(super) state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Rows {
    fn open(folder: &Path, config: &EmbeddedConfig) -> Result<Self, NotOpened> {
        journal::settle(folder).map_err(NotOpened::Journal)?;
        let database = Database::builder(folder)
            .cache_size(config.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .max_cached_files(Some(OPEN_FILES))
            .worker_threads(WORKERS)
            .open()?;
        let options =
            || KeyspaceCreateOptions::default().max_memtable_size(config.write_buffer_bytes);
        let apart = KvSeparationOptions::default()
            .separation_threshold(APART_BYTES)
            .file_target_size(APART_FILE_BYTES);
        Ok(Self {
            items: database.keyspace("items", options)?,
            objects: database.keyspace("objects", || options().with_kv_separation(Some(apart)))?,
            state: database.keyspace("state", options)?,
            database,
            #[cfg(test)]
            next_sync_fails: 0.into(),
        })
    }

    /// Waits while the engine has more rows in memory than it may: a writer that is
    /// faster than the disk is slowed down here.
    pub(super) fn wait_for_flush(&self) {
        let until = Instant::now() + FLUSH_WAIT;
        for table in [&self.items, &self.objects, &self.state] {
            while table.sealed_memtable_count() > FULL_BUFFERS_MAX && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn commit(&self, changes: &Changes) -> fjall::Result<()> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        let tables = [
            (&self.items, &changes.items),
            (&self.objects, &changes.objects),
            (&self.state, &changes.state),
        ];
        for (table, rows) in tables {
            for (key, value) in rows {
                match value {
                    Some(value) => batch.insert(table, &key[..], &value[..]),
                    None => batch.remove(table, &key[..]),
                }
            }
        }
        batch.commit()?;
        #[cfg(test)]
        match (self.next_sync_fails).swap(0, std::sync::atomic::Ordering::SeqCst) {
            0 => {}
            errno => return Err(fjall::Error::Io(io::Error::from_raw_os_error(errno))),
        }
        Ok(())
    }
}

/// One row's value.
pub(super) fn value(table: &Keyspace, key: &[u8]) -> fjall::Result<Option<Bytes>> {
    Ok(table.get(key)?.map(Bytes::from))
}

/// Opens the rows, and opens them again after a failure.
pub(super) struct Engine {
    folder: PathBuf,
    config: EmbeddedConfig,
    rows: RwLock<Option<Arc<Rows>>>,
    #[cfg(test)]
    pub(super) faults: Faults,
}

/// What tests let go wrong.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Faults {
    /// So many commits find that the engine has failed before them.
    pub(super) poisoned: std::sync::atomic::AtomicU32,
    /// The next commit panics when it is durable.
    pub(super) panics: std::sync::atomic::AtomicBool,
}

impl Engine {
    /// Opens the rows in `folder`. Blocks the thread.
    pub(super) fn open(folder: PathBuf, config: EmbeddedConfig) -> Result<Self, NotOpened> {
        let rows = Rows::open(&folder, &config)?;
        Ok(Self {
            folder,
            config,
            rows: RwLock::new(Some(Arc::new(rows))),
            #[cfg(test)]
            faults: Faults::default(),
        })
    }

    /// The rows for one read or one commit.
    pub(super) fn rows(&self) -> Result<Arc<Rows>, StorageError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.clone().ok_or_else(|| {
            let folder = self.folder.display();
            StorageError::Unavailable(format!("{folder} could not be opened again"))
        })
    }

    /// Writes all of the changes or nothing, to rows that are open, and returns once they are on the disk.
    pub(super) fn commit(&self, rows: &Rows, changes: &Changes) -> fjall::Result<()> {
        #[cfg(test)]
        if self.faults.is_poisoned() {
            return Err(fjall::Error::Poisoned);
        }
        rows.commit(changes)?;
        #[cfg(test)]
        self.faults.panic();
        Ok(())
    }

    /// Closes the rows; what is asked for later is `Unavailable`.
    pub(super) fn close(&self) {
        let mut place = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        *place = None;
    }

    /// Closes the rows and opens them as they are on the disk. Blocks the thread.
    pub(super) fn reopen(&self) -> Result<Arc<Rows>, StorageError> {
        let mut place = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut old) = place.take() {
            let until = Instant::now() + READS_WAIT;
            loop {
                match Arc::try_unwrap(old) {
                    Ok(rows) => break drop(rows),
                    Err(shared) if Instant::now() < until => old = shared,
                    Err(shared) => {
                        let why = "reads did not end in time".to_owned();
                        *place = Some(shared);
                        return Err(StorageError::Unavailable(why));
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let rows = Rows::open(&self.folder, &self.config);
        let rows = Arc::new(rows.map_err(|error| self.failed("the rows", &error))?);
        *place = Some(Arc::clone(&rows));
        Ok(rows)
    }

    /// An error of the engine, with the place where it was found.
    pub(super) fn failed(&self, what: &str, error: &impl fmt::Display) -> StorageError {
        StorageError::Unavailable(format!("{what} in {}: {error}", self.folder.display()))
    }

    /// A row that is not as it was written.
    pub(super) fn damaged(&self, what: &str) -> StorageError {
        StorageError::Unavailable(format!("{what} in {} is damaged", self.folder.display()))
    }
}

#[cfg(test)]
impl Faults {
    fn is_poisoned(&self) -> bool {
        use std::sync::atomic::Ordering::SeqCst;
        let left = |left: u32| left.checked_sub(1);
        self.poisoned.fetch_update(SeqCst, SeqCst, left).is_ok()
    }

    fn panic(&self) {
        let panics = self.panics.swap(false, std::sync::atomic::Ordering::SeqCst);
        assert!(!panics, "as a test wants it");
    }
}

/// Whether an error of the engine means that there is no room.
pub(super) fn out_of_room(error: &fjall::Error) -> bool {
    of_the_system(error).is_some_and(is_full)
}

/// Whether an error of the engine means that nobody can say any more what is on the disk.
pub(super) fn is_broken(error: &fjall::Error) -> bool {
    of_the_system(error).is_some_and(|error| !is_full(error))
}

fn of_the_system(error: &fjall::Error) -> Option<&io::Error> {
    match error {
        fjall::Error::Io(error) => Some(error),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => Some(error),
        _ => None,
    }
}

/// Why rows cannot be opened.
pub(super) enum NotOpened {
    /// The engine is not let near its journals.
    Journal(Unfit),
    Engine(fjall::Error),
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(unfit) => unfit.fmt(f),
            Self::Engine(error) => error.fmt(f),
        }
    }
}

impl From<fjall::Error> for NotOpened {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error)
    }
}
