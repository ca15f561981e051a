//! Each kind of request, as it should go.

use super::world::{Fate, Server, Store, config, failure, message, name, uid, view};
use crate::account::{AccountFailure, AccountReply, AccountRequest, ConnectionId, UnchangedSince};
use crate::config::Config;
use crate::mailbox::{Flag, FlagAction, FlagChange, Keyword, SpecialUse, Uid};
use core::time::Duration;

fn store(uids: &[u32], action: FlagAction, flags: &[Flag]) -> AccountRequest {
    AccountRequest::Store {
        uids: uids.iter().map(|number| uid(*number)).collect(),
        change: FlagChange {
            action,
            flags: flags.to_vec(),
        },
        unchanged_since: None,
    }
}

fn create(mailbox: &str) -> AccountRequest {
    AccountRequest::Create {
        name: name(mailbox),
        special_use: None,
    }
}

fn done(reply: AccountReply) {
    let done = matches!(reply, AccountReply::Done | AccountReply::Deleted { .. });
    assert!(done, "{reply:?}");
}

fn server() -> (Server, Store, ConnectionId) {
    let mut server = Server::new(1, config());
    let connection = server.connect();
    (server, Store::default(), connection)
}

#[test]
fn a_new_account_has_its_six_mailboxes_without_writing_anything() {
    let (mut server, mut storage, connection) = server();
    let expected = ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"];
    assert_eq!(server.names(&mut storage), expected);
    assert!(storage.items.is_empty());
    let AccountReply::Directory(directory) =
        server.ask(&mut storage, connection, AccountRequest::List)
    else {
        panic!()
    };
    assert_eq!(directory.subscribed().count(), 6);
    let sent = directory.find(&name("Sent")).unwrap();
    assert_eq!(sent.special_use, Some(SpecialUse::Sent));
    assert_eq!(sent.uid_validity.0.get(), 3);
    let mut other = Server::new(2, config());
    let connection = other.connect();
    let AccountReply::Directory(same) = other.ask(&mut storage, connection, AccountRequest::List)
    else {
        panic!()
    };
    assert!(directory.mailboxes().eq(same.mailboxes()));
}

#[test]
fn appended_messages_are_there_with_their_uids_after_a_restart() {
    let (mut server, mut storage, _) = server();
    let junk = Flag::Keyword(Keyword::new("$Junk"));
    let messages = vec![message(1, &[Flag::Seen, junk.clone()]), message(2, &[])];
    assert_eq!(
        server.append(&mut storage, "INBOX", messages),
        [uid(1), uid(2)]
    );
    assert_eq!(
        server.append(&mut storage, "inbox", vec![message(3, &[])]),
        [uid(3)]
    );
    server.restart(2);
    let state = server.status(&mut storage, "INBOX");
    let expected = vec![
        (1, 1, vec![Flag::Seen, junk]),
        (2, 2, vec![]),
        (3, 3, vec![]),
    ];
    assert_eq!(view(&state), expected);
    assert_eq!(state.uid_next(), uid(4));
    assert_eq!((state.unseen_count(), state.size_total()), (2, 60));
    assert_eq!(state.first_unseen(), Some(1));
}

#[test]
fn store_and_expunge_change_what_all_connections_see() {
    let (mut server, mut storage, one) = server();
    let messages = (1..=4).map(|number| message(number, &[])).collect();
    server.append(&mut storage, "INBOX", messages);
    let two = server.connect();
    let before = server.select(&mut storage, one, "INBOX");
    server.select(&mut storage, two, "INBOX");
    let request = store(&[1, 3, 9], FlagAction::Add, &[Flag::Deleted, Flag::Seen]);
    let AccountReply::Stored { snapshot, modified } = server.ask(&mut storage, one, request) else {
        panic!()
    };
    assert!(modified.is_empty());
    assert_eq!(snapshot.state.deleted_count(), 2);
    assert!(snapshot.state.highest_modseq() > before.state.highest_modseq());
    let told = server.unasked(two);
    assert!(
        matches!(&told[..], [AccountReply::Changed(changed)] if changed.state.deleted_count() == 2)
    );
    let request = store(&[3], FlagAction::Replace, &[Flag::Answered]);
    server.ask(&mut storage, one, request);
    let uids = Some(vec![uid(1), uid(2), uid(3)]);
    let reply = server.ask(&mut storage, one, AccountRequest::Expunge { uids });
    let AccountReply::Snapshot(snapshot) = reply else {
        panic!()
    };
    let expected = vec![(2, 2, vec![]), (3, 3, vec![Flag::Answered]), (4, 4, vec![])];
    assert_eq!(view(&snapshot.state), expected);
    let gone: Vec<Uid> = snapshot
        .state
        .expunged_since(before.state.highest_modseq())
        .collect();
    assert_eq!(gone, [uid(1)]);
    server.restart(2);
    let state = server.status(&mut storage, "INBOX");
    assert_eq!(view(&state), expected);
    assert_eq!(
        server.append(&mut storage, "INBOX", vec![message(9, &[])]),
        [uid(5)]
    );
}

#[test]
fn unchanged_since_leaves_newer_changes_alone() {
    let (mut server, mut storage, one) = server();
    server.append(
        &mut storage,
        "INBOX",
        vec![message(1, &[]), message(2, &[])],
    );
    let shown = server.select(&mut storage, one, "INBOX").state;
    server.ask(
        &mut storage,
        one,
        store(&[1], FlagAction::Add, &[Flag::Seen, Flag::Flagged]),
    );
    let AccountRequest::Store { uids, change, .. } =
        store(&[1, 2], FlagAction::Add, &[Flag::Flagged])
    else {
        panic!()
    };
    let unchanged_since = Some(UnchangedSince {
        modseq: shown.highest_modseq(),
        shown,
    });
    let request = AccountRequest::Store {
        uids,
        change,
        unchanged_since,
    };
    let AccountReply::Stored { snapshot, modified } = server.ask(&mut storage, one, request) else {
        panic!()
    };
    assert_eq!(modified, [uid(1)]);
    let expected = vec![
        (1, 1, vec![Flag::Flagged, Flag::Seen]),
        (2, 2, vec![Flag::Flagged]),
    ];
    assert_eq!(view(&snapshot.state), expected);
}

#[test]
fn copy_and_move_name_the_same_contents() {
    let (mut server, mut storage, one) = server();
    let messages = vec![message(1, &[Flag::Seen]), message(2, &[]), message(3, &[])];
    server.append(&mut storage, "INBOX", messages);
    server.append(&mut storage, "Archive", vec![message(7, &[])]);
    server.select(&mut storage, one, "INBOX");
    let copy = |uids: &[u32], to: &str, expunge| AccountRequest::Copy {
        uids: uids.iter().map(|number| uid(*number)).collect(),
        to: name(to),
        expunge,
    };
    let reply = server.ask(&mut storage, one, copy(&[1, 3, 8], "Archive", false));
    let AccountReply::Copied { copied, snapshot } = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(copied.uids, [(uid(1), uid(2)), (uid(3), uid(3))]);
    assert_eq!(snapshot.state.len(), 3);
    let reply = server.ask(&mut storage, one, copy(&[2], "Archive", true));
    let AccountReply::Copied { copied, snapshot } = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(copied.uids, [(uid(2), uid(4))]);
    assert_eq!(snapshot.state.len(), 2);
    let reply = server.ask(&mut storage, one, copy(&[1], "Nowhere", false));
    assert_eq!(failure(reply), AccountFailure::NonExistent);
    let reply = server.ask(&mut storage, one, copy(&[99], "Archive", true));
    assert!(matches!(reply, AccountReply::Copied { copied, .. } if copied.uids.is_empty()));
    server.restart(2);
    let state = server.status(&mut storage, "Archive");
    let expected = vec![
        (1, 7, vec![]),
        (2, 1, vec![Flag::Seen]),
        (3, 3, vec![]),
        (4, 2, vec![]),
    ];
    assert_eq!(view(&state), expected);
    let state = server.status(&mut storage, "INBOX");
    assert_eq!(view(&state), [(1, 1, vec![Flag::Seen]), (3, 3, vec![])]);
}

#[test]
fn create_makes_parents_and_delete_refuses_them() {
    let (mut server, mut storage, one) = server();
    done(server.ask(&mut storage, one, create("Work/2026/May/")));
    let names = server.names(&mut storage);
    for made in ["Work", "Work/2026", "Work/2026/May"] {
        assert!(names.iter().any(|name| name == made));
    }
    let delete = |mailbox: &str| AccountRequest::Delete(name(mailbox));
    let reply = server.ask(&mut storage, one, delete("Work"));
    assert_eq!(failure(reply), AccountFailure::Cannot("It has children"));
    let reply = server.ask(&mut storage, one, delete("Inbox"));
    assert_eq!(
        failure(reply),
        AccountFailure::Cannot("INBOX cannot be deleted")
    );
    let reply = server.ask(&mut storage, one, create("Work"));
    assert_eq!(failure(reply), AccountFailure::AlreadyExists);
    let reply = server.ask(&mut storage, one, delete("Never"));
    assert_eq!(failure(reply), AccountFailure::NonExistent);
    for bad in ["", "/", "a//b", "a%", "*", "a\nb", "/a"] {
        let reply = server.ask(&mut storage, one, create(bad));
        assert!(
            matches!(failure(reply), AccountFailure::Cannot(_)),
            "{bad:?}"
        );
    }
    done(server.ask(&mut storage, one, delete("Work/2026/May")));
    server.restart(2);
    assert!(
        !server
            .names(&mut storage)
            .contains(&"Work/2026/May".to_owned())
    );
}

#[test]
fn a_mailbox_made_again_has_a_higher_uidvalidity_and_is_empty() {
    let (mut server, mut storage, one) = server();
    let mut last = 0;
    for number in 1..=3 {
        done(server.ask(&mut storage, one, create("Again")));
        server.append(&mut storage, "Again", vec![message(number, &[])]);
        let state = server.status(&mut storage, "Again");
        assert_eq!(state.len(), 1);
        assert!(state.uid_validity().0.get() > last);
        last = state.uid_validity().0.get();
        done(server.ask(&mut storage, one, AccountRequest::Delete(name("Again"))));
        server.restart(10 + number as u8);
    }
}

#[test]
fn rename_carries_children_and_messages() {
    let (mut server, mut storage, one) = server();
    done(server.ask(&mut storage, one, create("a/b/c")));
    server.append(&mut storage, "a/b", vec![message(1, &[])]);
    let before = server.status(&mut storage, "a/b").uid_validity();
    let rename = |from: &str, to: &str| AccountRequest::Rename {
        from: name(from),
        to: name(to),
    };
    done(server.ask(&mut storage, one, rename("a/b", "x/y")));
    let names = server.names(&mut storage);
    assert!(names.contains(&"x/y/c".to_owned()) && names.contains(&"x".to_owned()));
    assert!(!names.contains(&"a/b".to_owned()) && names.contains(&"a".to_owned()));
    let state = server.status(&mut storage, "x/y");
    assert_eq!((state.len(), state.uid_validity()), (1, before));
    let reply = server.ask(&mut storage, one, rename("x", "x/y/z"));
    assert!(matches!(failure(reply), AccountFailure::Cannot(_)));
    let reply = server.ask(&mut storage, one, rename("x", "Trash"));
    assert_eq!(failure(reply), AccountFailure::AlreadyExists);
    let reply = server.ask(&mut storage, one, rename("gone", "b"));
    assert_eq!(failure(reply), AccountFailure::NonExistent);
}

#[test]
fn renaming_inbox_moves_its_messages_and_leaves_its_children() {
    let (mut server, mut storage, one) = server();
    done(server.ask(&mut storage, one, create("INBOX/kept")));
    let messages = (1..=3)
        .map(|number| message(number, &[Flag::Seen]))
        .collect();
    server.append(&mut storage, "INBOX", messages);
    let request = AccountRequest::Rename {
        from: name("INBOX"),
        to: name("old/mail"),
    };
    done(server.ask(&mut storage, one, request));
    server.restart(2);
    let names = server.names(&mut storage);
    for there in ["INBOX", "INBOX/kept", "old", "old/mail"] {
        assert!(names.iter().any(|name| name == there), "{there}");
    }
    assert!(server.status(&mut storage, "INBOX").is_empty());
    assert_eq!(server.status(&mut storage, "old/mail").len(), 3);
    assert_eq!(
        server.append(&mut storage, "INBOX", vec![message(4, &[])]),
        [uid(4)]
    );
}

#[test]
fn subscriptions_need_no_mailbox() {
    let (mut server, mut storage, one) = server();
    let subscribe = |mailbox: &str, subscribed| AccountRequest::Subscribe {
        name: name(mailbox),
        subscribed,
    };
    done(server.ask(&mut storage, one, subscribe("ghost", true)));
    done(server.ask(&mut storage, one, subscribe("ghost", true)));
    done(server.ask(&mut storage, one, subscribe("Junk", false)));
    server.restart(2);
    let one = server.connect();
    let AccountReply::Directory(directory) = server.ask(&mut storage, one, AccountRequest::List)
    else {
        panic!()
    };
    assert!(directory.is_subscribed(&name("ghost")) && !directory.is_subscribed(&name("Junk")));
}

#[test]
fn what_the_directory_remembers_for_long_has_an_end() {
    let config = Config {
        deleted_mailboxes_max: 2,
        subscriptions_known_max: 8,
        ..config()
    };
    let (mut server, mut storage) = (Server::new(1, config), Store::default());
    let one = server.connect();
    let subscribe = |mailbox: &str, subscribed| AccountRequest::Subscribe {
        name: name(mailbox),
        subscribed,
    };
    // Six are there from the beginning.
    for ghost in ["ghost1", "ghost2"] {
        done(server.ask(&mut storage, one, subscribe(ghost, true)));
        done(server.ask(&mut storage, one, subscribe(ghost, false)));
    }
    let reply = server.ask(&mut storage, one, subscribe("ghost3", true));
    assert!(matches!(failure(reply), AccountFailure::Limit(_)));
    done(server.ask(&mut storage, one, subscribe("ghost1", true)));
    for _ in 0..2 {
        done(server.ask(&mut storage, one, create("Work")));
        done(server.ask(&mut storage, one, AccountRequest::Delete(name("Work"))));
    }
    let reply = server.ask(&mut storage, one, create("Work"));
    assert!(matches!(failure(reply), AccountFailure::Limit(_)));
}

#[test]
fn the_connections_of_a_deleted_mailbox_are_told() {
    let (mut server, mut storage, one) = server();
    done(server.ask(&mut storage, one, create("Short")));
    let two = server.connect();
    server.select(&mut storage, two, "Short");
    done(server.ask(&mut storage, one, AccountRequest::Delete(name("Short"))));
    assert!(matches!(&server.unasked(two)[..], [AccountReply::Vanished]));
    let reply = server.ask(
        &mut storage,
        two,
        store(&[1], FlagAction::Add, &[Flag::Seen]),
    );
    assert_eq!(failure(reply), AccountFailure::NonExistent);
}

/// What changes nothing is answered though others wait for the commit that it came with, and the mailbox is
/// deleted over it.
#[test]
fn all_who_wait_are_answered_where_the_mailbox_is_deleted_meanwhile() {
    let (mut server, mut storage, deleting) = server();
    done(server.ask(&mut storage, deleting, create("Short")));
    server.append(&mut storage, "Short", vec![message(1, &[])]);
    server.drain(&mut storage);
    let clients = [0; 3].map(|_| server.connect());
    for client in clients {
        server.select(&mut storage, client, "Short");
        server.drain(&mut storage);
        server.unasked(client);
    }
    let [first, nothing, last] = clients;
    server.send(first, store(&[1], FlagAction::Add, &[Flag::Seen]));
    server.send(nothing, AccountRequest::Expunge { uids: None });
    server.send(last, store(&[1], FlagAction::Add, &[Flag::Flagged]));
    assert!(server.step(&mut storage, Fate::Works));
    let commit = server.open.pop_front().unwrap();
    server.send(deleting, AccountRequest::Delete(name("Short")));
    while server.step(&mut storage, Fate::Works) {}
    drop(commit);
    done(server.await_reply(&mut storage, deleting, |_| Fate::Works));
    for client in clients {
        let replies = server.unasked(client);
        let answers = replies
            .iter()
            .filter(|reply| !matches!(reply, AccountReply::Changed(_) | AccountReply::Vanished));
        assert_eq!(answers.count(), 1, "{replies:?}");
        assert!(
            matches!(replies.last(), Some(AccountReply::Vanished)),
            "{replies:?}"
        );
    }
}

#[test]
fn recent_is_given_to_one_connection_and_not_by_examine() {
    let (mut server, mut storage, one) = server();
    let examine = |mailbox: &str| AccountRequest::Select {
        name: name(mailbox),
        read_only: true,
    };
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let AccountReply::Selected { snapshot, .. } = server.ask(&mut storage, one, examine("INBOX"))
    else {
        panic!()
    };
    assert_eq!(snapshot.recent_from, Some(uid(1)));
    let two = server.connect();
    assert_eq!(
        server.select(&mut storage, two, "INBOX").recent_from,
        Some(uid(1))
    );
    let three = server.connect();
    assert_eq!(
        server.select(&mut storage, three, "INBOX").recent_from,
        None
    );
    assert_eq!(server.status(&mut storage, "INBOX").recent_from(), uid(2));
    server.append(&mut storage, "INBOX", vec![message(2, &[])]);
    let recents: Vec<_> = [two, three]
        .into_iter()
        .map(|connection| match &server.unasked(connection)[..] {
            [AccountReply::Changed(snapshot)] => snapshot.recent_from,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(recents, [Some(uid(2)), None]);
    server.input(crate::account::AccountInput::Shutdown);
    server.drain(&mut storage);
    assert!(server.done);
    server.restart(2);
    assert_eq!(server.status(&mut storage, "INBOX").recent_from(), uid(3));
}

#[test]
fn many_connections_share_one_commit() {
    let (mut server, mut storage, _) = server();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let before = storage.items.len();
    let connections: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for (number, connection) in (2..).zip(&connections) {
        let messages = vec![message(number, &[])];
        let request = AccountRequest::Append {
            name: name("INBOX"),
            messages,
            summaries: Vec::new(),
        };
        server.send(*connection, request);
    }
    let mut uids = Vec::new();
    for connection in connections {
        match server.await_reply(&mut storage, connection, |_| Fate::Works) {
            AccountReply::Appended { uids: new, .. } => uids.extend(new),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(uids, (2..=11).map(uid).collect::<Vec<_>>());
    assert_eq!(storage.items.len() - before, 2);
}

#[test]
fn limits_are_told_and_change_nothing() {
    let config = Config {
        messages_max: 3,
        keywords_max: 2,
        mailboxes_max: 8,
        ..config()
    };
    let mut server = Server::new(1, config);
    let (mut storage, one) = (Store::default(), server.connect());
    let word = |word: &str| Flag::Keyword(Keyword::new(word));
    server.append(
        &mut storage,
        "INBOX",
        vec![message(1, &[word("a"), word("b")])],
    );
    server.select(&mut storage, one, "INBOX");
    let reply = server.ask(
        &mut storage,
        one,
        store(&[1], FlagAction::Add, &[word("c")]),
    );
    assert!(matches!(failure(reply), AccountFailure::Limit(_)));
    let reply = server.ask(
        &mut storage,
        one,
        store(&[1], FlagAction::Remove, &[word("c"), word("A")]),
    );
    assert!(matches!(reply, AccountReply::Stored { .. }));
    let messages = vec![message(2, &[word("c")])];
    let request = AccountRequest::Append {
        name: name("INBOX"),
        messages,
        summaries: Vec::new(),
    };
    assert!(matches!(
        failure(server.ask(&mut storage, one, request)),
        AccountFailure::Limit(_)
    ));
    let messages = (2..=4).map(|number| message(number, &[])).collect();
    let request = AccountRequest::Append {
        name: name("INBOX"),
        messages,
        summaries: Vec::new(),
    };
    assert!(matches!(
        failure(server.ask(&mut storage, one, request)),
        AccountFailure::Limit(_)
    ));
    let reply = server.ask(&mut storage, one, create("x/y/z"));
    assert!(matches!(failure(reply), AccountFailure::Limit(_)));
    let state = server.status(&mut storage, "INBOX");
    assert_eq!(view(&state), [(1, 1, vec![word("b")])]);
}

#[test]
fn keywords_that_no_message_has_any_more_leave_room_for_others() {
    let config = Config {
        keywords_max: 2,
        ..config()
    };
    let mut server = Server::new(1, config);
    let (mut storage, one) = (Store::default(), server.connect());
    let word = |word: &str| Flag::Keyword(Keyword::new(word));
    let old = message(1, &[Flag::Deleted, word("a"), word("b")]);
    server.append(&mut storage, "INBOX", vec![old, message(2, &[])]);
    server.select(&mut storage, one, "INBOX");
    let add = || store(&[2], FlagAction::Add, &[word("c")]);
    let reply = server.ask(&mut storage, one, add());
    assert!(matches!(failure(reply), AccountFailure::Limit(_)));
    server.ask(&mut storage, one, AccountRequest::Expunge { uids: None });
    let reply = server.ask(&mut storage, one, add());
    assert!(matches!(reply, AccountReply::Stored { .. }), "{reply:?}");
    let shown = view(&server.status(&mut storage, "INBOX"));
    assert_eq!(shown, [(2, 2, vec![word("c")])]);
}

#[test]
fn who_asks_for_the_status_of_all_mailboxes_does_not_have_all_of_them_kept() {
    let config = Config {
        idle_mailboxes_max: 2,
        ..config()
    };
    let mut server = Server::new(1, config);
    let mut storage = Store::default();
    for mailbox in server.names(&mut storage) {
        server.status(&mut storage, &mailbox);
        assert!(server.account.mailboxes.len() <= 3);
    }
}

#[test]
fn an_idle_account_lets_go_of_its_mailboxes() {
    let (mut server, mut storage, one) = server();
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    server.select(&mut storage, one, "INBOX");
    server.ask(&mut storage, one, AccountRequest::Unselect);
    for _ in 0..5 {
        server.wait(Duration::from_secs(11));
        server.drain(&mut storage);
    }
    assert!(server.account.mailboxes.is_empty());
    assert_eq!(server.select(&mut storage, one, "INBOX").state.len(), 1);
}
