//! Every command, in and out of its place.

use crate::world::World;
use crate::{begin, codes, greeted};
use core::time::Duration;
use restante_core::boundary::{Input, Output, Reason};
use restante_core::config::Config;
use restante_core::lmtp::Connection;
use restante_core::random::Seed;
use restante_core::time::{Instant, Now};
use std::sync::Arc;

#[test]
fn the_greeting_offers_what_there_is() {
    let config = Config {
        lmtp_host: "mx.example.org".to_owned(),
        message_bytes_max: 12_345,
        ..Config::default()
    };
    let mut world = World::with_config(1, config);
    let id = world.connect_lmtp();
    assert_eq!(world.read(id), "220 mx.example.org LMTP Restante\r\n");
    let answer = world.say(id, b"lhlo [127.0.0.1]\r\n");
    let expected = "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 12345\r\n250-8BITMIME\r\n\
        250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n";
    assert_eq!(answer, expected);
}

/// Commands one after another on a fresh connection that has said LHLO, each with what its
/// answer begins with.
#[test]
fn commands_and_their_answers() {
    let long = format!("MAIL FROM:<{}@example.org>", "x".repeat(600));
    for session in [
        &[("HELO a", "500 5.5.1"), ("EHLO a", "500 5.5.1")][..],
        &[
            ("LHLO", "501 5.5.4"),
            ("LHLO a", "250-local"),
            ("LHLO a b", "501 5.5.4"),
        ],
        &[
            ("NOOP", "250 2.0.0"),
            ("noop whatever", "250 2.0.0"),
            ("", "500 5.5.1"),
        ],
        &[
            ("VRFY alice", "252 2.5.0"),
            ("VRFY", "501 5.5.4"),
            ("EXPN x", "502 5.5.1"),
        ],
        &[
            ("HELP", "502 5.5.1"),
            ("AUTH PLAIN", "502 5.5.1"),
            ("STARTTLS", "502 5.5.1"),
        ],
        &[
            ("RSET", "250 2.0.0"),
            ("RSET x", "501 5.5.4"),
            ("WHAT", "500 5.5.1"),
        ],
        &[
            ("RCPT TO:<alice>", "503 5.5.1"),
            ("DATA", "503 5.5.1"),
            ("BDAT 0", "503 5.5.1"),
        ],
        &[("MAIL FROM:<>", "250 2.1.0"), ("MAIL FROM:<>", "503 5.5.1")],
        &[
            ("MAIL FROM:<>", "250 2.1.0"),
            ("LHLO a", "250-local"),
            ("MAIL FROM:<>", "250 2.1.0"),
        ],
        &[
            ("MAIL FROM:<>", "250 2.1.0"),
            ("RSET", "250 2.0.0"),
            ("MAIL FROM:<>", "250 2.1.0"),
        ],
        &[
            ("MAIL FROM:<>", "250 2.1.0"),
            ("DATA", "503 5.5.1"),
            ("BDAT 0", "503 5.5.1"),
        ],
        &[("MAIL FROM:<>", "250 2.1.0"), ("DATA x", "501 5.5.4")],
        &[
            ("MAIL", "501 5.5.4"),
            ("MAIL FROM", "501 5.5.4"),
            ("MAIL TO:<a>", "501 5.5.4"),
        ],
        &[
            ("MAIL FROM:a@b", "501 5.1.7"),
            ("MAIL FROM:<a@b", "501 5.1.7"),
        ],
        &[
            ("MAIL FROM:<a@>", "501 5.1.7"),
            ("MAIL FROM:<@b>", "501 5.1.7"),
        ],
        &[
            ("MAIL FROM:<a b@c>", "501 5.1.7"),
            ("MAIL FROM:<a@b>x", "501 5.1.7"),
        ],
        &[
            ("MAIL FROM:<a@b\x07>", "501 5.1.7"),
            ("MAIL FROM:<a\x7f@b>", "501 5.1.7"),
        ],
        &[(&long, "501 5.1.7"), ("MAIL FROM: <a@b>", "250 2.1.0")],
        &[("mail from:<\"a b\\\"\"@c.d>", "250 2.1.0")],
        &[("MAIL FROM:<@x,@y:a@b>", "250 2.1.0")],
        &[("MAIL FROM:<a@[127.0.0.1]>", "250 2.1.0")],
        &[("MAIL FROM:<a@b> SIZE=5 body=8bitmime SMTPUTF8", "250 2.1.0")],
        &[("MAIL FROM:<a@b> BODY=7BIT", "250 2.1.0")],
        &[("MAIL FROM:<> SIZE=67108864", "250 2.1.0")],
        &[
            ("MAIL FROM:<> SIZE=67108865", "552 5.3.4"),
            ("MAIL FROM:<>", "250 2.1.0"),
        ],
        &[("MAIL FROM:<> SIZE=99999999999999999999", "552 5.3.4")],
        &[
            ("MAIL FROM:<> SIZE=", "501 5.5.4"),
            ("MAIL FROM:<> SIZE", "501 5.5.4"),
        ],
        &[
            ("MAIL FROM:<> SIZE=-1", "501 5.5.4"),
            ("MAIL FROM:<> SIZE=1 SIZE=1", "501 5.5.4"),
        ],
        &[("MAIL FROM:<> SIZE=000000000000000000001", "501 5.5.4")],
        &[
            ("MAIL FROM:<> BODY=BINARYMIME", "501 5.5.4"),
            ("MAIL FROM:<> BODY", "501 5.5.4"),
        ],
        &[
            ("MAIL FROM:<> SMTPUTF8=1", "501 5.5.4"),
            ("MAIL FROM:<> RET=FULL", "555 5.5.4"),
        ],
        &[
            ("MAIL FROM:<ä@b>", "553 5.6.7"),
            ("MAIL FROM:<ä@b> SMTPUTF8", "250 2.1.0"),
        ],
        &[
            ("BDAT", "501 5.5.4"),
            ("BDAT x", "501 5.5.4"),
            ("BDAT 1 2", "501 5.5.4"),
        ],
        &[("BDAT 1 LAST x", "501 5.5.4"), ("BDAT -1", "501 5.5.4")],
        &[("QUIT now", "501 5.5.4"), ("QUIT", "221 2.0.0")],
    ] {
        let mut world = World::new(1);
        let id = greeted(&mut world);
        for (command, expected) in session {
            let answer = world.say(id, format!("{command}\r\n").as_bytes());
            assert!(answer.starts_with(expected), "{command}: {answer}");
        }
    }
}

#[test]
fn recipients_and_their_answers() {
    let mut world = World::new(1);
    let id = greeted(&mut world);
    begin(&mut world, id, &[]);
    for (path, expected) in [
        ("<alice@example.org>", "250 2.1.5"),
        ("<ALICE+detail@example.org>", "250 2.1.5"),
        ("<\"alice\"@example.org>", "250 2.1.5"),
        ("<@relay.example:alice@example.org>", "250 2.1.5"),
        ("<alice>", "250 2.1.5"),
        (" <alice>", "250 2.1.5"),
        ("<nobody@example.org>", "550 5.1.1"),
        ("<Postmaster>", "550 5.1.1"),
        ("<later@example.org>", "451 4.2.1"),
        ("<älice@example.org>", "553 5.6.7"),
        ("<>", "501 5.1.3"),
        ("alice", "501 5.1.3"),
        ("<alice@example.org> NOTIFY=NEVER", "555 5.5.4"),
    ] {
        let answer = world.say(id, format!("RCPT TO:{path}\r\n").as_bytes());
        assert!(answer.starts_with(expected), "{path}: {answer}");
        assert_eq!(answer.lines().count(), 1, "{path}: {answer}");
    }
    world.post.directory = false;
    for name in ["alice", "nobody"] {
        let answer = world.say(id, format!("RCPT TO:<{name}>\r\n").as_bytes());
        assert_eq!(codes(&answer), ["451 4.3.0"]);
    }
    world.say(id, b"RSET\r\n");
    world.post.directory = true;
    world.say(id, b"MAIL FROM:<> SMTPUTF8\r\n");
    let answer = world.say(id, "RCPT TO:<älice@example.org>\r\n".as_bytes());
    assert_eq!(codes(&answer), ["250 2.1.5"]);
    let answer = world.say(id, b"RCPT TO:<\xff@example.org>\r\n");
    assert_eq!(codes(&answer), ["501 5.1.3"]);
}

#[test]
fn before_lhlo_there_is_no_transaction() {
    let mut world = World::new(1);
    let id = world.connect_lmtp();
    world.read(id);
    let answer = world.say(id, b"MAIL FROM:<>\r\nNOOP\r\nQUIT\r\n");
    assert_eq!(codes(&answer), ["503 5.5.1", "250 2.0.0", "221 2.0.0"]);
    assert!(world.is_closed(id));
}

#[test]
fn recipients_of_a_transaction_are_limited() {
    let config = Config {
        lmtp_recipients_max: 3,
        ..Config::default()
    };
    let mut world = World::with_config(1, config);
    let id = greeted(&mut world);
    begin(&mut world, id, &["alice", "bob", "alice"]);
    let answer = world.say(id, b"RCPT TO:<carol>\r\n");
    assert_eq!(codes(&answer), ["452 4.5.3"]);
    let answer = crate::data(&mut world, id, b"a: b\r\n.\r\n");
    assert_eq!(codes(&answer), ["250 2.0.0"; 3]);
}

#[test]
fn the_client_has_time_to_read_the_answer_to_lhlo() {
    let at = |seconds| Now {
        instant: Instant::default().after(Duration::from_secs(seconds)),
        unix_ms: 1_800_000_000_000 + seconds * 1_000,
    };
    let config = Arc::new(Config {
        stall_timeout: Duration::from_secs(10),
        ..Config::default()
    });
    let mut connection = Connection::new(config, Seed::new([1; 32]), at(0));
    let greeting = connection.transmit().len();
    connection.handle_input(at(0), Input::Transmitted(greeting));
    connection.handle_input(at(20), Input::Received(b"LHLO a\r\n"));
    let Output::Wait(wait) = connection.poll_output() else {
        panic!("it waits");
    };
    let (until, reason) = wait.deadline.expect("it is given time");
    assert_eq!((until, reason), (at(30).instant, Reason::Stall));
}
