//! How long a model looks for a case that fails, and where its chance begins.

use crate::trials::is_ci;
use std::time::{Duration, Instant};

/// How long to look, unless `RESTANTE_MODEL_SECONDS` says it.
const TIME: Duration = Duration::from_secs(3);

/// How much one test tries.
pub struct Effort {
    begin: Instant,
    until: Until,
}

enum Until {
    /// Always the same cases.
    Cases(u64),
    Time(Duration),
}

impl Effort {
    /// As many seconds as `RESTANTE_MODEL_SECONDS` says. Without it, a few, or where `CI=true` so
    /// many cases, the same each time: a change must not fail by a fault that was there before it.
    ///
    /// # Panics
    /// When `RESTANTE_MODEL_SECONDS` is no number.
    pub fn begin(cases: u64) -> Self {
        let until = match std::env::var("RESTANTE_MODEL_SECONDS") {
            Ok(seconds) => {
                let seconds = seconds.parse();
                let seconds = seconds.expect("RESTANTE_MODEL_SECONDS is a number");
                Until::Time(Duration::from_secs(seconds))
            }
            Err(_) if is_ci() => Until::Cases(cases),
            Err(_) => Until::Time(TIME),
        };
        Self {
            begin: Instant::now(),
            until,
        }
    }

    /// Whether more is to be tried after so many cases.
    pub fn goes_on(&self, cases: u64) -> bool {
        match self.until {
            Until::Cases(count) => cases < count,
            Until::Time(time) => self.begin.elapsed() < time,
        }
    }

    /// Whether its cases are always the same.
    pub fn is_fixed(&self) -> bool {
        matches!(self.until, Until::Cases(_))
    }

    /// Cases a second, where there were so many.
    pub fn rate(&self, cases: u64) -> f64 {
        cases as f64 / self.begin.elapsed().as_secs_f64()
    }
}
