//! Each version of checkpoints that was ever written is read; damage is refused.

use super::clock::Stamp;
use super::encoding::DecodeError;
use super::history::BatchId;
use super::last::LastOnes;
use super::merge::Floor;
use super::operation::tests::arrival;
use super::version_vector::VersionVector;
use super::{Batch, Flag, Keyword, LogPosition, LogState, MailboxState, MessageId, ModSeq};
use super::{Operation, Uid, UidValidity, WriterId};
use crate::seal::ContentKind;
use core::num::NonZeroU32;

fn state() -> MailboxState {
    let message = |number| MessageId([number; 16]);
    let keyword = |word| Flag::Keyword(Keyword::new(word));
    let arrive = |number: u8, flags: Vec<Flag>| Operation::Arrive {
        message: message(number),
        arrival: crate::account::NewMessage {
            flags,
            ..arrival(number)
        },
    };
    let claim = |number, uid| Operation::Claim {
        message: message(number),
        uid: Uid::new(uid).unwrap(),
    };
    let set = |number: u8, flag, set| Operation::SetFlags {
        messages: vec![message(number)],
        changes: vec![(flag, set)],
    };
    let operations = vec![
        arrive(1, vec![Flag::Seen, keyword("unused")]),
        claim(1, 1),
        arrive(2, vec![keyword("kept")]),
        claim(2, 2),
        arrive(3, vec![]),
        claim(3, 300),
        // Numbered, flagged alike.
        set(2, Flag::Answered, true),
        set(3, Flag::Answered, true),
        set(3, keyword("kept"), true),
        // Expunged; claimed twice; not yet come; without UID.
        Operation::Expunge {
            messages: vec![message(1)],
        },
        arrive(4, vec![Flag::Draft]),
        claim(4, 301),
        claim(5, 301),
        claim(6, 302),
        set(6, Flag::Flagged, true),
        arrive(7, vec![]),
        Operation::RecentFrom {
            uid: Uid::new(300).unwrap(),
        },
    ];
    let mut state = MailboxState::new(UidValidity(NonZeroU32::new(1_800_000_000).unwrap()));
    let batch = Batch {
        stamp: Stamp(0x0123_4567_89ab_0002),
        modseq: ModSeq(9),
        past: None,
        operations,
    };
    state.apply_own(WriterId([8; 16]), &batch);
    state
}

pub(super) fn covered() -> VersionVector {
    let mut covered = VersionVector::default();
    for seq in [0, 1, 5] {
        let writer = WriterId([8; 16]);
        covered.insert(LogPosition { writer, seq });
    }
    covered
}

#[test]
fn version_1_of_checkpoints_is_read_for_ever() {
    let golden = include_bytes!("golden/checkpoint-1.bin");
    let (decoded, contained) = MailboxState::decode_checkpoint(golden).unwrap();
    assert_eq!(contained, covered());
    assert_eq!(decoded.message(1).unwrap().kind, ContentKind::Message);
    let expected = state();
    assert_eq!(decoded.len(), 2);
    assert_eq!(decoded.unseen_count(), expected.unseen_count());
    assert_eq!(decoded.size_total(), expected.size_total());
    assert!(decoded.unnumbered().eq(expected.unnumbered()));
    assert_eq!(decoded.pending.len(), expected.pending.len());
    assert_eq!(decoded.reserved, expected.reserved);
    // The keyword that only an expunged message had is left behind.
    assert_eq!(decoded.keywords(), [Keyword::new("kept")]);
    let flags = |state: &MailboxState, index| {
        let message = state.message(index).unwrap();
        state.flags(message).collect::<Vec<_>>()
    };
    assert_eq!(flags(&decoded, 1), flags(&expected, 1));
}

/// With messages that were delivered, one of them still without UID.
fn with_deliveries() -> MailboxState {
    let mut state = state();
    let delivered = |id, number| Operation::Arrive {
        message: MessageId([id; 16]),
        arrival: crate::account::NewMessage {
            kind: ContentKind::Delivery,
            ..arrival(number)
        },
    };
    let claim = Operation::Claim {
        message: MessageId([20; 16]),
        uid: Uid::new(400).unwrap(),
    };
    let batch = Batch {
        stamp: Stamp(0x0123_4567_89ab_0003),
        modseq: ModSeq(10),
        past: None,
        operations: vec![delivered(20, 20), claim, delivered(21, 21)],
    };
    state.apply_own(WriterId([8; 16]), &batch);
    state
}

#[test]
fn version_2_of_checkpoints_says_how_messages_are_sealed() {
    let golden = include_bytes!("golden/checkpoint-2.bin");
    let (decoded, contained) = MailboxState::decode_checkpoint(golden).unwrap();
    assert_eq!(contained, covered());
    assert_eq!(decoded.highest_modseq(), with_deliveries().highest_modseq());
    let kinds: Vec<_> = decoded.iter_from(0).map(|message| message.kind).collect();
    let own = ContentKind::Message;
    assert_eq!(kinds, [own, own, ContentKind::Delivery]);
    let waiting = decoded.pending[&MessageId([21; 16])].arrival.unwrap();
    assert_eq!(waiting.kind, ContentKind::Delivery);
}

#[test]
fn version_3_of_checkpoints_says_which_batches_knew_of_which() {
    let mut state = with_deliveries();
    state.stay_above(Floor {
        modseq: ModSeq(50),
        uid_next: 0,
    });
    let modseq = ModSeq(51);
    let past = state.past(modseq);
    let flag = |past| Batch {
        stamp: Stamp(0x0123_4567_89ab_0004),
        modseq,
        past,
        operations: vec![Operation::SetFlags {
            messages: vec![MessageId([2; 16])],
            changes: vec![(Flag::Seen, true)],
        }],
    };
    state.apply_own(WriterId([9; 16]), &flag(Some(past)));
    // As it was written before it was kept how messages were.
    state.last = LastOnes::default();
    let golden = include_bytes!("golden/checkpoint-3.bin");
    assert_eq!(state.encode_checkpoint(&covered()), golden);
    let (decoded, contained) = MailboxState::decode_checkpoint(golden).unwrap();
    assert_eq!(decoded.encode_checkpoint(&contained), golden);
    assert_eq!(decoded.highest_modseq(), state.highest_modseq());
    assert_eq!(decoded.past(ModSeq(52)), state.past(ModSeq(52)));
}

#[test]
fn version_4_of_checkpoints_says_which_batches_are_missing() {
    let (mut state, contained) =
        MailboxState::decode_checkpoint(include_bytes!("golden/checkpoint-3.bin")).unwrap();
    let modseq = ModSeq(52);
    let mut past = state.past(modseq);
    let withheld = BatchId::of(WriterId([10; 16]), Stamp(0x0123_4567_89ab_0005));
    past.heads.push(withheld);
    let batch = Batch {
        stamp: Stamp(0x0123_4567_89ab_0006),
        modseq,
        past: Some(past),
        operations: vec![Operation::Expunge {
            messages: vec![MessageId([2; 16])],
        }],
    };
    state.apply_own(WriterId([11; 16]), &batch);
    assert_eq!(state.missing(), [withheld]);
    // As it was written before it was kept how messages were.
    state.last = LastOnes::default();
    let golden = include_bytes!("golden/checkpoint-4.bin");
    assert_eq!(state.encode_checkpoint(&contained), golden);
    let (decoded, contained) = MailboxState::decode_checkpoint(golden).unwrap();
    assert_eq!(decoded.missing(), [withheld]);
    assert_eq!(decoded.encode_checkpoint(&contained), golden);
}

#[test]
fn version_5_of_checkpoints_says_how_messages_were_that_are_expunged() {
    let (mut state, contained) =
        MailboxState::decode_checkpoint(include_bytes!("golden/checkpoint-3.bin")).unwrap();
    assert_eq!(state.last.len(), 0);
    let expunge = |state: &MailboxState, number: u8| {
        let modseq = ModSeq(52 + u64::from(number));
        Batch {
            stamp: Stamp(0x0123_4567_89ab_0010 + u64::from(number)),
            modseq,
            past: Some(state.past(modseq)),
            operations: vec![Operation::Expunge {
                messages: vec![MessageId([number; 16])],
            }],
        }
    };
    // With its keyword, which no message has any more; one without UID; one that has not
    // come yet.
    for number in [2, 3, 4, 9] {
        let batch = expunge(&state, number);
        state.apply_own(WriterId([9; 16]), &batch);
    }
    let golden = include_bytes!("golden/checkpoint-5.bin");
    assert_eq!(state.encode_checkpoint(&contained), golden);
    let (decoded, contained) = MailboxState::decode_checkpoint(golden).unwrap();
    assert_eq!(decoded.encode_checkpoint(&contained), golden);
    let last = |number| decoded.last(MessageId([number; 16]));
    let flags = |number| last(number).unwrap().flags.to_vec();
    let kept = Flag::Keyword(Keyword::new("kept"));
    assert_eq!(flags(2), [Flag::Answered, Flag::Seen, kept.clone()]);
    assert_eq!(flags(3), [Flag::Answered, kept]);
    assert_eq!(flags(4), [Flag::Draft]);
    assert_eq!(last(2).unwrap().internal_date, arrival(2).internal_date);
    assert_eq!((last(1), last(9)), (None, None), "nobody knows");
    assert!(decoded.keywords().is_empty());
}

/// A message of each UID from `first` to `last` comes and goes, with one change each.
fn come_and_go(state: &mut MailboxState, first: u32, last: u32) {
    for number in first..=last {
        let mut id = [0xee; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let message = MessageId(id);
        let modseq = ModSeq(state.highest_modseq().0 + 1);
        let batch = Batch {
            stamp: Stamp(0x0123_4567_89ac_0000 + u64::from(number)),
            modseq,
            past: Some(state.past(modseq)),
            operations: vec![
                Operation::Claim {
                    message,
                    uid: Uid::new(number).unwrap(),
                },
                Operation::Expunge {
                    messages: vec![message],
                },
                Operation::Arrive {
                    message,
                    arrival: arrival(1),
                },
                Operation::Forget {
                    messages: vec![message],
                },
            ],
        };
        state.apply_own(WriterId([9; 16]), &batch);
    }
}

#[test]
fn version_6_of_checkpoints_has_runs_of_uids_that_are_gone() {
    let (mut state, contained) =
        MailboxState::decode_checkpoint(include_bytes!("golden/checkpoint-5.bin")).unwrap();
    let before = state.uid_next().get();
    come_and_go(&mut state, before, before + 4_200);
    let golden = include_bytes!("golden/checkpoint-6.bin");
    let (decoded, contained_too) = MailboxState::decode_checkpoint(golden).unwrap();
    assert_eq!(contained_too, contained);
    assert_eq!(state.encode_checkpoint(&contained), golden);
    assert_eq!(decoded.encode_checkpoint(&contained), golden);
    let all = |state: &MailboxState, modseq| state.expunged_since(modseq).collect::<Vec<_>>();
    assert_eq!(all(&decoded, ModSeq(0)), all(&state, ModSeq(0)));
    let exact = state.exact_after();
    assert_eq!(all(&decoded, exact), all(&state, exact));
    assert_eq!(all(&state, exact).len(), 4_096);
    // Who was away for longer is told of all that went before.
    let long_ago = ModSeq(exact.0 - 50);
    assert_eq!(all(&state, long_ago).len(), 4_096 + 50);
    assert_eq!(all(&decoded, long_ago).len(), 4_201);
}

#[test]
fn a_mailbox_that_much_went_through_has_a_short_checkpoint() {
    let mut state = state();
    let octets = |state: &MailboxState| state.encode_checkpoint(&covered()).len();
    let next = |state: &MailboxState| state.uid_next().get();
    let few = next(&state);
    come_and_go(&mut state, few, few + 30_000);
    let once = octets(&state);
    // As if each had been read from a checkpoint in between.
    let (mut state, _) =
        MailboxState::decode_checkpoint(&state.encode_checkpoint(&covered())).unwrap();
    let more = next(&state);
    come_and_go(&mut state, more, more + 50_000);
    assert!(
        octets(&state) <= once + 32,
        "{} after {once}",
        octets(&state)
    );
}

#[test]
fn how_many_messages_were_is_kept_of_the_last_ones_only() {
    let mut state = MailboxState::new(UidValidity(NonZeroU32::new(1).unwrap()));
    let id = |number: u32| {
        let mut id = [0; 16];
        // Not in the order in which they go.
        id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
        id[4..8].copy_from_slice(&number.to_be_bytes());
        MessageId(id)
    };
    for number in 1..=10_000 {
        let arrive = Operation::Arrive {
            message: id(number),
            arrival: arrival(1),
        };
        let messages = vec![id(number)];
        let batch = Batch {
            stamp: Stamp(u64::from(number)),
            modseq: ModSeq(u64::from(number) + 1),
            past: None,
            operations: vec![arrive, Operation::Expunge { messages }],
        };
        state.apply_own(WriterId([1; 16]), &batch);
    }
    let bytes = state.encode_checkpoint(&VersionVector::default());
    let (decoded, _) = MailboxState::decode_checkpoint(&bytes).unwrap();
    assert_eq!(decoded.tombstones.len(), 10_000);
    for number in 1..=10_000 {
        let kept = decoded.last(id(number)).is_some();
        assert_eq!(kept, number > 10_000 - 4_096, "{number}");
    }
}

#[test]
fn long_keywords_of_expunged_messages_take_bounded_room() {
    let mut state = MailboxState::new(UidValidity(NonZeroU32::new(1).unwrap()));
    let id = |number: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        MessageId(id)
    };
    let names = |number: u32| -> Vec<Flag> {
        let name = |one| format!("{number}-{one}-{}", "x".repeat(180));
        (0..100)
            .map(|one| Flag::Keyword(Keyword::new(&name(one))))
            .collect()
    };
    for number in 1..=1_000 {
        let mut arrival = arrival(1);
        arrival.flags = names(number);
        let message = id(number);
        let arrive = Operation::Arrive { message, arrival };
        let messages = vec![message];
        let batch = Batch {
            stamp: Stamp(u64::from(number)),
            modseq: ModSeq(u64::from(number) + 1),
            past: None,
            // Not in the table of the mailbox, which would limit them.
            operations: vec![Operation::Expunge { messages }, arrive],
        };
        state.apply_own(WriterId([1; 16]), &batch);
        assert!(state.last.octets() <= 2 * 1024 * 1024, "held at {number}");
    }
    let bytes = state.encode_checkpoint(&VersionVector::default());
    let (decoded, _) = MailboxState::decode_checkpoint(&bytes).unwrap();
    let octets = decoded.last.octets();
    assert!((900_000..=1_048_576).contains(&octets), "{octets} octets");
    assert!(decoded.last.len() < 1_000);
    let newest = decoded.last(id(1_000)).unwrap();
    assert_eq!(newest.flags.to_vec(), names(1_000));
    assert!(decoded.last(id(1)).is_none());
    let again = decoded.encode_checkpoint(&VersionVector::default());
    assert!(again == bytes, "what is stored is stable");
}

#[test]
fn writers_whose_changes_are_overwritten_are_left_behind() {
    let mut state = state();
    let flag = |number: u8, set| Batch {
        stamp: Stamp(0x0123_4567_89ac_0000 + u64::from(number)),
        modseq: ModSeq(20 + u64::from(number)),
        past: None,
        operations: vec![Operation::SetFlags {
            messages: vec![MessageId([2; 16])],
            changes: vec![(Flag::Flagged, set)],
        }],
    };
    for number in 100..200 {
        let writer = WriterId([number; 16]);
        state.apply_own(writer, &flag(number, number % 2 == 0));
    }
    assert_eq!(state.writers.len(), 101);
    let encoded = state.encode_checkpoint(&covered());
    let (mut decoded, _) = MailboxState::decode_checkpoint(&encoded).unwrap();
    let left = [8, 199].map(|number| WriterId([number; 16]));
    assert_eq!(*decoded.writers, left);
    let flagged = |state: &MailboxState| {
        let flags = state.flags(state.message(0).unwrap());
        flags.collect::<Vec<_>>().contains(&Flag::Flagged)
    };
    assert_eq!(flagged(&decoded), flagged(&state));
    // Of two changes at the same time the same writer wins as before.
    for (writer, wins) in [(198, false), (201, true)] {
        let batch = flag(199, true);
        decoded.apply_own(WriterId([writer; 16]), &batch);
        assert_eq!(flagged(&decoded), wins, "{writer}");
    }
}

/// What followed such a one could be written and never read.
#[test]
fn a_checkpoint_without_highestmodseq_is_refused() {
    let mut state = state();
    state.highest_modseq = ModSeq(0);
    let bytes = state.encode_checkpoint(&covered());
    let refused = DecodeError::Invalid("HIGHESTMODSEQ");
    assert_eq!(MailboxState::decode_checkpoint(&bytes).err(), Some(refused));
}

#[test]
fn a_checkpoint_cut_short_anywhere_is_refused() {
    let bytes = state().encode_checkpoint(&covered());
    for len in 0..bytes.len() {
        assert!(
            MailboxState::decode_checkpoint(&bytes[..len]).is_err(),
            "{len}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn damaged_bytes_never_panic(at in 0usize..1_000, value: u8) {
        let mut bytes = state().encode_checkpoint(&covered());
        let len = bytes.len();
        bytes[at % len] = value;
        if let Ok((state, covered)) = MailboxState::decode_checkpoint(&bytes) {
            let _ = state.encode_checkpoint(&covered);
        }
    }
}
