//! Real Garage under both binaries: what only this storage can do wrong. What is acknowledged
//! survives kills on the embedded one as well (`kills.rs`).
//!
//! `RESTANTE_KILLS` is how often the server is killed under load (20). What longer runs
//! showed is in `docs/operating.md`.

mod appends;
mod damage;
mod deliveries;
mod idle;
mod kills;
mod ledger;
mod own_bucket;
mod raw;
mod reading;
mod resets;
mod restored;
mod secrecy;
mod slow;
mod starting;
mod two_servers;
mod uploads;

fn main() -> std::process::ExitCode {
    restante_tests::trials::run_on_every_storage(&[
        ("appends", appends::TESTS),
        ("damage", damage::TESTS),
        ("deliveries", deliveries::TESTS),
        ("idle", idle::TESTS),
        ("kills", kills::TESTS),
        ("own_bucket", own_bucket::TESTS),
        ("reading", reading::TESTS),
        ("resets", resets::TESTS),
        ("restored", restored::TESTS),
        ("secrecy", secrecy::TESTS),
        ("slow", slow::TESTS),
        ("starting", starting::TESTS),
        ("two_servers", two_servers::TESTS),
        ("uploads", uploads::TESTS),
    ])
}

/// A number from the environment, or the one for everyday runs.
pub(crate) fn number(variable: &str, everyday: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("the variable holds a number"),
        Err(_) => everyday,
    }
}
