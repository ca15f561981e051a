//! UIDs that two servers claim at the same time: each is shown for one message at most.

use super::world::{Fate, Server, Store, config, message, name, view};
use crate::account::{AccountFailure, AccountReply, AccountRequest, ConnectionId};
use crate::config::Config;
use crate::mailbox::ContentId;
use std::collections::BTreeMap;

fn shared() -> Config {
    Config {
        shared_storage: true,
        ..config()
    }
}

fn append(number: u32) -> AccountRequest {
    AccountRequest::Append {
        name: name("INBOX"),
        messages: vec![message(number, &[])],
        summaries: Vec::new(),
    }
}

/// The UIDs that an APPEND was answered with.
fn appended(server: &mut Server, connection: ConnectionId) -> Option<Vec<u32>> {
    let replies = server.unasked(connection).into_iter();
    replies
        .filter_map(|reply| match reply {
            AccountReply::Appended { uids, .. } => Some(uids.iter().map(|it| it.get()).collect()),
            AccountReply::Failed(failure) => panic!("{failure:?}"),
            _ => None,
        })
        .next()
}

/// Two servers that know the same mailbox and get a message each, their steps in the order
/// of the bits of `order`. Which UID each of them told.
fn race(order: u32, storage: &mut Store, servers: &mut [Server; 2]) -> [Vec<u32>; 2] {
    servers[0].append(storage, "INBOX", vec![message(1, &[])]);
    let mut connections = Vec::new();
    for (server, number) in servers.iter_mut().zip(2..) {
        server.status(storage, "INBOX");
        let connection = server.connect();
        server.send(connection, append(number));
        connections.push(connection);
    }
    let mut told = [None, None];
    for step in 0..10_000u32 {
        let now = if step < 32 {
            (order >> step & 1) as usize
        } else {
            (step % 2) as usize
        };
        if !servers[now].step(storage, Fate::Works) {
            servers[now].wait(core::time::Duration::from_millis(100));
        }
        for which in [0, 1] {
            let reply = appended(&mut servers[which], connections[which]);
            told[which] = told[which].take().or(reply);
        }
        if let [Some(one), Some(two)] = &told {
            return [one.clone(), two.clone()];
        }
    }
    panic!("no reply: {told:?}");
}

#[test]
fn a_uid_that_two_servers_claim_is_told_for_one_message_at_most() {
    let mut burned = 0;
    for order in 0..1 << 10 {
        let mut storage = Store::default();
        let mut servers = [Server::new(1, shared()), Server::new(2, shared())];
        let told = race(order, &mut storage, &mut servers);
        assert_ne!(told[0], told[1], "{order:b}");
        // What was told stays true, or the UID names nothing any more.
        let contents = |server: &mut Server, storage: &mut Store| -> BTreeMap<u32, ContentId> {
            let state = server.status(storage, "INBOX");
            state
                .iter_from(0)
                .map(|it| (it.uid.get(), it.content))
                .collect()
        };
        let [one, two] = &mut servers;
        let seen = contents(one, &mut storage);
        for (uids, number) in told.iter().zip(2..) {
            let content = message(number, &[]).content;
            let now = seen.get(&uids[0]);
            assert!(now.is_none_or(|it| *it == content), "{order:b}");
            burned += usize::from(now.is_none());
        }
        assert_eq!(seen.len(), 3, "{order:b}");
        contents(two, &mut storage);
        assert_eq!(contents(one, &mut storage), contents(two, &mut storage));
        let mut third = Server::new(3, shared());
        assert_eq!(
            contents(&mut third, &mut storage),
            contents(one, &mut storage)
        );
    }
    assert!(burned > 0, "no order made both servers claim the same UID");
}

#[test]
fn what_cannot_be_verified_is_not_told_and_appears_once() {
    let mut storage = Store::default();
    let mut server = Server::new(1, shared());
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let connection = server.connect();
    server.send(connection, append(2));
    while server.reads_inbox() {
        server.step(&mut storage, Fate::Works);
    }
    // The batch is stored, and from then on nothing can be read.
    assert!(!server.inserted().is_empty());
    let reply = server.await_reply(&mut storage, connection, |number| match number {
        0 => Fate::Works,
        _ => Fate::Lost,
    });
    assert!(matches!(
        reply,
        AccountReply::Failed(AccountFailure::Unavailable)
    ));
    let expected = [(1, 1, vec![]), (2, 2, vec![])];
    assert_eq!(view(&server.status(&mut storage, "INBOX")), expected);
    server.append(&mut storage, "INBOX", vec![message(3, &[])]);
    server.restart(2);
    assert_eq!(server.status(&mut storage, "INBOX").len(), 3);
}
