//! Doorbells of several processes on one storage in memory.

use super::{Change, Doorbell, DoorbellInput, DoorbellOutput, SHARDS, partition_of, shard_of};
use crate::boundary::Event;
use crate::config::Config;
use crate::mailbox::{AccountId, MailboxId};
use crate::random::Seed;
use crate::storage::{
    CausalityToken, Item, ItemKey, RequestId, StorageError, StorageRequest, StorageResponse,
};
use crate::time::{Instant, Now};
use bytes::Bytes;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Items with their siblings, each with the number of the write that made it.
#[derive(Default)]
struct Store {
    items: BTreeMap<ItemKey, Vec<(u64, Bytes)>>,
    writes: u64,
    /// Polls say nothing of what is written.
    deaf: bool,
    fails: bool,
    /// Only polls fail: something in between has no patience for them.
    polls_fail: bool,
}

struct Process {
    doorbell: Doorbell,
    now: Now,
    open: Vec<(RequestId, StorageRequest)>,
    /// When each open poll began, in writes.
    armed: BTreeMap<RequestId, u64>,
    rung: Vec<Change>,
    rung_all: Vec<u32>,
    events: Vec<Event>,
    deadline: Option<Instant>,
    done: bool,
    reads: usize,
}

fn change(account: u8, mailbox: Option<u8>) -> Change {
    Change {
        account: AccountId([account; 16]),
        log: mailbox.map(|number| MailboxId([number; 16])),
    }
}

fn config() -> Config {
    Config {
        doorbell_changes_max: 4,
        log_page_items: 2,
        ..Config::default()
    }
}

impl Process {
    fn new(seed: u8) -> Self {
        let now = Now {
            instant: Instant(1_000_000),
            unix_ms: 1_800_000_000_000,
        };
        let doorbell = Doorbell::new(Arc::new(config()), Seed::new([seed; 32]), now);
        Self {
            doorbell,
            now,
            open: Vec::new(),
            armed: BTreeMap::new(),
            rung: Vec::new(),
            rung_all: Vec::new(),
            events: Vec::new(),
            deadline: None,
            done: false,
            reads: 0,
        }
    }

    fn input(&mut self, input: DoorbellInput) {
        self.doorbell.handle_input(self.now, input);
    }

    /// Does what the machine says; answers all but polls that have nothing to tell.
    fn go_on(&mut self, store: &mut Store) {
        loop {
            self.drain(store);
            let ready = self.open.iter().position(|(id, request)| match request {
                StorageRequest::PollRange { seen, .. } => {
                    let armed = self.armed.get(id).copied().unwrap_or_default();
                    let fails = store.fails || store.polls_fail;
                    seen.is_none() || fails || (!store.deaf && store.writes > armed)
                }
                _ => true,
            });
            let Some(ready) = ready else { return };
            let (id, request) = self.open.remove(ready);
            let response = store.carry_out(request);
            self.input(DoorbellInput::Storage(id, response));
        }
    }

    fn drain(&mut self, store: &Store) {
        loop {
            match self.doorbell.poll_output() {
                DoorbellOutput::Storage(id, request) => {
                    self.reads += usize::from(matches!(request, StorageRequest::ReadRange(_)));
                    self.armed.insert(id, store.writes);
                    self.open.push((id, request));
                }
                DoorbellOutput::Abandon(id) => self.open.retain(|it| it.0 != id),
                DoorbellOutput::Rung(change) => self.rung.push(change),
                DoorbellOutput::RungAll(shard) => self.rung_all.push(shard),
                DoorbellOutput::Event(event) => self.events.push(event),
                DoorbellOutput::Wait { deadline } => return self.deadline = deadline,
                DoorbellOutput::Done => return self.done = true,
            }
        }
    }

    /// Lets time pass, up to each deadline and then on.
    fn wait(&mut self, store: &mut Store, duration: Duration) {
        let end = self.now.instant.after(duration);
        loop {
            self.go_on(store);
            let next = self.deadline.filter(|at| *at <= end).unwrap_or(end);
            let step = next.max(self.now.instant).since(self.now.instant);
            self.now.instant = self.now.instant.after(step);
            self.now.unix_ms += step.as_millis() as u64;
            if next >= end {
                return;
            }
            self.input(DoorbellInput::Timeout);
        }
    }

    fn settle(&mut self, store: &mut Store) {
        self.wait(store, Duration::from_secs(2));
    }

    fn take(&mut self) -> (Vec<Change>, Vec<u32>) {
        let mut rung = core::mem::take(&mut self.rung);
        rung.sort();
        rung.dedup();
        (rung, core::mem::take(&mut self.rung_all))
    }
}

impl Store {
    fn carry_out(&mut self, request: StorageRequest) -> StorageResponse {
        let is_poll = matches!(request, StorageRequest::PollRange { .. });
        if self.fails || (self.polls_fail && is_poll) {
            return StorageResponse::Failed(StorageError::Unavailable("down".to_owned()));
        }
        match request {
            StorageRequest::PollRange { .. } => StorageResponse::Polled {
                seen: Some(self.writes.to_string()),
            },
            StorageRequest::ReadRange(asked) => {
                let range = self.items.iter();
                let range = range.filter(|(key, _)| {
                    key.partition == asked.partition && asked.contains(&key.sort)
                });
                let limit = asked.limit;
                let mut items: Vec<Item> = range
                    .map(|(key, values)| Item {
                        key: key.clone(),
                        token: CausalityToken(values.last().unwrap().0.to_string()),
                        values: values.iter().map(|it| it.1.clone()).collect(),
                    })
                    .collect();
                let next = items.get(limit as usize).map(|it| it.key.sort.clone());
                items.truncate(limit as usize);
                StorageResponse::Range { items, next }
            }
            StorageRequest::InsertItems(items) => {
                for item in items {
                    self.writes += 1;
                    let values = self.items.entry(item.key).or_default();
                    let seen = item.token.map_or(0, |token| token.0.parse().unwrap());
                    values.retain(|(number, _)| *number > seen);
                    values.push((self.writes, item.value));
                }
                StorageResponse::Done
            }
            StorageRequest::DeleteItems(items) => {
                for (key, token) in items {
                    self.writes += 1;
                    let seen = token.0.parse().unwrap();
                    if self.items[&key].iter().all(|(number, _)| *number <= seen) {
                        self.items.remove(&key);
                    }
                }
                StorageResponse::Done
            }
            other => panic!("{other:?}"),
        }
    }
}

fn pair() -> (Store, Process, Process) {
    let mut store = Store::default();
    let (mut one, mut two) = (Process::new(1), Process::new(2));
    for process in [&mut one, &mut two] {
        process.settle(&mut store);
        process.take();
    }
    (store, one, two)
}

#[test]
fn what_one_process_changes_the_other_is_rung_for() {
    let (mut store, mut one, mut two) = pair();
    let changes = [change(1, None), change(1, Some(1)), change(2, Some(1))];
    for change in changes {
        one.input(DoorbellInput::Changed(change));
    }
    // The first at once, the others together a little later.
    one.wait(&mut store, Duration::from_millis(30));
    two.wait(&mut store, Duration::from_millis(40));
    assert_eq!(two.take(), (changes.to_vec(), vec![]));
    // The same again is news again, and only that.
    one.settle(&mut store);
    one.input(DoorbellInput::Changed(changes[1]));
    one.settle(&mut store);
    two.settle(&mut store);
    assert_eq!(two.take(), (vec![changes[1]], vec![]));
    assert_eq!(one.take(), (vec![], vec![]), "nobody rings himself");
}

#[test]
fn accounts_are_spread_over_shards_that_never_change() {
    let shards: Vec<u32> = (0..8).map(|it| shard_of(AccountId([it; 16]))).collect();
    assert_eq!(shards, [1, 6, 0, 7, 7, 0, 7, 3]);
    assert_eq!(partition_of(3).0, "!bell/3");
    let mut counts = [0; SHARDS as usize];
    for number in 0..8_000_u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        counts[shard_of(AccountId(id)) as usize] += 1;
    }
    assert!(
        counts.iter().all(|it| (800..1_200).contains(it)),
        "{counts:?}"
    );
}

#[test]
fn an_announcement_that_polls_miss_is_found_soon_after_arming() {
    let (mut store, mut one, mut two) = pair();
    // A first one wakes the poll, and a second is stored while it is armed again.
    one.input(DoorbellInput::Changed(change(1, None)));
    one.settle(&mut store);
    two.wait(&mut store, Duration::from_millis(30));
    assert_eq!(two.take(), (vec![change(1, None)], vec![]));
    store.deaf = true;
    one.input(DoorbellInput::Changed(change(1, Some(7))));
    one.go_on(&mut store);
    two.wait(&mut store, config().doorbell_look_again);
    two.wait(&mut store, Duration::from_millis(30));
    assert_eq!(two.take(), (vec![change(1, Some(7))], vec![]));
}

#[test]
fn who_misses_more_than_is_listed_is_rung_for_everything() {
    let (mut store, mut one, mut two) = pair();
    one.input(DoorbellInput::Changed(change(1, None)));
    one.settle(&mut store);
    two.settle(&mut store);
    two.take();
    for mailbox in 0..5 {
        one.input(DoorbellInput::Changed(change(1, Some(mailbox))));
        one.settle(&mut store);
    }
    two.settle(&mut store);
    assert_eq!(two.take(), (vec![], vec![shard_of(AccountId([1; 16]))]));
}

#[test]
fn a_value_that_is_not_understood_rings_everything_once() {
    let (mut store, _, mut two) = pair();
    let key = ItemKey {
        partition: partition_of(3),
        sort: crate::storage::SortKey("from the future".to_owned()),
    };
    for version in [2, 3] {
        store.writes += 1;
        let value = Bytes::from(vec![version, 1, 2, 3]);
        store.items.insert(key.clone(), vec![(store.writes, value)]);
        two.settle(&mut store);
        two.wait(&mut store, Duration::from_secs(300));
        assert_eq!(two.take(), (vec![], vec![3]));
    }
}

#[test]
fn changes_are_collected_while_an_insert_is_under_way() {
    let (mut store, mut one, mut two) = pair();
    one.input(DoorbellInput::Changed(change(1, None)));
    one.drain(&store);
    for mailbox in 0..3 {
        one.input(DoorbellInput::Changed(change(1, Some(mailbox))));
        one.drain(&store);
    }
    let inserts = |it: &Process| {
        let inserts = it.open.iter();
        inserts
            .filter(|it| matches!(it.1, StorageRequest::InsertItems(_)))
            .count()
    };
    assert_eq!(inserts(&one), 1);
    let before = store.writes;
    one.settle(&mut store);
    assert_eq!(store.writes, before + 2);
    two.settle(&mut store);
    assert_eq!(two.take().0.len(), 4);
}

#[test]
fn a_burst_of_changes_is_few_announcements() {
    let (mut store, mut one, mut two) = pair();
    let before = store.writes;
    for _ in 0..200 {
        one.input(DoorbellInput::Changed(change(1, Some(1))));
        one.wait(&mut store, Duration::from_millis(1));
    }
    let written = store.writes - before;
    assert!((8..=11).contains(&written), "{written}");
    // However long it goes on, everybody hears of a change soon.
    two.settle(&mut store);
    two.take();
    let mut silence = 0;
    for _ in 0..2_000 {
        one.input(DoorbellInput::Changed(change(1, Some(1))));
        one.wait(&mut store, Duration::from_millis(1));
        two.wait(&mut store, Duration::from_millis(1));
        silence = if two.take().0.is_empty() {
            silence + 1
        } else {
            0
        };
        assert!(silence <= 2 * 160 + 5, "{silence} ms");
    }
    let written = store.writes - before - written;
    // Some at once, and then one in 160 ms.
    assert!((16..=30).contains(&written), "{written}");
    // What came last is said, also by who ends before it may.
    one.input(DoorbellInput::Changed(change(1, Some(2))));
    one.input(DoorbellInput::Shutdown);
    one.go_on(&mut store);
    two.settle(&mut store);
    assert!(one.done && two.take().0.contains(&change(1, Some(2))));
}

#[test]
fn siblings_stay_few_however_much_is_announced() {
    let (mut store, mut one, mut two) = pair();
    for number in 0..1_000_u32 {
        one.input(DoorbellInput::Changed(change(1, Some(number as u8))));
        one.wait(&mut store, Duration::from_micros(100));
        let most = store.items.values().map(Vec::len).max();
        assert!(most <= Some(17), "{most:?}");
    }
    one.settle(&mut store);
    two.settle(&mut store);
    assert!(!two.take().1.is_empty());
    one.input(DoorbellInput::Changed(change(1, None)));
    one.settle(&mut store);
    assert!(store.items.values().all(|values| values.len() == 1));
}

#[test]
fn after_storage_was_away_everything_is_rung_and_what_was_to_be_said_is_said() {
    let (mut store, mut one, mut two) = pair();
    store.fails = true;
    one.input(DoorbellInput::Changed(change(1, None)));
    for process in [&mut one, &mut two] {
        process.wait(&mut store, Duration::from_secs(600));
        // Told once for each thing that fails, not with each attempt.
        assert!(process.events.len() <= 3 * SHARDS as usize);
        assert_eq!(process.take(), (vec![], vec![]));
    }
    store.fails = false;
    let pause = config().doorbell_pause_max;
    one.wait(&mut store, pause);
    two.wait(&mut store, pause);
    one.settle(&mut store);
    two.settle(&mut store);
    let (rung, mut all) = two.take();
    assert!(rung.is_empty() || rung == [change(1, None)]);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (0..SHARDS).collect::<Vec<_>>());
    assert_eq!(store.items.len(), 1);
}

#[test]
fn polls_that_fail_ring_nobody_and_nothing_is_missed() {
    let (mut store, mut one, mut two) = pair();
    for number in 0..5 {
        // As behind a proxy that ends each of them with 504.
        store.polls_fail = true;
        two.wait(&mut store, Duration::from_secs(1));
        store.polls_fail = false;
        two.wait(&mut store, Duration::from_secs(60));
        assert_eq!(two.take(), (vec![], vec![]));
        // What happens meanwhile is found by reading.
        store.polls_fail = true;
        two.settle(&mut store);
        one.input(DoorbellInput::Changed(change(1, Some(number))));
        one.settle(&mut store);
        let pause = config().doorbell_pause_max;
        two.wait(&mut store, pause);
        assert_eq!(two.take(), (vec![change(1, Some(number))], vec![]));
    }
}

#[test]
fn when_garage_has_lost_what_was_announced_everything_is_rung() {
    let (mut store, mut one, mut two) = pair();
    let mut states = Vec::new();
    for mailbox in [None, Some(0)] {
        one.input(DoorbellInput::Changed(change(1, mailbox)));
        one.settle(&mut store);
        two.settle(&mut store);
        assert_eq!(two.take(), (vec![change(1, mailbox)], vec![]));
        states.push(store.items.clone());
    }
    let shard = shard_of(AccountId([1; 16]));
    let early = states.swap_remove(0);
    // Nobody has read what comes next. Then Garage begins anew, with nothing or with what was before.
    for kept in [BTreeMap::new(), early] {
        one.input(DoorbellInput::Changed(change(1, Some(1))));
        one.settle(&mut store);
        store.items = kept;
        store.writes += 1;
        two.settle(&mut store);
        let (rung, all) = two.take();
        assert!(rung.is_empty(), "{rung:?}");
        assert!(all.contains(&shard), "{all:?}");
        one.settle(&mut store);
        one.input(DoorbellInput::Changed(change(1, Some(2))));
        one.settle(&mut store);
        two.settle(&mut store);
        two.take();
    }
}

#[test]
fn who_has_not_looked_for_so_long_that_items_may_be_gone_is_rung_for_everything() {
    let (mut store, _, mut two) = pair();
    let hour = Duration::from_secs(3_600);
    for (monotonic, wall) in [(hour, Duration::ZERO), (Duration::ZERO, hour)] {
        store.deaf = true;
        two.wait(&mut store, monotonic);
        // As after a machine was asleep.
        two.now.unix_ms += wall.as_millis() as u64;
        store.deaf = false;
        store.writes += 1;
        two.settle(&mut store);
        let (rung, mut all) = two.take();
        all.sort_unstable();
        assert_eq!((rung, all), (vec![], (0..SHARDS).collect()));
    }
    store.writes += 1;
    two.settle(&mut store);
    assert_eq!(two.take(), (vec![], vec![]));
}

#[test]
fn an_idle_process_does_next_to_nothing() {
    let (mut store, mut one, _) = pair();
    let before = one.reads;
    one.wait(&mut store, Duration::from_secs(3_600));
    // The polls never end here: what is left are no reads at all.
    assert_eq!(one.reads, before);
    assert_eq!(one.open.len(), SHARDS as usize);
}

#[test]
fn items_of_processes_that_are_silent_for_a_day_are_deleted() {
    let (mut store, mut one, mut two) = pair();
    one.input(DoorbellInput::Changed(change(1, None)));
    one.settle(&mut store);
    two.settle(&mut store);
    assert_eq!(store.items.len(), 1);
    // A clock that is days ahead does not delete what others may not have read.
    let mut fast = Process::new(3);
    fast.now.unix_ms += 7 * 24 * 3_600_000;
    fast.settle(&mut store);
    assert_eq!(store.items.len(), 1);
    two.wait(&mut store, Duration::from_secs(25 * 3_600));
    // Something wakes it, as time-outs do every minute.
    two.input(DoorbellInput::Changed(change(1, Some(2))));
    two.settle(&mut store);
    let own: Vec<_> = store.items.keys().collect();
    assert_eq!(own.len(), 1, "{own:?}");
    // Who is not dead at all goes on, and is heard.
    two.take();
    one.input(DoorbellInput::Changed(change(1, Some(9))));
    one.settle(&mut store);
    two.settle(&mut store);
    assert!(two.take() != (vec![], vec![]));
}

#[test]
fn a_process_that_ends_says_what_it_has_to_say_and_waits_for_nothing_else() {
    let (mut store, mut one, mut two) = pair();
    one.input(DoorbellInput::Changed(change(1, None)));
    one.input(DoorbellInput::Shutdown);
    one.go_on(&mut store);
    assert!(one.done && one.open.is_empty());
    two.settle(&mut store);
    assert_eq!(two.take().0, [change(1, None)]);
    store.fails = true;
    two.input(DoorbellInput::Changed(change(1, None)));
    two.input(DoorbellInput::Shutdown);
    two.go_on(&mut store);
    assert!(two.done);
}
