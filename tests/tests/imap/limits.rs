//! Bombs, long lines and slow clients: a clear answer, and nobody else notices.

use std::time::{Duration, Instant};

use restante_tests::{Client, Server, Status, Test, samples, tests, trials::Need};

pub(crate) const TESTS: &[Test] = tests![
    a_line_that_is_too_long_is_bad,
    a_line_without_an_end_is_bounded => needs(&[Need::OwnProcess, Need::Proc]),
    a_search_ten_thousand_levels_deep,
    a_message_ten_thousand_levels_deep,
    a_message_with_ten_thousand_parts,
    a_header_without_an_end,
    a_long_set_of_numbers,
    half_a_line_blocks_nobody,
    half_a_literal_blocks_nobody,
    many_connections_that_say_nothing,
    disconnecting_in_the_middle_of_everything,
];

fn a_line_that_is_too_long_is_bad(server: &Server) {
    let mut client = server.login();
    for size in [100_000, 1_000_000] {
        let reply = client.command(format!("NOOP {}", "x".repeat(size)));
        assert_eq!(reply.status, Status::Bad, "{size} octets: {reply:?}");
        client.ok("NOOP");
    }
    let long = format!(
        "UID FETCH {} FLAGS",
        (1..1_500)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(",")
    );
    assert!(long.len() < 8_192);
    client.ok("SELECT INBOX");
    client.ok(long);
}

fn a_line_without_an_end_is_bounded(server: &Server) {
    let mut client = server.login();
    let pid = server.pid();
    let before = pid.resident_kib();
    pid.reset_peak();
    client.send("a NOOP ");
    for _ in 0..200 {
        if client.try_send(&[b'x'; 100_000]).is_err() {
            break;
        }
    }
    pid.wait_until_idle();
    let growth = pid.peak_kib().saturating_sub(before);
    assert!(growth < 4 * 1024, "20 MB of one line cost {growth} KiB");
    server.login().ok("NOOP");
}

fn a_search_ten_thousand_levels_deep(server: &Server) {
    const DEPTH: usize = 10_000;
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    for command in [
        format!("SEARCH {}ALL{}", "(".repeat(DEPTH), ")".repeat(DEPTH)),
        format!("SEARCH {}ALL", "NOT ".repeat(DEPTH)),
        format!("SEARCH {}ALL", "OR ALL ".repeat(DEPTH)),
        format!("SEARCH {}ALL{}", "(".repeat(1_000), ")".repeat(1_000)),
    ] {
        let reply = client.command(&command);
        // Understanding it is allowed, if the answer is right.
        assert!(
            reply.status != Status::Ok || reply.found() == [1],
            "{}…: {reply:?}",
            &command[..30]
        );
        client.ok("NOOP");
    }
    client.bad(format!("SEARCH {}", "(".repeat(DEPTH)));
    let found = client
        .ok(format!("SEARCH {}ALL{}", "(".repeat(30), ")".repeat(30)))
        .found();
    assert_eq!(found, [1], "what people write is understood");
}

fn deep_multipart(depth: usize) -> Vec<u8> {
    let mut message = b"Subject: deep\r\nMIME-Version: 1.0\r\n".to_vec();
    for level in 0..depth {
        message.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n")
                .as_bytes(),
        );
    }
    message.extend_from_slice(b"\r\nat the bottom\r\n");
    for level in (0..depth).rev() {
        message.extend_from_slice(format!("--b{level}--\r\n").as_bytes());
    }
    message
}

fn all_items(client: &mut Client, message: &[u8]) {
    let fetch = client.fetch(
        1,
        "(ENVELOPE BODY BODYSTRUCTURE RFC822.SIZE BODY.PEEK[] BODY.PEEK[1] BODY.PEEK[1.1.1])",
    );
    assert_eq!(fetch.item("RFC822.SIZE").number(), message.len() as u64);
    assert!(
        fetch.bytes("BODY[]") == message,
        "the octets come back as they were"
    );
    client.ok("SEARCH TEXT bottom");
    client.ok("SEARCH BODY nothing-like-it");
}

fn a_message_ten_thousand_levels_deep(server: &Server) {
    let message = deep_multipart(10_000);
    let mut client = server.select("Multipart", &[&message]);
    all_items(&mut client, &message);
    let mut nested = b"Subject: outermost\r\n".to_vec();
    for _ in 0..10_000 {
        nested.extend_from_slice(b"Content-Type: message/rfc822\r\n\r\nSubject: inside\r\n");
    }
    nested.extend_from_slice(b"\r\nat the bottom\r\n");
    let mut client = server.select("Rfc822", &[&nested]);
    all_items(&mut client, &nested);
    let section = vec!["1"; 1_000].join(".");
    client.command(format!("FETCH 1 BODY.PEEK[{section}]"));
    client.ok("NOOP");
}

fn a_message_with_ten_thousand_parts(server: &Server) {
    let mut message =
        b"Subject: wide\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    for number in 0..10_000 {
        message.extend_from_slice(
            format!("--b\r\nContent-Type: text/plain\r\n\r\npart {number}\r\n").as_bytes(),
        );
    }
    message.extend_from_slice(b"--b--\r\nbottom\r\n");
    let mut client = server.select("Wide", &[&message]);
    all_items(&mut client, &message);
    let fetch = client.fetch(1, "BODY.PEEK[500]");
    assert_eq!(fetch.bytes("BODY[500]"), b"part 499");
}

fn a_header_without_an_end(server: &Server) {
    let mut message = b"Subject: long\r\n".to_vec();
    for number in 0..20_000 {
        message.extend_from_slice(format!("X-Field-{number}: {}\r\n", "v".repeat(50)).as_bytes());
    }
    message.extend_from_slice(
        format!("To: {}\r\n", "someone@example.org, ".repeat(20_000)).as_bytes(),
    );
    message.extend_from_slice(b"\r\nbottom\r\n");
    let mut client = server.select("Long", &[&message]);
    all_items(&mut client, &message);
    let fetch = client.fetch(1, "BODY.PEEK[HEADER.FIELDS (SUBJECT)]");
    assert_eq!(
        fetch.bytes("BODY[HEADER.FIELDS (SUBJECT)]"),
        b"Subject: long\r\n\r\n"
    );
}

fn a_long_set_of_numbers(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    let reply = client.ok("UID FETCH 1:4294967295 FLAGS");
    assert_eq!(reply.fetches().len(), 1);
    let set = (0..1_000)
        .map(|n| format!("{}:{}", 2 * n + 1, 2 * n + 1))
        .collect::<Vec<_>>()
        .join(",");
    let reply = client.command(format!("UID FETCH {set} FLAGS"));
    assert!(
        reply.status != Status::Ok || reply.fetches().len() == 1,
        "{reply:?}"
    );
    client.ok("NOOP");
}

/// Others get their answer as fast as ever.
fn others_are_served(server: &Server) {
    let begin = Instant::now();
    let mut client = server.login();
    client.ok("SELECT INBOX");
    client.append_ok("INBOX", "", &samples::plain("one", "1"));
    client.ok("NOOP");
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "others waited {:?}",
        begin.elapsed()
    );
}

fn half_a_line_blocks_nobody(server: &Server) {
    let mut slow = server.login();
    slow.send("a SELE");
    others_are_served(server);
    slow.send("CT INBOX\r\n");
    assert_eq!(
        slow.finish(&restante_tests::client::Tag("a".to_owned()))
            .status,
        Status::Ok
    );
}

fn half_a_literal_blocks_nobody(server: &Server) {
    let message = samples::large(200_000);
    let mut slow = server.login();
    slow.send(format!("a APPEND INBOX {{{}+}}\r\n", message.len()));
    slow.send(&message[..150_000]);
    let mut other = server.login();
    assert_eq!(
        other.ok("SELECT INBOX").exists(),
        Some(0),
        "nothing half-written is visible"
    );
    drop(other);
    others_are_served(server);
    slow.send(&message[150_000..]);
    slow.send("\r\n");
    assert_eq!(
        slow.finish(&restante_tests::client::Tag("a".to_owned()))
            .status,
        Status::Ok
    );
}

fn many_connections_that_say_nothing(server: &Server) {
    let silent: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    let logged_in: Vec<Client> = (0..20).map(|_| server.login()).collect();
    others_are_served(server);
    assert_eq!(silent.len() + logged_in.len(), 80);
}

fn disconnecting_in_the_middle_of_everything(server: &Server) {
    let message = samples::large(500_000);
    let mut client = server.login();
    client.append_ok("INBOX", "", &message);
    drop(client);
    for cut in [
        "a SELECT INBOX\r\nb FETCH 1 BODY.PEEK[]\r\n".to_owned(),
        "a SELECT INBOX\r\nb SEARCH TEXT nothing\r\n".to_owned(),
        "a APPEND INBOX {500000+}\r\nSubject: cut\r\n\r\n".to_owned(),
        "a SELECT INBOX\r\nb IDLE\r\n".to_owned(),
        "a APPEND INBOX {500000}\r\n".to_owned(),
        "a SEL".to_owned(),
        "a LOGIN {100+}\r\nx".to_owned(),
    ] {
        for _ in 0..3 {
            let mut client = server.login();
            client.send(&cut);
            client
                .socket()
                .shutdown(std::net::Shutdown::Both)
                .expect("an open socket");
        }
    }
    let mut client = server.login();
    assert_eq!(
        client.ok("SELECT INBOX").exists(),
        Some(1),
        "half a message is no message"
    );
    assert!(client.fetch(1, "BODY.PEEK[]").bytes("BODY[]") == message);
}
