//! CREATE, DELETE, RENAME, SUBSCRIBE and STATUS (RFC 3501 §6.3).

use restante_tests::{Client, Server, Status, Test, samples, tests, trials::Need};

pub(crate) const TESTS: &[Test] = tests![
    create_and_delete,
    create_makes_the_superiors,
    a_trailing_delimiter_is_no_part_of_the_name,
    rename_keeps_the_messages_and_uids,
    rename_takes_the_inferiors_along,
    rename_of_inbox_moves_its_messages,
    inbox_can_neither_be_deleted_nor_created,
    deleting_a_superior_keeps_the_inferiors,
    a_new_mailbox_of_an_old_name_has_a_higher_uidvalidity,
    names_beyond_ascii,
    odd_names_are_refused_or_kept,
    subscriptions_are_kept => needs(&[Need::OwnProcess]),
    status_counts,
    status_adds_up_sizes,
    subscribing_is_idempotent,
];

fn names(client: &mut Client) -> Vec<String> {
    client
        .ok("LIST \"\" *")
        .mailboxes("LIST")
        .into_keys()
        .collect()
}

fn create_and_delete(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Box");
    assert!(names(&mut client).contains(&"Box".to_owned()));
    client.no("CREATE Box");
    client.ok("DELETE Box");
    assert!(!names(&mut client).contains(&"Box".to_owned()));
    client.no("DELETE Box");
    client.no("SELECT Box");
    client.no("STATUS Box (MESSAGES)");
}

fn create_makes_the_superiors(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE a/b/c");
    let all = client.ok("LIST \"\" *").mailboxes("LIST");
    for name in ["a", "a/b", "a/b/c"] {
        let attributes = all.get(name).unwrap_or_else(|| panic!("{name} in {all:?}"));
        assert!(
            !attributes.contains("\\noselect"),
            "mail below such parents is lost to Outlook: {all:?}"
        );
    }
    client.ok("SELECT a/b");
}

fn a_trailing_delimiter_is_no_part_of_the_name(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Folder/");
    assert!(names(&mut client).contains(&"Folder".to_owned()));
    client.ok("CREATE Folder/Inside");
}

fn rename_keeps_the_messages_and_uids(server: &Server) {
    let mut client = server.select(
        "Old",
        &[&samples::plain("one", "1"), &samples::plain("two", "2")],
    );
    let before = client
        .ok("STATUS Old (UIDVALIDITY UIDNEXT MESSAGES)")
        .status_items();
    client.ok("UNSELECT");
    client.ok("RENAME Old New");
    let after = client
        .ok("STATUS New (UIDVALIDITY UIDNEXT MESSAGES)")
        .status_items();
    assert_eq!(
        (before["UIDNEXT"], before["MESSAGES"]),
        (after["UIDNEXT"], after["MESSAGES"])
    );
    assert!(after["UIDVALIDITY"] >= before["UIDVALIDITY"]);
    client.no("SELECT Old");
    client.ok("SELECT New");
    assert_eq!(
        client.fetch(2, "BODY.PEEK[]").bytes("BODY[]"),
        samples::plain("two", "2")
    );
    client.no("RENAME Absent Other");
    client.ok("CREATE Third");
    client.no("RENAME New Third");
    assert!(names(&mut client).contains(&"New".to_owned()));
}

fn rename_takes_the_inferiors_along(server: &Server) {
    let mut client = server.login();
    for name in ["a/b/c", "a/bc", "ab"] {
        client.ok(format!("CREATE {name}"));
    }
    client.append_ok("a/b/c", "", &samples::plain("deep", "x"));
    client.ok("RENAME a/b x/y");
    let all = names(&mut client);
    for name in ["x", "x/y", "x/y/c", "a", "a/bc", "ab"] {
        assert!(all.contains(&name.to_owned()), "{name} in {all:?}");
    }
    assert!(
        !all.contains(&"a/b".to_owned()) && !all.contains(&"a/b/c".to_owned()),
        "{all:?}"
    );
    assert_eq!(client.ok("SELECT x/y/c").exists(), Some(1));
    // Into itself it cannot go.
    assert_ne!(client.command("RENAME x x/y/z").status, Status::Ok);
}

fn rename_of_inbox_moves_its_messages(server: &Server) {
    let mut client = server.login();
    client.append_ok("INBOX", "(\\Flagged)", &samples::plain("one", "1"));
    client.append_ok("INBOX", "", &samples::plain("two", "2"));
    client.ok("CREATE INBOX/Child");
    client.ok("RENAME INBOX Archive-of-inbox");
    assert_eq!(
        client.ok("SELECT INBOX").exists(),
        Some(0),
        "RFC 3501 §6.3.5: INBOX stays, empty"
    );
    assert_eq!(client.ok("SELECT Archive-of-inbox").exists(), Some(2));
    assert!(client.fetch(1, "FLAGS").has("\\Flagged"));
    assert!(
        names(&mut client).contains(&"INBOX/Child".to_owned()),
        "inferiors of INBOX stay"
    );
    // UIDs of INBOX go on.
    let code = client
        .append_ok("INBOX", "", &samples::plain("three", "3"))
        .code("APPENDUID")
        .expect("APPENDUID");
    let uid: u32 = code
        .rsplit(' ')
        .next()
        .and_then(|uid| uid.parse().ok())
        .expect("a UID");
    assert!(uid >= 1);
}

fn inbox_can_neither_be_deleted_nor_created(server: &Server) {
    let mut client = server.login();
    client.no("DELETE INBOX");
    client.no("DELETE inbox");
    client.no("CREATE INBOX");
    client.no("CREATE InBox");
    client.no("RENAME Absent INBOX");
    client.ok("SELECT INBOX");
}

fn deleting_a_superior_keeps_the_inferiors(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE up/down");
    client.append_ok("up/down", "", &samples::plain("one", "1"));
    // RFC 3501 §6.3.4: the inferiors stay whether or not the name itself goes.
    client.command("DELETE up");
    assert_eq!(client.ok("SELECT up/down").exists(), Some(1));
}

fn a_new_mailbox_of_an_old_name_has_a_higher_uidvalidity(server: &Server) {
    let mut client = server.login();
    let mut last = 0;
    for _ in 0..4 {
        client.ok("CREATE Again");
        client.append_ok("Again", "", &samples::plain("one", "1"));
        let reply = client.ok("SELECT Again");
        assert_eq!(reply.exists(), Some(1));
        let validity = reply.code_number("UIDVALIDITY");
        assert!(
            validity > last,
            "{validity} after {last}: RFC 3501 §2.3.1.1"
        );
        last = validity;
        client.ok("UNSELECT");
        client.ok("DELETE Again");
    }
}

fn names_beyond_ascii(server: &Server) {
    let mut client = server.login();
    // "Entwürfe/日本語" and "R&D" in modified UTF-7 (RFC 3501 §5.1.3).
    for name in ["Entw&APw-rfe/&ZeVnLIqe-", "R&-D"] {
        client.ok(format!("CREATE \"{name}\""));
        client.append_ok(&format!("\"{name}\""), "", &samples::plain("one", "1"));
        assert_eq!(client.ok(format!("SELECT \"{name}\"")).exists(), Some(1));
    }
    let all = names(&mut client);
    for name in ["Entw&APw-rfe", "Entw&APw-rfe/&ZeVnLIqe-", "R&-D"] {
        assert!(all.contains(&name.to_owned()), "{name} in {all:?}");
    }
}

fn odd_names_are_refused_or_kept(server: &Server) {
    let mut client = server.login();
    for name in [
        "\"\"",
        "\"/\"",
        "\"a//b\"",
        "\"/a\"",
        "\"&bad\"",
        "\"a*b\"",
        "\"a%b\"",
        "\"..\"",
        "\"a\\\"b\\\\c\"",
    ] {
        let made = client.command(format!("CREATE {name}"));
        if made.status == Status::Ok {
            client.append_ok(name, "", &samples::plain("one", "1"));
        }
    }
    let long = "x".repeat(5_000);
    assert_ne!(
        client.command(format!("CREATE {{5000+}}\r\n{long}")).status,
        Status::Ok
    );
    client.ok("LIST \"\" *");
    client.ok("SELECT INBOX");
}

fn subscriptions_are_kept(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Box");
    client.ok("CREATE Box/Inside");
    client.ok("SUBSCRIBE Box/Inside");
    let subscribed = client.ok("LSUB \"\" *").mailboxes("LSUB");
    assert!(
        subscribed.contains_key("Box/Inside") && !subscribed.contains_key("Box"),
        "{subscribed:?}"
    );
    drop(client);
    server.restart();
    let mut client = server.login();
    assert!(
        client
            .ok("LSUB \"\" *")
            .mailboxes("LSUB")
            .contains_key("Box/Inside")
    );
    client.ok("UNSUBSCRIBE Box/Inside");
    assert!(
        !client
            .ok("LSUB \"\" *")
            .mailboxes("LSUB")
            .contains_key("Box/Inside")
    );
}

fn status_counts(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Box");
    let mut other = server.login();
    other.ok("SELECT Box");
    client.append_ok("Box", "(\\Seen)", &samples::plain("one", "1"));
    client.append_ok("Box", "", &samples::plain("two", "2"));
    client.append_ok("Box", "(\\Deleted)", &samples::plain("three", "3"));
    let counts = client
        .ok("STATUS Box (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)")
        .status_items();
    assert_eq!(
        (counts["MESSAGES"], counts["UIDNEXT"], counts["UNSEEN"]),
        (3, 4, 2),
        "{counts:?}"
    );
    assert_eq!(counts.len(), 5, "{counts:?}");
    let reply = client.ok("STATUS \"Box\" (UNSEEN)");
    assert_eq!(
        reply.status_items().into_keys().collect::<Vec<_>>(),
        ["UNSEEN"]
    );
    client.no("STATUS Absent (MESSAGES)");
}

/// RFC 8438.
fn status_adds_up_sizes(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Box");
    let mut total = 0;
    for octets in [300, 70_000, 1_000] {
        client.append_ok("Box", "", &samples::large(octets));
        total += octets as u64;
        let counts = client.ok("STATUS Box (SIZE MESSAGES)").status_items();
        assert_eq!(counts["SIZE"], total);
    }
    client.ok("SELECT Box");
    client.ok("STORE 2 +FLAGS (\\Deleted)");
    client.ok("EXPUNGE");
    let reply = client.ok("LIST \"\" Box RETURN (STATUS (SIZE))");
    assert_eq!(reply.status_items()["SIZE"], 1_300);
    assert_eq!(client.ok("STATUS INBOX (SIZE)").status_items()["SIZE"], 0);
}

fn subscribing_is_idempotent(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Box");
    client.ok("SUBSCRIBE Box");
    client.ok("SUBSCRIBE Box");
    client.ok("DELETE Box");
    let subscribed = client.ok("LSUB \"\" *").mailboxes("LSUB");
    assert!(
        subscribed.contains_key("Box"),
        "RFC 3501 §6.3.6: it stays on the list: {subscribed:?}"
    );
    client.ok("UNSUBSCRIBE Box");
}
