//! Sessions that went wrong once, each named by what must hold.

mod world;

use restante_core::account::ConnectionId;
use restante_core::storage::StorageError;
use world::World;

const MAIL: &str = "From: Ada <ada@example.org>\r\nSubject: light\r\n\r\nThe lighthouse.\r\n";

fn append(world: &mut World, id: ConnectionId, mailbox: &str, mail: &str) -> String {
    let command = format!("p APPEND {mailbox} {{{}+}}\r\n{mail}\r\n", mail.len());
    world.say(id, command.as_bytes())
}

/// Two connections with INBOX selected, which holds `count` messages that nobody is told
/// of as `\Recent` any more.
fn two_with(world: &mut World, count: usize) -> (ConnectionId, ConnectionId) {
    let (alice, phone) = (world.log_in(), world.log_in());
    for _ in 0..count {
        append(world, alice, "INBOX", MAIL);
    }
    world.say(alice, b"s SELECT INBOX\r\nu UNSELECT\r\ns SELECT INBOX\r\n");
    world.say(phone, b"s SELECT INBOX\r\n");
    (alice, phone)
}

#[test]
fn a_change_that_came_before_a_reply_does_not_undo_it() {
    let mut world = World::new(1);
    let (alice, phone) = two_with(&mut world, 2);
    world.say(phone, b"u UNSELECT\r\n");
    world.hold_account();
    append(&mut world, phone, "INBOX", MAIL);
    append(&mut world, alice, "INBOX", MAIL);
    world.release_account();
    let answer = world.read(alice);
    assert!(answer.contains("* 4 EXISTS"), "{answer}");
    assert!(answer.contains("p OK [APPENDUID"), "{answer}");
    assert_eq!(world.say(alice, b"i IDLE\r\n"), "+ idling\r\n");
    let answer = world.say(alice, b"DONE\r\nf FETCH 3:4 FLAGS\r\n");
    assert_eq!(
        answer,
        "i OK IDLE is over\r\n* 3 FETCH (FLAGS (\\Recent))\r\n* 4 FETCH (FLAGS (\\Recent))\r\nf OK Fetched\r\n"
    );
}

#[test]
fn a_mailbox_deleted_by_another_never_breaks_into_a_literal() {
    let mut world = World::new(2);
    let (alice, phone) = (world.log_in(), world.log_in());
    world.say(alice, b"c CREATE Big\r\n");
    let mail = format!("Subject: big\r\n\r\n{}", "x".repeat(1_000_000));
    append(&mut world, alice, "Big", &mail);
    world.say(alice, b"s EXAMINE Big\r\n");
    world.set_window(alice, 10_000);
    let mut read = world.say(alice, b"f FETCH 1 BODY.PEEK[]\r\n");
    assert_eq!(world.say(phone, b"d DELETE Big\r\n"), "d OK Deleted\r\n");
    world.set_window(alice, usize::MAX);
    read += &world.read(alice);
    let expected = format!(
        "* 1 FETCH (BODY[] {{{}}}\r\n{mail})\r\nf OK Fetched\r\n* BYE The selected mailbox was deleted\r\n",
        mail.len()
    );
    assert!(
        read == expected,
        "{} octets instead of {}",
        read.len(),
        expected.len()
    );
    assert!(world.is_closed(alice));
}

#[test]
fn the_selected_mailbox_can_be_deleted_by_its_own_session() {
    let mut world = World::new(3);
    let alice = world.log_in();
    world.say(alice, b"c CREATE Work\r\ns SELECT Work\r\n");
    assert_eq!(world.say(alice, b"d DELETE Work\r\n"), "d OK Deleted\r\n");
    assert!(!world.is_closed(alice));
    assert_eq!(
        world.say(alice, b"f FETCH 1 FLAGS\r\n"),
        "f BAD Select a mailbox first\r\n"
    );
}

#[test]
fn whoever_leaves_a_mailbox_while_it_is_deleted_stays() {
    for (command, answer) in [
        ("UNSELECT", "c OK"),
        ("SELECT Nowhere", "c NO [NONEXISTENT]"),
        ("SELECT INBOX", "c OK [READ-WRITE]"),
    ] {
        let mut world = World::new(12);
        let (alice, phone) = (world.log_in(), world.log_in());
        world.say(alice, b"c CREATE Work\r\ns SELECT Work\r\n");
        world.hold_replies();
        world.say(phone, b"d DELETE Work\r\n");
        world.say(alice, format!("c {command}\r\n").as_bytes());
        world.release_replies();
        let read = world.read(alice);
        assert!(read.contains(answer) && !read.contains("BYE"), "{read}");
        assert_eq!(
            world.say(alice, b"n NAMESPACE\r\n").matches("n OK").count(),
            1
        );
    }
}

#[test]
fn idle_begins_with_the_whole_time_of_silence() {
    let mut world = World::new(4);
    let alice = world.log_in();
    world.say(alice, b"s SELECT INBOX\r\n");
    world.wait_s(29 * 60);
    world.say(alice, b"i IDLE\r\n");
    world.wait_s(29 * 60);
    assert!(!world.is_closed(alice), "IDLE is a command like others");
    world.say(alice, b"DONE\r\n");
    world.wait_s(29 * 60);
    world.say(alice, b"a FROBNICATE\r\n");
    world.wait_s(29 * 60);
    assert!(
        !world.is_closed(alice),
        "a command that fails was sent all the same"
    );
}

#[test]
fn commands_that_keep_coming_in_pieces_are_no_slow_command() {
    let mut world = World::new(5);
    let alice = world.log_in();
    for _ in 0..20 {
        world.say(alice, b"PABILITY\r\na CA");
        world.wait_s(30);
    }
    assert!(!world.is_closed(alice), "{}", world.read(alice));
}

#[test]
fn noop_never_fails_when_storage_does() {
    let mut world = World::new(8);
    let alice = world.log_in();
    append(&mut world, alice, "INBOX", MAIL);
    world.say(alice, b"s SELECT INBOX\r\n");
    let error = StorageError::Unavailable("away".to_owned());
    world.store.failing.insert("ReadRange", error.clone());
    world.store.failing.insert("ReadItems", error);
    let answer = world.say(alice, b"n NOOP\r\n");
    world.wait_s(60);
    let answer = answer + &world.read(alice);
    assert!(answer.starts_with("n OK"), "{answer}");
}

#[test]
fn a_set_with_a_star_is_never_out_of_range() {
    let mut world = World::new(9);
    let (alice, _) = two_with(&mut world, 3);
    for (set, found) in [("4:*", "3"), ("*:9", "3"), ("*", "3"), ("2:*", "2 3")] {
        let answer = world.say(alice, format!("q SEARCH {set}\r\n").as_bytes());
        assert_eq!(
            answer,
            format!("* SEARCH {found}\r\nq OK Searched\r\n"),
            "{set}"
        );
    }
    assert!(
        world
            .say(alice, b"f FETCH 4:* UID\r\n")
            .contains("* 3 FETCH (UID 3)")
    );
    assert!(world.say(alice, b"f FETCH 4 UID\r\n").starts_with("f BAD"));
    assert!(
        world
            .say(alice, b"f FETCH 2:4 UID\r\n")
            .starts_with("f BAD")
    );
    assert!(
        world
            .say(alice, b"f UID FETCH 9:* UID\r\n")
            .contains("* 3 FETCH (UID 3)")
    );
    assert_eq!(
        world.say(alice, b"f UID FETCH 9:10 UID\r\n"),
        "f OK Fetched\r\n"
    );
    world.say(alice, b"c CREATE Empty\r\ns SELECT Empty\r\n");
    for command in [
        "FETCH 1:* FLAGS",
        "UID FETCH 1:* FLAGS",
        "UID FETCH * FLAGS",
    ] {
        assert_eq!(
            world.say(alice, format!("f {command}\r\n").as_bytes()),
            "f OK Fetched\r\n"
        );
    }
    assert_eq!(
        world.say(alice, b"q UID SEARCH 1:* NOT DELETED\r\n"),
        "* SEARCH\r\nq OK Searched\r\n"
    );
    assert_eq!(
        world.say(alice, b"x UID STORE 1:* +FLAGS (\\Seen)\r\n"),
        "x OK Stored\r\n"
    );
    assert_eq!(
        world.say(alice, b"x UID EXPUNGE 1:*\r\n"),
        "x OK Expunged\r\n"
    );
}
