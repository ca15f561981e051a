//! Storage that carries out what the core asks for.
//!
//! The core says what it wants as a [`StorageRequest`] and is told a
//! [`StorageResponse`]. A [`Storage`] does the work: [`Memory`] for tests,
//! [`embedded::Embedded`] in one local folder, [`garage::Garage`] over the network. All of
//! them have Garage's semantics. Nothing here names one of the async runtimes: futures wake
//! whoever polls them, and what waits for a time (the time limit of
//! [`StorageRequest::PollRange`], those of requests to Garage and the pauses between them) does
//! so by a [`Sleeper`]. Only Garage is given a [`Runtime`](crate::runtime::Runtime), for its sockets
//! and tasks.
//!
//! A driver does not call [`Storage`] itself. It has one [`Desk`] for each machine,
//! which keeps the streams that are open under their [`RequestId`].
//!
//! [`RequestId`]: restante_core::storage::RequestId

mod causality;
mod desk;
mod doorbell;
pub mod embedded;
mod faults;
pub mod garage;
mod limits;
mod memory;

pub use desk::Desk;
pub use faults::{Fault, Faulty};
pub use limits::{
    ITEM_VALUE_BYTES_MAX, OBJECT_KEY_BYTES_MAX, PARTITION_KEY_BYTES_MAX, RANGE_BYTES_MAX,
    RANGE_ITEMS_MAX, SORT_KEY_BYTES_MAX,
};
pub use memory::Memory;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use restante_core::storage::{ObjectKey, StorageError, StorageRequest, StorageResponse};

/// A future on the heap that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes a future that is ready after a time; each runtime supplies its own.
pub type Sleeper = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// A place that keeps items and objects.
///
/// No method blocks, and neither do the futures. A future that is dropped early may
/// leave its write done or not done, never half done within one item or object.
pub trait Storage: Send + Sync + 'static {
    /// Whether other processes may use it at the same time, so that doorbells are needed.
    fn is_shared(&self) -> bool {
        false
    }

    /// Carries out a request that gets a single answer.
    ///
    /// Requests that belong to a stream (`OpenObject`, `ReadChunk`, `CreateObject`,
    /// `WriteChunk`, `FinishObject`) are answered with `Failed(Refused)`: they are
    /// [`open`](Self::open), [`create`](Self::create) and the methods of what these
    /// return.
    fn execute(&self, request: StorageRequest) -> BoxFuture<'static, StorageResponse>;

    /// Opens bytes `start..end` of an object (`end` is cut to its length, `None` is
    /// its length), with the first `max` bytes at most.
    ///
    /// # Errors
    /// `NotFound` where there is no such object.
    fn open(
        &self,
        key: ObjectKey,
        start: u64,
        end: Option<u64>,
        max: u32,
    ) -> BoxFuture<'static, Result<Opened, StorageError>>;

    /// Begins an object. Nobody can read it before its sink was finished, and a sink
    /// that is dropped before leaves nothing.
    ///
    /// # Errors
    /// `Refused` for a key that cannot be stored.
    fn create(
        &self,
        key: ObjectKey,
    ) -> BoxFuture<'static, Result<Box<dyn ObjectSink>, StorageError>>;
}

/// An object that was opened.
pub struct Opened {
    /// Length of the whole object in bytes.
    pub len: u64,
    /// The first bytes of the range.
    pub chunk: Bytes,
    /// Where the others come from.
    pub source: Box<dyn ObjectSource>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({} of {} bytes)", self.chunk.len(), self.len)
    }
}

/// The rest of an object that is being read.
pub trait ObjectSource: Send {
    /// The next `max` bytes; fewer only at the end of the range.
    ///
    /// # Errors
    /// `NotFound` or `Unavailable` where the object was deleted or replaced since it
    /// was opened and its bytes are gone: never bytes of another object.
    fn read(&mut self, max: u32) -> BoxFuture<'_, Result<Bytes, StorageError>>;
}

/// An object that is being written.
pub trait ObjectSink: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// After any error the sink can only be dropped.
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StorageError>>;

    /// Makes the object durable and visible, in place of one with the same key.
    ///
    /// # Errors
    /// After `Unavailable` the object may be there or not, whole in either case.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(), StorageError>>;
}

/// The answer to a step of a stream where a single request is expected.
fn not_single() -> StorageError {
    StorageError::Refused("a step of a stream that is not open".to_owned())
}
