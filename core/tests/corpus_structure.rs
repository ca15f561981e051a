//! BODY and BODYSTRUCTURE of real, legacy and malformed messages, compared with what
//! Dovecot and Cyrus answered. A difference that is not listed fails, and so does one
//! that is listed and has gone.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reads files, and fails where one is not there"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use restante_core::config::Config;
use restante_core::mime::{Scanner, header, write_bodystructure};

/// The corpus lies beside the project. Where it does not, the tests are shown as ignored,
/// except on the machine that must run everything.
fn main() -> ExitCode {
    let missing = !corpus().exists() && std::env::var_os("CI").is_none();
    if missing {
        println!("../shared/corpus is not beside the workspace: nothing to compare with");
    }
    let trial = |name: &str, test: fn()| {
        let body = move || {
            test();
            Ok(())
        };
        Trial::test(name, body).with_ignored_flag(missing)
    };
    let trials = vec![
        trial(
            "structures_are_those_that_dovecot_answered",
            structures_are_those_that_dovecot_answered,
        ),
        trial(
            "structures_on_which_both_servers_agree_are_ours",
            structures_on_which_both_servers_agree_are_ours,
        ),
        trial(
            "no_message_of_the_corpus_breaks_the_grammar",
            no_message_of_the_corpus_breaks_the_grammar,
        ),
        trial(
            "a_header_ends_where_the_scanner_says",
            a_header_ends_where_the_scanner_says,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Messages for which Dovecot's recorded answer is not ours, and why. See
/// `docs/decisions/005-body-structures.md`.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "rfc/008",
        "a boundary ends the header of a nested message: the line end before it belongs \
         to the boundary (RFC 2046 §5.1.1), as Cyrus has it, not to the message",
    ),
    (
        "thirdparty/000",
        "lines end in CR CR LF, of which Dovecot stores CR LF; stored as it is, no line is \
         blank before the first boundary",
    ),
];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus")
}

/// All messages by their name, such as `rfc/000`.
fn messages() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(corpus()).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|it| it == "eml") {
                let name = [folder.file_name().unwrap(), file.file_stem().unwrap()];
                found.push((name.map(|it| it.to_string_lossy()).join("/"), file));
            }
        }
    }
    found.sort();
    found
}

/// The message as a server stores it: every line ends in CRLF.
fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// An answer in which letters of any case are the same: Cyrus writes capitals.
fn without_case(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).to_ascii_lowercase()
}

/// Our answer in the form of the recorded ones.
fn answer(message: &[u8], extended: bool) -> Vec<u8> {
    let mut scanner = Scanner::new(&Config::default());
    message.chunks(1_000).for_each(|chunk| scanner.feed(chunk));
    let name: &[u8] = if extended {
        b"(BODYSTRUCTURE "
    } else {
        b"(BODY "
    };
    let mut out = name.to_vec();
    write_bodystructure(&scanner.finish().structure, extended, &mut out);
    out.push(b')');
    out
}

/// The recorded answer of a server, if there is one.
fn recorded(file: &Path, server: &str, item: &str) -> Option<Vec<u8>> {
    let answer = std::fs::read(file.with_extension(format!("{server}.{item}"))).ok()?;
    Some(answer.trim_ascii().to_vec())
}

fn structures_are_those_that_dovecot_answered() {
    let messages = messages();
    assert!(messages.len() >= 50, "the corpus is there");
    let mut compared = 0;
    let mut differing = Vec::new();
    for (name, file) in &messages {
        let message = with_crlf(&std::fs::read(file).unwrap());
        let mut differs = false;
        for (item, extended) in [("body", false), ("bodystructure", true)] {
            let Some(expected) = recorded(file, "dovecot", item) else {
                continue;
            };
            compared += 1;
            let ours = answer(&message, extended);
            if ours != expected {
                differs = true;
                eprintln!(
                    "{name} {item}\n  dovecot {}\n  ours    {}",
                    String::from_utf8_lossy(&expected),
                    String::from_utf8_lossy(&ours)
                );
            }
        }
        if differs {
            let reason = DIFFERENCES.iter().find(|it| it.0 == name);
            eprintln!("{name}: {}", reason.map_or("NOT DOCUMENTED", |it| it.1));
            differing.push(name.as_str());
        }
    }
    assert!(compared >= 88, "{compared} answers compared");
    let documented: Vec<&str> = DIFFERENCES.iter().map(|&(name, _)| name).collect();
    assert_eq!(differing, documented);
}

/// Where Dovecot and Cyrus agree, so do we, except for the message that both were given
/// with other line ends.
fn structures_on_which_both_servers_agree_are_ours() {
    let mut agreed = 0;
    for (name, file) in messages() {
        for (item, extended) in [("body", false), ("bodystructure", true)] {
            let answers = ["dovecot", "cyrus"].map(|server| recorded(&file, server, item));
            let [Some(dovecot), Some(cyrus)] = answers else {
                continue;
            };
            if without_case(&dovecot) == without_case(&cyrus) && name != "thirdparty/000" {
                let message = with_crlf(&std::fs::read(&file).unwrap());
                let ours = answer(&message, extended);
                assert_eq!(without_case(&ours), without_case(&dovecot), "{name} {item}");
                agreed += 1;
            }
        }
    }
    assert!(agreed >= 60, "{agreed} answers in common");
}

/// FETCH takes the header from the beginning of a body where others read it from the summary.
fn a_header_ends_where_the_scanner_says() {
    for (name, file) in messages() {
        let stored = std::fs::read(file).unwrap();
        for message in [with_crlf(&stored), stored] {
            let mut scanner = Scanner::new(&Config::default());
            scanner.feed(&message);
            let scanned = scanner.finish();
            let len = scanned.header_len as usize;
            let ours = header::length(&message);
            assert!(
                ours == Some(len) || ours.is_none() && len == message.len(),
                "{name}: {ours:?} {len}"
            );
            if let Some(len) = ours {
                assert_eq!(message[..len], scanned.header, "{name}");
                assert_eq!(header::length(&message[..len]), Some(len), "{name}");
                assert_eq!(header::length(&message[..len - 1]), None, "{name}");
            }
        }
    }
}

fn no_message_of_the_corpus_breaks_the_grammar() {
    for (name, file) in messages() {
        let message = with_crlf(&std::fs::read(file).unwrap());
        for extended in [false, true] {
            let answer = answer(&message, extended);
            let mut depth = 0_usize;
            let mut quoted = false;
            let mut at = 0;
            while let Some(&octet) = answer.get(at) {
                match octet {
                    b'\\' if quoted => at += 1,
                    b'"' => quoted = !quoted,
                    _ if quoted => assert!(
                        octet.is_ascii() && octet >= b' ' || octet == b'\t',
                        "{name}"
                    ),
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    b'{' => {
                        let digits = answer[at + 1..].split(|&it| it == b'}').next().unwrap();
                        let len: usize = std::str::from_utf8(digits).unwrap().parse().unwrap();
                        at += digits.len() + 3 + len;
                    }
                    _ => {}
                }
                at += 1;
            }
            assert_eq!((depth, quoted), (0, false), "{name}");
        }
    }
}
