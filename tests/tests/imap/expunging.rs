//! EXPUNGE and UID EXPUNGE (RFC 3501 §6.4.3, RFC 4315 §2.1).

use restante_tests::{Client, Server, Test, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    sequence_numbers_move_up_at_each_response,
    uid_expunge_takes_only_what_it_names,
    expunge_of_nothing,
    expunged_uids_never_return,
    messages_keep_their_order_and_content,
];

fn numbered(server: &Server, count: usize) -> Client {
    let messages: Vec<Vec<u8>> = (1..=count)
        .map(|n| samples::plain(&format!("m{n}"), "x"))
        .collect();
    server.select(
        "Box",
        &messages.iter().map(Vec::as_slice).collect::<Vec<_>>(),
    )
}

fn uids(client: &mut Client) -> Vec<u32> {
    client
        .ok("FETCH 1:* UID")
        .fetches()
        .iter()
        .map(restante_tests::Fetch::uid)
        .collect()
}

fn sequence_numbers_move_up_at_each_response(server: &Server) {
    let mut client = numbered(server, 10);
    client.ok("STORE 2,4,5,9:10 +FLAGS.SILENT (\\Deleted)");
    let reply = client.ok("EXPUNGE");
    // Applied one after the other, the responses must remove exactly those.
    let mut left: Vec<u32> = (1..=10).collect();
    for number in reply.expunged() {
        left.remove(number as usize - 1);
    }
    assert_eq!(left, [1, 3, 6, 7, 8], "{reply:?}");
    assert_eq!(uids(&mut client), left);
}

fn uid_expunge_takes_only_what_it_names(server: &Server) {
    let mut client = numbered(server, 5);
    client.ok("STORE 1,3,5 +FLAGS.SILENT (\\Deleted)");
    let reply = client.ok("UID EXPUNGE 2:3");
    assert_eq!(reply.expunged(), [3]);
    assert_eq!(uids(&mut client), [1, 2, 4, 5]);
    assert_eq!(client.ok("SEARCH DELETED").found(), [1, 4]);
    client.ok("UID EXPUNGE 77");
    assert_eq!(client.ok("EXPUNGE").expunged().len(), 2);
    assert_eq!(uids(&mut client), [2, 4]);
}

fn expunge_of_nothing(server: &Server) {
    let mut client = numbered(server, 2);
    assert!(client.ok("EXPUNGE").untagged.is_empty());
    client.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)");
    assert_eq!(client.ok("EXPUNGE").expunged().len(), 2);
    assert!(client.ok("EXPUNGE").expunged().is_empty());
    assert_eq!(client.ok("SEARCH ALL").found(), [0_u32; 0]);
}

fn expunged_uids_never_return(server: &Server) {
    let mut client = numbered(server, 3);
    client.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    client.append_ok("Box", "", &samples::plain("new", "x"));
    client.ok("NOOP");
    assert_eq!(uids(&mut client), [4]);
    assert_eq!(client.ok("SELECT Box").code_number("UIDNEXT"), 5);
}

fn messages_keep_their_order_and_content(server: &Server) {
    let mut client = numbered(server, 6);
    client.ok("STORE 1,4 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    let fetches = client
        .ok("FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        .fetches();
    for (fetch, uid) in fetches.iter().zip([2, 3, 5, 6]) {
        assert_eq!(fetch.uid(), uid);
        let subject = fetch.bytes("BODY[HEADER.FIELDS (SUBJECT)]");
        assert_eq!(subject, format!("Subject: m{uid}\r\n\r\n").as_bytes());
    }
}
