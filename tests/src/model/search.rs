//! Looking for a case that fails.

use super::effort::Effort;
use super::explain::Unexplained;
use super::generate::{Case, cases};
use super::run::Count;
use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};
use std::cell::RefCell;

/// Seeds of cases that failed once; they are tried first, on every server.
const REGRESSIONS: &str = "proptest-regressions/model.txt";

/// Rounds of a case at most.
const ROUNDS_MAX: usize = 8;

/// Cases between two looks whether to go on.
const BATCH_CASES: u32 = 25;

/// Cases that are tried to make one that fails smaller.
const SHRINKS_MAX: u32 = 4_000;

/// Of so many cases one may be left open because the search for an order was given up.
const CASES_PER_OPEN_MIN: u64 = 100;

/// What was looked at so far.
#[derive(Default)]
struct Total {
    cases: u64,
    /// Cases for which an order was looked for in vain, though there may be one.
    open: u64,
    count: Count,
}

/// Runs cases until it is enough, which are so many where they are always the same
/// ([`Effort::begin`]), and says how many there were.
///
/// # Panics
/// With the smallest case that still fails, and the conversation. When too many cases are left
/// open.
pub fn search(name: &str, fixed_cases: u64, run: impl Fn(&Case) -> Result<Count, Unexplained>) {
    let effort = Effort::begin(fixed_cases);
    let total = RefCell::new(Total::default());
    for batch in 0.. {
        if !effort.goes_on(total.borrow().cases) {
            break;
        }
        let mut config = Config {
            cases: BATCH_CASES,
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
            max_shrink_iters: SHRINKS_MAX,
            ..Config::default()
        };
        if effort.is_fixed() {
            config.rng_seed = RngSeed::Fixed(batch);
        }
        let outcome = TestRunner::new(config).run(&cases(ROUNDS_MAX), |case| {
            let outcome = run(&case);
            let mut total = total.borrow_mut();
            total.cases += 1;
            match outcome {
                Ok(count) => total.count.add(&count),
                Err(Unexplained::Wrong(why)) => return Err(TestCaseError::fail(why)),
                Err(Unexplained::Open(why)) => {
                    total.open += 1;
                    println!("{name}: left open: {case:?}\n{why}");
                }
            }
            Ok(())
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(why, case)) => panic!("{case:?}\n{why}"),
            Err(TestError::Abort(why)) => panic!("{why}"),
        }
    }
    let Total { cases, open, count } = total.into_inner();
    let rate = effort.rate(cases);
    println!("{name}: {cases} cases, {rate:.0} a second, {open} left open; {count:?}");
    // One is no rate yet.
    assert!(
        open <= (cases / CASES_PER_OPEN_MIN).max(1),
        "{open} of {cases} cases are left open"
    );
    // A model in which nothing happens proves nothing.
    assert!(
        count.changes > cases && count.responses > 10 * cases,
        "{count:?}"
    );
}
