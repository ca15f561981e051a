//! MOVE by two servers at the same moment, and after one that failed half way: a message that
//! moves arrives once.

use super::world::{
    Fate, Server, Store, arriving, config, delivered, first_item, inbox_id, leave, message, name,
    uid, view,
};
use crate::account::{AccountReply, AccountRequest, ConnectionId, Copied};
use crate::config::Config;
use crate::mailbox::{Flag, FlagAction, FlagChange, MessageId};
use crate::storage::StorageRequest;

/// A server with a client that has selected INBOX.
fn server(storage: &mut Store, seed: u8) -> (Server, ConnectionId) {
    let config = Config {
        shared_storage: true,
        ..config()
    };
    let mut server = Server::new(seed, config);
    let connection = server.connect();
    server.select(storage, connection, "INBOX");
    (server, connection)
}

fn to_archive(numbers: &[u32]) -> AccountRequest {
    AccountRequest::Copy {
        uids: numbers.iter().map(|number| uid(*number)).collect(),
        to: name("Archive"),
        expunge: true,
    }
}

fn copied(reply: AccountReply) -> Copied {
    match reply {
        AccountReply::Copied { copied, .. } => copied,
        other => panic!("{other:?}"),
    }
}

/// Until the oldest open request stores something.
fn until_it_writes(server: &mut Server, storage: &mut Store) {
    let writes = |it: &Server| matches!(it.open.front(), Some((_, StorageRequest::InsertItems(_))));
    while !writes(server) {
        assert!(server.step(storage, Fate::Works), "it writes nothing");
    }
}

/// What a server that knows nothing yet shows: INBOX and Archive.
fn shown(storage: &mut Store) -> [Vec<(u32, u32, Vec<Flag>)>; 2] {
    let (mut third, _) = server(storage, 99);
    ["INBOX", "Archive"].map(|mailbox| view(&third.status(storage, mailbox)))
}

/// INBOX has two messages; both servers have read it when they are asked.
fn both_have_read(storage: &mut Store) -> [(Server, ConnectionId); 2] {
    let (mut one, at_one) = server(storage, 1);
    let messages = vec![message(1, &[]), message(2, &[Flag::Flagged])];
    one.append(storage, "INBOX", messages);
    let mut both = [(one, at_one), server(storage, 2)];
    for (server, connection) in &mut both {
        server.status(storage, "Archive");
        server.send(*connection, to_archive(&[1, 2]));
        until_it_writes(server, storage);
    }
    both
}

#[test]
fn what_two_servers_move_at_the_same_moment_arrives_once() {
    let mut storage = Store::default();
    for (mut server, connection) in both_have_read(&mut storage) {
        let reply = server.await_reply(&mut storage, connection, |_| Fate::Works);
        let uids = copied(reply).uids;
        assert_eq!(uids, [(uid(1), uid(1)), (uid(2), uid(2))]);
    }
    let archive = vec![(1, 1, vec![]), (2, 2, vec![Flag::Flagged])];
    assert_eq!(shown(&mut storage), [vec![], archive]);
}

/// A third server's message claims the UID of one of them meanwhile.
#[test]
fn what_two_servers_move_arrives_once_though_its_uid_is_burned() {
    let mut storage = Store::default();
    let [(mut one, at_one), (mut two, at_two)] = both_have_read(&mut storage);
    let (mut third, _) = server(&mut storage, 3);
    third.append(&mut storage, "Archive", vec![message(7, &[])]);
    let replies = [
        one.await_reply(&mut storage, at_one, |_| Fate::Works),
        two.await_reply(&mut storage, at_two, |_| Fate::Works),
    ];
    let told = replies.map(|reply| copied(reply).uids);
    let [inbox, archive] = shown(&mut storage);
    assert_eq!(inbox, []);
    let mut mails: Vec<u32> = archive.iter().map(|(_, mail, _)| *mail).collect();
    mails.sort_unstable();
    assert_eq!(mails, [1, 2, 7], "{archive:?} after {told:?}");
    for (original, copy) in told.into_iter().flatten() {
        let is_it = |it: &(u32, u32, _)| (it.0, it.1) == (copy.get(), original.get());
        assert!(archive.iter().any(is_it), "{archive:?}, {original} {copy}");
    }
}

/// Has the first server copy the messages; it dies before it takes the originals away.
fn half_a_move(storage: &mut Store) -> (Server, ConnectionId) {
    let [(mut one, _), two] = both_have_read(storage);
    one.step(storage, Fate::Works);
    drop((one, two));
    let (two, at_two) = server(storage, 2);
    let all = shown(storage).map(|shown| shown.len());
    assert_eq!(all, [2, 2], "the copies, and still the originals");
    (two, at_two)
}

#[test]
fn a_move_that_is_made_again_finds_what_it_has_brought() {
    let mut storage = Store::default();
    let (mut two, at_two) = half_a_move(&mut storage);
    let flag = AccountRequest::Store {
        uids: vec![uid(1)],
        change: FlagChange {
            action: FlagAction::Add,
            flags: vec![Flag::Seen],
        },
        unchanged_since: None,
    };
    two.ask(&mut storage, at_two, flag);
    let reply = two.ask(&mut storage, at_two, to_archive(&[1, 2]));
    let uids = copied(reply).uids;
    assert_eq!(uids, [(uid(1), uid(1)), (uid(2), uid(2))]);
    let archive = vec![(1, 1, vec![Flag::Seen]), (2, 2, vec![Flag::Flagged])];
    assert_eq!(shown(&mut storage), [vec![], archive]);
}

#[test]
fn what_was_expunged_after_half_a_move_moves_again() {
    let mut storage = Store::default();
    let (mut two, at_two) = half_a_move(&mut storage);
    let flag = AccountRequest::Store {
        uids: vec![uid(1), uid(2)],
        change: FlagChange {
            action: FlagAction::Add,
            flags: vec![Flag::Deleted],
        },
        unchanged_since: None,
    };
    let archive = two.connect();
    two.select(&mut storage, archive, "Archive");
    two.ask(&mut storage, archive, flag);
    two.ask(
        &mut storage,
        archive,
        AccountRequest::Expunge { uids: None },
    );
    let reply = two.ask(&mut storage, at_two, to_archive(&[1, 2]));
    let uids = copied(reply).uids;
    assert_eq!(uids, [(uid(1), uid(3)), (uid(2), uid(4))]);
    let archive = vec![(3, 1, vec![]), (4, 2, vec![Flag::Flagged])];
    assert_eq!(shown(&mut storage), [vec![], archive]);
}

/// Whoever delivers a message chooses its identity, and knows that of its copy in any mailbox.
#[test]
fn what_was_put_in_the_place_of_a_copy_is_not_taken_for_it() {
    for archive_is_read_before in [true, false] {
        let mut storage = Store::default();
        let id = MessageId([1; 16]);
        let original = arriving(id, delivered(1, &[]));
        leave(&mut storage, first_item(inbox_id(), 1), &original);
        let (mut one, at_one) = server(&mut storage, 1);
        let directory = one.account.directory.state().unwrap();
        let archive = directory.find(&name("Archive")).unwrap().id;
        if archive_is_read_before {
            one.status(&mut storage, "Archive");
        }
        let copy = arriving(id.moved(archive, 0), delivered(66, &[]));
        leave(&mut storage, first_item(archive, 2), &copy);
        let reply = one.ask(&mut storage, at_one, to_archive(&[1]));
        let uids = copied(reply).uids;
        let [inbox, archive] = shown(&mut storage);
        assert_eq!(inbox, []);
        let at = |it: &&(u32, u32, Vec<Flag>)| it.1 == 1;
        let there = archive.iter().find(at).map(|(uid, ..)| *uid);
        assert!(there.is_some(), "{archive:?}");
        assert_eq!(uids.last().map(|(_, uid)| uid.get()), there);
    }
}

#[test]
fn what_moves_to_the_mailbox_that_it_is_in_gets_new_uids() {
    let mut storage = Store::default();
    let (mut one, at_one) = server(&mut storage, 1);
    one.append(
        &mut storage,
        "INBOX",
        vec![message(1, &[]), message(2, &[])],
    );
    for last in [4, 6] {
        let [inbox, _] = shown(&mut storage);
        let uids = inbox.iter().map(|(number, ..)| uid(*number)).collect();
        let to_itself = AccountRequest::Copy {
            uids,
            to: name("INBOX"),
            expunge: true,
        };
        one.ask(&mut storage, at_one, to_itself);
        let [inbox, _] = shown(&mut storage);
        assert_eq!(inbox, [(last - 1, 1, vec![]), (last, 2, vec![])]);
    }
}
