//! Uploads in parts that a killed server leaves in Garage: they are removed once they are
//! too old to be anybody's, and those that are under way on another server are not.

use std::{thread, time::Duration};

use restante_tests::{
    Client, Server, Status, Storage, Test,
    client::Tag,
    garage::curl,
    neighbours::{self, Program},
    process::wait_for,
    samples, tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    an_upload_of_a_killed_server_is_removed_and_no_other
        => storage(Storage::Garage)
            .storage_limits("upload_age_max_s = 25")
            .needs(&[Need::Program(Program::CURL)]),
];

/// Octets of a message of several parts.
const LARGE: usize = 5_000_000;

/// An upload of another program, which is never touched.
const FOREIGN: &str = "videos/holidays.mkv";

/// Begins an APPEND and stops half way.
fn append_half(server: &Server, message: &[u8]) -> (Client, Tag) {
    let mut client = server.login();
    let tag = client.start(format!("APPEND INBOX {{{}}}", message.len()));
    assert!(client.response().starts_with("+ "));
    client.send(&message[..message.len() / 2]);
    (client, tag)
}

fn an_upload_of_a_killed_server_is_removed_and_no_other(server: &Server) {
    let bucket = &server.garage().bucket;
    let foreign = format!("{}/{}/{FOREIGN}?uploads=", bucket.s3_url(), bucket.name);
    neighbours::success(curl(bucket).args(["--request", "POST"]).arg(foreign));
    assert_eq!(server.garage().uploads(), [FOREIGN]);

    let message = samples::large(LARGE);
    let (client, _) = append_half(server, &message);
    assert!(wait_for(|| server.garage().uploads().len() == 2));
    server.kill();
    drop(client);
    let left = server.garage().uploads();
    thread::sleep(Duration::from_secs(2));
    // Whose it is, nobody knows: it is too young.
    server.start_again().expect("it starts again");
    let second = server.second();
    thread::sleep(Duration::from_secs(5));
    assert_eq!(server.garage().uploads(), left);
    let (mut client, tag) = append_half(&second, &message);
    assert!(wait_for(|| server.garage().uploads().len() == 3));

    assert!(
        wait_for(|| server.garage().uploads().len() == 2),
        "it stays"
    );
    let right = server.garage().uploads();
    assert!(right.iter().any(|key| key == FOREIGN), "{right:?}");
    assert!(right.iter().any(|key| !left.contains(key)), "{right:?}");
    client.send(&message[message.len() / 2..]);
    client.send("\r\n");
    assert_eq!(client.finish(&tag).status, Status::Ok);
    assert_eq!(server.garage().uploads(), [FOREIGN]);
    let mut client = server.login();
    assert_eq!(client.ok("SELECT INBOX").exists(), Some(1));
    assert!(client.fetch(1, "BODY.PEEK[]").bytes("BODY[]") == message);
    second.stop();
}
