//! STORE in all its forms (RFC 3501 §6.4.6).

use std::collections::BTreeSet;

use restante_tests::{Client, Server, Status, Test, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    flags_are_set_added_and_removed,
    silent_says_nothing,
    uid_store_answers_with_the_uid,
    one_flag_needs_no_list,
    a_range_over_many_messages,
    keywords_come_and_go,
    flags_are_seen_by_another_session,
    store_on_an_absent_message,
    system_flags_are_case_insensitive,
];

fn three(server: &Server) -> Client {
    let messages: Vec<Vec<u8>> = (1..=3)
        .map(|n| samples::plain(&format!("m{n}"), "x"))
        .collect();
    server.select(
        "Box",
        &messages.iter().map(Vec::as_slice).collect::<Vec<_>>(),
    )
}

fn without_recent(mut flags: BTreeSet<String>) -> Vec<String> {
    flags.remove("\\Recent");
    flags.into_iter().collect()
}

fn flags_are_set_added_and_removed(server: &Server) {
    let mut client = three(server);
    let fetch = client.ok("STORE 2 FLAGS (\\Seen \\Draft)").fetch();
    assert_eq!(
        (fetch.number, without_recent(fetch.flags())),
        (2, vec!["\\Draft".into(), "\\Seen".into()])
    );
    let fetch = client.ok("STORE 2 +FLAGS (\\Flagged)").fetch();
    assert_eq!(
        without_recent(fetch.flags()),
        ["\\Draft", "\\Flagged", "\\Seen"]
    );
    let fetch = client.ok("STORE 2 -FLAGS (\\Draft \\Answered)").fetch();
    assert_eq!(without_recent(fetch.flags()), ["\\Flagged", "\\Seen"]);
    let fetch = client.ok("STORE 2 FLAGS ()").fetch();
    assert_eq!(without_recent(fetch.flags()), [""; 0]);
    assert_eq!(without_recent(client.fetch(1, "FLAGS").flags()), [""; 0]);
}

fn silent_says_nothing(server: &Server) {
    let mut client = three(server);
    for form in [
        "FLAGS.SILENT (\\Seen)",
        "+FLAGS.SILENT (\\Flagged)",
        "-FLAGS.SILENT (\\Seen)",
    ] {
        let reply = client.ok(format!("STORE 1 {form}"));
        assert!(reply.fetches().is_empty(), "{form}: {reply:?}");
    }
    assert_eq!(
        without_recent(client.fetch(1, "FLAGS").flags()),
        ["\\Flagged"]
    );
}

fn uid_store_answers_with_the_uid(server: &Server) {
    let mut client = three(server);
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    let fetch = client.ok("UID STORE 3 +FLAGS (\\Seen)").fetch();
    assert_eq!((fetch.number, fetch.uid()), (2, 3));
    let reply = client.ok("UID STORE 1 +FLAGS (\\Seen)");
    assert!(
        reply.fetches().is_empty(),
        "a UID that is gone is passed over: {reply:?}"
    );
}

fn one_flag_needs_no_list(server: &Server) {
    let mut client = three(server);
    assert!(client.ok("STORE 1 +FLAGS \\Seen").fetch().has("\\Seen"));
    let fetch = client.ok("STORE 1 FLAGS \\Flagged \\Draft").fetch();
    assert_eq!(without_recent(fetch.flags()), ["\\Draft", "\\Flagged"]);
}

fn a_range_over_many_messages(server: &Server) {
    let mut client = three(server);
    let reply = client.ok("STORE 3:1 +FLAGS (\\Seen)");
    let numbers: Vec<u32> = reply.fetches().iter().map(|fetch| fetch.number).collect();
    assert_eq!(
        numbers.iter().collect::<BTreeSet<_>>().len(),
        3,
        "{numbers:?}"
    );
    let reply = client.ok("STORE *,1 -FLAGS (\\Seen)");
    assert_eq!(reply.fetches().len(), 2);
    assert_eq!(client.ok("SEARCH SEEN").found(), [2]);
}

fn keywords_come_and_go(server: &Server) {
    let mut client = three(server);
    assert!(
        client
            .ok("STORE 1 +FLAGS (Project-X)")
            .fetch()
            .has("Project-X")
    );
    client.ok("STORE 2 +FLAGS (project-x $Junk)");
    assert_eq!(
        client.ok("SEARCH KEYWORD PROJECT-X").found(),
        [1, 2],
        "keywords are case-insensitive"
    );
    let fetch = client.ok("STORE 1 -FLAGS (PROJECT-X)").fetch();
    assert!(!fetch.has("Project-X"), "{fetch:?}");
    let reply = client.ok("SELECT Box");
    assert!(
        reply.data("FLAGS")[0][0].to_string().contains("$JUNK"),
        "{reply:?}"
    );
}

fn flags_are_seen_by_another_session(server: &Server) {
    let mut client = three(server);
    let mut other = server.login();
    other.ok("SELECT Box");
    client.ok("STORE 2 +FLAGS.SILENT (\\Flagged)");
    let reply = other.ok("NOOP");
    let fetch = reply.fetch();
    assert!(fetch.number == 2 && fetch.has("\\Flagged"), "{reply:?}");
    let reply = client.ok("NOOP");
    assert!(
        reply.fetches().is_empty(),
        "one's own silent change is not announced: {reply:?}"
    );
}

fn store_on_an_absent_message(server: &Server) {
    let mut client = three(server);
    let reply = client.command("STORE 4 +FLAGS (\\Seen)");
    assert_ne!(
        reply.status,
        Status::Ok,
        "a sequence number beyond the mailbox: {reply:?}"
    );
    client.ok("UID STORE 4 +FLAGS (\\Seen)");
    client.ok("NOOP");
}

fn system_flags_are_case_insensitive(server: &Server) {
    let mut client = three(server);
    assert!(client.ok("STORE 1 +FLAGS (\\sEEN)").fetch().has("\\Seen"));
    // Of one that is not known nothing is kept (RFC 3501 §7.1, PERMANENTFLAGS).
    let told = client.ok("STORE 1 +FLAGS (\\Frobnicated)").fetch();
    assert!(told.has("\\Seen") && !told.has("\\Frobnicated"), "{told:?}");
    client.bad("STORE 1 +FLAGS (\\Recent)");
    client.ok("NOOP");
}
