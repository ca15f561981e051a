//! Every input that the fuzzer once found worth keeping still does no harm
//! (`docs/fuzzing.md`).

#![allow(
    clippy::disallowed_methods,
    reason = "a test reads the files of its corpus"
)]

#[path = "../../fuzz/src/lib.rs"]
#[allow(
    unreachable_pub,
    reason = "the fuzz targets are other crates, for which it is public"
)]
mod fuzz;

use std::path::{Path, PathBuf};

/// Runs a target on the files of its corpus, by their names.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let files = std::fs::read_dir(folder.join(target)).expect("the corpus is there");
    let mut files: Vec<PathBuf> = files
        .map(|file| file.expect("its folder can be read").path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "the corpus of {target} is nearly empty");
    for file in files {
        eprintln!("{}", file.display());
        run(&std::fs::read(&file).expect("a file can be read"));
    }
}

#[test]
fn clients_do_no_harm() {
    replay("connection", fuzz::connection::run);
}

#[test]
fn services_do_no_harm() {
    replay("auth", fuzz::auth::run);
}

#[test]
fn announcements_do_no_harm() {
    replay("doorbell", fuzz::doorbell::run);
}

#[test]
fn commands_do_no_harm() {
    replay("grammar", fuzz::grammar::run);
}

#[test]
fn fields_say_what_was_put_in() {
    replay("headers", fuzz::headers::run);
}

#[test]
fn parts_are_those_that_were_put_in() {
    replay("parts", fuzz::parts::run);
}

#[test]
fn mail_servers_do_no_harm() {
    replay("lmtp", fuzz::lmtp::run);
}

#[test]
fn messages_do_no_harm() {
    replay("mime", fuzz::mime::run);
}

#[test]
fn sealed_bytes_do_no_harm() {
    replay("sealed", fuzz::sealed::run);
}

#[test]
fn storage_does_no_harm() {
    replay("operations", fuzz::operations::run);
}
