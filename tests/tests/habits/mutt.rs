//! mutt and neomutt: fifteen commands at once, and gone after 15 s without an answer. That NOOP
//! does not wait for a slow Garage is tested in `tests/tests/garage/slow.rs`, the programs
//! themselves in `tests/tests/clients/mutt.rs`.

use restante_tests::{Server, Test, neighbours::base64, samples, tests};

use crate::{done, idle, ok};

pub(crate) const TESTS: &[Test] = tests![
    fifteen_commands_in_one_packet,
    headers_for_the_index_in_one_fetch,
    keys_pressed_end_idle_and_the_next_command_follows,
];

fn fifteen_commands_in_one_packet(server: &Server) {
    let (name, password) = (&server.alice.name, &server.alice.password);
    let response = base64(format!("{name}\0{name}\0{password}").as_bytes());
    let mut client = server.connect();
    ok(&mut client, format!("a0000 AUTHENTICATE PLAIN {response}"));
    let mut packet = String::new();
    let folders = ["INBOX", "Drafts", "Sent", "Junk", "Trash"];
    for number in 0..15 {
        let folder = folders[number % folders.len()];
        let items = "UIDNEXT UIDVALIDITY UNSEEN RECENT MESSAGES";
        packet += &format!("a{number:04} STATUS \"{folder}\" ({items})\r\n");
    }
    client.send(packet);
    for number in 0..15 {
        let reply = done(&mut client, &format!("a{number:04}"));
        assert_eq!(reply.status_items().len(), 5, "{reply:?}");
    }
}

fn headers_for_the_index_in_one_fetch(server: &Server) {
    let messages: Vec<Vec<u8>> = (0..30)
        .map(|n| samples::plain(&format!("m{n}"), "text"))
        .collect();
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let mut client = server.select("Box", &slices);
    ok(&mut client, "a0005 LIST \"\" \"\"");
    ok(&mut client, "a0006 SELECT \"Box\"");
    let fields = "DATE FROM SENDER SUBJECT TO CC MESSAGE-ID REFERENCES CONTENT-TYPE CONTENT-DESCRIPTION \
                  IN-REPLY-TO REPLY-TO LINES LIST-POST LIST-SUBSCRIBE LIST-UNSUBSCRIBE X-LABEL X-ORIGINAL-TO";
    let reply = ok(
        &mut client,
        format!(
            "a0007 FETCH 1:30 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS ({fields})])"
        ),
    );
    for (number, fetch) in (1..).zip(reply.fetches()) {
        assert_eq!((fetch.number, fetch.uid()), (number, number));
        let header = fetch.bytes(&format!("BODY[HEADER.FIELDS ({fields})]"));
        assert!(header.starts_with(b"From: ") && header.ends_with(b"\r\n\r\n"));
    }
    let fetch = ok(&mut client, "a0008 UID FETCH 7 BODY.PEEK[]").fetch();
    assert!(fetch.bytes("BODY[]") == messages[6]);
    ok(&mut client, "a0009 UID STORE 7,9 +FLAGS.SILENT (\\Seen)");
    ok(&mut client, "a0010 UID COPY 7,9 \"Trash\"");
    ok(&mut client, "a0011 UID STORE 7,9 +FLAGS.SILENT (\\Deleted)");
    assert_eq!(ok(&mut client, "a0012 EXPUNGE").expunged().len(), 2);
    ok(&mut client, "a0013 CLOSE");
}

fn keys_pressed_end_idle_and_the_next_command_follows(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    for _ in 0..30 {
        idle(&mut client, "a0003 IDLE");
        client.send("DONE\r\n");
        client.send("a0004 NOOP\r\na0005 UID FETCH 1 FLAGS\r\n");
        done(&mut client, "a0003");
        done(&mut client, "a0004");
        assert_eq!(done(&mut client, "a0005").fetches().len(), 1);
    }
}
