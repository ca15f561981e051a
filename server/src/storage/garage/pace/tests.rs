//! The judge before storages that are made up: how many at once it comes to.

use super::*;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::collections::BinaryHeap;

/// What storage does with requests.
#[derive(Clone, Copy)]
struct Storage {
    /// Seconds that it works on each.
    work_s: f64,
    /// Requests that it works on at once; others wait there.
    workers: usize,
    /// Seconds on the way.
    way_s: f64,
}

/// On one machine with the server.
const NEAR: Storage = Storage {
    work_s: 0.001,
    workers: 2,
    way_s: 0.000_1,
};

/// In another town, with processors enough.
const FAR: Storage = Storage {
    work_s: 0.001,
    workers: 64,
    way_s: 0.020,
};

/// What asking for many objects came to.
struct Outcome {
    /// Seconds until the answers had come.
    wall_s: f64,
    /// Requests under way, on average, when one began.
    at_once: f64,
}

/// A judge and storage, with as many waiting as can be.
struct World {
    judge: Judge,
    now_s: f64,
    /// When storage's workers are free.
    workers: Vec<f64>,
    /// Ends, first the next one (in nanoseconds, turned round), and what was begun.
    under_way: BinaryHeap<(core::cmp::Reverse<u64>, u64)>,
    began: std::collections::BTreeMap<u64, (f64, Crowd)>,
    free: usize,
}

impl World {
    fn new(max: usize) -> Self {
        let judge = Judge::new(max);
        Self {
            free: judge.turns,
            judge,
            now_s: 0.0,
            workers: Vec::new(),
            under_way: BinaryHeap::new(),
            began: std::collections::BTreeMap::new(),
        }
    }

    /// Asks for objects until as many answers have come.
    fn run(&mut self, storage: Storage, answers: u32) -> Outcome {
        let (start_s, mut at_once, mut begun) = (self.now_s, 0, 0);
        self.workers.resize(storage.workers, self.now_s);
        for _ in 0..answers {
            while self.free > 0 {
                self.free -= 1;
                let crowd = self.judge.begin();
                let worker = self.workers.iter_mut().min_by(|a, b| a.total_cmp(b));
                let worker = worker.expect("there is one");
                *worker = worker.max(self.now_s + storage.way_s / 2.0) + storage.work_s;
                let end_ns = ((*worker + storage.way_s / 2.0) * 1e9) as u64;
                let number = crowd.number;
                self.under_way.push((core::cmp::Reverse(end_ns), number));
                self.began.insert(number, (self.now_s, crowd));
                at_once += self.judge.under_way;
                begun += 1;
            }
            let (core::cmp::Reverse(end_ns), number) = self.under_way.pop().expect("a turn");
            let (began_s, crowd) = self.began.remove(&number).expect("it began");
            self.now_s = end_ns as f64 / 1e9;
            let time = Duration::from_secs_f64((self.now_s - began_s).max(0.0));
            self.judge.answered(crowd, time);
            self.free += self.judge.end();
        }
        Outcome {
            wall_s: self.now_s - start_s,
            at_once: at_once as f64 / f64::from(begun),
        }
    }
}

#[test]
fn storage_that_is_near_gets_few_at_once_and_is_never_without_work() {
    let mut world = World::new(64);
    world.run(NEAR, 200);
    let outcome = world.run(NEAR, 20_000);
    assert!(outcome.at_once < 8.0, "{}", outcome.at_once);
    // Two at once, a millisecond each.
    assert!(outcome.wall_s < 10.3, "{} s", outcome.wall_s);
}

#[test]
fn storage_that_is_far_gets_as_many_as_there_may_be() {
    let mut world = World::new(64);
    let first = world.run(FAR, 500);
    assert!(first.wall_s < 0.8, "{} s", first.wall_s);
    let outcome = world.run(FAR, 20_000);
    assert!(outcome.at_once > 55.0, "{}", outcome.at_once);
    // 64 at once, 21 ms each.
    assert!(
        outcome.wall_s < 20_000.0 / 64.0 * 0.021 * 1.1,
        "{} s",
        outcome.wall_s
    );
}

#[test]
fn storage_that_becomes_slower_for_good_is_measured_again() {
    let mut world = World::new(16);
    world.run(NEAR, 1_000);
    let slow = Storage { way_s: 5.0, ..FAR };
    world.run(slow, 200);
    let outcome = world.run(slow, 1_000);
    assert!(outcome.at_once > 14.0, "{}", outcome.at_once);
    // And when it is quick again.
    world.run(NEAR, 4_000);
    let outcome = world.run(NEAR, 4_000);
    assert!(outcome.at_once < 8.0, "{}", outcome.at_once);
}

#[test]
fn storage_that_becomes_slower_by_no_more_than_a_queue_explains_is_measured_again_in_time() {
    let mut world = World::new(16);
    world.run(FAR, 1_000);
    let slower = Storage {
        way_s: 0.080,
        ..FAR
    };
    world.run(slower, ANSWERS_MAX);
    let outcome = world.run(slower, 1_000);
    assert!(outcome.at_once > 14.0, "{}", outcome.at_once);
}

#[test]
fn never_more_than_the_maximum_and_never_none() {
    for max in [1, 2, 3, 5] {
        let mut world = World::new(max);
        for storage in [NEAR, FAR, NEAR] {
            let outcome = world.run(storage, 3_000);
            assert!(outcome.at_once <= max as f64);
            assert!((1..=max).contains(&world.judge.turns));
        }
    }
}

#[test]
fn a_turn_that_ends_without_an_answer_is_given_to_the_next() {
    fn ready<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
    let pace = Pace::new(64);
    let turns: Vec<_> = (0..ALONE_MAX)
        .map(|_| ready(pace.turn("a")).unwrap())
        .collect();
    assert!(ready(pace.turn("a")).is_none());
    drop(turns);
    // Nothing was learnt; it is as it was. Nor does giving up waiting take anything.
    let turns: Vec<_> = (0..ALONE_MAX)
        .map(|_| ready(pace.turn("a")).unwrap())
        .collect();
    assert!(ready(pace.turn("a")).is_none());
    turns.into_iter().for_each(Turn::answered);
    for _ in 0..10 {
        ready(pace.turn("a")).unwrap().answered();
    }
    let turns: Vec<_> = (0..AT_ONCE_MIN)
        .map(|_| ready(pace.turn("a")).unwrap())
        .collect();
    assert!(ready(pace.turn("a")).is_none());
    drop(turns);
}
