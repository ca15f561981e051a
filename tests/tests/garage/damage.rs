//! `fsck`, `--repair`, `--rebuild` and `undelete` on a bucket of real Garage in which a body
//! and an item of a log are missing, and where somebody else keeps things under the account's
//! own names. There are more objects than one page of a list has.

use std::collections::{BTreeMap, BTreeSet};

use restante_tests::{
    Client, Server, Status, Storage, Test, neighbours::Program, samples, tests, trials::Need,
};
use serde_json::json;

use crate::raw::Raw;

pub(crate) const TESTS: &[Test] = tests![
    what_is_missing_costs_itself_and_what_is_foreign_stays
        => storage(Storage::Garage).needs(&[Need::Program(Program::CURL)]),
];

/// More than a page of ListObjects, which has 1,000.
const MESSAGES: usize = 1_040;
/// How many of them go out with one command.
const AT_ONCE: usize = 104;

/// What somebody else puts under the account's own names.
const FOREIGN: &[u8] = b"This is nobody's mail.";
/// The same as K2V writes it.
const FOREIGN_BASE64: &str = "VGhpcyBpcyBub2JvZHkncyBtYWlsLg==";

fn message(number: usize) -> Vec<u8> {
    samples::plain(&format!("message {number}"), "text")
}

/// Appends all messages, many with one command (RFC 3502).
fn fill(client: &mut Client) {
    let numbers: Vec<usize> = (0..MESSAGES).collect();
    for some in numbers.chunks(AT_ONCE) {
        let mut command = b"APPEND Box".to_vec();
        for number in some {
            let message = message(*number);
            command.extend_from_slice(format!(" {{{}+}}\r\n", message.len()).as_bytes());
            command.extend_from_slice(&message);
        }
        client.ok(command);
    }
}

/// The one that only the second has.
fn new_one(before: &BTreeSet<String>, after: &BTreeSet<String>) -> String {
    let new: Vec<&String> = after.difference(before).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    new[0].clone()
}

/// Every message of a mailbox, and its UID.
fn messages(client: &mut Client, mailbox: &str) -> BTreeMap<Vec<u8>, u32> {
    client.ok(format!("EXAMINE {mailbox}"));
    let fetches = client.ok("FETCH 1:* (UID BODY.PEEK[])").fetches();
    let found: BTreeMap<_, _> = fetches
        .iter()
        .map(|fetch| (fetch.bytes("BODY[]").to_vec(), fetch.uid()))
        .collect();
    assert_eq!(found.len(), fetches.len(), "a message is there twice");
    found
}

/// Whether somebody is told of this trouble at this place, in a line of its own.
fn tells(said: &str, trouble: &str, place: &str) -> bool {
    let place = format!("({place})");
    said.lines()
        .any(|line| line.contains(trouble) && line.contains(&place))
}

fn what_is_missing_costs_itself_and_what_is_foreign_stays(server: &Server) {
    let raw = Raw::new(&server.garage().bucket);
    let mut client = server.login();
    client.ok("CREATE Box");
    fill(&mut client);
    let opened = client.ok("SELECT Box");
    let uid_validity = opened.code_number("UIDVALIDITY");
    // To be brought back.
    client.ok("STORE 5 +FLAGS (\\Deleted \\Flagged)");
    client.ok("EXPUNGE");

    // A message whose body will go, and one whose item of the log will.
    let before = raw.objects();
    assert!(before.len() > 1_000, "one page has them all");
    let (bodiless, unlogged) = (message(MESSAGES), message(MESSAGES + 1));
    client.append_ok("Box", "", &bodiless);
    let body = new_one(&before, &raw.objects());
    let account = body
        .split('/')
        .next()
        .expect("a key begins with the account")
        .to_owned();
    let logs = raw.partitions(&format!("{account}/m/"));
    let keys = |log: &String| raw.items(log).into_keys().collect::<BTreeSet<_>>();
    let items: Vec<BTreeSet<String>> = logs.iter().map(keys).collect();
    client.append_ok("Box", "", &unlogged);
    let (log, before) = (logs.iter().zip(&items))
        .find(|(log, before)| keys(log) != **before)
        .expect("a log has grown");
    let item = new_one(before, &keys(log));
    // Who has read a later one of the same writer knows that one is missing.
    client.ok("STORE 7 +FLAGS (\\Answered)");
    let uid_next = client.ok("STATUS Box (UIDNEXT)").status_items()["UIDNEXT"];
    drop(client);
    server.kill();

    raw.delete_object(&body);
    raw.delete_item(log, &item);
    let among_bodies = format!("{account}/c/cat.jpg");
    let elsewhere = format!("{account}/photos/cat.jpg");
    for key in [&among_bodies, &elsewhere] {
        raw.put_object(key, FOREIGN);
    }
    let partition = format!("{account}/photos");
    raw.insert_item(&partition, "cat", FOREIGN_BASE64);
    // And beside what a log says: without the token it takes the place of nothing.
    let besieged = before.iter().next_back().expect("a log has items");
    raw.insert_item(log, besieged, FOREIGN_BASE64);
    assert_eq!(raw.items(log)[besieged].len(), 2);

    let place = |sort: &str| format!("{log}/{sort}");
    let (code, said) = server.upkeep("fsck", &[]);
    assert_eq!(code, Some(1), "{said}");
    for (trouble, place) in [
        ("the message is not there", body.clone()),
        ("an item of the log is missing", place(&item)),
        ("beside an item of the log", place(besieged)),
        ("an object that is not Restante's", among_bodies.clone()),
    ] {
        assert!(tells(&said, trouble, &place), "{trouble}: {said}");
    }
    assert!(said.contains("problems that are left: 4"), "{said}");

    let (code, said) = server.upkeep("fsck", &["--repair"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("noted as lost"), "{said}");
    assert!(said.contains("problems that are left: 2"), "{said}");
    assert_eq!(raw.items(log)[besieged].len(), 1);
    let aside = raw.items(&format!("{account}/x"));
    let kept = aside
        .values()
        .any(|values| values == &[json!(FOREIGN_BASE64)]);
    assert!(kept, "what was moved aside is kept: {aside:?}");

    let (code, said) = server.upkeep("fsck", &["--rebuild"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a message that no mailbox names"), "{said}");
    assert!(said.contains("problems that are left: 2"), "{said}");
    let (code, said) = server.upkeep("undelete", &["--mailbox", "Box"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "brought back 1 messages\n")
    );

    server.start_again().expect("it starts on what is left");
    let mut client = server.login();
    assert_eq!(
        client.ok("SELECT Box").code_number("UIDVALIDITY"),
        uid_validity
    );
    // It is still in the mailbox, after the one that was expunged, until somebody gives it up.
    let gone = u32::try_from(MESSAGES).expect("not so many");
    let reply = client.command(format!("FETCH {gone} BODY.PEEK[]"));
    assert_eq!(reply.status, Status::No, "{reply:?}");
    client.ok(format!("STORE {gone} +FLAGS (\\Deleted)"));
    client.ok("EXPUNGE");
    let found = messages(&mut client, "Box");
    let expected: BTreeSet<Vec<u8>> = (0..MESSAGES).map(message).collect();
    assert!(found.keys().eq(&expected), "not what was left of Box");
    assert!(
        u64::from(found[&message(4)]) >= uid_next,
        "a UID is given again"
    );
    let flagged = client.ok("SEARCH FLAGGED").found();
    assert_eq!(flagged.len(), 1, "it has the flag that it had");
    let recovered = messages(&mut client, "Recovered");
    assert!(
        recovered.keys().eq([&unlogged]),
        "not what the lost item named"
    );

    let (code, said) = server.upkeep("fsck", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        tells(&said, "an object that is not Restante's", &among_bodies),
        "{said}"
    );
    assert!(said.contains("problems that are left: 1"), "{said}");
    for key in [&among_bodies, &elsewhere] {
        assert_eq!(raw.object(key).as_bytes(), FOREIGN, "{key}");
    }
    assert_eq!(raw.items(&partition)["cat"], [json!(FOREIGN_BASE64)]);
}
