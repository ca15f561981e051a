//! The one thread that writes rows.
//!
//! It takes everything that waits in its queue, up to a limit, and writes it with one
//! commit: sixteen writers at once cost one fsync. Being alone it may read an item,
//! change it and write it back without a lock. Each request is applied whole or not at
//! all, and is answered after the fsync; only of a deletion of several objects that fails, some may be gone.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures_channel::oneshot;
use restante_core::storage::{ItemKey, ObjectKey, PartitionKey, StorageError};

use super::body::{Bodies, Staged};
use super::engine::{Changes, Engine, Rows, is_broken, out_of_room, value};
use super::pool::closed;
use super::row::{
    CLOCK, DOOMED, FILES, ObjectRow, decode_clock, encode_clock, file_key, item_key, item_name,
};
use super::space::Space;
use crate::storage::causality::Siblings;
use crate::storage::doorbell::Doorbells;

/// Requests that wait for the thread.
const QUEUE_MAX: usize = 256;
/// Requests in one commit.
const GROUP_REQUESTS_MAX: usize = 256;
/// Bytes of values in one commit; the request that passes it is the last.
const GROUP_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// How often a commit is tried while the engine had failed before it.
const TRIES_MAX: u32 = 3;

/// One write of an item: its key, the time it has seen, the value or a tombstone.
pub(super) type ItemWrite = (ItemKey, Option<u64>, Option<Bytes>);

/// What is to be written.
pub(super) enum Work {
    /// Values and tombstones.
    Items(Vec<ItemWrite>),
    /// A short object.
    Inline(ObjectKey, Bytes),
    /// A long object, whose file is durable already, and its length in bytes.
    File(ObjectKey, Staged, u64),
    /// Objects that shall be gone.
    Delete(Vec<ObjectKey>),
}

impl Work {
    /// Bytes that will be added.
    fn bytes(&self) -> u64 {
        let value = |write: &ItemWrite| write.2.as_ref().map_or(0, Bytes::len);
        match self {
            Self::Items(writes) => writes.iter().map(value).sum::<usize>() as u64,
            Self::Inline(_, body) => body.len() as u64,
            Self::File(..) | Self::Delete(_) => 0,
        }
    }

    /// Whether it may be added to a group that makes `bytes` with it.
    fn has_room(&self, space: &Space, bytes: u64) -> Result<(), StorageError> {
        match self {
            Self::Items(writes) if writes.iter().all(|(_, _, value)| value.is_none()) => Ok(()),
            Self::Items(_) => space.room_for_items(bytes),
            Self::Inline(..) | Self::File(..) => space.room_for_object(bytes),
            Self::Delete(_) => Ok(()),
        }
    }
}

type Answer = oneshot::Sender<Result<(), StorageError>>;

/// Where requests for the thread go. Clones share it.
#[derive(Clone)]
pub(super) struct CommitQueue(Sender<(Work, Answer)>);

impl CommitQueue {
    /// A queue, and its end for the thread.
    pub(super) fn new() -> (Self, Receiver<(Work, Answer)>) {
        let (sender, receiver) = async_channel::bounded(QUEUE_MAX);
        (Self(sender), receiver)
    }

    /// Writes, and returns once it is durable. What waits in the queue is written even
    /// if this future is dropped.
    pub(super) async fn commit(&self, work: Work) -> Result<(), StorageError> {
        let (answer, done) = oneshot::channel();
        self.0.send((work, answer)).await.map_err(|_| closed())?;
        done.await.map_err(|_| closed())?
    }

    /// Takes no more. The thread ends after what waits.
    pub(super) fn close(&self) {
        self.0.close();
    }
}

/// What the thread owns.
pub(super) struct Committer {
    pub(super) engine: Arc<Engine>,
    pub(super) bodies: Bodies,
    pub(super) bells: Doorbells,
    pub(super) space: Space,
    /// Time of the store: the last one that was given to a value or a file.
    pub(super) clock: Arc<AtomicU64>,
    /// Files that are deleted, but whose row `doomed/` is still there.
    pub(super) removed: Vec<u64>,
    /// Why nothing is written any more before a restart.
    pub(super) halted: Option<StorageError>,
}

/// Requests that are written together.
#[derive(Default)]
struct Group {
    /// Items as they will be.
    items: BTreeMap<Vec<u8>, Siblings>,
    /// Objects as they will be.
    objects: BTreeMap<Vec<u8>, Option<ObjectRow>>,
    /// Files that get a row.
    named: Vec<(u64, Vec<u8>)>,
    /// Files that lose their row.
    doomed: Vec<u64>,
    staged: Vec<Staged>,
    rung: Vec<PartitionKey>,
    answers: Vec<Answer>,
    bytes: u64,
}

/// How a commit ended.
enum Ending {
    Landed,
    /// Nothing of it is stored.
    Missed(StorageError),
    /// Nobody can say.
    Unknown(StorageError),
}

impl Committer {
    /// Works until the queue is closed.
    pub(super) fn run(mut self, queue: &Receiver<(Work, Answer)>) {
        while let Ok(first) = queue.recv_blocking() {
            // After a panic the answers are dropped, which says Unavailable; nothing of
            // the group survives in memory that a later group would build on.
            let _panicked = catch_unwind(AssertUnwindSafe(|| self.serve(first, queue)));
        }
    }

    fn serve(&mut self, first: (Work, Answer), queue: &Receiver<(Work, Answer)>) {
        let mut group = Group::default();
        let mut next = Some(first);
        let mut requests = 0;
        while let Some((work, answer)) = next {
            match self.apply(&mut group, work) {
                Ok(()) => group.answers.push(answer),
                // Nobody waits any more: nothing to tell.
                Err(error) => drop(answer.send(Err(error))),
            }
            requests += 1;
            let more = requests < GROUP_REQUESTS_MAX && group.bytes < GROUP_BYTES_MAX;
            next = if more { queue.try_recv().ok() } else { None };
        }
        if group.answers.is_empty() {
            return;
        }
        if let Ok(rows) = self.engine.rows() {
            rows.wait_for_flush();
        }
        let now = self.clock.fetch_add(1, Ordering::SeqCst) + 1;
        // Whatever happens from here on, a panic too: a file that a row may name is not deleted.
        group.staged.iter_mut().for_each(Staged::leave);
        let ending = self.write(&group, now);
        self.finish(group, now, ending);
    }

    /// Adds a request to the group, or leaves the group as it was. Of a deletion that fails at one object,
    /// those before it stay in the group: they may be gone after `Unavailable`.
    fn apply(&self, group: &mut Group, work: Work) -> Result<(), StorageError> {
        if let Some(why) = &self.halted {
            return Err(why.clone());
        }
        let bytes = group.bytes + work.bytes();
        work.has_room(&self.space, bytes)?;
        let rows = self.rows()?;
        match work {
            Work::Items(writes) => self.apply_items(&rows, group, writes)?,
            Work::Inline(key, body) => {
                self.replace(&rows, group, key, Some(ObjectRow::Inline(body)))?;
            }
            Work::File(key, staged, len) => {
                let number = staged.number();
                let name = key.0.clone().into_bytes();
                self.replace(&rows, group, key, Some(ObjectRow::File { number, len }))?;
                group.named.push((number, name));
                group.staged.push(staged);
            }
            Work::Delete(keys) => {
                for key in keys {
                    self.replace(&rows, group, key, None)?;
                }
            }
        }
        group.bytes = bytes;
        Ok(())
    }

    /// The rows, opened again where that failed before.
    fn rows(&self) -> Result<Arc<Rows>, StorageError> {
        self.engine.rows().or_else(|_| self.engine.reopen())
    }

    fn apply_items(
        &self,
        rows: &Rows,
        group: &mut Group,
        writes: Vec<ItemWrite>,
    ) -> Result<(), StorageError> {
        // First everything that may fail, then the changes.
        let mut read = BTreeMap::new();
        for (key, _, _) in &writes {
            let stored = item_key(&key.partition, &key.sort.0);
            if group.items.contains_key(&stored) || read.contains_key(&stored) {
                continue;
            }
            let found = value(&rows.items, &stored)
                .map_err(|error| self.engine.failed(&item_name(key), &error))?;
            let siblings = match found {
                Some(row) => {
                    Siblings::decode(row).ok_or_else(|| self.engine.damaged(&item_name(key)))?
                }
                None => Siblings::default(),
            };
            read.insert(stored, siblings);
        }
        group.items.append(&mut read);
        for (key, seen, value) in writes {
            let now = self.clock.fetch_add(1, Ordering::SeqCst) + 1;
            let item = group
                .items
                .entry(item_key(&key.partition, &key.sort.0))
                .or_default();
            item.put(seen, value, now);
            item.drop_tombstones();
            if group.rung.last() != Some(&key.partition) {
                group.rung.push(key.partition);
            }
        }
        Ok(())
    }

    /// Puts an object in the place of what is there.
    fn replace(
        &self,
        rows: &Rows,
        group: &mut Group,
        key: ObjectKey,
        row: Option<ObjectRow>,
    ) -> Result<(), StorageError> {
        let stored = key.0.as_bytes();
        let old = match group.objects.get(stored) {
            Some(old) => old.clone(),
            None => value(&rows.objects, stored)
                .map_err(|error| self.engine.failed(&format!("the object {key}"), &error))?
                // A damaged row may be replaced and deleted; if it was of a file, the
                // file stays.
                .and_then(ObjectRow::decode),
        };
        if let Some(ObjectRow::File { number, .. }) = old {
            group.doomed.push(number);
        }
        group.objects.insert(key.0.into_bytes(), row);
        Ok(())
    }

    fn write(&mut self, group: &Group, now: u64) -> Ending {
        let changes = group.changes(self.gone(), now);
        let mut rows = match self.rows() {
            Ok(rows) => rows,
            Err(error) => return Ending::Missed(error),
        };
        for _ in 0..TRIES_MAX {
            let error = match self.engine.commit(&rows, &changes) {
                Ok(()) => return Ending::Landed,
                Err(error) => error,
            };
            if is_broken(&error) {
                // A disk that fails is not asked whether it has it, and given nothing more.
                return self.halt(&error);
            }
            drop(rows);
            // The engine takes no more writes now. Opening it again reads the journal from the disk,
            // and the clock in it says whether this commit is there. It may be after "no room": what the engine
            // had not written yet it writes when it is closed, and room may have been found for it then.
            rows = match self.engine.reopen() {
                Ok(rows) => rows,
                Err(why) => return Ending::Unknown(why),
            };
            match stored_clock(&rows) {
                // It is not acknowledged: that word is kept for a sync that has not failed.
                Ok(stored) if stored >= now => {
                    let why = self.engine.failed("a commit", &error);
                    tracing::warn!(reason = %why, "a write whose sync failed is on the disk after all");
                    return Ending::Unknown(why);
                }
                Ok(_) => {}
                Err(error) => return Ending::Unknown(self.engine.failed("the clock", &error)),
            }
            if out_of_room(&error) {
                return Ending::Missed(StorageError::Full);
            }
            if !matches!(error, fjall::Error::Poisoned) {
                return Ending::Missed(self.engine.failed("a commit", &error));
            }
            // It had failed before, in its own threads: this commit was not tried yet.
            tracing::warn!("the engine had failed in its own threads; it was opened again");
        }
        // Why, it tells nobody.
        Ending::Missed(match self.space.room_for_items(group.bytes) {
            Err(full) => full,
            Ok(()) => self.engine.failed("a commit", &fjall::Error::Poisoned),
        })
    }

    /// Deleted files whose rows can go: those that a power failure does not bring back.
    fn gone(&self) -> &[u64] {
        match self.bodies.sync_removed(&self.removed) {
            Ok(()) => &self.removed,
            Err(error) => {
                tracing::warn!(%error, "deleted files are deleted once more by the next start");
                &[]
            }
        }
    }

    /// Nobody can say what is on the disk.
    fn halt(&mut self, error: &fjall::Error) -> Ending {
        let why = self.engine.failed("a commit", error);
        tracing::error!(reason = %why, "the disk failed; nothing is written before a restart");
        self.halted = Some(why.clone());
        Ending::Unknown(why)
    }

    fn finish(&mut self, group: Group, now: u64, ending: Ending) {
        // Where nobody can say, who reads finds out.
        if !matches!(ending, Ending::Missed(_)) {
            for partition in &group.rung {
                self.bells.ring(partition, now);
            }
        }
        let result = match ending {
            Ending::Landed => Ok(()),
            Ending::Missed(ref error) | Ending::Unknown(ref error) => Err(error.clone()),
        };
        for answer in group.answers {
            // Nobody waits any more: the write stays, as the contract allows.
            let _gone = answer.send(result.clone());
        }
        match ending {
            Ending::Landed => {
                group.staged.into_iter().for_each(Staged::keep);
                for number in &group.doomed {
                    self.bodies.remove(*number);
                }
                // Their rows go with the next commit: after a crash before that, the
                // next start deletes the files once more.
                self.removed = group.doomed;
            }
            Ending::Missed(_) => group.staged.into_iter().for_each(Staged::discard),
            // They are left as they are.
            Ending::Unknown(_) => {}
        }
    }
}

impl Group {
    /// The rows that make it so.
    fn changes(&self, removed: &[u64], now: u64) -> Changes {
        let mut changes = Changes::default();
        for (key, item) in &self.items {
            let row = (!item.is_empty()).then(|| item.encode());
            changes.items.push((key.clone(), row));
        }
        for (key, row) in &self.objects {
            let row = row.as_ref().map(ObjectRow::encode);
            changes.objects.push((key.clone(), row));
        }
        for number in removed {
            changes.state.push((file_key(DOOMED, *number), None));
        }
        for (number, name) in &self.named {
            // One that was replaced within the group has no row.
            let row = (!self.doomed.contains(number)).then(|| name.clone());
            changes.state.push((file_key(FILES, *number), row));
        }
        for number in &self.doomed {
            changes
                .state
                .push((file_key(DOOMED, *number), Some(Vec::new())));
            if !self.named.iter().any(|(named, _)| named == number) {
                changes.state.push((file_key(FILES, *number), None));
            }
        }
        changes
            .state
            .push((CLOCK.to_vec(), Some(encode_clock(now))));
        changes
    }
}

/// The time in the rows; 0 in a new store.
pub(super) fn stored_clock(rows: &Rows) -> Result<u64, fjall::Error> {
    let stored = value(&rows.state, CLOCK)?;
    Ok(stored.and_then(|stored| decode_clock(&stored)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Storage;
    use crate::storage::embedded::{Embedded, EmbeddedConfig};
    use async_io::block_on;
    use restante_core::storage::{InsertItem, SortKey, StorageRequest, StorageResponse};
    use rustix::io::Errno;

    fn open(folder: &std::path::Path) -> Embedded {
        let config = EmbeddedConfig {
            reserve_bytes: 0,
            ..EmbeddedConfig::default()
        };
        let sleeper = Arc::new(|_| Box::pin(async {}) as crate::storage::BoxFuture<'static, ()>);
        Embedded::open(folder, config, sleeper).unwrap()
    }

    fn key(sort: &str) -> ItemKey {
        ItemKey {
            partition: PartitionKey("p".to_owned()),
            sort: SortKey(sort.to_owned()),
        }
    }

    fn insert(storage: &Embedded, sort: &str) -> StorageResponse {
        let value = Bytes::from_static(b"value");
        let insert = InsertItem {
            key: key(sort),
            token: None,
            value,
        };
        block_on(storage.execute(StorageRequest::InsertItems(vec![insert])))
    }

    fn is_there(storage: &Embedded, sort: &str) -> bool {
        match block_on(storage.execute(StorageRequest::ReadItems(vec![key(sort)]))) {
            StorageResponse::Items(items) => !items.is_empty(),
            other => panic!("{other:?}"),
        }
    }

    fn is_unavailable(answer: &StorageResponse) -> bool {
        matches!(
            answer,
            StorageResponse::Failed(StorageError::Unavailable(_))
        )
    }

    #[test]
    fn after_a_failure_of_the_disk_nothing_is_acknowledged_before_a_restart() {
        let errno = Errno::IO;
        let folder = tempfile::tempdir().unwrap();
        let storage = open(folder.path());
        assert_eq!(insert(&storage, "before"), StorageResponse::Done);
        the_next_sync_fails(&storage, errno);
        for sort in ["meanwhile", "after"] {
            let answer = insert(&storage, sort);
            assert!(is_unavailable(&answer), "{errno}, {sort}: {answer:?}");
        }
        let delete = StorageRequest::DeleteObjects(vec![ObjectKey("o".to_owned())]);
        let answer = block_on(storage.execute(delete));
        assert!(matches!(answer, StorageResponse::Failed(_)), "{answer:?}");
        assert!(is_there(&storage, "before"), "reading goes on");
        drop(storage);

        let storage = open(folder.path());
        assert!(is_there(&storage, "before"));
        assert!(!is_there(&storage, "after"));
        assert_eq!(insert(&storage, "after"), StorageResponse::Done);
    }

    fn the_next_sync_fails(storage: &Embedded, errno: Errno) {
        let rows = storage.shared.engine.rows().unwrap();
        rows.next_sync_fails
            .store(errno.raw_os_error(), Ordering::SeqCst);
    }

    #[test]
    fn what_the_disk_has_after_all_is_there_and_not_acknowledged() {
        // A disk without room says so as late as when it is synced, where it finds room for pages only
        // then; and what the engine had not written yet it writes when it is closed.
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            let folder = tempfile::tempdir().unwrap();
            let storage = open(folder.path());
            assert_eq!(insert(&storage, "before"), StorageResponse::Done);
            the_next_sync_fails(&storage, errno);
            let answer = insert(&storage, "meanwhile");
            assert!(is_unavailable(&answer), "{errno}: {answer:?}");
            assert!(is_there(&storage, "meanwhile"));
            assert_eq!(insert(&storage, "after"), StorageResponse::Done);
            drop(storage);

            let storage = open(folder.path());
            for sort in ["before", "meanwhile", "after"] {
                assert!(is_there(&storage, sort), "{errno}: {sort}");
            }
        }
    }

    #[test]
    fn an_engine_that_fails_again_and_again_does_not_mean_that_there_is_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let storage = open(folder.path());
        let poisoned = &storage.shared.engine.faults.poisoned;
        poisoned.store(TRIES_MAX, Ordering::SeqCst);
        let answer = insert(&storage, "meanwhile");
        assert!(is_unavailable(&answer), "{answer:?}");
        assert!(!is_there(&storage, "meanwhile"));
        poisoned.store(TRIES_MAX - 1, Ordering::SeqCst);
        assert_eq!(insert(&storage, "after"), StorageResponse::Done);
    }

    #[test]
    fn a_panic_after_a_commit_deletes_no_file_that_the_commit_names() {
        let folder = tempfile::tempdir().unwrap();
        let storage = open(folder.path());
        let object = ObjectKey("o".to_owned());
        let body = Bytes::from(vec![1; 1_000_000]);
        storage
            .shared
            .engine
            .faults
            .panics
            .store(true, Ordering::SeqCst);
        let finished = block_on(async {
            let mut sink = storage.create(object.clone()).await.unwrap();
            sink.write(body.clone()).await.unwrap();
            sink.finish().await
        });
        assert!(finished.is_err());
        drop(storage);

        let storage = open(folder.path());
        let opened = block_on(storage.open(object, 0, None, 1_000_000)).map(|it| it.chunk);
        assert_eq!(opened, Ok(body));
    }

    #[test]
    fn the_row_of_a_deleted_file_goes_when_the_file_is_gone_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let storage = open(folder.path());
        let object = ObjectKey("o".to_owned());
        block_on(async {
            let mut sink = storage.create(object.clone()).await.unwrap();
            sink.write(Bytes::from(vec![1; 1_000_000])).await.unwrap();
            sink.finish().await.unwrap();
        });
        let delete = StorageRequest::DeleteObjects(vec![object]);
        assert_eq!(block_on(storage.execute(delete)), StorageResponse::Done);
        let doomed = |storage: &Embedded| {
            let rows = storage.shared.engine.rows().unwrap();
            rows.state.prefix(DOOMED).count()
        };
        assert_eq!(doomed(&storage), 1);

        // A folder that cannot be synced: a link that leads to itself.
        let mut shards = std::fs::read_dir(folder.path().join("objects")).unwrap();
        let shard = shards.next().unwrap().unwrap().path();
        // The file is deleted after the answer.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::fs::remove_dir(&shard).is_err() {
            assert!(std::time::Instant::now() < until, "the file stays");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        std::os::unix::fs::symlink(&shard, &shard).unwrap();
        assert_eq!(insert(&storage, "a"), StorageResponse::Done);
        assert_eq!(doomed(&storage), 1);
        std::fs::remove_file(&shard).unwrap();
        drop(storage);

        let storage = open(folder.path());
        assert_eq!(insert(&storage, "b"), StorageResponse::Done);
        assert_eq!(doomed(&storage), 0);
    }
}
