//! Who runs Garage reads nothing: not in its files, however Garage keeps them.

use std::{fs, path::Path};

use restante_tests::{Server, Storage, Test, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    nothing_in_the_files_of_garage_is_readable => storage(Storage::OwnGarage),
];

/// The contents of all files below a folder, with their names.
fn everything(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder of Garage").flatten() {
        let path = entry.path();
        if path.is_dir() {
            everything(&path, into);
        } else {
            let bytes = fs::read(&path).expect("a file of Garage");
            into.push((path.display().to_string(), bytes));
        }
    }
}

fn holds(files: &[(String, Vec<u8>)], word: &str) -> Option<String> {
    let word = word.as_bytes();
    let (name, _) = files.iter().find(|(name, bytes)| {
        let mut places = [name.as_bytes(), bytes.as_slice()].into_iter();
        places.any(|place| {
            place
                .windows(word.len())
                .any(|window| window.eq_ignore_ascii_case(word))
        })
    })?;
    Some(name.clone())
}

fn nothing_in_the_files_of_garage_is_readable(server: &Server) {
    let words = [
        "Zirkonium",
        "Quastenflosser",
        "Wolpertinger",
        "Schnabeltier",
        "kumquat@example.org",
        "Nachtigall",
        "Fingerhut",
        &server.alice.password,
        &server.alice.name,
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
    client.append_ok("Wolpertinger", "", &samples::large(2_000_000));
    client.ok("SELECT Wolpertinger");
    client.fetch(1, "(ENVELOPE BODYSTRUCTURE BODY[])");
    client.ok("SEARCH TEXT Quastenflosser SUBJECT Zirkonium");
    client.ok("STORE 2 +FLAGS (Schnabeltier)");
    client.ok("COPY 1 Wolpertinger/Nachtigall");
    client.ok("RENAME Wolpertinger/Nachtigall Wolpertinger/Fingerhut");
    drop(client);
    server.stop();
    let node = server.garage().node();
    node.stop();
    let mut files = Vec::new();
    for folder in ["meta", "data"] {
        everything(&node.folder().join(folder), &mut files);
    }
    let octets: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(octets > 1_500_000, "the mail is in these files: {octets}");
    // What Garage itself knows is found by the same search.
    let bucket = server.garage().bucket.name.clone();
    assert!(holds(&files, &bucket).is_some(), "{bucket} is not found");
    for word in words {
        assert_eq!(holds(&files, word), None, "{word}");
    }
    let log = [("the log".to_owned(), node.log().into_bytes())];
    for word in words {
        assert_eq!(holds(&log, word), None, "{word}");
    }
}
