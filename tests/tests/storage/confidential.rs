//! A whole session leaves no plaintext in the stored files or the log.

use std::{
    fs,
    path::{Path, PathBuf},
};

use restante_tests::{Server, Test, samples, tests, trials::Need};

pub(crate) const TESTS: &[Test] = tests![
    neither_files_nor_log_hold_plaintext => needs(&[Need::OwnProcess]),
    equal_messages_are_stored_differently => needs(&[Need::OwnProcess]),
];

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .expect("a folder of the server")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path)
            } else {
                found.push(path)
            }
        }
    }
    found.sort();
    found
}

fn assert_absent(what: &str, bytes: &[u8], words: &[&str]) {
    for word in words {
        let word = word.as_bytes();
        let found = bytes
            .windows(word.len())
            .any(|window| window.eq_ignore_ascii_case(word));
        assert!(!found, "{:?} in {what}", String::from_utf8_lossy(word));
    }
}

fn neither_files_nor_log_hold_plaintext(server: &Server) {
    let words = [
        "Zirkonium",
        "Quastenflosser",
        "Wolpertinger",
        "Schnabeltier",
        "kumquat@example.org",
        "Nachtigall",
        "Fingerhut",
        &server.alice.password,
    ];
    let message = format!(
        "From: <kumquat@example.org>\r\nSubject: Zirkonium\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; name=\"Fingerhut.txt\"\r\n\r\n{}\r\n",
        "The Quastenflosser swims. ".repeat(50)
    );
    let mut client = server.login();
    client.ok("CREATE Wolpertinger");
    client.ok("CREATE Wolpertinger/Nachtigall");
    client.ok("SUBSCRIBE Wolpertinger/Nachtigall");
    client.append_ok("Wolpertinger", "(Schnabeltier)", message.as_bytes());
    client.append_ok("Wolpertinger", "", &samples::large(200_000));
    client.ok("SELECT Wolpertinger");
    client.fetch(1, "(ENVELOPE BODYSTRUCTURE BODY[])");
    client.ok("SEARCH TEXT Quastenflosser SUBJECT Zirkonium");
    client.ok("STORE 2 +FLAGS (Schnabeltier)");
    client.ok("COPY 1 Wolpertinger/Nachtigall");
    client.no("SELECT Wolpertinger/Absent");
    client.bad("FETCH 1 Zirkonium");
    client.ok("RENAME Wolpertinger/Nachtigall Wolpertinger/Fingerhut");
    drop(client);
    // Wrong passwords, mistyped by little, belong in no log either.
    server.connect().no(format!(
        "LOGIN {} {}Nachtigall",
        server.alice.name, server.alice.password
    ));
    server.restart();
    let mut client = server.login();
    client.ok("SELECT Wolpertinger");
    client.fetch(1, "BODY[]");
    drop(client);
    server.stop();
    let stored = files(&server.data_folder());
    assert!(!stored.is_empty());
    let mut octets = 0;
    for file in stored {
        let bytes = fs::read(&file).expect("a file of the server");
        octets += bytes.len();
        assert_absent(&file.display().to_string(), &bytes, &words);
        assert_absent("a file's name", file.as_os_str().as_encoded_bytes(), &words);
    }
    assert!(
        octets > 100_000,
        "the mail is in these files: {octets} octets"
    );
    let accounts = fs::read(server.folder().join("accounts")).expect("the accounts file");
    assert_absent("the accounts file", &accounts, &words);
    assert_absent("the log", server.log().as_bytes(), &words);
}

fn equal_messages_are_stored_differently(server: &Server) {
    let message = samples::large(100_000);
    let mut client = server.login();
    client.append_ok("INBOX", "", &message);
    client.append_ok("INBOX", "", &message);
    drop(client);
    server.stop();
    // A run of stored octets that comes twice would show that two messages are equal.
    const RUN: usize = 64;
    let mut seen = std::collections::BTreeMap::new();
    for file in files(&server.data_folder()) {
        let bytes = fs::read(&file).expect("a file of the server");
        for (number, run) in bytes.chunks_exact(RUN).enumerate() {
            let distinct = run.iter().collect::<std::collections::BTreeSet<_>>().len();
            if distinct > RUN / 2 {
                let before = seen.insert(run.to_vec(), (file.clone(), number));
                assert!(
                    before.is_none(),
                    "{} octets stand at {before:?} and in {} at {number}",
                    RUN,
                    file.display()
                );
            }
        }
    }
}
