//! From where a log is read: its newest checkpoint that can be read, which an item points to.

use super::damage::{Obscure, too_old};
use super::progress::Progressing;
use super::value::open_pointers;
use super::{GAPS_MAX, Reader};
use crate::boundary::Event;
use crate::mailbox::{CheckpointPointer, LogState, Stamp, VersionVector, WriterId};
use crate::seal::{ContentKind, ContentReader, Places, Progress};
use crate::storage::{Item, ItemRange, SortKey, StorageError, StorageRequest, StorageResponse};

/// From where a log is read.
pub(super) enum Begun {
    /// A checkpoint that was made then.
    Checkpoint(Stamp),
    /// Its beginning.
    Empty,
    /// What was to be read is no more: others have made newer checkpoints.
    Replaced,
}

impl Reader {
    /// Takes note of a checkpoint. One that cannot be read is known as such.
    pub(super) fn note_pointer<S: LogState>(&self, work: &mut Progressing<S>, item: &Item) {
        let key = &item.key.sort;
        if let Some(stamp) = pointer_stamp(key) {
            work.latest = work.latest.max(stamp);
        }
        if item.values.is_empty() || work.known.checkpoints.contains_key(key) {
            return;
        }
        let values = open_pointers::<S>(&self.keys, item);
        let pointer = values.counts.map(|(_, pointer)| pointer);
        self.obscure_values(&item.key, values.obscure, pointer.is_some());
        work.known.checkpoints.insert(key.clone(), pointer);
    }

    /// Begins with the newest checkpoint that can be read; when it was made.
    pub(super) async fn start_from_checkpoint<S: LogState>(
        &self,
        work: &mut Progressing<S>,
        passed_over: usize,
    ) -> Result<Begun, StorageError> {
        let pointers = work.known.checkpoints.iter().rev().skip(passed_over);
        let pointers: Vec<_> = pointers
            .map(|(key, pointer)| (key.clone(), pointer.clone()))
            .collect();
        work.known.partial = !pointers.is_empty();
        for (key, pointer) in &pointers {
            let Some(pointer) = pointer else { continue };
            match self.read_checkpoint(pointer).await? {
                Ok((state, covered)) => {
                    work.state = state;
                    work.gaps = covered.gaps(GAPS_MAX);
                    work.known.covered = covered;
                    work.known.partial = false;
                    let made = pointer_stamp(key).unwrap_or_default();
                    return Ok(Begun::Checkpoint(made));
                }
                Err(_) if !self.is_named(key).await? => return Ok(Begun::Replaced),
                Err(why) => {
                    let place = self.places.checkpoint(pointer.content).0;
                    match why {
                        Obscure::Newer(version) => {
                            self.lock().newer_checkpoint = Some(too_old(&place, version));
                        }
                        Obscure::Damaged(reason) => {
                            self.note_damage(|it| it.checkpoints.push(pointer.content));
                            self.io.event(Event::Damaged { place, reason });
                        }
                    }
                }
            }
        }
        if work.known.partial {
            // The messages cannot be told any more, but what they were told under is
            // not given to others.
            for (_, pointer) in &pointers {
                if let Some(pointer) = pointer {
                    work.state.stay_above(pointer.floor);
                }
            }
        }
        Ok(Begun::Empty)
    }

    /// The pointers to the log's checkpoints, the oldest first. They are read to the end: deleted ones
    /// are among them, without values, as many as there were checkpoints in a day.
    pub(in crate::account) async fn pointers(&self) -> Result<Vec<Item>, StorageError> {
        let mut pointers = Vec::new();
        let mut start = Some(SortKey("#".to_owned()));
        while let Some(from) = start.take() {
            let (items, next) = self.page(from, Some(SortKey("$".to_owned()))).await?;
            let is_there = |item: &Item| is_pointer(&item.key.sort) && !item.values.is_empty();
            pointers.extend(items.into_iter().filter(is_there));
            start = next;
        }
        Ok(pointers)
    }

    /// Whether a checkpoint is still named by its item.
    async fn is_named(&self, pointer: &SortKey) -> Result<bool, StorageError> {
        let range = ItemRange {
            end: Some(SortKey(format!("{pointer}!"))),
            ..ItemRange::page(self.partition.clone(), pointer.clone(), 1)
        };
        let (items, _) = self.read(range).await?;
        Ok(items.iter().any(|item| !item.values.is_empty()))
    }

    /// Reads one checkpoint. The inner error: it cannot be understood.
    async fn read_checkpoint<S: LogState>(
        &self,
        pointer: &CheckpointPointer,
    ) -> Result<Result<(S, VersionVector), Obscure>, StorageError> {
        let content = pointer.content;
        let max = u32::try_from(self.config.chunk_bytes).unwrap_or(u32::MAX);
        let id = self.io.start(StorageRequest::OpenObject {
            key: self.places.checkpoint(content),
            start: 0,
            end: None,
            max,
        });
        let mut reader = ContentReader::from_start(
            &self.keys,
            ContentKind::Checkpoint,
            content,
            Some(pointer.bytes),
        );
        // The length is what storage says, and storage may say anything.
        let (mut read, mut len) = (0_u64, None);
        let mut plaintext = Vec::new();
        let outcome = loop {
            match reader.next(&mut plaintext) {
                Ok(Progress::Chunk(_)) => continue,
                Ok(Progress::End) => break Ok(()),
                Ok(Progress::NeedMore(_)) if len.is_some_and(|len| read >= len) => {
                    break Err("it ends too early".to_owned());
                }
                Ok(Progress::NeedMore(_)) if len.is_some() => {
                    self.io.send(id, StorageRequest::ReadChunk { max });
                }
                Ok(Progress::NeedMore(_)) => {}
                Err(error) => break Err(error.to_string()),
            }
            let chunk = match self.io.answer(id).await {
                Ok(StorageResponse::Opened { len: all, chunk }) if len.is_none() => {
                    len = Some(all);
                    chunk
                }
                Ok(StorageResponse::Chunk(chunk)) if len.is_some() && !chunk.is_empty() => chunk,
                Ok(_) => break Err("it ends too early".to_owned()),
                Err(StorageError::NotFound) => break Err("it is not there".to_owned()),
                Err(error) => return Err(error),
            };
            read += chunk.len() as u64;
            reader.feed(&chunk);
        };
        if len.is_none_or(|len| read < len) {
            self.io.abandon(id);
        } else {
            self.io.close(id);
        }
        let outcome = outcome.map_err(Obscure::Damaged);
        Ok(outcome.and_then(|()| Ok(S::decode_checkpoint(&plaintext)?)))
    }
}

/// Whether this is a checkpoint's pointer.
pub(in crate::account) fn is_pointer(key: &SortKey) -> bool {
    key.0.starts_with('#')
}

/// The sort key of a new pointer. Later ones sort behind earlier ones.
pub(in crate::account) fn pointer_key(places: &Places, stamp: Stamp, writer: WriterId) -> SortKey {
    let SortKey(prefix) = places.checkpoint_pointer();
    SortKey(format!("{prefix}/{:016x}/{writer}", stamp.0))
}

/// When a checkpoint was made.
pub(in crate::account) fn pointer_stamp(key: &SortKey) -> Option<Stamp> {
    let hex = key.0.split('/').nth(1)?;
    u64::from_str_radix(hex, 16).ok().map(Stamp)
}
