//! What the tests share: folders, a clock, and storage as plain functions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future::block_on;
use restante_core::storage::{
    CausalityToken, InsertItem, Item, ItemKey, ItemRange, ObjectKey, PartitionKey, SortKey,
    StorageError, StorageRequest, StorageResponse,
};
use restante_server::storage::embedded::{Embedded, EmbeddedConfig, OpenError};
use restante_server::storage::{Sleeper, Storage};

/// A folder that is removed with this.
pub(crate) struct TestFolder(pub(crate) PathBuf);

impl TestFolder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = base.join(format!("storage-{}-{number}", std::process::id()));
        let _absent = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _absent = std::fs::remove_dir_all(&self.0);
    }
}

/// A thread that sleeps, for every sleep: enough for tests.
pub(crate) fn sleeper() -> Sleeper {
    Arc::new(|time: Duration| {
        let (done, wait) = futures_channel::oneshot::channel();
        std::thread::spawn(move || {
            std::thread::sleep(time);
            let _gone: Result<(), ()> = done.send(());
        });
        Box::pin(async move {
            wait.await.unwrap();
        })
    })
}

/// How long a process may take to become another program.
const LOCKED_MAX: Duration = Duration::from_secs(10);

/// Small enough that tests reach tables, files and merging.
pub(crate) fn config() -> EmbeddedConfig {
    EmbeddedConfig {
        reserve_bytes: 1 << 20,
        ..EmbeddedConfig::default()
    }
}

pub(crate) fn embedded(folder: &Path) -> Embedded {
    embedded_with(folder, &config())
}

/// Opens a store, also one that was closed just now: a process that another test has just started holds the
/// lock of whatever was open, until it becomes another program.
pub(crate) fn embedded_with(folder: &Path, config: &EmbeddedConfig) -> Embedded {
    let begin = std::time::Instant::now();
    loop {
        match Embedded::open(folder, config.clone(), sleeper()) {
            Err(OpenError::InUse { .. }) if begin.elapsed() < LOCKED_MAX => {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened.unwrap(),
        }
    }
}

pub(crate) fn key(partition: &str, sort: &str) -> ItemKey {
    ItemKey {
        partition: PartitionKey(partition.to_owned()),
        sort: SortKey(sort.to_owned()),
    }
}

pub(crate) fn object(key: &str) -> ObjectKey {
    ObjectKey(key.to_owned())
}

/// Bytes that differ from place to place and from `seed` to `seed`.
pub(crate) fn body(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(bytes);
    Bytes::from(out)
}

pub(crate) fn ask(storage: &dyn Storage, request: StorageRequest) -> StorageResponse {
    block_on(storage.execute(request))
}

pub(crate) fn insert(
    storage: &dyn Storage,
    key: &ItemKey,
    token: Option<CausalityToken>,
    value: impl Into<Bytes>,
) -> StorageResponse {
    let insert = InsertItem {
        key: key.clone(),
        token,
        value: value.into(),
    };
    ask(storage, StorageRequest::InsertItems(vec![insert]))
}

pub(crate) fn items(storage: &dyn Storage, keys: &[&ItemKey]) -> Vec<Item> {
    let keys = keys.iter().map(|key| (*key).clone()).collect();
    match ask(storage, StorageRequest::ReadItems(keys)) {
        StorageResponse::Items(items) => items,
        other => panic!("{other:?}"),
    }
}

/// The values of one item; none where it does not exist or was deleted.
pub(crate) fn values(storage: &dyn Storage, key: &ItemKey) -> Vec<Bytes> {
    let found = items(storage, &[key]).pop();
    found.map(|item| item.values).unwrap_or_default()
}

pub(crate) fn range(
    storage: &dyn Storage,
    partition: &str,
    start: &str,
    end: Option<&str>,
    limit: u32,
) -> (Vec<Item>, Option<SortKey>) {
    let partition = PartitionKey(partition.to_owned());
    let range = ItemRange {
        end: end.map(|end| SortKey(end.to_owned())),
        ..ItemRange::page(partition, SortKey(start.to_owned()), limit)
    };
    page(storage, range)
}

/// A range of any kind.
pub(crate) fn page(storage: &dyn Storage, range: ItemRange) -> (Vec<Item>, Option<SortKey>) {
    match ask(storage, StorageRequest::ReadRange(range)) {
        StorageResponse::Range { items, next } => (items, next),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn list(
    storage: &dyn Storage,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> (Vec<String>, bool) {
    let request = StorageRequest::ListObjects {
        prefix: prefix.to_owned(),
        after: after.map(object),
        limit,
    };
    match ask(storage, request) {
        StorageResponse::Objects { keys, more } => {
            (keys.into_iter().map(|key| key.0).collect(), more)
        }
        other => panic!("{other:?}"),
    }
}

/// Writes an object in chunks that fit no block.
pub(crate) fn put(storage: &dyn Storage, key: &str, body: &Bytes) -> Result<(), StorageError> {
    block_on(async {
        let mut sink = storage.create(object(key)).await?;
        for chunk in body.chunks(65_553) {
            sink.write(body.slice_ref(chunk)).await?;
        }
        sink.finish().await
    })
}

/// Bytes `start..end` of an object, read in chunks of `max`.
pub(crate) fn get_range(
    storage: &dyn Storage,
    key: &str,
    (start, end): (u64, Option<u64>),
    max: u32,
) -> Result<(u64, Bytes), StorageError> {
    block_on(async {
        let mut opened = storage.open(object(key), start, end, max).await?;
        let mut out = opened.chunk.to_vec();
        let mut full = opened.chunk.len() == max as usize;
        while full {
            let chunk = opened.source.read(max).await?;
            full = chunk.len() == max as usize;
            out.extend_from_slice(&chunk);
        }
        Ok((opened.len, Bytes::from(out)))
    })
}

pub(crate) fn get(storage: &dyn Storage, key: &str) -> Result<Bytes, StorageError> {
    get_range(storage, key, (0, None), 65_552).map(|(_, body)| body)
}
