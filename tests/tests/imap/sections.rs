//! FETCH of sections and of parts of them (RFC 3501 §6.4.5).

use restante_tests::{Server, Status, Test, Value, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    every_section_of_nested_parts,
    partials_within_and_beyond,
    sections_that_are_not_there,
    sections_of_a_message_without_parts,
    rfc822_items,
    partials_of_a_large_message,
    several_sections_at_once,
    header_fields_keep_order_and_folding,
    a_message_without_a_body,
];

fn every_section_of_nested_parts(server: &Server) {
    let nested = samples::nested();
    let mut client = server.select("Box", &[&nested.message]);
    for (section, expected) in &nested.sections {
        let fetch = client.fetch(1, &format!("BODY.PEEK[{section}]"));
        let got = fetch.bytes(&format!("BODY[{section}]"));
        assert_eq!(
            String::from_utf8_lossy(got),
            String::from_utf8_lossy(expected),
            "BODY[{section}]"
        );
    }
}

fn partials_within_and_beyond(server: &Server) {
    let nested = samples::nested();
    let mut client = server.select("Box", &[&nested.message]);
    for (section, whole) in &nested.sections {
        let size = whole.len();
        for (from, count) in [
            (0, 1),
            (0, 4_000_000_000),
            (3, 5),
            (size - 1, 10),
            (size, 10),
            (size + 100, 10),
        ] {
            let fetch = client.fetch(1, &format!("BODY.PEEK[{section}]<{from}.{count}>"));
            let begin = from.min(size);
            let end = begin.saturating_add(count).min(size);
            let got = fetch.bytes(&format!("BODY[{section}]<{from}>"));
            assert_eq!(
                String::from_utf8_lossy(got),
                String::from_utf8_lossy(&whole[begin..end]),
                "BODY[{section}]<{from}.{count}>"
            );
        }
    }
}

fn sections_that_are_not_there(server: &Server) {
    let nested = samples::nested();
    let mut client = server.select("Box", &[&nested.message]);
    for section in ["4", "2.3", "3.HEADER", "9.9.9", "4.MIME", "1.TEXT"] {
        let reply = client.command(format!("FETCH 1 BODY.PEEK[{section}]"));
        assert_ne!(reply.status, Status::Bad, "{section}: {reply:?}");
        for fetch in reply.fetches() {
            let value = fetch.item(&format!("BODY[{section}]"));
            assert!(value.bytes().is_empty(), "{section}: {value}");
        }
    }
    client.bad("FETCH 1 BODY.PEEK[MIME]");
    client.ok("NOOP");
}

fn sections_of_a_message_without_parts(server: &Server) {
    let message = samples::plain("one", "the only text");
    let mut client = server.select("Box", &[&message]);
    let fetch = client.fetch(1, "(BODY.PEEK[1] BODY.PEEK[TEXT] BODY.PEEK[HEADER])");
    assert_eq!(fetch.bytes("BODY[1]"), b"the only text\r\n");
    assert_eq!(fetch.bytes("BODY[TEXT]"), b"the only text\r\n");
    let header = fetch.bytes("BODY[HEADER]").to_vec();
    assert_eq!([header.as_slice(), b"the only text\r\n"].concat(), message);
}

fn rfc822_items(server: &Server) {
    let message = samples::plain("one", "text");
    let mut client = server.select("Box", &[&message]);
    let fetch = client.fetch(1, "(RFC822.HEADER RFC822.TEXT RFC822)");
    assert_eq!(fetch.bytes("RFC822"), message);
    assert_eq!(
        [fetch.bytes("RFC822.HEADER"), fetch.bytes("RFC822.TEXT")].concat(),
        message
    );
}

fn partials_of_a_large_message(server: &Server) {
    let message = samples::large(1_000_003);
    let mut client = server.select("Box", &[&message]);
    let mut whole = Vec::new();
    for from in (0..message.len()).step_by(100_000) {
        let fetch = client.fetch(1, &format!("BODY.PEEK[]<{from}.100000>"));
        whole.extend_from_slice(fetch.bytes(&format!("BODY[]<{from}>")));
    }
    assert!(whole == message, "the pieces make the message");
    // Around the edges of the stored chunks.
    for from in [65_535, 65_536, 65_537, 131_071, 1_000_002] {
        let fetch = client.fetch(1, &format!("BODY.PEEK[]<{from}.3>"));
        let end = (from + 3).min(message.len());
        assert_eq!(fetch.bytes(&format!("BODY[]<{from}>")), &message[from..end]);
    }
}

fn several_sections_at_once(server: &Server) {
    let nested = samples::nested();
    let mut client = server.select("Box", &[&nested.message]);
    let items: Vec<String> = nested
        .sections
        .iter()
        .map(|(section, _)| format!("BODY.PEEK[{section}]"))
        .collect();
    let fetch = client.fetch(1, &format!("(UID {} ENVELOPE)", items.join(" ")));
    for (section, expected) in &nested.sections {
        assert_eq!(
            fetch.bytes(&format!("BODY[{section}]")),
            expected,
            "BODY[{section}]"
        );
    }
    assert!(matches!(fetch.item("ENVELOPE"), Value::List(_)));
}

fn header_fields_keep_order_and_folding(server: &Server) {
    let message = b"Received: one\r\n\tfolded\r\nSubject: s\r\nReceived: two\r\nX-A:nothing before\r\nTo : odd\r\n\r\nx";
    let mut client = server.select("Box", &[message]);
    let fetch = client.fetch(1, "BODY.PEEK[HEADER.FIELDS (X-A received)]");
    let value = fetch
        .items
        .values()
        .find(|value| matches!(value, Value::String(_)))
        .expect("the fields");
    assert_eq!(
        String::from_utf8_lossy(value.bytes()),
        "Received: one\r\n\tfolded\r\nReceived: two\r\nX-A:nothing before\r\n\r\n"
    );
    let fetch = client.fetch(1, "BODY.PEEK[HEADER.FIELDS.NOT (RECEIVED)]");
    let text =
        String::from_utf8_lossy(fetch.bytes("BODY[HEADER.FIELDS.NOT (RECEIVED)]")).into_owned();
    assert_eq!(text, "Subject: s\r\nX-A:nothing before\r\nTo : odd\r\n\r\n");
}

fn a_message_without_a_body(server: &Server) {
    let mut client = server.select(
        "Box",
        &[b"Subject: header only\r\n", b"Subject: h\r\n\r\n", b"x"],
    );
    for number in 1..=3 {
        let fetch = client.fetch(
            number,
            "(BODY.PEEK[] BODY.PEEK[TEXT] BODYSTRUCTURE ENVELOPE RFC822.SIZE)",
        );
        assert_eq!(
            fetch.item("RFC822.SIZE").number(),
            fetch.bytes("BODY[]").len() as u64
        );
    }
    let fetch = client.fetch(2, "(BODY.PEEK[TEXT] BODY.PEEK[HEADER])");
    assert_eq!(
        (fetch.bytes("BODY[TEXT]"), fetch.bytes("BODY[HEADER]")),
        (&b""[..], &b"Subject: h\r\n\r\n"[..])
    );
}
