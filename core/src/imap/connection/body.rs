//! Reading message bodies: ranges of octets, chunk by chunk, each verified before any of
//! it is used, at the pace at which the reader asks.

use super::context::Context;
use super::reply::Completion;
use super::retries::Retries;
use crate::boundary::Event;
use crate::mailbox::Message;
use crate::seal::{
    CHUNK_OVERHEAD_BYTES, CONTENT_HEAD_BYTES, CONTENT_TRAILER_BYTES, ContentLayout, ContentReader,
    Progress, SealError, SpareContext,
};
use crate::storage::{ObjectKey, RequestId, StorageError, StorageRequest, StorageResponse};
use crate::workflow::Io;
use core::fmt;
use core::ops::Range;

/// Why octets of a message cannot be had.
#[derive(Debug)]
pub(super) enum ReadError {
    Storage(StorageError),
    Damaged(SealError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Damaged(error) => error.fmt(f),
        }
    }
}

impl ReadError {
    /// Whether the same may work later: storage did not answer, nothing is known to be
    /// wrong with the message.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Self::Storage(error) if *error != StorageError::NotFound)
    }

    /// What the log is told.
    pub(super) fn event(&self, place: &str) -> Event {
        match self {
            Self::Storage(error) if self.is_temporary() => Event::StorageFailed {
                step: "read a message",
                reason: format!("{place}: {error}"),
            },
            error => Event::Damaged {
                place: place.to_owned(),
                reason: error.to_string(),
            },
        }
    }
}

/// Messages that a command could not read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// How often storage did not answer.
    unanswered: usize,
    damaged: bool,
}

impl Unread {
    /// One more. The log is told of each that is damaged, and of the first for which storage did not
    /// answer: there may be as many as there are messages.
    pub(super) fn add(&mut self, io: &Io, error: &ReadError, place: &str) {
        if error.is_temporary() {
            self.unanswered += 1;
        } else {
            self.damaged = true;
        }
        if !error.is_temporary() || self.unanswered == 1 {
            io.event(error.event(place));
        }
    }

    /// Tells the log how many there were, once the command is at its end.
    pub(super) fn sum_up(&self, io: &Io) {
        if self.unanswered > 1 {
            let times = self.unanswered;
            io.event(Event::StorageFailed {
                step: "read messages",
                reason: format!("{times} times in one command, the first is told above"),
            });
        }
    }

    /// `done`, or what to say instead (RFC 5530).
    pub(super) fn completion(&self, done: Completion) -> Completion {
        if self.damaged {
            Completion::no("Some messages could not be read; the server's log says more")
                .with_code("CORRUPTION")
        } else if self.unanswered > 0 {
            Completion::no("Some messages cannot be read just now, try again later")
                .with_code("UNAVAILABLE")
        } else {
            done
        }
    }
}

/// What all that reads for one command has in common.
pub(super) struct Shared {
    /// They are read one after another.
    spare: SpareContext,
    retries: Retries,
}

impl Shared {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            spare: SpareContext::default(),
            retries: Retries::new(&context.config),
        }
    }

    /// For what reads summaries.
    pub(super) fn retries(&self, context: &Context) -> Retries {
        self.retries.beside(&context.config)
    }
}

/// A range of a message's octets that is being read.
pub(super) struct BodyReader {
    io: Io,
    key: ObjectKey,
    /// The open stream.
    request: Option<RequestId>,
    reader: ContentReader,
    /// Plaintext octets before the range, in its first chunk.
    skip: usize,
    /// Octets of the range still to be handed out.
    left: u64,
    /// A verified chunk that was not handed out yet.
    chunk: Vec<u8>,
    retries: Retries,
    /// Where the last chunk of the range ends in the stored object, if that is known.
    stored_end: Option<u64>,
    /// Octets of the stored object, as the index has it.
    object_bytes: u64,
    /// Octets that the answer that is awaited has at most.
    asked: u32,
    /// Stored octets that the open stream still has.
    stored_left: u64,
    /// Storage has given all that it has of the range.
    ended: bool,
    /// Octets that one request asks for at most: the head and a chunk that does not compress.
    read_max: u32,
}

impl BodyReader {
    /// Opens a range; nothing is waited for. A range that does not begin at 0 needs the
    /// layout.
    pub(super) fn start(
        io: &Io,
        context: &Context,
        shared: &Shared,
        message: &Message,
        layout: Option<&ContentLayout>,
        range: Range<u64>,
    ) -> Self {
        let content = message.content;
        let (reader, skip) = match layout {
            Some(layout) if range.start > 0 => {
                let reader = ContentReader::at(layout, message.kind, content, range.start);
                let skip = reader.first_skip();
                (reader, skip)
            }
            _ => {
                let reader =
                    ContentReader::from_start(&context.keys, message.kind, content, message.size);
                (reader, usize::try_from(range.start).unwrap_or(usize::MAX))
            }
        };
        let mut body = Self {
            io: io.clone(),
            key: context.places.content(content),
            request: None,
            reader: reader.sharing(&shared.spare),
            skip,
            left: range.end.saturating_sub(range.start),
            chunk: Vec::new(),
            retries: shared.retries.clone(),
            stored_end: layout.map(|layout| layout.stored_range(range).end),
            object_bytes: message
                .summary_offset
                .saturating_add(u64::from(message.summary_len))
                .saturating_add(CONTENT_TRAILER_BYTES as u64),
            asked: 0,
            stored_left: 0,
            ended: false,
            read_max: u32::try_from(context.config.chunk_bytes + AROUND_CHUNK_BYTES)
                .unwrap_or(u32::MAX),
        };
        if body.left > 0 {
            body.open();
        }
        body
    }

    /// Octets that this reader may hold while nobody waits for it: stored ones, whole chunks also
    /// of a range that is shorter.
    pub(super) fn ahead_octets(&self) -> usize {
        match self.request {
            Some(_) => self.asked as usize,
            None => 0,
        }
    }

    /// Where the octets come from, for the log.
    pub(super) fn place(&self) -> &str {
        &self.key.0
    }

    fn open(&mut self) {
        let start = self.reader.reopen();
        let end = self.stored_end.unwrap_or(self.object_bytes);
        self.asked = u32::try_from(end.saturating_sub(start).max(1))
            .unwrap_or(u32::MAX)
            .min(self.read_max);
        let request = StorageRequest::OpenObject {
            key: self.key.clone(),
            start,
            end: self.stored_end,
            max: self.asked,
        };
        self.request = Some(self.io.start(request));
    }

    /// Waits for the first chunk of the range and verifies it: after this, the range may
    /// be announced.
    pub(super) async fn verify_first(&mut self) -> Result<(), ReadError> {
        if self.left > 0 && self.chunk.is_empty() {
            self.fill().await?;
        }
        Ok(())
    }

    /// What was verified and not handed out yet: after [`verify_first`](Self::verify_first), octets of
    /// the message from the beginning of the range on, also some behind its end.
    pub(super) fn verified(&self) -> &[u8] {
        &self.chunk
    }

    /// Appends the next octets of the range, a chunk at most; 0 at its end.
    pub(super) async fn next(&mut self, out: &mut Vec<u8>) -> Result<usize, ReadError> {
        if self.left == 0 {
            return Ok(0);
        }
        if self.chunk.is_empty() {
            self.fill().await?;
        }
        let count = self
            .chunk
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if out.is_empty() {
            core::mem::swap(out, &mut self.chunk);
            out.truncate(count);
        } else {
            out.extend_from_slice(&self.chunk[..count]);
        }
        self.chunk.clear();
        self.left -= count as u64;
        if self.left == 0 {
            self.close();
        }
        Ok(count)
    }

    /// Gives the stream back, if it is open still.
    pub(super) fn close(&mut self) {
        if let Some(request) = self.request.take() {
            self.io.abandon(request);
        }
    }

    /// Reads until a chunk of the range is verified.
    async fn fill(&mut self) -> Result<(), ReadError> {
        while self.chunk.len() <= self.skip {
            self.skip -= self.chunk.len();
            self.chunk.clear();
            match self
                .reader
                .next(&mut self.chunk)
                .map_err(ReadError::Damaged)?
            {
                Progress::Chunk(_) => {}
                Progress::End => return Err(ReadError::Damaged(SealError::Truncated)),
                Progress::NeedMore(_) => self.read().await?,
            }
        }
        if self.skip > 0 {
            self.chunk.drain(..self.skip);
            self.skip = 0;
        }
        Ok(())
    }

    /// One more piece from storage; a broken stream is opened again where it broke.
    async fn read(&mut self) -> Result<(), ReadError> {
        loop {
            let request = match self.request {
                Some(request) => request,
                // To ask again would bring the same.
                None if self.ended => return Err(ReadError::Damaged(SealError::Truncated)),
                None => {
                    self.open();
                    continue;
                }
            };
            match self.io.answer(request).await {
                Ok(StorageResponse::Opened { len, chunk }) => {
                    let end = self.stored_end.unwrap_or(len).min(len);
                    self.stored_left = end.saturating_sub(self.reader.stored_position());
                    return self.take(request, &chunk);
                }
                Ok(StorageResponse::Chunk(chunk)) => return self.take(request, &chunk),
                Ok(_) => {
                    let error = StorageError::Refused("an answer to another question".to_owned());
                    return Err(ReadError::Storage(error));
                }
                Err(error) => {
                    self.request = None;
                    let again = match error {
                        StorageError::Unavailable(_) => self.retries.next(),
                        _ => None,
                    };
                    let Some(rest) = again else {
                        return Err(ReadError::Storage(error));
                    };
                    self.io.rest(rest).await;
                }
            }
        }
    }

    /// Takes what the stream gave, and asks for what comes after it.
    fn take(&mut self, request: RequestId, chunk: &[u8]) -> Result<(), ReadError> {
        if chunk.is_empty() {
            return Err(ReadError::Damaged(SealError::Truncated));
        }
        self.retries.succeeded();
        self.reader.feed(chunk);
        self.stored_left = self.stored_left.saturating_sub(chunk.len() as u64);
        // Less than was asked for comes only at the end.
        if self.stored_left == 0 || chunk.len() < self.asked as usize {
            self.ended = true;
            self.close();
        } else {
            self.asked = self.read_max;
            self.io
                .send(request, StorageRequest::ReadChunk { max: self.asked });
        }
        Ok(())
    }
}

/// Stored octets before the first chunk and around each.
const AROUND_CHUNK_BYTES: usize = CONTENT_HEAD_BYTES + CHUNK_OVERHEAD_BYTES;

impl Drop for BodyReader {
    fn drop(&mut self) {
        self.close();
    }
}
