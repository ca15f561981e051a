//! Roundcube and SnappyMail: a connection for each request of the browser, without IDLE.

use restante_tests::{
    Client, Server, Test, client::LOGOUT_TAG, neighbours::base64, samples, tests,
};

use crate::{done, ok};

pub(crate) const TESTS: &[Test] = tests![
    roundcube_connects_for_every_request,
    roundcube_shows_a_list_without_sort,
    snappymail_searches_with_return_options,
];

fn connect(server: &Server) -> Client {
    let (name, password) = (&server.alice.name, &server.alice.password);
    let response = base64(format!("\0{name}\0{password}").as_bytes());
    let mut client = server.connect();
    let id =
        "(\"name\" \"Roundcube Webmail\" \"version\" \"1.6.9\" \"php\" \"8.2\" \"os\" \"Linux\")";
    ok(&mut client, format!("A0001 ID {id}"));
    ok(&mut client, format!("A0002 AUTHENTICATE PLAIN {response}"));
    client
}

fn leave(mut client: Client) {
    client.send(format!("{LOGOUT_TAG} LOGOUT\r\n"));
    done(&mut client, LOGOUT_TAG);
    assert!(client.try_response().is_none(), "the server closes");
}

fn roundcube_connects_for_every_request(server: &Server) {
    let mut client = connect(server);
    ok(&mut client, "A0003 NAMESPACE");
    ok(&mut client, "A0004 LIST (SUBSCRIBED) \"\" *");
    let uses = ok(&mut client, "A0005 LIST (SPECIAL-USE) \"\" *").mailboxes("LIST");
    assert!(
        uses.values()
            .any(|attributes| attributes.contains("\\sent")),
        "{uses:?}"
    );
    leave(client);
    // One browser's window asks for a list, then for messages, then whether there is news.
    for round in 1..=30 {
        let mut client = connect(server);
        client.append_ok("INBOX", "", &samples::plain("news", "text"));
        let reply = ok(&mut client, "A0003 SELECT INBOX");
        assert_eq!(
            reply.exists(),
            Some(round),
            "what the connection before stored is there"
        );
        let reply = ok(&mut client, "A0004 STATUS INBOX (UIDNEXT MESSAGES UNSEEN)");
        assert_eq!(reply.status_items()["UNSEEN"], u64::from(round));
        leave(client);
    }
}

/// Without SORT it sorts by the index that it fetches.
fn roundcube_shows_a_list_without_sort(server: &Server) {
    let messages: Vec<Vec<u8>> = (0..50)
        .map(|n| samples::plain(&format!("m{n:02}"), "text"))
        .collect();
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    server.select("Box", &slices);
    let mut client = connect(server);
    ok(&mut client, "A0003 SELECT Box");
    let index = ok(&mut client, "A0004 UID FETCH 1:* (UID INTERNALDATE FLAGS)").fetches();
    assert_eq!(index.len(), 50);
    let undeleted = ok(&mut client, "A0005 UID SEARCH RETURN (ALL COUNT) UNDELETED");
    assert!(
        undeleted.untagged[0]
            .text()
            .ends_with(" UID COUNT 50 ALL 1:50"),
        "{undeleted:?}"
    );
    let headers = "DATE FROM TO SUBJECT CONTENT-TYPE CC REPLY-TO LIST-POST DISPOSITION-NOTIFICATION-TO X-PRIORITY";
    let page = ok(
        &mut client,
        format!(
            "A0006 UID FETCH 11:50 (UID RFC822.SIZE FLAGS INTERNALDATE BODYSTRUCTURE \
             BODY.PEEK[HEADER.FIELDS ({headers})])"
        ),
    );
    assert_eq!(page.fetches().len(), 40);
    let part = ok(&mut client, "A0007 UID FETCH 11 (BODY.PEEK[1])").fetch();
    assert_eq!(part.bytes("BODY[1]"), b"text\r\n");
    let part = ok(&mut client, "A0008 UID FETCH 11 (BODY.PEEK[1]<0.3>)").fetch();
    assert_eq!(part.bytes("BODY[1]<0>"), b"tex");
    ok(&mut client, "A0009 UID STORE 11 +FLAGS.SILENT (\\Seen)");
    ok(&mut client, "A0010 UID MOVE 12:13 Trash");
    ok(&mut client, "A0011 UID EXPUNGE 11");
    leave(client);
}

fn snappymail_searches_with_return_options(server: &Server) {
    let mut client = server.select(
        "Box",
        &[&samples::plain("one", "1"), &samples::plain("two", "2")],
    );
    let reply = ok(&mut client, "TAG1 SELECT \"Box\" (CONDSTORE)");
    assert!(reply.code("HIGHESTMODSEQ").is_some(), "{reply:?}");
    for (number, (keys, found)) in [
        ("UNDELETED", " UID ALL 1:2"),
        ("SUBJECT two UNDELETED", " UID ALL 2"),
        ("OR FROM two SUBJECT one", " UID ALL 1"),
        ("UNSEEN SINCE 1-Jan-2030", " UID"),
    ]
    .into_iter()
    .enumerate()
    {
        let command = format!("TAG{number} UID SEARCH RETURN (ALL) CHARSET UTF-8 {keys}");
        let reply = ok(&mut client, command);
        assert!(
            reply.untagged[0].text().ends_with(found),
            "{keys}: {reply:?}"
        );
    }
}
