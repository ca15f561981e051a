//! A client goes from server to server while all of them write, and asks each only for
//! what changed since the HIGHESTMODSEQ that the one before told it (RFC 7162). Its copy
//! must be what each server shows.

use super::claims::Owed;
use super::clock::{Clock, Stamp};
use super::log::LogState;
use super::merge::Floor;
use super::modseq_tests::{Choices, readings_come_to_the_same};
use super::operation::tests::arrival;
use super::operation::{Batch, Operation};
use super::version_vector::VersionVector;
use super::{Flag, MailboxState, MessageId, ModSeq, Uid, UidValidity, WriterId};
use crate::time::{Instant, Now};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Numbers of batches in the log.
type Set = BTreeSet<usize>;

struct Written {
    writer: WriterId,
    batch: Batch,
    /// What its writer had read.
    past: Set,
}

struct Server {
    writer: WriterId,
    clock: Clock,
    unix_ms: u64,
    state: MailboxState,
    read: Set,
}

#[derive(Default)]
struct World {
    log: Vec<Written>,
    servers: Vec<Server>,
    /// Lives of servers, and messages.
    fresh: u8,
    client: Client,
}

#[derive(Default)]
struct Client {
    modseq: ModSeq,
    messages: BTreeMap<Uid, BTreeSet<Flag>>,
    /// What the server had read that it came to last.
    read: Set,
    /// Messages that it was told of, again and again.
    told: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Append,
    Store {
        choice: usize,
        set: bool,
    },
    Expunge {
        choice: usize,
    },
    /// Of a batch and of all that its writer had read.
    Read {
        choice: usize,
    },
    /// Goes on from a checkpoint as another writer.
    Restart,
    /// Remembers the last batches only.
    Forget {
        kept: usize,
    },
    Come,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Append),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(choice, set)| Step::Store { choice, set }),
        1 => any::<usize>().prop_map(|choice| Step::Expunge { choice }),
        4 => any::<usize>().prop_map(|choice| Step::Read { choice }),
        1 => Just(Step::Restart),
        1 => (0usize..4).prop_map(|kept| Step::Forget { kept }),
        3 => Just(Step::Come),
    ]
}

impl World {
    fn new(clocks: [u64; 3]) -> Self {
        let mut world = Self::default();
        for unix_ms in clocks {
            let state = MailboxState::new(UidValidity(core::num::NonZeroU32::MIN));
            let server = Server {
                writer: world.writer(),
                clock: Clock::default(),
                unix_ms,
                state,
                read: Set::new(),
            };
            world.servers.push(server);
        }
        world
    }

    fn writer(&mut self) -> WriterId {
        self.fresh += 1;
        // In no order.
        WriterId([self.fresh.wrapping_mul(101); 16])
    }

    fn act(&mut self, at: usize, step: &Step) {
        let pick = |state: &MailboxState, choice: usize| {
            let len = state.len();
            (len > 0).then(|| state.message(choice % len).unwrap().id)
        };
        let state = &self.servers[at].state;
        match *step {
            Step::Append => {
                self.fresh += 1;
                let message = MessageId([self.fresh.wrapping_mul(37); 16]);
                let arrival = arrival(self.fresh);
                let uid = state.next_claim().unwrap();
                let operations = vec![
                    Operation::Arrive { message, arrival },
                    Operation::Claim { message, uid },
                ];
                self.commit(at, operations);
            }
            Step::Store { choice, set } => {
                if let Some(message) = pick(state, choice) {
                    let messages = vec![message];
                    let changes = vec![(Flag::Seen, set)];
                    self.commit(at, vec![Operation::SetFlags { messages, changes }]);
                }
            }
            Step::Expunge { choice } => {
                if let Some(message) = pick(state, choice) {
                    let messages = vec![message];
                    self.commit(at, vec![Operation::Expunge { messages }]);
                }
            }
            Step::Read { choice } if !self.log.is_empty() => {
                let last = choice % self.log.len();
                let mut wanted = self.log[last].past.clone();
                wanted.insert(last);
                self.read(at, &wanted);
            }
            Step::Read { .. } => {}
            Step::Restart => {
                let covered = VersionVector::default();
                let stored = state.encode_checkpoint(&covered);
                let (state, _) = MailboxState::decode_checkpoint(&stored).unwrap();
                self.servers[at].state = state;
                self.servers[at].writer = self.writer();
            }
            Step::Forget { kept } => {
                Arc::make_mut(&mut self.servers[at].state.history).forget(kept);
            }
            Step::Come => self.come(at),
        }
    }

    fn commit(&mut self, at: usize, operations: Vec<Operation>) {
        let server = &mut self.servers[at];
        let now = Now {
            instant: Instant(0),
            unix_ms: server.unix_ms,
        };
        let modseq = ModSeq(server.state.highest_modseq().0 + 1);
        let batch = Batch {
            stamp: server.clock.tick(now),
            modseq,
            past: Some(server.state.past(modseq)),
            operations,
        };
        server.state.apply_own(server.writer, &batch);
        assert_eq!(server.state.highest_modseq(), modseq);
        let past = server.read.clone();
        server.read.insert(self.log.len());
        self.log.push(Written {
            writer: server.writer,
            batch,
            past,
        });
    }

    /// Reads these, and writes what is owed for it before anybody is told.
    fn read(&mut self, at: usize, wanted: &Set) {
        let server = &mut self.servers[at];
        let floor = server.state.floor();
        let mut owed = Owed::default();
        let mut new: Vec<usize> = wanted.difference(&server.read).copied().collect();
        new.sort_by_key(|number| self.log[*number].batch.stamp);
        for number in new {
            let Written { writer, batch, .. } = &self.log[number];
            server.clock.observe(batch.stamp);
            server.state.apply(*writer, batch, floor, &mut owed);
            server.read.insert(number);
        }
        server.state.renumber();
        let operations = owed.operations(&server.state, usize::MAX);
        if !operations.is_empty() {
            self.commit(at, operations);
        }
    }

    /// All that was written, in one of the orders in which each comes after what its writer had read.
    fn in_an_order(&self, choice: u64) -> Vec<usize> {
        let mut choices = Choices(choice);
        let (mut order, mut read) = (Vec::new(), Set::new());
        while order.len() < self.log.len() {
            let numbers = 0..self.log.len();
            let fits = |it: &usize| !read.contains(it) && self.log[*it].past.is_subset(&read);
            let next: Vec<usize> = numbers.filter(fits).collect();
            let next = next[choices.below(next.len())];
            read.insert(next);
            order.push(next);
        }
        order
    }

    /// The client comes to a server, which reads what was acknowledged before: with that
    /// everything that the client was told.
    fn come(&mut self, at: usize) {
        let read = self.client.read.clone();
        self.read(at, &read);
        let Server { state, read, .. } = &self.servers[at];
        let client = &mut self.client;
        let (since, modseq) = (client.modseq, state.highest_modseq());
        assert!(modseq >= since, "HIGHESTMODSEQ goes back");
        assert!(
            *read == client.read || modseq > since,
            "nothing has happened"
        );
        for uid in state.expunged_since(since) {
            client.messages.remove(&uid);
        }
        let mut truth = BTreeMap::new();
        for message in state.iter_from(0) {
            let flags: BTreeSet<Flag> = state.flags(message).collect();
            assert!(message.modseq <= modseq);
            if message.modseq > since {
                client.messages.insert(message.uid, flags.clone());
                client.told += 1;
            }
            truth.insert(message.uid, flags);
        }
        assert_eq!(client.messages, truth, "since {since:?} up to {modseq:?}");
        client.modseq = modseq;
        client.read.clone_from(read);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_client_that_roams_misses_nothing(
        steps in prop::collection::vec((0usize..3, step()), 1..80),
        clocks in [1_000u64..1_003, 1_000u64..1_003, 1_000u64..9_000],
    ) {
        let mut world = World::new(clocks);
        for (server, step) in &steps {
            world.act(*server, step);
        }
        let rounds = 10;
        for round in 0..=rounds {
            let all: Set = (0..world.log.len()).collect();
            for at in 0..3 {
                world.read(at, &all);
                world.come(at);
            }
            if world.log.len() == all.len() {
                break;
            }
            prop_assert!(round < rounds, "nothing settles");
        }
        // Who has read the same shows the same number.
        let all = world.servers.iter().map(|server| server.state.highest_modseq());
        let all: BTreeSet<ModSeq> = all.collect();
        prop_assert_eq!(all.len(), 1, "{:?}", all);
    }

    #[test]
    fn however_a_log_is_divided_into_readings_it_comes_to_the_same(
        steps in prop::collection::vec((0usize..3, step()), 1..80),
        clocks in [1_000u64..1_003, 1_000u64..1_003, 1_000u64..9_000],
        order in any::<u64>(),
    ) {
        let mut world = World::new(clocks);
        for (server, step) in &steps {
            world.act(*server, step);
        }
        let batches = world.in_an_order(order).into_iter();
        let batches = batches.map(|number| &world.log[number]);
        let batches: Vec<_> = batches.map(|it| (it.writer, &it.batch)).collect();
        readings_come_to_the_same(&batches, Floor::default(), order);
    }
}

/// A batch of one STORE, as it was written before batches said what their writer had read.
fn early(writer: u8, message: u8, modseq: u64) -> (WriterId, Batch) {
    let batch = Batch {
        stamp: Stamp(modseq << 16 | u64::from(writer)),
        modseq: ModSeq(modseq),
        past: None,
        operations: vec![Operation::SetFlags {
            messages: vec![MessageId([message; 16])],
            changes: vec![(Flag::Seen, true)],
        }],
    };
    (WriterId([writer; 16]), batch)
}

/// Three messages and what was done to them by servers of earlier versions.
fn early_state(batches: &[(WriterId, Batch)]) -> MailboxState {
    let mut state = MailboxState::new(UidValidity(core::num::NonZeroU32::MIN));
    let (writer, mut arrive) = early(1, 0, 2);
    arrive.operations.clear();
    for number in 1..4 {
        let message = MessageId([number; 16]);
        let arrival = arrival(number);
        let uid = Uid::new(u32::from(number)).unwrap();
        arrive.operations.extend([
            Operation::Arrive { message, arrival },
            Operation::Claim { message, uid },
        ]);
    }
    for (writer, batch) in [(writer, arrive)].iter().chain(batches) {
        state.apply_own(*writer, batch);
    }
    state
}

fn modseqs(state: &MailboxState) -> Vec<u64> {
    state.iter_from(0).map(|message| message.modseq.0).collect()
}

#[test]
fn what_earlier_versions_wrote_one_after_the_other_keeps_its_modseq() {
    let state = early_state(&[early(1, 1, 3), early(2, 2, 4), early(1, 1, 5)]);
    assert_eq!(modseqs(&state), [5, 4, 2]);
    assert_eq!(state.highest_modseq(), ModSeq(5));
    // MODSEQs that were left out, because nobody knew any more what was given, stay so.
    let state = early_state(&[early(1, 1, 3), early(2, 2, 1_000), early(1, 3, 1_001)]);
    assert_eq!(modseqs(&state), [3, 1_000, 1_001]);
    assert_eq!(state.highest_modseq(), ModSeq(1_001));
}

#[test]
fn what_earlier_versions_wrote_at_the_same_time_is_told_again() {
    let state = early_state(&[early(1, 1, 3), early(2, 2, 3)]);
    // Clients were told 3 with one of them, 4 at most with both.
    assert_eq!(modseqs(&state), [4, 4, 2]);
    assert_eq!(state.highest_modseq(), ModSeq(4));
}

#[test]
fn who_begins_with_a_checkpoint_of_an_earlier_version_tells_only_what_is_new() {
    let golden = include_bytes!("golden/checkpoint-2.bin");
    let load = || MailboxState::decode_checkpoint(golden).unwrap().0;
    let (mut one, mut two) = (load(), load());
    let before = one.highest_modseq();
    let batch = |state: &MailboxState, message: u8| {
        let modseq = ModSeq(state.highest_modseq().0 + 1);
        let past = Some(state.past(modseq));
        let batch = early(message, message, modseq.0).1;
        Batch { past, ..batch }
    };
    let (first, second) = (batch(&one, 2), batch(&two, 3));
    let writers = [2, 3].map(|number| WriterId([number; 16]));
    one.apply_own(writers[0], &first);
    let since = |state: &MailboxState, modseq| {
        let new = state.iter_from(0).filter(|it| it.modseq > modseq);
        new.map(|message| message.id.0[0]).collect::<Vec<_>>()
    };
    assert_eq!(since(&one, before), [2]);
    two.apply_own(writers[1], &second);
    // Each of them is told by the other one what it does not know, and nothing else.
    let told = one.highest_modseq();
    assert_eq!(told, two.highest_modseq());
    one.apply_own(writers[1], &second);
    two.apply_own(writers[0], &first);
    assert_eq!(since(&one, told), [2, 3]);
    assert_eq!(since(&two, told), [2, 3]);
}

#[test]
fn what_comes_after_something_that_knew_of_it_is_written_again() {
    let mut world = World::new([1_000; 3]);
    world.act(0, &Step::Append);
    world.act(0, &Step::Append);
    let arrived: Set = [0, 1].into();
    for at in [1, 2] {
        world.read(at, &arrived);
    }
    let store = |choice| Step::Store { choice, set: true };
    world.act(0, &store(0));
    world.read(1, &[2].into());
    world.act(1, &store(1));
    // The third reads what the second wrote, but not yet what that one had read.
    world.read(2, &[3].into());
    world.come(2);
    assert_eq!(world.log.len(), 4);
    world.read(2, &[2].into());
    assert_eq!(world.log.len(), 5);
    world.come(2);
    world.come(1);
}

#[test]
fn who_comes_back_to_a_quiet_mailbox_is_told_nothing_again() {
    let mut world = World::new([1_000; 3]);
    for at in [0, 1, 0, 1, 0] {
        world.act(at, &Step::Append);
    }
    for round in 0..4 {
        let all: Set = (0..world.log.len()).collect();
        for at in 0..3 {
            world.read(at, &all);
        }
        if round == 3 {
            world.come(0);
        }
    }
    world.client.told = 0;
    // One after the other, each with what the others wrote: only the change is told.
    for at in [0, 1, 2, 1, 0] {
        let all: Set = (0..world.log.len()).collect();
        world.read(at, &all);
        world.act(
            at,
            &Step::Store {
                choice: at,
                set: true,
            },
        );
        world.come(at);
    }
    assert_eq!(world.client.told, 5);
}
