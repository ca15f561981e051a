//! What other servers are told, what is done when they tell, and NOOP beside a storage
//! that is slow.

use super::world::{Fate, Server, Store, config, inbox_id, message, name};
use crate::account::{AccountInput, AccountReply, AccountRequest, ConnectionId, Snapshot};
use crate::mailbox::{Flag, FlagAction, FlagChange};
use core::time::Duration;

/// The only reply that came unasked.
fn changed(server: &mut Server, connection: ConnectionId) -> Snapshot {
    match server.unasked(connection).as_slice() {
        [AccountReply::Changed(snapshot)] => snapshot.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_commit_rings_and_what_only_reads_does_not() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    server.ask(&mut storage, connection, AccountRequest::Refresh);
    assert_eq!(server.rings, []);
    let uids = server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let inbox = inbox_id();
    assert_eq!(core::mem::take(&mut server.rings), [Some(inbox)]);
    let store = |flag: Flag| AccountRequest::Store {
        uids: uids.clone(),
        change: FlagChange {
            action: FlagAction::Add,
            flags: vec![flag],
        },
        unchanged_since: None,
    };
    server.ask(&mut storage, connection, store(Flag::Seen));
    assert_eq!(core::mem::take(&mut server.rings), [Some(inbox)]);
    // It has that flag already.
    server.ask(&mut storage, connection, store(Flag::Seen));
    assert_eq!(server.rings, []);
    let create = AccountRequest::Create {
        name: name("Work"),
        special_use: None,
    };
    server.ask(&mut storage, connection, create);
    assert_eq!(core::mem::take(&mut server.rings), [None]);
}

#[test]
fn nobody_is_rung_because_messages_were_shown_as_recent() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    server.rings.clear();
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    let items = storage.items.len();
    server.wait(Duration::from_secs(60));
    server.drain(&mut storage);
    assert!(storage.items.len() > items, "it was written down");
    assert_eq!(server.rings, []);
}

#[test]
fn a_commit_that_may_have_landed_rings() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    server.rings.clear();
    let connection = server.connect();
    let append = AccountRequest::Append {
        name: name("INBOX"),
        messages: vec![message(2, &[])],
        summaries: Vec::new(),
    };
    server.send(connection, append);
    let reply = server.await_reply(&mut storage, connection, |_| Fate::AnswerLost);
    assert!(matches!(reply, AccountReply::Failed(_)));
    assert_eq!(server.rings, [Some(inbox_id())]);
}

#[test]
fn who_is_rung_shows_what_another_server_wrote() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    let watching = two.connect();
    two.select(&mut storage, watching, "INBOX");
    one.append(&mut storage, "INBOX", vec![message(1, &[])]);
    for log in core::mem::take(&mut one.rings) {
        two.input(AccountInput::Rung(log));
    }
    two.drain(&mut storage);
    let snapshot = changed(&mut two, watching);
    assert_eq!(snapshot.state.len(), 1);
    assert!(snapshot.recent_from.is_some());

    // Two rings while it reads: read once more, not twice.
    one.append(&mut storage, "INBOX", vec![message(2, &[])]);
    two.input(AccountInput::RungAll);
    two.input(AccountInput::Rung(Some(inbox_id())));
    two.input(AccountInput::Rung(Some(inbox_id())));
    let mut steps = 0;
    while two.step(&mut storage, Fate::Works) {
        steps += 1;
        assert!(steps < 20, "it reads for ever");
    }
    assert_eq!(changed(&mut two, watching).state.len(), 2);
}

#[test]
fn nothing_is_read_for_a_ring_that_nobody_watches() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    server.input(AccountInput::RungAll);
    server.input(AccountInput::Rung(Some(inbox_id())));
    assert!(server.open.is_empty());
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    server.input(AccountInput::Rung(Some(inbox_id())));
    assert!(server.open.is_empty());
}

#[test]
fn a_mailbox_that_another_server_deletes_vanishes_when_the_directory_is_rung() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    let watching = two.connect();
    two.select(&mut storage, watching, "Junk");
    let connection = one.connect();
    one.ask(
        &mut storage,
        connection,
        AccountRequest::Delete(name("Junk")),
    );
    two.input(AccountInput::Rung(None));
    two.drain(&mut storage);
    let told = two.unasked(watching);
    assert!(
        matches!(told.as_slice(), [AccountReply::Vanished]),
        "{told:?}"
    );
}

#[test]
fn a_ring_is_not_forgotten_while_storage_fails() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    let watching = two.connect();
    two.select(&mut storage, watching, "INBOX");
    one.append(&mut storage, "INBOX", vec![message(1, &[])]);
    two.input(AccountInput::Rung(Some(inbox_id())));
    for _ in 0..100 {
        if !two.step(&mut storage, Fate::Lost) {
            two.wait(Duration::from_millis(100));
        }
    }
    assert!(two.unasked(watching).is_empty());
    // No later than the interval after the last failure.
    two.wait(config().reread_interval);
    two.drain(&mut storage);
    assert_eq!(changed(&mut two, watching).state.len(), 1);
}

#[test]
fn noop_says_what_is_known_when_storage_is_slow_and_the_rest_later() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    let watching = two.connect();
    two.select(&mut storage, watching, "INBOX");
    one.append(&mut storage, "INBOX", vec![message(1, &[])]);
    two.send(watching, AccountRequest::Refresh);
    two.wait(Duration::from_millis(249));
    assert!(two.unasked(watching).is_empty());
    two.wait(Duration::from_millis(1));
    let told = two.unasked(watching);
    let [AccountReply::Snapshot(snapshot)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(snapshot.state.len(), 0);
    two.drain(&mut storage);
    assert_eq!(changed(&mut two, watching).state.len(), 1);
    // One that is answered in time shows what is new at once, and only that.
    one.append(&mut storage, "INBOX", vec![message(2, &[])]);
    let reply = two.ask(&mut storage, watching, AccountRequest::Refresh);
    assert!(matches!(reply, AccountReply::Snapshot(it) if it.state.len() == 2));
    two.wait(Duration::from_secs(1));
    assert!(two.unasked(watching).is_empty());
}

/// RFC 3501 §6.1.2: NOOP always succeeds.
#[test]
fn noop_succeeds_when_storage_fails() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    server.send(connection, AccountRequest::Refresh);
    let reply = server.await_reply(&mut storage, connection, |_| Fate::Refused);
    assert!(matches!(reply, AccountReply::Snapshot(_)), "{reply:?}");
}

/// A client of `two` that sleeps on INBOX, to which a message has come from `one`.
fn asleep_with_news(one: &mut Server, two: &mut Server, storage: &mut Store) -> ConnectionId {
    let waiting = two.connect();
    two.select(storage, waiting, "INBOX");
    two.send(waiting, AccountRequest::Sleep);
    one.append(storage, "INBOX", vec![message(1, &[])]);
    waiting
}

fn resume() -> AccountRequest {
    AccountRequest::Resume {
        mailbox: inbox_id(),
        read_only: false,
    }
}

#[test]
fn who_sleeps_hears_of_news_that_took_long_to_read_as_soon_as_they_are_read() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    let waiting = asleep_with_news(&mut one, &mut two, &mut storage);
    let mut two = two.next_machine(3);
    two.input(AccountInput::RungAll);
    assert!(is_stirred(&mut two, waiting));
    two.send(waiting, resume());
    // The directory is there in time; the mailbox is not.
    while !two.reads_inbox() {
        assert!(two.step(&mut storage, Fate::Works));
    }
    two.wait(config().refresh_patience);
    let told = two.unasked(waiting);
    assert!(
        matches!(told.as_slice(), [AccountReply::Failed(_)]),
        "{told:?}"
    );
    two.drain(&mut storage);
    assert!(is_stirred(&mut two, waiting));
    let reply = two.ask(&mut storage, waiting, resume());
    assert!(matches!(reply, AccountReply::Snapshot(it) if it.state.len() == 1));
}

#[test]
fn a_ring_while_somebody_wakes_is_not_lost() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    let waiting = asleep_with_news(&mut one, &mut two, &mut storage);
    two.input(AccountInput::Rung(Some(inbox_id())));
    two.send(waiting, resume());
    news_while_it_is_read(&mut one, &mut two, &mut storage);
    shows_two(&mut two, waiting);
}

/// What the connection was shown last has two messages.
fn shows_two(server: &mut Server, connection: ConnectionId) {
    let last = server.unasked(connection).into_iter().last();
    let shown = match &last {
        Some(
            AccountReply::Snapshot(it)
            | AccountReply::Changed(it)
            | AccountReply::Selected { snapshot: it, .. },
        ) => it.state.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown, 2, "{last:?}");
}

/// A second message comes from `one`, and a ring, while `two` has just read the log of INBOX for somebody.
fn news_while_it_is_read(one: &mut Server, two: &mut Server, storage: &mut Store) {
    while !two.reads_inbox() {
        assert!(two.step(storage, Fate::Works));
    }
    let before = storage.items.clone();
    one.append(storage, "INBOX", vec![message(2, &[])]);
    let after = core::mem::replace(&mut storage.items, before);
    two.input(AccountInput::Rung(Some(inbox_id())));
    two.step(storage, Fate::Works);
    storage.items = after;
    two.drain(storage);
}

#[test]
fn a_ring_while_a_mailbox_is_being_selected_is_not_lost() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    one.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let selecting = two.connect();
    let select = AccountRequest::Select {
        name: name("INBOX"),
        read_only: false,
    };
    two.send(selecting, select);
    news_while_it_is_read(&mut one, &mut two, &mut storage);
    shows_two(&mut two, selecting);
}

#[test]
fn a_ring_while_somebody_wakes_of_his_own_is_not_lost() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    let waiting = asleep_with_news(&mut one, &mut two, &mut storage);
    two.send(waiting, resume());
    news_while_it_is_read(&mut one, &mut two, &mut storage);
    shows_two(&mut two, waiting);
}

#[test]
fn a_ring_while_the_directory_is_read_first_is_not_lost() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    let listing = two.connect();
    two.send(listing, AccountRequest::List);
    let before = storage.items.clone();
    let at_one = one.connect();
    one.ask(&mut storage, at_one, AccountRequest::Delete(name("Junk")));
    let after = core::mem::replace(&mut storage.items, before);
    two.input(AccountInput::Rung(None));
    two.step(&mut storage, Fate::Works);
    storage.items = after;
    two.drain(&mut storage);
    two.unasked(listing);
    // Not so old that it would be read for this.
    let AccountReply::Directory(directory) = two.ask(&mut storage, listing, AccountRequest::List)
    else {
        panic!()
    };
    assert!(directory.find(&name("Junk")).is_none());
}

/// Fails all that is asked until nothing is asked for a while.
fn fails(server: &mut Server, storage: &mut Store) {
    for _ in 0..100 {
        if !server.step(storage, Fate::Lost) {
            server.wait(Duration::from_millis(40));
        }
    }
    assert!(server.open.is_empty());
}

fn is_stirred(server: &mut Server, connection: ConnectionId) -> bool {
    matches!(
        server.unasked(connection).as_slice(),
        [AccountReply::Stirred]
    )
}

#[test]
fn who_falls_asleep_before_the_log_could_be_read_is_stirred() {
    for fails_first in [false, true] {
        let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
        let mut storage = Store::default();
        let watching = two.connect();
        two.select(&mut storage, watching, "INBOX");
        one.append(&mut storage, "INBOX", vec![message(1, &[])]);
        two.input(AccountInput::Rung(Some(inbox_id())));
        if fails_first {
            fails(&mut two, &mut storage);
        }
        two.send(watching, AccountRequest::Sleep);
        assert!(is_stirred(&mut two, watching), "{fails_first}");
        // It asks in vain, and is not stirred over and over: it comes again of its own.
        two.send(watching, resume());
        fails(&mut two, &mut storage);
        let told = two.unasked(watching);
        assert!(
            matches!(told.as_slice(), [AccountReply::Failed(_)]),
            "{told:?}"
        );
        let reply = two.ask(&mut storage, watching, resume());
        assert!(matches!(reply, AccountReply::Snapshot(it) if it.state.len() == 1));
    }
}

#[test]
fn who_sleeps_is_stirred_when_nobody_watches_any_more_what_could_not_be_read() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    let [sleeping, watching] = [two.connect(), two.connect()];
    for connection in [sleeping, watching] {
        two.select(&mut storage, connection, "INBOX");
    }
    two.send(sleeping, AccountRequest::Sleep);
    one.append(&mut storage, "INBOX", vec![message(1, &[])]);
    two.input(AccountInput::Rung(Some(inbox_id())));
    fails(&mut two, &mut storage);
    assert!(two.unasked(sleeping).is_empty());
    two.send(watching, AccountRequest::Unselect);
    assert!(is_stirred(&mut two, sleeping));
}

#[test]
fn who_reads_has_a_turn_though_two_always_write() {
    let mut server = Server::new(1, config());
    let mut storage = Store::default();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let mut flagged = false;
    let mut store = || {
        flagged = !flagged;
        AccountRequest::Store {
            uids: vec![crate::mailbox::Uid::FIRST],
            change: FlagChange {
                action: match flagged {
                    true => FlagAction::Add,
                    false => FlagAction::Remove,
                },
                flags: vec![Flag::Flagged, Flag::Seen],
            },
            unchanged_since: None,
        }
    };
    let writing = [server.connect(), server.connect()];
    for connection in writing {
        server.select(&mut storage, connection, "INBOX");
    }
    for connection in writing {
        server.send(connection, store());
    }
    let asking = server.connect();
    server.send(asking, AccountRequest::Status(name("INBOX")));
    for _ in 0..20 {
        server.step(&mut storage, Fate::Works);
        if !server.unasked(asking).is_empty() {
            return;
        }
        for connection in writing {
            let told = server.unasked(connection).into_iter();
            let mut stored = told.filter(|it| matches!(it, AccountReply::Stored { .. }));
            if stored.next().is_some() {
                server.send(connection, store());
            }
        }
    }
    panic!("who wants to read waits as long as others write");
}

#[test]
fn who_was_stirred_and_does_not_ask_keeps_nobody_else_from_hearing() {
    let (mut one, mut two) = (Server::new(1, config()), Server::new(2, config()));
    let mut storage = Store::default();
    let [silent, waiting] = [two.connect(), two.connect()];
    for connection in [silent, waiting] {
        two.select(&mut storage, connection, "INBOX");
        two.send(connection, AccountRequest::Sleep);
    }
    one.append(&mut storage, "INBOX", vec![message(1, &[])]);
    two.input(AccountInput::Rung(Some(inbox_id())));
    assert!(is_stirred(&mut two, silent) && is_stirred(&mut two, waiting));
    two.ask(&mut storage, waiting, resume());
    two.send(waiting, AccountRequest::Sleep);
    let mut two = two.next_machine(3);
    one.append(&mut storage, "INBOX", vec![message(2, &[])]);
    two.input(AccountInput::Rung(Some(inbox_id())));
    assert!(is_stirred(&mut two, waiting));
}
