//! Storage in a map, with what a test wants to go wrong.

use bytes::Bytes;
use restante_core::storage::{
    CausalityToken, Item, ItemKey, ObjectKey, RequestId, SortKey, StorageError, StorageRequest,
    StorageResponse,
};
use std::collections::BTreeMap;

/// Says something else than what storage would have answered.
pub(crate) type Liar = Box<dyn FnMut(&StorageRequest, StorageResponse) -> StorageResponse>;

/// Everything that is stored.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) items: BTreeMap<ItemKey, Bytes>,
    pub(crate) objects: BTreeMap<ObjectKey, Bytes>,
    /// How many requests of each kind were made.
    pub(crate) requests: BTreeMap<&'static str, u64>,
    /// Requests that fail from now on: kind, and how.
    pub(crate) failing: BTreeMap<&'static str, StorageError>,
    /// Changes every answer, once there is one.
    pub(crate) liar: Option<Liar>,
}

/// Streams that one machine has open.
#[derive(Default)]
pub(crate) struct Streams(BTreeMap<RequestId, Stream>);

enum Stream {
    Reading(Bytes),
    Writing(ObjectKey, Vec<u8>),
}

impl Streams {
    pub(crate) fn forget(&mut self, id: RequestId) {
        self.0.remove(&id);
    }

    fn is_reading(&self, id: RequestId) -> bool {
        matches!(self.0.get(&id), Some(Stream::Reading(_)))
    }

    fn is_writing(&self, id: RequestId) -> bool {
        matches!(self.0.get(&id), Some(Stream::Writing(..)))
    }
}

fn name(request: &StorageRequest) -> &'static str {
    match request {
        StorageRequest::ReadItems(_) => "ReadItems",
        StorageRequest::ReadRange(_) => "ReadRange",
        StorageRequest::InsertItems(_) => "InsertItems",
        StorageRequest::DeleteItems(_) => "DeleteItems",
        StorageRequest::PollRange { .. } => "PollRange",
        StorageRequest::ListObjects { .. } => "ListObjects",
        StorageRequest::OpenObject { .. } => "OpenObject",
        StorageRequest::ReadChunk { .. } => "ReadChunk",
        StorageRequest::CreateObject { .. } => "CreateObject",
        StorageRequest::WriteChunk(_) => "WriteChunk",
        StorageRequest::FinishObject => "FinishObject",
        StorageRequest::DeleteObjects(_) => "DeleteObjects",
    }
}

impl Store {
    /// What a crash takes: nothing that was acknowledged.
    pub(crate) fn forget_unfinished(&mut self) {
        self.failing.clear();
    }

    pub(crate) fn count(&self, kind: &str) -> u64 {
        self.requests.get(kind).copied().unwrap_or(0)
    }

    /// Requests of all kinds.
    pub(crate) fn count_all(&self) -> u64 {
        self.requests.values().sum()
    }

    pub(crate) fn answer(
        &mut self,
        streams: &mut Streams,
        id: RequestId,
        request: StorageRequest,
    ) -> StorageResponse {
        let Some(mut liar) = self.liar.take() else {
            return self.honest_answer(streams, id, request);
        };
        // A machine that was lied to may use a stream that is not there.
        let lost = match &request {
            StorageRequest::ReadChunk { .. } => !streams.is_reading(id),
            StorageRequest::WriteChunk(_) | StorageRequest::FinishObject => !streams.is_writing(id),
            _ => false,
        };
        let honest = if lost {
            StorageResponse::Failed(StorageError::Unavailable("no such stream".to_owned()))
        } else {
            self.honest_answer(streams, id, request.clone())
        };
        let answer = liar(&request, honest);
        self.liar = Some(liar);
        answer
    }

    fn honest_answer(
        &mut self,
        streams: &mut Streams,
        id: RequestId,
        request: StorageRequest,
    ) -> StorageResponse {
        let kind = name(&request);
        *self.requests.entry(kind).or_default() += 1;
        if let Some(error) = self.failing.get(kind) {
            streams.forget(id);
            return StorageResponse::Failed(error.clone());
        }
        match request {
            StorageRequest::ReadItems(keys) => {
                StorageResponse::Items(keys.into_iter().filter_map(|key| self.item(&key)).collect())
            }
            StorageRequest::ReadRange(range) => {
                let in_range = self
                    .items
                    .keys()
                    .filter(|key| key.partition == range.partition && range.contains(&key.sort));
                let limit = range.limit;
                let mut keys: Vec<ItemKey> = in_range.cloned().collect();
                let next: Option<SortKey> = keys.get(limit as usize).map(|key| key.sort.clone());
                keys.truncate(limit as usize);
                let items = keys.iter().filter_map(|key| self.item(key)).collect();
                StorageResponse::Range { items, next }
            }
            StorageRequest::InsertItems(items) => {
                self.items
                    .extend(items.into_iter().map(|item| (item.key, item.value)));
                StorageResponse::Done
            }
            StorageRequest::DeleteItems(keys) => {
                for (key, _) in keys {
                    self.items.remove(&key);
                }
                StorageResponse::Done
            }
            StorageRequest::PollRange { .. } => StorageResponse::Polled { seen: None },
            StorageRequest::DeleteObjects(keys) => {
                for key in keys {
                    self.objects.remove(&key);
                }
                StorageResponse::Done
            }
            StorageRequest::ListObjects {
                prefix,
                after,
                limit,
            } => {
                let keys = self.objects.keys().filter(|key| {
                    key.0.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after)
                });
                let mut keys: Vec<ObjectKey> = keys.cloned().collect();
                let more = keys.len() > limit as usize;
                keys.truncate(limit as usize);
                StorageResponse::Objects { keys, more }
            }
            request => self.stream(streams, id, request),
        }
    }

    fn stream(
        &mut self,
        streams: &mut Streams,
        id: RequestId,
        request: StorageRequest,
    ) -> StorageResponse {
        match request {
            StorageRequest::OpenObject {
                key,
                start,
                end,
                max,
            } => {
                let Some(object) = self.objects.get(&key) else {
                    return StorageResponse::Failed(StorageError::NotFound);
                };
                let len = object.len() as u64;
                let (start, end) = (start.min(len), end.unwrap_or(len).min(len));
                let mut rest = object.slice(start as usize..end.max(start) as usize);
                let chunk = rest.split_to(rest.len().min(max as usize));
                streams.0.insert(id, Stream::Reading(rest));
                StorageResponse::Opened { len, chunk }
            }
            StorageRequest::ReadChunk { max } => match streams.0.get_mut(&id) {
                Some(Stream::Reading(rest)) => {
                    StorageResponse::Chunk(rest.split_to(rest.len().min(max as usize)))
                }
                _ => panic!("ReadChunk on a stream that is not open"),
            },
            StorageRequest::CreateObject { key } => {
                streams.0.insert(id, Stream::Writing(key, Vec::new()));
                StorageResponse::Done
            }
            StorageRequest::WriteChunk(octets) => match streams.0.get_mut(&id) {
                Some(Stream::Writing(_, object)) => {
                    object.extend_from_slice(&octets);
                    StorageResponse::Done
                }
                _ => panic!("WriteChunk on a stream that is not open"),
            },
            StorageRequest::FinishObject => match streams.0.remove(&id) {
                Some(Stream::Writing(key, object)) => {
                    self.objects.insert(key, object.into());
                    StorageResponse::Done
                }
                _ => panic!("FinishObject on a stream that is not open"),
            },
            _ => unreachable!("not a stream"),
        }
    }

    fn item(&self, key: &ItemKey) -> Option<Item> {
        let value = self.items.get(key)?.clone();
        let token = CausalityToken("t".to_owned());
        Some(Item {
            key: key.clone(),
            token,
            values: vec![value],
        })
    }
}
