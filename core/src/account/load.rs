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

use super::known::Known;
use super::parts::Finished;
use crate::boundary::Event;
use crate::config::Config;
use crate::mailbox::{
    CheckpointPointer, ContentId, DecodeError, LogPosition, LogState, Owed, Part, Stamp,
    VersionVector, WriterId,
};
use crate::seal::{
    AccountKeys, ContentKind, ContentReader, ItemKind, Places, Progress, is_arrival,
};
use crate::storage::{
    Item, ItemKey, ItemRange, PartitionKey, SortKey, StorageError, StorageRequest, StorageResponse,
};
use crate::workflow::Io;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// What a reader could not open.
#[derive(Debug, Default)]
pub(super) struct Damaged {
    /// How many things, but for what is beside what can be opened.
    pub(super) count: usize,
    /// Those of them that are items, [`DAMAGED_ITEMS_MAX`] at most.
    pub(super) items: BTreeSet<ItemKey>,
    /// Items with one value that can be opened, and others that cannot; as many at most. Whoever may
    /// write to the storage can put something there.
    pub(super) beside: BTreeSet<ItemKey>,
    /// Those of them that are checkpoints.
    pub(super) checkpoints: Vec<ContentId>,
    /// An item that is of a version that this server does not know.
    newer: Option<String>,
    /// The same of a checkpoint.
    newer_checkpoint: Option<String>,
}

/// Why a value of a log cannot be understood.
enum Obscure {
    Damaged(String),
    /// The account's own servers wrote it, in a version that is not known here.
    Newer(u8),
}

impl From<DecodeError> for Obscure {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Version(version) => Self::Newer(version),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Damaged items that a reader can name.
const DAMAGED_ITEMS_MAX: usize = 10_000;

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

/// From where a log is read.
enum Begun {
    /// A checkpoint that was made then.
    Checkpoint(Stamp),
    /// Its beginning.
    Empty,
    /// What was to be read is no more: others have made newer checkpoints.
    Replaced,
}

/// The work on the way.
struct Progressing<S: LogState> {
    state: S,
    known: Known<S>,
    floor: crate::mailbox::Floor,
    /// Items that were passed over before this reading, ascending; [`GAPS_MAX`] at most.
    gaps: Vec<LogPosition>,
    latest: Stamp,
    /// Batches that were read and are to be applied to the state.
    batches: Vec<(WriterId, S::Batch)>,
    /// The state with all of them, and what they left to be written, once they were applied.
    applied: Option<(S, Owed)>,
    /// Whether the state is another one now.
    changed: bool,
}

impl Reader {
    /// Reads the whole log.
    pub(super) async fn load<S: LogState>(
        &self,
        origin: S::Origin,
    ) -> Result<ReadOutcome<S>, StorageError> {
        for _ in 0..LOADS_MAX {
            let newest = self.load_from(origin, 0).await?;
            if let Some(outcome) = self.complete(newest, origin).await? {
                self.knows_all_of(&outcome.known)?;
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
            floor: crate::mailbox::Floor::default(),
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

    /// Takes note of a checkpoint. One that cannot be read is known as such.
    fn note_pointer<S: LogState>(&self, work: &mut Progressing<S>, item: &Item) {
        let key = &item.key.sort;
        if let Some(stamp) = pointer_stamp(key) {
            work.latest = work.latest.max(stamp);
        }
        if item.values.is_empty() || work.known.checkpoints.contains_key(key) {
            return;
        }
        let (mut pointer, mut obscure) = (None, Vec::new());
        for value in &item.values {
            match open_pointer::<S>(&self.keys, &item.key, value) {
                Ok(opened) => pointer = Some(opened),
                Err(why) => obscure.push(why),
            }
        }
        self.obscure_values(&item.key, obscure, pointer.is_some());
        work.known.checkpoints.insert(key.clone(), pointer);
    }

    /// Begins with the newest checkpoint that can be read; when it was made.
    async fn start_from_checkpoint<S: LogState>(
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
        let opened = self.open_part::<S>(item);
        if let Some(Opened::Arrival(batch)) = opened {
            work.known.covered.insert(position);
            return work.take_in(writer, batch);
        }
        let part = opened.and_then(Opened::part);
        let known = &mut work.known;
        let finished = match part.map(|part| known.parts.take(position, part, &known.covered)) {
            Some(Ok(finished)) => finished,
            unreadable => {
                if unreadable.is_some() {
                    self.damaged(&item.key, "it contradicts other items".to_owned());
                }
                known.covered.insert(position);
                known.parts.damaged(position, &known.covered)
            }
        };
        if let Some(finished) = finished {
            self.take_in(work, &item.key, finished);
        }
    }

    /// What an item holds; `None`, and told, if it is damaged. Beside what the account
    /// wrote itself, what anybody may have put there does not count.
    fn open_part<S: LogState>(&self, item: &Item) -> Option<Opened<S>> {
        let (mut best, mut obscure) = (None, Vec::new());
        for value in &item.values {
            match open_value::<S>(&self.keys, &item.key, value) {
                Ok(arrival @ Opened::Arrival(_)) => best = best.or(Some(arrival)),
                Ok(part) => best = Some(part),
                Err(why) => obscure.push(why),
            }
        }
        self.obscure_values(&item.key, obscure, best.is_some());
        best
    }

    /// Takes in a batch whose items are all there, at the last of them.
    fn take_in<S: LogState>(&self, work: &mut Progressing<S>, key: &ItemKey, finished: Finished) {
        for position in finished.positions() {
            work.known.covered.insert(position);
        }
        let damaged = || Obscure::Damaged("a part of its batch is damaged".to_owned());
        let batch = finished.batch.ok_or_else(damaged);
        match batch.and_then(|bytes| Ok(S::decode_batch(&bytes)?)) {
            Ok(batch) => work.take_in(finished.first.writer, batch),
            Err(why) => self.obscure(key, why),
        }
    }

    fn note_damage(&self, note: impl FnOnce(&mut Damaged)) {
        let mut damaged = self.lock();
        damaged.count += 1;
        note(&mut damaged);
    }

    fn obscure(&self, key: &ItemKey, why: Obscure) {
        match why {
            Obscure::Damaged(reason) => self.damaged(key, reason),
            Obscure::Newer(version) => {
                let place = format!("{}/{}", key.partition, key.sort);
                self.lock().newer = Some(too_old(&place, version));
            }
        }
    }

    /// Some values of an item cannot be opened, beside one that can or not.
    fn obscure_values(&self, key: &ItemKey, values: Vec<Obscure>, beside: bool) {
        for why in values {
            match why {
                Obscure::Damaged(reason) if beside => {
                    let mut damaged = self.lock();
                    if damaged.beside.len() < DAMAGED_ITEMS_MAX {
                        damaged.beside.insert(key.clone());
                    }
                    let place = format!("{}/{}", key.partition, key.sort);
                    self.io.event(Event::Damaged { place, reason });
                }
                why => self.obscure(key, why),
            }
        }
    }

    /// Refuses a log with an item that only a newer server understands.
    fn knows_all_items(&self) -> Result<(), StorageError> {
        match self.lock().newer.take() {
            None => Ok(()),
            Some(newer) => Err(StorageError::Refused(newer)),
        }
    }

    /// Refuses a log of which a part is only in a checkpoint that a newer server understands.
    fn knows_all_of<S>(&self, known: &Known<S>) -> Result<(), StorageError> {
        match self.lock().newer_checkpoint.take() {
            Some(newer) if known.partial || !known.is_complete() => {
                Err(StorageError::Refused(newer))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Damaged> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn damaged(&self, key: &ItemKey, reason: String) {
        self.note_damage(|damaged| {
            if damaged.items.len() < DAMAGED_ITEMS_MAX {
                damaged.items.insert(key.clone());
            }
        });
        let place = format!("{}/{}", key.partition, key.sort);
        self.io.event(Event::Damaged { place, reason });
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

/// What one value of the log holds.
enum Opened<S: LogState> {
    /// A part of a batch of the account's own.
    Part(Part),
    /// What was left by somebody without the account's keys.
    Arrival(S::Batch),
}

impl<S: LogState> Opened<S> {
    fn part(self) -> Option<Part> {
        match self {
            Self::Part(part) => Some(part),
            Self::Arrival(_) => None,
        }
    }
}

/// Opens one value of a log.
fn open_value<S: LogState>(
    keys: &AccountKeys,
    key: &ItemKey,
    value: &[u8],
) -> Result<Opened<S>, Obscure> {
    let damaged = |reason: String| Obscure::Damaged(reason);
    let arrival = is_arrival(value);
    let kind = if arrival {
        ItemKind::Arrival
    } else {
        S::OPERATION
    };
    let bytes = keys.open_item(key, kind, value);
    let bytes = bytes.map_err(|error| damaged(error.to_string()))?;
    if !arrival {
        return Ok(Opened::Part(Part::decode(&bytes)?));
    }
    // Anybody may have left it: what it says of its version proves nothing.
    let read = || {
        let part = Part::decode(&bytes).map_err(|error| error.to_string())?;
        match part.count {
            1 => S::decode_arrival(&part.piece).map_err(|error| error.to_string()),
            _ => Err("an arrival in several parts".to_owned()),
        }
    };
    Ok(Opened::Arrival(read().map_err(damaged)?))
}

/// Opens one value of the pointer to a checkpoint.
fn open_pointer<S: LogState>(
    keys: &AccountKeys,
    key: &ItemKey,
    value: &[u8],
) -> Result<CheckpointPointer, Obscure> {
    let opened = keys.open_item(key, S::POINTER, value);
    let opened = opened.map_err(|error| Obscure::Damaged(error.to_string()))?;
    Ok(CheckpointPointer::decode(&opened)?)
}

/// Which value of an item of a log counts, whatever somebody has put beside it.
pub(super) fn counting<S: LogState>(keys: &AccountKeys, item: &Item) -> Option<usize> {
    let mut counting = None;
    for (number, value) in item.values.iter().enumerate() {
        if is_pointer(&item.key.sort) {
            let opened = open_pointer::<S>(keys, &item.key, value).is_ok();
            counting = opened.then_some(number).or(counting);
            continue;
        }
        match open_value::<S>(keys, &item.key, value) {
            Ok(Opened::Arrival(_)) => counting = counting.or(Some(number)),
            Ok(Opened::Part(_)) => counting = Some(number),
            Err(_) => {}
        }
    }
    counting
}

/// Whether an item of a log can be understood on its own. What somebody has put beside it does not
/// count.
pub(super) fn is_sound<S: LogState>(keys: &AccountKeys, item: &Item) -> bool {
    let mut sound = false;
    for value in &item.values {
        sound |= match open_value::<S>(keys, &item.key, value) {
            // What is cut can only be judged as a whole.
            Ok(Opened::Part(part)) if part.count > 1 => true,
            Ok(Opened::Part(part)) if S::decode_batch(&part.piece).is_ok() => true,
            Ok(Opened::Arrival(_)) => true,
            Ok(Opened::Part(_)) | Err(Obscure::Newer(_)) => return false,
            Err(Obscure::Damaged(_)) => false,
        };
    }
    sound
}

impl<S: LogState> Progressing<S> {
    /// Takes in a batch that is whole.
    fn take_in(&mut self, writer: WriterId, batch: S::Batch) {
        self.latest = self.latest.max(S::stamp(&batch));
        self.known.operations += S::weight(&batch);
        self.changed = true;
        self.applied = None;
        self.batches.push((writer, batch));
    }

    /// Applies the batches, unless that was done since the last one came.
    fn apply(&mut self) {
        // Items come writer by writer. They are applied in the order in which they were
        // written, or an expunge that is read before what it expunges would be told
        // under the wrong MODSEQ.
        self.batches.sort_by_key(|(_, batch)| S::stamp(batch));
        self.applied.get_or_insert_with(|| {
            let (mut state, mut owed) = (self.state.clone(), Owed::default());
            for (writer, batch) in &self.batches {
                state.apply_batch(*writer, batch, self.floor, &mut owed);
            }
            (state, owed)
        });
    }

    /// Whether a batch was read that names another one, or a message, which was not, or an item and
    /// not the one before it of the same writer. A log is read in pages, and each of them from
    /// two nodes: of what is written meanwhile, a part may be behind the page that is just
    /// read, and what it builds on before it. To show one without the other would be to show what
    /// no server had, under the HIGHESTMODSEQ that others give to both.
    fn misses_some(&mut self) -> bool {
        if self.batches.is_empty() {
            return false;
        }
        let mut gaps = self.known.covered.gaps(GAPS_MAX).into_iter();
        if gaps.any(|gap| self.gaps.binary_search(&gap).is_err()) {
            return true;
        }
        self.apply();
        let applied = self.applied.as_ref();
        applied.is_some_and(|(state, _)| state.misses_more_than(&self.state))
    }

    fn finish(mut self, whole: bool) -> ReadOutcome<S> {
        if !self.batches.is_empty() {
            self.apply();
        }
        let (mut state, owed) = self.applied.take().unwrap_or((self.state, Owed::default()));
        if self.changed {
            state.finish();
            self.known.state = Arc::new(state);
        }
        ReadOutcome {
            known: self.known,
            latest: self.latest,
            owed,
            whole,
        }
    }
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

fn replaced() -> StorageError {
    let why = "checkpoints are replaced faster than they can be read";
    StorageError::Unavailable(why.to_owned())
}

fn too_old(place: &str, version: u8) -> String {
    format!("{place} has version {version}: this server is too old for it")
}

/// Whether this is a checkpoint's pointer.
pub(super) fn is_pointer(key: &SortKey) -> bool {
    key.0.starts_with('#')
}

/// The sort key of a new pointer. Later ones sort behind earlier ones.
pub(super) fn pointer_key(places: &Places, stamp: Stamp, writer: WriterId) -> SortKey {
    let SortKey(prefix) = places.checkpoint_pointer();
    SortKey(format!("{prefix}/{:016x}/{writer}", stamp.0))
}

/// When a checkpoint was made.
pub(super) fn pointer_stamp(key: &SortKey) -> Option<Stamp> {
    let hex = key.0.split('/').nth(1)?;
    u64::from_str_radix(hex, 16).ok().map(Stamp)
}
