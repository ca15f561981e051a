//! Looking into the object of one message.

use super::report::Trouble;
use super::survey::{Survey, out_of_step};
use crate::account::{InternalDate, NewMessage};
use crate::mailbox::ContentId;
use crate::seal::{
    CONTENT_HEAD_BYTES, CONTENT_TRAILER_BYTES, ContentEnd, ContentKind, ContentReader, Progress,
    SUMMARY_BYTES_MAX, open_summary, open_trailer,
};
use crate::storage::{StorageError, StorageRequest, StorageResponse};
use crate::summary::Summary;
use bytes::Bytes;

/// What is in an object.
pub(super) struct Inside {
    pub(super) kind: ContentKind,
    pub(super) end: ContentEnd,
    /// The summary as it is to be sealed as an item; `None` if it cannot be read.
    pub(super) summary: Option<Vec<u8>>,
}

impl Inside {
    /// The message as it is to be appended. Its date is when it was stored.
    pub(super) fn message(&self, content: ContentId) -> NewMessage {
        NewMessage {
            content,
            kind: self.kind,
            size: self.end.body_bytes,
            summary_offset: self.end.summary.offset,
            summary_len: self.end.summary.len,
            internal_date: InternalDate {
                unix_s: i64::try_from(content.unix_ms() / 1_000).unwrap_or(i64::MAX),
                zone_min: 0,
            },
            flags: Vec::new(),
        }
    }
}

impl Survey {
    /// Opens the head, the trailer and the summary of an object. The inner error: what is
    /// wrong with it.
    pub(super) async fn look_into(
        &self,
        content: ContentId,
    ) -> Result<Result<Inside, Trouble>, StorageError> {
        let Some((len, head)) = self.range(content, 0, CONTENT_HEAD_BYTES as u64).await? else {
            return Ok(Err(Trouble::BodyMissing));
        };
        let damaged = |why: &str| Ok(Err(Trouble::BodyDamaged(why.to_owned())));
        let Some(start) = len.checked_sub(CONTENT_TRAILER_BYTES as u64) else {
            return damaged("it ends too early");
        };
        let Some((_, trailer)) = self.range(content, start, len).await? else {
            return Ok(Err(Trouble::BodyMissing));
        };
        let kind = match ContentKind::claimed(&head) {
            Some(kind @ (ContentKind::Message | ContentKind::Delivery)) => kind,
            _ => return damaged("its beginning is not that of a message"),
        };
        let end = match open_trailer(&self.keys, kind, content, &head, &trailer, len) {
            Ok(end) => end,
            Err(error) => return damaged(&error.to_string()),
        };
        let mut summary = None;
        let place = end.summary;
        if place.len as usize <= SUMMARY_BYTES_MAX
            && let Some((_, sealed)) = self
                .range(content, place.offset, place.offset + u64::from(place.len))
                .await?
        {
            summary = open_summary(&self.keys, kind, content, &head, &sealed)
                .ok()
                .filter(|plain| Summary::decode(plain).is_ok_and(|it| it.size == end.body_bytes));
        }
        Ok(Ok(Inside { kind, end, summary }))
    }

    /// Octets `start..end` of an object, and how long all of it is. `None`: it is not there.
    async fn range(
        &self,
        content: ContentId,
        start: u64,
        end: u64,
    ) -> Result<Option<(u64, Bytes)>, StorageError> {
        let max = u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX);
        let id = self.io.start(StorageRequest::OpenObject {
            key: self.places.content(content),
            start,
            end: Some(end),
            max,
        });
        let answer = self.io.answer(id).await;
        self.io.abandon(id);
        match answer {
            Ok(StorageResponse::Opened { len, chunk }) => Ok(Some((len, chunk))),
            Ok(_) => Err(out_of_step()),
            Err(StorageError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads every chunk of the body. What is wrong with it, if anything is.
    pub(super) async fn read_through(
        &self,
        content: ContentId,
        inside: &Inside,
    ) -> Result<Option<Trouble>, StorageError> {
        let max = u32::try_from(self.config.chunk_bytes).unwrap_or(u32::MAX);
        let id = self.io.start(StorageRequest::OpenObject {
            key: self.places.content(content),
            start: 0,
            end: None,
            max,
        });
        let (kind, size) = (inside.kind, inside.end.body_bytes);
        let mut reader = ContentReader::from_start(&self.keys, kind, content, size);
        let mut plaintext = Vec::new();
        let mut first = true;
        let damaged = |why: &str| Some(Trouble::BodyDamaged(why.to_owned()));
        let trouble = loop {
            plaintext.clear();
            match reader.next(&mut plaintext) {
                Ok(Progress::Chunk(_)) => continue,
                Ok(Progress::End) => break None,
                Ok(Progress::NeedMore(_)) => {}
                Err(error) => break damaged(&error.to_string()),
            }
            if !core::mem::take(&mut first) {
                self.io.send(id, StorageRequest::ReadChunk { max });
            }
            match self.io.answer(id).await {
                Ok(StorageResponse::Opened { chunk, .. } | StorageResponse::Chunk(chunk))
                    if !chunk.is_empty() =>
                {
                    reader.feed(&chunk);
                }
                Ok(_) => break damaged("it ends too early"),
                Err(StorageError::NotFound) => break Some(Trouble::BodyMissing),
                Err(error) => return Err(error),
            }
        };
        self.io.abandon(id);
        Ok(trouble)
    }
}
