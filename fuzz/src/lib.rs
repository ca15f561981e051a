//! What the fuzz targets do with their input. One function for each target, called by the
//! fuzzer (`fuzz_targets/`) and, for the inputs that are kept, by `core/tests/fuzz_corpus.rs`.

pub mod auth;
#[path = "../../core/src/imap/grammar/oracle/comparison.rs"]
#[allow(dead_code, reason = "the tests beside it need more of it")]
mod comparison;
pub mod connection;
pub mod doorbell;
pub mod grammar;
pub mod headers;
pub mod lmtp;
pub mod mime;
pub mod operations;
pub mod parts;
pub mod sealed;
mod source;
mod stream;
mod talk;
#[path = "../../core/src/imap/grammar/oracle/translation.rs"]
#[allow(
    clippy::unwrap_used,
    reason = "what imap-codec has read is what it says"
)]
mod translation;
#[path = "../../core/tests/world/mod.rs"]
mod world;
