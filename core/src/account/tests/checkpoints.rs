//! Checkpoints are made, keep the log short, and may be damaged.

use super::world::{Fate, Server, Store, config, message, uid, view};
use crate::account::{AccountInput, AccountReply, AccountRequest};
use crate::boundary::Event;
use crate::config::Config;
use crate::mailbox::Flag;
use core::time::Duration;

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

#[test]
fn nothing_is_forgotten_before_the_grace_period() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    fill(&mut server, &mut storage, 1, 60);
    let (pointers, operations, _) = counts(&storage);
    assert_eq!((pointers, operations), (2, 60));
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
    assert_eq!(
        server.append(&mut storage, "INBOX", vec![message(4, &[])]),
        [uid(4)]
    );
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
