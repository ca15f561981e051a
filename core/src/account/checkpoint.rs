//! Writing a checkpoint, and forgetting what it makes superfluous.
//!
//! The order keeps every moment readable: the object, then its pointer, and only then
//! older pointers go with their objects, and at last the items of the log that *every*
//! kept checkpoint contains, once the older of the two has been there for the grace
//! period, which this server counts by its own clock. So the checkpoint before the newest always has all the items that it needs.

use super::load::{Reader, is_sound, pointer_key, pointer_of, pointer_stamp};
use crate::mailbox::{
    CheckpointPointer, ContentId, LogPosition, LogState, Stamp, VersionVector, WriterId,
};
use crate::random::Random;
use crate::seal::{ContentKind, ContentWriter};
use crate::storage::{
    InsertItem, Item, ItemKey, SortKey, StorageError, StorageRequest, StorageResponse,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Checkpoints that are kept: the newest, and one should that be damaged.
pub(super) const KEPT: usize = 2;

/// What is to become a checkpoint.
pub(super) struct Checkpointing<S> {
    pub(super) reader: Reader,
    pub(super) state: Arc<S>,
    pub(super) covered: VersionVector,
    /// When: after everything that is covered.
    pub(super) stamp: Stamp,
    pub(super) writer: WriterId,
    pub(super) random: Random,
    /// Operations that no checkpoint before contains.
    pub(super) operations: usize,
    /// Whether a new one is wanted, or only the log is to be shortened.
    pub(super) write: bool,
    /// Checkpoints that this server itself has seen for the grace period.
    pub(super) settled: BTreeSet<SortKey>,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Checkpointed {
    /// The pointer that was written.
    pub(super) written: Option<(SortKey, CheckpointPointer)>,
    /// How many operations it contains that no checkpoint before did.
    pub(super) operations: usize,
    /// All items that can be forgotten are: nothing is left for later.
    pub(super) clean: bool,
}

impl<S: LogState> Checkpointing<S> {
    /// The whole sequence.
    pub(super) async fn run(mut self) -> Result<Checkpointed, StorageError> {
        let written = if self.write {
            let pointer = self.write_object().await?;
            Some(self.write_pointer(pointer).await?)
        } else {
            None
        };
        let clean = self.shorten().await?;
        Ok(Checkpointed {
            written,
            operations: self.operations,
            clean,
        })
    }

    async fn write_object(&mut self) -> Result<CheckpointPointer, StorageError> {
        let (io, config) = (self.reader.io.clone(), Arc::clone(&self.reader.config));
        io.step("write a checkpoint");
        let content = ContentId::at(self.stamp.unix_ms(), &mut self.random);
        let plaintext = self.state.encode_checkpoint(&self.covered);
        let mut writer = ContentWriter::new(
            &self.reader.keys,
            ContentKind::Checkpoint,
            content,
            config.chunk_bytes,
            &mut self.random,
        );
        let id = io.start(StorageRequest::CreateObject {
            key: self.reader.places.checkpoint(content),
        });
        io.answer(id).await?;
        let mut sealed = Vec::new();
        for chunk in plaintext.chunks(config.chunk_bytes) {
            writer.write(chunk, &mut sealed);
            if !sealed.is_empty() {
                io.send(
                    id,
                    StorageRequest::WriteChunk(core::mem::take(&mut sealed).into()),
                );
                io.answer(id).await?;
            }
        }
        writer.end_body(&mut sealed);
        writer.finish(&[], &mut sealed);
        io.send(id, StorageRequest::WriteChunk(sealed.into()));
        io.answer(id).await?;
        io.send(id, StorageRequest::FinishObject);
        io.answer(id).await?;
        io.close(id);
        Ok(CheckpointPointer {
            content,
            bytes: plaintext.len() as u64,
            floor: self.state.floor(),
            covered: self.covered.clone(),
        })
    }

    async fn write_pointer(
        &mut self,
        pointer: CheckpointPointer,
    ) -> Result<(SortKey, CheckpointPointer), StorageError> {
        let sort = pointer_key(&self.reader.places, self.stamp, self.writer);
        let key = ItemKey {
            partition: self.reader.partition.clone(),
            sort: sort.clone(),
        };
        let keys = &self.reader.keys;
        let value = keys.seal_item(&key, S::POINTER, &pointer.encode(), &mut self.random);
        let insert = StorageRequest::InsertItems(vec![InsertItem {
            key,
            token: None,
            value,
        }]);
        self.reader.io.request(insert).await?;
        Ok((sort, pointer))
    }

    /// Forgets what is superfluous; whether nothing is left for later.
    async fn shorten(&mut self) -> Result<bool, StorageError> {
        let io = self.reader.io.clone();
        io.step("forget old checkpoints");
        let pointers = self.reader.pointers().await?.into_iter();
        let pointers: Vec<_> = pointers
            .map(|item| (pointer_of::<S>(&self.reader.keys, &item), item))
            .collect();
        if pointers.iter().any(|(pointer, _)| pointer.is_none()) {
            // What cannot be read may name what cannot be found again: touch nothing.
            return Ok(true);
        }
        let (mut old, mut pointers) = late(pointers);
        let kept = pointers.split_off(pointers.len().saturating_sub(KEPT));
        old.append(&mut pointers);
        let stay = self.remove_checkpoints(old, &kept).await?;
        let (Some((_, oldest)), KEPT) = (kept.first(), kept.len()) else {
            return Ok(true);
        };
        if !self.is_settled(&oldest.key.sort) {
            return Ok(false);
        }
        let kept = kept.into_iter().filter_map(|(pointer, _)| pointer);
        let all: Vec<_> = kept.chain(stay).collect();
        self.remove_items(&all).await?;
        Ok(true)
    }

    /// Whether everybody who reads the log knows this checkpoint by now. The time in its
    /// name is that of another clock, which may be hours away from ours: it only counts
    /// when it is long ago.
    fn is_settled(&self, key: &SortKey) -> bool {
        let grace = self.reader.config.log_grace_unseen.as_millis();
        let grace = u64::try_from(grace).unwrap_or(u64::MAX);
        let made = pointer_stamp(key).unwrap_or_default().unix_ms();
        self.settled.contains(key) || made.saturating_add(grace) <= self.reader.unix_ms
    }

    /// Forgets checkpoints that all those contain which are kept: each of them may be the only one that can be
    /// read. The others stay until the next one, or the one after that, is made.
    async fn remove_checkpoints(
        &self,
        old: Vec<Pointed>,
        kept: &[Pointed],
    ) -> Result<Vec<CheckpointPointer>, StorageError> {
        let kept = || kept.iter().filter_map(|(pointer, _)| pointer.as_ref());
        let (mut items, mut objects, mut stay) = (Vec::new(), Vec::new(), Vec::new());
        for (pointer, item) in old {
            let Some(pointer) = pointer else { continue };
            if kept().all(|it| it.covered.covers(&pointer.covered)) {
                items.push((item.key, item.token));
                objects.push(self.reader.places.checkpoint(pointer.content));
            } else {
                stay.push(pointer);
            }
        }
        if !items.is_empty() {
            self.reader
                .io
                .request(StorageRequest::DeleteItems(items))
                .await?;
            self.reader
                .io
                .request(StorageRequest::DeleteObjects(objects))
                .await?;
        }
        Ok(stay)
    }

    /// Forgets the items of the log that all of these checkpoints contain.
    async fn remove_items(&self, all: &[CheckpointPointer]) -> Result<(), StorageError> {
        let io = &self.reader.io;
        io.step("shorten a log");
        let mut start = Some(self.reader.places.first_operation());
        while let Some(from) = start.take() {
            let (items, next) = self.reader.page(from, None).await?;
            let covered: Vec<_> = items
                .into_iter()
                .filter(|item| !item.values.is_empty())
                .filter(|item| {
                    let position = self.reader.places.parse_operation(&item.key.sort);
                    position.is_some_and(|(writer, seq)| {
                        let position = LogPosition { writer, seq };
                        all.iter().all(|pointer| pointer.covered.contains(position))
                    })
                })
                // What cannot be understood is in no checkpoint: it is kept for a repair.
                .filter(|item| is_sound::<S>(&self.reader.keys, item))
                .map(|item| (item.key, item.token))
                .collect();
            if !covered.is_empty() {
                match io.request(StorageRequest::DeleteItems(covered)).await? {
                    StorageResponse::Done => {}
                    other => return Err(StorageError::Refused(format!("not done: {other:?}"))),
                }
            }
            start = next;
        }
        Ok(())
    }
}

/// The pointer to a checkpoint, if it can be read, and its item.
type Pointed = (Option<CheckpointPointer>, Item);

/// Those that only look newer than another one that contains all that they do and more, since they came
/// late from a server whose clock is ahead; and the others. None of the former may be one of the two that
/// are kept: the other one's items are not in the log any more.
fn late(pointers: Vec<Pointed>) -> (Vec<Pointed>, Vec<Pointed>) {
    let (mut late, mut others): (Vec<Pointed>, Vec<Pointed>) = Default::default();
    for (pointer, item) in pointers {
        let has_more = |(other, _): &Pointed| match (other, &pointer) {
            (Some(other), Some(this)) => {
                other.covered.covers(&this.covered) && !this.covered.covers(&other.covered)
            }
            _ => false,
        };
        let into = match others.iter().any(has_more) {
            true => &mut late,
            false => &mut others,
        };
        into.push((pointer, item));
    }
    (late, others)
}
