//! QRESYNC (RFC 7162 §3.2).

use std::time::Duration;

use restante_tests::{
    Client, Reply, Server, Status, Test, client::Tag, samples, tests, trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    it_has_to_be_enabled,
    vanished_comes_instead_of_expunge,
    expunge_says_highestmodseq_and_close_does_not,
    a_waiting_expunge_holds_highestmodseq_back,
    idle_hears_of_what_vanished,
    select_tells_what_was_missed,
    another_uidvalidity_tells_nothing,
    known_uids_and_matches_limit_what_is_told,
    uid_fetch_tells_what_vanished,
    a_restart_forgets_nothing => needs(&[Need::OwnProcess]),
    commands_in_one_packet_are_answered_in_order,
];

/// Eight messages in a mailbox, and a client with everything enabled.
fn eight(server: &Server) -> (Client, Client) {
    let messages: Vec<Vec<u8>> = (1..=8)
        .map(|n| samples::plain(&format!("m{n}"), "x"))
        .collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let other = server.select("Box", &messages);
    (other, with_qresync(server))
}

fn with_qresync(server: &Server) -> Client {
    let mut client = server.login();
    let reply = client.ok("ENABLE QRESYNC");
    assert_eq!(reply.untagged[0].text(), "* ENABLED QRESYNC");
    client.ok("SELECT Box");
    client
}

fn expunge(client: &mut Client, set: &str) -> Reply {
    client.ok(format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"));
    client.ok("EXPUNGE")
}

/// The sets of all VANISHED responses.
fn vanished(reply: &Reply) -> Vec<String> {
    let lines = reply.untagged.iter().map(|line| line.text());
    lines
        .filter_map(|line| line.strip_prefix("* VANISHED ").map(str::to_owned))
        .collect()
}

fn highest(reply: &Reply) -> u64 {
    let code = reply.code("HIGHESTMODSEQ");
    code.unwrap_or_else(|| panic!("no HIGHESTMODSEQ: {reply:?}"))
        .parse()
        .expect("a number")
}

/// UIDVALIDITY and HIGHESTMODSEQ of Box.
fn known(client: &mut Client) -> (u32, u64) {
    let reply = client.ok("SELECT Box");
    (reply.code_number("UIDVALIDITY"), highest(&reply))
}

fn uids(reply: &Reply) -> Vec<u32> {
    reply.fetches().iter().map(|fetch| fetch.uid()).collect()
}

fn it_has_to_be_enabled(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("m", "x")]);
    let capabilities = client.ok("CAPABILITY").untagged[0].text();
    assert!(capabilities.contains(" QRESYNC"), "{capabilities}");
    client.bad("SELECT Box (QRESYNC (1 1))");
    client.bad("UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)");
    client.ok("ENABLE CONDSTORE");
    client.bad("SELECT Box (QRESYNC (1 1))");
    client.ok("ENABLE QRESYNC");
    client.ok("UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)");
    // RFC 7162 §3.2.6
    client.bad("FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)");
    client.bad("UID FETCH 1 FLAGS (VANISHED)");
    client.ok("SELECT Box (QRESYNC (1 1))");
    // RFC 7162 §3.2.5: what makes no sense selects nothing and closes nothing.
    client.bad("SELECT INBOX (QRESYNC (1 1 *))");
    client.bad("SELECT INBOX (QRESYNC (1 1 (1:3 1:2)))");
    client.fetch(1, "UID");
}

fn vanished_comes_instead_of_expunge(server: &Server) {
    let (mut other, mut client) = eight(server);
    let reply = expunge(&mut client, "2,4:6");
    assert_eq!(vanished(&reply), ["2,4:6"]);
    assert!(reply.expunged().is_empty(), "{reply:?}");
    assert_eq!(
        other.ok("NOOP").expunged().len(),
        4,
        "who did not enable it"
    );
    expunge(&mut other, "7");
    assert_eq!(vanished(&client.ok("NOOP")), ["7"]);
    let reply = client.ok("MOVE 1 INBOX");
    assert_eq!(vanished(&reply), ["1"]);
    assert_eq!(uids(&client.ok("FETCH 1:* UID")), [3, 8]);
}

fn expunge_says_highestmodseq_and_close_does_not(server: &Server) {
    let (_, mut client) = eight(server);
    let reply = expunge(&mut client, "3");
    let (tagged, now) = (reply.tagged.code("HIGHESTMODSEQ"), known(&mut client).1);
    assert_eq!(tagged, Some(now.to_string()), "RFC 7162 §3.2.7: {reply:?}");
    client.ok("UID STORE 5:6 +FLAGS.SILENT (\\Deleted)");
    let reply = client.ok("UID EXPUNGE 5");
    assert!(
        reply.tagged.code("HIGHESTMODSEQ").is_some(),
        "RFC 7162 §3.2.9: {reply:?}"
    );
    let reply = client.ok("CLOSE");
    assert_eq!(
        reply.code("HIGHESTMODSEQ"),
        None,
        "RFC 7162 §3.2.8: {reply:?}"
    );
    assert_eq!(vanished(&reply), [""; 0]);
}

fn a_waiting_expunge_holds_highestmodseq_back(server: &Server) {
    let (mut other, mut client) = eight(server);
    let before = known(&mut client).1;
    expunge(&mut other, "1");
    // RFC 7162 §3.2.10.2: no VANISHED during STORE, FETCH and SEARCH.
    for command in [
        "STORE 2 +FLAGS (\\Seen)",
        "FETCH 3 BODY[]",
        "STORE 4 +FLAGS.SILENT (\\Seen)",
    ] {
        let reply = client.ok(command);
        assert_eq!(vanished(&reply), [""; 0], "{command}");
        assert_eq!(
            highest(&reply),
            before,
            "{command}: RFC 7162 §3.2: {reply:?}"
        );
    }
    let reply = client.ok("UID SEARCH 1:3");
    assert_eq!(vanished(&reply), [""; 0]);
    let reply = client.ok("NOOP");
    assert_eq!(vanished(&reply), ["1"]);
    assert!(highest(&reply) > before + 2, "{reply:?}");
}

fn idle_hears_of_what_vanished(server: &Server) {
    let (mut other, mut client) = eight(server);
    let tag = client.start("IDLE");
    assert!(client.response().starts_with("+"));
    expunge(&mut other, "2:3");
    loop {
        let line = client.response().text();
        assert!(!line.contains("EXPUNGE"), "{line}");
        if line == "* VANISHED 2:3" {
            break;
        }
    }
    client.send("DONE\r\n");
    assert_eq!(client.finish(&tag).status, Status::Ok);
    assert!(!client.has_more_within(Duration::from_millis(50)));
    assert_eq!(client.fetch(2, "UID").uid(), 4);
}

fn select_tells_what_was_missed(server: &Server) {
    let (mut other, mut client) = eight(server);
    let (validity, modseq) = known(&mut client);
    client.ok("UNSELECT");
    expunge(&mut other, "2,4:5");
    other.ok("UID STORE 6 +FLAGS.SILENT (\\Flagged)");
    other.append_ok("Box", "", &samples::plain("new", "x"));
    let reply = client.ok(format!("SELECT Box (QRESYNC ({validity} {modseq}))"));
    assert_eq!(vanished(&reply), ["(EARLIER) 2,4:5"]);
    assert_eq!(reply.exists(), Some(6));
    let fetches = reply.fetches();
    assert_eq!(uids(&reply), [6, 9]);
    assert!(fetches[0].has("\\Flagged") && fetches[0].number == 3);
    assert!(
        fetches
            .iter()
            .all(|fetch| fetch.items.contains_key("MODSEQ"))
    );
    let now = highest(&reply);
    let reply = client.ok(format!("EXAMINE Box (QRESYNC ({validity} {now}))"));
    assert!(
        vanished(&reply).is_empty() && reply.fetches().is_empty(),
        "{reply:?}"
    );
}

fn another_uidvalidity_tells_nothing(server: &Server) {
    let (mut other, mut client) = eight(server);
    let (validity, modseq) = known(&mut client);
    expunge(&mut other, "2");
    other.ok("UID STORE 6 +FLAGS.SILENT (\\Flagged)");
    let stranger = validity.wrapping_add(1).max(1);
    let reply = client.ok(format!("SELECT Box (QRESYNC ({stranger} {modseq}))"));
    assert!(
        vanished(&reply).is_empty() && reply.fetches().is_empty(),
        "{reply:?}"
    );
    assert_eq!(reply.code_number("UIDVALIDITY"), validity);
}

fn known_uids_and_matches_limit_what_is_told(server: &Server) {
    let (mut other, mut client) = eight(server);
    let (validity, modseq) = known(&mut client);
    expunge(&mut other, "2,4,7");
    other.ok("UID STORE 5,8 +FLAGS.SILENT (\\Flagged)");
    let start = format!("SELECT Box (QRESYNC ({validity} {modseq}");
    let reply = client.ok(format!("{start} 3:6))"));
    assert_eq!(
        (vanished(&reply), uids(&reply)),
        (vec!["(EARLIER) 4".into()], vec![5])
    );
    // RFC 7162 §3.2.5.2: message 1 is still UID 1, and message 2 is UID 3.
    let reply = client.ok(format!("{start} 1:8 (1,2,6 1,3,6)))"));
    assert_eq!(vanished(&reply), ["(EARLIER) 4,7"]);
    let reply = client.ok(format!("{start} (1:8 1:8)))"));
    assert_eq!(vanished(&reply), ["(EARLIER) 2,4,7"]);
    assert_eq!(uids(&reply), [5, 8]);
}

fn uid_fetch_tells_what_vanished(server: &Server) {
    let (mut other, mut client) = eight(server);
    let (_, modseq) = known(&mut client);
    expunge(&mut other, "2,8");
    client.ok("NOOP");
    other.ok("UID STORE 3 +FLAGS.SILENT (\\Flagged)");
    // FETCH alone may be answered from before the change of the other session.
    client.ok("NOOP");
    let reply = client.ok(format!(
        "UID FETCH 1:* FLAGS (CHANGEDSINCE {modseq} VANISHED)"
    ));
    assert_eq!(vanished(&reply), ["(EARLIER) 2,8"], "the last message too");
    assert!(
        reply.untagged[0].starts_with("* VANISHED"),
        "before any FETCH: {reply:?}"
    );
    assert!(uids(&reply).contains(&3), "{reply:?}");
    let reply = client.ok(format!(
        "UID FETCH 3:5 FLAGS (CHANGEDSINCE {modseq} VANISHED)"
    ));
    assert_eq!((vanished(&reply), uids(&reply)), (vec![], vec![3]));
}

fn a_restart_forgets_nothing(server: &Server) {
    let (mut other, mut client) = eight(server);
    let (validity, modseq) = known(&mut client);
    expunge(&mut other, "3:4");
    other.ok("UID STORE 5 +FLAGS.SILENT (\\Flagged)");
    let now = known(&mut other).1;
    drop((client, other));
    server.restart();
    let mut client = server.login();
    client.ok("ENABLE QRESYNC");
    let reply = client.ok(format!("SELECT Box (QRESYNC ({validity} {modseq}))"));
    assert_eq!(vanished(&reply), ["(EARLIER) 3:4"]);
    assert_eq!(uids(&reply), [5]);
    assert!(highest(&reply) >= now);
}

fn commands_in_one_packet_are_answered_in_order(server: &Server) {
    let (mut other, mut client) = eight(server);
    let (validity, modseq) = known(&mut client);
    expunge(&mut other, "8");
    let mut client = server.connect();
    client.send(format!(
        "a LOGIN {} {}\r\nb ENABLE QRESYNC\r\nc SELECT Box (QRESYNC ({validity} {modseq}))\r\n\
         d UID FETCH 1 FLAGS (CHANGEDSINCE {modseq} VANISHED)\r\ne NOOP\r\n",
        server.alice.name, server.alice.password
    ));
    for tag in ["a", "b"] {
        assert_eq!(client.finish(&Tag(tag.into())).status, Status::Ok);
    }
    let reply = client.finish(&Tag("c".into()));
    assert_eq!(vanished(&reply), ["(EARLIER) 8"]);
    for tag in ["d", "e"] {
        let reply = client.finish(&Tag(tag.into()));
        assert!(vanished(&reply).is_empty(), "{reply:?}");
    }
}
