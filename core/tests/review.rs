//! Sessions that went wrong once, each named by what must hold.

mod world;

use restante_core::account::ConnectionId;
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
