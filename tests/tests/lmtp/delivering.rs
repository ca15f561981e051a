//! What a mail server does all day.

use std::{fs, thread};

use restante_tests::{
    Server, Status, Test, lmtp,
    process::{PATIENCE, wait_for},
    samples, tests,
    trials::Need,
};

use crate::messages;

pub(crate) const TESTS: &[Test] = tests![
    whoever_idles_is_told => needs(&[Need::OwnProcess]),
    many_connections_at_once => needs(&[Need::OwnProcess]),
    chunks_and_pipelines => needs(&[Need::OwnProcess]),
    recipients_follow_the_accounts_file => needs(&[Need::OwnProcess]),
    accounts_that_cannot_be_read_are_no_unknown_recipients => needs(&[Need::OwnProcess]),
    everything_is_there_after_a_restart => needs(&[Need::OwnProcess]),
    more_connections_than_room => limits("lmtp_copies_max = 3\nlmtp_recipients_max = 3"),
    a_stop_says_421 => needs(&[Need::OwnProcess]),
];

fn whoever_idles_is_told(server: &Server) {
    let mut alice = server.login();
    alice.ok("SELECT INBOX");
    let tag = alice.start("IDLE");
    assert!(alice.response().starts_with("+ "));
    server
        .deliver()
        .deliver(&["alice@example.org"], &samples::plain("a", "b"));
    assert!(alice.has_more_within(PATIENCE));
    while !alice.response().starts_with("* 1 EXISTS") {}
    alice.send("DONE\r\n");
    assert_eq!(alice.finish(&tag).status, Status::Ok);
}

fn many_connections_at_once(server: &Server) {
    thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                let mut lmtp = server.deliver();
                for number in 0..10 {
                    let message = samples::plain(&format!("{client}/{number}"), "text");
                    lmtp.deliver(&["alice", "bob@example.org"], &message);
                }
                assert_eq!(lmtp.say("QUIT"), "221 2.0.0 Until next time");
                lmtp.closed();
            });
        }
    });
    for (account, address) in [(&server.alice, "alice"), (&server.bob, "bob@example.org")] {
        let mut client = server.connect();
        client.login(&account.name, &account.password);
        let mut found = messages(&mut client);
        found.sort();
        let sent = (0..8).flat_map(|client| (0..10).map(move |number| (client, number)));
        let mut sent: Vec<Vec<u8>> = sent
            .map(|(client, number)| {
                let message = samples::plain(&format!("{client}/{number}"), "text");
                lmtp::kept(address, &message)
            })
            .collect();
        sent.sort();
        assert_eq!(found.len(), sent.len());
        assert!(found == sent, "every message is there once");
    }
}

fn chunks_and_pipelines(server: &Server) {
    let mut client = server.deliver();
    let message = samples::large(300_000);
    let mut octets = b"MAIL FROM:<ada@example.net> BODY=8BITMIME SIZE=300000\r\n\
        RCPT TO:<alice>\r\nRCPT TO:<nobody>\r\nRCPT TO:<alice+again>\r\n"
        .to_vec();
    let (first, rest) = message.split_at(100_000);
    for (chunk, last) in [(first, ""), (&b""[..], ""), (rest, " LAST")] {
        octets.extend_from_slice(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
        octets.extend_from_slice(chunk);
    }
    octets.extend_from_slice(b"NOOP\r\n");
    client.send(&octets).expect("the server is there");
    let codes: Vec<String> = (0..9)
        .map(|_| client.line().expect("an answer")[..9].to_owned())
        .collect();
    let expected = [
        "250 2.1.0",
        "250 2.1.5",
        "550 5.1.1",
        "250 2.1.5",
        "250 2.0.0",
        "250 2.0.0",
        "250 2.0.0",
        "250 2.0.0",
        "250 2.0.0",
    ];
    assert_eq!(codes, expected);
    assert_eq!(
        messages(&mut server.login()),
        [lmtp::kept("alice", &message)]
    );
}

fn recipients_follow_the_accounts_file(server: &Server) {
    let mut client = server.deliver();
    client.say("MAIL FROM:<>");
    let code = |client: &mut restante_tests::Lmtp, path: &str| {
        client.say(&format!("RCPT TO:<{path}>"))[..9].to_owned()
    };
    assert_eq!(code(&mut client, "Alice+lists@EXAMPLE.org"), "250 2.1.5");
    assert_eq!(code(&mut client, "alice@example.net"), "550 5.1.1");
    assert_eq!(code(&mut client, "sales@example.net"), "550 5.1.1");
    server.add_address(&server.bob, "Sales@example.net");
    assert_eq!(code(&mut client, "sales@EXAMPLE.net"), "250 2.1.5");
    assert_eq!(code(&mut client, "sales+x@example.net"), "250 2.1.5");
    assert_eq!(code(&mut client, "sales"), "550 5.1.1");
    // It is for mail, not for logging in.
    let mut imap = server.connect();
    imap.no(format!("LOGIN sales@example.net {}", server.bob.password));
}

fn accounts_that_cannot_be_read_are_no_unknown_recipients(server: &Server) {
    let mut client = server.deliver();
    client.say("MAIL FROM:<>");
    let file = server.folder().join("accounts");
    let text = fs::read(&file).expect("the accounts file");
    for damage in [Some("version = 7"), Some(""), None] {
        match damage {
            Some(text) => fs::write(&file, text),
            None => fs::remove_file(&file),
        }
        .expect("our folder can be written");
        for recipient in ["alice", "nobody"] {
            let answer = client.say(&format!("RCPT TO:<{recipient}>"));
            assert!(answer.starts_with("451 4.3.0 "), "{answer}");
        }
    }
    fs::write(&file, text).expect("our folder can be written");
    assert!(client.say("RCPT TO:<nobody>").starts_with("550 5.1.1 "));
    assert!(client.say("RCPT TO:<alice>").starts_with("250 "));
}

fn everything_is_there_after_a_restart(server: &Server) {
    let message = samples::large(100_000);
    server.deliver().deliver(&["alice"], &message);
    server.restart();
    server.deliver().deliver(&["alice"], &message);
    let mut alice = server.login();
    let kept = lmtp::kept("alice", &message);
    assert!(messages(&mut alice) == [kept.clone(), kept.clone()]);
    server.kill();
    server
        .start_again()
        .expect("the server starts after a kill");
    server.deliver().deliver(&["alice"], &message);
    assert!(messages(&mut server.login()) == [kept.clone(), kept.clone(), kept]);
}

fn more_connections_than_room(server: &Server) {
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let mut client = server.deliver();
                for _ in 0..3 {
                    client.deliver(&["alice", "bob", "alice+x"], &samples::large(100_000));
                }
            });
        }
    });
    let mut alice = server.login();
    assert_eq!(alice.ok("EXAMINE INBOX").exists(), Some(30));
    let answer = {
        let mut client = server.deliver();
        client.say("MAIL FROM:<>");
        for _ in 0..3 {
            client.say("RCPT TO:<alice>");
        }
        client.say("RCPT TO:<alice>")
    };
    assert!(answer.starts_with("452 4.5.3 "), "{answer}");
}

fn a_stop_says_421(server: &Server) {
    let mut client = server.deliver();
    let socket = server.lmtp_socket();
    assert!(socket.exists());
    server.stop();
    let line = client.line().expect("a last word");
    assert!(line.starts_with("421 4.3.2 "), "{line}");
    client.closed();
    assert!(wait_for(|| !socket.exists()), "the socket's file stays");
}
