//! The command line of `restante-tokio`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

const BINARY: &str = env!("CARGO_BIN_EXE_restante-tokio");

include!("../../server/smoke/command_line.rs");
include!("../../server/smoke/upkeep.rs");
