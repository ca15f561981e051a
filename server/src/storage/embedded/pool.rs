//! Threads for work that blocks, so that no executor ever waits for a disk.
//!
//! They belong to the store and not to a runtime: it works the same under any, and
//! what is queued is bounded here. Reads, bodies of long objects and commits have
//! threads of their own, so that no read waits behind the fsync of a large object.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use async_channel::{Receiver, Sender};
use futures_channel::oneshot;
use restante_core::storage::StorageError;

/// Jobs that wait in one pool.
const QUEUE_MAX: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that take jobs from one queue. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    queue: Sender<Job>,
}

impl Pool {
    /// Starts the threads.
    pub(super) fn start(
        name: &str,
        threads: usize,
        handles: &mut Vec<JoinHandle<()>>,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = async_channel::bounded::<Job>(QUEUE_MAX);
        let pool = Self { queue };
        for number in 0..threads.max(1) {
            let jobs = jobs.clone();
            let started = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || work(&jobs));
            match started {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    pool.close();
                    return Err(error);
                }
            }
        }
        Ok(pool)
    }

    /// Runs `work` on one of the threads. Once it waits in the queue it is run even if
    /// this future is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (answer, done) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Nobody waits any more: the result, with what it owns, is dropped here.
            let _gone = answer.send(work());
        });
        self.queue.send(job).await.map_err(|_| closed())?;
        done.await.map_err(|_| closed())?
    }

    /// Runs `work` some time, or at once where the queue is full or closed.
    pub(super) fn leave(&self, work: impl FnOnce() + Send + 'static) {
        if let Err(job) = self.queue.try_send(Box::new(work)) {
            (job.into_inner())();
        }
    }

    /// Takes no more jobs. The threads end after those that wait.
    pub(super) fn close(&self) {
        self.queue.close();
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv_blocking() {
        // A panic (a bug, or damage that the engine did not expect) costs its own
        // request: the sender of its answer is dropped, which says Unavailable.
        let _panicked = catch_unwind(AssertUnwindSafe(job));
    }
}

/// The answer of a store that is being closed or whose thread failed.
pub(super) fn closed() -> StorageError {
    StorageError::Unavailable("the store is closed, or its thread failed".to_owned())
}
