//! K-9 and Thunderbird for Android: windows of a hundred messages, long lines, IDLE that it
//! renews every 24 minutes. The minutes are those of `core/tests/idling.rs`.

use restante_tests::{Server, Test, neighbours::base64, samples, tests};

use crate::{await_idle, done, hear_of, idle, ok};

pub(crate) const TESTS: &[Test] = tests![
    plain_with_an_empty_authorisation_identity,
    messages_come_in_windows_of_a_hundred,
    lines_of_8172_octets,
    nothing_is_missed_while_idle_is_renewed,
];

fn plain_with_an_empty_authorisation_identity(server: &Server) {
    let (name, password) = (&server.alice.name, &server.alice.password);
    let response = base64(format!("\0{name}\0{password}").as_bytes());
    let mut client = server.connect();
    ok(&mut client, format!("1 AUTHENTICATE PLAIN {response}"));
    ok(
        &mut client,
        "2 ID (\"name\" \"K-9 Mail\" \"version\" \"6.804\")",
    );
    ok(&mut client, "3 LIST \"\" \"*\" RETURN (SPECIAL-USE)");
    ok(&mut client, "4 SELECT \"INBOX\"");
}

fn messages_come_in_windows_of_a_hundred(server: &Server) {
    const COUNT: usize = 250;
    let mut client = server.login();
    ok(&mut client, "1 CREATE \"Box\"");
    let mut batch = Vec::new();
    for number in 0..COUNT {
        let message = samples::plain(&format!("m{number}"), "text");
        batch.extend_from_slice(format!("a APPEND Box {{{}+}}\r\n", message.len()).as_bytes());
        batch.extend_from_slice(&message);
        batch.extend_from_slice(b"\r\n");
    }
    client.send(batch);
    for _ in 0..COUNT {
        done(&mut client, "a");
    }
    ok(&mut client, "2 SELECT \"Box\"");
    let mut seen = Vec::new();
    for (first, last) in [(151, 250), (51, 150), (1, 50)] {
        let found = ok(
            &mut client,
            format!("3 UID SEARCH {first}:{last} NOT DELETED"),
        )
        .found();
        let set: Vec<String> = found.iter().rev().map(u32::to_string).collect();
        let set = set.join(",");
        let flags = ok(&mut client, format!("4 UID FETCH {set} (UID FLAGS)")).fetches();
        assert_eq!(flags.len(), found.len());
        let headers = ok(
            &mut client,
            format!(
                "5 UID FETCH {set} (UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (date subject from \
                 content-type to cc reply-to message-id references in-reply-to list-unsubscribe sender \
                 X-K9mail-Identity Chat-Version)])"
            ),
        );
        seen.extend(headers.fetches().iter().map(|fetch| fetch.uid()));
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=COUNT as u32).collect::<Vec<_>>());
    let structure = ok(&mut client, "6 UID FETCH 1 (BODYSTRUCTURE)").fetch();
    assert_eq!(
        structure.item("BODYSTRUCTURE").list()[0]
            .text()
            .to_lowercase(),
        "text"
    );
    ok(&mut client, "7 UID FETCH 1 (BODY.PEEK[])");
}

/// It fills a line up to there, if the server has CONDSTORE.
fn lines_of_8172_octets(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    let mut set = "1".to_owned();
    for uid in (3_000_000_001_u32..).step_by(2).take(740) {
        set += &format!(",{uid}");
    }
    let rest = format!(" UID FETCH {set} (UID FLAGS)\r\n");
    let tag = "1".repeat(8_172 - rest.len());
    let line = tag.clone() + &rest;
    client.send(&line);
    assert_eq!(done(&mut client, &tag).fetch().uid(), 1);
}

fn nothing_is_missed_while_idle_is_renewed(server: &Server) {
    let mut client = server.login();
    ok(&mut client, "1 SELECT \"INBOX\"");
    let mut other = server.login();
    idle(&mut client, "2 IDLE");
    for round in 1..=10 {
        // A message comes just when the time is over.
        let tag = other.start("APPEND INBOX {14+}\r\nSubject: x\r\n\r\n");
        client.send("DONE\r\n");
        let left = done(&mut client, "2");
        client.send("2 IDLE\r\n");
        let mut heard = left.exists() == Some(round);
        loop {
            let response = client.response();
            if response.starts_with("+ ") {
                break;
            }
            heard |= response.numbered("EXISTS").map(|(count, _)| count) == Some(round);
        }
        if !heard {
            hear_of(&mut client, round);
        }
        assert_eq!(other.finish(&tag).status, restante_tests::Status::Ok);
    }
    client.send("DONE\r\n2 IDLE\r\n");
    done(&mut client, "2");
    await_idle(&mut client);
}
