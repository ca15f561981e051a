//! COPY and MOVE with their UIDs (RFC 3501 §6.4.7, RFC 4315, RFC 6851).

use restante_tests::{Client, Server, Status, Test, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    copy_keeps_flags_date_and_octets,
    copyuid_pairs_the_uids,
    copy_to_an_absent_mailbox_says_trycreate,
    copy_within_one_mailbox,
    copy_of_nothing,
    move_takes_messages_away,
    uid_move,
    move_of_many_messages,
    a_copy_outlives_its_original,
];

fn five(server: &Server) -> Client {
    let mut client = server.login();
    client.ok("CREATE From");
    client.ok("CREATE To");
    for number in 1..=5 {
        let options = format!("(\\Flagged Tag{number}) \"0{number}-Mar-2021 10:00:00 +0000\"");
        client.append_ok(
            "From",
            &options,
            &samples::plain(&format!("m{number}"), "copied text"),
        );
    }
    client.ok("SELECT From");
    client
}

fn validity(client: &mut Client, mailbox: &str) -> u64 {
    client
        .ok(format!("STATUS {mailbox} (UIDVALIDITY)"))
        .status_items()["UIDVALIDITY"]
}

fn copy_keeps_flags_date_and_octets(server: &Server) {
    let mut client = five(server);
    let original = client.fetch(2, "(FLAGS INTERNALDATE BODY.PEEK[])");
    client.ok("COPY 2 To");
    assert_eq!(
        client.ok("STATUS To (MESSAGES RECENT)").status_items()["MESSAGES"],
        1
    );
    client.ok("SELECT To");
    let copy = client.fetch(1, "(FLAGS INTERNALDATE BODY.PEEK[])");
    assert!(copy.has("\\Flagged") && copy.has("Tag2"), "{copy:?}");
    assert_eq!(copy.item("INTERNALDATE"), original.item("INTERNALDATE"));
    assert_eq!(copy.bytes("BODY[]"), original.bytes("BODY[]"));
}

fn copyuid_pairs_the_uids(server: &Server) {
    let mut client = five(server);
    let to = validity(&mut client, "To");
    let code = client.ok("COPY 2:4 To").code("COPYUID").expect("COPYUID");
    assert_eq!(code, format!("{to} 2:4 1:3"));
    let code = client
        .ok("UID COPY 5,1 To")
        .code("COPYUID")
        .expect("COPYUID");
    assert!(
        [
            format!("{to} 1,5 4:5"),
            format!("{to} 5,1 4:5"),
            format!("{to} 1,5 4,5")
        ]
        .contains(&code),
        "{code}"
    );
}

fn copy_to_an_absent_mailbox_says_trycreate(server: &Server) {
    let mut client = five(server);
    for command in [
        "COPY 1 Absent",
        "UID COPY 1 Absent",
        "MOVE 1 Absent",
        "UID MOVE 1 Absent",
    ] {
        let reply = client.no(command);
        assert!(
            reply.tagged.code("TRYCREATE").is_some(),
            "{command}: {reply:?}"
        );
    }
    assert_eq!(client.ok("SEARCH ALL").found().len(), 5);
}

fn copy_within_one_mailbox(server: &Server) {
    let mut client = five(server);
    let reply = client.ok("COPY 1:5 From");
    assert_eq!(
        reply
            .code("COPYUID")
            .map(|code| code.ends_with(" 1:5 6:10")),
        Some(true),
        "{reply:?}"
    );
    client.ok("NOOP");
    assert_eq!(client.ok("SEARCH ALL").found().len(), 10);
}

fn copy_of_nothing(server: &Server) {
    let mut client = five(server);
    let reply = client.ok("UID COPY 100:200 To");
    assert!(reply.code("COPYUID").is_none(), "{reply:?}");
    let reply = client.command("COPY 6 To");
    assert_ne!(
        reply.status,
        Status::Ok,
        "a sequence number beyond the mailbox: {reply:?}"
    );
    assert_eq!(
        client.ok("STATUS To (MESSAGES)").status_items()["MESSAGES"],
        0
    );
}

fn move_takes_messages_away(server: &Server) {
    let mut client = five(server);
    let to = validity(&mut client, "To");
    let reply = client.ok("MOVE 2,4 To");
    assert_eq!(reply.code("COPYUID"), Some(format!("{to} 2,4 1:2")));
    let mut left: Vec<u32> = (1..=5).collect();
    for number in reply.expunged() {
        left.remove(number as usize - 1);
    }
    assert_eq!(left, [1, 3, 5], "{reply:?}");
    let code_at = reply
        .untagged
        .iter()
        .position(|response| response.code("COPYUID").is_some());
    let expunge_at = reply
        .untagged
        .iter()
        .position(|response| response.numbered("EXPUNGE").is_some());
    if let (Some(code_at), Some(expunge_at)) = (code_at, expunge_at) {
        assert!(
            code_at < expunge_at,
            "RFC 6851 §4.3: COPYUID comes before EXPUNGE: {reply:?}"
        );
    }
    client.ok("SELECT To");
    let copy = client.fetch(2, "(FLAGS INTERNALDATE)");
    assert!(
        copy.has("\\Flagged") && copy.has("Tag4") && !copy.has("\\Deleted"),
        "{copy:?}"
    );
}

fn uid_move(server: &Server) {
    let mut client = five(server);
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    let reply = client.ok("UID MOVE 3:* To");
    assert_eq!(reply.expunged().len(), 3);
    let left: Vec<u32> = client
        .ok("FETCH 1:* UID")
        .fetches()
        .iter()
        .map(restante_tests::Fetch::uid)
        .collect();
    assert_eq!(left, [1, 2], "MOVE removes only what it moves");
}

fn move_of_many_messages(server: &Server) {
    let mut client = five(server);
    for _ in 0..4 {
        client.ok("COPY 1:* From");
        client.ok("NOOP");
    }
    let reply = client.ok("MOVE 1:* To");
    assert_eq!(reply.expunged().len(), 80);
    assert_eq!(
        client.ok("STATUS To (MESSAGES)").status_items()["MESSAGES"],
        80
    );
    assert_eq!(
        client.ok("STATUS From (MESSAGES)").status_items()["MESSAGES"],
        0
    );
}

fn a_copy_outlives_its_original(server: &Server) {
    let mut client = five(server);
    client.ok("COPY 1 To");
    client.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    client.ok("UNSELECT");
    client.ok("DELETE From");
    client.ok("SELECT To");
    let copy = client.fetch(1, "BODY.PEEK[]");
    assert_eq!(copy.bytes("BODY[]"), samples::plain("m1", "copied text"));
}
