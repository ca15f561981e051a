//! Objects: streamed in, seen by others when finished, read as a stream.

use super::{Call, Caller, Deed, Deeds, Garage, Node, ObjectState, Row, Spread, Stream, failure};
use crate::chance::Chance;
use bytes::Bytes;
use restante_core::storage::{ObjectKey, StorageError, StorageRequest, StorageResponse};

impl Node {
    /// The newer version stays.
    pub(super) fn take_row(&mut self, key: ObjectKey, row: Row) {
        let here = self.objects.get(&key);
        if here.is_none_or(|here| here.stamp < row.stamp) {
            self.objects.insert(key, row);
        }
    }
}

impl Garage {
    /// A step of a stream.
    pub(super) fn step(
        &mut self,
        now: u64,
        chance: &mut Chance,
        caller: Caller,
        request: StorageRequest,
    ) -> Deeds {
        let at = now + self.weather.delay(chance);
        if chance.permille(self.weather.broken_stream) {
            self.streams.remove(&caller);
            return vec![(at, failure(caller, "the stream broke"))];
        }
        let answer = match (request, self.streams.get_mut(&caller)) {
            (StorageRequest::WriteChunk(octets), Some(Stream::Writing(_, body))) => {
                body.extend_from_slice(&octets);
                StorageResponse::Done
            }
            (StorageRequest::ReadChunk { max }, Some(Stream::Reading(rest))) => {
                let chunk = rest.split_to(rest.len().min(max as usize));
                if rest.is_empty() {
                    self.streams.remove(&caller);
                }
                StorageResponse::Chunk(chunk)
            }
            (request, _) => return self.no_stream(now, caller, super::kind(&request)),
        };
        vec![(at, Deed::Answer(caller, answer))]
    }

    pub(super) fn write_objects(
        &mut self,
        now: u64,
        chance: &mut Chance,
        gateway: usize,
        call: Call,
    ) -> Deeds {
        let mut deeds = Vec::new();
        let mut durable = Some(now);
        let rows: Vec<(ObjectKey, Option<Bytes>)> = match &call.request {
            StorageRequest::DeleteObjects(keys) => {
                // Only what can be seen can be deleted.
                let here = keys.iter().filter(|key| {
                    let nodes = self.reachable(chance, gateway);
                    let mut rows = nodes
                        .iter()
                        .filter_map(|at| self.nodes[*at].objects.get(key));
                    rows.any(|row| row.body.is_some())
                });
                here.map(|key| (key.clone(), None)).collect()
            }
            _ => {
                let body = call.body.iter();
                body.map(|(key, body)| (key.clone(), Some(body.clone())))
                    .collect()
            }
        };
        for (key, body) in rows {
            self.stamps += 1;
            let stamp = (self.stamps, chance.bits());
            let row = Row { stamp, body };
            self.nodes[gateway].take_row(key.clone(), row.clone());
            let second = self.spread(now, chance, gateway, &mut deeds, || {
                Spread::Object(key.clone(), ObjectState(row.clone()))
            });
            durable = durable.max(second).filter(|_| second.is_some());
        }
        self.acknowledge(now, chance, &call, durable, &mut deeds);
        deeds
    }

    pub(super) fn open_object(
        &mut self,
        at: u64,
        chance: &mut Chance,
        caller: Caller,
        request: &StorageRequest,
        row: Option<Row>,
    ) -> Deeds {
        let StorageRequest::OpenObject {
            start, end, max, ..
        } = request
        else {
            unreachable!("only objects are opened");
        };
        let Some(body) = row.and_then(|row| row.body) else {
            let answer = StorageResponse::Failed(StorageError::NotFound);
            return vec![(at, Deed::Answer(caller, answer))];
        };
        if chance.permille(self.weather.broken_stream) {
            return vec![(at, failure(caller, "the stream broke"))];
        }
        let len = body.len() as u64;
        let start = (*start).min(len);
        let end = end.unwrap_or(len).min(len).max(start);
        let mut rest = body.slice(start as usize..end as usize);
        let chunk = rest.split_to(rest.len().min(*max as usize));
        if !rest.is_empty() && self.open.contains_key(&caller) {
            self.streams.insert(caller, Stream::Reading(rest));
        }
        vec![(
            at,
            Deed::Answer(caller, StorageResponse::Opened { len, chunk }),
        )]
    }

    /// A list comes from one node, which may know less or more than the others.
    pub(super) fn list(&self, now: u64, chance: &mut Chance, gateway: usize, call: &Call) -> Deeds {
        let StorageRequest::ListObjects {
            prefix,
            after,
            limit,
        } = &call.request
        else {
            unreachable!("only lists come here");
        };
        let node = self.reachable(chance, gateway)[0];
        let rows = self.nodes[node].objects.iter();
        let mut keys: Vec<ObjectKey> = rows
            .filter(|(key, row)| row.body.is_some() && key.0.starts_with(prefix))
            .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
            .map(|(key, _)| key.clone())
            .collect();
        let more = keys.len() > *limit as usize;
        keys.truncate(*limit as usize);
        let answer = StorageResponse::Objects { keys, more };
        let at = now + self.weather.delay(chance);
        vec![(at, Deed::Answer(call.caller, answer))]
    }
}
