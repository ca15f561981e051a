//! Mail comes in by LMTP and is read over IMAP, on both binaries and every storage.

mod delivering;
mod hostile;
mod kills;
mod postfix;
mod postfix_kills;
mod smtplib;

use restante_tests::Client;

fn main() -> std::process::ExitCode {
    restante_tests::trials::run_on_every_storage(&[
        ("delivering", delivering::TESTS),
        ("hostile", hostile::TESTS),
        ("kills", kills::TESTS),
        ("postfix", postfix::TESTS),
        ("postfix_kills", postfix_kills::TESTS),
        ("smtplib", smtplib::TESTS),
    ])
}

/// Every message in INBOX.
fn messages(client: &mut Client) -> Vec<Vec<u8>> {
    let count = client
        .ok("EXAMINE INBOX")
        .exists()
        .expect("EXAMINE says it");
    let numbers = 1..=count;
    numbers
        .map(|number| client.fetch(number, "BODY.PEEK[]").bytes("BODY[]").to_vec())
        .collect()
}
