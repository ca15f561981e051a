//! Reading summaries, many in one request, the next batch while this one is used.

use super::body::ReadError;
use super::context::Context;
use super::retries::Retries;
use crate::boundary::Event;
use crate::mailbox::{ContentId, Message};
use crate::seal::{CONTENT_HEAD_BYTES, SUMMARY_BYTES_MAX, SealError, open_summary};
use crate::storage::{Item, ItemKey, RequestId, StorageError, StorageRequest, StorageResponse};
use crate::summary::{Summary, SummaryDecoder};
use crate::workflow::Io;
use bytes::Bytes;
use core::iter::Peekable;
use std::collections::{BTreeMap, VecDeque};

/// Summaries of messages, in the order in which they will be asked for.
pub(super) struct Summaries<'a> {
    io: Io,
    context: Context,
    /// Messages of batches that were not started.
    waiting: Peekable<Messages<'a>>,
    /// Batches under way, the oldest first.
    started: VecDeque<Batch>,
    retries: Retries,
    /// Sealed summaries that came and were not asked for yet.
    sealed: BTreeMap<ContentId, Item>,
    /// Messages of the batch in use that were not asked for yet.
    left: usize,
    decoder: SummaryDecoder,
}

/// A request for the summaries of messages that follow one another.
struct Batch {
    request: RequestId,
    keys: Vec<ItemKey>,
    /// Messages, some of which may have no item, or one in common.
    count: usize,
}

/// The messages whose summaries will be asked for.
pub(super) type Messages<'a> = Box<dyn Iterator<Item = &'a Message> + Send + Sync + 'a>;

/// Batches that are read ahead.
const BATCHES_AHEAD_MAX: usize = 1;

impl<'a> Summaries<'a> {
    /// Will be asked for `messages`, in this order, each once.
    pub(super) fn new(
        io: &Io,
        context: &Context,
        retries: Retries,
        messages: Messages<'a>,
    ) -> Self {
        let mut summaries = Self {
            io: io.clone(),
            context: context.clone(),
            waiting: messages.peekable(),
            started: VecDeque::new(),
            retries,
            sealed: BTreeMap::new(),
            left: 0,
            decoder: SummaryDecoder::default(),
        };
        summaries.start_batches();
        summaries
    }

    fn start_batches(&mut self) {
        while self.started.len() <= BATCHES_AHEAD_MAX && self.waiting.peek().is_some() {
            let (mut keys, mut octets, mut count) = (Vec::new(), 0, 0);
            while let Some(message) = self.waiting.peek().copied() {
                let is_item = is_item(&self.context, message);
                let full = keys.len() >= self.context.config.summary_batch_items_max
                    || octets + message.summary_len as usize
                        > self.context.config.summary_batch_bytes_max;
                if is_item && full && !keys.is_empty() {
                    break;
                }
                if is_item {
                    octets += message.summary_len as usize;
                    keys.push(self.context.places.summary(message.content));
                }
                count += 1;
                self.waiting.next();
            }
            // A message may be there twice (a copy): its item is read once.
            keys.sort();
            keys.dedup();
            self.started.push_back(Batch {
                request: self.io.start(StorageRequest::ReadItems(keys.clone())),
                keys,
                count,
            });
        }
    }

    /// The summary of the next message.
    pub(super) async fn next(&mut self, message: &Message) -> Result<Summary, ReadError> {
        if self.left == 0 {
            self.take_batch().await;
        }
        self.left = self.left.saturating_sub(1);
        let key = self.context.places.summary(message.content);
        if let Some(item) = self.sealed.get(&message.content) {
            let (keys, decoder) = (&self.context.keys, &mut self.decoder);
            let opened = item.values.iter().find_map(|value| {
                let plain = keys.open_summary_item(&key, message.kind, value).ok()?;
                decoder.decode(&plain).ok()
            });
            match opened {
                Some(summary) => return Ok(summary),
                // The object holds it as well.
                None => self.io.event(
                    ReadError::Damaged(SealError::Forged)
                        .event(&format!("{} {}", key.partition, key.sort)),
                ),
            }
        }
        self.read_from_object(message).await
    }

    /// The next batch; where it does not come, each of its messages is read from its object.
    async fn take_batch(&mut self) {
        self.sealed.clear();
        let Some(batch) = self.started.pop_front() else {
            return;
        };
        self.left = batch.count;
        let mut answer = self.items(batch.request).await;
        self.start_batches();
        if let Err(StorageError::Unavailable(_)) = &answer
            && let Some(rest) = self.retries.next()
        {
            // Two requests for each message would be far more than one for all of them.
            self.io.rest(rest).await;
            let request = self.io.start(StorageRequest::ReadItems(batch.keys));
            answer = self.items(request).await;
        }
        match answer {
            Ok(items) => {
                self.retries.succeeded();
                for item in items {
                    if let Some(content) = self.context.places.summary_content(&item.key.sort) {
                        self.sealed.insert(content, item);
                    }
                }
            }
            Err(error) if self.retries.tells() => {
                self.io.event(Event::StorageFailed {
                    step: "read summaries",
                    reason: format!("{error}; they are read from the messages"),
                });
            }
            Err(_) => {}
        }
    }

    async fn items(&self, request: RequestId) -> Result<Vec<Item>, StorageError> {
        let answer = self.io.answer(request).await;
        self.io.close(request);
        match answer? {
            StorageResponse::Items(items) => Ok(items),
            _ => Err(StorageError::Refused(WRONG_ANSWER.to_owned())),
        }
    }

    /// The summary at the end of the object.
    async fn read_from_object(&mut self, message: &Message) -> Result<Summary, ReadError> {
        // Who delivers a message writes how long its summary is.
        if message.summary_len as usize > SUMMARY_BYTES_MAX {
            return Err(ReadError::Damaged(SealError::TooLarge));
        }
        let head = self.range(message, 0, CONTENT_HEAD_BYTES as u32).await?;
        let sealed = self
            .range(message, message.summary_offset, message.summary_len)
            .await?;
        let plain = open_summary(
            &self.context.keys,
            message.kind,
            message.content,
            &head,
            &sealed,
        )
        .map_err(ReadError::Damaged)?;
        let summary = self.decoder.decode(&plain);
        summary.map_err(|_| ReadError::Damaged(SealError::Forged))
    }

    async fn range(&self, message: &Message, start: u64, len: u32) -> Result<Bytes, ReadError> {
        let request = StorageRequest::OpenObject {
            key: self.context.places.content(message.content),
            start,
            end: Some(start.saturating_add(u64::from(len))),
            max: len,
        };
        let id = self.io.start(request);
        let answer = self.io.answer(id).await;
        self.io.abandon(id);
        match answer {
            Ok(StorageResponse::Opened { chunk, .. }) if chunk.len() == len as usize => Ok(chunk),
            Ok(StorageResponse::Opened { .. }) => Err(ReadError::Damaged(SealError::Truncated)),
            Ok(_) => Err(ReadError::Storage(StorageError::Refused(
                WRONG_ANSWER.to_owned(),
            ))),
            Err(error) => Err(ReadError::Storage(error)),
        }
    }
}

/// Whether the summary is kept as an item.
fn is_item(context: &Context, message: &Message) -> bool {
    message.summary_len as usize <= context.config.summary_item_bytes_max
}

const WRONG_ANSWER: &str = "an answer to another question";

impl Drop for Summaries<'_> {
    fn drop(&mut self) {
        for batch in self.started.drain(..) {
            self.io.abandon(batch.request);
        }
    }
}
