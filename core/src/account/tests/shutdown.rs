//! The end of a machine: what was begun is finished, as far as storage lets it.

use super::world::{Fate, Server, Store, config, keys, message, name};
use crate::account::{AccountInput, AccountReply, AccountRequest};
use crate::mailbox::WriterId;
use crate::seal::Places;
use core::time::Duration;
use std::collections::BTreeSet;

fn append(number: u32) -> AccountRequest {
    AccountRequest::Append {
        name: name("INBOX"),
        messages: vec![message(number, &[])],
        summaries: Vec::new(),
    }
}

#[test]
fn done_comes_when_the_commit_in_flight_is_answered() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let connection = server.connect();
    server.send(connection, append(2));
    server.input(AccountInput::Shutdown);
    assert!(!server.done);
    let reply = server.await_reply(&mut storage, connection, |_| Fate::Works);
    assert!(matches!(reply, AccountReply::Appended { .. }));
    server.drain(&mut storage);
    assert!(server.done);
}

#[test]
fn done_comes_when_storage_only_fails() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let (writing, reading) = (server.connect(), server.connect());
    server.send(writing, append(2));
    server.send(reading, AccountRequest::Status(name("Archive")));
    server.input(AccountInput::Shutdown);
    for connection in [writing, reading] {
        let reply = server.await_reply(&mut storage, connection, |_| Fate::Lost);
        assert!(matches!(reply, AccountReply::Failed(_)));
    }
    for _ in 0..100 {
        if !server.step(&mut storage, Fate::Lost) {
            server.wait(Duration::from_millis(100));
        }
    }
    assert!(server.done);
}

#[test]
fn without_an_answer_nobody_is_told_that_it_is_done() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let connection = server.connect();
    server.send(connection, append(2));
    server.input(AccountInput::Shutdown);
    for _ in 0..1_000 {
        server.wait(Duration::from_secs(1));
    }
    // Its owner waits as long as it likes, and then drops it.
    assert!(!server.done && server.unasked(connection).is_empty());
    server.restart(2);
    assert_eq!(server.status(&mut storage, "INBOX").len(), 1);
}

/// Who has written to logs.
fn writers(storage: &Store) -> BTreeSet<WriterId> {
    let places = Places::new(keys().account());
    let log = storage
        .items
        .keys()
        .filter(|key| key.partition.0.contains("/m/"));
    let positions = log.filter_map(|key| places.parse_operation(&key.sort));
    positions.map(|(writer, _)| writer).collect()
}

#[test]
fn the_next_machine_of_a_process_writes_as_the_one_before() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    for number in 1..=8 {
        let uids = server.append(&mut storage, "INBOX", vec![message(number, &[])]);
        assert_eq!(uids[0].get(), number);
        server.input(AccountInput::Shutdown);
        server.drain(&mut storage);
        assert!(server.done);
        server = server.next_machine(number as u8 + 1);
    }
    assert_eq!(writers(&storage).len(), 1);
    assert_eq!(server.status(&mut storage, "INBOX").len(), 8);
    // Another process is another writer.
    server.restart(20);
    server.append(&mut storage, "INBOX", vec![message(9, &[])]);
    assert_eq!(writers(&storage).len(), 2);
    assert_eq!(server.status(&mut storage, "INBOX").len(), 9);
}

#[test]
fn who_may_still_have_a_batch_on_its_way_is_not_written_as_again() {
    for ends in [false, true] {
        let mut server = Server::new(1, config());
        let mut storage = Store::default();
        server.append(&mut storage, "INBOX", vec![message(1, &[])]);
        let connection = server.connect();
        server.send(connection, append(2));
        if ends {
            // It fails for good, but storage does it all the same.
            let reply = server.await_reply(&mut storage, connection, |_| Fate::Late);
            assert!(matches!(reply, AccountReply::Failed(_)));
        }
        server.input(AccountInput::Shutdown);
        if ends {
            server.drain(&mut storage);
        }
        assert_eq!(server.done, ends);
        server = server.next_machine(2);
        server.append(&mut storage, "INBOX", vec![message(3, &[])]);
        storage.land();
        assert_eq!(writers(&storage).len(), 2);
        server = Server::new(3, config());
        let state = server.status(&mut storage, "INBOX");
        assert_eq!(state.len(), 2 + usize::from(ends));
    }
}
