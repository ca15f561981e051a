//! Storage in a Garage cluster, for any number of server processes.
//!
//! Objects go over S3 ([`objects`], [`bodies`], [`stream`], [`upload`]) and items over K2V
//! ([`items`]), both through one HTTP connector ([`http`]), whose answers [`answer`] reads. [`buckets`] says which bucket
//! and key an account has, [`failure`] what an error means, [`retry`] what is tried again,
//! [`pace`] how many objects are asked for at once, and [`line`] whose turn it is.
//!
//! What Garage does not give is not made up for here: there are no transactions, an
//! insert that failed may still land, and a poll is only a doorbell.

mod answer;
mod bodies;
mod buckets;
mod failure;
#[cfg(test)]
mod fake;
mod http;
mod items;
mod limits;
mod line;
mod objects;
mod pace;
mod retry;
mod signing;
mod splitter;
mod start;
mod stream;
#[cfg(test)]
mod tests;
mod upload;

pub use http::BreakerState;
pub use limits::GarageLimits;
pub use start::{GarageConfig, OpenError};

use super::limits::{check_insert, check_item_key, check_object_key};
use super::{BoxFuture, ObjectSink, Opened, Storage};
use buckets::{Bucket, Buckets};
use core::time::Duration;
use items::Items;
use objects::Objects;
use restante_core::storage::{
    InsertItem, Item, ItemKey, ObjectKey, StorageError, StorageRequest, StorageResponse,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use upload::{Sink, Spawn};

/// Items and objects in Garage.
pub struct Garage {
    shared: Arc<Shared>,
}

/// What the futures hold.
struct Shared {
    objects: Objects,
    items: Items,
    buckets: Buckets,
    spawn: Spawn,
}

impl Garage {
    /// Whether requests are let through to S3 and to K2V.
    #[must_use]
    pub fn breakers(&self) -> (BreakerState, BreakerState) {
        let Shared { objects, items, .. } = &*self.shared;
        (objects.http().breaker(), items.http().breaker())
    }
}

impl Storage for Garage {
    fn is_shared(&self) -> bool {
        true
    }

    fn execute(&self, request: StorageRequest) -> BoxFuture<'static, StorageResponse> {
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
            check_object_key(&key).map_err(|_| StorageError::NotFound)?;
            let bucket = shared.buckets.of(&key.0).await?;
            let objects = shared.objects.clone();
            stream::open(objects, bucket, key, (start, end), max).await
        })
    }

    fn create(
        &self,
        key: ObjectKey,
    ) -> BoxFuture<'static, Result<Box<dyn ObjectSink>, StorageError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            check_object_key(&key)?;
            let bucket = shared.buckets.of(&key.0).await?;
            let (objects, spawn) = (shared.objects.clone(), Arc::clone(&shared.spawn));
            Ok(Box::new(Sink::new(objects, bucket, key, spawn)) as Box<dyn ObjectSink>)
        })
    }
}

impl Shared {
    async fn answer(&self, request: StorageRequest) -> Result<StorageResponse, StorageError> {
        match request {
            StorageRequest::ReadItems(keys) => {
                self.read_items(keys).await.map(StorageResponse::Items)
            }
            StorageRequest::ReadRange(range) => {
                let bucket = self.buckets.of(&range.partition.0).await?;
                Ok(self.items.range(&bucket, &range).await?)
            }
            StorageRequest::InsertItems(inserts) => {
                inserts.iter().try_for_each(check_insert)?;
                let key = |insert: &InsertItem| insert.key.partition.0.clone();
                let inserts = self.by_bucket(inserts, key).await?;
                for (number, (bucket, inserts)) in inserts.into_iter().enumerate() {
                    let inserted = self.items.insert(&bucket, &inserts).await;
                    inserted.map_err(|failure| failure.after(number > 0))?;
                }
                Ok(StorageResponse::Done)
            }
            StorageRequest::DeleteItems(deletes) => {
                deletes
                    .iter()
                    .try_for_each(|(key, _)| check_item_key(key))?;
                let deletes = self.by_bucket(deletes, |(key, _)| key.partition.0.clone());
                for (number, (bucket, deletes)) in deletes.await?.into_iter().enumerate() {
                    let deleted = self.items.delete(&bucket, &deletes).await;
                    deleted.map_err(|failure| failure.after(number > 0))?;
                }
                Ok(StorageResponse::Done)
            }
            StorageRequest::PollRange {
                partition,
                seen,
                timeout_ms,
            } => {
                let bucket = self.buckets.of(&partition.0).await?;
                let time = Duration::from_millis(timeout_ms.into());
                let seen = self.items.poll(&bucket, &partition, seen, time).await?;
                Ok(StorageResponse::Polled { seen })
            }
            StorageRequest::ListObjects {
                prefix,
                after,
                limit,
            } => {
                let bucket = self.buckets.of(&prefix).await?;
                let list = self.objects.list(&bucket, &prefix, after.as_ref(), limit);
                Ok(list.await?)
            }
            StorageRequest::DeleteObjects(mut keys) => {
                // What cannot be stored is not there.
                keys.retain(|key| check_object_key(key).is_ok());
                let keys = self.by_bucket(keys, |key| key.0.clone()).await?;
                for (number, (bucket, keys)) in keys.into_iter().enumerate() {
                    let deleted = self.objects.delete(&bucket, &keys).await;
                    deleted.map_err(|failure| failure.after(number > 0))?;
                }
                Ok(StorageResponse::Done)
            }
            StorageRequest::OpenObject { .. }
            | StorageRequest::ReadChunk { .. }
            | StorageRequest::CreateObject { .. }
            | StorageRequest::WriteChunk(_)
            | StorageRequest::FinishObject => Err(super::not_single()),
        }
    }

    async fn read_items(&self, keys: Vec<ItemKey>) -> Result<Vec<Item>, StorageError> {
        keys.iter().try_for_each(check_item_key)?;
        let mut groups = self.by_bucket(keys, |key| key.partition.0.clone()).await?;
        let (Some((bucket, keys)), true) = (groups.pop(), groups.is_empty()) else {
            return Err(StorageError::Refused(
                "one request reads items of one account".to_owned(),
            ));
        };
        Ok(self.items.read(&bucket, &keys).await?)
    }

    /// What goes into each bucket. One request is of one account, so it is one bucket.
    async fn by_bucket<T>(
        &self,
        things: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> Result<Vec<(Arc<Bucket>, Vec<T>)>, StorageError> {
        let mut groups: BTreeMap<String, (Arc<Bucket>, Vec<T>)> = BTreeMap::new();
        for thing in things {
            let bucket = self.buckets.of(&key(&thing)).await?;
            let group = groups.entry(bucket.name.clone());
            group.or_insert_with(|| (bucket, Vec::new())).1.push(thing);
        }
        Ok(groups.into_values().collect())
    }
}
