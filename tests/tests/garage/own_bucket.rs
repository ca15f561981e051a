//! An account that `account add` gave a bucket of its own, beside a server that runs.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use restante_tests::{
    Server, Status, Storage, Test,
    binaries::{self, Profile},
    garage::{Bucket, curl},
    neighbours::{self, Program},
    samples, tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    its_mail_is_in_its_own_bucket_and_nowhere_else
        => storage(Storage::Garage).needs(&[Need::Program(Program::CURL)]),
];

/// `account add carol`, with her bucket.
fn add_carol(server: &Server, bucket: &Bucket) {
    let folder = server.folder();
    fs::write(folder.join("carol.secret"), &bucket.secret).expect("our folder can be written");
    let executable = binaries::executable(server.flavour, Profile::SameAsTests);
    let mut child = Command::new(executable.expect("it was built before"))
        .args(["account", "add", "carol", "--password-stdin"])
        .args(["--config", "restante.toml"])
        .args(["--bucket", &bucket.name, "--key-id", &bucket.key_id])
        .args(["--secret-file", "carol.secret"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut input = child.stdin.take().expect("it is a pipe");
    input.write_all(b"pencil\n").expect("it reads the password");
    drop(input);
    assert!(child.wait().expect("our child").success());
}

/// How many objects there are in a bucket.
fn objects(bucket: &Bucket) -> usize {
    let url = format!("{}/{}?list-type=2", bucket.s3_url(), bucket.name);
    let list = neighbours::success(curl(bucket).arg(url));
    list.matches("<Contents>").count()
}

fn its_mail_is_in_its_own_bucket_and_nowhere_else(server: &Server) {
    let (all, own) = (&server.garage().bucket, server.garage().node().bucket());
    server
        .login()
        .append_ok("INBOX", "", &samples::plain("of alice", "1"));
    let (before, message) = (objects(all), samples::plain("of carol", "2"));
    add_carol(server, &own);
    assert_eq!(objects(&own), 0);
    let carol = || {
        let mut client = server.connect();
        client.login("carol", "pencil");
        client
    };
    let mut client = carol();
    for _ in 0..3 {
        client.append_ok("INBOX", "", &message);
    }
    assert!(objects(&own) >= 3);
    assert_eq!(objects(all), before);
    drop(client);
    server.restart();
    assert_eq!(carol().ok("SELECT INBOX").exists(), Some(3));
    assert_eq!(server.login().ok("SELECT INBOX").exists(), Some(1));

    // Her key may not do it any more: she is told, and nobody else.
    let accounts = server.folder().join("accounts");
    let text = fs::read_to_string(&accounts).expect("a text");
    let (powerless, secret) = server.garage().node().powerless_key();
    let text = text
        .replace(&own.key_id, &powerless)
        .replace(&own.secret, &secret);
    fs::write(&accounts, text).expect("our folder can be written");
    let refused = carol().append("INBOX", "", &message);
    assert_eq!(refused.status, Status::No);
    assert_eq!(refused.code("UNAVAILABLE"), Some(String::new()));
    assert_eq!(server.login().ok("SELECT INBOX").exists(), Some(1));
}
