//! What was expunged comes back.

use super::*;
use crate::account::AccountFailure;
use crate::storage::StorageRequest;

/// Does what the command does: appends what was found.
fn bring_back(server: &mut Server, storage: &mut Store, mailbox: Option<&str>) -> Vec<u32> {
    let recovered = undelete(server, storage, mailbox);
    let mut numbers = Vec::new();
    for found in recovered.messages {
        numbers.push(number(&found.message));
        let to = found.mailbox.as_ref().map_or("INBOX", |it| it.as_str());
        server.append(storage, to, vec![found.message]);
    }
    numbers.sort_unstable();
    numbers
}

#[test]
fn expunged_messages_come_back_once_with_new_uids() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 4);
    fill(&mut server, &mut storage, "Archive", 5, 6);
    expunge(&mut server, &mut storage, "INBOX", &[2, 4]);
    expunge(&mut server, &mut storage, "Archive", &[1]);
    assert_eq!(bring_back(&mut server, &mut storage, Some("INBOX")), [2, 4]);
    let state = server.status(&mut storage, "INBOX");
    let uids: Vec<_> = view(&state).into_iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(uids, [(1, 1), (3, 3), (5, 2), (6, 4)]);
    assert!(bring_back(&mut server, &mut storage, Some("INBOX")).is_empty());
    assert_eq!(bring_back(&mut server, &mut storage, None), [5]);
    assert!(bring_back(&mut server, &mut storage, None).is_empty());
    let report = check(&mut server, &mut storage, false, false);
    assert!(report.findings.is_empty(), "{report:?}");
}

/// Date and flags of the messages of a mailbox, by their numbers.
fn dates_and_flags(server: &mut Server, storage: &mut Store) -> Vec<(u32, i64, i16, Vec<Flag>)> {
    let state = server.status(storage, "INBOX");
    let mut all: Vec<_> = state
        .iter_from(0)
        .map(|message| {
            let number = u32::from_be_bytes(message.content.0[12..].try_into().unwrap());
            let mut flags: Vec<_> = state.flags(message).collect();
            flags.sort();
            let date = message.internal_date;
            (number, date.unix_s, date.zone_min, flags)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn what_comes_back_has_its_date_and_flags() {
    let keyword = |name: &str| Flag::Keyword(crate::mailbox::Keyword::new(name));
    // Expunged where the log still says how it was; where a checkpoint does; with its mailbox.
    for way in ["log", "checkpoint", "mailbox"] {
        let mut storage = Store::default();
        let mut server = Server::new(1, config());
        let connection = server.connect();
        make_old(&mut server, &mut storage, connection);
        let from = if way == "mailbox" { "Old" } else { "INBOX" };
        for number in 1..=4 {
            let mut message = store_at(&mut storage, number, START_MS);
            message.internal_date = InternalDate {
                unix_s: 1_000_000_000 + i64::from(number),
                zone_min: -330,
            };
            message.flags = vec![Flag::Seen, keyword("$Label1")];
            server.append(&mut storage, from, vec![message]);
        }
        server.select(&mut storage, connection, from);
        for (uids, action, flag) in [
            (vec![1, 2], FlagAction::Add, Flag::Flagged),
            (vec![2], FlagAction::Remove, Flag::Seen),
            (vec![3], FlagAction::Remove, keyword("$label1")),
        ] {
            let request = AccountRequest::Store {
                uids: uids.into_iter().map(uid).collect(),
                change: FlagChange {
                    action,
                    flags: vec![flag],
                },
                unchanged_since: None,
            };
            server.ask(&mut storage, connection, request);
        }
        server.ask(&mut storage, connection, AccountRequest::Unselect);
        if way == "mailbox" {
            server.ask(
                &mut storage,
                connection,
                AccountRequest::Delete(name("Old")),
            );
        } else {
            // No message has the keyword any more.
            expunge(&mut server, &mut storage, "INBOX", &[1, 2, 3, 4]);
        }
        if way == "checkpoint" {
            for number in 11..=40 {
                fill(&mut server, &mut storage, "INBOX", number, number);
                pass(&mut server, &mut storage, Duration::from_secs(30));
            }
            let uids: Vec<u32> = (5..=34).collect();
            expunge(&mut server, &mut storage, "INBOX", &uids);
            pass(&mut server, &mut storage, DAY);
        }
        server.restart(2);
        bring_back(&mut server, &mut storage, None);
        let mut found = dates_and_flags(&mut server, &mut storage);
        found.retain(|message| message.0 <= 4);
        let expected = [
            (1, vec![Flag::Flagged, Flag::Seen, keyword("$Label1")]),
            (2, vec![Flag::Flagged, keyword("$Label1")]),
            (3, vec![Flag::Seen]),
            (4, vec![Flag::Seen, keyword("$Label1")]),
        ];
        let expected = expected
            .map(|(number, flags)| (number, 1_000_000_000 + i64::from(number), -330, flags));
        assert_eq!(found, expected, "{way}");
    }
}

#[test]
fn what_was_moved_was_not_deleted() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 1);
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    let to_trash = AccountRequest::Copy {
        uids: vec![uid(1)],
        to: name("Trash"),
        expunge: true,
    };
    server.ask(&mut storage, connection, to_trash);
    assert!(
        undelete(&mut server, &mut storage, None)
            .messages
            .is_empty()
    );
    expunge(&mut server, &mut storage, "Trash", &[1]);
    // From where it was last, unless it is asked for where it was before.
    let found = undelete(&mut server, &mut storage, None).messages;
    assert_eq!(found[0].mailbox, Some(name("Trash")));
    assert_eq!(bring_back(&mut server, &mut storage, Some("INBOX")), [1]);
    assert!(
        undelete(&mut server, &mut storage, None)
            .messages
            .is_empty()
    );
}

#[test]
fn what_moves_while_the_logs_are_read_was_not_deleted() {
    for target in ["Archive", "Drafts", "Junk", "Sent", "Trash"] {
        let mut storage = Store::default();
        let mut server = Server::new(1, config());
        fill(&mut server, &mut storage, "INBOX", 1, 1);
        let mut operator = Server::new(2, config());
        let asks = operator.connect();
        let request = AccountRequest::Undelete {
            mailbox: None,
            since_ms: None,
        };
        operator.send(asks, request);
        // Until it asks for the log of INBOX; some of the others it has read by then.
        let inbox = Places::new(keys().account()).log(inbox_id());
        let reads_inbox = |operator: &Server| match operator.open.front() {
            Some((_, StorageRequest::ReadRange(range))) => range.partition == inbox,
            _ => false,
        };
        while !reads_inbox(&operator) {
            assert!(operator.step(&mut storage, Fate::Works));
        }
        let connection = server.connect();
        server.select(&mut storage, connection, "INBOX");
        let moves = AccountRequest::Copy {
            uids: vec![uid(1)],
            to: name(target),
            expunge: true,
        };
        server.ask(&mut storage, connection, moves);
        match operator.await_reply(&mut storage, asks, |_| Fate::Works) {
            AccountReply::Recoverable(found) => assert_eq!(found.messages, [], "{target}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn messages_of_a_deleted_mailbox_come_back() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    make_old(&mut server, &mut storage, connection);
    fill(&mut server, &mut storage, "Old", 1, 3);
    server.ask(
        &mut storage,
        connection,
        AccountRequest::Delete(name("Old")),
    );
    let found = undelete(&mut server, &mut storage, None).messages;
    assert!(found.iter().all(|it| it.mailbox.is_none()));
    assert_eq!(bring_back(&mut server, &mut storage, None), [1, 2, 3]);
}

#[test]
fn nothing_comes_back_after_the_retention_or_from_nowhere() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 2);
    expunge(&mut server, &mut storage, "INBOX", &[1]);
    pass(&mut server, &mut storage, DAY * 13);
    assert_eq!(undelete(&mut server, &mut storage, None).messages.len(), 1);
    pass(&mut server, &mut storage, DAY * 2);
    assert!(
        undelete(&mut server, &mut storage, None)
            .messages
            .is_empty()
    );
    let connection = server.connect();
    let request = AccountRequest::Undelete {
        mailbox: Some(name("Nowhere")),
        since_ms: None,
    };
    let reply = server.ask(&mut storage, connection, request);
    assert_eq!(failure(reply), AccountFailure::NonExistent);
}

#[test]
fn only_what_was_expunged_since_then() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 3);
    expunge(&mut server, &mut storage, "INBOX", &[1]);
    pass(&mut server, &mut storage, DAY * 2);
    expunge(&mut server, &mut storage, "INBOX", &[2]);
    let connection = server.connect();
    let request = AccountRequest::Undelete {
        mailbox: None,
        since_ms: Some(START_MS + 86_400_000),
    };
    let AccountReply::Recoverable(found) = server.ask(&mut storage, connection, request) else {
        panic!()
    };
    assert_eq!(found.messages.len(), 1);
    assert_eq!(number(&found.messages[0].message), 2);
}
