//! What many programs do.

use std::collections::BTreeSet;

use restante_tests::{
    Client, Response, Server, Status, Test, neighbours::base64, samples, server::Account, tests,
    trials::Need,
};

use crate::{idle, ok};

pub(crate) const TESTS: &[Test] = tests![
    a_short_sasl_response_comes_inline_or_after_the_plus => needs(&[Need::OwnProcess]),
    an_empty_sasl_response_is_bad_and_the_connection_goes_on,
    the_user_may_be_named_in_another_case_as_the_authorisation_identity,
    what_follows_a_login_in_the_same_packet_is_done_after_it,
    mistakes_between_commands_that_succeed_end_no_connection,
    text_follows_every_response_code => needs(&[Need::OwnProcess]).limits("message_bytes_max = 100000\nmailboxes_max = 7"),
    a_user_has_fifty_connections_from_one_address => needs(&[Need::OwnProcess]),
    signs_of_life_come_while_a_client_idles => needs(&[Need::OwnProcess]).limits("keep_alive_interval_s = 1"),
];

/// Each length of name and password has its own padding in base64.
fn a_short_sasl_response_comes_inline_or_after_the_plus(server: &Server) {
    for (name, password) in [("a", "b"), ("cd", "e"), ("f", "ghi"), ("j", "kl")] {
        server.add_account(&Account {
            name: name.to_owned(),
            password: password.to_owned(),
        });
        let response = base64(format!("\0{name}\0{password}").as_bytes());
        let mut client = server.connect();
        ok(&mut client, format!("A1 AUTHENTICATE PLAIN {response}"));
        ok(&mut client, "A2 SELECT INBOX");
        let mut client = server.connect();
        client.send("A1 AUTHENTICATE PLAIN\r\n");
        assert_eq!(client.response().text(), "+ ");
        ok_after(&mut client, &response, "A1");
        ok(&mut client, "A2 SELECT INBOX");
    }
}

fn ok_after(client: &mut Client, line: &str, tag: &str) {
    client.send(format!("{line}\r\n"));
    crate::done(client, tag);
}

/// RFC 4959 §3: `=` is the empty response, which PLAIN has no use for.
fn an_empty_sasl_response_is_bad_and_the_connection_goes_on(server: &Server) {
    let mut client = server.connect();
    client.bad("AUTHENTICATE PLAIN =");
    let tag = client.start("AUTHENTICATE PLAIN");
    assert_eq!(client.response().text(), "+ ");
    client.send("\r\n");
    assert_eq!(client.finish(&tag).status, Status::Bad);
    client.login(&server.alice.name, &server.alice.password);
}

fn the_user_may_be_named_in_another_case_as_the_authorisation_identity(server: &Server) {
    let (name, password) = (&server.alice.name, &server.alice.password);
    for authzid in [name.as_str(), &name.to_uppercase(), ""] {
        let response = base64(format!("{authzid}\0{name}\0{password}").as_bytes());
        let mut client = server.connect();
        ok(&mut client, format!("a AUTHENTICATE PLAIN {response}"));
    }
    for authzid in [&server.bob.name, "nobody", " "] {
        let response = base64(format!("{authzid}\0{name}\0{password}").as_bytes());
        let mut client = server.connect();
        client.no(format!("AUTHENTICATE PLAIN {response}"));
        assert_ne!(client.command("SELECT INBOX").status, Status::Ok);
    }
}

/// Neither the answer to LOGIN nor the `+` of AUTHENTICATE is waited for.
fn what_follows_a_login_in_the_same_packet_is_done_after_it(server: &Server) {
    let (name, password) = (&server.alice.name, &server.alice.password);
    let response = base64(format!("\0{name}\0{password}").as_bytes());
    for login in [
        format!("LOGIN {name} {password}"),
        format!("LOGIN {name} {{{}+}}\r\n{password}", password.len()),
        format!("AUTHENTICATE PLAIN {response}"),
        format!("AUTHENTICATE PLAIN\r\n{response}"),
    ] {
        let mut client = server.connect();
        client.send(format!("a {login}\r\nb SELECT INBOX\r\nc IDLE\r\n"));
        if login.ends_with(&format!("\r\n{response}")) {
            assert_eq!(client.response().text(), "+ ");
        }
        crate::done(&mut client, "a");
        crate::done(&mut client, "b");
        crate::await_idle(&mut client);
        client.send("DONE\r\n");
        crate::done(&mut client, "c");
    }
}

fn mistakes_between_commands_that_succeed_end_no_connection(server: &Server) {
    let mut client = server.login();
    let mut batch = String::new();
    for number in 0..300 {
        batch += &format!("u{number} GETQUOTAROOT INBOX\r\nn{number} NOOP\r\n");
    }
    client.send(batch);
    for number in 0..300 {
        let reply = client.finish(&restante_tests::client::Tag(format!("u{number}")));
        assert_eq!(reply.status, Status::Bad, "{reply:?}");
        crate::done(&mut client, &format!("n{number}"));
    }
}

/// The name of a response code, and that there is text after it.
fn code_of(response: &Response) -> Option<String> {
    let text = response.text();
    let mut words = text.splitn(3, ' ');
    let (_, condition, rest) = (words.next()?, words.next()?, words.next()?);
    if !["OK", "NO", "BAD", "BYE"].contains(&condition) {
        return None;
    }
    assert!(!rest.trim().is_empty(), "a condition without text: {text}");
    let code = rest.strip_prefix('[')?;
    let (code, after) = code.split_once(']').expect("a code is closed");
    let human = after.strip_prefix(' ').unwrap_or_default();
    assert!(!human.trim().is_empty(), "a code without text: {text}");
    Some(code.split(' ').next().unwrap_or_default().to_owned())
}

/// RFC 3501 §9, resp-text: clients fail to parse a line that ends with the bracket.
fn text_follows_every_response_code(server: &Server) {
    let (name, password) = (&server.alice.name, &server.alice.password);
    let mut client = server.connect();
    let mut codes: BTreeSet<String> = code_of(&client.greeting).into_iter().collect();
    let for_bob = base64(format!("{}\0{name}\0{password}", server.bob.name).as_bytes());
    let message = String::from_utf8(samples::plain("one", "1")).expect("it is ASCII");
    let append = |mailbox: &str| format!("APPEND {mailbox} {{{}+}}\r\n{message}", message.len());
    let mut other = server.connect();
    other.login(name, password);
    for command in [
        "LOGIN nobody wrong".to_owned(),
        format!("AUTHENTICATE PLAIN {for_bob}"),
        "FROBNICATE".to_owned(),
        format!("LOGIN {name} {password}"),
        "CREATE Box".to_owned(),
        "CREATE Box".to_owned(),
        "DELETE INBOX".to_owned(),
        "SELECT Absent".to_owned(),
        "STATUS Absent (MESSAGES)".to_owned(),
        append("Box"),
        append("Absent"),
        "APPEND Box {200000}".to_owned(),
        "SELECT Box".to_owned(),
        "ENABLE QRESYNC".to_owned(),
        "UID SEARCH CHARSET X-NONE TEXT x".to_owned(),
        "COPY 1 INBOX".to_owned(),
        "COPY 1 Absent".to_owned(),
        "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)".to_owned(),
        "STORE 1 +FLAGS (\\Deleted)".to_owned(),
        "EXPUNGE".to_owned(),
        "MOVE 1 INBOX".to_owned(),
        "EXAMINE INBOX".to_owned(),
        "NOOP".to_owned(),
        "CLOSE".to_owned(),
        "CREATE More".to_owned(),
    ] {
        let reply = client.command(&command);
        codes.extend(
            reply
                .untagged
                .iter()
                .chain([&reply.tagged])
                .filter_map(code_of),
        );
    }
    client.send(format!("{} LOGOUT\r\n", restante_tests::client::LOGOUT_TAG));
    codes.extend(client.until_closed().iter().filter_map(code_of));
    let expected = [
        "ALREADYEXISTS",
        "APPENDUID",
        "AUTHENTICATIONFAILED",
        "AUTHORIZATIONFAILED",
        "BADCHARSET",
        "CANNOT",
        "CAPABILITY",
        "CLOSED",
        "COPYUID",
        "HIGHESTMODSEQ",
        "LIMIT",
        "MODIFIED",
        "NONEXISTENT",
        "PERMANENTFLAGS",
        "READ-ONLY",
        "READ-WRITE",
        "TOOBIG",
        "TRYCREATE",
        "UIDNEXT",
        "UIDVALIDITY",
        "UNSEEN",
    ];
    let codes: Vec<_> = codes.iter().map(String::as_str).collect();
    assert_eq!(codes, expected, "each was provoked");
}

/// Several devices behind one router, five connections or more each.
fn a_user_has_fifty_connections_from_one_address(server: &Server) {
    let mut clients: Vec<Client> = (0..50).map(|_| server.login()).collect();
    for client in &mut clients {
        ok(client, "s SELECT INBOX");
    }
    let mut late = server.connect();
    let reply = late.no(format!(
        "LOGIN {} {}",
        server.alice.name, server.alice.password
    ));
    assert!(reply.tagged.code("LIMIT").is_some(), "{reply:?}");
    // It is no wrong password, other users are not counted, and a place that is left is free.
    late.login(&server.bob.name, &server.bob.password);
    clients.truncate(49);
    let again = restante_tests::process::wait_for(|| {
        let login = format!("LOGIN {} {}", server.alice.name, server.alice.password);
        server.connect().command(login).status == Status::Ok
    });
    assert!(again, "the place of a connection that ended is free");
    for client in &mut clients {
        ok(client, "n NOOP");
    }
}

fn signs_of_life_come_while_a_client_idles(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    idle(&mut client, "i IDLE");
    for _ in 0..3 {
        assert_eq!(client.response().text(), "* OK Still here");
    }
    client.send("DONE\r\n");
    crate::done(&mut client, "i");
}
