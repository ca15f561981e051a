//! How many objects Garage is asked for at once.
//!
//! Whoever reads a whole mailbox asks for objects ahead, and on storage that is far away only many
//! requests at once make that quick. On storage that is near, a few keep it busy; more of them wait
//! there in a queue, and so does the next NOOP of somebody else. Which of the two it is shows
//! in the time that an answer takes. As long as that is what it takes alone, nothing waits, and more may be
//! asked for; when it is twice as long, half of what is asked for waits. So there are as many at once as
//! Garage works on, and [`WAITING`] more that see to it that it is never without work. All accounts
//! share one number, and take turns ([`line`](super::line)).
//!
//! What this does not hold up: items, so NOOP, IDLE, flags and lists; and all that is written.

use super::line::{Line, Place};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Objects that may always be asked for at once.
const AT_ONCE_MIN: usize = 4;
/// Objects that are asked for beyond those that Garage works on.
const WAITING: f64 = 4.0;
/// So few requests at once that none waits for another: "alone".
const ALONE_MAX: usize = 2;
/// One part of this many is what a further answer weighs in an average, and how far the number
/// moves with each to where it should be.
const WEIGHT: u32 = 16;
/// Answers after which it is measured again how long one takes alone…
const ANSWERS_MAX: u32 = 2_048;
/// …by as many answers.
const ALONE_ANSWERS: u32 = 4;

/// Hands out turns.
pub(super) struct Pace {
    line: Arc<Line>,
    judge: Mutex<Judge>,
}

/// One object that is being asked for. Over when dropped.
pub(super) struct Turn<'a> {
    pace: &'a Pace,
    /// `None` when it is over.
    place: Option<Place>,
    began: Instant,
    crowd: Crowd,
}

/// What else was asked for when a turn began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crowd {
    /// How many turns had begun, with this one.
    number: u64,
    /// Whether this one was alone.
    alone: bool,
    /// Whether no more would have been allowed.
    full: bool,
}

impl Pace {
    /// Never more than `max` at once.
    pub(super) fn new(max: usize) -> Self {
        let judge = Judge::new(max.max(1));
        Self {
            line: Line::new(judge.turns),
            judge: Mutex::new(judge),
        }
    }

    /// Waits for a turn of this account.
    pub(super) async fn turn(&self, account: &str) -> Turn<'_> {
        let place = self.line.place(account).await;
        let crowd = self.judge().begin();
        Turn {
            pace: self,
            place: Some(place),
            began: Instant::now(),
            crowd,
        }
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        // Numbers only: each is good by itself.
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The first octets are there.
    pub(super) fn answered(self) {
        let time = self.began.elapsed();
        self.pace.judge().answered(self.crowd, time);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            place.give_up();
        }
        let others = self.pace.judge().end();
        self.pace.line.add(others);
    }
}

/// Decides how many at once.
#[derive(Debug)]
struct Judge {
    max: usize,
    /// Turns that are taken or can be.
    turns: usize,
    under_way: usize,
    /// Turns that ever began.
    begun: u64,
    /// Which of them was the last one that was not alone when it began.
    crowded: u64,
    /// How many may be under way: what `turns` comes to as turns end.
    limit: f64,
    /// How long an answer takes alone.
    alone: Average,
    /// How long an answer takes now.
    now: Average,
    /// Answers since it was measured how long one takes alone.
    answers: u32,
    /// Answers that are still needed to measure it again.
    measuring: u32,
}

impl Judge {
    fn new(max: usize) -> Self {
        let turns = ALONE_MAX.min(max);
        Self {
            max,
            turns,
            under_way: 0,
            begun: 0,
            crowded: 0,
            limit: AT_ONCE_MIN.min(max) as f64,
            alone: Average::default(),
            now: Average::default(),
            answers: 0,
            measuring: ALONE_ANSWERS,
        }
    }

    fn begin(&mut self) -> Crowd {
        self.under_way += 1;
        self.begun += 1;
        let alone = self.under_way <= ALONE_MAX;
        if !alone {
            self.crowded = self.begun;
        }
        Crowd {
            number: self.begun,
            alone,
            full: self.under_way >= self.turns,
        }
    }

    /// A turn is over. Says how many others may begin for it.
    fn end(&mut self) -> usize {
        self.under_way = self.under_way.saturating_sub(1);
        self.turns = self.turns.saturating_sub(1);
        let more = self.allowed().saturating_sub(self.turns);
        self.turns += more;
        more
    }

    fn allowed(&self) -> usize {
        let allowed = if self.measuring > 0 {
            ALONE_MAX
        } else {
            self.limit as usize
        };
        allowed.clamp(1, self.max)
    }

    fn answered(&mut self, crowd: Crowd, time: Duration) {
        if crowd.alone && self.crowded < crowd.number {
            self.answered_alone(time);
        }
        if !crowd.full || self.measuring > 0 {
            // Nobody was kept waiting: nothing is known of a larger number.
            return;
        }
        self.now.add(time);
        self.answers += 1;
        let least = AT_ONCE_MIN.min(self.max) as f64;
        let times_longer = (self.now.mean_s / self.alone.mean_s).max(1.0);
        let worked_on = self.limit / times_longer;
        self.limit += (worked_on + WAITING - self.limit) / f64::from(WEIGHT);
        self.limit = self.limit.clamp(least, self.max as f64);
        // Requests that wait for each other do not explain more than this: Garage has become slower,
        // and how long an answer takes alone is not known any more.
        let out_of_date = times_longer > self.limit + 1.0;
        if out_of_date || self.answers >= ANSWERS_MAX {
            self.measuring = ALONE_ANSWERS;
        }
    }

    fn answered_alone(&mut self, time: Duration) {
        if self.measuring == ALONE_ANSWERS {
            (self.alone, self.now) = Default::default();
        }
        self.alone.add(time);
        self.measuring = self.measuring.saturating_sub(1);
        self.answers = 0;
    }
}

/// What lately was usual.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    /// Seconds.
    mean_s: f64,
    /// Times that it was made of, up to [`WEIGHT`].
    count: u32,
}

impl Average {
    fn add(&mut self, time: Duration) {
        self.count = WEIGHT.min(self.count + 1);
        self.mean_s += (time.as_secs_f64() - self.mean_s) / f64::from(self.count);
    }
}

#[cfg(test)]
mod tests;
