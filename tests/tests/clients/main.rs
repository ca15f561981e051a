//! Real mail programs, and real messages, against both binaries.

mod corpus;
mod curl;
mod imaplib;
mod mbsync;
mod mutt;
mod offlineimap;

fn main() -> std::process::ExitCode {
    restante_tests::run(&[
        ("corpus", corpus::TESTS),
        ("curl", curl::TESTS),
        ("imaplib", imaplib::TESTS),
        ("mbsync", mbsync::TESTS),
        ("mutt", mutt::TESTS),
        ("offlineimap", offlineimap::TESTS),
    ])
}
