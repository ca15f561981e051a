//! What servers wrote at the same time comes to the same state however it is read, and costs
//! little.

use super::claims::Owed;
use super::clock::Stamp;
use super::convergence::arrival;
use super::history::{BatchId, Past};
use super::log::LogState;
use super::merge::Floor;
use super::operation::{Batch, Operation};
use super::version_vector::VersionVector;
use super::{Flag, MailboxState, MessageId, ModSeq, Uid, UidValidity, WriterId};
use core::num::NonZeroU32;
use std::collections::BTreeSet;

/// Choices that follow from one number.
pub(super) struct Choices(pub(super) u64);

impl Choices {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

/// Reads batches in this order one by one, in groups, and all at once: each state must be the
/// same to the last octet, and what is owed to the log too.
pub(super) fn readings_come_to_the_same(batches: &[(WriterId, &Batch)], floor: Floor, choice: u64) {
    let read = |mut longest: Box<dyn FnMut() -> usize>| {
        let mut state = MailboxState::new(UidValidity(NonZeroU32::MIN));
        let (mut owed, mut rest) = (Owed::default(), batches);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(longest().min(rest.len()));
            for (writer, batch) in now {
                state.apply(*writer, batch, floor, &mut owed);
            }
            state.renumber();
            rest = later;
        }
        (state.encode_checkpoint(&VersionVector::default()), owed)
    };
    let one_by_one = read(Box::new(|| 1));
    assert_eq!(read(Box::new(|| usize::MAX)), one_by_one, "all at once");
    let mut choices = Choices(choice);
    let groups = read(Box::new(move || 1 + choices.below(6)));
    assert_eq!(groups, one_by_one, "in groups");
}

fn id(number: u32) -> MessageId {
    let mut id = [0; 16];
    // In no order.
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    MessageId(id)
}

fn take_in(state: &mut MailboxState, stamp: u64, operations: Vec<Operation>) {
    let modseq = ModSeq(state.highest_modseq().0 + 1);
    let batch = Batch {
        stamp: Stamp(stamp),
        modseq,
        past: Some(state.past(modseq)),
        operations,
    };
    state.apply_own(WriterId([9; 16]), &batch);
}

/// A mailbox of so many messages, and between each two a UID that is gone.
fn mailbox(messages: u32) -> MailboxState {
    let mut state = MailboxState::new(UidValidity(NonZeroU32::MIN));
    let all: Vec<u32> = (1..2 * messages).collect();
    for (stamp, some) in (1..).zip(all.chunks(1_000)) {
        let arrive = |number: &u32| {
            let (message, arrival) = (id(*number), arrival(1, vec![]));
            let uid = Uid::new(*number).unwrap();
            [
                Operation::Arrive { message, arrival },
                Operation::Claim { message, uid },
            ]
        };
        let operations = some.iter().flat_map(arrive).collect();
        take_in(&mut state, stamp, operations);
    }
    let even = all.iter().filter(|number| *number % 2 == 0);
    let messages = even.map(|number| id(*number)).collect();
    take_in(&mut state, 1_000_000, vec![Operation::Expunge { messages }]);
    state
}

/// So many batches of two writers in turn, each of one STORE. Each writer had read all that the
/// other one wrote, but for the last `unknown`.
fn in_turn(state: &MailboxState, count: usize, unknown: usize) -> Vec<(WriterId, Batch)> {
    let mut batches: Vec<(WriterId, Batch)> = Vec::new();
    for number in 0..count {
        let known = [number.checked_sub(2), number.checked_sub(1 + 2 * unknown)];
        let known = known.into_iter().flatten().map(|known| &batches[known]);
        let mut heads: Vec<BatchId> = known
            .map(|(writer, batch)| BatchId::of(*writer, batch.stamp))
            .collect();
        if heads.is_empty() {
            heads = state.history.heads();
        }
        let message = state.message(number * 7_919 % state.len()).unwrap();
        let batch = Batch {
            stamp: Stamp(2_000_000 + number as u64),
            modseq: ModSeq(state.highest_modseq().0 + 1 + number as u64),
            past: Some(Past { lead: 0, heads }),
            operations: vec![Operation::SetFlags {
                messages: vec![message.id],
                changes: vec![(Flag::Seen, true)],
            }],
        };
        batches.push((WriterId([(number % 2) as u8; 16]), batch));
    }
    batches
}

fn read(state: &MailboxState, batches: &[(WriterId, Batch)]) -> MailboxState {
    let (mut state, mut owed) = (state.clone(), Owed::default());
    for (writer, batch) in batches {
        state.apply(*writer, batch, Floor::default(), &mut owed);
    }
    state.renumber();
    state
}

#[test]
fn what_was_written_at_the_same_time_is_stamped_once_a_reading() {
    let before = mailbox(5_000);
    let highest = before.highest_modseq().0;
    let (mut state, mut owed) = (before.clone(), Owed::default());
    let batches = in_turn(&before, 20, 1);
    for (writer, batch) in &batches {
        state.apply(*writer, batch, Floor::default(), &mut owed);
    }
    let modseqs = |state: &MailboxState| {
        let above = state.iter_from(0).map(|message| message.modseq.0);
        let above = above.filter_map(|modseq| modseq.checked_sub(highest));
        let mut changed: Vec<u64> = above.filter(|above| *above > 0).collect();
        changed.sort_unstable();
        changed
    };
    assert_eq!(
        modseqs(&state),
        (1..=20).collect::<Vec<_>>(),
        "looked for already"
    );
    state.renumber();
    assert_eq!(modseqs(&state), [20; 20]);

    // Where nothing is told again, nothing is another one.
    let changed: BTreeSet<usize> = (0..20).map(|it| it * 7_919 % 5_000).collect();
    let unshared: Vec<usize> = state.unshared(&before).map(|(place, _)| place).collect();
    assert!(changed.iter().all(|place| unshared.contains(place)));
    assert!(unshared.len() <= changed.len() * 256, "{}", unshared.len());
}

#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it measures time"
)]
#[ignore = "a measurement: cargo test --release -p restante-core --lib -- --ignored --nocapture at_the_same_time"]
fn what_it_costs_to_read_what_was_written_at_the_same_time() {
    println!("messages  batches  unknown  milliseconds");
    for messages in [500, 5_000, 50_000, 500_000] {
        let state = mailbox(messages);
        for count in [1, 200, 2_000] {
            for unknown in [0, 1, 10, usize::MAX / 4] {
                let batches = in_turn(&state, count, unknown);
                let begin = std::time::Instant::now();
                let read = read(&state, &batches);
                let took = begin.elapsed().as_secs_f64() * 1_000.0;
                assert!(read.highest_modseq() > state.highest_modseq());
                println!(
                    "{messages:8} {count:8} {:>8} {took:13.2}",
                    unknown.min(count / 2)
                );
            }
        }
    }
}
