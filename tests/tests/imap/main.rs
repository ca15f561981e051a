//! Scripted IMAP sessions, one module a subject, on both binaries.

mod append;
mod concurrent;
mod condstore;
mod copying;
mod durability;
mod esearch;
mod expunging;
mod fetch;
mod flags;
mod idle;
mod limits;
mod listing;
mod literals;
mod logging;
mod login;
mod mailboxes;
mod qresync;
mod search;
mod sections;
mod selecting;
mod session;
mod starttls;

fn main() -> std::process::ExitCode {
    restante_tests::trials::run_on_every_storage(&[
        ("append", append::TESTS),
        ("concurrent", concurrent::TESTS),
        ("condstore", condstore::TESTS),
        ("copying", copying::TESTS),
        ("durability", durability::TESTS),
        ("esearch", esearch::TESTS),
        ("expunging", expunging::TESTS),
        ("fetch", fetch::TESTS),
        ("flags", flags::TESTS),
        ("idle", idle::TESTS),
        ("limits", limits::TESTS),
        ("listing", listing::TESTS),
        ("literals", literals::TESTS),
        ("logging", logging::TESTS),
        ("login", login::TESTS),
        ("mailboxes", mailboxes::TESTS),
        ("qresync", qresync::TESTS),
        ("search", search::TESTS),
        ("sections", sections::TESTS),
        ("selecting", selecting::TESTS),
        ("session", session::TESTS),
        ("starttls", starttls::TESTS),
    ])
}
