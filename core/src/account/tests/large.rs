//! A mailbox with very many messages: whatever is done to all of them at once goes to
//! storage in values that it takes.

use super::world::{Server, Store, config, message, name, uid};
use crate::account::{AccountReply, AccountRequest, ConnectionId};
use crate::config::Config;
use crate::mailbox::{Flag, FlagAction, FlagChange, Uid};

/// Messages. One STORE of them all is 240 KB, one COPY 1 MB.
const MANY: u32 = 15_000;

/// Octets that storage takes in a value.
const VALUE_BYTES_MAX: usize = 128 * 1024;

fn ordinary() -> Config {
    Config {
        storage_retries_max: config().storage_retries_max,
        ..Config::default()
    }
}

fn storage() -> Store {
    Store::taking(VALUE_BYTES_MAX)
}

fn all() -> Vec<Uid> {
    (1..=MANY).map(uid).collect()
}

fn store(flag: Flag) -> AccountRequest {
    AccountRequest::Store {
        uids: all(),
        change: FlagChange {
            action: FlagAction::Add,
            flags: vec![flag],
        },
        unchanged_since: None,
    }
}

fn copy(to: &str, expunge: bool) -> AccountRequest {
    AccountRequest::Copy {
        uids: all(),
        to: name(to),
        expunge,
    }
}

fn longest(storage: &Store) -> usize {
    let lengths = storage.items.values().map(|(value, _)| value.len());
    lengths.max().unwrap()
}

/// A server with one connection that has the large mailbox selected.
fn filled(storage: &mut Store) -> (Server, ConnectionId) {
    let mut server = Server::new(1, ordinary());
    let messages = (1..=MANY).map(|number| message(number, &[])).collect();
    assert_eq!(server.append(storage, "INBOX", messages), all());
    let connection = server.connect();
    server.select(storage, connection, "INBOX");
    (server, connection)
}

#[test]
fn append_store_and_expunge_of_very_many_messages() {
    let mut storage = storage();
    let (mut server, one) = filled(&mut storage);
    let reply = server.ask(&mut storage, one, store(Flag::Deleted));
    let AccountReply::Stored { snapshot, .. } = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(snapshot.state.deleted_count(), MANY as usize);
    // Another one that reads it all sees the same.
    let mut other = Server::new(2, ordinary());
    let state = other.status(&mut storage, "INBOX");
    assert_eq!(
        (state.len(), state.deleted_count()),
        (MANY as usize, MANY as usize)
    );
    let reply = server.ask(&mut storage, one, AccountRequest::Expunge { uids: None });
    assert!(matches!(reply, AccountReply::Snapshot(snapshot) if snapshot.state.is_empty()));
    let state = other.status(&mut storage, "INBOX");
    assert_eq!((state.len(), state.uid_next()), (0, uid(MANY + 1)));
    assert!(longest(&storage) < 65 * 1024);
}

#[test]
fn copy_and_move_of_very_many_messages() {
    let mut storage = storage();
    let (mut server, one) = filled(&mut storage);
    let reply = server.ask(&mut storage, one, copy("Archive", false));
    let AccountReply::Copied { copied, snapshot } = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (copied.uids.len(), snapshot.state.len()),
        (MANY as usize, MANY as usize)
    );
    let reply = server.ask(&mut storage, one, copy("Trash", true));
    let AccountReply::Copied { copied, snapshot } = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (copied.uids.len(), snapshot.state.len()),
        (MANY as usize, 0)
    );
    server.restart(2);
    for (mailbox, count) in [("INBOX", 0), ("Archive", MANY), ("Trash", MANY)] {
        let state = server.status(&mut storage, mailbox);
        assert_eq!(state.len(), count as usize, "{mailbox}");
    }
    assert!(longest(&storage) < 65 * 1024);
}
