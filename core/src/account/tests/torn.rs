//! A batch takes several items of the log and not all of them land: it does not exist
//! before it is whole, for nobody, and then it does, for everybody.

use super::world::{
    Fate, Server, Store, arriving, config, first_item, inbox_id, insert, keys, message, name, uid,
    view,
};
use crate::account::{AccountFailure, AccountReply, AccountRequest};
use crate::boundary::Event;
use crate::config::Config;
use crate::mailbox::{Flag, LogState as _, MailboxState, MessageId, Part, WriterId};
use crate::random::{Random, Seed};
use crate::seal::Places;
use crate::storage::ItemKey;
use core::time::Duration;

/// Items that the three messages take.
const ITEMS: usize = 4;

fn small() -> Config {
    Config {
        log_item_bytes_max: 80,
        ..config()
    }
}

fn append_three() -> AccountRequest {
    AccountRequest::Append {
        name: name("INBOX"),
        messages: (2..=4)
            .map(|number| message(number, &[Flag::Seen]))
            .collect(),
        summaries: Vec::new(),
    }
}

/// Message 1 is there; then a writer dies over 2, 3 and 4 of which only the items with
/// their bit set landed. The keys of all items.
fn die_over_three(storage: &mut Store, bits: u8) -> Vec<ItemKey> {
    let mut server = Server::new(1, small());
    server.append(storage, "INBOX", vec![message(1, &[])]);
    server.status(storage, "INBOX");
    let connection = server.connect();
    server.send(connection, append_three());
    let inserted = server.inserted();
    assert_eq!(inserted.len(), ITEMS);
    assert!(server.step(storage, Fate::TornLate(bits)));
    inserted
}

#[test]
fn a_batch_of_which_items_are_missing_does_not_exist() {
    for bits in 0..(1 << ITEMS) - 1 {
        let mut storage = Store::default();
        let all = die_over_three(&mut storage, bits);
        let landed = landed_of(&storage, &all);
        let mut other = Server::new(2, small());
        let state = other.status(&mut storage, "INBOX");
        assert_eq!(view(&state), [(1, 1, vec![])], "{bits:b}");
        assert_eq!(state.uid_next(), uid(2));
        // Others go on, also with checkpoints, and still nothing of it is seen.
        for number in 5..40 {
            other.append(&mut storage, "INBOX", vec![message(number, &[])]);
        }
        other.wait(Duration::from_secs(61));
        other.append(&mut storage, "INBOX", vec![message(40, &[])]);
        other.drain(&mut storage);
        let mut third = Server::new(3, small());
        assert_eq!(third.status(&mut storage, "INBOX").len(), 37);
        assert!(other.events.is_empty() && third.events.is_empty());
        // What is left of it is kept: the rest may come.
        assert_eq!(landed_of(&storage, &all), landed);
    }
}

fn landed_of(storage: &Store, all: &[ItemKey]) -> Vec<bool> {
    all.iter()
        .map(|key| storage.items.contains_key(key))
        .collect()
}

#[test]
fn a_batch_whose_last_items_come_late_is_seen_by_everybody() {
    for bits in 0..(1 << ITEMS) - 1 {
        let mut storage = Store::default();
        let all = die_over_three(&mut storage, bits);
        let landed = landed_of(&storage, &all);
        let mut watching = Server::new(2, small());
        let connection = watching.connect();
        let before = watching.select(&mut storage, connection, "INBOX").state;
        // Another one makes checkpoints meanwhile and forgets what they contain.
        let mut busy = Server::new(3, small());
        for round in 0..3 {
            for number in 0..14 {
                let messages = vec![message(10 + round * 14 + number, &[])];
                busy.append(&mut storage, "INBOX", messages);
            }
            busy.wait(Duration::from_secs(61));
            busy.drain(&mut storage);
        }
        watching.ask(&mut storage, connection, AccountRequest::Refresh);
        assert_eq!(landed_of(&storage, &all), landed);
        storage.land();
        let AccountReply::Snapshot(after) =
            watching.ask(&mut storage, connection, AccountRequest::Refresh)
        else {
            panic!()
        };
        let contents = |shown: &[(u32, u32, Vec<Flag>)]| {
            let mut contents: Vec<_> = shown.iter().map(|it| it.1).collect();
            contents.sort_unstable();
            contents
        };
        let shown = view(&after.state);
        let expected: Vec<u32> = (1..=4).chain(10..52).collect();
        assert_eq!(contents(&shown), expected, "{bits:b}");
        // Late, so above all that was shown.
        assert!(after.state.highest_modseq() > before.highest_modseq());
        for (uid, content, _) in &shown {
            assert!(*uid >= 40 || !(2..=4).contains(content), "{shown:?}");
        }
        for server in [&mut busy, &mut Server::new(4, small())] {
            let state = server.status(&mut storage, "INBOX");
            assert_eq!(view(&state), shown);
        }
    }
}

#[test]
fn a_failed_batch_is_told_and_the_next_one_uses_other_numbers() {
    let mut storage = Store::default();
    let mut server = Server::new(1, small());
    let connection = server.connect();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    server.send(connection, append_three());
    let reply = server.await_reply(&mut storage, connection, |_| Fate::Torn(0b1101));
    assert!(matches!(
        reply,
        AccountReply::Failed(AccountFailure::Unavailable)
    ));
    assert_eq!(
        server.append(&mut storage, "INBOX", vec![message(5, &[])]),
        [uid(2)]
    );
    server.restart(2);
    let expected = [(1, 1, vec![]), (2, 5, vec![])];
    assert_eq!(view(&server.status(&mut storage, "INBOX")), expected);
}

#[test]
fn an_insert_that_is_made_again_completes_what_had_landed() {
    let mut storage = Store::default();
    let mut server = Server::new(1, small());
    let connection = server.connect();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    server.send(connection, append_three());
    let fate = |number| match number {
        0 => Fate::Torn(0b101),
        1 => Fate::Torn(0),
        _ => Fate::Works,
    };
    let reply = server.await_reply(&mut storage, connection, fate);
    assert!(matches!(reply, AccountReply::Appended { uids, .. } if uids.len() == 3));
    server.restart(2);
    assert_eq!(server.status(&mut storage, "INBOX").len(), 4);
}

#[test]
fn a_damaged_item_spoils_its_batch_only() {
    for at in 0..4 {
        let mut storage = Store::default();
        let mut server = Server::new(1, small());
        server.append(&mut storage, "INBOX", vec![message(1, &[])]);
        let connection = server.connect();
        server.send(connection, append_three());
        let inserted = server.inserted();
        server.await_reply(&mut storage, connection, |_| Fate::Works);
        server.append(&mut storage, "INBOX", vec![message(5, &[])]);
        let (value, _) = storage.items.get_mut(&inserted[at]).unwrap();
        let right = value.clone();
        *value = value.slice(1..);
        server.restart(2);
        let state = server.status(&mut storage, "INBOX");
        assert_eq!(view(&state), [(1, 1, vec![]), (5, 5, vec![])]);
        let told = server.events.iter();
        let told = told.filter(|event| matches!(event, Event::Damaged { .. }));
        assert_eq!(told.count(), 1);
        // It is not told again and again.
        server.status(&mut storage, "INBOX");
        assert_eq!(server.events.len(), 1);
        // Storage was wrong for a while, and is right again.
        storage.items.get_mut(&inserted[at]).unwrap().0 = right;
        let texts = |it: Vec<(u32, u32, Vec<Flag>)>| {
            let mut texts: Vec<u32> = it.into_iter().map(|(_, text, _)| text).collect();
            texts.sort_unstable();
            texts
        };
        let state = server.status(&mut storage, "INBOX");
        assert_eq!(texts(view(&state)), [1, 2, 3, 4, 5]);
    }
}

/// Each of its items can be opened, and what they add up to is nothing that is known here.
#[test]
fn a_batch_that_cannot_be_understood_is_told_once() {
    let mut storage = Store::default();
    let mut server = Server::new(1, small());
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let batch = arriving(MessageId([1; 16]), message(2, &[])).encode();
    let parts = Part::cut(&batch[..batch.len() - 1], batch.len() / 3);
    assert!(parts.len() > 2);
    let first = first_item(inbox_id(), 7);
    let mut random = Random::new(Seed::new([7; 32]));
    for (seq, part) in (0..).zip(parts) {
        let places = Places::new(keys().account());
        let sort = places.operation(WriterId([7; 16]), seq);
        let key = ItemKey {
            sort,
            ..first.clone()
        };
        let value = keys().seal_item(&key, MailboxState::OPERATION, &part, &mut random);
        insert(&mut storage, key, value);
    }
    for number in 2..6 {
        server.append(&mut storage, "INBOX", vec![message(number, &[])]);
        let state = server.status(&mut storage, "INBOX");
        assert_eq!(state.len(), number as usize);
    }
    let told = server.events.iter();
    let told = told.filter(|event| matches!(event, Event::Damaged { .. }));
    assert_eq!(told.count(), 1);
}

#[test]
fn of_a_move_that_fails_all_copies_are_there_or_none_and_nothing_is_lost() {
    let mut seen = [0; 3];
    for step in 0..8 {
        for bits in 0..8 {
            let mut storage = Store::default();
            let mut server = Server::new(1, small());
            let messages = (1..=9).map(|number| message(number, &[])).collect();
            server.append(&mut storage, "INBOX", messages);
            let connection = server.connect();
            server.select(&mut storage, connection, "INBOX");
            let request = AccountRequest::Copy {
                uids: (1..=9).map(uid).collect(),
                to: name("Archive"),
                expunge: true,
            };
            server.send(connection, request);
            server.await_reply(&mut storage, connection, |number| match number < step {
                true => Fate::Works,
                false => Fate::Torn(bits),
            });
            server.restart(2);
            let left = server.status(&mut storage, "INBOX").len();
            let copied = server.status(&mut storage, "Archive").len();
            seen[match (left, copied) {
                (9, 0) => 0,
                (9, 9) => 1,
                (0, 9) => 2,
                other => panic!("{other:?} at {step}, {bits:b}"),
            }] += 1;
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
}
