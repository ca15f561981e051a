//! The end of a machine: what was begun is finished, as far as storage lets it.

use super::world::{Fate, Server, Store, config, message, name};
use crate::account::{AccountInput, AccountReply, AccountRequest};
use core::time::Duration;

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
