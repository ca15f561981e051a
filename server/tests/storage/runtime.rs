//! A runtime with a thread for each task, the one of the unit tests.

pub(crate) use restante_server::runtime::{HalfClose, Runtime, Signal, Timer};

#[path = "../../src/runtime/threads.rs"]
pub(crate) mod threads;
