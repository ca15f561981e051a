//! Who logged in from where of late, in a fixed amount of memory.
//!
//! Only right passwords are noted, so that strangers have no influence on what is remembered. When
//! there is no place left, the oldest success of the set is forgotten.

use std::hash::{BuildHasher, Hash, RandomState};

/// Sets of places; a pair of a network and a name belongs to one of them.
const SETS: usize = 4_096;
/// Places of a set: 16,384 pairs in all, in 256 KiB.
const PLACES: usize = 4;
/// Milliseconds for which a success is remembered: a week.
const KEPT_MS: u64 = 7 * 24 * 3_600 * 1_000;

/// Pairs of a network and a name. Times are milliseconds of any monotonic clock.
pub(super) struct Known {
    hasher: RandomState,
    sets: Vec<[Success; PLACES]>,
}

#[derive(Clone, Copy, Default)]
struct Success {
    /// The hash of its pair.
    pair: u64,
    until_ms: u64,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            sets: vec![[Success::default(); PLACES]; SETS],
        }
    }
}

impl Known {
    /// Whether this pair has had a success of late.
    pub(super) fn has(&self, pair: &impl Hash, now_ms: u64) -> bool {
        let (pair, set) = self.place(pair);
        let mut successes = self.sets[set].iter();
        successes.any(|success| success.pair == pair && now_ms < success.until_ms)
    }

    /// This pair has had a success.
    pub(super) fn note(&mut self, pair: &impl Hash, now_ms: u64) {
        let (pair, set) = self.place(pair);
        let places = self.sets[set].iter_mut();
        // Its own place, or the one that is of least use.
        let place = places.min_by_key(|success| (success.pair != pair, success.until_ms));
        if let Some(place) = place {
            let until_ms = now_ms.saturating_add(KEPT_MS);
            *place = Success { pair, until_ms };
        }
    }

    fn place(&self, pair: &impl Hash) -> (u64, usize) {
        let pair = self.hasher.hash_one(pair);
        (pair, (pair % SETS as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successes_are_remembered_for_a_week() {
        let mut known = Known::default();
        assert!(!known.has(&"alice", 0));
        known.note(&"alice", 1_000);
        assert!(known.has(&"alice", 1_000 + KEPT_MS - 1));
        assert!(!known.has(&"alice", 1_000 + KEPT_MS));
        assert!(!known.has(&"bob", 1_000));
    }

    #[test]
    fn the_oldest_ones_are_forgotten_when_there_are_too_many() {
        let mut known = Known::default();
        let all = SETS * PLACES * 4;
        for number in 0..all {
            known.note(&number, number as u64);
            // Who comes again and again takes one place.
            known.note(&"alice", number as u64);
        }
        let now_ms = all as u64;
        assert!(known.has(&"alice", now_ms));
        assert!(known.has(&(all - 1), now_ms));
        let kept = (0..all).filter(|number| known.has(number, now_ms)).count();
        assert!(kept < SETS * PLACES, "{kept} in fewer places");
        assert!(kept > SETS * PLACES / 2, "only {kept}");
    }
}
