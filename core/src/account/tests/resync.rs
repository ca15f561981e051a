//! A client that asks a server only for what changed since it was told HIGHESTMODSEQ by
//! another one.

use super::world::{Fate, Server, Store, config, inbox_id, message, name};
use crate::account::{AccountInput, AccountReply, AccountRequest, ConnectionId};
use crate::config::Config;
use crate::mailbox::{Flag, FlagAction, FlagChange, ModSeq, Uid};
use crate::storage::{ItemKey, StorageRequest};
use bytes::Bytes;
use core::time::Duration;

/// Its writers sort before those of the others.
const EARLY: u64 = 1_700_000_000_000;

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

fn add(flag: Flag, uids: &[u32]) -> AccountRequest {
    AccountRequest::Store {
        uids: uids.iter().map(|number| uid(*number)).collect(),
        change: FlagChange {
            action: FlagAction::Add,
            flags: vec![flag],
        },
        unchanged_since: None,
    }
}

fn highest(server: &mut Server, storage: &mut Store, connection: ConnectionId) -> ModSeq {
    let snapshot = server.select(storage, connection, "INBOX");
    snapshot.state.highest_modseq()
}

#[test]
fn an_expunge_is_told_though_its_writer_sorts_before_the_one_of_the_message() {
    let mut storage = Store::default();
    let mut late = Server::new(1, config());
    late.append(
        &mut storage,
        "INBOX",
        vec![message(1, &[]), message(2, &[])],
    );
    let mut early = Server::at(2, config(), EARLY);
    let connection = early.connect();
    let told = highest(&mut early, &mut storage, connection);
    early.ask(&mut storage, connection, add(Flag::Deleted, &[1]));
    early.ask(
        &mut storage,
        connection,
        AccountRequest::Expunge { uids: None },
    );
    let state = Server::new(3, config()).status(&mut storage, "INBOX");
    assert!(state.expunged_since(told).eq([uid(1)]));
}

#[test]
fn what_two_servers_wrote_at_the_same_time_is_hidden_from_nobody() {
    let mut storage = Store::default();
    let mut one = Server::new(1, config());
    one.append(
        &mut storage,
        "INBOX",
        vec![message(1, &[]), message(2, &[])],
    );
    let mut two = Server::new(2, config());
    let (first, second) = (one.connect(), two.connect());
    one.select(&mut storage, first, "INBOX");
    two.select(&mut storage, second, "INBOX");
    // Neither reads what the other writes.
    let AccountReply::Stored { snapshot, .. } =
        one.ask(&mut storage, first, add(Flag::Flagged, &[1]))
    else {
        panic!()
    };
    let told = snapshot.state.highest_modseq();
    two.ask(&mut storage, second, add(Flag::Seen, &[2]));
    // Both die; the client of the first comes to a third.
    let mut third = Server::new(3, config());
    let connection = third.connect();
    let state = third.select(&mut storage, connection, "INBOX").state;
    assert!(state.highest_modseq() > told);
    assert!(state.find(uid(2)).unwrap().modseq > told);
    // Whoever comes next is told the same, or more.
    let state = Server::new(4, config()).status(&mut storage, "INBOX");
    assert!(state.find(uid(2)).unwrap().modseq > told);
}

#[test]
fn a_message_that_was_announced_gets_no_uid_that_another_server_has_given() {
    let mut storage = Store::default();
    let mut one = Server::new(1, config());
    let connection = one.connect();
    one.status(&mut storage, "INBOX");
    let mut two = Server::new(2, config());
    assert_eq!(
        two.append(&mut storage, "INBOX", vec![message(1, &[])]),
        [uid(1)]
    );
    // The first server knows the mailbox, but not what is new in it.
    one.wait(config().claim_read_age_max + Duration::from_millis(1));
    one.ask(
        &mut storage,
        connection,
        AccountRequest::Probe(name("INBOX")),
    );
    let append = AccountRequest::Append {
        name: name("INBOX"),
        messages: vec![message(2, &[])],
        summaries: Vec::new(),
    };
    let AccountReply::Appended { uids, .. } = one.ask(&mut storage, connection, append) else {
        panic!()
    };
    assert_eq!(uids, [uid(2)]);
}

#[test]
fn a_mailbox_that_was_read_just_now_is_not_read_again_for_messages_that_come() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    let probe = || AccountRequest::Probe(name("INBOX"));
    let reads = |server: &mut Server, storage: &mut Store| {
        server.send(connection, probe());
        let open = server.open.iter();
        let reads = open.filter(|it| matches!(it.1, StorageRequest::ReadRange(_)));
        let reads = reads.count();
        server.drain(storage);
        reads
    };
    assert_eq!(reads(&mut server, &mut storage), 0);
    // Unless it is known that there is news.
    server.input(AccountInput::Rung(Some(inbox_id())));
    assert_eq!(reads(&mut server, &mut storage), 1);
    server.wait(config().claim_read_age_max + Duration::from_millis(1));
    assert_eq!(reads(&mut server, &mut storage), 1);
}

#[test]
fn who_reads_in_pages_sees_what_came_behind_the_page_with_what_builds_on_it() {
    let mut storage = Store::default();
    let mut one = Server::new(1, config());
    for number in 1..3 {
        one.append(&mut storage, "INBOX", vec![message(number, &[])]);
    }
    let paged = Config {
        log_page_items: 1,
        ..config()
    };
    let mut two = Server::new(2, paged);
    let connection = two.connect();
    two.begin_select(&mut storage, connection);
    let mut three = Server::at(3, config(), EARLY);
    three.append(&mut storage, "INBOX", vec![message(3, &[])]);
    let mut four = Server::at(4, config(), 1_800_000_001_000);
    four.append(&mut storage, "INBOX", vec![message(4, &[])]);
    let snapshot = two.await_selected(&mut storage, connection);
    assert_eq!(snapshot.state.len(), 4);
}

/// A reader that knows the mailbox, and a writer whose next but last message is taken out of
/// storage again: its key and what was there.
fn pass_one_over(storage: &mut Store) -> (Server, ConnectionId, Hidden) {
    let mut one = Server::new(1, config());
    one.append(storage, "INBOX", vec![message(1, &[])]);
    let mut two = Server::new(2, config());
    let connection = two.connect();
    two.select(storage, connection, "INBOX");
    for number in 2..=3 {
        one.append(storage, "INBOX", vec![message(number, &[])]);
    }
    let mut items: Vec<_> = storage.items.iter().collect();
    items.sort_by_key(|(_, (_, version))| core::cmp::Reverse(*version));
    let (key, value) = items[1];
    let hidden = (key.clone(), value.clone());
    storage.items.remove(&hidden.0);
    (two, connection, hidden)
}

type Hidden = (ItemKey, (Bytes, u64));

#[test]
fn an_item_that_was_passed_over_is_read_before_the_ones_behind_it_are_shown() {
    let mut storage = Store::default();
    let (mut two, connection, (key, value)) = pass_one_over(&mut storage);
    // As of two nodes of which one was asked early and the other one did not have it yet.
    two.begin_select(&mut storage, connection);
    storage.items.insert(key, value);
    let snapshot = two.await_selected(&mut storage, connection);
    assert_eq!(snapshot.state.len(), 3);
}

#[test]
fn an_item_that_was_passed_over_is_asked_for_until_it_is_there_and_is_hidden_from_nobody() {
    let mut storage = Store::default();
    let (mut two, connection, (key, value)) = pass_one_over(&mut storage);
    let told = two.select(&mut storage, connection, "INBOX").state;
    assert_eq!(told.len(), 2);
    storage.items.insert(key, value);
    let state = two.select(&mut storage, connection, "INBOX").state;
    assert_eq!(state.len(), 3);
    let late = state.iter_from(0).find(|it| told.find(it.uid).is_none());
    let late = late.unwrap();
    assert!(late.modseq > told.highest_modseq() && late.uid >= told.uid_next());
}

/// A log of two pages, a reader that has the first of them, and a message that is written to
/// that page afterwards. `fate` is that of the reading.
fn ask_while_it_is_read(fate: Fate) {
    let mut storage = Store::default();
    let mut late = Server::new(1, config());
    for number in 1..=7 {
        late.append(&mut storage, "INBOX", vec![message(number, &[])]);
    }
    let mut reader = Server::new(2, config());
    let (first, second) = (reader.connect(), reader.connect());
    reader.begin_select(&mut storage, first);
    let mut early = Server::at(3, config(), EARLY);
    early.append(&mut storage, "INBOX", vec![message(8, &[])]);
    reader.send(second, AccountRequest::Status(name("INBOX")));
    let reply = reader.await_reply(&mut storage, second, |number| match number {
        0 => fate,
        _ => Fate::Works,
    });
    let AccountReply::Status(state) = reply else {
        panic!("{fate:?}: {reply:?}")
    };
    assert_eq!(state.len(), 8, "{fate:?}");
}

#[test]
fn who_asks_while_a_log_is_read_is_told_what_was_written_before() {
    ask_while_it_is_read(Fate::Works);
}

#[test]
fn that_the_reading_before_failed_does_not_concern_who_asked_during_it() {
    ask_while_it_is_read(Fate::Refused);
}
