//! Looking for a case that fails, for as long as there is time.

use super::generate::{Case, cases};
use super::run::Count;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Seeds of cases that failed once; they are tried first, on every server.
const REGRESSIONS: &str = "proptest-regressions/model.txt";

/// Rounds of a case at most.
const ROUNDS_MAX: usize = 8;

/// Cases between two looks at the clock.
const BATCH_CASES: u32 = 25;

/// Cases that are tried to make one that fails smaller.
const SHRINKS_MAX: u32 = 4_000;

/// How long to look, unless `RESTANTE_MODEL_SECONDS` says it.
const TIME: Duration = Duration::from_secs(3);

/// How long to look for a case that fails.
///
/// # Panics
/// When `RESTANTE_MODEL_SECONDS` is no number.
pub fn time() -> Duration {
    let seconds = std::env::var("RESTANTE_MODEL_SECONDS").ok();
    let seconds = seconds.map(|it| it.parse().expect("RESTANTE_MODEL_SECONDS is a number"));
    seconds.map_or(TIME, Duration::from_secs)
}

/// Runs cases until there is no time left, and says how many there were.
///
/// # Panics
/// With the smallest case that still fails, and the conversation.
pub fn search(name: &str, run: impl Fn(&Case) -> Result<Count, String>) {
    let (begin, time) = (Instant::now(), time());
    let total = RefCell::new((0_u64, Count::default()));
    while begin.elapsed() < time {
        let mut runner = TestRunner::new(Config {
            cases: BATCH_CASES,
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
            max_shrink_iters: SHRINKS_MAX,
            ..Config::default()
        });
        let outcome = runner.run(&cases(ROUNDS_MAX), |case| {
            let count = run(&case).map_err(TestCaseError::fail)?;
            let (cases, all) = &mut *total.borrow_mut();
            *cases += 1;
            all.add(&count);
            Ok(())
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(why, case)) => panic!("{case:?}\n{why}"),
            Err(TestError::Abort(why)) => panic!("{why}"),
        }
    }
    let (cases, all) = total.into_inner();
    let rate = cases as f64 / begin.elapsed().as_secs_f64();
    println!("{name}: {cases} cases, {rate:.0} a second; {all:?}");
    // A model in which nothing happens proves nothing.
    assert!(all.changes > cases && all.responses > 10 * cases, "{all:?}");
}
