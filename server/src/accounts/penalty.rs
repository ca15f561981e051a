//! Guessing passwords made slow, across connections.
//!
//! The core already answers a wrong password late within one connection. This table
//! remembers wrong passwords by source address and by login name for all connections
//! together, in a fixed amount of memory however many addresses an attacker has: a
//! count-min sketch whose counts decay. Two keys that share a cell in every row share
//! their count, which errs on the side of waiting.
//!
//! A source that guesses gets its attempts *one after another*. An attempt is looked at when
//! it comes and once more when its password is about to be computed: those that came at once
//! with others were not known to be guesses before the first of them had failed, and gain nothing
//! by that. A name that is being guessed is only slowed down, because its owner must not be
//! locked out by somebody else's guessing.
//!
//! Behind one address there may be everybody: users of a webmail, of a TCP proxy, of a network
//! with NAT. So a name that logged in from a source of late is [a source of its own](super::known):
//! it waits for nobody's wrong passwords from there but its own, and nobody waits for those.

use super::known::Known;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Cells in a row.
const CELLS: usize = 8_192;
/// Wrong passwords that cost nothing: people mistype, and clients repeat.
const FREE: u32 = 10;
/// The wait after the first wrong password that counts; each further one doubles it.
const WAIT_MIN_MS: u64 = 250;
/// The longest wait between two attempts of one source, in milliseconds.
const SOURCE_WAIT_MAX_MS: u64 = 8_000;
/// The longest wait for one name, in milliseconds.
const NAME_WAIT_MAX_MS: u64 = 2_000;
/// Attempts that would have to wait for longer are refused.
const QUEUE_MAX_MS: u64 = 30_000;
/// After this many milliseconds without a further wrong password half of them are
/// forgotten.
const HALF_LIFE_MS: u64 = 5 * 60 * 1_000;

/// Who is trying to log in.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Where from.
    pub source: IpAddr,
    /// As whom.
    pub name: &'a str,
}

/// The source has more attempts waiting than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// What an attempt has waited for already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waited {
    /// For its name, in milliseconds.
    name_ms: u64,
    /// For its turn among those of its source.
    source: bool,
}

/// Wrong passwords of the recent past. Times are milliseconds of any monotonic clock.
pub struct Penalties {
    hashers: [RandomState; 2],
    rows: Mutex<[Vec<Cell>; 2]>,
    known: Mutex<Known>,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    failures: u32,
    /// When `failures` was last brought up to date.
    updated_ms: u64,
    /// When the next attempt may be made.
    next_ms: u64,
}

impl Default for Penalties {
    fn default() -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            rows: Mutex::new([vec![Cell::default(); CELLS], vec![Cell::default(); CELLS]]),
            known: Mutex::default(),
        }
    }
}

impl Penalties {
    /// How long this attempt has to wait, besides what it has waited for, before its password is
    /// looked at. It is asked again after that, and ends: for its source an attempt waits once,
    /// for its name as long as all its waits together may be.
    ///
    /// # Errors
    /// When the attempts of this source that wait already take too long.
    pub fn wait(
        &self,
        attempt: Attempt<'_>,
        waited: &mut Waited,
        now_ms: u64,
    ) -> Result<Duration, TooMany> {
        let source = self.source(attempt, now_ms);
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.places(&("name", attempt.name));
        let failures = least(&mut rows, name, now_ms, |cell| u64::from(cell.failures));
        let name_ms = step_ms(failures, NAME_WAIT_MAX_MS);
        let name_wait_ms = name_ms.saturating_sub(waited.name_ms);
        waited.name_ms = waited.name_ms.max(name_ms);

        let failures = least(&mut rows, source, now_ms, |cell| u64::from(cell.failures));
        let step = step_ms(failures, SOURCE_WAIT_MAX_MS);
        if step == 0 || waited.source {
            return Ok(Duration::from_millis(name_wait_ms));
        }
        let next = least(&mut rows, source, now_ms, |cell| cell.next_ms).max(now_ms) + step;
        if next - now_ms > QUEUE_MAX_MS {
            return Err(TooMany);
        }
        for (row, place) in rows.iter_mut().zip(source) {
            row[place].next_ms = row[place].next_ms.max(next);
        }
        waited.source = true;
        Ok(Duration::from_millis((next - now_ms).max(name_wait_ms)))
    }

    /// The password was right.
    pub fn succeeded(&self, attempt: Attempt<'_>, now_ms: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.note(&(network(attempt.source), attempt.name), now_ms);
    }

    /// The password was wrong.
    pub fn failed(&self, attempt: Attempt<'_>, now_ms: u64) {
        let keys = [
            self.places(&("name", attempt.name)),
            self.source(attempt, now_ms),
        ];
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for places in keys {
            for (row, place) in rows.iter_mut().zip(places) {
                row[place].decay(now_ms);
                row[place].failures = row[place].failures.saturating_add(1);
            }
        }
    }

    /// The cells of what this attempt comes from: a network, or a name that is known there.
    fn source(&self, attempt: Attempt<'_>, now_ms: u64) -> [usize; 2] {
        let network = network(attempt.source);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.has(&(network, attempt.name), now_ms) {
            true => self.places(&("known", network, attempt.name)),
            false => self.places(&("source", network)),
        }
    }

    fn places<K: std::hash::Hash>(&self, key: &K) -> [usize; 2] {
        [0, 1].map(|row| (self.hashers[row].hash_one(key) % CELLS as u64) as usize)
    }
}

impl Cell {
    fn decay(&mut self, now_ms: u64) {
        let halvings = now_ms.saturating_sub(self.updated_ms) / HALF_LIFE_MS;
        self.failures = u32::try_from(halvings)
            .ok()
            .and_then(|halvings| self.failures.checked_shr(halvings))
            .unwrap_or(0);
        // A failure restarts the half-life in progress, if there is anything to forget.
        if halvings > 0 || self.failures == 0 {
            self.updated_ms = now_ms;
        }
    }
}

/// The smallest of what the cells of a key hold: the others have been counted up by
/// other keys.
fn least(
    rows: &mut [Vec<Cell>; 2],
    places: [usize; 2],
    now_ms: u64,
    what: impl Fn(&Cell) -> u64,
) -> u64 {
    let values = rows.iter_mut().zip(places).map(|(row, place)| {
        row[place].decay(now_ms);
        what(&row[place])
    });
    values.min().unwrap_or(0)
}

fn step_ms(failures: u64, max_ms: u64) -> u64 {
    let counted = failures.saturating_sub(u64::from(FREE));
    if counted == 0 {
        return 0;
    }
    let doublings = u32::try_from(counted - 1).unwrap_or(u32::MAX).min(16);
    (WAIT_MIN_MS << doublings).min(max_ms)
}

/// What one customer usually has: an IPv4 address, an IPv6 /64.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt<'a>(source: &str, name: &'a str) -> Attempt<'a> {
        Attempt {
            source: source.parse().unwrap(),
            name,
        }
    }

    fn fail(penalties: &Penalties, attempt: Attempt<'_>, times: usize) {
        for _ in 0..times {
            penalties.failed(attempt, 1_000);
        }
    }

    fn wait(penalties: &Penalties, attempt: Attempt<'_>, now_ms: u64) -> Result<Duration, TooMany> {
        penalties.wait(attempt, &mut Waited::default(), now_ms)
    }

    #[test]
    fn mistyped_passwords_cost_nothing() {
        let penalties = Penalties::default();
        let alice = attempt("192.0.2.1", "alice");
        fail(&penalties, alice, FREE as usize);
        assert_eq!(wait(&penalties, alice, 1_000), Ok(Duration::ZERO));
    }

    #[test]
    fn guesses_of_one_source_come_one_after_another_and_then_not_at_all() {
        let penalties = Penalties::default();
        let source = "2001:db8::1";
        for guess in 0..30 {
            penalties.failed(attempt(source, &guess.to_string()), 1_000);
        }
        let mut waits = Vec::new();
        while let Ok(wait) = wait(&penalties, attempt("2001:db8::2", "fresh"), 1_000) {
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [8, 16, 24]);
        assert_eq!(
            wait(&penalties, attempt("2001:db8:0:1::1", "fresh"), 1_000),
            Ok(Duration::ZERO),
            "another network"
        );
    }

    #[test]
    fn guessed_name_is_slow_for_everybody_but_never_locked() {
        let penalties = Penalties::default();
        for host in 0..100 {
            penalties.failed(attempt(&format!("192.0.2.{host}"), "alice"), 1_000);
        }
        for _ in 0..100 {
            assert_eq!(
                wait(&penalties, attempt("198.51.100.1", "alice"), 1_000),
                Ok(Duration::from_millis(NAME_WAIT_MAX_MS))
            );
        }
        assert_eq!(
            wait(&penalties, attempt("198.51.100.1", "bob"), 1_000),
            Ok(Duration::ZERO)
        );
    }

    #[test]
    fn wrong_passwords_are_forgotten() {
        let penalties = Penalties::default();
        let alice = attempt("192.0.2.1", "alice");
        fail(&penalties, alice, 4 * FREE as usize);
        assert!(wait(&penalties, alice, 1_000).unwrap() > Duration::ZERO);
        let later = 1_000 + 2 * HALF_LIFE_MS;
        assert_eq!(wait(&penalties, alice, later), Ok(Duration::ZERO));
    }
    #[test]
    fn attempts_that_came_in_time_wait_for_their_turn_before_they_are_computed() {
        let penalties = Penalties::default();
        let all = [0; 20].map(|_| Waited::default());
        let guess = |number: usize| attempt("192.0.2.1", ["a", "b", "c"][number % 3]);
        let mut waits = Vec::new();
        for (number, mut waited) in all.into_iter().enumerate() {
            // None of them was known to guess when it came.
            let wait = |waited: &mut Waited| {
                let wait = penalties.wait(guess(number), waited, 1_000);
                wait.unwrap().as_millis()
            };
            waits.push(wait(&mut waited));
            assert_eq!(wait(&mut waited), 0, "asked for more than its turn");
            if number <= FREE as usize {
                penalties.failed(guess(number), 1_000);
            }
        }
        assert_eq!(waits[..=FREE as usize], [0; FREE as usize + 1]);
        assert_eq!(waits[FREE as usize + 1..][..3], [250, 500, 750]);
    }

    #[test]
    fn attempt_that_waited_for_its_name_waits_for_its_source_as_well() {
        let penalties = Penalties::default();
        for host in 0..100 {
            penalties.failed(attempt(&format!("198.51.100.{host}"), "alice"), 1_000);
        }
        let alice = attempt("192.0.2.1", "alice");
        let mut waited = Waited::default();
        let wait = penalties.wait(alice, &mut waited, 1_000).unwrap();
        assert_eq!(wait, Duration::from_millis(NAME_WAIT_MAX_MS));
        fail(&penalties, alice, 30);
        let wait = penalties.wait(alice, &mut waited, 1_000).unwrap();
        assert_eq!(wait, Duration::from_millis(SOURCE_WAIT_MAX_MS));
        let wait = penalties.wait(alice, &mut waited, 1_000).unwrap();
        assert_eq!(wait, Duration::ZERO);
    }

    #[test]
    fn name_that_is_known_at_a_source_waits_for_its_own_wrong_passwords_only() {
        let penalties = Penalties::default();
        let (alice, bob) = (attempt("192.0.2.1", "alice"), attempt("192.0.2.1", "bob"));
        penalties.succeeded(alice, 1_000);
        for guess in 0..30 {
            penalties.failed(attempt("192.0.2.1", &guess.to_string()), 1_000);
        }
        assert_eq!(wait(&penalties, alice, 1_000), Ok(Duration::ZERO));
        let turn = Duration::from_millis(SOURCE_WAIT_MAX_MS);
        assert_eq!(wait(&penalties, bob, 1_000), Ok(turn));
        // Nor does anybody else wait for those of its own.
        let later = 1_000 + 40 * HALF_LIFE_MS;
        for _ in 0..30 {
            penalties.failed(alice, later);
        }
        assert_eq!(wait(&penalties, alice, later), Ok(turn));
        assert_eq!(wait(&penalties, alice, later), Ok(2 * turn), "at once");
        assert_eq!(wait(&penalties, bob, later), Ok(Duration::ZERO));
    }
}
