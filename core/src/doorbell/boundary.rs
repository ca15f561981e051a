//! What goes into the machine and what comes out.

use super::Change;
use crate::boundary::Event;
use crate::storage::{RequestId, StorageRequest, StorageResponse};
use crate::time::Instant;

/// What goes into a [`Doorbell`](super::Doorbell).
#[derive(Debug)]
pub enum DoorbellInput {
    /// This process wrote to a log.
    Changed(Change),
    /// From storage.
    Storage(RequestId, StorageResponse),
    /// The deadline of the last `Wait` has passed.
    Timeout,
    /// Watch no longer; announce what is not announced yet, if it works at once.
    Shutdown,
}

/// What comes out of a [`Doorbell`](super::Doorbell).
#[derive(Debug)]
pub enum DoorbellOutput {
    /// A request to storage.
    Storage(RequestId, StorageRequest),
    /// The answer to this request is of no interest any more.
    Abandon(RequestId),
    /// Another process wrote to this log.
    Rung(Change),
    /// Others may have written to any log of any account of this shard.
    RungAll(u32),
    /// For the log and the metrics.
    Event(Event),
    /// Nothing more for now; `Timeout` is wanted at the deadline.
    Wait {
        /// When.
        deadline: Option<Instant>,
    },
    /// After `Shutdown`: the machine may be dropped.
    Done,
}
