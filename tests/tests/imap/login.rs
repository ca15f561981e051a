//! LOGIN, AUTHENTICATE PLAIN and their refusals (RFC 3501 §6.2, RFC 4959, RFC 4616).

use restante_tests::{Server, Status, Test, neighbours, tests, trials::Need};

pub(crate) const TESTS: &[Test] = tests![
    login_by_atoms_strings_and_literals,
    plain_with_an_initial_response,
    plain_after_the_continuation,
    plain_can_be_cancelled,
    plain_with_the_same_authorisation_identity,
    plain_for_someone_else_is_refused,
    plain_that_is_not_base64_is_bad,
    unknown_mechanisms_are_refused,
    a_wrong_password_looks_like_an_unknown_user,
    wrong_passwords_end_the_connection_at_last,
    login_is_disabled_in_the_clear_for_others => needs(&[Need::OwnProcess, Need::OutwardAddress]).outward(),
    a_silent_connection_ends => needs(&[Need::OwnProcess]).limits("login_timeout_s = 2"),
    accounts_are_apart,
];

/// Base64 of the message of PLAIN (RFC 4616 §2).
fn plain(authorisation: &str, user: &str, password: &str) -> String {
    neighbours::base64(format!("{authorisation}\0{user}\0{password}").as_bytes())
}

fn login_by_atoms_strings_and_literals(server: &Server) {
    let (user, password) = (&server.alice.name, &server.alice.password);
    server.connect().ok(format!("LOGIN {user} {password}"));
    server
        .connect()
        .ok(format!("LOGIN \"{user}\" \"{password}\""));
    server.connect().ok(format!(
        "LOGIN {{{}+}}\r\n{user} {{{}+}}\r\n{password}",
        user.len(),
        password.len()
    ));
    let mut client = server.connect();
    let tag = client.start(format!("LOGIN {{{}}}", user.len()));
    assert!(client.response().starts_with("+ "));
    client.send(format!("{user} {{{}}}\r\n", password.len()));
    assert!(client.response().starts_with("+ "));
    client.send(format!("{password}\r\n"));
    assert_eq!(client.finish(&tag).status, Status::Ok);
    client.ok("SELECT INBOX");
}

fn plain_with_an_initial_response(server: &Server) {
    let mut client = server.connect();
    client.ok(format!(
        "AUTHENTICATE PLAIN {}",
        plain("", &server.alice.name, &server.alice.password)
    ));
    client.ok("SELECT INBOX");
}

fn plain_after_the_continuation(server: &Server) {
    let mut client = server.connect();
    let tag = client.start("AUTHENTICATE PLAIN");
    let challenge = client.response();
    assert_eq!(
        challenge.text().trim_end(),
        "+",
        "an empty challenge: {challenge:?}"
    );
    client.send(format!(
        "{}\r\n",
        plain("", &server.alice.name, &server.alice.password)
    ));
    assert_eq!(client.finish(&tag).status, Status::Ok);
    client.ok("SELECT INBOX");
}

fn plain_can_be_cancelled(server: &Server) {
    let mut client = server.connect();
    let tag = client.start("AUTHENTICATE PLAIN");
    assert!(client.response().starts_with("+"));
    client.send("*\r\n");
    assert_eq!(client.finish(&tag).status, Status::Bad, "RFC 3501 §6.2.2");
    client.login(&server.alice.name, &server.alice.password);
}

fn plain_with_the_same_authorisation_identity(server: &Server) {
    let mut client = server.connect();
    let name = &server.alice.name;
    client.ok(format!(
        "AUTHENTICATE PLAIN {}",
        plain(name, name, &server.alice.password)
    ));
    client.ok("SELECT INBOX");
}

fn plain_for_someone_else_is_refused(server: &Server) {
    let mut client = server.connect();
    client.no(format!(
        "AUTHENTICATE PLAIN {}",
        plain(&server.bob.name, &server.alice.name, &server.alice.password)
    ));
    assert_ne!(client.command("SELECT INBOX").status, Status::Ok);
    client.login(&server.alice.name, &server.alice.password);
}

fn plain_that_is_not_base64_is_bad(server: &Server) {
    let mut client = server.connect();
    for initial in ["!!!!", "AAA", "YWJj", "="] {
        let reply = client.command(format!("AUTHENTICATE PLAIN {initial}"));
        assert_ne!(reply.status, Status::Ok, "{initial}: {reply:?}");
    }
    client.login(&server.alice.name, &server.alice.password);
}

fn unknown_mechanisms_are_refused(server: &Server) {
    let mut client = server.connect();
    client.no("AUTHENTICATE X-MAGIC");
    client.no("AUTHENTICATE X-MAGIC AAAA");
    client.login(&server.alice.name, &server.alice.password);
}

fn a_wrong_password_looks_like_an_unknown_user(server: &Server) {
    let mut client = server.connect();
    let wrong = client.no(format!("LOGIN {} not-this-one", server.alice.name));
    let mut client = server.connect();
    let unknown = client.no("LOGIN nobody-of-that-name not-this-one");
    assert_eq!(
        wrong.text(),
        unknown.text(),
        "an answer must not tell who has an account"
    );
    assert!(wrong.untagged.is_empty() && unknown.untagged.is_empty());
    client.login(&server.alice.name, &server.alice.password);
}

fn wrong_passwords_end_the_connection_at_last(server: &Server) {
    let mut client = server.connect();
    // Pipelined, since only the last answer matters here. The delays between them grow.
    client.send(
        (0..20)
            .map(|n| format!("w{n} LOGIN nobody wrong\r\n"))
            .collect::<String>(),
    );
    let responses = client.until_closed();
    assert!(
        responses
            .iter()
            .all(|response| !response.text().contains(" OK ")),
        "{responses:?}"
    );
    assert!(
        responses.len() < 20,
        "guessing goes on for ever: {responses:?}"
    );
}

fn login_is_disabled_in_the_clear_for_others(server: &Server) {
    let mut client = restante_tests::Client::connect(server.outward_address());
    let reply = client.ok("CAPABILITY");
    let text = reply.untagged[0].text().to_uppercase();
    assert!(
        text.contains("LOGINDISABLED") && text.contains("STARTTLS"),
        "{text}"
    );
    assert!(!text.contains("AUTH=PLAIN"), "{text}");
    let (name, password) = (&server.alice.name, &server.alice.password);
    client.no(format!("LOGIN {name} {password}"));
    client.no(format!("AUTHENTICATE PLAIN {}", plain("", name, password)));
    client.ok("STARTTLS");
    client.upgrade();
    let text = client.ok("CAPABILITY").untagged[0].text().to_uppercase();
    assert!(!text.contains("LOGINDISABLED"), "{text}");
    client.login(name, password);
}

fn a_silent_connection_ends(server: &Server) {
    let mut silent = server.connect();
    let mut logged_in = server.login();
    let last = silent.until_closed();
    assert!(
        last.iter().all(|response| response.starts_with("* BYE ")),
        "{last:?}"
    );
    logged_in.ok("NOOP");
}

fn accounts_are_apart(server: &Server) {
    let mut alice = server.login();
    alice.ok("CREATE Private");
    alice.append_ok("INBOX", "", b"Subject: for alice\r\n\r\nalice\r\n");
    let mut bob = server.connect();
    bob.login(&server.bob.name, &server.bob.password);
    assert!(
        !bob.ok("LIST \"\" *")
            .mailboxes("LIST")
            .contains_key("Private")
    );
    assert_eq!(bob.ok("SELECT INBOX").exists(), Some(0));
    bob.no("SELECT Private");
}
