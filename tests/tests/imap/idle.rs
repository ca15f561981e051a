//! IDLE (RFC 2177), as impatient clients use it.

use std::time::Duration;

use restante_tests::{Client, Server, Status, Test, client::Tag, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    changes_of_another_session_are_pushed,
    done_and_further_commands_in_one_packet,
    idle_done_and_idle_again_in_one_packet,
    anything_but_done_ends_idle_with_bad,
    an_empty_line_does_not_end_idle,
    done_is_case_insensitive,
    idle_without_a_mailbox,
    many_idlers_hear_of_one_message,
    who_has_waited_for_long_hears_of_everything,
];

fn idle(client: &mut Client) -> Tag {
    let tag = client.start("IDLE");
    let response = client.response();
    assert!(response.starts_with("+"), "{response:?}");
    tag
}

/// Reads untagged responses until one satisfies the condition.
fn until(client: &mut Client, mut condition: impl FnMut(&restante_tests::Response) -> bool) {
    loop {
        let response = client.response();
        assert!(response.starts_with("* "), "{response:?}");
        if condition(&response) {
            return;
        }
    }
}

/// Reads untagged responses until `* number WORD`.
fn until_numbered(client: &mut Client, word: &str, number: u32) {
    until(client, |response| {
        response
            .numbered(word)
            .is_some_and(|(found, _)| found == number)
    });
}

fn changes_of_another_session_are_pushed(server: &Server) {
    let mut idler = server.select("Box", &[&samples::plain("one", "1")]);
    let mut other = server.login();
    other.ok("SELECT Box");
    let tag = idle(&mut idler);
    other.append_ok("Box", "", &samples::plain("two", "2"));
    until_numbered(&mut idler, "EXISTS", 2);
    other.ok("STORE 1 +FLAGS (\\Flagged)");
    until(&mut idler, |response| {
        response
            .numbered("FETCH")
            .is_some_and(|(number, _)| number == 1)
            && response.text().contains("\\Flagged")
    });
    other.ok("STORE 1 +FLAGS (\\Deleted)");
    other.ok("EXPUNGE");
    until_numbered(&mut idler, "EXPUNGE", 1);
    idler.send("DONE\r\n");
    assert_eq!(idler.finish(&tag).status, Status::Ok);
    assert_eq!(idler.fetch(1, "UID").uid(), 2);
}

fn done_and_further_commands_in_one_packet(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    let tag = idle(&mut client);
    client.send("DONE\r\na1 NOOP\r\na2 FETCH 1 FLAGS\r\n");
    assert_eq!(client.finish(&tag).status, Status::Ok);
    assert_eq!(client.finish(&Tag("a1".to_owned())).status, Status::Ok);
    assert_eq!(client.finish(&Tag("a2".to_owned())).fetches().len(), 1);
}

fn idle_done_and_idle_again_in_one_packet(server: &Server) {
    let mut client = server.select("Box", &[]);
    client.send("i1 IDLE\r\nDONE\r\ni2 IDLE\r\nDONE\r\nn NOOP\r\n");
    let mut tagged = Vec::new();
    while tagged.len() < 3 {
        let response = client.response();
        if !response.starts_with("+") && !response.starts_with("* ") {
            tagged.push(response.text());
        }
    }
    let heads: Vec<String> = tagged
        .iter()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(heads, ["i1 OK", "i2 OK", "n OK"]);
}

fn anything_but_done_ends_idle_with_bad(server: &Server) {
    let mut client = server.select("Box", &[]);
    let tag = idle(&mut client);
    client.send("b NOOP\r\n");
    let reply = client.finish(&tag);
    assert_eq!(reply.status, Status::Bad, "{reply:?}");
    client.ok("NOOP");
}

fn an_empty_line_does_not_end_idle(server: &Server) {
    let mut client = server.select("Box", &[]);
    let tag = idle(&mut client);
    client.send("\r\n");
    assert!(!client.has_more_within(Duration::from_millis(100)));
    client.send("\r\nDONE\r\n");
    assert_eq!(client.finish(&tag).status, Status::Ok);
    client.ok("NOOP");
}

fn done_is_case_insensitive(server: &Server) {
    let mut client = server.select("Box", &[]);
    let tag = idle(&mut client);
    client.send("done\r\n");
    assert_eq!(client.finish(&tag).status, Status::Ok);
}

fn idle_without_a_mailbox(server: &Server) {
    let mut client = server.login();
    let tag = idle(&mut client);
    assert!(
        !client.has_more_within(Duration::from_millis(100)),
        "nothing happens, so nothing is said"
    );
    client.send("DONE\r\n");
    assert_eq!(client.finish(&tag).status, Status::Ok);
}

fn many_idlers_hear_of_one_message(server: &Server) {
    let mut idlers: Vec<(Client, Tag)> = (0..20)
        .map(|_| {
            let mut client = server.login();
            client.ok("SELECT INBOX");
            let tag = idle(&mut client);
            (client, tag)
        })
        .collect();
    server
        .login()
        .append_ok("INBOX", "", &samples::plain("one", "1"));
    for (client, tag) in &mut idlers {
        until(client, |response| {
            response
                .numbered("EXISTS")
                .is_some_and(|(count, _)| count == 1)
        });
        client.send("DONE\r\n");
        assert_eq!(client.finish(tag).status, Status::Ok);
        client.fetch(1, "ENVELOPE");
    }
}

/// After some seconds nothing of the mailbox is kept for a client in IDLE, and some seconds
/// later nothing of the account.
fn who_has_waited_for_long_hears_of_everything(server: &Server) {
    let mut idler = server.select("Box", &[&samples::plain("one", "1")]);
    let tag = idle(&mut idler);
    std::thread::sleep(Duration::from_secs(17));
    let mut other = server.login();
    other.append_ok("Box", "", &samples::plain("two", "2"));
    until_numbered(&mut idler, "EXISTS", 2);
    other.ok("SELECT Box");
    other.ok("STORE 1 +FLAGS (\\Deleted)");
    other.ok("EXPUNGE");
    until_numbered(&mut idler, "EXPUNGE", 1);
    other.ok("UNSELECT");
    std::thread::sleep(Duration::from_secs(17));
    idler.send("DONE\r\n");
    assert_eq!(idler.finish(&tag).status, Status::Ok);
    assert_eq!(idler.fetch(1, "UID").uid(), 2);
    let tag = idle(&mut idler);
    other.ok("DELETE Box");
    let response = idler.response();
    assert!(response.starts_with("* BYE "), "{response:?}");
    drop(tag);
}
