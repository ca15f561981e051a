//! The model of IMAP on both binaries (docs/modelling.md), by sockets.

use restante_tests::model::run::run;
use restante_tests::model::search::search;
use restante_tests::model::socket::SocketWire;
use restante_tests::{Server, Test, tests};
use std::cell::Cell;

const TESTS: &[Test] = tests![clients_are_told_what_is];

fn main() -> std::process::ExitCode {
    restante_tests::trials::run_on_every_storage(&[("model", TESTS)])
}

fn clients_are_told_what_is(server: &Server) {
    let cases = Cell::new(0);
    search(server.flavour.name(), |case| {
        cases.set(cases.get() + 1);
        let mut wire = SocketWire::new(server, cases.get());
        let count = run(case, &mut wire)?;
        wire.finish();
        Ok(count)
    });
}
