//! Storage in memory, for tests: Garage's semantics and nothing on disk.
//!
//! Where Garage leaves a choice, this backend takes the one that is harder for the
//! caller: deleted items stay as tombstones, and reads return them without values.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use restante_core::storage::{
    CausalityToken, InsertItem, Item, ItemKey, ItemRange, ObjectKey, StorageError, StorageRequest,
    StorageResponse,
};

use super::causality::{Siblings, token_time};
use super::doorbell::Doorbells;
use super::limits::{
    RANGE_BYTES_MAX, RANGE_ITEMS_MAX, check_insert, check_item_key, check_object_key,
};
use super::{BoxFuture, ObjectSink, ObjectSource, Opened, Sleeper, Storage};

/// Items and objects in memory. Clones share them.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    bells: Doorbells,
}

struct State {
    items: BTreeMap<ItemKey, Siblings>,
    objects: BTreeMap<ObjectKey, Bytes>,
    /// Time of the last write.
    now: u64,
    /// Bytes of values and objects that there is room for.
    capacity: u64,
}

impl Memory {
    /// Nothing stored, and room for everything.
    #[must_use]
    pub fn new(sleeper: Sleeper) -> Self {
        let state = State {
            items: BTreeMap::new(),
            objects: BTreeMap::new(),
            now: 0,
            capacity: u64::MAX,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            bells: Doorbells::new(0, sleeper),
        }
    }

    /// From now on only `bytes` of values and objects fit; a write of more is `Full`.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Every stored byte of every value and object, for tests that look for plaintext.
    #[must_use]
    pub fn contents(&self) -> Vec<(String, Bytes)> {
        let state = self.lock();
        let items = state.items.iter().flat_map(|(key, item)| {
            let name = format!("{}/{}", key.partition, key.sort);
            item.visible().into_iter().map(move |v| (name.clone(), v))
        });
        let objects = state.objects.iter();
        items
            .chain(objects.map(|(key, body)| (key.0.clone(), body.clone())))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: StorageRequest) -> Result<StorageResponse, StorageError> {
        match request {
            StorageRequest::ReadItems(keys) => Ok(self.lock().read_items(keys)),
            StorageRequest::ReadRange(range) => Ok(self.lock().read_range(&range)),
            StorageRequest::InsertItems(inserts) => self.insert(inserts),
            StorageRequest::DeleteItems(deletes) => self.delete(deletes),
            StorageRequest::ListObjects {
                prefix,
                after,
                limit,
            } => Ok(self.lock().list(&prefix, after, limit)),
            StorageRequest::DeleteObjects(keys) => {
                let mut state = self.lock();
                for key in keys {
                    state.objects.remove(&key);
                }
                Ok(StorageResponse::Done)
            }
            StorageRequest::PollRange { .. }
            | StorageRequest::OpenObject { .. }
            | StorageRequest::ReadChunk { .. }
            | StorageRequest::CreateObject { .. }
            | StorageRequest::WriteChunk(_)
            | StorageRequest::FinishObject => Err(super::not_single()),
        }
    }

    fn insert(&self, inserts: Vec<InsertItem>) -> Result<StorageResponse, StorageError> {
        let mut writes = Vec::with_capacity(inserts.len());
        for insert in inserts {
            check_insert(&insert)?;
            let seen = insert.token.as_ref().map(token_time).transpose()?;
            writes.push((insert.key, seen, Some(insert.value)));
        }
        self.write(writes)
    }

    fn delete(
        &self,
        deletes: Vec<(ItemKey, CausalityToken)>,
    ) -> Result<StorageResponse, StorageError> {
        let mut writes = Vec::with_capacity(deletes.len());
        for (key, token) in deletes {
            check_item_key(&key)?;
            writes.push((key, Some(token_time(&token)?), None));
        }
        self.write(writes)
    }

    fn write(
        &self,
        writes: Vec<(ItemKey, Option<u64>, Option<Bytes>)>,
    ) -> Result<StorageResponse, StorageError> {
        let mut state = self.lock();
        let added = writes.iter().filter_map(|(_, _, value)| value.as_ref());
        state.room_for(added.map(|value| value.len() as u64).sum())?;
        for (key, seen, value) in writes {
            state.now += 1;
            let now = state.now;
            let partition = key.partition.clone();
            state.items.entry(key).or_default().put(seen, value, now);
            self.bells.ring(&partition, now);
        }
        Ok(StorageResponse::Done)
    }
}

impl State {
    fn read_items(&self, keys: Vec<ItemKey>) -> StorageResponse {
        let found = keys.into_iter().filter_map(|key| {
            let siblings = self.items.get(&key)?;
            Some(item(key, siblings))
        });
        StorageResponse::Items(found.collect())
    }

    fn read_range(&self, range: &ItemRange) -> StorageResponse {
        let all = self.items.range(
            ItemKey {
                partition: range.partition.clone(),
                sort: range.start.clone(),
            }..,
        );
        let all = all.take_while(|(key, _)| key.partition == range.partition);
        let limit = range.limit.min(RANGE_ITEMS_MAX) as usize;
        let mut items = Vec::new();
        let mut bytes = 0;
        for (key, siblings) in all.filter(|(key, _)| range.contains(&key.sort)) {
            if items.len() >= limit || bytes >= RANGE_BYTES_MAX {
                let next = Some(key.sort.clone());
                return StorageResponse::Range { items, next };
            }
            bytes += siblings.value_bytes();
            items.push(item(key.clone(), siblings));
        }
        StorageResponse::Range { items, next: None }
    }

    fn list(&self, prefix: &str, after: Option<ObjectKey>, limit: u32) -> StorageResponse {
        let from = match after {
            Some(after) if after.0.as_str() >= prefix => Bound::Excluded(after),
            _ => Bound::Included(ObjectKey(prefix.to_owned())),
        };
        let mut matching = self
            .objects
            .range((from, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.0.starts_with(prefix));
        let keys = matching
            .by_ref()
            .take(limit.min(RANGE_ITEMS_MAX) as usize)
            .cloned()
            .collect();
        let more = matching.next().is_some();
        StorageResponse::Objects { keys, more }
    }

    fn room_for(&self, bytes: u64) -> Result<(), StorageError> {
        let items: usize = self.items.values().map(Siblings::value_bytes).sum();
        let objects: usize = self.objects.values().map(Bytes::len).sum();
        if (items + objects) as u64 + bytes > self.capacity {
            return Err(StorageError::Full);
        }
        Ok(())
    }
}

fn item(key: ItemKey, siblings: &Siblings) -> Item {
    Item {
        key,
        token: siblings.token(),
        values: siblings.visible(),
    }
}

impl Storage for Memory {
    fn execute(&self, request: StorageRequest) -> BoxFuture<'static, StorageResponse> {
        if let StorageRequest::PollRange {
            partition,
            seen,
            timeout_ms,
        } = request
        {
            return self.bells.poll(&partition, seen, timeout_ms);
        }
        let memory = self.clone();
        Box::pin(async move {
            memory
                .answer(request)
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
        let memory = self.clone();
        Box::pin(async move {
            let body = memory.lock().objects.get(&key).cloned();
            let mut range = body.ok_or(StorageError::NotFound)?;
            let len = range.len();
            let place = |at: u64| usize::try_from(at).unwrap_or(len).min(len);
            range.truncate(end.map_or(len, place));
            let _before = range.split_to(place(start).min(range.len()));
            let chunk = range.split_to(range.len().min(max as usize));
            Ok(Opened {
                len: len as u64,
                chunk,
                source: Box::new(Source { rest: range }),
            })
        })
    }

    fn create(
        &self,
        key: ObjectKey,
    ) -> BoxFuture<'static, Result<Box<dyn ObjectSink>, StorageError>> {
        let memory = self.clone();
        Box::pin(async move {
            check_object_key(&key)?;
            let sink = Sink {
                memory,
                key,
                body: BytesMut::new(),
            };
            Ok(Box::new(sink) as Box<dyn ObjectSink>)
        })
    }
}

/// Keeps its own reference: it reads on when the object is deleted.
struct Source {
    rest: Bytes,
}

impl ObjectSource for Source {
    fn read(&mut self, max: u32) -> BoxFuture<'_, Result<Bytes, StorageError>> {
        let chunk = self.rest.split_to(self.rest.len().min(max as usize));
        Box::pin(async move { Ok(chunk) })
    }
}

struct Sink {
    memory: Memory,
    key: ObjectKey,
    body: BytesMut,
}

impl ObjectSink for Sink {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let wanted = (self.body.len() + chunk.len()) as u64;
            self.memory.lock().room_for(wanted)?;
            self.body.extend_from_slice(&chunk);
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(), StorageError>> {
        Box::pin(async move {
            let mut state = self.memory.lock();
            state.room_for(self.body.len() as u64)?;
            state.objects.insert(self.key, self.body.freeze());
            Ok(())
        })
    }
}
