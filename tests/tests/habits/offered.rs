//! What is advertised works, and what is not offered is refused without harm.

use restante_tests::{Client, Server, Status, Test, samples, tests};

use crate::{done, idle, ok};

pub(crate) const TESTS: &[Test] = tests![
    every_capability_that_is_told_has_its_command,
    what_is_not_offered_is_bad_and_the_connection_goes_on,
];

fn words(client: &mut Client) -> Vec<String> {
    let line = client.ok("CAPABILITY").untagged[0].text();
    line.split(' ').skip(2).map(str::to_owned).collect()
}

/// A command of each, and what its answer holds, tagged line included.
const OFFERED: &[(&str, &str, &str)] = &[
    ("IMAP4rev1", "CHECK", " OK "),
    (
        "LITERAL+",
        "STATUS {3+}\r\nBox (MESSAGES)",
        "* STATUS \"Box\" (MESSAGES 1)",
    ),
    ("ID", "ID (\"name\" \"x\")", "* ID (\"name\" \"Restante\")"),
    ("ENABLE", "ENABLE X-UNKNOWN", "* ENABLED"),
    (
        "NAMESPACE",
        "NAMESPACE",
        "* NAMESPACE ((\"\" \"/\")) NIL NIL",
    ),
    ("CHILDREN", "LIST \"\" Up", "\\HasChildren"),
    (
        "LIST-EXTENDED",
        "LIST (SUBSCRIBED) \"\" (\"Bo%\" \"Up\") RETURN (CHILDREN)",
        "\\Subscribed",
    ),
    (
        "LIST-STATUS",
        "LIST \"\" Box RETURN (STATUS (UNSEEN))",
        "* STATUS \"Box\" (UNSEEN 1)",
    ),
    ("SPECIAL-USE", "LIST (SPECIAL-USE) \"\" *", "\\Sent"),
    ("CREATE-SPECIAL-USE", "CREATE Old (USE (\\Archive))", " OK "),
    ("XLIST", "XLIST \"\" INBOX", "\\Inbox"),
    (
        "STATUS=SIZE",
        "STATUS Box (SIZE)",
        "* STATUS \"Box\" (SIZE 148)",
    ),
    ("WITHIN", "SEARCH YOUNGER 3600", "* SEARCH 1"),
    (
        "ESEARCH",
        "UID SEARCH RETURN (MIN MAX COUNT ALL) ALL",
        "UID MIN 1 MAX 1 COUNT 1 ALL 1",
    ),
    (
        "MULTIAPPEND",
        "APPEND Other {6+}\r\na: b\r\n {6+}\r\nc: d\r\n",
        "[APPENDUID ",
    ),
    ("UIDPLUS", "UID COPY 1 Other", "[COPYUID "),
    ("MOVE", "UID MOVE 1 Other", "* 1 EXPUNGE"),
    ("UIDPLUS", "UID EXPUNGE 1:99", " OK "),
    (
        "CONDSTORE",
        "STATUS Other (HIGHESTMODSEQ)",
        "(HIGHESTMODSEQ ",
    ),
    ("QRESYNC", "ENABLE QRESYNC", "* ENABLED QRESYNC"),
    ("UNSELECT", "UNSELECT", " OK "),
];

fn every_capability_that_is_told_has_its_command(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    for command in ["CREATE Other", "CREATE Up/Down", "SUBSCRIBE Box"] {
        client.ok(command);
    }
    // These are shown by other tests: LOGIN's by most, the limit by `literals`.
    let mut told = words(&mut client);
    told.retain(|word| {
        !["SASL-IR", "IDLE"].contains(&word.as_str()) && !word.starts_with("APPENDLIMIT=")
    });
    let unknown: Vec<_> = told
        .iter()
        .filter(|word| OFFERED.iter().all(|(name, ..)| name != word))
        .collect();
    assert!(
        unknown.is_empty(),
        "{unknown:?} are told without a command here"
    );
    for (name, command, expected) in OFFERED {
        assert!(
            told.iter().any(|word| word == name),
            "{name} is not told: {told:?}"
        );
        let reply = client.ok(command);
        let said: String = reply
            .untagged
            .iter()
            .chain([&reply.tagged])
            .map(|response| response.text() + "\n")
            .collect();
        assert!(
            said.contains(expected),
            "{name}: {command} was answered by {said}"
        );
    }
    idle(&mut client, "i IDLE");
    client.send("DONE\r\n");
    done(&mut client, "i");
}

/// The first word of each command that some program sends to servers that tell of it, and how
/// a server tells of it.
const NOT_OFFERED: &[(&str, &str)] = &[
    ("COMPRESS=", "COMPRESS DEFLATE"),
    (
        "NOTIFY",
        "NOTIFY SET (SELECTED (MessageNew MessageExpunge))",
    ),
    ("SORT", "SORT (REVERSE DATE) UTF-8 ALL"),
    ("SORT", "UID SORT (ARRIVAL) UTF-8 ALL"),
    ("THREAD=", "UID THREAD REFERENCES UTF-8 ALL"),
    ("QUOTA", "GETQUOTAROOT INBOX"),
    ("ACL", "MYRIGHTS INBOX"),
    ("METADATA", "GETMETADATA INBOX /private/comment"),
    ("MULTISEARCH", "ESEARCH IN (personal) RETURN (ALL) UNSEEN"),
    ("SEARCHRES", "SEARCH RETURN (SAVE) ALL"),
    ("PREVIEW", "FETCH 1 (PREVIEW)"),
    ("BINARY", "FETCH 1 (BINARY.PEEK[1])"),
    ("OBJECTID", "FETCH 1 (EMAILID)"),
    ("SAVEDATE", "FETCH 1 (SAVEDATE)"),
    ("REPLACE", "UID REPLACE 1 Box {6+}\r\na: b\r\n"),
    ("CATENATE", "APPEND Box CATENATE (TEXT {6+}\r\na: b\r\n)"),
    ("URLAUTH", "GENURLAUTH \"imap://x/INBOX\" INTERNAL"),
    ("LANGUAGE", "LANGUAGE de"),
    ("UIDONLY", "UID FETCH 1 (PARTIAL)"),
];

fn what_is_not_offered_is_bad_and_the_connection_goes_on(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    let told = words(&mut client);
    for (name, command) in NOT_OFFERED {
        let known = told.iter().any(|word| word.starts_with(name));
        assert!(!known, "{name} is told: {told:?}");
        let reply = client.command(command);
        assert_eq!(reply.status, Status::Bad, "{command}: {reply:?}");
        assert_eq!(client.fetch(1, "UID").uid(), 1);
    }
    for word in [
        "UTF8=ACCEPT",
        "IMAP4rev2",
        "AUTH=XOAUTH2",
        "LOGIN-REFERRALS",
    ] {
        assert!(
            !told.iter().any(|known| known == word),
            "{word} is told: {told:?}"
        );
    }
    let reply = ok(&mut client, "e ENABLE UTF8=ACCEPT IMAP4rev2");
    assert_eq!(reply.untagged[0].text(), "* ENABLED");
    assert_eq!(
        ok(&mut client, "s STATUS Box (MESSAGES)").status_items()["MESSAGES"],
        1
    );
}
