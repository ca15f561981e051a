//! Room for copies of messages that are being stored at once: each takes memory of a known
//! size, so their number bounds what all messages that come in take together.

use crate::permits::{Permit, Permits};
use futures_util::lock::Mutex;
use std::sync::Arc;

/// A number of places, taken many at a time.
pub(super) struct Room {
    max: usize,
    /// One at a time collects places: two that had half of what they need would wait for
    /// each other.
    door: Mutex<()>,
    free: Permits,
}

/// Places that were taken; they are free again when this is dropped.
pub(super) type Places = Vec<Permit>;

impl Room {
    pub(super) fn new(max: usize) -> Arc<Self> {
        let max = max.max(1);
        Arc::new(Self {
            max,
            door: Mutex::new(()),
            free: Permits::new(max),
        })
    }

    /// Waits for `count` places, or all that there are.
    pub(super) async fn take(self: Arc<Self>, count: usize) -> Places {
        let _inside = self.door.lock().await;
        let mut places = Vec::new();
        while places.len() < count.min(self.max) {
            places.push(self.free.take().await);
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn places_are_taken_together_and_given_back() {
        let room = Room::new(3);
        let take = |count| Arc::clone(&room).take(count);
        let two = take(2).now_or_never().expect("three are free");
        let mut three = Box::pin(take(3));
        assert!((&mut three).now_or_never().is_none());
        let mut one = Box::pin(take(1));
        assert!(
            (&mut one).now_or_never().is_none(),
            "whoever came first goes first"
        );
        // Whoever gives up half way gives back what it had.
        drop(three);
        let one = one.now_or_never().expect("one is free");
        drop(two);
        let two = take(2).now_or_never().expect("two are free");
        drop((one, two));
        assert!(take(1_000).now_or_never().is_some(), "more than there is");
    }
}
