//! Every message of the corpus comes back octet by octet, with a structure.

use std::{fs, path::PathBuf};

use restante_tests::{Server, Test, Value, binaries, tests, trials::Need};

pub(crate) const TESTS: &[Test] = tests![
    every_message_comes_back => needs(&[Need::Shared("corpus")]),
    structures_are_those_of_dovecot_or_cyrus => needs(&[Need::Shared("corpus"), Need::OwnProcess]),
];

/// The messages and their names, with CRLF line ends as the README of the corpus asks.
fn corpus() -> Vec<(String, PathBuf, Vec<u8>)> {
    let root = binaries::shared("corpus").expect("the test needs it");
    let mut found = Vec::new();
    for folder in fs::read_dir(&root)
        .expect("the corpus")
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        for file in fs::read_dir(folder.path())
            .expect("a folder of the corpus")
            .flatten()
        {
            let path = file.path();
            if path.extension().is_some_and(|extension| extension == "eml") {
                let name = path
                    .strip_prefix(&root)
                    .expect("it lies below")
                    .display()
                    .to_string();
                let message = with_crlf(&fs::read(&path).expect("a message"));
                found.push((name, path, message));
            }
        }
    }
    found.sort();
    assert!(found.len() >= 50, "the corpus has {} messages", found.len());
    found
}

fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 30);
    let mut last = 0;
    for &byte in bytes {
        if byte == b'\n' && last != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        last = byte;
    }
    out
}

fn every_message_comes_back(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Corpus");
    let corpus = corpus();
    for (_, _, message) in &corpus {
        client.append_ok("Corpus", "", message);
    }
    client.ok("SELECT Corpus");
    for (number, (name, _, message)) in (1..).zip(&corpus) {
        let fetch = client.fetch(
            number,
            "(ENVELOPE BODY BODYSTRUCTURE RFC822.SIZE BODY.PEEK[])",
        );
        assert_eq!(
            fetch.item("RFC822.SIZE").number(),
            message.len() as u64,
            "{name}"
        );
        assert!(
            fetch.bytes("BODY[]") == message,
            "{name} comes back changed"
        );
        assert_eq!(fetch.item("ENVELOPE").list().len(), 10, "{name}");
        assert!(fetch.item("BODY").list().len() >= 2, "{name}");
        let pieces = client.fetch(number, "(BODY.PEEK[HEADER] BODY.PEEK[TEXT])");
        let whole = [pieces.bytes("BODY[HEADER]"), pieces.bytes("BODY[TEXT]")].concat();
        assert!(
            whole == *message,
            "HEADER and TEXT of {name} make the message"
        );
    }
    client.ok("SEARCH CHARSET UTF-8 TEXT {6+}\r\nGrüß");
}

/// Where an answer is neither Dovecot's nor Cyrus's, the reason stands in
/// `clients/structures.txt`, one line a message; a line that is no longer needed is
/// an error, too.
fn structures_are_those_of_dovecot_or_cyrus(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Corpus");
    let corpus = corpus();
    for (_, _, message) in &corpus {
        client.append_ok("Corpus", "", message);
    }
    client.ok("SELECT Corpus");
    let known: Vec<&str> = include_str!("../../clients/structures.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut unexplained = Vec::new();
    let mut needless = Vec::new();
    for (number, (name, path, _)) in (1..).zip(&corpus) {
        for item in ["BODY", "BODYSTRUCTURE"] {
            let ours = normal(client.fetch(number, item).item(item));
            let theirs: Vec<(&str, String)> = ["dovecot", "cyrus"]
                .into_iter()
                .filter_map(|who| Some((who, recorded(path, who, item)?)))
                .collect();
            let key = format!("{name}:{item}");
            let same = theirs.is_empty() || theirs.iter().any(|(_, theirs)| *theirs == ours);
            if same && known.contains(&key.as_str()) {
                needless.push(key);
            } else if !same && !known.contains(&key.as_str()) {
                unexplained.push(format!("{key}\n  ours    {ours}\n  {}", listed(&theirs)));
            }
        }
    }
    assert!(
        unexplained.is_empty(),
        "{} structures differ:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
    assert!(
        needless.is_empty(),
        "these agree now, strike them from structures.txt: {needless:?}"
    );
}

fn listed(theirs: &[(&str, String)]) -> String {
    theirs
        .iter()
        .map(|(who, text)| format!("{who:7} {text}"))
        .collect::<Vec<_>>()
        .join("\n  ")
}

/// The recorded answer, in the form of [`normal`].
fn recorded(message: &std::path::Path, who: &str, item: &str) -> Option<String> {
    let file = message.with_extension(format!("{who}.{}", item.to_lowercase()));
    let bytes = fs::read(file).ok()?;
    let values = Value::parse_all(&bytes);
    Some(find(&values, item).map_or_else(|| normal(&values[0]), normal))
}

/// The value after the name, in whatever the recording put around it.
fn find<'a>(values: &'a [Value], name: &str) -> Option<&'a Value> {
    for (at, value) in values.iter().enumerate() {
        match value {
            Value::Atom(atom) if atom.eq_ignore_ascii_case(name) => return values.get(at + 1),
            Value::List(items) => {
                if let Some(found) = find(items, name) {
                    return Some(found);
                }
            }
            _ => {}
        }
    }
    None
}

/// Without the differences that no client sees: the case of names, and strings
/// against atoms.
fn normal(value: &Value) -> String {
    match value {
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(normal).collect();
            format!("({})", items.join(" "))
        }
        Value::Nil => "NIL".to_owned(),
        Value::Atom(_) => value.to_string(),
        Value::String(_) => value.to_string().to_lowercase(),
    }
}
