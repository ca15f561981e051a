//! The command line of `restante-smol`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

const BINARY: &str = env!("CARGO_BIN_EXE_restante-smol");

include!("../../server/smoke/command_line.rs");
include!("../../server/smoke/upkeep.rs");
