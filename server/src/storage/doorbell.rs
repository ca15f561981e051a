//! Wakes who waits for a change in a partition, inside one process.
//!
//! Partitions share a fixed number of bells by hash, so the memory is the same
//! whatever their number. Two partitions on one bell cause wake-ups for nothing,
//! which the contract of `PollRange` allows: it is only a doorbell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use event_listener::Event;
use futures_util::future::{Either, select};
use restante_core::storage::{PartitionKey, StorageError, StorageResponse};

use super::{BoxFuture, Sleeper};

/// How many bells there are.
const BELLS: usize = 256;

/// All bells of a store.
#[derive(Clone)]
pub(super) struct Doorbells {
    bells: Arc<[Bell]>,
    sleeper: Sleeper,
}

struct Bell {
    /// Time of the store at which it last rang.
    last: AtomicU64,
    event: Event,
}

impl Doorbells {
    /// Bells of a store whose time is `now`: whoever saw less than that is woken.
    pub(super) fn new(now: u64, sleeper: Sleeper) -> Self {
        let bell = || Bell {
            last: AtomicU64::new(now),
            event: Event::new(),
        };
        Self {
            bells: (0..BELLS).map(|_| bell()).collect(),
            sleeper,
        }
    }

    /// Says that the partition changed at the time `now` and can be read.
    pub(super) fn ring(&self, partition: &PartitionKey, now: u64) {
        let bell = &self.bells[place(partition)];
        bell.last.fetch_max(now, Ordering::SeqCst);
        bell.event.notify(usize::MAX);
    }

    /// Carries out `PollRange`. Without a marker it answers at once.
    pub(super) fn poll(
        &self,
        partition: &PartitionKey,
        seen: Option<String>,
        timeout_ms: u32,
    ) -> BoxFuture<'static, StorageResponse> {
        let bells = Arc::clone(&self.bells);
        let place = place(partition);
        let sleeper = Arc::clone(&self.sleeper);
        Box::pin(async move {
            let bell = &bells[place];
            let last = || bell.last.load(Ordering::SeqCst);
            if let Some(seen) = seen {
                let Ok(seen) = seen.parse::<u64>() else {
                    let why = format!("not a marker of this store: {seen:.32}");
                    return StorageResponse::Failed(StorageError::Refused(why));
                };
                let mut sleep = sleeper(Duration::from_millis(timeout_ms.into()));
                loop {
                    // Listening begins before the look, so that no ring falls between.
                    let rung = bell.event.listen();
                    if last() > seen {
                        break;
                    }
                    match select(rung, sleep).await {
                        Either::Left(((), rest)) => sleep = rest,
                        Either::Right(((), _)) => break,
                    }
                }
            }
            StorageResponse::Polled {
                seen: Some(last().to_string()),
            }
        })
    }
}

/// FNV-1a: the same on every run, and no attacker gains by a wake-up too many.
fn place(partition: &PartitionKey) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in partition.0.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let bells = u64::try_from(BELLS).expect("a small constant");
    usize::try_from(hash % bells).expect("smaller than a small constant")
}
