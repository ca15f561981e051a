//! How likely which fault is, and what becomes of one request.

use crate::chance::Chance;
use restante_core::storage::StorageRequest;

/// See [`Weather::hiccup_us`].
const HICCUP_US_MAX: u64 = 3_000_000;

/// Faults per thousand requests, and delays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weather {
    /// 503 at once; nothing was done.
    pub(crate) refused: u64,
    /// Not done, and no answer.
    pub(crate) lost: u64,
    /// Done, and no answer.
    pub(crate) answer_lost: u64,
    /// No answer, and done after others have gone on.
    pub(crate) late: u64,
    /// Of several items only some are done, and no answer.
    pub(crate) partial: u64,
    /// Done, answered, and done once more later, by another node.
    pub(crate) twice: u64,
    /// Storage is full; nothing was done.
    pub(crate) full: u64,
    /// A stream breaks at one of its steps.
    pub(crate) broken_stream: u64,
    /// What one node took in reaches another much later.
    pub(crate) slow_spread: u64,
    /// The slowest usual delay in microseconds.
    pub(crate) delay_us: u64,
    /// One message in twenty takes up to so many microseconds: what was asked later may be done and
    /// answered meanwhile.
    pub(crate) hiccup_us: u64,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Done and answered.
    Works,
    /// See [`Weather::refused`].
    Refused,
    /// See [`Weather::full`].
    Full,
    /// See [`Weather::lost`].
    Lost,
    /// See [`Weather::answer_lost`].
    AnswerLost,
    /// See [`Weather::late`]: so many microseconds after the time-out.
    Late(u64),
    /// See [`Weather::twice`]: so many microseconds later.
    Twice(u64),
    /// See [`Weather::partial`]: one bit for each item (modulo 64), done or not.
    Partial(u64),
}

impl Weather {
    /// Nothing goes wrong.
    #[must_use]
    pub(crate) fn fair() -> Self {
        Self {
            refused: 0,
            lost: 0,
            answer_lost: 0,
            late: 0,
            partial: 0,
            twice: 0,
            full: 0,
            broken_stream: 0,
            slow_spread: 0,
            delay_us: 3_000,
            hiccup_us: 9_000,
        }
    }

    /// Each fault more or less likely; some worlds know only one of them.
    #[must_use]
    pub(crate) fn random(chance: &mut Chance) -> Self {
        let strength = *chance.pick(&[0, 5, 20, 60]);
        let some = |chance: &mut Chance| match chance.below(3) {
            0 => 0,
            1 => strength / 3,
            _ => strength,
        };
        let delay_us = *chance.pick(&[1_000, 10_000, 200_000, 3_000_000]);
        Self {
            refused: some(chance),
            lost: some(chance),
            answer_lost: some(chance),
            late: some(chance),
            partial: some(chance),
            twice: some(chance) * 2,
            full: some(chance) / 4,
            broken_stream: some(chance),
            slow_spread: some(chance) * 4,
            delay_us,
            hiccup_us: match chance.permille(500) {
                true => delay_us * 3,
                false => (delay_us * 50).clamp(delay_us, HICCUP_US_MAX),
            },
        }
    }

    /// Microseconds that a message takes.
    pub(crate) fn delay(&self, chance: &mut Chance) -> u64 {
        match chance.below(20) {
            0 => chance.between(1, self.hiccup_us + 2),
            _ => chance.between(1, self.delay_us + 2),
        }
    }

    pub(super) fn fate(&self, chance: &mut Chance, request: &StorageRequest) -> Fate {
        use StorageRequest as It;
        let writes = matches!(
            request,
            It::InsertItems(_) | It::DeleteItems(_) | It::FinishObject | It::DeleteObjects(_)
        );
        let stores = matches!(request, It::InsertItems(_) | It::FinishObject);
        let several = match request {
            It::InsertItems(items) => items.len() > 1,
            It::DeleteItems(items) => items.len() > 1,
            _ => false,
        };
        // One throw, cut into pieces: at most one fault happens.
        let mut left = chance.below(1_000);
        let mut falls = |cases: u64| match left.checked_sub(cases) {
            Some(rest) => {
                left = rest;
                false
            }
            None => {
                left = u64::MAX;
                true
            }
        };
        if falls(self.refused) {
            return Fate::Refused;
        }
        if falls(self.lost) {
            return Fate::Lost;
        }
        if stores && falls(self.full) {
            return Fate::Full;
        }
        if !writes {
            return Fate::Works;
        }
        if falls(self.answer_lost) {
            return Fate::AnswerLost;
        }
        if falls(self.late) {
            return Fate::Late(chance.below(180_000_000));
        }
        if falls(self.twice) {
            return Fate::Twice(chance.below(90_000_000));
        }
        if several && falls(self.partial * 4) {
            return Fate::Partial(chance.bits());
        }
        Fate::Works
    }
}
