//! mbsync: fifty commands and more under way, and no going on after a UIDVALIDITY that changed.
//! The program itself is in `tests/tests/clients/mbsync.rs`.

use restante_tests::{Server, Test, samples, tests, trials::Need};

use crate::{done, ok};

pub(crate) const TESTS: &[Test] = tests![
    two_hundred_fetches_stores_and_appends_under_way,
    uidvalidity_is_the_same_whatever_happens => needs(&[Need::OwnProcess]),
];

fn two_hundred_fetches_stores_and_appends_under_way(server: &Server) {
    const COUNT: u32 = 200;
    let mut client = server.login();
    ok(&mut client, "1 CREATE \"Box\"");
    let message = |number: u32| samples::plain(&format!("m{number}"), &"y".repeat(3_000));
    let mut packet = Vec::new();
    for number in 1..=COUNT {
        let message = message(number);
        packet.extend_from_slice(
            format!(
                "{} APPEND \"Box\" (\\Seen) {{{}+}}\r\n",
                10 + number,
                message.len()
            )
            .as_bytes(),
        );
        packet.extend_from_slice(&message);
        packet.extend_from_slice(b"\r\n");
    }
    client.send(packet);
    for number in 1..=COUNT {
        let code = done(&mut client, &format!("{}", 10 + number))
            .tagged
            .code("APPENDUID");
        assert!(code.expect("RFC 4315 §3").ends_with(&format!(" {number}")));
    }
    ok(&mut client, "2 SELECT \"Box\"");
    let found = ok(
        &mut client,
        "3 UID FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (X-TUID MESSAGE-ID)])",
    );
    assert_eq!(found.fetches().len(), COUNT as usize);
    let mut packet = String::new();
    for number in 1..=COUNT {
        packet += &format!("f{number} UID FETCH {number} (BODY.PEEK[])\r\n");
        packet += &format!("s{number} UID STORE {number} +FLAGS.SILENT (\\Flagged)\r\n");
    }
    client.send(packet);
    for number in 1..=COUNT {
        let reply = done(&mut client, &format!("f{number}"));
        assert!(reply.fetch().bytes("BODY[]") == message(number));
        let reply = done(&mut client, &format!("s{number}"));
        assert!(reply.fetches().is_empty(), "it is silent: {reply:?}");
    }
}

fn uidvalidity_is_the_same_whatever_happens(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    let validity = ok(&mut client, "1 SELECT \"Box\"").code_number("UIDVALIDITY");
    for round in 0..3 {
        ok(&mut client, "2 UID STORE 1:* +FLAGS.SILENT (\\Deleted)");
        ok(&mut client, "3 EXPUNGE");
        client.append_ok("Box", "", &samples::plain("more", "text"));
        ok(&mut client, format!("4 RENAME Box Box{round}"));
        ok(&mut client, format!("5 RENAME Box{round} Box"));
        if round == 1 {
            server.kill();
            server.start_again().expect("the server starts again");
        } else {
            server.restart();
        }
        client = server.login();
        let reply = ok(&mut client, "6 SELECT \"Box\"");
        assert_eq!(reply.code_number("UIDVALIDITY"), validity);
        assert_eq!(reply.code_number("UIDNEXT"), round + 3);
    }
}
