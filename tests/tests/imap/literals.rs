//! Literals, synchronising and not, and those that are too long (RFC 3501 §4.3, RFC 7888).

use restante_tests::{Server, Status, Test, samples, tests, trials::Need};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

pub(crate) const TESTS: &[Test] = tests![
    several_literals_in_one_command,
    several_appends_in_one_packet,
    a_synchronising_literal_that_is_too_long_is_refused_at_once => needs(&[Need::OwnProcess]),
    a_non_synchronising_literal_that_is_too_long_is_skipped => needs(&[Need::OwnProcess]),
    a_message_that_is_too_long_is_refused_at_once => needs(&[Need::OwnProcess]).limits("message_bytes_max = 100000"),
    a_message_that_is_too_long_is_skipped => needs(&[Need::OwnProcess]).limits("message_bytes_max = 100000"),
    a_literal_beyond_all_numbers_is_refused,
    a_literal_of_no_octets,
    something_like_a_literal_within_a_line_is_bad,
    a_literal_that_is_sent_apart_from_its_line_does_not_wait => needs(&[Need::OwnProcess]),
];

/// Commands of each kind of which the median is taken.
const COMMANDS: usize = 41;

/// A system that acknowledges late does so after 40 ms.
const LATE: Duration = Duration::from_millis(30);

fn several_literals_in_one_command(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE {5+}\r\nFirst");
    client.ok("RENAME {5+}\r\nFirst {6+}\r\nSecond");
    let reply = client.ok("LIST {0+}\r\n {6+}\r\nSecond");
    assert!(reply.mailboxes("LIST").contains_key("Second"), "{reply:?}");
    let tag = client.start("STATUS {6}");
    assert!(client.response().starts_with("+ "));
    client.send("Second (MESSAGES)\r\n");
    assert_eq!(client.finish(&tag).status, Status::Ok);
}

fn several_appends_in_one_packet(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Batch");
    let mut batch = Vec::new();
    let tags: Vec<_> = (0..20).map(|_| client.tag()).collect();
    for tag in &tags {
        let message = samples::plain(&tag.0, "copied by Thunderbird");
        batch.extend_from_slice(
            format!("{} APPEND Batch (\\Seen) {{{}+}}\r\n", tag.0, message.len()).as_bytes(),
        );
        batch.extend_from_slice(&message);
        batch.extend_from_slice(b"\r\n");
    }
    client.send(&batch);
    for tag in &tags {
        assert_eq!(client.finish(tag).status, Status::Ok);
    }
    assert_eq!(client.ok("SELECT Batch").exists(), Some(20));
    let subjects = client
        .ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
        .fetches();
    for (fetch, tag) in subjects.iter().zip(&tags) {
        let subject = fetch.bytes("BODY[HEADER.FIELDS (SUBJECT)]");
        assert_eq!(
            subject,
            format!("Subject: {}\r\n\r\n", tag.0).as_bytes(),
            "stored in order"
        );
    }
}

fn a_synchronising_literal_that_is_too_long_is_refused_at_once(server: &Server) {
    let mut client = server.login();
    let tag = client.start("CREATE {10000000}");
    let reply = client.finish(&tag);
    assert_ne!(reply.status, Status::Ok, "{reply:?}");
    client.ok("NOOP");
}

fn a_non_synchronising_literal_that_is_too_long_is_skipped(server: &Server) {
    let mut client = server.login();
    // What is inside looks like commands and must not be taken for any.
    let inside = b"x LOGOUT\r\n".repeat(50_000);
    let mut command = format!("CREATE {{{}+}}\r\n", inside.len()).into_bytes();
    command.extend_from_slice(&inside);
    let reply = client.command(&command);
    assert_ne!(reply.status, Status::Ok, "{reply:?}");
    client.ok("NOOP");
    command.extend_from_slice(b" {3+}\r\nend");
    let reply = client.command(&command);
    assert_ne!(reply.status, Status::Ok, "{reply:?}");
    client.ok("NOOP");
}

fn a_message_that_is_too_long_is_refused_at_once(server: &Server) {
    let mut client = server.login();
    let capabilities = client.ok("CAPABILITY").untagged[0].text();
    assert!(
        capabilities.contains("APPENDLIMIT=100000"),
        "{capabilities}"
    );
    let tag = client.start("APPEND INBOX {100001}");
    let reply = client.finish(&tag);
    assert_eq!(reply.status, Status::No, "{reply:?}");
    assert!(reply.code("TOOBIG").is_some(), "RFC 7889 §4: {reply:?}");
    client.append_ok("INBOX", "", &samples::large(100_000));
    assert_eq!(client.ok("SELECT INBOX").exists(), Some(1));
}

fn a_message_that_is_too_long_is_skipped(server: &Server) {
    let mut client = server.login();
    let mut command = b"APPEND INBOX {1000000+}\r\n".to_vec();
    command.extend_from_slice(&b"x LOGOUT\r\n".repeat(100_000));
    let reply = client.command(&command);
    assert_eq!(reply.status, Status::No, "{reply:?}");
    assert!(reply.code("TOOBIG").is_some(), "RFC 7889 §4: {reply:?}");
    assert_eq!(client.ok("SELECT INBOX").exists(), Some(0));
}

fn a_literal_beyond_all_numbers_is_refused(server: &Server) {
    let mut client = server.login();
    for size in [
        "4294967296",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        let tag = client.start(format!("APPEND INBOX {{{size}}}"));
        let reply = client.finish(&tag);
        assert_ne!(reply.status, Status::Ok, "{reply:?}");
    }
    client.ok("NOOP");
}

fn a_literal_of_no_octets(server: &Server) {
    let mut client = server.login();
    let reply = client.ok("LIST {0+}\r\n INBOX");
    assert!(reply.mailboxes("LIST").contains_key("INBOX"), "{reply:?}");
    let reply = client.command("CREATE {0+}\r\n");
    assert_ne!(reply.status, Status::Ok, "{reply:?}");
    client.ok("NOOP");
}

fn something_like_a_literal_within_a_line_is_bad(server: &Server) {
    let mut client = server.login();
    client.bad("STATUS {5+} (MESSAGES)");
    client.bad("STATUS {x} (MESSAGES)");
    client.bad("STATUS {-1}");
    client.ok("NOOP");
}

/// As PHP's programs do, Roundcube among them, and whoever else writes a line and its literal to a
/// socket one after the other. Their system sends the literal when the line was acknowledged.
fn a_literal_that_is_sent_apart_from_its_line_does_not_wait(server: &Server) {
    let mut socket = TcpStream::connect(server.address()).expect("the server listens");
    socket
        .set_nodelay(false)
        .expect("a socket takes its options");
    let mut lines = BufReader::new(socket.try_clone().expect("a socket can be shared")).lines();
    let mut command = |pieces: &[&str]| {
        let begin = Instant::now();
        for piece in pieces {
            socket.write_all(piece.as_bytes()).expect("it is connected");
        }
        let mut lines = lines.by_ref().map(|line| line.expect("it answers"));
        let end = lines.find(|line| line.starts_with("a ")).expect("an end");
        assert!(end.starts_with("a OK "), "{end}");
        begin.elapsed()
    };
    let [name, password] = [&server.alice.name, &server.alice.password];
    command(&[&format!("a LOGIN {name} {password}\r\n")]);
    let status = ["a STATUS {5+}\r\n", "INBOX (MESSAGES)\r\n"];
    // What it takes on this machine, busy as it is, is told by the same command in one piece.
    let whole = status.concat();
    let times = (0..COMMANDS).map(|_| (command(&[&whole]), command(&status)));
    let (mut in_one, mut apart): (Vec<_>, Vec<_>) = times.unzip();
    for times in [&mut in_one, &mut apart] {
        times.sort_unstable();
    }
    let waited = apart[COMMANDS / 2].saturating_sub(in_one[COMMANDS / 2]);
    assert!(waited < LATE, "{apart:?}, in one piece {in_one:?}");
}
