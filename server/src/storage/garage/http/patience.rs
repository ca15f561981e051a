//! The time limits of many requests, with one timer.
//!
//! An answer takes milliseconds, and may take many seconds. A timer for each of them, and for each
//! piece of a body, would cost more than what it stands for: smol's wakes another thread whenever
//! one is set. So whoever waits leaves its waker here, and one task looks now and then whose time
//! is over; not at all while nobody waits. A limit is overrun by [`INTERVAL_MAX`] at most.

use crate::storage::Sleeper;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use futures_util::task::AtomicWaker;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// The longest that a limit may be overrun.
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// As part of the shortest limit.
const INTERVALS: u32 = 8;

/// Who waits for something that may take too long.
pub(super) struct Patience(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// The task that looks at the clock, while nobody waits.
    watch: AtomicWaker,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    places: BTreeMap<u64, (Instant, Waker)>,
}

/// The place of one who waits, if it has one; free when dropped.
struct Place<'a> {
    shared: &'a Shared,
    number: Option<u64>,
}

impl Patience {
    /// For limits of `limit` and longer; with the task that keeps them, which ends when the last
    /// handle is dropped.
    pub(super) fn new(
        limit: Duration,
        sleeper: Sleeper,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            watch: AtomicWaker::new(),
        });
        let interval = (limit / INTERVALS).min(INTERVAL_MAX);
        let watch = watch(Arc::downgrade(&shared), interval, sleeper);
        (Self(shared), watch)
    }

    /// The future's result, or `None` if it took longer than `time`.
    pub(super) async fn within<F: Future>(&self, time: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut until = None;
        let mut place = Place {
            shared: &self.0,
            number: None,
        };
        core::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let now = Instant::now();
            let until = *until.get_or_insert(now + time);
            if until <= now {
                return Poll::Ready(None);
            }
            place.keep(until, cx);
            Poll::Pending
        })
        .await
    }
}

impl Place<'_> {
    fn keep(&mut self, until: Instant, cx: &Context<'_>) {
        let mut waiting = self.shared.lock();
        let number = *self.number.get_or_insert_with(|| {
            waiting.next += 1;
            waiting.next
        });
        if let Some((_, waker)) = waiting.places.get_mut(&number) {
            waker.clone_from(cx.waker());
            return;
        }
        let first = waiting.places.is_empty();
        waiting.places.insert(number, (until, cx.waker().clone()));
        drop(waiting);
        if first {
            self.shared.watch.wake();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.lock().places.remove(&number);
        }
    }
}

impl Shared {
    /// A panic leaves the places whole: nothing is done in between.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when somebody waits.
    fn poll_any(&self, cx: &Context<'_>) -> Poll<()> {
        self.watch.register(cx.waker());
        match self.lock().places.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// Wakes those whose time is over.
    fn wake(&self, now: Instant) {
        let waiting = self.lock();
        let places = waiting.places.values();
        let over = places.filter(|(until, _)| *until <= now);
        let over: Vec<Waker> = over.map(|(_, waker)| waker.clone()).collect();
        drop(waiting);
        over.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.watch.wake();
    }
}

/// Looks at the clock for all who wait.
async fn watch(shared: Weak<Shared>, interval: Duration, sleeper: Sleeper) {
    loop {
        let any = core::future::poll_fn(|cx| match shared.upgrade() {
            Some(shared) => shared.poll_any(cx).map(Some),
            None => Poll::Ready(None),
        });
        if any.await.is_none() {
            return;
        }
        sleeper(interval).await;
        if let Some(shared) = shared.upgrade() {
            shared.wake(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::{pending, ready};
    use futures_util::future::{join, join3};
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LIMIT: Duration = Duration::from_millis(80);

    /// A patience whose timers are threads, and how many of them were set.
    fn patience() -> (Patience, impl Future<Output = ()>, Arc<AtomicUsize>) {
        let set = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&set);
        let sleeper: Sleeper = Arc::new(move |time| {
            count.fetch_add(1, Ordering::SeqCst);
            let (done, wait) = futures_channel::oneshot::channel();
            std::thread::spawn(move || {
                std::thread::sleep(time);
                let _gone = done.send(());
            });
            Box::pin(async move { wait.await.unwrap_or(()) })
        });
        let (patience, watch) = Patience::new(LIMIT, sleeper);
        (patience, watch, set)
    }

    #[test]
    fn who_waits_too_long_is_told_and_nobody_else() {
        let (patience, watch, _) = patience();
        let began = Instant::now();
        let waiting = async move {
            let (short, long, quick) = join3(
                patience.within(LIMIT, pending::<()>()),
                patience.within(2 * LIMIT, pending::<()>()),
                patience.within(LIMIT, ready(7)),
            )
            .await;
            assert_eq!((short, long, quick), (None, None, Some(7)));
            assert!(patience.0.lock().places.is_empty());
        };
        // The task ends with the last handle.
        futures_lite::future::block_on(join(waiting, watch));
        assert!(began.elapsed() >= 2 * LIMIT);
    }

    #[test]
    fn what_is_there_at_once_and_what_is_given_up_set_no_timer() {
        let (patience, watch, set) = patience();
        futures_lite::future::block_on(async {
            for _ in 0..100 {
                assert_eq!(patience.within(LIMIT, ready(())).await, Some(()));
            }
            let given_up = patience.within(LIMIT, pending::<()>());
            assert!(futures_lite::future::poll_once(given_up).await.is_none());
            assert!(patience.0.lock().places.is_empty());
        });
        assert_eq!(set.load(Ordering::SeqCst), 0);
        drop(patience);
        futures_lite::future::block_on(watch);
    }

    #[test]
    fn many_who_wait_share_a_timer() {
        let (patience, watch, set) = patience();
        let waiting = async move {
            let all = (0..100).map(|_| patience.within(LIMIT, pending::<()>()));
            let all = futures_util::future::join_all(all).await;
            assert!(all.iter().all(Option::is_none));
        };
        futures_lite::future::block_on(join(waiting, watch));
        let set = set.load(Ordering::SeqCst);
        assert!((1..=20).contains(&set), "{set} timers");
    }
}
