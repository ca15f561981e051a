//! The directory's encodings, and its log as several servers write it.

use super::clock::Stamp;
use super::directory::{Directory, DirectoryBatch, DirectoryOperation, InboxMove};
use super::{
    LogState, MailboxId, MailboxName, Reservation, SpecialUse, UidValidity, VersionVector, WriterId,
};
use crate::mailbox::AccountId;
use crate::random::{Random, Seed};
use crate::seal::AccountKeys;
use core::num::NonZeroU32;
use proptest::prelude::*;

fn keys() -> AccountKeys {
    let mut random = Random::new(Seed::new([5; 32]));
    AccountKeys::generate(AccountId([1; 16]), &mut random)
}

fn create(id: u8, name: &str) -> DirectoryOperation {
    DirectoryOperation::Create {
        mailbox: MailboxId([id; 16]),
        name: MailboxName::new(name),
        uid_validity: UidValidity(NonZeroU32::new(1_000 + u32::from(id)).unwrap()),
        special_use: Some(SpecialUse::Archive),
    }
}

fn rename(id: u8, name: &str) -> DirectoryOperation {
    DirectoryOperation::Rename {
        mailbox: MailboxId([id; 16]),
        name: MailboxName::new(name),
    }
}

fn reserve(id: u8, number: u32) -> Reservation {
    Reservation {
        mailbox: MailboxId([id; 16]),
        uid_validity: UidValidity(NonZeroU32::new(number).unwrap()),
    }
}

fn every_operation() -> DirectoryBatch {
    let mailbox = MailboxId([2; 16]);
    let name = MailboxName::new("ghost");
    DirectoryBatch {
        stamp: Stamp(0x0123_4567_89ab_0003),
        operations: vec![
            create(1, "Größe/b"),
            create(2, "gone"),
            rename(1, "Größe/c"),
            DirectoryOperation::Delete { mailbox },
            DirectoryOperation::Subscribe {
                name,
                subscribed: true,
            },
            rename(9, "not yet created"),
            DirectoryOperation::MoveInbox {
                mailbox: MailboxId([1; 16]),
                to: InboxMove::Begun,
            },
        ],
    }
}

#[test]
fn version_1_of_batches_is_read_for_ever() {
    let golden = include_bytes!("golden/directory-batch-1.bin");
    assert_eq!(every_operation().encode(), golden);
    assert_eq!(DirectoryBatch::decode(golden), Ok(every_operation()));
    for len in 0..golden.len() {
        assert!(DirectoryBatch::decode(&golden[..len]).is_err());
    }
}

#[test]
fn version_2_of_batches_is_read_for_ever() {
    let mut batch = every_operation();
    let reservation = reserve(3, 1_003);
    (batch.operations).push(DirectoryOperation::Reserve(reservation));
    let golden = include_bytes!("golden/directory-batch-2.bin");
    assert_eq!(batch.encode(), golden);
    assert_eq!(DirectoryBatch::decode(golden), Ok(batch));
    for len in 0..golden.len() {
        assert!(DirectoryBatch::decode(&golden[..len]).is_err());
    }
    // Version 1 has no such operation.
    let mut older = golden.to_vec();
    older[0] = 1;
    assert!(DirectoryBatch::decode(&older).is_err());
}

#[test]
fn a_checkpoint_tells_how_high_the_reserved_numbers_are_and_nobody_holds_them() {
    let mut directory = Directory::of_a_new_account(&keys());
    let batch = DirectoryBatch {
        stamp: Stamp(1),
        operations: vec![DirectoryOperation::Reserve(reserve(1, 2_000))],
    };
    directory.apply(WriterId([1; 16]), &batch);
    assert!(directory.holds(reserve(1, 2_000)));
    assert_eq!(directory.uid_validity_max(), 2_000);
    let checkpoint = directory.encode_checkpoint(&VersionVector::default());
    let (mut read, _) = Directory::decode_checkpoint(&checkpoint).unwrap();
    assert_eq!(read.uid_validity_max(), 2_000);
    assert!(!read.holds(reserve(1, 2_000)));
    // Nor does who comes now: the first one may be about to use it.
    let late = DirectoryBatch {
        stamp: Stamp(2),
        operations: vec![DirectoryOperation::Reserve(reserve(2, 2_000))],
    };
    read.apply(WriterId([2; 16]), &late);
    assert!(!read.holds(reserve(2, 2_000)));
}

#[test]
fn version_1_of_checkpoints_is_read_for_ever() {
    let mut directory = Directory::of_a_new_account(&keys());
    directory.apply(WriterId([4; 16]), &every_operation());
    directory.arrange();
    let golden = include_bytes!("golden/directory-checkpoint-1.bin");
    let covered = VersionVector::default();
    let (decoded, _) = Directory::decode_checkpoint(golden).unwrap();
    // It was written when the mailboxes of the beginning shared one UIDVALIDITY.
    let shown = |directory: &Directory| -> Vec<_> {
        let all = directory.mailboxes();
        all.map(|it| (it.id, it.name.clone(), it.special_use))
            .collect()
    };
    assert_eq!(shown(&decoded), shown(&directory));
    let (again, _) = Directory::decode_checkpoint(&directory.encode_checkpoint(&covered)).unwrap();
    assert!(again.mailboxes().eq(directory.mailboxes()));
    assert!(decoded.subscribed().eq(directory.subscribed()));
    assert_eq!(decoded.encode_checkpoint(&covered), golden);
    assert!(crate::mailbox::MailboxState::decode_checkpoint(golden).is_err());
}

#[test]
fn an_older_account_keeps_its_uidvalidities_and_a_newer_one_has_six() {
    let validities = |unix_ms: u64| -> Vec<u32> {
        let mut random = Random::new(Seed::new([3; 32]));
        let account = AccountId::at(unix_ms, &mut random);
        let directory = Directory::of_a_new_account(&AccountKeys::generate(account, &mut random));
        let mut all: Vec<u32> = (directory.mailboxes())
            .map(|it| directory.uid_validity(it.id).0.get())
            .collect();
        all.sort_unstable();
        all
    };
    assert_eq!(validities(1_795_564_799_999), [1; 6]);
    assert_eq!(validities(1_795_564_800_000), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn the_lower_id_keeps_a_name_that_two_servers_gave() {
    let mut directory = Directory::of_a_new_account(&keys());
    let batch = |stamp, operation| DirectoryBatch {
        stamp: Stamp(stamp),
        operations: vec![operation],
    };
    directory.apply(WriterId([1; 16]), &batch(1, create(0xab, "same")));
    directory.apply(WriterId([2; 16]), &batch(2, create(0x11, "same")));
    directory.arrange();
    let name = |name: &str| directory.find(&MailboxName::new(name)).map(|it| it.id);
    assert_eq!(name("same"), Some(MailboxId([0x11; 16])));
    assert_eq!(name("same-abababab"), Some(MailboxId([0xab; 16])));
}

#[test]
fn who_unsubscribed_long_ago_is_forgotten_with_the_next_checkpoint() {
    let day = |days: u64| Stamp((days * 24 * 3_600 * 1_000) << 16);
    let mut directory = Directory::of_a_new_account(&keys());
    let names = ["long", "lately", "subscribed"];
    for (name, days, subscribed) in [
        ("long", 10, false),
        ("subscribed", 10, true),
        ("lately", 30, false),
        ("newest", 120, true),
    ] {
        let name = MailboxName::new(name);
        let operation = DirectoryOperation::Subscribe { name, subscribed };
        let batch = DirectoryBatch {
            stamp: day(days),
            operations: vec![operation],
        };
        directory.apply(WriterId([1; 16]), &batch);
    }
    let checkpoint = directory.encode_checkpoint(&VersionVector::default());
    let (decoded, _) = Directory::decode_checkpoint(&checkpoint).unwrap();
    assert!(decoded.subscribed().eq(directory.subscribed()));
    let known = names.map(|name| decoded.was_subscribed(&MailboxName::new(name)));
    assert_eq!(known, [false, true, true]);
}

fn operation() -> impl Strategy<Value = DirectoryOperation> {
    let name = prop::sample::select(vec!["a", "b", "a/b", "c"]);
    (0u8..7, 1u8..6, name).prop_map(|(kind, id, name)| match kind {
        0 => create(id, name),
        1 => rename(id, name),
        2 => DirectoryOperation::Delete {
            mailbox: MailboxId([id; 16]),
        },
        3 => DirectoryOperation::Subscribe {
            name: MailboxName::new(name),
            subscribed: id % 2 == 0,
        },
        4 => DirectoryOperation::Reserve(reserve(id, 1_000 + 2 * u32::from(id))),
        more => DirectoryOperation::MoveInbox {
            mailbox: MailboxId([id; 16]),
            to: [InboxMove::Begun, InboxMove::Done][usize::from(more - 5)],
        },
    })
}

proptest! {
    #[test]
    fn any_order_of_batches_gives_the_same_directory(
        operations in prop::collection::vec((1u8..4, operation()), 0..30),
        rotate in 0usize..30,
    ) {
        // One mailbox is created once only; every batch has its own stamp.
        let mut created = [false; 8];
        let batches: Vec<_> = (1u64..)
            .zip(operations)
            .filter(|(_, (_, operation))| match operation {
                DirectoryOperation::Create { mailbox, .. } => {
                    !core::mem::replace(&mut created[usize::from(mailbox.0[0])], true)
                }
                _ => true,
            })
            .map(|(stamp, (writer, operation))| {
                let stamp = Stamp(stamp / 2);
                (WriterId([writer; 16]), DirectoryBatch { stamp, operations: vec![operation] })
            })
            .collect();
        // Equal stamps of one writer do not happen.
        let mut batches = batches;
        batches.dedup_by(|one, two| one.0 == two.0 && one.1.stamp == two.1.stamp);
        let build = |batches: &[(WriterId, DirectoryBatch)]| {
            let mut directory = Directory::of_a_new_account(&keys());
            for (writer, batch) in batches {
                directory.apply(*writer, batch);
            }
            directory.arrange();
            directory.encode_checkpoint(&VersionVector::default())
        };
        let expected = build(&batches);
        let mut other = batches.clone();
        other.reverse();
        prop_assert_eq!(&build(&other), &expected);
        let middle = rotate.min(other.len());
        other.rotate_left(middle);
        other.extend(batches);
        prop_assert_eq!(&build(&other), &expected);
    }
}
