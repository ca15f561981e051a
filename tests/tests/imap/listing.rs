//! LIST, LSUB, XLIST, NAMESPACE, SPECIAL-USE, LIST-STATUS (RFC 3501 §6.3.8, RFC 2342,
//! RFC 6154, RFC 5819).

use restante_tests::{Client, Server, Status, Test, Value, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    patterns,
    references,
    the_delimiter_is_told,
    children_are_told,
    lsub_shows_the_way_to_subscribed_inferiors,
    special_use_is_told,
    xlist_for_old_clients,
    namespace,
    list_with_status,
    hostile_patterns_are_quick,
];

fn tree(server: &Server) -> Client {
    let mut client = server.login();
    for name in [
        "Work/Projects/One",
        "Work/Projects/Two",
        "Work/Notes",
        "Workshop",
    ] {
        client.ok(format!("CREATE {name}"));
    }
    client
}

fn listed(client: &mut Client, arguments: &str) -> Vec<String> {
    let mut names: Vec<String> = client
        .ok(format!("LIST {arguments}"))
        .mailboxes("LIST")
        .into_keys()
        .collect();
    names.retain(|name| name.starts_with("Work") || name == "INBOX");
    names
}

fn patterns(server: &Server) {
    let mut client = tree(server);
    assert_eq!(listed(&mut client, "\"\" %"), ["INBOX", "Work", "Workshop"]);
    assert_eq!(listed(&mut client, "\"\" Work%"), ["Work", "Workshop"]);
    assert_eq!(
        listed(&mut client, "\"\" Work/%"),
        ["Work/Notes", "Work/Projects"]
    );
    assert_eq!(
        listed(&mut client, "\"\" Work/*"),
        [
            "Work/Notes",
            "Work/Projects",
            "Work/Projects/One",
            "Work/Projects/Two"
        ]
    );
    assert_eq!(listed(&mut client, "\"\" *o"), ["Work/Projects/Two"]);
    assert_eq!(listed(&mut client, "\"\" %/%/T%"), ["Work/Projects/Two"]);
    assert_eq!(listed(&mut client, "\"\" Work*One"), ["Work/Projects/One"]);
    assert_eq!(listed(&mut client, "\"\" Work"), ["Work"]);
    assert_eq!(listed(&mut client, "\"\" inbox"), ["INBOX"]);
    assert_eq!(
        listed(&mut client, "\"\" work"),
        [""; 0],
        "names other than INBOX are case-sensitive"
    );
    assert_eq!(listed(&mut client, "\"\" Absent"), [""; 0]);
}

fn references(server: &Server) {
    let mut client = tree(server);
    assert_eq!(
        listed(&mut client, "Work/ %"),
        ["Work/Notes", "Work/Projects"]
    );
    assert_eq!(
        listed(&mut client, "Work/Projects/ *"),
        ["Work/Projects/One", "Work/Projects/Two"]
    );
}

fn the_delimiter_is_told(server: &Server) {
    let mut client = server.login();
    let reply = client.ok("LIST \"\" \"\"");
    let data = reply.data("LIST");
    assert_eq!(data.len(), 1, "{reply:?}");
    assert!(
        data[0][0]
            .list()
            .iter()
            .any(|attribute| attribute.text().eq_ignore_ascii_case("\\Noselect"))
    );
    assert_eq!(data[0][1].text(), "/");
    assert_eq!(data[0][2].text(), "");
}

fn children_are_told(server: &Server) {
    let mut client = tree(server);
    let all = client.ok("LIST \"\" *").mailboxes("LIST");
    assert!(
        all["Work"].contains("\\haschildren") && !all["Work"].contains("\\hasnochildren"),
        "{all:?}"
    );
    assert!(all["Workshop"].contains("\\hasnochildren"), "{all:?}");
    client.ok("DELETE Work/Projects/One");
    client.ok("DELETE Work/Projects/Two");
    let all = client.ok("LIST \"\" *").mailboxes("LIST");
    assert!(all["Work/Projects"].contains("\\hasnochildren"), "{all:?}");
}

fn lsub_shows_the_way_to_subscribed_inferiors(server: &Server) {
    let mut client = tree(server);
    client.ok("SUBSCRIBE Work/Projects/One");
    let shown = client.ok("LSUB \"\" Work/%").mailboxes("LSUB");
    assert!(
        shown["Work/Projects"].contains("\\noselect"),
        "RFC 3501 §6.3.9: {shown:?}"
    );
    let shown = client.ok("LSUB \"\" Work*").mailboxes("LSUB");
    assert_eq!(shown.into_keys().collect::<Vec<_>>(), ["Work/Projects/One"]);
}

const USES: [&str; 4] = ["\\drafts", "\\sent", "\\junk", "\\trash"];

fn special_use_is_told(server: &Server) {
    let mut client = server.login();
    for command in [
        "LIST \"\" *",
        "LIST \"\" * RETURN (SPECIAL-USE)",
        "LIST (SPECIAL-USE) \"\" *",
    ] {
        let all = client.ok(command).mailboxes("LIST");
        for name in USES {
            let found = all
                .values()
                .filter(|attributes| attributes.contains(name))
                .count();
            assert_eq!(found, 1, "{name} in the answer to {command}: {all:?}");
        }
    }
    let only = client.ok("LIST (SPECIAL-USE) \"\" *").mailboxes("LIST");
    assert!(!only.contains_key("INBOX"), "{only:?}");
    // What LIST shows can be selected.
    for name in only.keys() {
        client.ok(format!("SELECT \"{name}\""));
    }
}

fn xlist_for_old_clients(server: &Server) {
    let mut client = server.login();
    let all = client.ok("XLIST \"\" *").mailboxes("XLIST");
    assert!(
        all.values()
            .any(|attributes| attributes.contains("\\inbox")),
        "{all:?}"
    );
    assert!(
        all.values().any(|attributes| attributes.contains("\\sent")),
        "{all:?}"
    );
}

fn namespace(server: &Server) {
    let mut client = server.login();
    let reply = client.ok("NAMESPACE");
    let data = &reply.data("NAMESPACE")[0];
    assert_eq!(data.len(), 3);
    assert_eq!(data[0].to_string(), "((\"\" \"/\"))");
    assert_eq!((&data[1], &data[2]), (&Value::Nil, &Value::Nil));
}

fn list_with_status(server: &Server) {
    let mut client = tree(server);
    client.append_ok("Work/Notes", "", &samples::plain("one", "1"));
    let reply = client.ok("LIST \"\" Work/% RETURN (STATUS (MESSAGES UNSEEN) CHILDREN)");
    assert_eq!(reply.mailboxes("LIST").len(), 2);
    let statuses: Vec<String> = reply
        .data("STATUS")
        .iter()
        .map(|items| format!("{} {}", items[0].text(), items[1]))
        .collect();
    assert_eq!(statuses.len(), 2, "{reply:?}");
    assert!(
        statuses.contains(&"Work/Notes (MESSAGES 1 UNSEEN 1)".to_owned()),
        "{statuses:?}"
    );
    assert!(
        statuses.contains(&"Work/Projects (MESSAGES 0 UNSEEN 0)".to_owned()),
        "{statuses:?}"
    );
    assert_eq!(
        client.command("LIST \"\" % RETURN (STATUS (FROBS))").status,
        Status::Bad
    );
}

fn hostile_patterns_are_quick(server: &Server) {
    let mut client = server.login();
    let long = "a".repeat(200);
    client.ok(format!("CREATE {long}"));
    // A matcher that tries every way would not end.
    let pattern = "*a".repeat(60) + "b";
    assert!(
        client
            .ok(format!("LIST \"\" {pattern}"))
            .untagged
            .is_empty()
    );
    let pattern = "%*".repeat(200) + "b";
    assert!(
        client
            .ok(format!("LIST \"\" {pattern}"))
            .mailboxes("LIST")
            .keys()
            .all(|name| name.ends_with('b'))
    );
    let pattern = "*%a".repeat(100);
    assert_eq!(
        client
            .ok(format!("LIST \"\" {pattern}"))
            .mailboxes("LIST")
            .len(),
        1
    );
    // Longer than any name may be.
    client.command(format!("LIST \"\" {}", "*%".repeat(3_000)));
    client.ok("NOOP");
}
