//! The Restante IMAP server on tokio.

mod runtime;

use std::process::ExitCode;

fn main() -> ExitCode {
    restante_server::cli::main::<runtime::Tokio>(env!("CARGO_BIN_NAME"))
}
