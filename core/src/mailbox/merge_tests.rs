//! Several servers write to one log, and what they wrote comes to each of them in any
//! order, late, and twice. All must end with the same mailbox, and what each of them
//! shows to its clients on the way must be legal IMAP.

use super::claims::Owed;
use super::clock::{Clock, Stamp};
use super::convergence::{check_counts, visible};
use super::merge::Floor;
use super::modseq_tests::readings_come_to_the_same;
use super::operation::tests::arrival;
use super::operation::{Batch, Operation};
use super::version_vector::{LogPosition, VersionVector};
use super::{Flag, Keyword, MailboxState, MessageId, ModSeq, Uid, UidValidity, WriterId};
use crate::time::{Instant, Now};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

struct Server {
    writer: WriterId,
    clock: Clock,
    skew_ms: u64,
    state: MailboxState,
    known: VersionVector,
    seq: u64,
    owed: Owed,
    shown: MailboxState,
    /// Every UID that clients ever saw.
    history: BTreeMap<Uid, MessageId>,
}

type Log = Vec<(LogPosition, Batch)>;

impl Server {
    fn new(number: u8) -> Self {
        let state = MailboxState::new(UidValidity(core::num::NonZeroU32::MIN));
        Self {
            writer: WriterId([number; 16]),
            clock: Clock::default(),
            skew_ms: u64::from(number) * 3,
            shown: state.clone(),
            state,
            known: VersionVector::default(),
            seq: 0,
            owed: Owed::default(),
            history: BTreeMap::new(),
        }
    }

    fn commit(&mut self, log: &mut Log, operations: Vec<Operation>) {
        if operations.is_empty() {
            return;
        }
        let now = Now {
            instant: Instant(0),
            unix_ms: 1_000 + self.skew_ms,
        };
        let modseq = ModSeq(self.state.highest_modseq().0 + 1);
        let batch = Batch {
            stamp: self.clock.tick(now),
            modseq,
            past: Batch::is_change(&operations).then(|| self.state.past(modseq)),
            operations,
        };
        let batch = Batch::decode(&batch.encode()).unwrap();
        self.state.apply_own(self.writer, &batch);
        let position = LogPosition {
            writer: self.writer,
            seq: self.seq,
        };
        self.seq += 1;
        assert!(self.known.insert(position));
        log.push((position, batch));
        self.show();
    }

    fn read(&mut self, log: &[(LogPosition, Batch)]) {
        let floor = self.shown.floor();
        for (position, batch) in log {
            if self.known.insert(*position) {
                self.clock.observe(batch.stamp);
                self.state
                    .apply(position.writer, batch, floor, &mut self.owed);
            }
        }
        self.state.renumber();
    }

    fn settle(&mut self, log: &mut Log) -> bool {
        let operations = self.owed.operations(&self.state, usize::MAX);
        self.owed = Owed::default();
        let due = !operations.is_empty();
        self.commit(log, operations);
        self.show();
        due
    }

    /// Clients see the state: everything that is legal between two states is checked.
    fn show(&mut self) {
        check_counts(&self.state);
        let (old, new) = (&self.shown, &self.state);
        let seen = old.highest_modseq();
        assert!(new.highest_modseq() >= seen && new.uid_next >= old.uid_next);
        let vanished: BTreeSet<_> = new.expunged_since(seen).collect();
        for message in old.iter_from(0) {
            match new.find(message.uid) {
                Some(same) => {
                    assert_eq!(same.id, message.id);
                    let flags = |state: &MailboxState, it| state.flags(it).collect::<BTreeSet<_>>();
                    if flags(old, message) != flags(new, same) {
                        assert!(same.modseq > seen, "a change below HIGHESTMODSEQ");
                    }
                }
                None => assert!(vanished.contains(&message.uid), "not in VANISHED"),
            }
        }
        for message in new.iter_from(0) {
            if old.find(message.uid).is_none() {
                assert!(message.uid.get() >= old.uid_next, "below UIDNEXT");
                assert!(message.modseq > seen, "an arrival below HIGHESTMODSEQ");
            }
            let first = self.history.insert(message.uid, message.id);
            assert!(first.is_none_or(|id| id == message.id), "a UID lied");
        }
        self.shown = self.state.clone();
    }

    fn pick(&self, choice: usize) -> Option<MessageId> {
        let len = self.state.len();
        (len > 0).then(|| self.state.message(choice % len).unwrap().id)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        messages: u8,
    },
    Deliver,
    /// A message that other servers may move here as well.
    Move {
        message: u8,
        flag: u8,
    },
    Store {
        choice: usize,
        flag: u8,
        set: bool,
    },
    Expunge {
        choice: usize,
    },
    /// Read some of the log: every item whose bit is set.
    Read {
        mask: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u8..4).prop_map(|messages| Step::Append { messages }),
        1 => Just(Step::Deliver),
        2 => (0u8..4, 0u8..4).prop_map(|(message, flag)| Step::Move { message, flag }),
        3 => (any::<usize>(), 0u8..4, any::<bool>())
            .prop_map(|(choice, flag, set)| Step::Store { choice, flag, set }),
        1 => any::<usize>().prop_map(|choice| Step::Expunge { choice }),
        3 => any::<u64>().prop_map(|mask| Step::Read { mask }),
    ]
}

fn flag(number: u8) -> Flag {
    match number {
        0 => Flag::Seen,
        1 => Flag::Deleted,
        number => Flag::Keyword(Keyword::new(&format!("word{number}"))),
    }
}

fn act(server: &mut Server, log: &mut Log, step: Step, fresh: &mut u8) {
    let mut new = || {
        *fresh += 1;
        // Ids are random: not in the order of arrival.
        let mut arrival = arrival(*fresh);
        arrival.flags = vec![flag(*fresh % 4)];
        (MessageId([fresh.wrapping_mul(37); 16]), arrival)
    };
    match step {
        Step::Append { messages } => {
            let mut operations = Vec::new();
            for next in 0..u32::from(messages) {
                let (message, arrival) = new();
                operations.push(Operation::Arrive { message, arrival });
                let uid = Uid::new(server.state.uid_next + next).unwrap();
                operations.push(Operation::Claim { message, uid });
            }
            server.commit(log, operations);
        }
        Step::Deliver => {
            let (message, arrival) = new();
            server.commit(log, vec![Operation::Arrive { message, arrival }]);
            server.settle(log);
        }
        Step::Move {
            message,
            flag: number,
        } => {
            let mut arrival = arrival(message);
            arrival.flags = vec![flag(number)];
            // No other message has such an id.
            let message = MessageId([[message; 8], [0xff; 8]].concat().try_into().unwrap());
            if !server.state.knows(message) {
                let uid = Uid::new(server.state.uid_next).unwrap();
                let operations = vec![
                    Operation::Arrive { message, arrival },
                    Operation::Claim { message, uid },
                ];
                server.commit(log, operations);
            }
        }
        Step::Store {
            choice,
            flag: number,
            set,
        } => {
            if let Some(message) = server.pick(choice) {
                let messages = vec![message];
                let changes = vec![(flag(number), set)];
                server.commit(log, vec![Operation::SetFlags { messages, changes }]);
            }
        }
        Step::Expunge { choice } => {
            if let Some(message) = server.pick(choice) {
                let messages = vec![message];
                server.commit(log, vec![Operation::Expunge { messages }]);
            }
        }
        Step::Read { mask } => {
            let some: Log = log
                .iter()
                .enumerate()
                .filter(|(index, _)| mask >> (index % 64) & 1 == 1)
                .map(|(_, item)| item.clone())
                .collect();
            server.read(&some);
            server.settle(log);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn servers_agree_once_claims_settle_and_never_lie_on_the_way(
        steps in prop::collection::vec((0usize..3, step()), 1..60),
        order in any::<u64>(),
    ) {
        let mut servers = [Server::new(1), Server::new(2), Server::new(3)];
        let mut log = Log::new();
        let mut fresh = 0;
        for (server, step) in steps {
            act(&mut servers[server], &mut log, step, &mut fresh);
        }
        for round in 0.. {
            assert!(round < 20, "claims never settle");
            let mut read = log.clone();
            read.rotate_left(order as usize % (log.len() + 1));
            let mut due = false;
            for server in &mut servers {
                server.read(&read);
                due |= server.settle(&mut log);
            }
            if !due && servers.iter().all(|it| log.iter().all(|(at, _)| it.known.contains(*at))) {
                break;
            }
        }
        let expected = visible(&servers[0].state);
        prop_assert_eq!(servers[0].state.unnumbered().count(), 0);
        prop_assert_eq!(&visible(&servers[1].state), &expected);
        prop_assert_eq!(&visible(&servers[2].state), &expected);

        // Whoever reads the log afresh, in any order and some of it twice, agrees.
        let mut again = log.clone();
        again.reverse();
        again.rotate_left(order as usize / 7 % (log.len() + 1));
        again.extend(log.iter().filter(|(at, _)| order >> (at.seq % 64) & 1 == 1).cloned());
        let mut state = MailboxState::new(UidValidity(core::num::NonZeroU32::MIN));
        for (position, batch) in &again {
            // Twice even within one writer's stamps, so no version vector here: only
            // batches that set one flag twice depend on it, and there are none.
            state.apply(position.writer, batch, Floor::default(), &mut Owed::default());
        }
        state.renumber();
        check_counts(&state);
        prop_assert_eq!(&visible(&state), &expected);

        // However what is read is divided into readings, also below what clients were shown.
        let again = again.iter().map(|(position, batch)| (position.writer, batch));
        let again: Vec<_> = again.collect();
        let uid_next = (order % 8) as u32;
        readings_come_to_the_same(&again, Floor { uid_next, ..Floor::default() }, order);
    }
}

#[test]
fn what_comes_late_about_a_forgotten_message_shows_nothing() {
    let (here, gone) = (MessageId([1; 16]), MessageId([2; 16]));
    let mut stamp = 0;
    let mut batch = |operations| {
        stamp += 1;
        Batch {
            stamp: Stamp(stamp),
            modseq: ModSeq(1 + stamp),
            past: None,
            operations,
        }
    };
    let uid = |number| Uid::new(number).unwrap();
    let arrive = |message: MessageId, number| {
        let arrival = arrival(message.0[0]);
        let claim = Operation::Claim {
            message,
            uid: uid(number),
        };
        [Operation::Arrive { message, arrival }, claim]
    };
    let writer = WriterId([1; 16]);
    let mut state = MailboxState::new(UidValidity(core::num::NonZeroU32::MIN));
    state.apply_own(writer, &batch([arrive(here, 1), arrive(gone, 2)].concat()));
    let messages = vec![gone];
    state.apply_own(writer, &batch(vec![Operation::Expunge { messages }]));
    let unseen = MessageId([3; 16]);
    let messages = vec![unseen];
    state.apply_own(writer, &batch(vec![Operation::Expunge { messages }]));
    assert!(state.last(gone).is_some());
    let told = state.highest_modseq();

    // Of the message that is there nothing is forgotten, nor of the one that may still come.
    let messages = vec![here, gone, unseen];
    let forget = batch(vec![Operation::Forget { messages }]);
    state.apply_own(writer, &forget);
    let tombstones = |state: &MailboxState| state.tombstones().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(tombstones(&state), [unseen]);
    assert!(state.last(gone).is_none());
    assert_eq!(state.highest_modseq(), told);
    assert_eq!(
        state.expunged_since(ModSeq(0)).collect::<Vec<_>>(),
        [uid(2)]
    );
    let late = arrive(unseen, 3).to_vec();
    state.apply_own(writer, &batch(late));
    assert_eq!(state.len(), 1);

    let messages = || vec![gone];
    let late = [
        Operation::SetFlags {
            messages: messages(),
            changes: vec![(Flag::Seen, true)],
        },
        Operation::Claim {
            message: gone,
            uid: uid(9),
        },
        Operation::Claim {
            message: gone,
            uid: uid(2),
        },
        Operation::Expunge {
            messages: messages(),
        },
        Operation::SetFlags {
            messages: messages(),
            changes: vec![(Flag::Seen, false)],
        },
    ];
    for operation in late {
        state.apply_own(WriterId([2; 16]), &batch(vec![operation]));
        check_counts(&state);
        let shown: Vec<MessageId> = state.iter_from(0).map(|message| message.id).collect();
        assert_eq!(shown, [here]);
        assert_eq!(state.unnumbered().count(), 0);
    }
    // Of two servers that did this in another order one may know it still: nobody sees that.
    let mut other = MailboxState::new(UidValidity(core::num::NonZeroU32::MIN));
    other.apply_own(writer, &forget);
    assert_eq!(tombstones(&other), []);
}

#[test]
fn equal_stamps_are_decided_by_the_writer() {
    let message = MessageId([1; 16]);
    let batch = |set| Batch {
        stamp: Stamp(5),
        modseq: ModSeq(2),
        past: None,
        operations: vec![Operation::SetFlags {
            messages: vec![message],
            changes: vec![(Flag::Seen, set)],
        }],
    };
    let arrive = Batch {
        stamp: Stamp(1),
        modseq: ModSeq(2),
        past: None,
        operations: vec![
            Operation::Arrive {
                message,
                arrival: arrival(1),
            },
            Operation::Claim {
                message,
                uid: Uid::FIRST,
            },
        ],
    };
    let (low, high) = (WriterId([1; 16]), WriterId([2; 16]));
    for order in [[(low, false), (high, true)], [(high, true), (low, false)]] {
        let mut state = MailboxState::new(UidValidity(core::num::NonZeroU32::MIN));
        state.apply_own(low, &arrive);
        for (writer, set) in order {
            state.apply_own(writer, &batch(set));
        }
        assert!(state.message(0).unwrap().flags.seen());
    }
}

#[test]
fn a_uid_claimed_twice_is_burned_and_both_messages_get_others() {
    let (one, two) = (MessageId([1; 16]), MessageId([2; 16]));
    let arrive = |message| Batch {
        stamp: Stamp(1),
        modseq: ModSeq(2),
        past: None,
        operations: vec![
            Operation::Arrive {
                message,
                arrival: arrival(1),
            },
            Operation::Claim {
                message,
                uid: Uid::FIRST,
            },
        ],
    };
    let mut state = MailboxState::new(UidValidity(core::num::NonZeroU32::MIN));
    state.apply_own(WriterId([1; 16]), &arrive(one));
    state.apply_own(WriterId([2; 16]), &arrive(two));
    assert!(state.is_empty());
    let operations = Owed::default().operations(&state, 10);
    let claim = |message, uid| Operation::Claim {
        message,
        uid: Uid::new(uid).unwrap(),
    };
    assert_eq!(operations, [claim(one, 2), claim(two, 3)]);
}
