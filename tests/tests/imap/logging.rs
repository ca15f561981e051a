//! A log that cannot be written costs its lines, and nothing else.

use std::{fs::OpenOptions, process::Stdio};

use restante_tests::{Server, Status, Test, tests, trials::Need};

pub(crate) const TESTS: &[Test] = tests![
    a_full_disk_under_the_log_ends_no_server => needs(&[Need::OwnProcess]),
    a_log_that_nobody_reads_ends_no_server => needs(&[Need::OwnProcess]),
];

fn a_full_disk_under_the_log_ends_no_server(server: &Server) {
    server.stop();
    let full = OpenOptions::new().write(true).open("/dev/full");
    serves_without_a_log(server, full.expect("Linux has it").into());
}

fn a_log_that_nobody_reads_ends_no_server(server: &Server) {
    server.stop();
    let (reader, log) = std::io::pipe().expect("there are pipes left");
    drop(reader);
    serves_without_a_log(server, log.into());
}

/// A wrong password is a line of the log.
fn serves_without_a_log(server: &Server, log: Stdio) {
    server
        .start_again_logging_to(log)
        .expect("the server starts without a log");
    let mut client = server.connect();
    let wrong = client.command(format!("LOGIN {} wrong", server.alice.name));
    assert_eq!(wrong.status, Status::No, "{wrong:?}");
    drop(client);
    server.login().ok("SELECT INBOX");
    server.stop();
}
