//! Mail comes in by LMTP and is read by IMAP: the pure machines.

#[path = "lmtp/commands.rs"]
mod commands;
#[path = "lmtp/faults.rs"]
mod faults;
#[path = "lmtp/hostile.rs"]
mod hostile;
#[path = "lmtp/messages.rs"]
mod messages;
mod world;

use restante_core::account::ConnectionId;
use world::World;

/// A mail server that has said LHLO, answers read away.
fn greeted(world: &mut World) -> ConnectionId {
    let id = world.connect_lmtp();
    let answer = world.say(id, b"LHLO mta.example.org\r\n");
    assert!(answer.ends_with("250 CHUNKING\r\n"), "{answer}");
    id
}

/// MAIL, and RCPT for each recipient, all of which are accepted.
fn begin(world: &mut World, id: ConnectionId, recipients: &[&str]) {
    let answer = world.say(id, b"MAIL FROM:<ada@example.net>\r\n");
    assert!(answer.starts_with("250 2.1.0 "), "{answer}");
    for recipient in recipients {
        let answer = world.say(id, format!("RCPT TO:<{recipient}>\r\n").as_bytes());
        assert!(answer.starts_with("250 2.1.5 "), "{answer}");
    }
}

/// DATA with these octets, the end included; what is answered to them.
fn data(world: &mut World, id: ConnectionId, octets: &[u8]) -> String {
    let answer = world.say(id, b"DATA\r\n");
    assert!(answer.starts_with("354 "), "{answer}");
    world.say(id, octets)
}

/// The code and status of each line.
fn codes(answer: &str) -> Vec<&str> {
    answer
        .lines()
        .map(|line| &line[..line.len().min(9)])
        .collect()
}

/// How many messages alice has.
fn count(world: &mut World) -> usize {
    let alice = world.log_in();
    let answer = world.say(alice, b"s STATUS INBOX (MESSAGES)\r\n");
    world.say(alice, b"x LOGOUT\r\n");
    let number = answer
        .split("MESSAGES ")
        .nth(1)
        .and_then(|it| it.split(')').next());
    number.expect("STATUS answers").parse().expect("a number")
}

/// Every message of alice, as IMAP gives it.
fn messages(world: &mut World) -> Vec<Vec<u8>> {
    let count = count(world);
    let alice = world.log_in();
    world.say(alice, b"s EXAMINE INBOX\r\n");
    let messages = (1..=count).map(|number| {
        let command = format!("f FETCH {number} BODY.PEEK[]\r\n");
        let answer = world.say_octets(alice, command.as_bytes());
        let open = answer.iter().position(|&it| it == b'{').expect("a literal");
        let close = answer.iter().position(|&it| it == b'}').expect("its end");
        let len = core::str::from_utf8(&answer[open + 1..close]).expect("digits");
        let len: usize = len.parse().expect("a number");
        answer[close + 3..close + 3 + len].to_vec()
    });
    let messages = messages.collect();
    world.say(alice, b"x LOGOUT\r\n");
    messages
}

/// What stands in front of a message from `begin`.
fn with_head(recipient: &str, message: &[u8]) -> Vec<u8> {
    let head = format!("Return-Path: <ada@example.net>\r\nDelivered-To: {recipient}\r\n");
    [head.as_bytes(), message].concat()
}
