//! APPEND, MULTIAPPEND and APPENDUID (RFC 3501 §6.3.11, RFC 3502, RFC 4315).

use restante_tests::{Server, Status, Test, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    flags_and_date_are_kept,
    the_octets_come_back_as_they_were,
    appenduid_names_the_message,
    to_an_absent_mailbox_says_trycreate,
    several_messages_in_one_command,
    several_messages_are_stored_together_or_not_at_all,
    a_selected_mailbox_grows_at_once,
    a_message_of_no_octets_is_refused,
    a_date_with_one_digit_and_odd_zone,
    unknown_keywords_are_kept,
    a_message_with_nul_and_bare_newlines,
];

fn flags_and_date_are_kept(server: &Server) {
    let mut client = server.login();
    let message = samples::plain("kept", "x");
    client.append_ok(
        "INBOX",
        "(\\Seen \\Flagged Custom) \"17-Jul-1996 02:44:25 -0700\"",
        &message,
    );
    client.ok("SELECT INBOX");
    let fetch = client.fetch(1, "(FLAGS INTERNALDATE RFC822.SIZE)");
    assert!(
        fetch.has("\\Seen") && fetch.has("\\Flagged") && fetch.has("Custom"),
        "{fetch:?}"
    );
    let date = fetch.item("INTERNALDATE").text();
    let same = ["17-Jul-1996 02:44:25 -0700", "17-Jul-1996 09:44:25 +0000"];
    assert!(same.contains(&date.as_str()), "{date}");
    assert_eq!(fetch.item("RFC822.SIZE").number(), message.len() as u64);
}

fn the_octets_come_back_as_they_were(server: &Server) {
    let odd =
        b"not a header at all\r\n\r\n\tbody \x80\xff\r\n..\r\n.\r\nFrom here\r\nno end of line"
            .to_vec();
    let mut client = server.select("Box", &[&odd]);
    assert_eq!(client.fetch(1, "BODY.PEEK[]").bytes("BODY[]"), odd);
    assert_eq!(client.fetch(1, "RFC822").bytes("RFC822"), odd);
}

fn appenduid_names_the_message(server: &Server) {
    let mut client = server.login();
    let validity = client
        .ok("STATUS INBOX (UIDVALIDITY UIDNEXT)")
        .status_items();
    let reply = client.append_ok("INBOX", "", &samples::plain("one", "1"));
    let code = reply.tagged.code("APPENDUID").expect("APPENDUID");
    assert_eq!(
        code,
        format!("{} {}", validity["UIDVALIDITY"], validity["UIDNEXT"])
    );
}

fn to_an_absent_mailbox_says_trycreate(server: &Server) {
    let mut client = server.login();
    // The answer may come instead of the continuation request or after the literal.
    let tag = client.start("APPEND Absent {6+}\r\na: b\r\n");
    let reply = client.finish(&tag);
    assert_eq!(reply.status, Status::No);
    assert!(reply.tagged.code("TRYCREATE").is_some(), "{reply:?}");
    client.ok("NOOP");
    assert!(
        !client
            .ok("LIST \"\" *")
            .mailboxes("LIST")
            .contains_key("Absent")
    );
}

fn several_messages_in_one_command(server: &Server) {
    let mut client = server.login();
    let one = samples::plain("one", "first");
    let two = samples::plain("two", "second");
    let tag = client.start(format!("APPEND INBOX (\\Seen) {{{}}}", one.len()));
    assert!(client.response().starts_with("+ "));
    client.send(&one);
    client.send(format!(
        " \" 1-Feb-2003 04:05:06 +0000\" {{{}}}\r\n",
        two.len()
    ));
    assert!(client.response().starts_with("+ "));
    client.send(&two);
    client.send(" (\\Draft) {6+}\r\na: b\r\n\r\n");
    let reply = client.finish(&tag);
    assert_eq!(reply.status, Status::Ok, "{reply:?}");
    let code = reply.tagged.code("APPENDUID").expect("APPENDUID");
    assert!(code.ends_with(" 1:3") || code.ends_with(" 1,2,3"), "{code}");
    client.ok("SELECT INBOX");
    let fetches = client
        .ok("FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])")
        .fetches();
    assert!(fetches[0].has("\\Seen") && !fetches[1].has("\\Seen") && fetches[2].has("\\Draft"));
    assert_eq!(
        fetches[1]
            .item("INTERNALDATE")
            .text()
            .trim_start_matches([' ', '0']),
        "1-Feb-2003 04:05:06 +0000"
    );
    assert_eq!(fetches[0].bytes("BODY[]"), one);
    assert_eq!(fetches[1].bytes("BODY[]"), two);
    assert_eq!(fetches[2].bytes("BODY[]"), b"a: b\r\n");
}

fn several_messages_are_stored_together_or_not_at_all(server: &Server) {
    let mut client = server.login();
    let reply =
        client.command("APPEND INBOX {6+}\r\na: b\r\n (\\Seen) \"no date\" {6+}\r\nc: d\r\n");
    assert_eq!(reply.status, Status::Bad, "{reply:?}");
    assert_eq!(
        client.ok("SELECT INBOX").exists(),
        Some(0),
        "RFC 3502 §6.3.11"
    );
}

fn a_selected_mailbox_grows_at_once(server: &Server) {
    let mut client = server.login();
    client.ok("SELECT INBOX");
    let reply = client.append_ok("INBOX", "", &samples::plain("one", "1"));
    assert_eq!(
        reply.exists(),
        Some(1),
        "RFC 3501 §6.3.11 asks for EXISTS at once: {reply:?}"
    );
    client.fetch(1, "FLAGS");
}

fn a_message_of_no_octets_is_refused(server: &Server) {
    let mut client = server.login();
    let reply = client.command("APPEND INBOX {0+}\r\n");
    assert_ne!(
        reply.status,
        Status::Ok,
        "RFC 3502: zero octets abort the APPEND: {reply:?}"
    );
    let tag = client.start("APPEND INBOX {0}");
    let response = client.response();
    if response.starts_with("+ ") {
        client.send("\r\n");
        assert_ne!(client.finish(&tag).status, Status::Ok);
    }
    client.ok("NOOP");
    assert_eq!(client.ok("SELECT INBOX").exists(), Some(0));
}

fn a_date_with_one_digit_and_odd_zone(server: &Server) {
    let mut client = server.login();
    client.append_ok(
        "INBOX",
        "\" 3-Jan-2020 23:59:59 +0545\"",
        &samples::plain("one", "1"),
    );
    client.ok("SELECT INBOX");
    let date = client.fetch(1, "INTERNALDATE").item("INTERNALDATE").text();
    assert!(
        [
            " 3-Jan-2020 23:59:59 +0545",
            " 3-Jan-2020 18:14:59 +0000",
            "03-Jan-2020 23:59:59 +0545",
            "03-Jan-2020 18:14:59 +0000"
        ]
        .contains(&date.as_str()),
        "{date:?}"
    );
}

fn unknown_keywords_are_kept(server: &Server) {
    let mut client = server.login();
    client.append_ok(
        "INBOX",
        "($Forwarded $MDNSent NonJunk)",
        &samples::plain("one", "1"),
    );
    let reply = client.ok("SELECT INBOX");
    let flags = reply.data("FLAGS")[0][0].to_string().to_uppercase();
    for keyword in ["$FORWARDED", "$MDNSENT", "NONJUNK"] {
        assert!(flags.contains(keyword), "{keyword} in {flags}");
    }
    let fetch = client.fetch(1, "FLAGS");
    assert!(
        fetch.flags().contains("$Forwarded"),
        "the letter case is kept: {fetch:?}"
    );
    assert_eq!(client.ok("SEARCH KEYWORD $forwarded").found(), [1]);
}

fn a_message_with_nul_and_bare_newlines(server: &Server) {
    let mut client = server.login();
    let bare = b"Subject: bare\n\nlines\nwithout\rCR\r\n";
    client.append_ok("INBOX", "", bare);
    let reply = client.append("INBOX", "", b"Subject: nul\r\n\r\na\0b\r\n");
    // RFC 3501 §9 forbids NUL in a literal; keeping it as it is or refusing it are
    // both honest, changing it is not.
    client.ok("SELECT INBOX");
    assert_eq!(client.fetch(1, "BODY.PEEK[]").bytes("BODY[]"), bare);
    if reply.status == Status::Ok {
        assert_eq!(
            client.fetch(2, "BODY.PEEK[]").bytes("BODY[]"),
            b"Subject: nul\r\n\r\na\0b\r\n"
        );
    }
}
