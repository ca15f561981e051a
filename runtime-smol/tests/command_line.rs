//! The command line of `restante-smol`.

const BINARY: &str = env!("CARGO_BIN_EXE_restante-smol");

include!("../../server/smoke/command_line.rs");
