//! A message on its way into its object: sealed chunk by chunk, and scanned for its
//! summary, while it comes in. Whoever has it, a client or a deliverer, holds no more of
//! it than a chunk.

use crate::config::Config;
use crate::mime::Scanner;
use crate::seal::{ContentWriter, SummaryPlace};
use crate::storage::{ObjectKey, RequestId, StorageError, StorageRequest};
use crate::summary::Summary;
use crate::workflow::Io;
use bytes::Bytes;

/// See the module.
pub(crate) struct MessageObject {
    io: Io,
    request: RequestId,
    writer: ContentWriter,
    scanner: Scanner,
    sealed: Vec<u8>,
    chunk_bytes: usize,
    size: u64,
}

/// A message whose object is written but not finished: nobody can read it yet.
pub(crate) struct Written {
    /// To be finished.
    pub(crate) request: RequestId,
    /// Octets of the message.
    pub(crate) size: u64,
    /// Where its summary is.
    pub(crate) place: SummaryPlace,
    /// The encoded summary.
    pub(crate) summary: Vec<u8>,
}

impl MessageObject {
    /// Begins an object. Nothing has gone wrong so far once this is done.
    pub(crate) async fn create(
        io: &Io,
        key: ObjectKey,
        writer: ContentWriter,
        config: &Config,
    ) -> Result<Self, StorageError> {
        io.step("create the object");
        let request = io.start(StorageRequest::CreateObject { key });
        io.answer(request).await?;
        io.step("take the message in");
        Ok(Self {
            io: io.clone(),
            request,
            writer,
            scanner: Scanner::new(config),
            sealed: Vec::new(),
            chunk_bytes: config.chunk_bytes,
            size: 0,
        })
    }

    /// The next octets of the message.
    pub(crate) async fn write(&mut self, octets: &[u8]) -> Result<(), StorageError> {
        self.size += octets.len() as u64;
        self.scanner.feed(octets);
        self.writer.write(octets, &mut self.sealed);
        if self.sealed.len() >= self.chunk_bytes {
            let chunk = core::mem::take(&mut self.sealed);
            write_chunk(&self.io, self.request, chunk).await?;
        }
        Ok(())
    }

    /// The message has ended.
    pub(crate) async fn end(mut self) -> Result<Written, StorageError> {
        let layout = self.writer.end_body(&mut self.sealed);
        let summary = Summary::new(self.scanner.finish(), layout.encode().to_vec()).encode();
        let place = self.writer.finish(&summary, &mut self.sealed);
        write_chunk(&self.io, self.request, self.sealed).await?;
        Ok(Written {
            request: self.request,
            size: self.size,
            place,
            summary,
        })
    }

    /// The message is not wanted after all.
    pub(crate) fn abandon(self) {
        self.io.abandon(self.request);
    }
}

async fn write_chunk(io: &Io, object: RequestId, chunk: Vec<u8>) -> Result<(), StorageError> {
    io.send(object, StorageRequest::WriteChunk(Bytes::from(chunk)));
    io.answer(object).await?;
    Ok(())
}
