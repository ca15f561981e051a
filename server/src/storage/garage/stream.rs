//! Reading an object: one answer whose body is read as fast as it is wanted.
//!
//! A body that nobody reads holds up its connection and nothing else. If it breaks off,
//! the rest is asked for by range, but only of the very same object. Of many bodies at
//! once, each with a connection, only `streams_max` are left open; the others are read
//! piece by piece. How many are opened at once is [`super::pace`]'s.

use super::answer::next;
use super::buckets::Bucket;
use super::failure::Failure;
use super::http::Body;
use super::objects::{Got, Objects};
use super::retry::Effect;
use crate::permits::Permit;
use crate::storage::{BoxFuture, ObjectSource, Opened};
use bytes::{Bytes, BytesMut};
use restante_core::storage::{ObjectKey, StorageError};
use std::sync::Arc;

/// The rest of a range of an object.
struct Source {
    objects: Objects,
    bucket: Arc<Bucket>,
    key: ObjectKey,
    etag: String,
    /// The next octet that is wanted, and the first one that is not.
    at: u64,
    end: u64,
    body: Option<OpenBody>,
}

struct OpenBody {
    body: Body,
    /// Octets that came along with those that were wanted.
    rest: Bytes,
    /// The place of a body that stays open.
    _place: Option<Permit>,
}

/// Opens octets `start..end` of an object and reads the first `max` of them.
pub(super) async fn open(
    objects: Objects,
    bucket: Arc<Bucket>,
    key: ObjectKey,
    (start, end): (u64, Option<u64>),
    max: u32,
) -> Result<Opened, StorageError> {
    let got = if end.is_some_and(|end| end <= start) {
        Err(Failure::OutOfRange)
    } else {
        let get = || async {
            let turn = objects.turn(&key).await?;
            let got = objects.get(&bucket, &key, (start, end), None).await?;
            Ok((got, turn))
        };
        objects.retry().run(Effect::Read, get).await
    };
    let (got, turn) = match got {
        Ok(got) => got,
        Err(Failure::OutOfRange) => {
            let len = objects.len(&bucket, &key).await?;
            return Ok(Opened {
                len,
                chunk: Bytes::new(),
                source: Box::new(Nothing),
            });
        }
        Err(failure) => return Err(failure.into()),
    };
    let Got { len, etag, body } = got;
    let end = end.unwrap_or(len).min(len);
    let mut source = Source {
        objects: objects.clone(),
        bucket,
        key,
        etag,
        at: start,
        end: end.max(start),
        body: Some(OpenBody {
            body,
            rest: Bytes::new(),
            _place: None,
        }),
    };
    let chunk = source.next(max).await?;
    turn.answered();
    source.settle();
    Ok(Opened {
        len,
        chunk,
        source: Box::new(source),
    })
}

impl Source {
    /// The next `max` octets, or what is left of the range.
    async fn next(&mut self, max: u32) -> Result<Bytes, Failure> {
        let left = self.end.saturating_sub(self.at);
        let want = usize::try_from(left.min(max.into())).expect("not more than u32");
        let mut chunk = BytesMut::new();
        let mut attempts = 0;
        while chunk.len() < want {
            let missing = want - chunk.len();
            match self.some(missing).await {
                Ok(octets) => {
                    self.at += octets.len() as u64;
                    if octets.len() == want {
                        return Ok(octets);
                    }
                    chunk.reserve(missing);
                    chunk.extend_from_slice(&octets);
                    attempts = 0;
                }
                Err(failure) => {
                    self.body = None;
                    attempts += 1;
                    if !failure.is_temporary() || attempts >= self.objects.retry().attempts_max() {
                        return Err(failure);
                    }
                    tracing::debug!(%failure, key = %self.key, at = self.at, "reading on");
                    self.objects.retry().wait(attempts).await;
                }
            }
        }
        Ok(chunk.freeze())
    }

    /// At least one and at most `max` of the next octets.
    async fn some(&mut self, max: usize) -> Result<Bytes, Failure> {
        if self.body.is_none() {
            self.body = Some(self.reopen(max).await?);
        }
        let open = self.body.as_mut().expect("it was opened just now");
        while open.rest.is_empty() {
            let octets = next(self.objects.http(), &mut open.body).await?;
            open.rest = octets.ok_or_else(|| {
                Failure::Unavailable(format!("{}: a body ended too early", self.key))
            })?;
        }
        Ok(open.rest.split_to(open.rest.len().min(max)))
    }

    /// The rest of the range, or just `max` octets if too many bodies are open.
    async fn reopen(&self, max: usize) -> Result<OpenBody, Failure> {
        let place = self.objects.streams().try_take();
        let end = match place {
            Some(_) => self.end,
            None => self.end.min(self.at + max as u64),
        };
        let range = (self.at, Some(end));
        let etag = Some(self.etag.as_str());
        let got = self
            .objects
            .get(&self.bucket, &self.key, range, etag)
            .await?;
        Ok(OpenBody {
            body: got.body,
            rest: Bytes::new(),
            _place: place,
        })
    }

    /// A body that stays open needs a place; one that has been read does not stay.
    fn settle(&mut self) {
        if self.at >= self.end {
            self.body = None;
        }
        let Some(open) = &mut self.body else { return };
        if open._place.is_none() {
            open._place = self.objects.streams().try_take();
        }
        if open._place.is_none() {
            self.body = None;
        }
    }
}

impl ObjectSource for Source {
    fn read(&mut self, max: u32) -> BoxFuture<'_, Result<Bytes, StorageError>> {
        Box::pin(async move {
            let chunk = self.next(max).await?;
            self.settle();
            Ok(chunk)
        })
    }
}

/// A range without octets.
struct Nothing;

impl ObjectSource for Nothing {
    fn read(&mut self, _max: u32) -> BoxFuture<'_, Result<Bytes, StorageError>> {
        Box::pin(async { Ok(Bytes::new()) })
    }
}
