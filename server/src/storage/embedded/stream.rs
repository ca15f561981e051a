//! Objects while they are read and written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use restante_core::storage::{ObjectKey, StorageError};

use super::body::{BLOCK, Bodies, Body, BodyWriter};
use super::committer::{CommitQueue, Work};
use super::pool::Pool;
use crate::storage::{BoxFuture, ObjectSink, ObjectSource};

/// The rest of a short object, in memory.
pub(super) struct InlineSource(pub(super) Bytes);

impl ObjectSource for InlineSource {
    fn read(&mut self, max: u32) -> BoxFuture<'_, Result<Bytes, StorageError>> {
        let chunk = self.0.split_to(self.0.len().min(max as usize));
        Box::pin(async move { Ok(chunk) })
    }
}

/// The rest of a long object: its open file, which stays whole when it is deleted.
pub(super) struct FileSource {
    pub(super) readers: Pool,
    /// `None` while a read is under way, and for ever where its future was dropped.
    pub(super) state: Option<FileRange>,
}

/// A range of an open file.
pub(super) struct FileRange {
    pub(super) body: Body,
    pub(super) at: u64,
    pub(super) end: u64,
    /// The block that the last read ended in.
    pub(super) last: Option<(u64, Bytes)>,
}

impl FileRange {
    /// The next bytes. Blocks the thread.
    pub(super) fn next(&mut self, max: u32) -> Result<Bytes, StorageError> {
        let end = self.end.min(self.at.saturating_add(max.into()));
        let chunk = self.body.read(self.at, end, &mut self.last)?;
        self.at = end;
        Ok(chunk)
    }
}

impl ObjectSource for FileSource {
    fn read(&mut self, max: u32) -> BoxFuture<'_, Result<Bytes, StorageError>> {
        Box::pin(async move {
            let mut state = self.state.take().ok_or_else(broken)?;
            let work = move || {
                let chunk = state.next(max)?;
                Ok((state, chunk))
            };
            let (state, chunk) = self.readers.run(work).await?;
            self.state = Some(state);
            Ok(chunk)
        })
    }
}

/// An object that is being written: in memory while it is short, then in a file.
pub(super) struct Sink {
    pub(super) key: ObjectKey,
    pub(super) bodies: Bodies,
    pub(super) writers: Pool,
    pub(super) commits: CommitQueue,
    pub(super) clock: Arc<AtomicU64>,
    /// Bytes of the longest object that stays in memory.
    pub(super) inline_max: usize,
    /// What is not in the file yet.
    pub(super) buffer: BytesMut,
    pub(super) state: SinkState,
}

/// Where the bytes of a sink go.
pub(super) enum SinkState {
    /// To the buffer: it is short.
    Short,
    /// To the file.
    Long {
        /// The file.
        writer: BodyWriter,
        /// Bytes in it.
        written: u64,
    },
    /// A step failed or was dropped.
    Broken,
}

impl Sink {
    /// Writes all full blocks of the buffer, and where `all` is set the rest.
    async fn flush(&mut self, all: bool) -> Result<(), StorageError> {
        let whole = self.buffer.len() / BLOCK * BLOCK;
        let ready = self
            .buffer
            .split_to(if all { self.buffer.len() } else { whole })
            .freeze();
        let state = std::mem::replace(&mut self.state, SinkState::Broken);
        let bodies = self.bodies.clone();
        let number = match state {
            SinkState::Short => self.clock.fetch_add(1, Ordering::SeqCst) + 1,
            SinkState::Long { .. } | SinkState::Broken => 0,
        };
        let work = move || {
            let (mut writer, written) = match state {
                SinkState::Short => (bodies.create(number)?, 0),
                SinkState::Long { writer, written } => (writer, written),
                SinkState::Broken => return Err(broken()),
            };
            for block in ready.chunks(BLOCK) {
                writer.write(block)?;
            }
            Ok((writer, written + ready.len() as u64))
        };
        let (writer, written) = self.writers.run(work).await?;
        self.state = SinkState::Long { writer, written };
        Ok(())
    }
}

impl ObjectSink for Sink {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let limit = match self.state {
                    SinkState::Short => self.inline_max,
                    SinkState::Long { .. } => BLOCK,
                    SinkState::Broken => return Err(broken()),
                };
                let room = limit.saturating_sub(self.buffer.len());
                let (part, left) = rest.split_at(room.min(rest.len()));
                self.buffer.extend_from_slice(part);
                rest = left;
                let long = matches!(self.state, SinkState::Long { .. });
                let flush = if long {
                    self.buffer.len() >= BLOCK
                } else {
                    !rest.is_empty()
                };
                if flush {
                    self.flush(false).await?;
                }
            }
            Ok(())
        })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<(), StorageError>> {
        Box::pin(async move {
            if let SinkState::Short = self.state {
                let body = std::mem::take(&mut self.buffer).freeze();
                let work = Work::Inline(self.key.clone(), body);
                return self.commits.commit(work).await;
            }
            self.flush(true).await?;
            let state = std::mem::replace(&mut self.state, SinkState::Broken);
            let SinkState::Long { writer, written } = state else {
                return Err(broken());
            };
            let staged = self.writers.run(move || writer.sync()).await?;
            let work = Work::File(self.key.clone(), staged, written);
            self.commits.commit(work).await
        })
    }
}

/// A stream that is used after an error.
fn broken() -> StorageError {
    StorageError::Unavailable("an earlier step of this stream failed".to_owned())
}
