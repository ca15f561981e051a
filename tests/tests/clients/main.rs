//! Real mail programs, and real messages, against both binaries on every storage.

mod corpus;
mod curl;
mod evolution;
mod imaplib;
mod marionette;
mod mbsync;
mod mutt;
mod offlineimap;
mod recorder;
mod roundcube;
mod thunderbird;

fn main() -> std::process::ExitCode {
    restante_tests::trials::run_on_every_storage(&[
        ("corpus", corpus::TESTS),
        ("curl", curl::TESTS),
        ("evolution", evolution::TESTS),
        ("imaplib", imaplib::TESTS),
        ("mbsync", mbsync::TESTS),
        ("mutt", mutt::TESTS),
        ("offlineimap", offlineimap::TESTS),
        ("roundcube", roundcube::TESTS),
        ("thunderbird", thunderbird::TESTS),
    ])
}
