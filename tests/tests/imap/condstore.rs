//! CONDSTORE (RFC 7162 §3.1).

use restante_tests::{Client, Fetch, Reply, Server, Test, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    it_is_advertised_and_can_be_enabled,
    select_and_status_say_highestmodseq,
    each_enabling_command_says_highestmodseq_once,
    every_store_raises_the_modseq,
    a_store_that_changes_nothing_keeps_the_modseq,
    changes_of_others_come_with_uid_and_modseq,
    changedsince_returns_only_what_changed,
    a_conditional_store_names_what_it_left_alone,
    uid_store_names_uids_in_modified,
    unchangedsince_0_tests_whether_a_keyword_is_there,
    a_silent_store_says_the_modseq,
    search_says_the_highest_modseq,
    numbers_of_more_than_63_bits_are_bad,
    reselecting_says_closed,
];

fn three(server: &Server) -> Client {
    let messages: Vec<Vec<u8>> = (1..=3)
        .map(|n| samples::plain(&format!("m{n}"), "x"))
        .collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let mut client = server.select("Box", &messages);
    client.ok("SELECT Box (CONDSTORE)");
    client
}

fn modseq(fetch: &Fetch) -> u64 {
    let list = fetch.item("MODSEQ").list();
    assert_eq!(list.len(), 1, "{list:?}");
    list[0].number()
}

fn modseq_of(client: &mut Client, number: u32) -> u64 {
    modseq(&client.fetch(number, "MODSEQ"))
}

fn highest(reply: &Reply) -> u64 {
    let code = reply.code("HIGHESTMODSEQ");
    code.unwrap_or_else(|| panic!("no HIGHESTMODSEQ: {reply:?}"))
        .parse()
        .expect("a number")
}

fn it_is_advertised_and_can_be_enabled(server: &Server) {
    let mut client = server.login();
    let before = client.ok("CAPABILITY").untagged[0].text();
    assert!(
        before.contains(" CONDSTORE") && before.contains(" ENABLE"),
        "{before}"
    );
    let enabled = client.ok("ENABLE CONDSTORE X-OTHER").untagged;
    let enabled: Vec<String> = enabled.iter().map(|line| line.text()).collect();
    assert_eq!(enabled, ["* ENABLED CONDSTORE"]);
    // RFC 5161 §3.1: ENABLE does not change the list.
    assert_eq!(client.ok("CAPABILITY").untagged[0].text(), before);
}

fn select_and_status_say_highestmodseq(server: &Server) {
    let mut client = three(server);
    client.ok("STORE 2 +FLAGS (\\Flagged)");
    let largest = (1..=3).map(|n| modseq_of(&mut client, n)).max();
    for command in ["SELECT Box", "EXAMINE Box", "SELECT Box (CONDSTORE)"] {
        assert!(Some(highest(&client.ok(command))) >= largest, "{command}");
    }
    let selected = highest(&client.ok("SELECT Box"));
    let status = client
        .ok("STATUS Box (HIGHESTMODSEQ MESSAGES)")
        .status_items();
    assert_eq!(status["HIGHESTMODSEQ"], selected);
    client.ok("CREATE Empty");
    assert!(
        highest(&client.ok("SELECT Empty")) > 0,
        "RFC 7162 §7: it is positive"
    );
}

fn each_enabling_command_says_highestmodseq_once(server: &Server) {
    three(server);
    for command in [
        "ENABLE CONDSTORE",
        "FETCH 1 (MODSEQ)",
        "FETCH 1 FLAGS (CHANGEDSINCE 1)",
        "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)",
        "SEARCH MODSEQ 1",
        "STATUS Box (HIGHESTMODSEQ)",
    ] {
        let mut client = server.login();
        client.ok("SELECT Box");
        highest(&client.ok(command));
        let again = client.ok(command);
        assert_eq!(again.code("HIGHESTMODSEQ"), None, "{command}: {again:?}");
    }
}

fn every_store_raises_the_modseq(server: &Server) {
    let mut client = three(server);
    let mut before = modseq_of(&mut client, 1);
    for command in [
        "STORE 1 +FLAGS (\\Seen)",
        "STORE 1 FLAGS ($Work)",
        "UID STORE 1 -FLAGS ($Work)",
    ] {
        let now = modseq(&client.ok(command).fetch());
        assert!(now > before, "{command}: {now} after {before}");
        before = now;
    }
    // A new message is above all others.
    let mut other = server.login();
    other.append_ok("Box", "", &samples::plain("m4", "x"));
    client.ok("NOOP");
    assert!(modseq_of(&mut client, 4) > before);
}

fn a_store_that_changes_nothing_keeps_the_modseq(server: &Server) {
    let mut client = three(server);
    client.ok("STORE 1 +FLAGS (\\Seen)");
    let before = modseq_of(&mut client, 1);
    client.ok("STORE 1 +FLAGS (\\Seen)");
    client.ok("STORE 1 -FLAGS (\\Draft)");
    assert_eq!(modseq_of(&mut client, 1), before, "RFC 7162 §3.1.11");
}

fn changes_of_others_come_with_uid_and_modseq(server: &Server) {
    let mut client = three(server);
    let mut other = server.login();
    other.ok("SELECT Box");
    other.ok("STORE 2 +FLAGS (\\Answered)");
    let fetch = client.ok("NOOP").fetch();
    assert_eq!((fetch.number, fetch.uid()), (2, 2));
    assert!(fetch.has("\\Answered") && modseq(&fetch) > 0);
    // Also of a FETCH that sets \Seen (RFC 7162 §3.2.4).
    let fetch = client.ok("FETCH 3 BODY[TEXT]").fetch();
    assert!(fetch.has("\\Seen") && fetch.uid() == 3 && modseq(&fetch) > 0);
    // Who did not ask for it is not told.
    let fetch = other.ok("NOOP").fetch();
    assert!(!fetch.items.contains_key("MODSEQ"), "{fetch:?}");
}

fn changedsince_returns_only_what_changed(server: &Server) {
    let mut client = three(server);
    let since = highest(&client.ok("SELECT Box"));
    client.ok("STORE 3 +FLAGS.SILENT (\\Flagged)");
    let fetch = client
        .ok(format!("UID FETCH 1:* FLAGS (CHANGEDSINCE {since})"))
        .fetch();
    assert_eq!(fetch.uid(), 3);
    let now = modseq(&fetch);
    assert!(now > since);
    let reply = client.ok(format!("FETCH 1:3 BODY.PEEK[] (CHANGEDSINCE {since})"));
    assert_eq!(modseq(&reply.fetch()), now, "MODSEQ is implied");
    let reply = client.ok(format!("FETCH 1:* FLAGS (CHANGEDSINCE {now})"));
    assert!(reply.untagged.is_empty(), "{reply:?}");
}

fn a_conditional_store_names_what_it_left_alone(server: &Server) {
    let mut client = three(server);
    let known = highest(&client.ok("SELECT Box"));
    let mut other = server.login();
    other.ok("SELECT Box");
    other.ok("STORE 2 +FLAGS (\\Answered \\Flagged)");
    let reply = client.ok(format!(
        "STORE 1:3 (UNCHANGEDSINCE {known}) +FLAGS.SILENT (\\Seen \\Flagged)"
    ));
    assert_eq!(reply.code("MODIFIED").as_deref(), Some("2"), "{reply:?}");
    let fetches = reply.fetches();
    assert_eq!(
        fetches.iter().map(|fetch| fetch.number).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(fetches[1].has("\\Answered") && !fetches[1].has("\\Seen"));
    let seen = client.ok("SEARCH SEEN").found();
    assert_eq!(seen, [1, 3]);
}

fn uid_store_names_uids_in_modified(server: &Server) {
    let mut client = three(server);
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    client.ok("STORE 1:2 +FLAGS.SILENT (\\Seen)");
    let reply = client.ok("UID STORE 1:3 (UNCHANGEDSINCE 1) -FLAGS (\\Seen)");
    assert_eq!(reply.code("MODIFIED").as_deref(), Some("2:3"), "{reply:?}");
    let reply = client.ok("STORE 1:2 (UNCHANGEDSINCE 1) -FLAGS (\\Seen)");
    assert_eq!(reply.code("MODIFIED").as_deref(), Some("1:2"), "{reply:?}");
}

fn unchangedsince_0_tests_whether_a_keyword_is_there(server: &Server) {
    // RFC 7162 §3.1.3, examples 7 and 8
    let mut client = three(server);
    let reply = client.ok("STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT (\\Flagged)");
    assert_eq!(reply.code("MODIFIED").as_deref(), Some("1"), "{reply:?}");
    let reply = client.ok("STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)");
    assert_eq!(reply.code("MODIFIED"), None, "{reply:?}");
    let reply = client.ok("STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)");
    assert_eq!(reply.code("MODIFIED").as_deref(), Some("1"), "{reply:?}");
}

fn a_silent_store_says_the_modseq(server: &Server) {
    let mut client = three(server);
    let fetch = client.ok("STORE 2 +FLAGS.SILENT (\\Seen)").fetch();
    assert!(!fetch.items.contains_key("FLAGS"), "{fetch:?}");
    assert_eq!(
        (fetch.uid(), modseq(&fetch)),
        (2, modseq_of(&mut client, 2))
    );
}

fn search_says_the_highest_modseq(server: &Server) {
    let mut client = three(server);
    let since = highest(&client.ok("SELECT Box"));
    client.ok("STORE 3 +FLAGS.SILENT (\\Flagged)");
    client.ok("STORE 1 +FLAGS.SILENT (\\Flagged)");
    let now = modseq_of(&mut client, 1);
    let key = format!("MODSEQ \"/flags/\\\\flagged\" all {}", since + 1);
    let reply = client.ok(format!("SEARCH {key}"));
    assert_eq!(
        reply.untagged[0].text(),
        format!("* SEARCH 1 3 (MODSEQ {now})")
    );
    let reply = client.ok(format!("SEARCH MODSEQ {}", now + 1));
    assert_eq!(reply.untagged[0].text(), "* SEARCH");
    // RFC 7162 §3.1.10
    let tag = client.start(format!("UID SEARCH RETURN (ALL) {key}"));
    let reply = client.finish(&tag);
    let expected = format!("* ESEARCH (TAG \"{}\") UID ALL 1,3 MODSEQ {now}", tag.0);
    assert_eq!(reply.untagged[0].text(), expected);
}

fn numbers_of_more_than_63_bits_are_bad(server: &Server) {
    let mut client = three(server);
    client.ok("FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775807)");
    client.bad("FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)");
    client.bad("STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS ()");
    client.bad("SEARCH MODSEQ 18446744073709551616");
}

fn reselecting_says_closed(server: &Server) {
    let mut client = three(server);
    let reply = client.ok("SELECT INBOX");
    assert_eq!(
        reply.untagged[0].code("CLOSED").as_deref(),
        Some(""),
        "{reply:?}"
    );
    client.ok("UNSELECT");
    let reply = client.ok("SELECT INBOX");
    assert_eq!(reply.code("CLOSED"), None, "{reply:?}");
}
