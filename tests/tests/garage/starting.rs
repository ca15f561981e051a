//! Starting on a Garage that is not as the configuration says, or holds other things.

use restante_tests::{
    Flavour, Server, Storage, Test,
    garage::{configuration, curl},
    neighbours::{self, Program},
    samples,
    server::panic_in,
    tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    a_wrong_secret_is_a_clear_error => storage(Storage::Garage),
    an_unknown_key_is_a_clear_error => storage(Storage::Garage),
    a_key_without_rights_is_a_clear_error => storage(Storage::Garage),
    a_missing_bucket_is_a_clear_error => storage(Storage::Garage),
    two_servers_serve_one_bucket => storage(Storage::Garage),
    foreign_objects_stay_as_they_are
        => storage(Storage::Garage).needs(&[Need::Program(Program::CURL)]),
    no_thread_of_the_other_runtime => storage(Storage::Garage).needs(&[Need::Proc]),
];

/// Starts a server on this section `[storage]`, which must end with exit code 1 and a
/// message that holds all of these words.
fn refuses(server: &Server, storage: &str, words: &[&str]) {
    let (code, said) = server.try_on(storage);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(panic_in(&said), None);
    for word in words {
        assert!(said.contains(word), "{word:?} in {said}");
    }
    let secret = &server.garage().bucket.secret;
    assert!(!said.contains(secret.as_str()), "the secret in {said}");
}

fn a_wrong_secret_is_a_clear_error(server: &Server) {
    let mut bucket = server.garage().bucket.clone();
    let last = if bucket.secret.ends_with('0') {
        "1"
    } else {
        "0"
    };
    bucket.secret.replace_range(bucket.secret.len() - 1.., last);
    refuses(server, &configuration(&bucket), &["storage.", "secret"]);
}

fn an_unknown_key_is_a_clear_error(server: &Server) {
    let mut bucket = server.garage().bucket.clone();
    bucket.key_id = "GK0123456789abcdef01234567".to_owned();
    refuses(server, &configuration(&bucket), &["storage.key_id"]);
}

fn a_key_without_rights_is_a_clear_error(server: &Server) {
    let mut bucket = server.garage().bucket.clone();
    (bucket.key_id, bucket.secret) = server.garage().node().powerless_key();
    let name = bucket.name.clone();
    refuses(server, &configuration(&bucket), &["storage.key_id", &name]);
}

fn a_missing_bucket_is_a_clear_error(server: &Server) {
    let mut bucket = server.garage().bucket.clone();
    bucket.name = "not-there".to_owned();
    let words = ["storage.bucket", "not-there"];
    refuses(server, &configuration(&bucket), &words);
}

/// What the embedded storage refuses is how Garage is used.
fn two_servers_serve_one_bucket(server: &Server) {
    let mut client = server.login();
    client.append_ok("INBOX", "", &samples::plain("one", "1"));
    let second = server.second();
    let mut other = second.login();
    assert_eq!(other.ok("SELECT INBOX").exists(), Some(1));
    other.append_ok("INBOX", "", &samples::plain("two", "2"));
    assert_eq!(server.login().ok("SELECT INBOX").exists(), Some(2));
    drop((client, other));
    second.stop();
}

/// Objects that other programs have put into the bucket, under keys of every kind.
const FOREIGN: &[&str] = &[
    "foreign",
    "photos/2026/cat.jpg",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef/0123",
    "0123456789abcdef0123456789abcdef/objects/0123456789abcdef",
    "!bell/0",
    "zz/%2F/x y",
];

fn foreign_objects_stay_as_they_are(server: &Server) {
    let content = |key: &str| format!("This is {key}, and nobody else's.");
    let url = |key: &str| {
        let key = key
            .replace('%', "%25")
            .replace(' ', "%20")
            .replace('!', "%21");
        let bucket = &server.garage().bucket;
        format!("{}/{}/{key}", bucket.s3_url(), bucket.name)
    };
    let folder = server.folder();
    for key in FOREIGN {
        let file = folder.join("foreign");
        std::fs::write(&file, content(key)).expect("our folder can be written");
        neighbours::success(
            curl(&server.garage().bucket)
                .arg("--upload-file")
                .arg(&file)
                .arg(url(key)),
        );
    }
    server.restart();
    let mut client = server.select(
        "Box",
        &[&samples::plain("one", "1"), &samples::large(90_000)],
    );
    client.ok("STORE 1 +FLAGS (\\Deleted)");
    client.ok("EXPUNGE");
    client.ok("CREATE Other");
    client.ok("COPY 1 Other");
    client.ok("DELETE Other");
    drop(client);
    server.restart();
    assert_eq!(server.login().ok("SELECT Box").exists(), Some(1));
    for key in FOREIGN {
        let stored = neighbours::success(curl(&server.garage().bucket).arg(url(key)));
        assert_eq!(stored, content(key));
    }
}

fn no_thread_of_the_other_runtime(server: &Server) {
    let mut client = server.select("Box", &[&samples::large(300_000)]);
    client.fetch(1, "BODY.PEEK[]");
    client.ok("STORE 1 +FLAGS (\\Flagged)");
    let threads = server.pid().threads();
    assert!(!threads.is_empty());
    let foreign = match server.flavour {
        Flavour::Smol => "tokio",
        _ => "smol",
    };
    assert!(
        !threads.iter().any(|name| name.contains(foreign)),
        "{threads:?}"
    );
}
