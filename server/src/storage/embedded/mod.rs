//! Storage in one local folder, for a server without Garage.
//!
//! Items and short objects are rows of an embedded engine ([`engine`]); a long object
//! is a file of its own ([`body`]). What is answered with `Done` has been fsynced; what
//! was not finished is not visible after a crash, and its space is reclaimed by the
//! next start. Threads: some readers, some writers of long objects, one committer, and
//! two of the engine; none of them belongs to a runtime.
//!
//! There is one writer, so tombstones are not kept: a deleted item is gone. Its time
//! lives on in the clock of the store, see `causality`.

mod body;
mod committer;
mod engine;
mod folder;
mod journal;
mod pool;
mod row;
mod space;
mod stream;

pub use folder::OpenError;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use bytes::{Bytes, BytesMut};
use fjall::Keyspace;
use restante_core::storage::{
    InsertItem, Item, ItemKey, ItemRange, ObjectKey, StorageError, StorageRequest, StorageResponse,
};

use super::causality::{Siblings, token_time};
use super::doorbell::Doorbells;
use super::limits::{
    OBJECT_KEY_BYTES_MAX, PARTITION_KEY_BYTES_MAX, RANGE_BYTES_MAX, RANGE_ITEMS_MAX,
    SORT_KEY_BYTES_MAX, check_insert, check_item_key, check_object_key,
};
use super::{BoxFuture, ObjectSink, Opened, Sleeper, Storage};
use body::Bodies;
use committer::{CommitQueue, Committer, ItemWrite, Work, stored_clock};
use engine::{Engine, Rows, value};
use folder::Folder;
use pool::Pool;
use row::{DOOMED, FILES, ObjectRow, file_key, file_number, item_key, item_name, sort_key};
use space::Space;
use stream::{FileRange, FileSource, InlineSource, Sink, SinkState};

/// How often an object that is replaced while it is being opened is looked up again.
const OPEN_TRIES_MAX: u32 = 4;

/// What an [`Embedded`] may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// Bytes of rows that are kept in memory for reading.
    pub cache_bytes: u64,
    /// Bytes of new rows of one of the three keyspaces in memory, before they are
    /// written as a table.
    pub write_buffer_bytes: u64,
    /// Bytes of the longest object that is kept as a row; a longer one is a file.
    pub inline_bytes_max: usize,
    /// Bytes that stay free in the file system: below that items are answered with `Full`,
    /// and below twice that objects, except where something is deleted.
    pub reserve_bytes: u64,
    /// Threads that read.
    pub readers: usize,
    /// Threads that write long objects.
    pub writers: usize,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 4 * 1024 * 1024,
            write_buffer_bytes: 2 * 1024 * 1024,
            inline_bytes_max: 96 * 1024,
            reserve_bytes: 128 * 1024 * 1024,
            readers: 4,
            writers: 4,
        }
    }
}

/// Items and objects in one folder.
///
/// Dropping it waits until what was asked for is written, and gives the folder free.
pub struct Embedded {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
    folder: Folder,
}

/// What the futures hold.
struct Shared {
    engine: Arc<Engine>,
    bodies: Bodies,
    bells: Doorbells,
    readers: Pool,
    writers: Pool,
    commits: CommitQueue,
    clock: Arc<AtomicU64>,
    inline_max: usize,
}

impl Embedded {
    /// Opens a folder, and makes it where it does not exist. Blocks the thread: a
    /// fraction of a second, more after a crash.
    ///
    /// # Errors
    /// See [`OpenError`]; its text names the folder or the file.
    pub fn open(
        folder: &Path,
        config: EmbeddedConfig,
        sleeper: Sleeper,
    ) -> Result<Self, OpenError> {
        let folder = Folder::take(folder)?;
        let damaged = |error: fjall::Error| OpenError::Damaged {
            folder: folder.path().to_owned(),
            why: error.to_string(),
        };
        let at = |error| OpenError::Io {
            path: folder.path().to_owned(),
            error,
        };
        let space = Space::new(folder.path(), config.reserve_bytes);
        let inline_max = config.inline_bytes_max;
        let (readers, writers) = (config.readers, config.writers);
        let engine = Engine::open(folder.rows(), config).map_err(|error| OpenError::Damaged {
            folder: folder.path().to_owned(),
            why: error.to_string(),
        })?;
        // Everything has its folder now. Without this a power failure could leave files without their way.
        folder.sync()?;
        let engine = Arc::new(engine);
        let mut handles = Vec::new();
        let readers = Pool::start("storage-read", readers, &mut handles).map_err(at)?;
        let writers = Pool::start("storage-body", writers, &mut handles).map_err(at)?;
        let bodies = Bodies::new(folder.path(), space.clone(), writers.clone());
        let rows = engine.rows().map_err(|error| OpenError::Damaged {
            folder: folder.path().to_owned(),
            why: error.to_string(),
        })?;
        let now = stored_clock(&rows).map_err(damaged)?;
        let removed = settle(&rows, &bodies).map_err(damaged)?;
        drop(rows);
        let clock = Arc::new(AtomicU64::new(now));
        let bells = Doorbells::new(now, sleeper);
        let (commits, queue) = CommitQueue::new();
        let committer = Committer {
            engine: Arc::clone(&engine),
            bodies: bodies.clone(),
            bells: bells.clone(),
            space,
            clock: Arc::clone(&clock),
            removed,
            halted: None,
        };
        let thread = std::thread::Builder::new().name("storage-commit".to_owned());
        handles.push(thread.spawn(move || committer.run(&queue)).map_err(at)?);
        let shared = Shared {
            engine,
            bodies,
            bells,
            readers,
            writers,
            commits,
            clock,
            inline_max,
        };
        Ok(Self {
            shared: Arc::new(shared),
            handles,
            folder,
        })
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.commits.close();
        self.shared.readers.close();
        self.shared.writers.close();
        for handle in self.handles.drain(..) {
            // A thread that panicked has answered Unavailable already.
            let _panicked = handle.join();
        }
        // Before the lock of the folder is given up. Futures that are still around are
        // answered with Unavailable.
        self.shared.engine.close();
    }
}

/// Ends what the last process left undone. Returns files that are deleted and whose
/// rows can go.
fn settle(rows: &Rows, bodies: &Bodies) -> fjall::Result<Vec<u64>> {
    let mut removed = Vec::new();
    for row in rows.state.prefix(DOOMED) {
        if let Some(number) = file_number(DOOMED, &row.key()?) {
            bodies.remove(number);
            removed.push(number);
        }
    }
    for number in bodies.all_staged()? {
        let named = rows.state.contains_key(file_key(FILES, number))?;
        bodies.settle(number, named);
    }
    Ok(removed)
}

impl Storage for Embedded {
    fn execute(&self, request: StorageRequest) -> BoxFuture<'static, StorageResponse> {
        if let StorageRequest::PollRange {
            partition,
            seen,
            timeout_ms,
        } = request
        {
            return self.shared.bells.poll(&partition, seen, timeout_ms);
        }
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            shared
                .answer(request)
                .await
                .unwrap_or_else(StorageResponse::Failed)
        })
    }

    fn open(
        &self,
        key: ObjectKey,
        start: u64,
        end: Option<u64>,
        max: u32,
    ) -> BoxFuture<'static, Result<Opened, StorageError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let readers = shared.readers.clone();
            readers
                .run(move || shared.open_object(&key, (start, end), max))
                .await
        })
    }

    fn create(
        &self,
        key: ObjectKey,
    ) -> BoxFuture<'static, Result<Box<dyn ObjectSink>, StorageError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            check_object_key(&key)?;
            let sink = Sink {
                key,
                bodies: shared.bodies.clone(),
                writers: shared.writers.clone(),
                commits: shared.commits.clone(),
                clock: Arc::clone(&shared.clock),
                inline_max: shared.inline_max,
                buffer: BytesMut::new(),
                state: SinkState::Short,
            };
            Ok(Box::new(sink) as Box<dyn ObjectSink>)
        })
    }
}

impl Shared {
    async fn answer(
        self: Arc<Self>,
        request: StorageRequest,
    ) -> Result<StorageResponse, StorageError> {
        let readers = self.readers.clone();
        let work = match request {
            StorageRequest::ReadItems(keys) => {
                return readers.run(move || self.read_items(keys)).await;
            }
            StorageRequest::ReadRange(range) => {
                return readers.run(move || self.read_range(&range)).await;
            }
            StorageRequest::ListObjects {
                prefix,
                after,
                limit,
            } => return readers.run(move || self.list(&prefix, after, limit)).await,
            StorageRequest::InsertItems(inserts) => Work::Items(checked_inserts(inserts)?),
            StorageRequest::DeleteItems(deletes) => {
                let mut writes = Vec::with_capacity(deletes.len());
                for (key, token) in deletes {
                    check_item_key(&key)?;
                    writes.push((key, Some(token_time(&token)?), None));
                }
                Work::Items(writes)
            }
            StorageRequest::DeleteObjects(mut keys) => {
                // What cannot be stored is not there.
                keys.retain(|key| check_object_key(key).is_ok());
                Work::Delete(keys)
            }
            StorageRequest::PollRange { .. }
            | StorageRequest::OpenObject { .. }
            | StorageRequest::ReadChunk { .. }
            | StorageRequest::CreateObject { .. }
            | StorageRequest::WriteChunk(_)
            | StorageRequest::FinishObject => return Err(super::not_single()),
        };
        self.commits.commit(work).await?;
        Ok(StorageResponse::Done)
    }

    fn read_items(&self, keys: Vec<ItemKey>) -> Result<StorageResponse, StorageError> {
        let rows = self.engine.rows()?;
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            check_item_key(&key)?;
            let found = value(&rows.items, &item_key(&key.partition, &key.sort.0))
                .map_err(|error| self.engine.failed(&item_name(&key), &error))?;
            if let Some(row) = found {
                items.push(self.item(key, row)?);
            }
        }
        Ok(StorageResponse::Items(items))
    }

    fn item(&self, key: ItemKey, row: Bytes) -> Result<Item, StorageError> {
        let siblings =
            Siblings::decode(row).ok_or_else(|| self.engine.damaged(&item_name(&key)))?;
        Ok(Item {
            key,
            token: siblings.token(),
            values: siblings.visible(),
        })
    }

    fn read_range(&self, range: &ItemRange) -> Result<StorageResponse, StorageError> {
        let partition = &range.partition;
        let mut items = Vec::new();
        let mut bytes = 0;
        if partition.0.len() > PARTITION_KEY_BYTES_MAX {
            // Nothing can be there.
            return Ok(StorageResponse::Range { items, next: None });
        }
        let limit = range.limit.min(RANGE_ITEMS_MAX) as usize;
        let all = item_key(partition, "");
        let rows = self.engine.rows()?;
        for (start, end) in range.stretches() {
            let mut from = item_key(partition, &start.0);
            // The engine takes no endless keys. What is cut is longer than any sort key, so
            // the same items follow.
            from.truncate(2 + partition.0.len() + SORT_KEY_BYTES_MAX + 1);
            let end = end.map(|end| item_key(partition, &end.0));
            for row in rows.items.range(from..) {
                let name = || format!("a row of the partition {partition}");
                let (key, row) = row
                    .into_inner()
                    .map_err(|error| self.engine.failed(&name(), &error))?;
                if !key.starts_with(&all) || end.as_ref().is_some_and(|end| key[..] >= end[..]) {
                    break;
                }
                let sort = sort_key(partition, &key).ok_or_else(|| self.engine.damaged(&name()))?;
                if items.len() >= limit || bytes >= RANGE_BYTES_MAX {
                    let next = Some(sort);
                    return Ok(StorageResponse::Range { items, next });
                }
                bytes += row.len();
                let partition = partition.clone();
                items.push(self.item(ItemKey { partition, sort }, Bytes::from(row))?);
            }
        }
        Ok(StorageResponse::Range { items, next: None })
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<ObjectKey>,
        limit: u32,
    ) -> Result<StorageResponse, StorageError> {
        let mut from = prefix.as_bytes().to_vec();
        if let Some(after) = after.filter(|after| after.0.as_str() >= prefix) {
            from = after.0.into_bytes();
            // The first key after it.
            from.push(0);
        }
        // As for items: the same objects follow.
        from.truncate(OBJECT_KEY_BYTES_MAX + 1);
        let rows = self.engine.rows()?;
        let mut keys = Vec::new();
        for row in rows.objects.range(from..) {
            let name = || format!("an object after {prefix}");
            let key = row
                .key()
                .map_err(|error| self.engine.failed(&name(), &error))?;
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            if keys.len() >= limit.min(RANGE_ITEMS_MAX) as usize {
                return Ok(StorageResponse::Objects { keys, more: true });
            }
            let key = String::from_utf8(key.to_vec());
            keys.push(ObjectKey(key.map_err(|_| self.engine.damaged(&name()))?));
        }
        Ok(StorageResponse::Objects { keys, more: false })
    }

    fn open_object(
        &self,
        key: &ObjectKey,
        (start, end): (u64, Option<u64>),
        max: u32,
    ) -> Result<Opened, StorageError> {
        if check_object_key(key).is_err() {
            return Err(StorageError::NotFound);
        }
        for _ in 0..OPEN_TRIES_MAX {
            let row = self.object_row(&self.engine.rows()?.objects, key)?;
            let (number, len) = match row.ok_or(StorageError::NotFound)? {
                ObjectRow::Inline(body) => return Ok(open_inline(body, (start, end), max)),
                ObjectRow::File { number, len } => (number, len),
            };
            // A file that has gone was replaced just now: there is a new row.
            let Some(body) = self.bodies.open(number, len)? else {
                continue;
            };
            let mut range = FileRange {
                body,
                at: start.min(len),
                end: end.unwrap_or(len).clamp(start.min(len), len),
                last: None,
            };
            let chunk = range.next(max)?;
            let source = FileSource {
                readers: self.readers.clone(),
                state: Some(range),
            };
            return Ok(Opened {
                len,
                chunk,
                source: Box::new(source),
            });
        }
        Err(self
            .engine
            .damaged(&format!("the file of the object {key}")))
    }

    fn object_row(
        &self,
        objects: &Keyspace,
        key: &ObjectKey,
    ) -> Result<Option<ObjectRow>, StorageError> {
        let name = || format!("the object {key}");
        let found = value(objects, key.0.as_bytes())
            .map_err(|error| self.engine.failed(&name(), &error))?;
        found
            .map(|row| ObjectRow::decode(row).ok_or_else(|| self.engine.damaged(&name())))
            .transpose()
    }
}

fn open_inline(body: Bytes, (start, end): (u64, Option<u64>), max: u32) -> Opened {
    let len = body.len() as u64;
    let place = |at: u64| usize::try_from(at.min(len)).expect("no more than the length");
    let begin = place(start);
    let mut range = body.slice(begin..place(end.unwrap_or(len)).max(begin));
    let chunk = range.split_to(range.len().min(max as usize));
    Opened {
        len,
        chunk,
        source: Box::new(InlineSource(range)),
    }
}

fn checked_inserts(inserts: Vec<InsertItem>) -> Result<Vec<ItemWrite>, StorageError> {
    let mut writes = Vec::with_capacity(inserts.len());
    for insert in inserts {
        check_insert(&insert)?;
        let seen = insert.token.as_ref().map(token_time).transpose()?;
        writes.push((insert.key, seen, Some(insert.value)));
    }
    Ok(writes)
}
