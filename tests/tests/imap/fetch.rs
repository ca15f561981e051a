//! FETCH of everything but sections: envelopes, structures, macros, `\Seen` (RFC 3501 §6.4.5).

use restante_tests::{Client, Server, Test, Value, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    envelope_of_a_full_header,
    envelope_of_an_empty_header,
    structures_of_nested_parts,
    macros,
    seen_is_set_by_reading,
    uid_fetch_adds_the_uid,
    ranges_and_absent_messages,
    items_come_once_and_in_any_case,
    sizes_and_dates,
];

fn envelope_of_a_full_header(server: &Server) {
    let message = b"From: \"A \\\"Q\\\" B\" <a@example.org>\r\nSender: s@example.org\r\n\
        Reply-To: r@example.org, \"R2\" <r2@example.org>\r\nTo: Group: x@example.org, y@example.net;, z@example.com\r\n\
        Cc: =?utf-8?Q?J=C3=BCrgen?= <j@example.org>\r\nBcc: b@example.org\r\nIn-Reply-To: <before@example.org>\r\n\
        Message-ID: <this@example.org>\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\r\n\
        Subject: a subject\r\n that is folded\r\n\r\nx\r\n";
    let mut client = server.select("Box", &[message]);
    let fetch = client.fetch(1, "ENVELOPE");
    let envelope = fetch.item("ENVELOPE").list();
    assert_eq!(envelope.len(), 10, "{envelope:?}");
    let text: Vec<String> = envelope.iter().map(ToString::to_string).collect();
    assert_eq!(text[0], "\"Mon, 7 Feb 1994 21:52:25 -0800 (PST)\"");
    assert_eq!(text[1], "\"a subject that is folded\"");
    assert_eq!(text[2], r#"(("A \"Q\" B" NIL "a" "example.org"))"#);
    assert_eq!(text[3], r#"((NIL NIL "s" "example.org"))"#);
    assert_eq!(
        text[4],
        r#"((NIL NIL "r" "example.org") ("R2" NIL "r2" "example.org"))"#
    );
    assert_eq!(
        text[5],
        r#"((NIL NIL "Group" NIL) (NIL NIL "x" "example.org") (NIL NIL "y" "example.net") (NIL NIL NIL NIL) (NIL NIL "z" "example.com"))"#
    );
    assert_eq!(
        text[6],
        r#"(("=?utf-8?Q?J=C3=BCrgen?=" NIL "j" "example.org"))"#
    );
    assert_eq!(text[7], r#"((NIL NIL "b" "example.org"))"#);
    assert_eq!(text[8], "\"<before@example.org>\"");
    assert_eq!(text[9], "\"<this@example.org>\"");
}

fn envelope_of_an_empty_header(server: &Server) {
    let mut client = server.select(
        "Box",
        &[b"\r\nonly a body\r\n", b"From: a@example.org\r\n\r\n"],
    );
    let fetch = client.fetch(1, "ENVELOPE");
    assert!(
        fetch
            .item("ENVELOPE")
            .list()
            .iter()
            .all(|field| *field == Value::Nil),
        "{fetch:?}"
    );
    let fetch = client.fetch(2, "ENVELOPE");
    let envelope = fetch.item("ENVELOPE").list();
    // RFC 3501 §7.4.2: Sender and Reply-To default to From.
    assert_eq!(envelope[3], envelope[2]);
    assert_eq!(envelope[4], envelope[2]);
}

fn structures_of_nested_parts(server: &Server) {
    let nested = samples::nested();
    let mut client = server.select("Box", &[&nested.message]);
    let fetch = client.fetch(1, "(BODY BODYSTRUCTURE)");
    let parts = fetch.item("BODY").list();
    assert_eq!(parts.len(), 4, "three parts and the subtype: {parts:?}");
    assert_eq!(parts[3].text().to_uppercase(), "MIXED");
    let text = parts[0].list();
    assert_eq!(
        (text[0].text().to_uppercase(), text[1].text().to_uppercase()),
        ("TEXT".into(), "PLAIN".into())
    );
    assert_eq!(text[3].text(), "<one@example.org>");
    assert_eq!(
        text[6].number(),
        "Grüße, see below.\r\nSecond line.".len() as u64
    );
    let forwarded = parts[1].list();
    assert_eq!(forwarded[1].text().to_uppercase(), "RFC822");
    assert_eq!(forwarded[4].text(), "forwarded");
    assert_eq!(
        forwarded[7].list()[1].text(),
        "inner",
        "the envelope of the inner message"
    );
    assert_eq!(forwarded[8].list()[2].text().to_uppercase(), "ALTERNATIVE");
    let image = parts[2].list();
    assert_eq!(
        (image[5].text().to_uppercase(), image[6].number()),
        ("BASE64".into(), 14)
    );
    let extended = fetch.item("BODYSTRUCTURE").list();
    assert_eq!(
        extended[4].to_string().to_lowercase(),
        "(\"boundary\" \"outer\")"
    );
    let disposition = extended[2].list()[8].to_string().to_lowercase();
    assert_eq!(disposition, "(\"attachment\" (\"filename\" \"dot.png\"))");
}

fn macros(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    let names = |client: &mut Client, items: &str| -> Vec<String> {
        client.fetch(1, items).items.into_keys().collect()
    };
    assert_eq!(
        names(&mut client, "FAST"),
        ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]
    );
    assert_eq!(
        names(&mut client, "ALL"),
        ["ENVELOPE", "FLAGS", "INTERNALDATE", "RFC822.SIZE"]
    );
    assert_eq!(
        names(&mut client, "FULL"),
        ["BODY", "ENVELOPE", "FLAGS", "INTERNALDATE", "RFC822.SIZE"]
    );
    assert!(
        !client.fetch(1, "FLAGS").has("\\Seen"),
        "none of them reads the message"
    );
}

fn seen_is_set_by_reading(server: &Server) {
    let message = samples::plain("one", "1");
    for (items, sets) in [
        ("BODY[]", true),
        ("BODY[TEXT]", true),
        ("BODY[1]<0.1>", true),
        ("RFC822", true),
        ("RFC822.TEXT", true),
        ("BODY[HEADER]", true),
        ("BODY.PEEK[]", false),
        ("RFC822.HEADER", false),
        ("BODYSTRUCTURE", false),
        ("BODY", false),
    ] {
        let mut client = server.login();
        client.append_ok("INBOX", "", &message);
        let last = client.ok("SELECT INBOX").exists().expect("EXISTS");
        let fetch = client.ok(format!("FETCH {last} {items}")).fetches();
        let told = fetch
            .iter()
            .any(|fetch| fetch.items.contains_key("FLAGS") && fetch.has("\\Seen"));
        assert_eq!(
            told, sets,
            "FLAGS come with {items} if they changed: {fetch:?}"
        );
        assert_eq!(
            client.fetch(last, "FLAGS").has("\\Seen"),
            sets,
            "after {items}"
        );
    }
}

fn uid_fetch_adds_the_uid(server: &Server) {
    let mut client = server.select(
        "Box",
        &[&samples::plain("one", "1"), &samples::plain("two", "2")],
    );
    let fetches = client.ok("UID FETCH 1:* FLAGS").fetches();
    assert_eq!(
        fetches
            .iter()
            .map(restante_tests::Fetch::uid)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    let fetches = client.ok("UID FETCH 2 (UID FLAGS)").fetches();
    assert_eq!(fetches[0].uid(), 2);
    assert!(client.ok("UID FETCH 3:9 FLAGS").fetches().is_empty());
    // `*` is the last message even where the other end is beyond it.
    assert_eq!(client.ok("UID FETCH 9:* FLAGS").fetches().len(), 1);
}

fn ranges_and_absent_messages(server: &Server) {
    let messages: Vec<Vec<u8>> = (1..=5)
        .map(|n| samples::plain(&format!("m{n}"), "x"))
        .collect();
    let mut client = server.select(
        "Box",
        &messages.iter().map(Vec::as_slice).collect::<Vec<_>>(),
    );
    let numbers = |client: &mut Client, set: &str| -> Vec<u32> {
        let mut numbers: Vec<u32> = client
            .ok(format!("FETCH {set} UID"))
            .fetches()
            .iter()
            .map(|fetch| fetch.number)
            .collect();
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(numbers(&mut client, "1,3:4"), [1, 3, 4]);
    assert_eq!(numbers(&mut client, "4:2"), [2, 3, 4]);
    assert_eq!(numbers(&mut client, "*"), [5]);
    assert_eq!(numbers(&mut client, "*:4"), [4, 5]);
    assert_eq!(
        numbers(&mut client, "2,2,2:3"),
        [2, 3],
        "overlapping ranges count once"
    );
    let reply = client.command("FETCH 6 UID");
    assert!(reply.fetches().is_empty(), "{reply:?}");
    client.ok("NOOP");
    client.ok("CREATE Empty");
    client.ok("SELECT Empty");
    let reply = client.command("FETCH 1:* FLAGS");
    assert!(reply.fetches().is_empty(), "{reply:?}");
    assert!(client.ok("UID FETCH 1:* FLAGS").fetches().is_empty());
}

fn items_come_once_and_in_any_case(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    let fetch = client.fetch(
        1,
        "(flags Uid rfc822.size body.peek[text] Body.Peek[header.fields (Subject fROM)])",
    );
    assert_eq!(fetch.bytes("BODY[TEXT]"), b"1\r\n");
    let fields = fetch
        .items
        .iter()
        .find(|(name, _)| name.starts_with("BODY[HEADER.FIELDS"))
        .expect("the fields");
    assert_eq!(
        fields.1.bytes(),
        b"From: Alice <alice@example.org>\r\nSubject: one\r\n\r\n"
    );
}

fn sizes_and_dates(server: &Server) {
    let mut client = server.login();
    let message = samples::large(70_001);
    client.append_ok("INBOX", "", &message);
    client.ok("SELECT INBOX");
    let fetch = client.fetch(1, "(RFC822.SIZE INTERNALDATE)");
    assert_eq!(fetch.item("RFC822.SIZE").number(), 70_001);
    let date = fetch.item("INTERNALDATE").text();
    assert_eq!(date.len(), "17-Jul-1996 02:44:25 -0700".len(), "{date:?}");
}
