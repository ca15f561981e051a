//! STARTTLS and implicit TLS (RFC 3501 §6.2.1, RFC 8314), and attacks on the change.

use restante_tests::{Client, Server, Status, Test, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    starttls_then_login,
    implicit_tls,
    commands_sent_in_the_clear_after_starttls_are_not_executed,
    starttls_twice_is_bad,
    starttls_after_login_is_bad,
    large_messages_over_tls,
    a_broken_handshake_disturbs_nobody,
];

fn starttls_then_login(server: &Server) {
    let mut client = server.connect();
    client.ok("STARTTLS");
    client.upgrade();
    let text = client.ok("CAPABILITY").untagged[0].text().to_uppercase();
    assert!(
        !text.contains("STARTTLS") && text.contains("AUTH=PLAIN"),
        "{text}"
    );
    client.login(&server.alice.name, &server.alice.password);
    client.ok("SELECT INBOX");
}

fn implicit_tls(server: &Server) {
    let mut client = Client::connect_tls(server.tls_address());
    assert!(client.greeting.starts_with("* OK "));
    client.login(&server.alice.name, &server.alice.password);
    client.append_ok("INBOX", "", &samples::plain("one", "1"));
    assert_eq!(client.ok("SELECT INBOX").exists(), Some(1));
    client.send("bye LOGOUT\r\n");
    assert!(
        client
            .until_closed()
            .iter()
            .any(|response| response.starts_with("bye OK "))
    );
}

fn commands_sent_in_the_clear_after_starttls_are_not_executed(server: &Server) {
    let (name, password) = (&server.alice.name, &server.alice.password);
    let mut client = server.connect();
    client.send(format!(
        "s STARTTLS\r\nl LOGIN {name} {password}\r\nc CREATE Injected\r\n"
    ));
    let answer = client.response();
    if answer.starts_with("s OK ") {
        // Nothing else may have been said in the clear, and inside there must be no
        // answer to what was injected, nor its effect (CVE-2011-0411).
        assert!(
            !client.has_more_within(std::time::Duration::from_millis(200)),
            "an answer in the clear"
        );
        // A server that takes what was injected for the handshake ends here.
        if client.try_upgrade().is_ok() {
            client.ok("CAPABILITY");
            let refused = client.command("SELECT INBOX");
            assert_ne!(
                refused.status,
                Status::Ok,
                "the injected LOGIN was executed: {refused:?}"
            );
        }
    } else {
        assert!(!answer.text().contains(" OK "), "{answer:?}");
    }
    assert!(
        !server
            .login()
            .ok("LIST \"\" *")
            .mailboxes("LIST")
            .contains_key("Injected")
    );
}

fn starttls_twice_is_bad(server: &Server) {
    let mut client = server.connect();
    client.ok("STARTTLS");
    client.upgrade();
    assert_ne!(client.command("STARTTLS").status, Status::Ok);
    client.ok("NOOP");
}

fn starttls_after_login_is_bad(server: &Server) {
    let mut client = server.login();
    assert_ne!(client.command("STARTTLS").status, Status::Ok);
    client.ok("NOOP");
}

fn large_messages_over_tls(server: &Server) {
    let message = samples::large(3_000_001);
    let mut client = Client::connect_tls(server.tls_address());
    client.login(&server.alice.name, &server.alice.password);
    client.append_ok("INBOX", "", &message);
    client.ok("SELECT INBOX");
    assert!(
        client.fetch(1, "BODY.PEEK[]").bytes("BODY[]") == message,
        "the octets come back as they were"
    );
}

fn a_broken_handshake_disturbs_nobody(server: &Server) {
    let mut client = server.connect();
    client.ok("STARTTLS");
    client.send("a NOOP\r\nb NOOP\r\n");
    // Closed, perhaps after a TLS alert, which is no line.
    let mut rest = Vec::new();
    let mut socket = client.socket();
    let ended = std::io::Read::read_to_end(&mut socket, &mut rest);
    assert!(
        ended.is_ok()
            || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    );
    assert!(
        !rest.windows(4).any(|four| four == b" OK "),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
    server.login().ok("NOOP");
}
