//! Reading a log: all of it with its newest checkpoint, or what is new since it was read.
//!
//! A checkpoint that cannot be opened is told to the log of events and the one before it
//! is used: the items that it does not contain are still there. An item that cannot be
//! opened is passed over. Neither keeps the rest of the mailbox from working. A batch of
//! several items is taken in when the last of them is there.
//!
//! What the account's own servers wrote in a version that is not known here is not damaged. A
//! log is not read without it: clients would be told that messages are gone which they would
//! have to download again once this server is as new as the other one.

mod damage;
mod progress;
mod start;
mod value;

pub(super) use damage::Damaged;
pub(super) use start::{is_pointer, pointer_key, pointer_stamp};
pub(super) use value::{counting, is_sound, pointer_of};

use super::apart::{Finished, Misplaced};
use super::known::Known;
use crate::config::Config;
use crate::mailbox::{Floor, LogPosition, LogState, Owed, Stamp};
use crate::seal::{AccountKeys, Places, is_arrival};
use crate::storage::{
    Item, ItemKey, ItemRange, PartitionKey, SortKey, StorageError, StorageRequest, StorageResponse,
};
use crate::workflow::Io;
use damage::Obscure;
use progress::Progressing;
use start::Begun;
use std::sync::{Arc, Mutex};
use value::{Opened, open_values};

/// How often a log is begun to be read while others replace its checkpoints.
const LOADS_MAX: usize = 5;

/// So many checkpoints are tried until one is found with which nothing is missing.
const PASSED_OVER_MAX: usize = 16;

/// What a body needs to read a log.
pub(super) struct Reader {
    pub(super) io: Io,
    pub(super) config: Arc<Config>,
    pub(super) keys: Arc<AccountKeys>,
    pub(super) places: Places,
    pub(super) partition: PartitionKey,
    /// Milliseconds since 1970 when the reading began.
    pub(super) unix_ms: u64,
    pub(super) damaged: Mutex<Damaged>,
}

/// So many items that were passed over are looked at.
const GAPS_MAX: usize = 1_000;

/// So often more a log is read when a batch names what was not found. What is not found then
/// either, storage has lost, or has not acknowledged.
const MISSING_READS_MAX: u32 = 2;

/// What came of it.
#[derive(Debug)]
pub(super) struct ReadOutcome<S> {
    pub(super) known: Known<S>,
    /// The latest stamp in what was read.
    pub(super) latest: Stamp,
    pub(super) owed: Owed,
    /// Read from the beginning, not on top of what was known.
    pub(super) whole: bool,
}

impl Reader {
    /// Reads the whole log.
    pub(super) async fn load<S: LogState>(
        &self,
        origin: S::Origin,
    ) -> Result<ReadOutcome<S>, StorageError> {
        for _ in 0..LOADS_MAX {
            let newest = self.load_from(origin, 0).await?;
            if let Some(mut outcome) = self.complete(newest, origin).await? {
                self.knows_all_of(&outcome.known)?;
                outcome.known.stay_above_checkpoints();
                return Ok(outcome);
            }
        }
        Err(replaced())
    }

    /// What was read from the newest checkpoint, or from the newest one with which nothing is missing that
    /// another one has. The maker of one may have read the log before others shortened it, and
    /// have stored it late: what it misses is in one before it. `None`: others have
    /// made another one meanwhile.
    async fn complete<S: LogState>(
        &self,
        newest: ReadOutcome<S>,
        origin: S::Origin,
    ) -> Result<Option<ReadOutcome<S>>, StorageError> {
        let mut passed_over = 0;
        while !newest.known.is_complete()
            && passed_over + 1 < newest.known.checkpoints.len().min(PASSED_OVER_MAX)
        {
            passed_over += 1;
            let other = self.load_from(origin, passed_over).await?;
            let (all, then) = (&newest.known.checkpoints, &other.known.checkpoints);
            if !all.keys().eq(then.keys()) {
                return Ok(None);
            }
            if other.known.is_complete() && !other.known.partial {
                return Ok(Some(other));
            }
        }
        Ok(Some(newest))
    }

    /// The same, as if the newest `passed_over` checkpoints were not there.
    pub(super) async fn load_from<S: LogState>(
        &self,
        origin: S::Origin,
        passed_over: usize,
    ) -> Result<ReadOutcome<S>, StorageError> {
        for _ in 0..LOADS_MAX {
            if let Some(outcome) = self.try_load(origin, passed_over).await? {
                return Ok(outcome);
            }
        }
        Err(replaced())
    }

    /// `None`: others have replaced the checkpoints meanwhile.
    async fn try_load<S: LogState>(
        &self,
        origin: S::Origin,
        passed_over: usize,
    ) -> Result<Option<ReadOutcome<S>>, StorageError> {
        self.io.step("load a log");
        let initial = S::initial(origin, &self.keys);
        let mut work = Progressing {
            known: Known::nothing(initial.clone()),
            state: initial,
            floor: Floor::default(),
            gaps: Vec::new(),
            latest: Stamp::default(),
            batches: Vec::new(),
            applied: None,
            changed: true,
        };
        let mut start = SortKey(String::new());
        let (items, next) = loop {
            let (items, next) = self.page(start, None).await?;
            let log = items.partition_point(|item| is_pointer(&item.key.sort));
            for item in &items[..log] {
                self.note_pointer(&mut work, item);
            }
            work.known.pointers = work.known.pointers.saturating_add(count(log));
            match next {
                Some(next) if log == items.len() => start = next,
                next => break (items, next),
            }
        };
        let made = match self.start_from_checkpoint(&mut work, passed_over).await? {
            Begun::Checkpoint(made) => Some(made),
            Begun::Empty => None,
            Begun::Replaced => return Ok(None),
        };
        if made.is_some() && passed_over == 0 {
            // Whoever made the checkpoint may have shown it: what it does not contain must
            // look new to those who saw it.
            work.floor = work.state.floor();
        }
        for item in items.iter().filter(|item| !is_pointer(&item.key.sort)) {
            self.apply(&mut work, item);
        }
        if let Some(next) = next {
            // What a new checkpoint contains is still there, for those who only know the
            // one before: it is skipped. What an old one contains should be gone: if it
            // is not, nobody else will see that.
            let grace = u64::try_from(self.config.log_grace_unseen.as_millis()).unwrap_or(u64::MAX);
            let is_new = |made: Stamp| made.unix_ms().saturating_add(grace) > self.unix_ms;
            if made.is_some_and(is_new) {
                work.known
                    .present
                    .extend(work.known.covered.next_by_writer());
            }
            let page = self.config.log_page_items;
            self.read_news(&mut work, next, page).await?;
        }
        self.read_missing(&mut work, self.config.log_page_items)
            .await?;
        self.knows_all_items()?;
        Ok(Some(work.finish(true)))
    }

    /// Reads what is new; all of it again where that does not suffice.
    pub(super) async fn refresh<S: LogState>(
        &self,
        known: Known<S>,
        origin: S::Origin,
    ) -> Result<ReadOutcome<S>, StorageError> {
        self.io.step("read what is new in a log");
        let mut work = Progressing {
            state: S::clone(&known.state),
            floor: known.state.floor(),
            gaps: known.covered.gaps(GAPS_MAX),
            known,
            latest: Stamp::default(),
            batches: Vec::new(),
            applied: None,
            changed: false,
        };
        let seen: Vec<SortKey> = work.known.checkpoints.keys().cloned().collect();
        let page = (self.config.log_news_items).saturating_add(work.known.pointers);
        let mut there = (self.read_news(&mut work, SortKey(String::new()), page)).await?;
        if let Some(newer) = self.read_missing(&mut work, page).await? {
            there = newer;
        }
        work.known.pointers = count(there.len());
        // Who slept longer than the log is kept finds a checkpoint that knows more.
        let known = &work.known;
        let unknown = known.checkpoints.iter().any(|(key, pointer)| {
            !seen.contains(key)
                && pointer
                    .as_ref()
                    .is_some_and(|pointer| !known.covered.covers(&pointer.covered))
        });
        if unknown {
            return self.load(origin).await;
        }
        self.knows_all_items()?;
        work.known.checkpoints.retain(|key, _| there.contains(key));
        Ok(work.finish(false))
    }

    /// Reads what may be new from `start` on, in pages of which the first asks for so many
    /// items. The pointers that were among the items.
    ///
    /// Garage looks at as many items as a page may have, also behind the end of the range:
    /// so the first page is as long as what is expected, and each after it twice as long.
    async fn read_news<S: LogState>(
        &self,
        work: &mut Progressing<S>,
        mut start: SortKey,
        first_page_items: u32,
    ) -> Result<Vec<SortKey>, StorageError> {
        let key = |writer, seq| self.places.operation(writer, seq);
        let stretches = work.known.stretches().into_iter();
        let without: Vec<_> = stretches
            .map(|(writer, from, end)| (key(writer, from), key(writer, end)))
            .collect();
        let mut limit = first_page_items;
        let mut pointers = Vec::new();
        loop {
            limit = limit.min(self.config.log_page_items);
            let partition = self.partition.clone();
            let range = ItemRange {
                without: without.clone(),
                ..ItemRange::page(partition, start.clone(), limit)
            };
            let (items, next) = self.read(range).await?;
            for item in &items {
                if is_pointer(&item.key.sort) {
                    self.note_pointer(work, item);
                    pointers.push(item.key.sort.clone());
                } else {
                    self.apply(work, item);
                }
            }
            match next {
                Some(next) => start = next,
                None => return Ok(pointers),
            }
            limit = limit.saturating_mul(2);
        }
    }

    /// Reads once more, and once more again, while something is known to be missing. The pointers
    /// of the last time, if it did.
    async fn read_missing<S: LogState>(
        &self,
        work: &mut Progressing<S>,
        first_page_items: u32,
    ) -> Result<Option<Vec<SortKey>>, StorageError> {
        let mut pointers = None;
        for _ in 0..MISSING_READS_MAX {
            if !work.misses_some() {
                break;
            }
            let start = SortKey(String::new());
            pointers = Some(self.read_news(work, start, first_page_items).await?);
        }
        Ok(pointers)
    }

    /// Takes one item of the log in.
    fn apply<S: LogState>(&self, work: &mut Progressing<S>, item: &Item) {
        let Some((writer, seq)) = self.places.parse_operation(&item.key.sort) else {
            return;
        };
        if item.values.is_empty() {
            return;
        }
        let next = work.known.present.entry(writer).or_default();
        *next = (*next).max(seq.saturating_add(1));
        let position = LogPosition { writer, seq };
        if work.known.covered.contains(position) {
            work.known.superfluous += 1;
            return;
        }
        let mut values = open_values::<S>(&self.keys, item);
        let mut opened = values.counts.map(|(_, opened)| opened);
        match &opened {
            Some(Opened::Part(_)) => work.known.apart().note_own(writer),
            Some(Opened::Arrival(_)) if work.known.apart.is_own(writer) => {
                // It is where an item of the account's own is or will be, and would hide it.
                let why = "a delivery in the place of the account's own".to_owned();
                values.obscure.push(Obscure::Damaged(why));
                opened = None;
            }
            _ => {}
        }
        let told = match opened.is_some() {
            true => work.known.apart.is_unreadable(position),
            false => !work.known.apart().note_unreadable(position),
        };
        if !told {
            self.obscure_values(&item.key, values.obscure, opened.is_some());
            if opened.is_none() {
                note_given(work, item);
            }
        }
        match opened {
            Some(Opened::Arrival(batch)) => {
                work.known.apart().note_readable(position);
                work.known.covered.insert(position);
                work.take_in(writer, batch);
            }
            Some(Opened::Part(part)) => match work.known.apart().take(position, part) {
                Ok(Some(finished)) => self.take_in(work, (&item.key, position), finished),
                Ok(None) => work.known.apart().note_readable(position),
                Err(Misplaced) => {
                    if work.known.apart().note_unreadable(position) && !told {
                        self.damaged(&item.key, "it contradicts other items".to_owned());
                        note_given(work, item);
                    }
                }
            },
            // It is in no state and no checkpoint: whoever reads the log finds it again, and if
            // the right value comes beside it, that counts.
            None => {}
        }
    }

    /// Takes in a batch whose items are all there, at the last of them that was read.
    fn take_in<S: LogState>(
        &self,
        work: &mut Progressing<S>,
        (key, last): (&ItemKey, LogPosition),
        finished: Finished,
    ) {
        match S::decode_batch(&finished.batch) {
            Ok(batch) => {
                for position in finished.positions() {
                    work.known.apart().note_readable(position);
                    work.known.covered.insert(position);
                }
                work.take_in(finished.first.writer, batch);
            }
            Err(why) => {
                // With each reading it is put together again: that was told if its last item is known to be
                // of no use. A batch that only a newer server understands is refused each time.
                let is_new = work.known.apart().note_unreadable(last);
                for position in finished.positions() {
                    work.known.apart().note_unreadable(position);
                }
                match Obscure::from(why) {
                    Obscure::Damaged(reason) if is_new => {
                        work.known.apart().note_given(finished.batch.len());
                        self.damaged(key, reason);
                    }
                    Obscure::Damaged(_) => {}
                    newer => self.obscure(key, newer),
                }
            }
        }
    }

    /// One page of the partition, as long as pages may be.
    pub(super) async fn page(
        &self,
        start: SortKey,
        end: Option<SortKey>,
    ) -> Result<(Vec<Item>, Option<SortKey>), StorageError> {
        let (partition, limit) = (self.partition.clone(), self.config.log_page_items);
        let page = ItemRange::page(partition, start, limit);
        self.read(ItemRange { end, ..page }).await
    }

    async fn read(&self, range: ItemRange) -> Result<(Vec<Item>, Option<SortKey>), StorageError> {
        let start = range.start.clone();
        let answer = self.io.request(StorageRequest::ReadRange(range)).await;
        match answer? {
            StorageResponse::Range {
                next: Some(next), ..
            } if next <= start => Err(StorageError::Refused(
                "a range that does not go on".to_owned(),
            )),
            StorageResponse::Range { items, next } => Ok((items, next)),
            other => Err(StorageError::Refused(format!("not a range: {other:?}"))),
        }
    }
}

/// Notes that an item that cannot be understood may have given UIDs. What comes without the account's keys
/// gives none.
fn note_given<S: LogState>(work: &mut Progressing<S>, item: &Item) {
    let own = item.values.iter().filter(|value| !is_arrival(value));
    if let Some(octets) = own.map(|value| value.len()).max() {
        work.known.apart().note_given(octets);
    }
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

fn replaced() -> StorageError {
    let why = "checkpoints are replaced faster than they can be read";
    StorageError::Unavailable(why.to_owned())
}
