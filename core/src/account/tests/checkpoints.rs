//! Checkpoints are made, keep the log short, and may be damaged.

use super::world::{
    Fate, Server, Store, config, failure, inbox_id, keys, message, name, uid, view,
};
use crate::account::{AccountFailure, AccountInput, AccountReply, AccountRequest};
use crate::boundary::Event;
use crate::config::Config;
use crate::mailbox::{
    CheckpointPointer, Flag, FlagAction, FlagChange, Keyword, LogState as _, MailboxState,
};
use crate::seal::Places;
use crate::storage::{ItemKey, ObjectKey, StorageRequest};
use core::time::Duration;
use std::collections::BTreeSet;

fn fill(server: &mut Server, storage: &mut Store, from: u32, to: u32) {
    for number in from..=to {
        let flags = if number % 3 == 0 {
            vec![Flag::Seen]
        } else {
            vec![]
        };
        server.append(storage, "INBOX", vec![message(number, &flags)]);
    }
    server.drain(storage);
}

fn expected(to: u32) -> Vec<(u32, u32, Vec<Flag>)> {
    let flags = |number: u32| {
        if number.is_multiple_of(3) {
            vec![Flag::Seen]
        } else {
            vec![]
        }
    };
    (1..=to)
        .map(|number| (number, number, flags(number)))
        .collect()
}

fn counts(storage: &Store) -> (usize, usize, usize) {
    let pointer = |key: &&crate::storage::ItemKey| key.sort.0.starts_with('#');
    let pointers = storage.items.keys().filter(pointer).count();
    (
        pointers,
        storage.items.len() - pointers,
        storage.objects.len(),
    )
}

fn damage(bytes: &mut bytes::Bytes) {
    let mut damaged = bytes.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    *bytes = damaged.into();
}

#[test]
fn the_log_stays_short_and_two_checkpoints_are_kept() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    let one = server.connect();
    server.select(&mut storage, one, "INBOX");
    for round in 0..8 {
        fill(&mut server, &mut storage, round * 15 + 1, round * 15 + 15);
        server.wait(Duration::from_secs(61));
        server.drain(&mut storage);
    }
    let (pointers, operations, objects) = counts(&storage);
    assert_eq!((pointers, objects), (2, 2));
    assert!(operations < 60, "{operations}");
    server.restart(2);
    assert_eq!(view(&server.status(&mut storage, "INBOX")), expected(120));
}

/// Garage's pages have what was deleted for a day, and each of them is as long as other items.
#[test]
fn a_log_is_shortened_however_many_pointers_were_deleted() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    storage.deleted = Some(BTreeSet::new());
    let one = server.connect();
    server.select(&mut storage, one, "INBOX");
    for round in 0..8 {
        fill(&mut server, &mut storage, round * 15 + 1, round * 15 + 15);
        server.wait(Duration::from_secs(61));
        server.drain(&mut storage);
    }
    let deleted = storage.deleted.iter().flatten();
    let deleted = deleted.filter(|key| key.sort.0.starts_with('#')).count();
    assert!(deleted > config().log_page_items as usize, "{deleted}");
    let (pointers, operations, objects) = counts(&storage);
    assert_eq!((pointers, objects), (2, 2));
    assert!(operations < 60, "{operations}");
    server.restart(2);
    assert_eq!(view(&server.status(&mut storage, "INBOX")), expected(120));
}

#[test]
fn a_log_that_is_always_being_read_has_no_more_checkpoints() {
    // Every APPEND is followed by a reading, and most of these began before a checkpoint
    // was made that ends meanwhile.
    let mut server = Server::new(
        1,
        Config {
            shared_storage: true,
            ..config()
        },
    );
    let mut storage = Store::default();
    for number in 1..=120 {
        let connection = server.connect();
        let request = AccountRequest::Append {
            name: name("INBOX"),
            messages: vec![message(number, &[])],
            summaries: Vec::new(),
        };
        server.send(connection, request);
        while server.unasked(connection).is_empty() {
            // Reading takes longer than all else.
            let reads = |open: &(_, StorageRequest)| matches!(open.1, StorageRequest::ReadRange(_));
            if let Some(other) = server.open.iter().position(|open| !reads(open)) {
                server.open.rotate_left(other);
            }
            assert!(server.step(&mut storage, Fate::Works));
        }
    }
    // One message is two operations: it comes, and its UID is claimed.
    let at_most = 240 / config().checkpoint_operations_min;
    assert!(
        (8..=at_most).contains(&storage.created),
        "{}",
        storage.created
    );
}

#[test]
fn nothing_is_forgotten_before_the_grace_period() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    fill(&mut server, &mut storage, 1, 60);
    let (pointers, operations, _) = counts(&storage);
    assert_eq!((pointers, operations), (2, 60));
}

#[test]
fn items_that_a_new_checkpoint_contains_are_not_read_again() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    fill(&mut server, &mut storage, 1, 200);
    let (_, operations, _) = counts(&storage);
    assert_eq!(operations, 200);
    server.restart(2);
    storage.given = 0;
    assert_eq!(view(&server.status(&mut storage, "INBOX")), expected(200));
    assert!(storage.given < 60, "{}", storage.given);
    // What another server adds afterwards is found, behind and between what was skipped.
    let mut other = Server::new(3, config());
    fill(&mut other, &mut storage, 201, 203);
    assert_eq!(server.status(&mut storage, "INBOX").len(), 203);
    fill(&mut server, &mut storage, 204, 206);
    assert_eq!(view(&other.status(&mut storage, "INBOX")), expected(206));
}

#[test]
fn appending_is_cheap_however_large_the_mailbox() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    let one = server.connect();
    server.select(&mut storage, one, "INBOX");
    fill(&mut server, &mut storage, 1, 400);
    let pointer = |key: &&crate::storage::ItemKey| key.sort.0.starts_with('#');
    let last = storage.items.keys().filter(pointer).count();
    assert_eq!(last, 2);
    server.drain(&mut storage);
    let mut made = 0;
    let mut before = storage.objects.keys().last().cloned();
    for number in 401..=500 {
        server.append(&mut storage, "INBOX", vec![message(number, &[])]);
        server.drain(&mut storage);
        let newest = storage.objects.keys().last().cloned();
        made += usize::from(newest != before);
        before = newest;
    }
    // 200 operations, one checkpoint for each eighth of the messages.
    assert!((2..=5).contains(&made), "{made}");
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    let one = server.connect();
    server.select(&mut storage, one, "INBOX");
    for round in 0..4 {
        fill(&mut server, &mut storage, round * 20 + 1, round * 20 + 20);
        server.wait(Duration::from_secs(61));
        server.drain(&mut storage);
    }
    assert_eq!(counts(&storage).0, 2);
    let newest = storage.objects.keys().last().cloned().unwrap();
    damage(storage.objects.get_mut(&newest).unwrap());
    server.restart(2);
    assert_eq!(view(&server.status(&mut storage, "INBOX")), expected(80));
    let damaged =
        |event: &Event| matches!(event, Event::Damaged { place, .. } if *place == newest.0);
    assert!(server.events.iter().any(damaged));
    storage.objects.remove(&newest);
    server.restart(3);
    assert_eq!(view(&server.status(&mut storage, "INBOX")), expected(80));
}

#[test]
fn without_any_checkpoint_the_rest_works_and_uids_are_not_used_again() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    let one = server.connect();
    server.select(&mut storage, one, "INBOX");
    for round in 0..4 {
        fill(&mut server, &mut storage, round * 20 + 1, round * 20 + 20);
        server.wait(Duration::from_secs(61));
        server.drain(&mut storage);
    }
    storage.objects.values_mut().for_each(damage);
    server.restart(2);
    let state = server.status(&mut storage, "INBOX");
    assert!(state.len() < 80);
    assert_eq!(state.uid_next(), uid(81));
    assert_eq!(
        server.append(&mut storage, "INBOX", vec![message(81, &[])]),
        [uid(81)]
    );
    // What may come back is not overwritten by what is left.
    let pointers = counts(&storage).0;
    fill(&mut server, &mut storage, 82, 120);
    assert_eq!(counts(&storage).0, pointers);
}

/// The newest checkpoint is gone, and what the one before it builds on in the log as well.
#[test]
fn uids_and_modseqs_of_a_checkpoint_that_is_gone_are_not_used_again() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    let one = server.connect();
    server.select(&mut storage, one, "INBOX");
    fill(&mut server, &mut storage, 1, 45);
    let (pointer, newest) = newest(&storage);
    storage.objects.remove(&newest).unwrap();
    storage.items.retain(|key, _| key.sort.0.starts_with('#'));
    server.restart(2);
    let state = server.status(&mut storage, "INBOX");
    let shown = pointer.floor;
    assert!(!state.is_empty() && state.len() + 1 < shown.uid_next as usize);
    assert!(state.highest_modseq() >= shown.modseq);
    let next = server.append(&mut storage, "INBOX", vec![message(99, &[])]);
    assert_eq!(next, [uid(shown.uid_next)]);
    assert!(server.status(&mut storage, "INBOX").highest_modseq() > shown.modseq);
}

#[test]
fn a_damaged_item_is_passed_over_and_told() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    fill(&mut server, &mut storage, 1, 3);
    let second = storage.items.keys().nth(1).cloned().unwrap();
    damage(&mut storage.items.get_mut(&second).unwrap().0);
    server.restart(2);
    let state = server.status(&mut storage, "INBOX");
    assert_eq!(view(&state), [(1, 1, vec![]), (3, 3, vec![Flag::Seen])]);
    assert!(matches!(&server.events[..], [Event::Damaged { .. }]));
    // It may have had as many UIDs as there is room for in an item, which are passed over.
    let next = server.append(&mut storage, "INBOX", vec![message(4, &[])]);
    assert!(uid(4) < next[0] && next[0] < uid(20), "{next:?}");
}

/// What it held is not known: UIDs, and a change.
#[test]
fn uids_and_the_modseq_of_a_damaged_last_item_are_not_used_again() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, 1, 1);
    let lost = vec![message(2, &[]), message(3, &[])];
    let uids = server.append(&mut storage, "INBOX", lost);
    assert_eq!(uids, [uid(2), uid(3)]);
    let shown = server.status(&mut storage, "INBOX").highest_modseq();
    let last = storage.items.keys().last().cloned().unwrap();
    damage(&mut storage.items.get_mut(&last).unwrap().0);
    server.restart(2);
    let next = server.append(&mut storage, "INBOX", vec![message(4, &[])]);
    assert!(next[0] > uid(3), "{next:?}");
    let state = server.status(&mut storage, "INBOX");
    assert!(state.highest_modseq() > shown);
    // Once is enough.
    let then = server.append(&mut storage, "INBOX", vec![message(5, &[])]);
    assert_eq!(then, [uid(next[0].get() + 1)]);
    // Others see the same.
    let state = server.status(&mut storage, "INBOX");
    let theirs = Server::new(3, config()).status(&mut storage, "INBOX");
    assert_eq!(view(&theirs), view(&state));
    assert_eq!(theirs.uid_next(), state.uid_next());
    assert_eq!(theirs.highest_modseq(), state.highest_modseq());
}

#[test]
fn shutdown_writes_a_checkpoint_worth_having() {
    let mut server = Server::new(
        1,
        Config {
            checkpoint_operations_min: 40,
            ..config()
        },
    );
    let mut storage = Store::default();
    fill(&mut server, &mut storage, 1, 10);
    assert_eq!(counts(&storage).0, 0);
    server.input(AccountInput::Shutdown);
    assert!(!server.done);
    server.drain(&mut storage);
    assert!(server.done);
    assert_eq!(counts(&storage).0, 1);
    let late = server.connect();
    server.send(late, AccountRequest::List);
    let told = server.unasked(late);
    assert!(matches!(&told[..], [AccountReply::Failed(_)]));
}

#[test]
fn a_checkpoint_that_fails_at_any_step_loses_nothing() {
    for step in 0..40 {
        for fate in [Fate::Full, Fate::Lost, Fate::AnswerLost] {
            let mut server = Server::new(1, config());
            let mut storage = Store::default();
            let one = server.connect();
            server.select(&mut storage, one, "INBOX");
            fill(&mut server, &mut storage, 1, 5);
            server.append(&mut storage, "INBOX", vec![message(6, &[Flag::Seen])]);
            let mut number = 0;
            // The checkpoint is under way now.
            while server.step(
                &mut storage,
                if number == step { fate } else { Fate::Works },
            ) {
                number += 1;
            }
            assert_eq!(
                server.append(&mut storage, "INBOX", vec![message(7, &[])]),
                [uid(7)]
            );
            server.restart(2);
            let mut all = expected(6);
            all.push((7, 7, vec![]));
            assert_eq!(view(&server.status(&mut storage, "INBOX")), all);
        }
    }
}

#[test]
fn a_server_that_slept_while_the_log_was_shortened_wakes_up_right() {
    let mut sleeper = Server::new(1, config());
    let mut worker = Server::new(2, config());
    let mut storage = Store::default();
    let held = sleeper.connect();
    fill(&mut sleeper, &mut storage, 1, 3);
    let before = sleeper.select(&mut storage, held, "INBOX").state;
    let one = worker.connect();
    worker.select(&mut storage, one, "INBOX");
    for round in 0..6 {
        for number in 0..15 {
            worker.append(
                &mut storage,
                "INBOX",
                vec![message(4 + round * 15 + number, &[])],
            );
        }
        worker.wait(Duration::from_secs(61));
        worker.drain(&mut storage);
    }
    assert!(counts(&storage).1 < 80);
    let AccountReply::Snapshot(snapshot) = sleeper.ask(&mut storage, held, AccountRequest::Refresh)
    else {
        panic!()
    };
    assert_eq!(snapshot.state.len(), 93);
    assert!(snapshot.state.highest_modseq() > before.highest_modseq());
    assert_eq!(
        view(&snapshot.state),
        view(&worker.status(&mut storage, "INBOX"))
    );
}

#[test]
fn damage_of_every_kind_and_too_many_keywords_leave_what_is_readable() {
    let config = Config {
        keywords_max: 100,
        ..config()
    };
    let (mut one, mut two) = (
        Server::new(1, config.clone()),
        Server::new(2, config.clone()),
    );
    let mut storage = Store::default();
    // Two servers that do not know of each other give 160 keywords; 123 have room.
    let words = |letter: char, count| -> Vec<Flag> {
        let word = |number| Flag::Keyword(Keyword::new(&format!("{letter}{number}")));
        (0..count).map(word).collect()
    };
    one.append(&mut storage, "INBOX", vec![message(1, &[])]);
    two.status(&mut storage, "INBOX");
    one.append(&mut storage, "INBOX", vec![message(2, &words('a', 80))]);
    two.append(&mut storage, "INBOX", vec![message(3, &words('b', 80))]);
    for turn in [1, 2, 1] {
        let server = if turn == 1 { &mut one } else { &mut two };
        server.status(&mut storage, "INBOX");
        server.drain(&mut storage);
    }
    // Two checkpoints, and items behind them.
    for round in 0..7 {
        fill(&mut one, &mut storage, round * 6 + 4, round * 6 + 9);
        one.wait(Duration::from_secs(1));
    }
    assert_eq!(counts(&storage).0, 2);
    fill(&mut one, &mut storage, 46, 48);
    let newest = storage.objects.keys().last().cloned().unwrap();
    damage(storage.objects.get_mut(&newest).unwrap());
    let operations = storage.items.iter_mut();
    let operations = operations.filter(|(key, _)| !key.sort.0.starts_with('#'));
    let (_, (last, _)) = (operations.max_by_key(|(_, (_, written))| *written)).unwrap();
    damage(last);
    let mut other = Server::new(3, config);
    let state = other.status(&mut storage, "INBOX");
    let contents: Vec<u32> = view(&state).iter().map(|it| it.1).collect();
    let mut sorted = contents.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=47).collect::<Vec<_>>());
    assert_eq!(state.keywords().len(), 123);
    let told = other.events.iter();
    let told = told.filter(|event| matches!(event, Event::Damaged { .. }));
    assert_eq!(told.count(), 2);
    // A server that has it in memory says the same of what both can read.
    let mut shown = view(&one.status(&mut storage, "INBOX"));
    shown.retain(|it| it.1 != 48);
    assert_eq!(view(&state), shown);
    // It can be worked with: more keywords are refused, anything else goes.
    let connection = other.connect();
    other.select(&mut storage, connection, "INBOX");
    let mut store = |flag| {
        let first = state.message(0).unwrap().uid;
        let action = FlagAction::Add;
        let flags = vec![flag];
        let request = AccountRequest::Store {
            uids: vec![first],
            change: FlagChange { action, flags },
            unchanged_since: None,
        };
        other.ask(&mut storage, connection, request)
    };
    let reply = store(Flag::Keyword(Keyword::new("new")));
    assert!(matches!(failure(reply), AccountFailure::Limit(_)));
    let reply = store(Flag::Seen);
    assert!(matches!(reply, AccountReply::Stored { .. }));
    other.append(&mut storage, "INBOX", vec![message(49, &[])]);
    assert_eq!(other.status(&mut storage, "INBOX").len(), 48);
}

/// A server whose clock is hours ahead sees checkpoints that seem to be old.
#[test]
fn a_clock_that_is_ahead_forgets_nothing_early() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, 1, 60);
    assert_eq!(counts(&storage).1, 60);
    let hours = 20 * 3_600_000;
    let mut fast = Server::at(2, config(), 1_800_000_000_000 + hours);
    let connection = fast.connect();
    fast.select(&mut storage, connection, "INBOX");
    for number in 61..=100 {
        fast.append(&mut storage, "INBOX", vec![message(number, &[])]);
        fast.drain(&mut storage);
        fast.wait(Duration::from_millis(100));
    }
    fast.drain(&mut storage);
    assert!(counts(&storage).1 >= 100, "all of them are there");
    // Once it has seen the checkpoints for as long itself, it may.
    fast.wait(Duration::from_secs(61));
    fast.drain(&mut storage);
    assert!(counts(&storage).1 < 60);
    let mut other = Server::new(3, config());
    assert_eq!(other.status(&mut storage, "INBOX").len(), 100);
}

/// Between its first page and the checkpoint that it named, others made two newer ones.
#[test]
fn a_reader_whose_checkpoints_are_replaced_under_it_begins_again() {
    let mut storage = Store::default();
    let mut writer = Server::new(1, config());
    let held = writer.connect();
    writer.select(&mut storage, held, "INBOX");
    for round in 0..3 {
        fill(&mut writer, &mut storage, round * 20 + 1, round * 20 + 20);
        writer.wait(Duration::from_secs(61));
        writer.drain(&mut storage);
    }
    let mut steps = 0;
    for before in 0..12 {
        let mut reader = Server::new(10 + before, config());
        let connection = reader.connect();
        reader.send(
            connection,
            AccountRequest::Status(crate::mailbox::MailboxName::inbox()),
        );
        for _ in 0..before {
            steps += usize::from(reader.step(&mut storage, Fate::Works));
        }
        let first = 61 + u32::from(before) * 40;
        for half in [first, first + 20] {
            fill(&mut writer, &mut storage, half, half + 19);
            writer.wait(Duration::from_secs(61));
            writer.drain(&mut storage);
            reader.wait(Duration::from_secs(61));
        }
        let reply = reader.await_reply(&mut storage, connection, |_| Fate::Works);
        let AccountReply::Status(state) = reply else {
            panic!("{reply:?}");
        };
        // What came after it began may be there or not, the rest is.
        let ours = view(&state);
        assert!(ours.len() >= first as usize - 1, "{before}: {}", ours.len());
        assert_eq!(ours, expected(ours.len() as u32), "{before}");
        assert!(reader.events.is_empty(), "{:?}", reader.events);
    }
    assert!(steps > 50);
}

/// The pointers to checkpoints of INBOX.
fn pointers(storage: &Store) -> Vec<ItemKey> {
    let log = Places::new(keys().account()).log(inbox_id());
    let keys = storage.items.keys();
    keys.filter(|key| key.partition == log && key.sort.0.starts_with('#'))
        .cloned()
        .collect()
}

/// The newest checkpoint of INBOX, and its object.
fn newest(storage: &Store) -> (CheckpointPointer, ObjectKey) {
    let key = pointers(storage).pop().unwrap();
    let (value, _) = &storage.items[&key];
    let plain = keys()
        .open_item(&key, MailboxState::POINTER, value)
        .unwrap();
    let pointer = CheckpointPointer::decode(&plain).unwrap();
    let object = Places::new(keys().account()).checkpoint(pointer.content);
    (pointer, object)
}

#[test]
fn checkpoints_that_come_late_and_look_newer_hide_nothing() {
    let mut storage = Store::default();
    let mut first = Server::new(
        1,
        Config {
            checkpoint_operations_min: 1_000,
            ..config()
        },
    );
    // Two servers with clocks that are an hour ahead make a checkpoint each, which nobody sees for
    // a long time.
    let mut late = Vec::new();
    for (seed, from) in [(2, 1), (3, 16)] {
        fill(&mut first, &mut storage, from, from + 14);
        let mut ahead = Server::at(seed, config(), 1_800_003_600_000);
        ahead.status(&mut storage, "INBOX");
        ahead.wait(Duration::from_secs(11));
        ahead.drain(&mut storage);
        let pointers = pointers(&storage);
        assert_eq!(pointers.len(), 1);
        for key in pointers {
            let item = storage.items.remove(&key).unwrap();
            late.push((key, item));
        }
    }
    let mut server = Server::new(4, config());
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    for round in 0..6 {
        let from = 31 + round * 15;
        fill(&mut server, &mut storage, from, from + 14);
        server.wait(Duration::from_secs(61));
        server.drain(&mut storage);
    }
    assert!(counts(&storage).1 < 80, "it was shortened");
    storage.items.extend(late);
    let mut fresh = Server::new(5, config());
    assert_eq!(view(&fresh.status(&mut storage, "INBOX")), expected(120));
    // The two that are kept with the next one have what it lacks should it be damaged.
    let mut next = Server::at(6, config(), 1_800_007_200_000);
    let connection = next.connect();
    next.select(&mut storage, connection, "INBOX");
    fill(&mut next, &mut storage, 121, 127);
    for _ in 0..3 {
        next.wait(Duration::from_secs(61));
        next.drain(&mut storage);
    }
    let kept = pointers(&storage);
    assert_eq!(kept.len(), 2, "{kept:?}");
    storage.objects.remove(&newest(&storage).1).unwrap();
    let mut fresh = Server::new(7, config());
    assert_eq!(view(&fresh.status(&mut storage, "INBOX")), expected(127));
}

/// It has what no other one has, and lacks what only they have: it cannot stand in for all of them.
#[test]
fn a_checkpoint_that_comes_late_with_news_takes_the_place_of_no_other() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    fill(&mut server, &mut storage, 1, 15);
    // What another server writes from here on comes late, with its checkpoints.
    let mut away = Store::default();
    away.items.clone_from(&storage.items);
    away.objects.clone_from(&storage.objects);
    let mut other = Server::at(2, config(), 1_800_003_600_000);
    fill(&mut other, &mut away, 201, 207);
    assert_ne!(pointers(&away), pointers(&storage));
    for round in 1..4 {
        fill(&mut server, &mut storage, round * 15 + 1, round * 15 + 15);
        server.wait(Duration::from_secs(61));
        server.drain(&mut storage);
    }
    assert!(counts(&storage).1 < 40, "it was shortened");
    let old = pointers(&storage).into_iter().map(|key| key.sort);
    let is_new = |sort| old.clone().all(|old| old < sort);
    let news = away.items.into_iter();
    let news = news.filter(|(key, _)| !key.sort.0.starts_with('#') || is_new(key.sort.clone()));
    storage.items.extend(news);
    storage.objects.extend(away.objects);
    // The next one has all, and it is damaged.
    let seldom = Config {
        checkpoint_operations_min: 20,
        ..config()
    };
    let mut next = Server::at(3, seldom, 1_800_007_200_000);
    let connection = next.connect();
    next.select(&mut storage, connection, "INBOX");
    fill(&mut next, &mut storage, 61, 67);
    for _ in 0..3 {
        next.wait(Duration::from_secs(61));
        next.drain(&mut storage);
    }
    let (_, object) = newest(&storage);
    let damaged = storage.objects.remove(&object).unwrap();
    let mut all: Vec<u32> = (1..=67).chain(201..=207).collect();
    let mut fresh = Server::new(4, config());
    let seen = view(&fresh.status(&mut storage, "INBOX"));
    let mut seen: Vec<u32> = seen.into_iter().map(|(_, mail, _)| mail).collect();
    seen.sort_unstable();
    assert_eq!(seen, all);
    // Those before go with the one after it.
    storage.objects.insert(object, damaged);
    fill(&mut next, &mut storage, 68, 90);
    for _ in 0..3 {
        next.wait(Duration::from_secs(61));
        next.drain(&mut storage);
    }
    assert_eq!(pointers(&storage).len(), 2);
    all.extend(68..=90);
    let seen = Server::new(5, config()).status(&mut storage, "INBOX");
    assert_eq!(seen.len(), all.len());
}
