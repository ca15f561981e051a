//! What was in a log and is not any more, though nobody of ours takes anything out of a log
//! that no checkpoint contains.
//!
//! Two things tell. A writer numbers its items without gaps, so who is there with a later one
//! was there with all before. And a batch names the batches that its writer had read: they
//! were there for that one to read. So storage cannot withhold or take back an item without a
//! trace, once another was written after it by who knew of it.
//!
//! What is lost cannot be put right, but it can be told once: a repair notes beside the log,
//! sealed like everything else, what is known to be missing. Until then nothing is collected:
//! who names a message may be what is missing.

use super::check::{Check, Where};
use super::report::Trouble;
use super::survey::{Survey, Whole, out_of_step};
use super::sweep::done;
use crate::mailbox::{BatchId, LogPosition, LogState, MailboxName};
use crate::seal::ItemKind;
use crate::storage::{
    InsertItem, ItemKey, PartitionKey, SortKey, StorageError, StorageRequest, StorageResponse,
};
use std::collections::BTreeSet;

/// The version of the note, and all that it says: its place says what it is about.
const NOTE: &[u8] = &[1];

/// What a log lacks, and nobody has noted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Items whose numbers are left out; ascending, so many at most as there may be findings.
    items: Vec<LogPosition>,
    /// Batches that others name. Some of them may be in those items.
    batches: Vec<BatchId>,
}

impl Missing {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.batches.is_empty()
    }
}

impl Survey {
    /// What a log lacks.
    pub(super) async fn missing<S: LogState>(
        &self,
        whole: &Whole<S>,
        origin: S::Origin,
    ) -> Result<Missing, StorageError> {
        let mut missing = self.not_there(whole);
        if missing.is_empty() {
            return Ok(missing);
        }
        // A log is read in pages while others write to it: what is on an earlier page may have
        // been written after that was read, and before what is on a later one.
        let again: Whole<S> = self.read(whole.partition.clone(), origin).await?;
        let again = self.not_there(&again);
        missing.items.retain(|item| again.items.contains(item));
        missing.batches.retain(|it| again.batches.contains(it));
        self.leave_out_what_is_noted(&whole.partition, &mut missing)
            .await?;
        Ok(missing)
    }

    fn not_there<S: LogState>(&self, whole: &Whole<S>) -> Missing {
        let gaps = whole.covered.gaps(self.config.check_findings_max);
        let gaps = gaps.into_iter().filter(|it| !whole.apart.contains(it));
        Missing {
            items: gaps.collect(),
            batches: whole.state.missing().to_vec(),
        }
    }

    async fn leave_out_what_is_noted(
        &self,
        partition: &PartitionKey,
        missing: &mut Missing,
    ) -> Result<(), StorageError> {
        let item_note = |item| self.places.noted(&self.item_key(partition, item));
        let batch_note = |batch| self.places.noted(&batch_key(partition, batch));
        let items = missing.items.iter().map(|item| item_note(*item));
        let batches = missing.batches.iter().map(|batch| batch_note(*batch));
        let all: Vec<ItemKey> = items.chain(batches).collect();
        let mut noted: BTreeSet<ItemKey> = BTreeSet::new();
        for keys in all.chunks(self.config.sweep_batch_objects.max(1)) {
            let request = StorageRequest::ReadItems(keys.to_vec());
            let StorageResponse::Items(items) = self.io.request(request).await? else {
                return Err(out_of_step());
            };
            // Whoever may write to the storage can put something there, but no note.
            let is_note = |key: &ItemKey, value: &[u8]| {
                let opened = self.keys.open_item(key, ItemKind::Settings, value);
                opened.is_ok_and(|note| *note == *NOTE)
            };
            let items = items.into_iter();
            let items = items.filter(|it| it.values.iter().any(|value| is_note(&it.key, value)));
            noted.extend(items.map(|item| item.key));
        }
        missing.items.retain(|it| !noted.contains(&item_note(*it)));
        missing
            .batches
            .retain(|it| !noted.contains(&batch_note(*it)));
        Ok(())
    }

    fn item_key(&self, partition: &PartitionKey, item: LogPosition) -> ItemKey {
        ItemKey {
            partition: partition.clone(),
            sort: self.places.operation(item.writer, item.seq),
        }
    }
}

impl Check {
    /// Tells what a log lacks; whether it lacks anything.
    pub(super) async fn tell_missing<S: LogState>(
        &mut self,
        name: Option<&MailboxName>,
        whole: &Whole<S>,
        origin: S::Origin,
    ) -> Result<bool, StorageError> {
        let missing = self.survey.missing(whole, origin).await?;
        let partition = &whole.partition;
        let at = || Where {
            mailbox: name,
            uid: None,
        };
        let repaired = self.options.repair;
        for (first, last) in stretches(&missing.items) {
            let [first_key, last_key] =
                [first, last].map(|item| self.survey.item_key(partition, item));
            let mut place = format!("{partition}/{}", first_key.sort);
            if last != first {
                place += &format!(" to {}", last_key.sort);
            }
            self.found_repaired(at(), place, Trouble::ItemMissing, repaired);
        }
        // Which batch was in an item that is missing or damaged is not known, but one was.
        let explained = missing.items.len() + whole.damaged.count;
        for batch in missing.batches.iter().skip(explained) {
            let place = format!("{partition}, batch {}", batch.to_hex());
            self.found_repaired(at(), place, Trouble::BatchMissing, repaired);
        }
        if repaired {
            let items = missing.items.iter();
            let items = items.map(|item| self.survey.item_key(partition, *item));
            let batches = missing.batches.iter();
            let batches = batches.map(|batch| batch_key(partition, *batch));
            self.note(items.chain(batches).collect()).await?;
        }
        Ok(!missing.items.is_empty() || missing.batches.len() > explained)
    }

    /// Notes that items of a log are known to be missing.
    pub(super) async fn note(&mut self, missing: Vec<ItemKey>) -> Result<(), StorageError> {
        for keys in missing.chunks(self.survey.config.sweep_batch_objects.max(1)) {
            let notes = keys.iter().map(|key| {
                let key = self.survey.places.noted(key);
                let keys = &self.survey.keys;
                let value = keys.seal_item(&key, ItemKind::Settings, NOTE, &mut self.random);
                let token = None;
                InsertItem { key, token, value }
            });
            let insert = StorageRequest::InsertItems(notes.collect());
            done(self.survey.io.request(insert).await?)?;
        }
        Ok(())
    }
}

/// Stands for a batch of which nobody knows in which items it was.
fn batch_key(partition: &PartitionKey, batch: BatchId) -> ItemKey {
    ItemKey {
        partition: partition.clone(),
        sort: SortKey(format!("batch/{}", batch.to_hex())),
    }
}

/// First and last of those that follow each other.
fn stretches(items: &[LogPosition]) -> Vec<(LogPosition, LogPosition)> {
    let mut stretches: Vec<(LogPosition, LogPosition)> = Vec::new();
    for item in items {
        match stretches.last_mut() {
            Some((_, last)) if last.writer == item.writer && last.seq + 1 == item.seq => {
                *last = *item;
            }
            _ => stretches.push((*item, *item)),
        }
    }
    stretches
}
