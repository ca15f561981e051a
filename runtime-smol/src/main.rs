//! The Restante IMAP server on smol.

mod runtime;

use std::process::ExitCode;

fn main() -> ExitCode {
    restante_server::cli::main::<runtime::Smol>(env!("CARGO_BIN_NAME"))
}
