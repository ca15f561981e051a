//! The desk of one machine: its requests under way and its open streams.
//!
//! The loop that a driver writes around it:
//!
//! ```text
//! Output::Storage(id, request) => answers.push(desk.start(id, request)),   // FuturesUnordered
//! Output::Abandon(id)          => desk.abandon(id),
//! Some((id, response)) = answers.next() => machine.handle_input(now, Input::Storage(id, response)),
//! None of an answer            => it was abandoned: the machine is told nothing
//! ```
//!
//! Dropping the desk abandons everything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::{AbortHandle, Abortable};
use restante_core::storage::{RequestId, StorageError, StorageRequest, StorageResponse};

use super::{BoxFuture, ObjectSink, ObjectSource, Storage};

/// Maps the requests of one machine to what is open for them.
pub struct Desk {
    storage: Arc<dyn Storage>,
    entries: Arc<Mutex<Entries>>,
}

type Entries = BTreeMap<RequestId, Entry>;

#[derive(Default)]
struct Entry {
    /// The open stream, unless a request has it.
    stream: Option<Stream>,
    /// Stops the request under way.
    abort: Option<AbortHandle>,
}

enum Stream {
    /// And how many bytes are still to come.
    Source(Box<dyn ObjectSource>, u64),
    Sink(Box<dyn ObjectSink>),
}

impl Desk {
    /// A desk with nothing under way.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            entries: Arc::default(),
        }
    }

    /// Begins a request. The future gives the answer, or `None` once the request was
    /// abandoned. Nothing happens before it is polled, and dropping it is like
    /// abandoning: what was to be written may still land.
    ///
    /// A step of a stream that is not open is answered with `Failed(Refused)`, and so
    /// is a second request under an id that has one under way: both are mistakes of
    /// the machine.
    pub fn start(
        &mut self,
        id: RequestId,
        request: StorageRequest,
    ) -> BoxFuture<'static, Option<(RequestId, StorageResponse)>> {
        let (abort, registration) = AbortHandle::new_pair();
        let stream = {
            let mut entries = lock(&self.entries);
            let entry = entries.entry(id).or_default();
            if entry.abort.is_some() {
                return Box::pin(async move { Some((id, refused("one request at a time"))) });
            }
            entry.abort = Some(abort);
            entry.stream.take()
        };
        let storage = Arc::clone(&self.storage);
        let entries = Arc::clone(&self.entries);
        Box::pin(async move {
            let step = step(&*storage, stream, request);
            let (response, stream) = Abortable::new(step, registration).await.ok()?;
            let mut entries = lock(&entries);
            match stream {
                Some(stream) => {
                    // No entry: it was abandoned just now, and the stream goes with it.
                    let entry = entries.get_mut(&id)?;
                    *entry = Entry {
                        stream: Some(stream),
                        abort: None,
                    };
                }
                None => drop(entries.remove(&id)?),
            }
            Some((id, response))
        })
    }

    /// Stops a request or closes a stream. An object that was not finished is gone.
    pub fn abandon(&mut self, id: RequestId) {
        let entry = lock(&self.entries).remove(&id);
        if let Some(Entry {
            abort: Some(abort), ..
        }) = entry
        {
            abort.abort();
        }
    }

    /// How many requests and streams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.entries).len()
    }

    /// Whether nothing is under way or open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for (_, entry) in std::mem::take(&mut *lock(&self.entries)) {
            if let Some(abort) = entry.abort {
                abort.abort();
            }
        }
    }
}

/// One step of a stream, or a whole request; with what stays open afterwards.
async fn step(
    storage: &dyn Storage,
    stream: Option<Stream>,
    request: StorageRequest,
) -> (StorageResponse, Option<Stream>) {
    let result = match (request, stream) {
        (
            StorageRequest::OpenObject {
                key,
                start,
                end,
                max,
            },
            None,
        ) => open(storage, key, (start, end), max).await,
        (StorageRequest::CreateObject { key }, None) => storage
            .create(key)
            .await
            .map(|sink| (StorageResponse::Done, Some(Stream::Sink(sink)))),
        (StorageRequest::ReadChunk { max }, Some(Stream::Source(source, rest))) => {
            read(source, rest, max).await
        }
        (StorageRequest::WriteChunk(chunk), Some(Stream::Sink(sink))) => write(sink, chunk).await,
        (StorageRequest::FinishObject, Some(Stream::Sink(sink))) => {
            sink.finish().await.map(|()| (StorageResponse::Done, None))
        }
        (request, None) => return (storage.execute(request).await, None),
        (_, Some(_)) => return (refused("not a step of this stream"), None),
    };
    result.unwrap_or_else(|error| (StorageResponse::Failed(error), None))
}

type Step = Result<(StorageResponse, Option<Stream>), StorageError>;

async fn open(
    storage: &dyn Storage,
    key: restante_core::storage::ObjectKey,
    (start, end): (u64, Option<u64>),
    max: u32,
) -> Step {
    let opened = storage.open(key, start, end, max).await?;
    let range = end
        .unwrap_or(opened.len)
        .min(opened.len)
        .saturating_sub(start);
    let rest = range.saturating_sub(opened.chunk.len() as u64);
    let stream = (rest > 0).then_some(Stream::Source(opened.source, rest));
    let response = StorageResponse::Opened {
        len: opened.len,
        chunk: opened.chunk,
    };
    Ok((response, stream))
}

async fn read(mut source: Box<dyn ObjectSource>, rest: u64, max: u32) -> Step {
    let chunk = source.read(max).await?;
    let rest = rest.saturating_sub(chunk.len() as u64);
    let last = rest == 0 || chunk.len() < max as usize;
    let stream = (!last).then_some(Stream::Source(source, rest));
    Ok((StorageResponse::Chunk(chunk), stream))
}

async fn write(mut sink: Box<dyn ObjectSink>, chunk: Bytes) -> Step {
    sink.write(chunk).await?;
    Ok((StorageResponse::Done, Some(Stream::Sink(sink))))
}

fn refused(why: &str) -> StorageResponse {
    StorageResponse::Failed(StorageError::Refused(why.to_owned()))
}

/// A panic while the map was locked leaves it whole: nothing is done in between.
fn lock(entries: &Mutex<Entries>) -> MutexGuard<'_, Entries> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}
