//! The models of IMAP and of the directory on both binaries (docs/modelling.md), by sockets.

#[path = "../../../core/tests/directory/commands.rs"]
mod commands;
mod directory;
#[path = "../../../core/tests/directory/explain.rs"]
mod explain;
mod judge;
#[path = "../../../core/tests/directory/reference.rs"]
mod reference;
mod seeds;
mod talk;
mod two_servers;

use restante_tests::model::run::run;
use restante_tests::model::search::search;
use restante_tests::model::socket::SocketWire;
use restante_tests::{Server, Test, tests};
use std::cell::Cell;

/// Cases where they are always the same.
const FIXED_CASES: u64 = 50;

const TESTS: &[Test] = tests![clients_are_told_what_is];

fn main() -> std::process::ExitCode {
    restante_tests::trials::run_on_every_storage(&[
        ("model", TESTS),
        ("directory", directory::TESTS),
        ("two_servers", two_servers::TESTS),
    ])
}

fn clients_are_told_what_is(server: &Server) {
    let cases = Cell::new(0);
    search(server.flavour.name(), FIXED_CASES, |case| {
        cases.set(cases.get() + 1);
        let mut wire = SocketWire::new(server, cases.get());
        let count = run(case, &mut wire)?;
        wire.finish();
        Ok(count)
    });
}
