//! The Restante IMAP server on smol.

mod runtime;

use std::process::ExitCode;

/// Why this one: `docs/decisions/020-allocator.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    restante_server::cli::main::<runtime::Smol>(env!("CARGO_BIN_NAME"))
}
