//! Changes that depend on what is in the mailbox know what another server acknowledged before,
//! though nobody has told them.

use super::world::{Fate, Server, Store, config, message, name, uid, view};
use crate::account::{AccountFailure, AccountReply, AccountRequest, ConnectionId, UnchangedSince};
use crate::config::Config;
use crate::mailbox::{Flag, FlagAction, FlagChange, MailboxState, Uid};
use std::sync::Arc;

/// Two servers, each with a client that has selected INBOX with two messages in it.
fn two_servers() -> (Store, [(Server, ConnectionId); 2]) {
    let mut storage = Store::default();
    let config = || Config {
        shared_storage: true,
        ..config()
    };
    let mut first = Server::new(1, config());
    first.append(
        &mut storage,
        "INBOX",
        vec![message(1, &[Flag::Deleted]), message(2, &[])],
    );
    let servers = [first, Server::new(2, config())].map(|mut server| {
        let connection = server.connect();
        server.select(&mut storage, connection, "INBOX");
        (server, connection)
    });
    (storage, servers)
}

fn store(
    number: u32,
    action: FlagAction,
    flag: Flag,
    unchanged_since: Option<UnchangedSince>,
) -> AccountRequest {
    let flags = vec![flag];
    AccountRequest::Store {
        uids: vec![uid(number)],
        change: FlagChange { action, flags },
        unchanged_since,
    }
}

/// What was shown is what is to be unchanged.
fn since(shown: &Arc<MailboxState>) -> UnchangedSince {
    UnchangedSince {
        modseq: shown.highest_modseq(),
        shown: Arc::clone(shown),
    }
}

fn stored(reply: AccountReply) -> (Arc<MailboxState>, Vec<Uid>) {
    let AccountReply::Stored { snapshot, modified } = reply else {
        panic!("{reply:?}")
    };
    (snapshot.state, modified)
}

#[test]
fn expunge_leaves_what_another_server_was_told_to_keep() {
    let (mut storage, [(mut one, at_one), (mut two, at_two)]) = two_servers();
    let keep = store(1, FlagAction::Remove, Flag::Deleted, None);
    one.ask(&mut storage, at_one, keep);
    let discard = store(2, FlagAction::Add, Flag::Deleted, None);
    one.ask(&mut storage, at_one, discard);
    let reply = two.ask(&mut storage, at_two, AccountRequest::Expunge { uids: None });
    let AccountReply::Snapshot(snapshot) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(view(&snapshot.state), [(1, 1, vec![])]);
    assert_eq!(view(&one.status(&mut storage, "INBOX")), [(1, 1, vec![])]);
}

#[test]
fn move_leaves_where_it_is_what_another_server_has_moved() {
    let (mut storage, [(mut one, at_one), (mut two, at_two)]) = two_servers();
    one.ask(&mut storage, at_one, to_archive(2, true));
    let reply = two.ask(&mut storage, at_two, to_archive(2, true));
    let AccountReply::Copied { copied, .. } = reply else {
        panic!("{reply:?}")
    };
    assert!(copied.uids.is_empty(), "{copied:?}");
    assert_eq!(one.status(&mut storage, "Archive").len(), 1);
}

#[test]
fn a_condition_is_judged_by_what_another_server_has_changed() {
    let (mut storage, [(mut one, at_one), (mut two, at_two)]) = two_servers();
    let shown = one.status(&mut storage, "INBOX");
    one.ask(
        &mut storage,
        at_one,
        store(2, FlagAction::Add, Flag::Flagged, None),
    );
    let request = store(2, FlagAction::Replace, Flag::Seen, Some(since(&shown)));
    let (state, modified) = stored(two.ask(&mut storage, at_two, request));
    assert_eq!(modified, [uid(2)]);
    assert_eq!(view(&state)[1], (2, 2, vec![Flag::Flagged]));
}

/// RFC 7162 §3.1.12
#[test]
fn a_flag_that_another_server_left_alone_is_stored() {
    let (mut storage, [(mut one, at_one), (mut two, at_two)]) = two_servers();
    let shown = two.status(&mut storage, "INBOX");
    let flag = store(2, FlagAction::Add, Flag::Flagged, None);
    one.ask(&mut storage, at_one, flag);
    let request = store(2, FlagAction::Add, Flag::Seen, Some(since(&shown)));
    let (state, modified) = stored(two.ask(&mut storage, at_two, request));
    assert!(modified.is_empty());
    assert_eq!(view(&state)[1], (2, 2, vec![Flag::Flagged, Flag::Seen]));
}

/// Whoever was shown by the first server what both changed at the same time need not know what
/// the second one had shown before: MODSEQ says so, and no comparison of flags does.
#[test]
fn of_changes_at_the_same_time_it_is_not_told_which_flags_they_left_alone() {
    let (mut storage, [(mut one, at_one), (mut two, at_two)]) = two_servers();
    let flag = store(2, FlagAction::Add, Flag::Flagged, None);
    one.ask(&mut storage, at_one, flag);
    let draft = store(2, FlagAction::Add, Flag::Draft, None);
    let (shown, _) = stored(two.ask(&mut storage, at_two, draft));
    assert_eq!(
        view(&shown)[1],
        (2, 2, vec![Flag::Draft]),
        "it has not read"
    );
    let request = store(2, FlagAction::Remove, Flag::Draft, Some(since(&shown)));
    let (_, modified) = stored(two.ask(&mut storage, at_two, request));
    assert_eq!(modified, [uid(2)]);
}

/// COPY or MOVE of a message.
fn to_archive(number: u32, expunge: bool) -> AccountRequest {
    AccountRequest::Copy {
        uids: vec![uid(number)],
        to: name("Archive"),
        expunge,
    }
}

/// A server that knows of a mailbox, which another one has deleted; with a client that has INBOX selected.
fn archive_was_deleted() -> (Store, Server, ConnectionId) {
    let (mut storage, [(mut one, at_one), (mut two, at_two)]) = two_servers();
    two.status(&mut storage, "Archive");
    let delete = AccountRequest::Delete(name("Archive"));
    one.ask(&mut storage, at_one, delete);
    (storage, two, at_two)
}

#[test]
fn nothing_is_moved_or_copied_to_a_mailbox_that_another_server_has_deleted() {
    for expunge in [false, true] {
        let (mut storage, mut two, at_two) = archive_was_deleted();
        let reply = two.ask(&mut storage, at_two, to_archive(2, expunge));
        assert!(
            matches!(reply, AccountReply::Failed(AccountFailure::NonExistent)),
            "{reply:?}"
        );
        assert_eq!(two.status(&mut storage, "INBOX").len(), 2);
    }
}

#[test]
fn there_is_an_answer_where_the_target_is_gone_and_the_directory_is_read_before_the_mailbox() {
    let (mut storage, mut two, at_two) = archive_was_deleted();
    two.send(at_two, to_archive(2, true));
    let source = two.open.pop_front().unwrap();
    two.open.push_back(source);
    let reply = two.await_reply(&mut storage, at_two, |_| Fate::Works);
    assert!(
        matches!(reply, AccountReply::Failed(AccountFailure::NonExistent)),
        "{reply:?}"
    );
}

#[test]
fn the_logs_of_a_move_are_read_at_the_same_time() {
    let (mut storage, [_, (mut two, at_two)]) = two_servers();
    two.status(&mut storage, "Archive");
    two.send(at_two, to_archive(2, true));
    assert_eq!(two.open.len(), 3, "{:?}", two.open);
    // One of them fails for good: so does the MOVE, and nothing waits any more.
    let reply = two.await_reply(&mut storage, at_two, |number| match number {
        0 => Fate::Works,
        _ => Fate::Refused,
    });
    assert!(matches!(reply, AccountReply::Failed(_)), "{reply:?}");
    two.drain(&mut storage);
    assert_eq!(two.status(&mut storage, "INBOX").len(), 2);
}

#[test]
fn a_move_goes_on_whose_target_was_let_go_of_while_the_other_logs_were_read() {
    let config = Config {
        shared_storage: true,
        idle_mailboxes_max: 0,
        ..config()
    };
    let (mut storage, mut server) = (Store::default(), Server::new(1, config));
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    server.send(connection, to_archive(1, true));
    // Archive is read first; before INBOX is, somebody leaves a mailbox.
    let [inbox, directory, archive] = core::array::from_fn(|_| server.open.pop_front().unwrap());
    server.open.extend([archive, directory, inbox]);
    server.step(&mut storage, Fate::Works);
    let other = server.connect();
    let inbox = server.open.pop_back().unwrap();
    server.select(&mut storage, other, "Sent");
    server.send(other, AccountRequest::Unselect);
    server.open.push_back(inbox);
    let reply = server.await_reply(&mut storage, connection, |_| Fate::Works);
    assert!(
        matches!(&reply, AccountReply::Copied { copied, .. } if copied.uids.len() == 1),
        "{reply:?}"
    );
}
