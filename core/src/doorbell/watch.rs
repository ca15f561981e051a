//! Watching one shard: a long poll is always open, and when it ends, or fails, the shard
//! is read and compared with what was there before.
//!
//! Garage may store an item while a poll is being armed and never report it. So the shard
//! is read once more a little after each arming.

use super::DoorbellOutput;
use super::announcement::Announcement;
use super::backoff::Backoff;
use super::machine::Outlet;
use super::pace::Pace;
use crate::config::Config;
use crate::storage::{
    CausalityToken, Item, ItemKey, ItemRange, PartitionKey, RequestId, SortKey, StorageRequest,
    StorageResponse,
};
use crate::time::{Instant, Now};
use core::time::Duration;
use std::collections::BTreeMap;

/// Pages of one look at a shard.
const PAGES_MAX: u32 = 16;
/// Items of processes that are no more which are deleted after one look.
const DELETED_MAX: usize = 64;
/// How long this process must itself have seen an item unchanged before it deletes it:
/// its clock may be days ahead, and others must have had the time to read the item.
const UNCHANGED_MIN: Duration = Duration::from_secs(3_600);

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    shard: u32,
    partition: PartitionKey,
    poll: Option<RequestId>,
    /// What the next poll is given.
    marker: Option<String>,
    /// When the next poll may begin.
    poll_pace: Pace,
    poll_backoff: Backoff,
    read: Option<Reading>,
    read_wanted: bool,
    read_pace: Pace,
    read_backoff: Backoff,
    look_again: Option<Instant>,
    /// Announcements may have been missed.
    missed: bool,
    /// When the last look began that came to its end.
    looked: Option<Now>,
    seen: BTreeMap<SortKey, Seen>,
}

/// A look at the shard.
#[derive(Debug)]
struct Reading {
    request: RequestId,
    began: Now,
    pages: u32,
    seen: BTreeMap<SortKey, Seen>,
    silent: Vec<(ItemKey, CausalityToken)>,
}

/// An item that was seen.
#[derive(Clone, Debug)]
struct Seen {
    token: CausalityToken,
    /// Since when it is as it is.
    since: Instant,
    /// The last change that it announces; `None` if it says what we do not understand.
    last: Option<u64>,
    /// Milliseconds since 1970 from which on it may be deleted, as that of a process that is no more.
    silent_from: Option<u64>,
}

/// What came of an answer.
pub(super) enum Answered {
    Taken,
    /// The shard was read to its end; with the token of our own item, if it is there.
    Read(Option<CausalityToken>),
}

impl Watch {
    pub(super) fn new(shard: u32, partition: PartitionKey) -> Self {
        Self {
            shard,
            partition,
            poll: None,
            marker: None,
            poll_pace: Pace::default(),
            poll_backoff: Backoff::default(),
            read: None,
            read_wanted: false,
            read_pace: Pace::default(),
            read_backoff: Backoff::default(),
            look_again: None,
            // What was announced before the first look may concern an open account.
            missed: true,
            looked: None,
            seen: BTreeMap::new(),
        }
    }

    /// The shard is to be read.
    pub(super) fn want_read(&mut self) {
        self.read_wanted = true;
    }

    /// When to be woken.
    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        let arm = self.poll.is_none().then(|| self.arm_at(config));
        let reads = self.read_wanted && self.read.is_none();
        let read = reads.then(|| self.read_at(config));
        [arm, read, self.look_again].into_iter().flatten().min()
    }

    fn arm_at(&self, config: &Config) -> Instant {
        self.poll_pace.next(config).max(self.poll_backoff.until())
    }

    fn read_at(&self, config: &Config) -> Instant {
        self.read_pace.next(config).max(self.read_backoff.until())
    }

    /// Does what can be done now.
    pub(super) fn run(&mut self, now: Now, config: &Config, outlet: &mut Outlet) {
        let began = now;
        let now = now.instant;
        if self.poll.is_none() && self.arm_at(config) <= now {
            let timeout = config.doorbell_poll_timeout.as_millis();
            self.poll = Some(outlet.request(StorageRequest::PollRange {
                partition: self.partition.clone(),
                seen: self.marker.clone(),
                timeout_ms: u32::try_from(timeout).unwrap_or(u32::MAX),
            }));
            self.poll_pace.done(now, config);
            self.look_again = Some(now.after(config.doorbell_look_again));
        }
        if self.look_again.is_some_and(|at| at <= now) {
            self.look_again = None;
            self.read_wanted = true;
        }
        if self.read_wanted && self.read.is_none() && self.read_at(config) <= now {
            self.read_wanted = false;
            self.read_pace.done(now, config);
            let start = SortKey(String::new());
            self.read = Some(Reading {
                request: outlet.request(self.range(start, config)),
                began,
                pages: 1,
                seen: BTreeMap::new(),
                silent: Vec::new(),
            });
        }
    }

    /// Ends all requests.
    pub(super) fn end(&mut self, outlet: &mut Outlet) {
        let read = self.read.take().map(|reading| reading.request);
        for id in [self.poll.take(), read].into_iter().flatten() {
            outlet.abandon(id);
        }
    }

    /// Whether it waits for the answer to this request.
    pub(super) fn asked(&self, id: RequestId) -> bool {
        self.poll == Some(id) || self.read.as_ref().is_some_and(|it| it.request == id)
    }

    /// Takes an answer that it [waits for](Self::asked).
    pub(super) fn answer(
        &mut self,
        now: Now,
        id: RequestId,
        response: StorageResponse,
        own: &SortKey,
        config: &Config,
        outlet: &mut Outlet,
    ) -> Answered {
        if self.poll == Some(id) {
            self.poll = None;
            self.polled(now, &response, config, outlet);
            return Answered::Taken;
        }
        let Some(reading) = self.read.take() else {
            return Answered::Taken;
        };
        match response {
            StorageResponse::Range { items, next } => {
                self.page(now, reading, items, next, own, config, outlet)
            }
            other => {
                if self
                    .read_backoff
                    .failed(now.instant, config.doorbell_pause_max)
                {
                    outlet.failed("read what other servers announce", &other);
                }
                self.missed = true;
                self.read_wanted = true;
                Answered::Taken
            }
        }
    }

    /// A poll ended: something changed, or time was over, or it failed. In any case only
    /// reading says what there is, and whether something was missed: a proxy may end every poll.
    fn polled(
        &mut self,
        now: Now,
        response: &StorageResponse,
        config: &Config,
        outlet: &mut Outlet,
    ) {
        self.read_wanted = true;
        match response {
            StorageResponse::Polled { seen } => {
                self.poll_backoff.worked();
                if seen.is_some() {
                    self.marker.clone_from(seen);
                }
            }
            other => {
                // The marker may be what storage does not like.
                self.marker = None;
                if self
                    .poll_backoff
                    .failed(now.instant, config.doorbell_pause_max)
                {
                    outlet.failed("watch for changes of other servers", other);
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one answer")]
    fn page(
        &mut self,
        now: Now,
        mut reading: Reading,
        items: Vec<Item>,
        next: Option<SortKey>,
        own: &SortKey,
        config: &Config,
        outlet: &mut Outlet,
    ) -> Answered {
        if self
            .looked
            .is_some_and(|at| apart(at, now) >= UNCHANGED_MIN)
        {
            // What was announced since may be deleted by now.
            self.missed = true;
        }
        for item in items.into_iter().filter(|item| !item.values.is_empty()) {
            self.look(now, &mut reading, item, own, config, outlet);
        }
        if let Some(next) = next
            && reading.pages < PAGES_MAX
        {
            reading.request = outlet.request(self.range(next, config));
            reading.pages += 1;
            self.read = Some(reading);
            return Answered::Taken;
        }
        self.read_backoff.worked();
        if self.missed || self.is_less_than_before(now, &reading) {
            self.missed = false;
            outlet.push(DoorbellOutput::RungAll(self.shard));
        }
        if !reading.silent.is_empty() {
            outlet.forget(StorageRequest::DeleteItems(reading.silent));
        }
        let token = reading.seen.get(own).map(|seen| seen.token.clone());
        self.looked = Some(reading.began);
        self.seen = reading.seen;
        Answered::Read(token)
    }

    /// Whether an item is gone that nobody may have deleted: Garage has lost it, and perhaps what
    /// it announced last.
    fn is_less_than_before(&self, now: Now, reading: &Reading) -> bool {
        self.seen.iter().any(|(key, seen)| {
            let silent = seen.silent_from.is_some_and(|from| from < now.unix_ms);
            !silent && !reading.seen.contains_key(key)
        })
    }

    /// Looks at one item of the shard.
    fn look(
        &self,
        now: Now,
        reading: &mut Reading,
        item: Item,
        own: &SortKey,
        config: &Config,
        outlet: &mut Outlet,
    ) {
        let Item { key, token, values } = item;
        let before = self.seen.get(&key.sort);
        let same = before.filter(|before| before.token == token);
        let since = same.map_or(now.instant, |before| before.since);
        let said: Option<Vec<_>> = values
            .iter()
            .map(|value| Announcement::decode(value).ok())
            .collect();
        // Siblings are what the same process said one after the other.
        let said = said.and_then(|said| said.into_iter().max_by_key(|it| it.last));
        let last = said.as_ref().map(|said| said.last);
        if same.is_none() && !self.missed && key.sort != *own {
            let from = before.map_or(Some(0), |before| before.last);
            match said.as_ref().and_then(|said| said.since(from?)) {
                Some(changes) => changes.for_each(|it| outlet.push(DoorbellOutput::Rung(it))),
                None => outlet.push(DoorbellOutput::RungAll(self.shard)),
            }
        }
        let silence_max = u64::try_from(config.doorbell_silence_max.as_millis());
        let silence_max = silence_max.unwrap_or(u64::MAX);
        let silent_from = said.map(|said| said.unix_ms.saturating_add(silence_max));
        let silent = silent_from.is_some_and(|from| from < now.unix_ms)
            && now.instant.since(since) >= UNCHANGED_MIN;
        if silent && key.sort != *own && reading.silent.len() < DELETED_MAX {
            reading.silent.push((key.clone(), token.clone()));
        }
        let seen = Seen {
            token,
            since,
            last,
            silent_from,
        };
        reading.seen.insert(key.sort, seen);
    }

    fn range(&self, start: SortKey, config: &Config) -> StorageRequest {
        let (partition, limit) = (self.partition.clone(), config.log_page_items);
        StorageRequest::ReadRange(ItemRange::page(partition, start, limit))
    }
}

/// The time from one moment to another, by the clock that saw more of it: the monotonic one
/// stands still while a machine sleeps.
fn apart(one: Now, other: Now) -> Duration {
    let wall = other.unix_ms.saturating_sub(one.unix_ms);
    other
        .instant
        .since(one.instant)
        .max(Duration::from_millis(wall))
}
