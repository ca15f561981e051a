//! Clients that are up to something.

use restante_tests::{Server, Test, auth::Auth, process::PATIENCE, tests, trials::Need};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::messages;

pub(crate) const TESTS: &[Test] = tests![
    nothing_is_smuggled => needs(&[Need::OwnProcess]),
    a_bare_line_end_in_a_command_ends_the_connection => needs(&[Need::OwnProcess]),
    what_is_too_big_is_refused => limits("message_bytes_max = 100000"),
    whoever_breaks_off_leaves_nothing => needs(&[Need::OwnProcess]),
    too_many_connections => limits("service_connections_max = 3"),
    strangers_on_imap_keep_no_mail_out => limits("connections_max = 3"),
];

fn nothing_is_smuggled(server: &Server) {
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\n\r.\r\n",
    ] {
        let mut client = server.deliver();
        client.say("MAIL FROM:<ada@example.net>");
        client.say("RCPT TO:<alice>");
        assert!(client.say("DATA").starts_with("354 "));
        let smuggled = "MAIL FROM:<evil@example.net>\r\nRCPT TO:<alice>\r\nDATA\r\nevil\r\n.\r\n";
        client
            .send(format!("text{end}{smuggled}").as_bytes())
            .expect("the server is there");
        let answer = client.line().expect("an answer");
        assert!(answer.starts_with("554 5.6.0 "), "{end:?}: {answer}");
        client.deliver(&["bob"], b"still here\r\n");
    }
    assert!(messages(&mut server.login()).is_empty());
}

fn a_bare_line_end_in_a_command_ends_the_connection(server: &Server) {
    let mut client = server.deliver();
    let answer = client.say("NOOP\nMAIL FROM:<>");
    assert!(answer.starts_with("500 5.5.2 "), "{answer}");
    client.closed();
}

fn what_is_too_big_is_refused(server: &Server) {
    let mut client = server.deliver();
    let answer = client.say("MAIL FROM:<> SIZE=100001");
    assert!(answer.starts_with("552 5.3.4 "), "{answer}");
    let message = |len: usize| [&b"x".repeat(len - 2)[..], b"\r\n"].concat();
    let answers = client.try_deliver(&["alice", "bob"], &message(100_001));
    for answer in answers.expect("the server is there") {
        assert!(answer.starts_with("552 5.3.4 "), "{answer}");
    }
    client.deliver(&["alice"], &message(100_000));
    assert_eq!(messages(&mut server.login()).len(), 1);
}

fn whoever_breaks_off_leaves_nothing(server: &Server) {
    for octets in [&b"x"[..], &b"x".repeat(300_000), b"x\r\n.\r"] {
        let mut client = server.deliver();
        client.say("MAIL FROM:<>");
        client.say("RCPT TO:<alice>");
        client.say("DATA");
        client.send(octets).expect("the server is there");
        drop(client);
    }
    server.deliver().deliver(&["alice"], b"whole\r\n");
    assert_eq!(messages(&mut server.login()).len(), 1);
}

fn too_many_connections(server: &Server) {
    let open: Vec<_> = (0..3)
        .map(|_| welcomed(server.lmtp_address(), b"220 "))
        .collect();
    let mut last = TcpStream::connect(server.lmtp_address()).expect("the socket listens");
    last.set_read_timeout(Some(PATIENCE))
        .expect("a positive time");
    let mut said = String::new();
    last.read_to_string(&mut said).expect("a last word");
    assert_eq!(said, "421 4.3.2 Too many connections\r\n");
    // Nobody needs to listen to this.
    let _gone = last.write_all(b"LHLO a\r\n");
    // A flood does not fill the log.
    for _ in 0..200 {
        let mut more = TcpStream::connect(server.lmtp_address()).expect("the socket listens");
        said.clear();
        more.read_to_string(&mut said).expect("a last word");
        assert_eq!(said, "421 4.3.2 Too many connections\r\n");
    }
    assert_eq!(server.log().matches("connections are refused").count(), 1);
    drop(open);
    server.stop();
    let refused = server.log();
    let refused = refused
        .lines()
        .filter(|line| line.contains("refused: there were too many"));
    let counted: Vec<_> = refused.collect();
    assert_eq!(counted.len(), 1, "{counted:?}");
    let count = counted[0].split("count=").nth(1).expect("a number");
    let count: u32 = count.trim().parse().expect("a number");
    // Those that were refused while the first ones were waited for may be among them.
    assert!(count >= 200, "{count}");
}

fn strangers_on_imap_keep_no_mail_out(server: &Server) {
    let strangers: Vec<_> = (0..3)
        .map(|_| welcomed(server.address(), b"* OK"))
        .collect();
    server.deliver().deliver(&["bob"], b"in spite of them\r\n");
    let bob = &server.bob;
    let answer = Auth::tcp(server.auth_address()).plain(1, &bob.name, &bob.password);
    assert!(answer.starts_with("OK\t"), "{answer}");
    drop(strangers);
}

/// A connection that is let in. One that was closed a moment ago may still be counted.
fn welcomed(address: SocketAddr, greeting: &[u8; 4]) -> TcpStream {
    let start = Instant::now();
    loop {
        let mut socket = TcpStream::connect(address).expect("the socket listens");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a positive time");
        let mut code = [0; 4];
        socket.read_exact(&mut code).expect("a greeting");
        if code == *greeting {
            return socket;
        }
        assert!(start.elapsed() < PATIENCE, "nobody is let in");
        sleep(Duration::from_millis(20));
    }
}
