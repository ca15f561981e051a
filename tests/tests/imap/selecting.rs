//! SELECT, EXAMINE, UNSELECT, CLOSE and `\Recent` (RFC 3501 §6.3.1, §6.3.2, RFC 3691).

use restante_tests::{Reply, Server, Status, Test, samples, tests, trials::Need};

pub(crate) const TESTS: &[Test] = tests![
    select_says_everything_a_client_needs,
    examine_is_read_only,
    a_failed_select_leaves_no_mailbox_selected,
    selecting_another_mailbox_ends_the_first,
    recent_is_given_to_one_session,
    examine_does_not_take_recent_away,
    recent_survives_a_restart_until_it_is_shown => needs(&[Need::OwnProcess]),
    unselect_keeps_deleted_messages,
    close_removes_deleted_messages_silently,
    close_after_examine_removes_nothing,
    inbox_is_case_insensitive,
    unknown_select_parameters_are_bad,
];

fn select_says_everything_a_client_needs(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Box");
    client.append_ok("Box", "(\\Seen)", &samples::plain("one", "1"));
    client.append_ok("Box", "", &samples::plain("two", "2"));
    client.append_ok("Box", "(\\Flagged)", &samples::plain("three", "3"));
    let reply = client.ok("SELECT Box");
    assert_eq!(reply.exists(), Some(3));
    assert_eq!(reply.recent(), Some(3));
    assert_eq!(reply.code_number("UNSEEN"), 2);
    assert_eq!(reply.code_number("UIDNEXT"), 4);
    assert!(reply.code_number("UIDVALIDITY") > 0);
    assert!(reply.tagged.code("READ-WRITE").is_some(), "{reply:?}");
    let flags = &reply.data("FLAGS")[0][0];
    let permanent = reply.code("PERMANENTFLAGS").expect("PERMANENTFLAGS");
    for flag in ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"] {
        assert!(
            flags
                .list()
                .iter()
                .any(|known| known.text().eq_ignore_ascii_case(flag)),
            "{flag} in {flags}"
        );
        assert!(permanent.contains(flag), "{flag} in {permanent}");
    }
    assert!(
        permanent.contains("\\*") && !permanent.contains("\\Recent"),
        "{permanent}"
    );
}

fn examine_is_read_only(server: &Server) {
    let mut client = server.login();
    client.append_ok("INBOX", "(\\Deleted)", &samples::plain("one", "1"));
    let reply = client.ok("EXAMINE INBOX");
    assert!(reply.tagged.code("READ-ONLY").is_some(), "{reply:?}");
    assert_eq!(
        reply.code("PERMANENTFLAGS").as_deref(),
        Some("()"),
        "{reply:?}"
    );
    for command in [
        "STORE 1 +FLAGS (\\Seen)",
        "EXPUNGE",
        "UID EXPUNGE 1",
        "MOVE 1 INBOX",
    ] {
        assert_ne!(
            client.command(command).status,
            Status::Ok,
            "{command} in a mailbox that is only examined"
        );
    }
    let fetch = client.fetch(1, "(FLAGS BODY[])");
    assert!(
        !fetch.has("\\Seen"),
        "reading must not change a mailbox that is only examined"
    );
    assert!(!client.fetch(1, "(FLAGS)").has("\\Seen"));
}

fn a_failed_select_leaves_no_mailbox_selected(server: &Server) {
    let mut client = server.login();
    client.ok("SELECT INBOX");
    let reply = client.no("SELECT Absent");
    assert!(reply.exists().is_none(), "{reply:?}");
    assert_ne!(
        client.command("FETCH 1:* FLAGS").status,
        Status::Ok,
        "RFC 3501 §6.3.1: no mailbox is selected"
    );
}

fn selecting_another_mailbox_ends_the_first(server: &Server) {
    let mut client = server.select("First", &[&samples::plain("one", "1")]);
    client.ok("CREATE Second");
    let reply = client.ok("SELECT Second");
    assert_eq!(reply.exists(), Some(0));
    client.ok("SELECT First");
    client.fetch(1, "FLAGS");
}

fn flags_recent(reply: &Reply) -> usize {
    reply
        .fetches()
        .iter()
        .filter(|fetch| fetch.has("\\Recent"))
        .count()
}

fn recent_is_given_to_one_session(server: &Server) {
    let mut first = server.login();
    first.ok("CREATE Box");
    for number in 0..3 {
        first.append_ok("Box", "", &samples::plain(&format!("m{number}"), "x"));
    }
    assert_eq!(first.ok("STATUS Box (RECENT)").status_items()["RECENT"], 3);
    assert_eq!(first.ok("SELECT Box").recent(), Some(3));
    assert_eq!(flags_recent(&first.ok("FETCH 1:* FLAGS")), 3);
    let mut second = server.login();
    assert_eq!(second.ok("SELECT Box").recent(), Some(0));
    assert_eq!(flags_recent(&second.ok("FETCH 1:* FLAGS")), 0);
    assert_eq!(
        second.ok("STATUS INBOX (RECENT)").status_items()["RECENT"],
        0
    );
    assert_eq!(
        flags_recent(&first.ok("FETCH 1:* FLAGS")),
        3,
        "it stays for the session that was first"
    );
    assert_eq!(first.ok("SEARCH RECENT").found(), [1, 2, 3]);
    assert_eq!(second.ok("SEARCH RECENT").found(), [0_u32; 0]);
    // A client cannot change it.
    assert_ne!(
        first.command("STORE 1 -FLAGS (\\Recent)").status,
        Status::Ok
    );
    // A message that arrives is recent in exactly one of the two.
    let mut third = server.login();
    third.append_ok("Box", "", &samples::plain("late", "x"));
    first.ok("NOOP");
    second.ok("NOOP");
    let of_first = first.fetch(4, "FLAGS").has("\\Recent");
    let of_second = second.fetch(4, "FLAGS").has("\\Recent");
    assert!(
        of_first != of_second,
        "recent in both or neither: {of_first}"
    );
}

fn examine_does_not_take_recent_away(server: &Server) {
    let mut client = server.login();
    client.append_ok("INBOX", "", &samples::plain("one", "1"));
    assert_eq!(client.ok("EXAMINE INBOX").recent(), Some(1));
    assert_eq!(client.ok("EXAMINE INBOX").recent(), Some(1));
    assert_eq!(client.ok("SELECT INBOX").recent(), Some(1));
    assert_eq!(client.ok("SELECT INBOX").recent(), Some(0));
}

fn recent_survives_a_restart_until_it_is_shown(server: &Server) {
    let mut client = server.login();
    client.append_ok("INBOX", "", &samples::plain("one", "1"));
    drop(client);
    server.restart();
    let mut client = server.login();
    assert_eq!(client.ok("SELECT INBOX").recent(), Some(1));
    drop(client);
    server.restart();
    let mut client = server.login();
    assert_eq!(client.ok("SELECT INBOX").recent(), Some(0));
}

fn unselect_keeps_deleted_messages(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    client.ok("STORE 1 +FLAGS (\\Deleted)");
    client.ok("UNSELECT");
    assert_ne!(client.command("FETCH 1 FLAGS").status, Status::Ok);
    assert_eq!(client.ok("SELECT Box").exists(), Some(1));
}

fn close_removes_deleted_messages_silently(server: &Server) {
    let (one, two) = (samples::plain("one", "1"), samples::plain("two", "2"));
    let mut client = server.select("Box", &[&one, &two]);
    client.ok("STORE 1 +FLAGS (\\Deleted)");
    let reply = client.ok("CLOSE");
    assert!(reply.expunged().is_empty(), "{reply:?}");
    let reply = client.ok("SELECT Box");
    assert_eq!(reply.exists(), Some(1));
    assert_eq!(client.fetch(1, "UID").uid(), 2);
}

fn close_after_examine_removes_nothing(server: &Server) {
    let mut client = server.login();
    client.append_ok("INBOX", "(\\Deleted)", &samples::plain("one", "1"));
    client.ok("EXAMINE INBOX");
    client.ok("CLOSE");
    assert_eq!(client.ok("EXAMINE INBOX").exists(), Some(1));
}

fn inbox_is_case_insensitive(server: &Server) {
    let mut client = server.login();
    client.append_ok("inbox", "", &samples::plain("one", "1"));
    assert_eq!(client.ok("SELECT Inbox").exists(), Some(1));
    assert_eq!(
        client.ok("STATUS \"iNBOX\" (MESSAGES)").status_items()["MESSAGES"],
        1
    );
}

fn unknown_select_parameters_are_bad(server: &Server) {
    let mut client = server.login();
    client.bad("SELECT INBOX (FROBNICATE)");
    client.ok("SELECT INBOX");
}
