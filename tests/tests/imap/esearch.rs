//! SEARCH with return options (RFC 4731).

use restante_tests::{Client, Server, Test, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    it_is_advertised,
    each_option_returns_its_part,
    nothing_found_is_still_answered,
    uid_search_returns_uids,
    text_is_searched_with_options_as_well,
];

/// Five messages with the UIDs 2 to 6, of which 2, 4 and 5 are flagged.
fn five(server: &Server) -> Client {
    let messages: Vec<Vec<u8>> = (1..=6)
        .map(|n| samples::plain(&format!("m{n}"), &format!("word{n}")))
        .collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let mut client = server.select("Box", &messages);
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    client.ok("STORE 1,3,4 +FLAGS.SILENT (\\Flagged)");
    client
}

/// The ESEARCH response to `command`, the only one, without the tag.
fn esearch(client: &mut Client, command: &str) -> String {
    let tag = client.start(command);
    let reply = client.finish(&tag);
    let lines: Vec<String> = reply.untagged.iter().map(|line| line.text()).collect();
    assert_eq!(
        lines.len(),
        1,
        "RFC 4731 §3.1: a single response: {lines:?}"
    );
    let head = format!("* ESEARCH (TAG \"{}\")", tag.0);
    let rest = lines[0].strip_prefix(&head);
    rest.unwrap_or_else(|| panic!("{lines:?}"))
        .trim()
        .to_owned()
}

fn it_is_advertised(server: &Server) {
    let mut client = server.login();
    let capabilities = client.ok("CAPABILITY").untagged[0].text();
    assert!(capabilities.contains(" ESEARCH"), "{capabilities}");
}

fn each_option_returns_its_part(server: &Server) {
    let mut client = five(server);
    for (options, expected) in [
        ("(MIN)", "MIN 1"),
        ("(MAX)", "MAX 4"),
        ("(COUNT)", "COUNT 3"),
        ("(ALL)", "ALL 1,3:4"),
        ("()", "ALL 1,3:4"),
        ("(min count)", "MIN 1 COUNT 3"),
    ] {
        let command = format!("SEARCH RETURN {options} FLAGGED");
        assert_eq!(esearch(&mut client, &command), expected, "{options}");
    }
    client.bad("SEARCH RETURN (AVERAGE) FLAGGED");
    client.bad("SEARCH RETURN FLAGGED");
}

fn nothing_found_is_still_answered(server: &Server) {
    let mut client = five(server);
    assert_eq!(
        esearch(&mut client, "SEARCH RETURN (MIN MAX ALL) DRAFT"),
        ""
    );
    assert_eq!(
        esearch(&mut client, "UID SEARCH RETURN (COUNT) DRAFT"),
        "UID COUNT 0"
    );
}

fn uid_search_returns_uids(server: &Server) {
    let mut client = five(server);
    let found = esearch(&mut client, "UID SEARCH RETURN (MIN MAX ALL COUNT) FLAGGED");
    assert_eq!(found, "UID MIN 2 MAX 5 COUNT 3 ALL 2,4:5");
}

fn text_is_searched_with_options_as_well(server: &Server) {
    let mut client = five(server);
    let found = esearch(
        &mut client,
        "SEARCH RETURN (ALL) CHARSET UTF-8 OR TEXT word3 BODY word6",
    );
    assert_eq!(found, "ALL 2,5");
}
