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
use super::objects::Objects;
use super::pace::Turn;
use super::retry::Effect;
use crate::permits::Permit;
use crate::storage::{BoxFuture, ObjectSource, Opened};
use bytes::{Bytes, BytesMut};
use restante_core::storage::{ObjectKey, StorageError};
use std::sync::Arc;
use std::time::Instant;

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
    /// The first octet of the object that it does not bring.
    end: u64,
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
            let len = got.len;
            let end = end.unwrap_or(len).min(len).max(start);
            let mut source = Source {
                objects: objects.clone(),
                bucket: Arc::clone(&bucket),
                key: key.clone(),
                etag: got.etag,
                at: start,
                end,
                body: Some(OpenBody {
                    body: got.body,
                    end,
                    rest: Bytes::new(),
                    _place: None,
                }),
            };
            if source.wanted(max) > 0 {
                // A body that does not come is a failure like a header that does not, and gives the turn
                // to somebody else.
                source.come().await?;
            }
            Ok((len, source, turn))
        };
        objects.retry().run(Effect::Read, get).await
    };
    let (len, mut source, turn) = match got {
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
    let mut turn = Some(turn);
    let chunk = source.next(max, &mut turn).await?;
    if let Some(turn) = turn {
        turn.answered();
    }
    source.settle();
    Ok(Opened {
        len,
        chunk,
        source: Box::new(source),
    })
}

impl Source {
    /// How many octets come next: `max`, or what is left of the range.
    fn wanted(&self, max: u32) -> usize {
        let left = self.end.saturating_sub(self.at);
        usize::try_from(left.min(max.into())).expect("not more than u32")
    }

    /// The next octets, as many as are [`wanted`](Self::wanted). The turn is given back as soon as they do not come.
    async fn next(&mut self, max: u32, turn: &mut Option<Turn<'_>>) -> Result<Bytes, Failure> {
        let want = self.wanted(max);
        let mut chunk = BytesMut::new();
        let mut attempts = 0;
        let mut begin = Instant::now();
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
                    (attempts, begin) = (0, Instant::now());
                }
                Err(failure) => {
                    self.body = None;
                    *turn = None;
                    attempts += 1;
                    let retry = self.objects.retry();
                    if !failure.is_temporary() || !retry.goes_on(attempts, begin) {
                        return Err(failure);
                    }
                    tracing::debug!(%failure, key = %self.key, at = self.at, "reading on");
                    retry.wait(attempts).await;
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
        let rest = self.come().await?;
        Ok(rest.split_to(rest.len().min(max)))
    }

    /// Waits until some octets of the open body are there, which are returned and stay.
    async fn come(&mut self) -> Result<&mut Bytes, Failure> {
        let open = self.body.as_mut().expect("it is open");
        while open.rest.is_empty() {
            let octets = next(self.objects.http(), &mut open.body).await?;
            open.rest = octets.ok_or_else(|| {
                Failure::Unavailable(format!("{}: a body ended too early", self.key))
            })?;
        }
        Ok(&mut open.rest)
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
            end,
            rest: Bytes::new(),
            _place: place,
        })
    }

    /// A body that stays open needs a place; one that has been read does not stay.
    fn settle(&mut self) {
        let Some(open) = &mut self.body else { return };
        if self.at >= open.end {
            self.body = None;
            return;
        }
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
            let chunk = self.next(max, &mut None).await?;
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
