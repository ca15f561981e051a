//! RENAME of INBOX goes through three logs. Whichever step fails, or wherever the process
//! dies: the same request made again completes it, and no message is lost or doubled.

use super::world::{
    Fate, Server, Store, config, failure, inbox_id, keys, message, name, uid, view,
};
use crate::account::{AccountFailure, AccountReply, AccountRequest};
use crate::config::Config;
use crate::mailbox::{Flag, FlagAction, FlagChange};
use crate::seal::Places;
use crate::storage::StorageRequest;

fn small() -> Config {
    Config {
        log_item_bytes_max: 80,
        ..config()
    }
}

fn rename() -> AccountRequest {
    AccountRequest::Rename {
        from: name("INBOX"),
        to: name("old/mail/"),
    }
}

/// INBOX with three messages, of which one of two equal ones.
fn filled(storage: &mut Store) -> Server {
    let mut server = Server::new(1, small());
    let messages = vec![message(1, &[Flag::Seen]), message(2, &[]), message(2, &[])];
    server.append(storage, "INBOX", messages);
    server
}

fn check(server: &mut Server, storage: &mut Store) {
    let moved = server.status(storage, "old/mail");
    let moved = view(&moved);
    let contents: Vec<_> = moved
        .into_iter()
        .map(|(_, it, flags)| (it, flags))
        .collect();
    let expected = [(1, vec![Flag::Seen]), (2, vec![]), (2, vec![])];
    assert_eq!(contents, expected);
    assert!(server.status(storage, "INBOX").is_empty());
}

#[test]
fn a_rename_of_inbox_that_fails_at_any_step_is_completed_by_the_next() {
    let mut failed = 0;
    for step in 0..14 {
        for fate in [
            Fate::Full,
            Fate::Lost,
            Fate::AnswerLost,
            Fate::Torn(0b1001),
            Fate::TornLate(0b1001),
        ] {
            let mut storage = Store::default();
            let mut server = filled(&mut storage);
            let connection = server.connect();
            server.send(connection, rename());
            // From this step on nothing works.
            let reply = server.await_reply(&mut storage, connection, |number| {
                if number >= step { fate } else { Fate::Works }
            });
            // What is late lands before the client tries again.
            storage.land();
            let again = matches!(reply, AccountReply::Failed(_));
            if again {
                failed += 1;
                let reply = server.ask(&mut storage, connection, rename());
                assert!(
                    matches!(reply, AccountReply::Done),
                    "{step} {fate:?}: {reply:?}"
                );
            }
            check(&mut server, &mut storage);
            server.restart(2);
            check(&mut server, &mut storage);
            if again {
                // Once it is done, it is an error like any other RENAME.
                let connection = server.connect();
                let reply = server.ask(&mut storage, connection, rename());
                assert_eq!(failure(reply), AccountFailure::AlreadyExists);
            }
        }
    }
    assert!(failed > 20, "{failed}");
}

#[test]
fn a_rename_of_inbox_that_a_process_died_over_is_completed_by_another() {
    let mut died = 0;
    for step in 0..14 {
        let mut storage = Store::default();
        let mut server = filled(&mut storage);
        let connection = server.connect();
        server.send(connection, rename());
        for _ in 0..step {
            server.step(&mut storage, Fate::Works);
        }
        if server.unasked(connection).is_empty() {
            died += 1;
            let mut other = Server::new(2, small());
            let connection = other.connect();
            let reply = other.ask(&mut storage, connection, rename());
            assert!(matches!(reply, AccountReply::Done), "{step}: {reply:?}");
            check(&mut other, &mut storage);
        }
        server.restart(3);
        check(&mut server, &mut storage);
    }
    assert!((4..14).contains(&died), "{died}");
}

#[test]
fn a_mailbox_made_by_create_is_not_taken_for_a_rename_begun() {
    let mut storage = Store::default();
    let mut server = filled(&mut storage);
    let connection = server.connect();
    let create = AccountRequest::Create {
        name: name("old/mail"),
        special_use: None,
    };
    server.ask(&mut storage, connection, create);
    let reply = server.ask(&mut storage, connection, rename());
    assert_eq!(failure(reply), AccountFailure::AlreadyExists);
    assert_eq!(server.status(&mut storage, "INBOX").len(), 3);
}

/// A RENAME has brought the messages, and the process dies over taking them from INBOX.
fn half_a_rename(storage: &mut Store) -> Server {
    let mut server = filled(storage);
    let connection = server.connect();
    server.send(connection, rename());
    let moved = Places::new(keys().account()).log(inbox_id());
    let expunges = |server: &Server| {
        let open = server.open.front().map(|(_, request)| request);
        matches!(open, Some(StorageRequest::InsertItems(items)) if items[0].key.partition == moved)
    };
    while !expunges(&server) {
        assert!(server.step(storage, Fate::Works));
    }
    server.restart(2);
    assert_eq!(server.status(storage, "INBOX").len(), 3);
    assert_eq!(server.status(storage, "old/mail").len(), 3);
    server
}

#[test]
fn flags_that_are_set_after_half_a_rename_come_with_the_other_half() {
    let mut storage = Store::default();
    let mut server = half_a_rename(&mut storage);
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    let store = AccountRequest::Store {
        uids: vec![uid(2)],
        change: FlagChange {
            action: FlagAction::Add,
            flags: vec![Flag::Seen, Flag::Flagged],
        },
        unchanged_since: None,
    };
    server.ask(&mut storage, connection, store);
    let reply = server.ask(&mut storage, connection, rename());
    assert!(matches!(reply, AccountReply::Done), "{reply:?}");
    let moved = view(&server.status(&mut storage, "old/mail"));
    let both = vec![Flag::Flagged, Flag::Seen];
    assert_eq!(
        moved,
        [(1, 1, vec![Flag::Seen]), (2, 2, both), (3, 2, vec![])]
    );
    assert!(server.status(&mut storage, "INBOX").is_empty());
}

#[test]
fn a_move_after_half_a_rename_doubles_nothing() {
    let mut storage = Store::default();
    let mut server = half_a_rename(&mut storage);
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    let all = AccountRequest::Copy {
        uids: vec![uid(1), uid(2), uid(3)],
        to: name("old/mail"),
        expunge: true,
    };
    let reply = server.ask(&mut storage, connection, all);
    assert!(matches!(reply, AccountReply::Copied { .. }), "{reply:?}");
    check(&mut server, &mut storage);
}

/// What was expunged from the new mailbox before the RENAME was made again is not brought once more, and
/// it is not taken from INBOX either.
#[test]
fn what_was_expunged_where_a_rename_had_brought_it_stays_in_inbox() {
    let mut storage = Store::default();
    let mut server = half_a_rename(&mut storage);
    let connection = server.connect();
    server.select(&mut storage, connection, "old/mail");
    let change = FlagChange {
        action: FlagAction::Add,
        flags: vec![Flag::Deleted],
    };
    let store = AccountRequest::Store {
        uids: vec![uid(1)],
        change,
        unchanged_since: None,
    };
    server.ask(&mut storage, connection, store);
    server.ask(
        &mut storage,
        connection,
        AccountRequest::Expunge { uids: None },
    );
    let reply = server.ask(&mut storage, connection, rename());
    assert!(matches!(reply, AccountReply::Done), "{reply:?}");
    let texts = |server: &mut Server, storage: &mut Store, mailbox| {
        let messages = view(&server.status(storage, mailbox)).into_iter();
        messages.map(|(_, text, _)| text).collect::<Vec<_>>()
    };
    assert_eq!(texts(&mut server, &mut storage, "old/mail"), [2, 2]);
    assert_eq!(texts(&mut server, &mut storage, "INBOX"), [1]);
}
