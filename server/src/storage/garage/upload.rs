//! Writing an object: what fits into one part is stored by one PUT when the object is
//! finished; of a longer one each part is stored as soon as it is full, and all of them
//! become visible as one object at the end.
//!
//! Amazon wants parts of 5 MiB; Garage takes any. A part is as long as one of Garage's
//! blocks (1 MiB), so that parts cost no more blocks than one PUT would, and that is all
//! that an APPEND has in memory.

use super::buckets::Bucket;
use super::failure::Failure;
use super::objects::Objects;
use crate::storage::{BoxFuture, ObjectSink};
use aws_sdk_s3::types::CompletedPart;
use bytes::{Bytes, BytesMut};
use restante_core::storage::{ObjectKey, StorageError};
use std::sync::Arc;

/// Runs what is left to do when a sink is dropped.
pub(super) type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// An object that is being written.
pub(super) struct Sink {
    target: Arc<Target>,
    /// Octets of the part that is not full yet. The first piece is not copied as long as
    /// it is the only one.
    first: Bytes,
    part: BytesMut,
    len: u64,
    upload: Option<Upload>,
}

/// Where it goes.
struct Target {
    objects: Objects,
    bucket: Arc<Bucket>,
    key: ObjectKey,
    spawn: Spawn,
}

/// An upload in parts, which is aborted when it is dropped before its end.
struct Upload {
    target: Arc<Target>,
    id: String,
    parts: Vec<CompletedPart>,
    ended: bool,
}

impl Sink {
    pub(super) fn new(objects: Objects, bucket: Arc<Bucket>, key: ObjectKey, spawn: Spawn) -> Self {
        Self {
            target: Arc::new(Target {
                objects,
                bucket,
                key,
                spawn,
            }),
            first: Bytes::new(),
            part: BytesMut::new(),
            len: 0,
            upload: None,
        }
    }

    async fn take(&mut self, mut chunk: Bytes) -> Result<(), Failure> {
        self.len += chunk.len() as u64;
        if self.first.is_empty() && self.part.is_empty() && self.upload.is_none() {
            self.first = chunk.split_to(chunk.len().min(self.target.objects.part_bytes()));
        }
        while !chunk.is_empty() {
            let room = self.target.objects.part_bytes() - self.pending();
            if room == 0 {
                self.store_part().await?;
                continue;
            }
            if self.part.is_empty() {
                // Once for the whole part: one that grows leaves holes behind each time.
                self.part.reserve(self.target.objects.part_bytes());
                self.part
                    .extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.part
                .extend_from_slice(&chunk.split_to(chunk.len().min(room)));
        }
        Ok(())
    }

    /// Octets that are not stored yet.
    fn pending(&self) -> usize {
        self.first.len() + self.part.len()
    }

    /// Takes out what is not stored yet.
    fn take_pending(&mut self) -> Bytes {
        match self.part.is_empty() {
            true => std::mem::take(&mut self.first),
            false => std::mem::take(&mut self.part).freeze(),
        }
    }

    async fn store_part(&mut self) -> Result<(), Failure> {
        let target = Arc::clone(&self.target);
        let body = self.take_pending();
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let id = target.objects.begin(&target.bucket, &target.key).await?;
                none.insert(Upload {
                    target: Arc::clone(&target),
                    id,
                    parts: Vec::new(),
                    ended: false,
                })
            }
        };
        let number = i32::try_from(upload.parts.len() + 1).unwrap_or(i32::MAX);
        let part = target
            .objects
            .put_part(&target.bucket, &target.key, &upload.id, number, body);
        upload.parts.push(part.await?);
        Ok(())
    }

    async fn end(mut self) -> Result<(), Failure> {
        let target = Arc::clone(&self.target);
        if self.upload.is_none() {
            let body = self.take_pending();
            return target.objects.put(&target.bucket, &target.key, body).await;
        }
        if self.pending() > 0 {
            self.store_part().await?;
        }
        let Some(mut upload) = self.upload.take() else {
            unreachable!("an upload that has begun stays");
        };
        let parts = std::mem::take(&mut upload.parts);
        let result = target
            .objects
            .complete(&target.bucket, &target.key, &upload.id, parts, self.len)
            .await;
        // After a lost answer the object may be there, and its parts are its own.
        upload.ended = matches!(
            result,
            Ok(()) | Err(Failure::Unavailable(_) | Failure::Open(_) | Failure::NoUpload)
        );
        result
    }
}

impl ObjectSink for Sink {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move { Ok(self.take(chunk).await?) })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(), StorageError>> {
        Box::pin(async move { Ok(self.end().await?) })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (target, id) = (Arc::clone(&self.target), std::mem::take(&mut self.id));
        let spawn = Arc::clone(&target.spawn);
        spawn(Box::pin(async move {
            let aborted = target
                .objects
                .abort(&target.bucket, &target.key.0, &id)
                .await;
            if let Err(failure) = aborted {
                // The sweep finds it.
                tracing::debug!(%failure, key = %target.key, "an upload was not aborted");
            }
        }));
    }
}
