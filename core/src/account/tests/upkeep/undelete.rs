//! What was expunged comes back.

use super::*;
use crate::account::AccountFailure;

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
fn messages_of_a_deleted_mailbox_come_back() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    let create = AccountRequest::Create {
        name: name("Old"),
        special_use: None,
    };
    server.ask(&mut storage, connection, create);
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
