//! Two sessions on one mailbox (RFC 3501 §5.5, §7.4.1).

use restante_tests::{Client, Fetch, Server, Status, Test, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    expunges_wait_for_a_command_that_allows_them,
    sequence_numbers_stay_right_until_the_expunge_is_shown,
    uid_commands_may_show_expunges,
    a_message_that_is_gone_can_be_asked_for,
    new_messages_are_announced,
    both_may_store_flags,
    deleting_a_mailbox_that_another_session_has_selected,
    deleting_ones_own_selected_mailbox_is_answered,
    appends_of_many_sessions_get_distinct_uids,
];

fn two(server: &Server, count: usize) -> (Client, Client) {
    let messages: Vec<Vec<u8>> = (1..=count)
        .map(|n| samples::plain(&format!("m{n}"), "x"))
        .collect();
    let first = server.select(
        "Box",
        &messages.iter().map(Vec::as_slice).collect::<Vec<_>>(),
    );
    let mut second = server.login();
    second.ok("SELECT Box");
    (first, second)
}

fn expunge(client: &mut Client, set: &str) {
    client.ok(format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"));
    client.ok(format!("UID EXPUNGE {set}"));
}

fn expunges_wait_for_a_command_that_allows_them(server: &Server) {
    let (mut first, mut second) = two(server, 5);
    expunge(&mut second, "2,4");
    for command in [
        "FETCH 1 FLAGS",
        "STORE 1 +FLAGS (\\Seen)",
        "SEARCH ALL",
        "FETCH 1:5 UID",
    ] {
        let reply = first.command(command);
        assert!(
            reply.expunged().is_empty(),
            "{command} must not announce EXPUNGE: {reply:?}"
        );
    }
    let mut left: Vec<u32> = (1..=5).collect();
    for number in first.ok("NOOP").expunged() {
        left.remove(number as usize - 1);
    }
    assert_eq!(left, [1, 3, 5]);
}

fn sequence_numbers_stay_right_until_the_expunge_is_shown(server: &Server) {
    let (mut first, mut second) = two(server, 5);
    expunge(&mut second, "1");
    // Until it hears of the expunge, the first session counts as before.
    let fetches = first.command("FETCH 5 (UID FLAGS)").fetches();
    let of_five: Vec<u32> = fetches
        .iter()
        .filter(|fetch| fetch.number == 5)
        .map(Fetch::uid)
        .collect();
    assert_eq!(of_five, [5]);
    let reply = first.ok("STORE 3 +FLAGS (\\Flagged)");
    assert!(
        reply
            .fetches()
            .iter()
            .any(|fetch| fetch.number == 3 && fetch.has("\\Flagged")),
        "{reply:?}"
    );
    let found = first.ok("SEARCH FLAGGED").found();
    assert_eq!(found, [3]);
    assert_eq!(first.ok("NOOP").expunged(), [1]);
    assert_eq!(first.ok("SEARCH FLAGGED").found(), [2]);
    assert_eq!(first.fetch(2, "UID").uid(), 3);
    assert_eq!(first.ok("UID SEARCH ALL").found(), [2, 3, 4, 5]);
}

fn uid_commands_may_show_expunges(server: &Server) {
    let (mut first, mut second) = two(server, 3);
    expunge(&mut second, "1");
    let reply = first.ok("UID FETCH 3 FLAGS");
    let expunged = reply.expunged();
    let fetch = reply
        .fetches()
        .into_iter()
        .find(|fetch| fetch.uid() == 3)
        .expect("message 3 is answered");
    // Whether shown before, after or not at all: the number belongs to its moment.
    let fetch_at = reply
        .untagged
        .iter()
        .position(|response| response.numbered("FETCH").is_some());
    let expunge_at = reply
        .untagged
        .iter()
        .position(|response| response.numbered("EXPUNGE").is_some());
    let shifted = expunge_at.is_some_and(|at| Some(at) < fetch_at);
    assert_eq!(fetch.number, if shifted { 2 } else { 3 }, "{reply:?}");
    assert_eq!(expunged.len() + first.ok("NOOP").expunged().len(), 1);
}

fn a_message_that_is_gone_can_be_asked_for(server: &Server) {
    let (mut first, mut second) = two(server, 3);
    expunge(&mut second, "2");
    // RFC 2180 §4.1: any of OK with what is left, NO, or the data if it is still
    // there; but never the data of another message, and never an end.
    let reply = first.command("FETCH 1:3 (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    assert_ne!(reply.status, Status::Bad, "{reply:?}");
    for fetch in reply.fetches() {
        if let Some(subject) = fetch.items.get("BODY[HEADER.FIELDS (SUBJECT)]") {
            let expected = format!("Subject: m{}\r\n\r\n", fetch.number);
            assert!(
                subject.bytes() == expected.as_bytes() || subject.bytes().is_empty(),
                "{fetch:?}"
            );
            assert_eq!(fetch.uid(), fetch.number);
        }
    }
    first.ok("NOOP");
}

fn new_messages_are_announced(server: &Server) {
    let (mut first, mut second) = two(server, 1);
    second.append_ok("Box", "", &samples::plain("new", "x"));
    let reply = first.ok("NOOP");
    assert_eq!(reply.exists(), Some(2), "{reply:?}");
    assert_eq!(first.fetch(2, "UID").uid(), 2);
    second.ok("NOOP");
    second.append_ok("Box", "", &samples::plain("newer", "x"));
    // An expunge and an arrival at once.
    expunge(&mut second, "1");
    let reply = first.ok("NOOP");
    assert_eq!(reply.expunged(), [1], "{reply:?}");
    assert_eq!(reply.exists(), Some(2), "{reply:?}");
    assert_eq!(first.ok("UID SEARCH ALL").found(), [2, 3]);
}

fn both_may_store_flags(server: &Server) {
    let (mut first, mut second) = two(server, 1);
    first.ok("STORE 1 +FLAGS.SILENT (\\Seen)");
    second.ok("STORE 1 +FLAGS.SILENT (\\Flagged)");
    for client in [&mut first, &mut second] {
        client.ok("NOOP");
        let fetch = client.fetch(1, "FLAGS");
        assert!(fetch.has("\\Seen") && fetch.has("\\Flagged"), "{fetch:?}");
    }
}

fn deleting_a_mailbox_that_another_session_has_selected(server: &Server) {
    let (mut first, _) = two(server, 2);
    let mut other = server.login();
    let reply = other.command("DELETE Box");
    // Refusing, and letting the others see an empty mailbox or a BYE, are both legal
    // (RFC 2180 §3); silence is not.
    if reply.status == Status::Ok {
        let tag = first.start("NOOP");
        let mut after = Vec::new();
        while let Some(response) = first.try_response() {
            let answered = response.starts_with(&tag.0);
            after.push(response);
            if answered {
                break;
            }
        }
        assert!(!after.is_empty());
    }
    assert!(
        other
            .ok("LIST \"\" INBOX")
            .mailboxes("LIST")
            .contains_key("INBOX")
    );
}

fn deleting_ones_own_selected_mailbox_is_answered(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    // Clients that delete the folder on the screen need to know whether it is gone.
    let tag = client.start("DELETE Box");
    let mut before = Vec::new();
    let answer = loop {
        let response = client
            .try_response()
            .unwrap_or_else(|| panic!("closed without an answer: {before:?}"));
        if response.starts_with(&tag.0) {
            break response;
        }
        before.push(response);
    };
    let gone = !server
        .login()
        .ok("LIST \"\" *")
        .mailboxes("LIST")
        .contains_key("Box");
    assert_eq!(answer.text().contains(" OK "), gone, "{answer:?}");
}

fn appends_of_many_sessions_get_distinct_uids(server: &Server) {
    const SESSIONS: u32 = 8;
    const EACH: u32 = 10;
    let mut client = server.login();
    client.ok("CREATE Box");
    let uids: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SESSIONS)
            .map(|session| {
                scope.spawn(move || {
                    let mut client = server.login();
                    (0..EACH)
                        .map(|number| {
                            let message = samples::plain(&format!("s{session}n{number}"), "x");
                            let code = client
                                .append_ok("Box", "", &message)
                                .code("APPENDUID")
                                .expect("APPENDUID");
                            let uid = code
                                .rsplit(' ')
                                .next()
                                .and_then(|uid| uid.parse().ok())
                                .expect("a UID");
                            (uid, message)
                        })
                        .collect::<Vec<(u32, Vec<u8>)>>()
                })
            })
            .collect();
        let mut stored: Vec<(u32, Vec<u8>)> = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no session fails"))
            .collect();
        stored.sort_unstable();
        client.ok("SELECT Box");
        for (uid, message) in &stored {
            let fetch = client.ok(format!("UID FETCH {uid} BODY.PEEK[]")).fetch();
            assert_eq!(
                fetch.bytes("BODY[]"),
                message,
                "APPENDUID {uid} names another message"
            );
        }
        stored.into_iter().map(|(uid, _)| uid).collect()
    });
    assert_eq!(uids, (1..=SESSIONS * EACH).collect::<Vec<_>>());
}
