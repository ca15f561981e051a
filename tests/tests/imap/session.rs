//! Greeting, capabilities, malformed commands and pipelining (RFC 3501 §6.1, §7.1).

use restante_tests::{Server, Status, Test, client::LOGOUT_TAG, tests};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = tests![
    the_greeting_is_ok,
    capabilities_after_login_are_complete,
    noop_and_logout,
    id_is_answered_in_every_state,
    enable_always_says_enabled,
    unknown_commands_are_bad_and_the_connection_goes_on,
    malformed_arguments_are_bad_and_the_connection_goes_on,
    commands_in_the_wrong_state_are_refused,
    nul_and_eight_bit_octets_are_bad,
    sixty_four_pipelined_commands_are_answered_in_order,
    five_hundred_pipelined_commands_are_answered_in_order,
    a_command_may_come_octet_by_octet,
    command_names_are_case_insensitive,
];

fn the_greeting_is_ok(server: &Server) {
    let mut client = server.connect();
    assert!(
        client.greeting.starts_with("* OK "),
        "{:?}",
        client.greeting
    );
    let reply = client.ok("CAPABILITY");
    let text = reply.untagged[0].text().to_uppercase();
    for capability in [
        "IMAP4REV1",
        "STARTTLS",
        "SASL-IR",
        "LITERAL+",
        "ID",
        "ENABLE",
    ] {
        assert!(
            text.split(' ').any(|word| word == capability),
            "{capability} in {text}"
        );
    }
}

fn capabilities_after_login_are_complete(server: &Server) {
    let mut client = server.login();
    let reply = client.ok("CAPABILITY");
    assert_eq!(reply.untagged.len(), 1, "{reply:?}");
    let text = reply.untagged[0].text().to_uppercase();
    let wanted = [
        "IMAP4REV1",
        "LITERAL+",
        "SASL-IR",
        "ID",
        "NAMESPACE",
        "CHILDREN",
        "SPECIAL-USE",
        "XLIST",
        "UIDPLUS",
        "MOVE",
        "UNSELECT",
        "ENABLE",
        "IDLE",
        "LIST-STATUS",
        "MULTIAPPEND",
    ];
    let missing: Vec<_> = wanted
        .iter()
        .filter(|name| !text.split(' ').any(|word| word == **name))
        .collect();
    assert!(missing.is_empty(), "{missing:?} are missing in {text}");
    assert!(
        text.split(' ').any(|word| word.starts_with("APPENDLIMIT=")),
        "APPENDLIMIT= in {text}"
    );
    assert!(
        !text.contains("LOGINDISABLED") && !text.contains("STARTTLS"),
        "{text}"
    );
}

fn noop_and_logout(server: &Server) {
    let mut client = server.connect();
    client.ok("NOOP");
    client.login(&server.alice.name, &server.alice.password);
    client.ok("NOOP");
    client.send(format!("{LOGOUT_TAG} LOGOUT\r\n"));
    let reply = client.finish(&restante_tests::client::Tag(LOGOUT_TAG.to_owned()));
    assert_eq!(reply.status, Status::Ok);
    assert!(
        reply
            .untagged
            .iter()
            .any(|response| response.starts_with("* BYE ")),
        "{reply:?}"
    );
    let begin = Instant::now();
    assert!(
        client.try_response().is_none(),
        "the server closes after LOGOUT"
    );
    // Its own end of the stream, before it has waited for the client's.
    let time = begin.elapsed();
    assert!(time < Duration::from_secs(1), "{time:?}");
}

fn id_is_answered_in_every_state(server: &Server) {
    let mut client = server.connect();
    assert_eq!(client.ok("ID NIL").data("ID").len(), 1);
    client.login(&server.alice.name, &server.alice.password);
    let reply = client.ok("ID (\"name\" \"tests\" \"version\" NIL)");
    assert_eq!(reply.data("ID").len(), 1, "{reply:?}");
    client.ok("SELECT INBOX");
    client.ok("ID (\"name\" {5+}\r\ntests)");
    client.bad("ID (\"name\")");
}

fn enable_always_says_enabled(server: &Server) {
    let mut client = server.login();
    let reply = client.ok("ENABLE X-NOTHING-LIKE-IT");
    assert_eq!(
        reply.data("ENABLED"),
        [vec![]],
        "RFC 5161 §3.1 and real clients want it: {reply:?}"
    );
    client.bad("ENABLE");
}

fn unknown_commands_are_bad_and_the_connection_goes_on(server: &Server) {
    let mut client = server.connect();
    client.bad("FROBNICATE");
    client.login(&server.alice.name, &server.alice.password);
    client.bad("FROBNICATE now");
    client.bad("UID FROBNICATE 1");
    client.ok("NOOP");
    client.ok("SELECT INBOX");
    client.bad("X");
    client.ok("NOOP");
}

fn malformed_arguments_are_bad_and_the_connection_goes_on(server: &Server) {
    let mut client = server.login();
    client.ok("SELECT INBOX");
    for line in [
        "NOOP now",
        "SELECT",
        "SELECT \"INBOX",
        "SELECT (INBOX)",
        "FETCH 1",
        "FETCH 0 FLAGS",
        "FETCH 1:x FLAGS",
        "FETCH 1 (FLAGS",
        "FETCH 1 BODY[",
        "FETCH 1 BODY[1.0]",
        "FETCH 1 BODY[HEADER.FIELDS ()]",
        "FETCH 1 BODY[]<1>",
        "FETCH 1 BODY[]<0.0>",
        "FETCH 99999999999 FLAGS",
        "STORE 1 FLAGS",
        "STORE 1 FLOGS (\\Seen)",
        "STORE 1 FLAGS (\\Seen",
        "SEARCH",
        "SEARCH FROM",
        "SEARCH (",
        "SEARCH NOT",
        "SEARCH SINCE 32-Foo-2020",
        "STATUS INBOX",
        "STATUS INBOX ()",
        "STATUS INBOX (FROBS)",
        "LIST \"\"",
        "COPY 1",
        "COPY , INBOX",
        "APPEND INBOX",
        "APPEND INBOX (\\Seen) \"not a date\" {3+}\r\nabc",
        "RENAME only-one",
        "AUTHENTICATE",
    ] {
        let reply = client.command(line);
        // The state forbids AUTHENTICATE as well as its form does.
        assert!(reply.status == Status::Bad, "{line:?}: {reply:?}");
    }
    client.ok("NOOP");
}

fn commands_in_the_wrong_state_are_refused(server: &Server) {
    let mut client = server.connect();
    for line in [
        "SELECT INBOX",
        "LIST \"\" *",
        "FETCH 1 FLAGS",
        "IDLE",
        "APPEND INBOX {3+}\r\nabc",
    ] {
        let reply = client.command(line);
        assert_ne!(reply.status, Status::Ok, "{line} before login: {reply:?}");
    }
    client.login(&server.alice.name, &server.alice.password);
    for line in [
        "FETCH 1 FLAGS",
        "SEARCH ALL",
        "EXPUNGE",
        "CLOSE",
        "UNSELECT",
        "COPY 1 INBOX",
        "CHECK",
    ] {
        let reply = client.command(line);
        assert_ne!(
            reply.status,
            Status::Ok,
            "{line} without a mailbox: {reply:?}"
        );
    }
    let reply = client.command("LOGIN alice hunter2");
    assert_ne!(reply.status, Status::Ok, "a second LOGIN: {reply:?}");
    client.ok("NOOP");
}

fn nul_and_eight_bit_octets_are_bad(server: &Server) {
    let mut client = server.login();
    client.bad(b"NOOP\0");
    client.bad(b"SELECT IN\0BOX");
    client.bad(b"SELECT \"IN\0BOX\"");
    client.bad(b"SELECT IN\xffBOX");
    client.bad(b"\xff\xfe");
    let reply = client.command(b"CREATE {6+}\r\nIN\0BOX");
    assert_ne!(
        reply.status,
        Status::Ok,
        "a literal that RFC 3501 §9 does not know: {reply:?}"
    );
    let reply = client.command(b"CREATE {3+}\r\na\xffb");
    assert_ne!(
        reply.status,
        Status::Ok,
        "a name that is neither modified UTF-7 nor UTF-8: {reply:?}"
    );
    client.ok("NOOP");
}

fn sixty_four_pipelined_commands_are_answered_in_order(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Pipe");
    let mut batch = Vec::new();
    let mut tags = Vec::new();
    for number in 0..64 {
        let tag = client.tag();
        let command = match number % 4 {
            0 => "NOOP".to_owned(),
            1 => "STATUS Pipe (MESSAGES)".to_owned(),
            2 => "APPEND Pipe {14+}\r\nSubject: x\r\n\r\n".to_owned(),
            _ => "LIST \"\" Pipe".to_owned(),
        };
        batch.extend_from_slice(format!("{} {command}\r\n", tag.0).as_bytes());
        tags.push(tag);
    }
    client.send(&batch);
    for (number, tag) in (0_u64..).zip(&tags) {
        let reply = client.finish(tag);
        assert_eq!(reply.status, Status::Ok, "{reply:?}");
        if number % 4 == 1 {
            assert_eq!(
                reply.status_items()["MESSAGES"],
                number / 4,
                "commands take effect in order"
            );
        }
    }
}

fn five_hundred_pipelined_commands_are_answered_in_order(server: &Server) {
    let mut client = server.login();
    let mut batch = Vec::new();
    let tags: Vec<_> = (0..500).map(|_| client.tag()).collect();
    for tag in &tags {
        batch
            .extend_from_slice(format!("{} STATUS INBOX (MESSAGES UIDNEXT)\r\n", tag.0).as_bytes());
    }
    client.send(&batch);
    for tag in &tags {
        let reply = client.finish(tag);
        assert_eq!(reply.status, Status::Ok, "{reply:?}");
        assert_eq!(reply.data("STATUS").len(), 1, "{reply:?}");
    }
}

fn a_command_may_come_octet_by_octet(server: &Server) {
    let mut client = server.login();
    for octet in b"x1 STATUS {5}\r\n" {
        client.send([*octet]);
    }
    assert!(client.response().starts_with("+ "));
    for octet in b"INBOX (MESSAGES)\r\n" {
        client.send([*octet]);
    }
    let reply = client.finish(&restante_tests::client::Tag("x1".to_owned()));
    assert_eq!(reply.status, Status::Ok, "{reply:?}");
}

fn command_names_are_case_insensitive(server: &Server) {
    let mut client = server.login();
    client.ok("sElEcT iNbOx");
    client.ok("uid fetch 1:* (flags body.peek[header.fields (from)])");
    client.ok("search unseen or from x nOt subject y");
}
