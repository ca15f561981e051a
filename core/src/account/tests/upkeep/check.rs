//! What a check finds and puts right.

use super::*;
use crate::account::tests::world::message;
use crate::account::{AccountFailure, Finding, Trouble};
use crate::mailbox::{
    Batch, CheckpointPointer, MailboxState, MessageId, ModSeq, Operation, Part, Stamp,
};
use crate::seal::{ItemKind, seal_arrival};
use std::sync::Arc;

fn troubles(report: &CheckReport) -> Vec<Trouble> {
    report
        .findings
        .iter()
        .map(|it| it.trouble.clone())
        .collect()
}

fn shown(state: &Arc<MailboxState>) -> Vec<(u32, u32)> {
    view(state).into_iter().map(|it| (it.0, it.1)).collect()
}

fn full() -> (Server, Store) {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 30);
    pass(&mut server, &mut storage, Duration::from_secs(61));
    fill(&mut server, &mut storage, "Archive", 31, 34);
    expunge(&mut server, &mut storage, "INBOX", &[3]);
    (server, storage)
}

fn damage(bytes: &mut bytes::Bytes, at: usize) {
    let mut damaged = bytes.to_vec();
    damaged[at] ^= 1;
    *bytes = damaged.into();
}

#[test]
fn a_healthy_account_has_no_findings() {
    let (mut server, mut storage) = full();
    let before = (storage.items.clone(), storage.objects.clone());
    let report = check(&mut server, &mut storage, false, false);
    assert!(report.findings.is_empty(), "{report:?}");
    assert!(report.lost.is_empty() && report.orphans.is_empty());
    assert_eq!((report.messages, report.bodies), (33, 34));
    assert_eq!((report.mailboxes, report.waiting), (6, 1));
    assert_eq!(before, (storage.items, storage.objects));
}

#[test]
fn every_flipped_octet_of_a_body_is_found() {
    let (server, storage) = full();
    let key = storage.objects.keys().next().unwrap().clone();
    let len = storage.objects[&key].len();
    drop((server, storage));
    for at in (0..len).step_by(97).chain([len - 1]) {
        let mut storage = Store::default();
        let mut server = Server::new(1, config());
        fill(&mut server, &mut storage, "INBOX", 1, 1);
        damage(storage.objects.get_mut(&key).unwrap(), at);
        let report = check(&mut server, &mut storage, false, false);
        assert_eq!(report.findings.len(), 1, "{at}: {report:?}");
        assert_eq!(report.findings[0].uid, Some(uid(1)));
    }
}

#[test]
fn a_message_that_a_stranger_replaced_is_found() {
    let (mut server, mut storage) = full();
    let places = Places::new(keys().account());
    let key = storage.objects.keys().next().unwrap().clone();
    let content = places.parse_object(&places.contents(), &key).unwrap();
    // Whoever may write to the storage and knows the public key can seal this.
    let (account, public_key) = (keys().account(), keys().public_key());
    let mut random = Random::new(Seed::new([77; 32]));
    let writer = ContentWriter::deliver(account, &public_key, content, 256, &mut random);
    let text = format!("Subject: 1\r\n\r\n{}", "evil\r\n".repeat(200));
    let (sealed, _, _) = write(writer.unwrap(), text.as_bytes());
    storage.objects.insert(key, sealed);
    let report = check(&mut server, &mut storage, true, false);
    assert_eq!(troubles(&report), [Trouble::SealedOtherwise]);
    assert!(!report.findings[0].repaired);
}

#[test]
fn a_lost_body_is_found_and_a_lost_summary_made_again() {
    let (mut server, mut storage) = full();
    let places = Places::new(keys().account());
    let bodies: Vec<_> = storage.objects.keys().cloned().collect();
    storage.objects.remove(&bodies[0]);
    let content = |at: usize| {
        places
            .parse_object(&places.contents(), &bodies[at])
            .unwrap()
    };
    storage.items.remove(&places.summary(content(1)));
    let summary = storage.items.get_mut(&places.summary(content(3)));
    damage(&mut summary.unwrap().0, 40);
    let report = check(&mut server, &mut storage, false, false);
    let found = [
        Trouble::BodyMissing,
        Trouble::SummaryItem,
        Trouble::SummaryItem,
    ];
    assert_eq!(troubles(&report), found);
    let report = check(&mut server, &mut storage, true, false);
    assert!(report.findings[1].repaired && report.findings[2].repaired);
    let report = check(&mut server, &mut storage, false, false);
    assert_eq!(troubles(&report), [Trouble::BodyMissing]);
}

#[test]
fn an_old_orphan_is_given_back_and_a_young_one_waits() {
    let (mut server, mut storage) = full();
    store_at(&mut storage, 90, START_MS - 2 * 86_400_000);
    store_at(&mut storage, 91, START_MS);
    let report = check(&mut server, &mut storage, true, false);
    assert_eq!(troubles(&report), [Trouble::Orphan]);
    assert_eq!(number(&report.orphans[0]), 90);
    assert_eq!(
        report.orphans[0].internal_date.unix_s,
        1_800_000_000 - 2 * 86_400
    );
    server.append(&mut storage, "INBOX", report.orphans);
    let report = check(&mut server, &mut storage, true, false);
    assert!(report.findings.is_empty(), "{report:?}");
}

/// What the command does.
fn rebuild(server: &mut Server, storage: &mut Store) {
    let connection = server.connect();
    let skip = |server: &mut Server, storage: &mut Store, report: &CheckReport| {
        for (mailbox, above) in report.lost.clone() {
            let request = AccountRequest::SkipUids { mailbox, above };
            let reply = server.ask(storage, connection, request);
            assert!(matches!(reply, AccountReply::Done), "{reply:?}");
        }
    };
    let report = check(server, storage, false, true);
    skip(server, storage, &report);
    let report = check(server, storage, true, true);
    let create = AccountRequest::Create {
        name: name("Recovered"),
        special_use: None,
    };
    server.ask(storage, connection, create);
    server.append(storage, "Recovered", report.orphans);
}

#[test]
fn a_damaged_item_of_a_log_is_kept_elsewhere_and_its_messages_come_back() {
    let (mut server, mut storage) = full();
    let before = server.status(&mut storage, "Archive");
    let archive = server.names(&mut storage).len();
    assert_eq!(archive, 6);
    // The last item of Archive: message 34 with UID 4.
    let key = storage.items.keys().rfind(|key| {
        let mut random = key.partition.0.contains("/m/");
        random &= !key.sort.0.starts_with('#');
        random
            && storage
                .items
                .keys()
                .filter(|it| it.partition == key.partition)
                .count()
                == 4
    });
    let key = key.unwrap().clone();
    damage(&mut storage.items.get_mut(&key).unwrap().0, 30);
    server.restart(2);
    let report = check(&mut server, &mut storage, false, false);
    assert_eq!(troubles(&report), [Trouble::LogItem]);
    assert_eq!(report.findings[0].mailbox, Some(name("Archive")));
    assert_eq!(report.lost.len(), 1);
    rebuild(&mut server, &mut storage);
    let report = check(&mut server, &mut storage, false, false);
    assert!(report.findings.is_empty(), "{report:?}");
    let aside = storage
        .items
        .keys()
        .filter(|key| key.partition.0.ends_with("/x"));
    // With a note that it is missing where it was.
    assert_eq!(aside.count(), 2);
    let state = server.status(&mut storage, "Archive");
    assert_eq!(shown(&state), [(1, 31), (2, 32), (3, 33)]);
    // The UID of the lost message never names another one.
    assert_eq!(state.uid_validity(), before.uid_validity());
    assert!(state.uid_next().get() > 200_000_000);
    assert!(state.highest_modseq() > before.highest_modseq());
    let recovered = shown(&server.status(&mut storage, "Recovered"));
    assert_eq!(recovered, [(1, 34)]);
    sweep(&mut server, &mut storage);
}

#[test]
fn the_index_is_rebuilt_from_the_objects_alone() {
    let (mut server, mut storage) = full();
    let before = server.status(&mut storage, "INBOX");
    let places = Places::new(keys().account());
    storage.items.clear();
    storage
        .objects
        .retain(|key, _| key.0.starts_with(&places.contents()));
    server.restart(2);
    assert_eq!(server.status(&mut storage, "INBOX").len(), 0);
    rebuild(&mut server, &mut storage);
    let recovered = server.status(&mut storage, "Recovered");
    let mut numbers: Vec<u32> = shown(&recovered).into_iter().map(|it| it.1).collect();
    numbers.sort_unstable();
    // The expunged one as well: that it was is not known any more.
    assert_eq!(numbers, (1..=34).collect::<Vec<_>>());
    assert!(recovered.uid_validity() > before.uid_validity());
    // Twice in a row: other numbers each time.
    for (round, message) in [(0, 50), (1, 51)] {
        let message = store_at(&mut storage, message, START_MS);
        let uids = server.append(&mut storage, "INBOX", vec![message]);
        assert!(uids[0].get() > 200_000_000 + round * 65_536);
        rebuild(&mut server, &mut storage);
    }
    // Their summaries are items again.
    let report = check(&mut server, &mut storage, true, false);
    assert!(report.findings.iter().all(|it| it.repaired), "{report:?}");
    let report = check(&mut server, &mut storage, false, false);
    assert!(report.findings.is_empty(), "{report:?}");
    sweep(&mut server, &mut storage);
}

#[test]
fn a_damaged_checkpoint_is_given_up_where_the_log_still_has_all() {
    let (mut server, mut storage) = full();
    let places = Places::new(keys().account());
    let before = shown(&server.status(&mut storage, "INBOX"));
    let is_pointer =
        |key: &&ItemKey| key.partition.0.contains("/m/") && key.sort.0.starts_with('#');
    let newest = storage.items.keys().rfind(is_pointer).unwrap().clone();
    let pointer = &storage.items[&newest].0;
    let pointer = keys().open_item(&newest, ItemKind::CheckpointPointer, pointer);
    let content = CheckpointPointer::decode(&pointer.unwrap())
        .unwrap()
        .content;
    let newest = storage.objects.get_mut(&places.checkpoint(content));
    damage(newest.unwrap(), 150);
    server.restart(2);
    let report = check(&mut server, &mut storage, false, false);
    assert_eq!(troubles(&report), [Trouble::Checkpoint]);
    let report = check(&mut server, &mut storage, true, false);
    assert!(report.findings[0].repaired);
    let report = check(&mut server, &mut storage, false, false);
    assert!(report.findings.is_empty(), "{report:?}");
    server.restart(3);
    assert_eq!(shown(&server.status(&mut storage, "INBOX")), before);
}

#[test]
fn a_lost_item_of_a_log_is_missed() {
    let (mut server, mut storage) = full();
    // Only the newest checkpoint has it.
    let old = storage.items.keys().filter(|key| {
        key.partition.0.contains("/m/")
            && !key.sort.0.starts_with('#')
            && storage
                .items
                .keys()
                .filter(|it| it.partition == key.partition)
                .count()
                > 5
    });
    let mut old: Vec<_> = old.cloned().collect();
    old.sort();
    let covered = old[old.len() - 6].clone();
    storage.items.remove(&covered);
    let report = check(&mut server, &mut storage, false, false);
    assert_eq!(troubles(&report), [Trouble::Disagreement], "{covered:?}");
}

fn without_checkpoints() -> Config {
    Config {
        checkpoint_operations_min: 1_000,
        ..config()
    }
}

/// What is missing is told, noted, and not told again.
fn is_told_once(server: &mut Server, storage: &mut Store, trouble: &Trouble, place: &str) {
    for repair in [false, true] {
        let report = check(server, storage, repair, false);
        assert_eq!(
            troubles(&report),
            core::slice::from_ref(trouble),
            "{report:?}"
        );
        assert_eq!(report.findings[0].place, place);
        assert_eq!(report.findings[0].repaired, repair);
        // UIDs that it may have claimed are not given again.
        assert_eq!(report.lost.len(), usize::from(place.contains("/m/")));
    }
    let report = check(server, storage, false, false);
    assert!(report.findings.is_empty(), "{report:?}");
    assert!(report.lost.is_empty(), "{report:?}");
}

#[test]
fn an_item_that_storage_withholds_is_missed_by_its_number() {
    let mut storage = Store::default();
    let mut server = Server::new(1, without_checkpoints());
    fill(&mut server, &mut storage, "INBOX", 1, 8);
    let items = inbox_items(&storage);
    let withheld = &items[items.len() - 3];
    storage.items.remove(withheld);
    let place = format!("{}/{}", withheld.partition, withheld.sort);
    // Whoever may write to the storage cannot note it.
    let note = Places::new(keys().account()).noted(withheld);
    storage.items.insert(note.clone(), (vec![1].into(), 1));
    let report = check(&mut server, &mut storage, false, false);
    // Its message is there, and has been for less than a day.
    assert_eq!(report.waiting, 1);
    storage.items.remove(&note);
    is_told_once(&mut server, &mut storage, &Trouble::ItemMissing, &place);
    // Nor is it told again by who makes a checkpoint without it.
    server = Server::new(2, config());
    fill(&mut server, &mut storage, "INBOX", 9, 40);
    pass(&mut server, &mut storage, Duration::from_secs(61));
    pass(&mut server, &mut storage, Duration::from_secs(61));
    let report = check(&mut server, &mut storage, false, false);
    assert!(report.findings.is_empty(), "{report:?}");
}

#[test]
fn the_last_item_of_a_writer_is_missed_by_who_had_read_it() {
    for checkpointed in [false, true] {
        let mut storage = Store::default();
        let mut server = Server::new(1, without_checkpoints());
        fill(&mut server, &mut storage, "INBOX", 1, 4);
        let before = inbox_items(&storage);
        server.restart(2);
        fill(&mut server, &mut storage, "INBOX", 5, 6);
        assert!(
            check(&mut server, &mut storage, false, false)
                .findings
                .is_empty()
        );
        storage.items.remove(before.last().unwrap());
        server = Server::new(3, config());
        if checkpointed {
            // Also when nothing else is left of who had read it.
            fill(&mut server, &mut storage, "INBOX", 7, 40);
            for number in 41..=44 {
                pass(&mut server, &mut storage, Duration::from_secs(61));
                fill(&mut server, &mut storage, "INBOX", number, number);
            }
            let left = inbox_items(&storage);
            assert!(before.iter().all(|item| !left.contains(item)), "{left:?}");
        }
        let report = check(&mut server, &mut storage, false, false);
        assert_eq!(troubles(&report), [Trouble::BatchMissing], "{report:?}");
        let place = report.findings[0].place.clone();
        is_told_once(&mut server, &mut storage, &Trouble::BatchMissing, &place);
    }
}

#[test]
fn putting_everything_back_is_noticed_once_somebody_writes_who_knew_more() {
    let mut storage = Store::default();
    let mut server = Server::new(1, without_checkpoints());
    fill(&mut server, &mut storage, "INBOX", 1, 3);
    let earlier = (storage.items.clone(), storage.objects.clone());
    fill(&mut server, &mut storage, "INBOX", 4, 6);
    let last = inbox_items(&storage);
    server.input(AccountInput::Shutdown);
    server.drain(&mut storage);
    assert!(server.done);
    (storage.items, storage.objects) = earlier;
    // Nobody can tell it from an account to which nothing has happened yet.
    server = server.next_machine(2);
    assert!(
        check(&mut server, &mut storage, false, false)
            .findings
            .is_empty()
    );
    // But the process knows which numbers it has used.
    fill(&mut server, &mut storage, "INBOX", 7, 7);
    let report = check(&mut server, &mut storage, false, false);
    assert_eq!(troubles(&report), [Trouble::ItemMissing], "{report:?}");
    let place = &report.findings[0].place;
    assert!(
        place.ends_with(&format!(" to {}", last.last().unwrap().sort)),
        "{place}"
    );
}

#[test]
fn an_item_of_the_directory_is_missed_as_well() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    for mailbox in ["One", "Two", "Three"] {
        let create = AccountRequest::Create {
            name: name(mailbox),
            special_use: None,
        };
        server.ask(&mut storage, connection, create);
    }
    let directory = Places::new(keys().account()).directory();
    let items = storage.items.keys();
    let items = items.filter(|key| key.partition == directory && !key.sort.0.starts_with('#'));
    let items: Vec<_> = items.cloned().collect();
    let withheld = &items[items.len() - 2];
    storage.items.remove(withheld);
    server.restart(2);
    let place = format!("{directory}/{}", withheld.sort);
    is_told_once(&mut server, &mut storage, &Trouble::ItemMissing, &place);
}

#[test]
fn an_item_that_comes_while_the_log_is_read_is_not_missed() {
    let mut storage = Store::default();
    let mut server = Server::new(1, without_checkpoints());
    fill(&mut server, &mut storage, "INBOX", 1, 8);
    let items = inbox_items(&storage);
    let late = items[items.len() - 3].clone();
    let value = storage.items.remove(&late).unwrap();
    let connection = server.connect();
    let options = CheckOptions {
        bodies: Bodies::Skip,
        repair: false,
        rebuild: false,
        restored_ms: None,
    };
    server.send(connection, AccountRequest::Check(options));
    // It is there when the log is read for the second time.
    let mut readings = 0;
    while readings < 2 {
        let reads = server.open.front().map(|(_, request)| request.clone());
        if let Some(crate::storage::StorageRequest::ReadRange(range)) = reads {
            let begins = range.start.0.is_empty() && range.partition == late.partition;
            readings += usize::from(begins);
        }
        if readings < 2 {
            assert!(server.step(&mut storage, Fate::Works));
        }
    }
    storage.items.insert(late, value);
    match server.await_reply(&mut storage, connection, |_| Fate::Works) {
        AccountReply::Checked(report) => assert!(report.findings.is_empty(), "{report:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn foreign_objects_and_old_checkpoints_are_told() {
    let (mut server, mut storage) = full();
    let places = Places::new(keys().account());
    let foreign = crate::storage::ObjectKey(format!("{}hello", places.contents()));
    storage.objects.insert(foreign, "hello".into());
    let old = places.checkpoint(ContentId([1; 16]));
    storage.objects.insert(old.clone(), "old".into());
    let report = check(&mut server, &mut storage, true, false);
    assert_eq!(
        troubles(&report),
        [Trouble::Foreign, Trouble::OrphanCheckpoint]
    );
    assert!(!storage.objects.contains_key(&old));
}

#[test]
fn two_servers_that_wrote_at_once_leave_nothing_to_find() {
    let mut storage = Store::default();
    let mut servers = [Server::new(1, config()), Server::new(2, config())];
    for number in 1..=60 {
        let message = store_at(&mut storage, number, START_MS);
        let server = &mut servers[number as usize % 2];
        // What the other one wrote is not known: UIDs are claimed twice.
        server.append(&mut storage, "INBOX", vec![message]);
        if number % 7 == 0 {
            pass(server, &mut storage, Duration::from_secs(30));
        }
        if number % 20 == 0 {
            expunge(server, &mut storage, "INBOX", &[number / 2]);
        }
    }
    for server in &mut servers {
        pass(server, &mut storage, Duration::from_secs(61));
        let report = check(server, &mut storage, false, false);
        assert!(report.findings.is_empty(), "{report:?}");
    }
}

/// Storage does a write twice: the pointer to a checkpoint that is forgotten, object and all, comes back.
#[test]
fn a_pointer_that_came_back_is_no_disagreement() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let mut pointers = std::collections::BTreeMap::new();
    for from in [1, 11, 21, 31, 41] {
        fill(&mut server, &mut storage, "INBOX", from, from + 9);
        pass(&mut server, &mut storage, Duration::from_secs(61));
        let there = storage.items.iter();
        let there = there.filter(|(key, _)| key.sort.0.starts_with("#checkpoint"));
        pointers.extend(there.map(|(key, item)| (key.clone(), item.clone())));
    }
    let first = pointers.pop_first().unwrap();
    assert!(!storage.items.contains_key(&first.0), "it was forgotten");
    storage.items.extend([first]);
    assert_eq!(
        troubles(&check(&mut server, &mut storage, false, false)),
        []
    );
}

#[test]
fn what_was_expunged_before_its_mailbox_was_deleted_is_no_orphan() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    make_old(&mut server, &mut storage, connection);
    fill(&mut server, &mut storage, "Old", 1, 3);
    expunge(&mut server, &mut storage, "Old", &[2]);
    let delete = AccountRequest::Delete(name("Old"));
    server.ask(&mut storage, connection, delete);
    pass(&mut server, &mut storage, DAY * 2);
    assert_eq!(troubles(&check(&mut server, &mut storage, true, false)), []);
    // It can be brought back all the same.
    let recovered = undelete(&mut server, &mut storage, None);
    let mut numbers: Vec<u32> = recovered
        .messages
        .iter()
        .map(|it| number(&it.message))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn the_log_of_a_deleted_mailbox_is_put_right_as_any_other() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    make_old(&mut server, &mut storage, connection);
    fill(&mut server, &mut storage, "INBOX", 1, 1);
    fill(&mut server, &mut storage, "Old", 2, 4);
    let inbox = Places::new(keys().account()).log(inbox_id());
    let items = storage.items.iter_mut();
    let mut items =
        items.filter(|(key, _)| key.partition.0.contains("/m/") && key.partition != inbox);
    let (_, (value, _)) = items.next().unwrap();
    *value = value.slice(1..);
    drop(items);
    server.restart(2);
    let connection = server.connect();
    let delete = AccountRequest::Delete(name("Old"));
    server.ask(&mut storage, connection, delete);
    let reply = server.ask(&mut storage, connection, AccountRequest::Sweep);
    assert_eq!(failure(reply), AccountFailure::Corrupt);
    let report = check(&mut server, &mut storage, true, false);
    assert!(troubles(&report).contains(&Trouble::LogItem), "{report:?}");
    sweep(&mut server, &mut storage);
}

#[test]
fn what_somebody_puts_beside_an_item_is_moved_and_the_item_stays() {
    let (mut server, mut storage) = full();
    let before = shown(&server.status(&mut storage, "INBOX"));
    // Beside every item of the logs, and every pointer to a checkpoint.
    let of_logs = storage.items.keys();
    let of_logs: Vec<ItemKey> = of_logs
        .filter(|key| key.partition.0.contains("/m/"))
        .cloned()
        .collect();
    // Whoever knows the public key can seal a message for any place.
    let mut random = Random::new(Seed::new([4; 32]));
    let (account, public_key) = (keys().account(), keys().public_key());
    for key in &of_logs {
        let junk = bytes::Bytes::from_static(b"junk");
        let batch = Batch {
            stamp: Stamp::default(),
            modseq: ModSeq(1),
            past: None,
            operations: vec![Operation::Arrive {
                message: MessageId([99; 16]),
                arrival: NewMessage {
                    kind: ContentKind::Delivery,
                    ..message(99, &[])
                },
            }],
        };
        let part = Part::whole(&batch.encode());
        let letter = seal_arrival(account, &public_key, key, &part, &mut random).unwrap();
        storage.beside.insert(key.clone(), vec![junk, letter]);
    }
    server.restart(2);
    let report = check(&mut server, &mut storage, false, false);
    assert!(!report.findings.is_empty());
    let beside = |it: &Finding| it.trouble == Trouble::ValueBeside;
    assert!(report.findings.iter().all(beside), "{report:?}");
    assert!(report.lost.is_empty(), "{report:?}");
    // What a checkpoint contains is not looked into.
    let found = report.findings.len();
    let report = check(&mut server, &mut storage, true, false);
    assert!(report.findings.iter().all(|it| it.repaired), "{report:?}");
    let report = check(&mut server, &mut storage, false, false);
    assert!(report.findings.is_empty(), "{report:?}");
    let aside = storage.items.iter();
    let aside = aside
        .filter(|(key, (value, _))| key.partition.0.ends_with("/x") && value.as_ref() == b"junk");
    assert_eq!(aside.count(), found);
    server.restart(3);
    assert_eq!(shown(&server.status(&mut storage, "INBOX")), before);
    sweep(&mut server, &mut storage);
}

#[test]
fn where_an_earlier_state_was_put_back_a_rebuild_gives_no_uid_that_was_told() {
    let (mut server, mut storage) = full();
    let earlier = storage.items.clone();
    let message = store_at(&mut storage, 50, START_MS);
    let told = server.append(&mut storage, "INBOX", vec![message]);
    storage.items = earlier;
    server.restart(2);
    rebuild(&mut server, &mut storage);
    let recovered = shown(&server.status(&mut storage, "Recovered"));
    assert!(recovered.iter().any(|(_, number)| *number == 50));
    let message = store_at(&mut storage, 51, START_MS);
    let uids = server.append(&mut storage, "INBOX", vec![message]);
    assert!(uids[0] > told[0], "{uids:?} {told:?}");
}

#[test]
fn where_a_backup_was_put_back_every_mailbox_is_lost_and_what_was_stored_before_comes_back() {
    let (mut server, mut storage) = full();
    let earlier = storage.items.clone();
    let restored_ms = server.now.unix_ms + 1;
    // Their numbers are added to these times.
    let before = store_at(&mut storage, 50, restored_ms - 1 - 50);
    server.append(&mut storage, "INBOX", vec![before]);
    storage.items = earlier;
    // Another server has stored a body since, and not yet said where it belongs.
    store_at(&mut storage, 51, restored_ms - 51);
    server.restart(2);
    let kept = storage.items.clone();
    let connection = server.connect();
    let options = CheckOptions {
        bodies: Bodies::Skip,
        repair: false,
        rebuild: false,
        restored_ms: Some(restored_ms),
    };
    let reply = server.ask(&mut storage, connection, AccountRequest::Check(options));
    let AccountReply::Checked(report) = reply else {
        panic!("{reply:?}");
    };
    let orphans: Vec<u32> = report.orphans.iter().map(number).collect();
    assert_eq!(orphans, [50], "{report:?}");
    assert_eq!(report.lost.len() as u64, report.mailboxes);
    assert_eq!(storage.items, kept, "it only looks");
}

#[test]
fn a_log_of_which_each_checkpoint_lacks_something_is_told() {
    let mut storage = Store::default();
    let ahead_ms = START_MS + 3_600_000;
    let (mut late, mut writers) = (Vec::new(), Vec::new());
    // Two servers write a message each and make a checkpoint; the item and the pointer are not seen by others.
    for seed in [2, 3] {
        let mut server = Server::at(seed, without_checkpoints(), ahead_ms);
        fill(&mut server, &mut storage, "INBOX", 1, 8);
        writers.extend(inbox_items(&storage));
        let mut server = Server::at(seed + 10, config(), ahead_ms);
        server.status(&mut storage, "INBOX");
        server.wait(Duration::from_secs(11));
        server.drain(&mut storage);
        late.extend(core::mem::take(&mut storage.items));
    }
    let is_pointer = |(key, _): &(ItemKey, _)| key.sort.0.starts_with('#');
    let pointers: Vec<_> = late.into_iter().filter(is_pointer).collect();
    assert_eq!((pointers.len(), writers.is_empty()), (2, false));
    storage.items.extend(pointers);
    let mut server = Server::new(20, config());
    let report = check(&mut server, &mut storage, false, false);
    assert!(
        troubles(&report).contains(&Trouble::Disagreement),
        "{report:?}"
    );
    assert!(!report.lost.is_empty());
}
