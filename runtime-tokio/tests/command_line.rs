//! The command line of `restante-tokio`.

const BINARY: &str = env!("CARGO_BIN_EXE_restante-tokio");

include!("../../server/smoke/command_line.rs");
