//! curl: list, fetch, search and append over `imap://` and `imaps://`.

use std::{fs, process::Command};

use restante_tests::{
    Server, Test,
    neighbours::{self, Program},
    samples, tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    fetch_search_and_append => needs(&[Need::Program(Program::CURL)]),
    starttls_and_implicit_tls => needs(&[Need::Program(Program::CURL)]),
];

fn curl(server: &Server) -> Command {
    let mut command = Program::CURL.command();
    command.args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "60",
        "--insecure",
        "--user",
    ]);
    command.arg(format!("{}:{}", server.alice.name, server.alice.password));
    command
}

fn fetch_search_and_append(server: &Server) {
    let url = format!("imap://{}", server.address());
    let message = samples::nested().message;
    let file = server.folder().join("message.eml");
    fs::write(&file, &message).expect("our folder can be written");
    neighbours::success(
        curl(server)
            .arg("--request")
            .arg("CREATE Box")
            .arg(format!("{url}/")),
    );
    neighbours::success(
        curl(server)
            .arg("--upload-file")
            .arg(&file)
            .arg(format!("{url}/Box")),
    );
    let list = neighbours::success(curl(server).arg(format!("{url}/")));
    assert!(list.contains("Box") && list.contains("INBOX"), "{list}");
    let got = neighbours::output(curl(server).arg(format!("{url}/Box;UID=1")));
    assert!(
        got.status.success() && got.stdout == message,
        "{}",
        String::from_utf8_lossy(&got.stdout)
    );
    let got = neighbours::output(curl(server).arg(format!("{url}/Box;UID=1;SECTION=2.1")));
    assert_eq!(String::from_utf8_lossy(&got.stdout), "plain inside\r\n");
    let found = neighbours::success(curl(server).arg(format!("{url}/Box?SUBJECT%20Fwd")));
    assert_eq!(found.trim(), "* SEARCH 1");
    let found = neighbours::success(curl(server).arg(format!("{url}/Box?TEXT%20absent-word")));
    assert_eq!(found.trim(), "* SEARCH");
    let flags = neighbours::success(
        curl(server)
            .arg("--request")
            .arg("FETCH 1 (FLAGS)")
            .arg(format!("{url}/Box")),
    );
    assert!(flags.contains("\\Seen"), "reading sets it: {flags}");
}

fn starttls_and_implicit_tls(server: &Server) {
    let list = neighbours::success(
        curl(server)
            .arg("--ssl-reqd")
            .arg(format!("imap://{}/", server.address())),
    );
    assert!(list.contains("INBOX"), "{list}");
    let list = neighbours::success(curl(server).arg(format!("imaps://{}/", server.tls_address())));
    assert!(list.contains("INBOX"), "{list}");
    let refused = neighbours::output(
        Program::CURL
            .command()
            .args(["--silent", "--max-time", "60", "--user", "alice:wrong"])
            .arg(format!("imap://{}/", server.address())),
    );
    assert_eq!(
        refused.status.code(),
        Some(67),
        "curl calls that a denied login"
    );
}
