//! UIDs that name nothing any more: clients that were away are told of them (VANISHED, RFC
//! 7162 §3.2.10), and nobody may take one again.
//!
//! They are kept as *runs* of UIDs that follow each other and went with the same MODSEQ. In
//! a mailbox that much goes through, almost every UID is gone, so what went long ago is
//! stored as if all of a run had gone with the last of it ([`GoneUids::encode`]): who was away
//! for longer than that is told of some UIDs again, which RFC 7162 §5 allows, and
//! the list grows no longer than there are messages between the runs.

use super::blocks::{Keyed, SortedBlocks};
use super::encoding::{DecodeError, Decoder, Encoder};
use super::told_again::ToldAgain;
use super::{ModSeq, Uid};

/// Of so many last changes of a mailbox it is known exactly which UIDs went with each.
pub(super) const EXACT_CHANGES: u64 = 4_096;

/// UIDs that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: Uid,
    last: Uid,
    /// When it became known that they are gone.
    modseq: ModSeq,
}

impl Keyed for Run {
    type Key = Uid;
    fn key(&self) -> Uid {
        self.last
    }
}

impl Run {
    fn holds(&self, uid: Uid) -> bool {
        (self.first..=self.last).contains(&uid)
    }

    fn uids(self) -> impl Iterator<Item = Uid> {
        (self.first.get()..=self.last.get()).filter_map(Uid::new)
    }

    /// Whether `next` begins where this ends.
    fn touches(&self, next: &Self) -> bool {
        self.last.get().checked_add(1) == Some(next.first.get())
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct GoneUids {
    runs: SortedBlocks<Run>,
}

impl GoneUids {
    /// When this UID went, if it did: then, or earlier.
    pub(super) fn find(&self, uid: Uid) -> Option<ModSeq> {
        let run = self.runs.first_from(uid)?;
        run.holds(uid).then_some(run.modseq)
    }

    /// All that may have gone after `modseq`, ascending, and all that did.
    pub(super) fn since(&self, modseq: ModSeq) -> impl Iterator<Item = Uid> {
        let runs = self.runs.iter().filter(move |run| run.modseq > modseq);
        runs.flat_map(|run| run.uids())
    }

    /// A UID names nothing from this change on.
    pub(super) fn insert(&mut self, uid: Uid, modseq: ModSeq) {
        let mut new = Run {
            first: uid,
            last: uid,
            modseq,
        };
        let before = uid.get().checked_sub(1).and_then(Uid::new);
        if let Some(old) = self.runs.first_from(uid).copied()
            && old.holds(uid)
        {
            if old.modseq == modseq {
                return;
            }
            self.runs.remove(old.last);
            if let Some(last) = before.filter(|last| old.first <= *last) {
                self.runs.insert(Run { last, ..old });
            }
            let after = uid.get().checked_add(1).and_then(Uid::new);
            if let Some(first) = after.filter(|first| *first <= old.last) {
                self.runs.insert(Run { first, ..old });
            }
        }
        let before = before.and_then(|last| self.runs.find(last)).copied();
        if let Some(before) = before.filter(|it| it.modseq == modseq) {
            self.runs.remove(before.last);
            new.first = before.first;
        }
        let after = self.runs.first_from(uid).copied();
        if let Some(after) = after.filter(|it| it.modseq == modseq && new.touches(it)) {
            self.runs.remove(after.last);
            new.last = after.last;
        }
        self.runs.insert(new);
    }

    /// What is told again went with that change.
    pub(super) fn tell_again(&mut self, told: &ToldAgain) {
        let concerned = |run: &Run| told.instead_of(run.modseq).is_some();
        if !self.runs.iter().any(concerned) {
            return;
        }
        let runs = self.runs.iter().map(|run| Run {
            modseq: told.instead_of(run.modseq).unwrap_or(run.modseq),
            ..*run
        });
        *self = Self::of(runs);
    }

    /// Makes positions right after changes.
    pub(super) fn renumber(&mut self) {
        self.runs.renumber();
    }

    /// Of runs that are in order and apart.
    fn of(runs: impl Iterator<Item = Run>) -> Self {
        // No change has MODSEQ 0.
        let runs = SortedBlocks::from_sorted(joined(runs, ModSeq(0)));
        Self {
            runs: runs.expect("runs that are in order and apart"),
        }
    }

    /// As they are stored.
    fn stored(&self, exact_after: ModSeq) -> Vec<Run> {
        joined(self.runs.iter().copied(), exact_after)
    }

    /// Whether there is anything to be joined, so that it is shorter as runs.
    pub(super) fn has_runs(&self, exact_after: ModSeq) -> bool {
        let mut runs = self.stored(exact_after).into_iter();
        runs.any(|run| run.first != run.last)
    }

    /// Appends the encoded form. `with_lengths`: of checkpoints since version 6; those before
    /// have no place for runs.
    pub(super) fn encode(&self, exact_after: ModSeq, with_lengths: bool, encoder: &mut Encoder) {
        let runs = self.stored(exact_after);
        encoder.count(runs.len());
        let mut before = 0;
        for run in runs {
            encoder.number(u64::from(run.first.get() - before));
            if with_lengths {
                encoder.number(u64::from(run.last.get() - run.first.get()));
            }
            encoder.number(run.modseq.0);
            before = run.last.get();
        }
    }

    /// Reads that form.
    pub(super) fn decode(
        decoder: &mut Decoder<'_>,
        with_lengths: bool,
    ) -> Result<Self, DecodeError> {
        let mut runs = Vec::new();
        let mut before = 0;
        for _ in 0..decoder.count(2 + usize::from(with_lengths))? {
            let first = next_uid(decoder, &mut before)?;
            let more = if with_lengths { decoder.number32()? } else { 0 };
            let last = first.get().checked_add(more).and_then(Uid::new);
            let last = last.ok_or(DecodeError::Invalid("UID"))?;
            before = last.get();
            let modseq = decoder.modseq()?;
            runs.push(Run {
                first,
                last,
                modseq,
            });
        }
        Ok(Self::of(runs.into_iter()))
    }
}

/// Makes one of runs that touch and went with the same change, or both with one up to
/// `exact_after`.
fn joined(runs: impl Iterator<Item = Run>, exact_after: ModSeq) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last)
                if last.touches(&run)
                    && (last.modseq == run.modseq
                        || last.modseq.max(run.modseq) <= exact_after) =>
            {
                last.last = run.last;
                last.modseq = last.modseq.max(run.modseq);
            }
            _ => joined.push(run),
        }
    }
    joined
}

/// UIDs are stored as their distances. Also used for messages.
pub(super) fn next_uid(decoder: &mut Decoder<'_>, before: &mut u32) -> Result<Uid, DecodeError> {
    let step = decoder.number32()?;
    let uid = before.checked_add(step).filter(|_| step > 0);
    let uid = uid.and_then(Uid::new).ok_or(DecodeError::Invalid("UID"))?;
    *before = uid.get();
    Ok(uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    /// What went when, and where the runs are.
    fn check(gone: &GoneUids, model: &BTreeMap<u32, u64>) {
        for number in 1..=80 {
            let expected = model.get(&number).copied().map(ModSeq);
            assert_eq!(gone.find(uid(number)), expected, "{number}");
        }
        for since in [0, 3, 7, 20] {
            let expected = model.iter().filter(|(_, modseq)| **modseq > since);
            let expected: Vec<Uid> = expected.map(|(number, _)| uid(*number)).collect();
            assert!(gone.since(ModSeq(since)).eq(expected), "since {since}");
        }
        let runs: Vec<&Run> = gone.runs.iter().collect();
        assert!(runs.is_sorted_by(|one, two| one.last < two.first));
        let joined = |pair: &[&Run]| pair[0].touches(pair[1]) && pair[0].modseq == pair[1].modseq;
        assert!(!runs.windows(2).any(joined), "not joined: {runs:?}");
    }

    fn again(gone: &GoneUids, exact_after: u64) -> GoneUids {
        let mut encoder = Encoder::new(1);
        gone.encode(ModSeq(exact_after), true, &mut encoder);
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes, 1).unwrap();
        let decoded = GoneUids::decode(&mut decoder, true).unwrap();
        decoder.finish().unwrap();
        decoded
    }

    proptest! {
        #[test]
        fn they_are_what_was_put_in_and_what_is_stored_says_no_less(
            steps in prop::collection::vec((1u32..80, 1u64..20, any::<bool>()), 0..200),
            exact_after in 0u64..22,
        ) {
            let (mut gone, mut model) = (GoneUids::default(), BTreeMap::new());
            for (number, modseq, again) in steps {
                if again {
                    let raised = |old: u64| if old > modseq { 21 } else { old };
                    let mut told = ToldAgain::default();
                    told.tell(ModSeq(modseq), ModSeq(21));
                    gone.tell_again(&told);
                    model.values_mut().for_each(|old| *old = raised(*old));
                } else {
                    gone.insert(uid(number), ModSeq(modseq));
                    model.insert(number, modseq);
                }
                check(&gone, &model);
            }
            check(&again(&gone, 0), &model);
            let stored = again(&gone, exact_after);
            prop_assert!(stored.since(ModSeq(0)).eq(gone.since(ModSeq(0))), "the same UIDs");
            for (number, modseq) in &model {
                let told = stored.find(uid(*number)).unwrap().0;
                prop_assert!(told >= *modseq);
                prop_assert!(told == *modseq || told <= exact_after);
            }
            // What is stored again is the same.
            let runs = |gone: &GoneUids| gone.runs.iter().copied().collect::<Vec<_>>();
            prop_assert_eq!(runs(&again(&stored, exact_after)), runs(&stored));
        }

        #[test]
        fn the_older_form_says_the_same(
            all in prop::collection::btree_map(1u32..80, 1u64..5, 0..60),
        ) {
            let mut encoder = Encoder::new(1);
            encoder.count(all.len());
            let mut before = 0;
            for (number, modseq) in &all {
                encoder.number(u64::from(number - before));
                encoder.number(*modseq);
                before = *number;
            }
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes, 1).unwrap();
            let decoded = GoneUids::decode(&mut decoder, false).unwrap();
            decoder.finish().unwrap();
            let mut encoder = Encoder::new(1);
            if !decoded.has_runs(ModSeq(0)) {
                decoded.encode(ModSeq(0), false, &mut encoder);
                prop_assert_eq!(encoder.finish(), bytes);
            }
            check(&decoded, &all);
        }
    }

    #[test]
    fn runs_of_which_none_is_told_again_stay_shared() {
        let mut gone = GoneUids::default();
        for number in 1..1_000 {
            gone.insert(uid(2 * number), ModSeq(5));
        }
        let mut told = ToldAgain::default();
        told.tell(ModSeq(5), ModSeq(7));
        let mut same = gone.clone();
        same.tell_again(&told);
        assert_eq!(same.runs.unshared(&gone.runs).count(), 0);
        told.tell(ModSeq(4), ModSeq(8));
        same.tell_again(&told);
        assert!(same.since(ModSeq(7)).eq(gone.since(ModSeq(4))));
    }

    #[test]
    fn the_last_uid_of_all_can_go() {
        let mut gone = GoneUids::default();
        for number in [u32::MAX, u32::MAX - 1, 1] {
            gone.insert(uid(number), ModSeq(5));
        }
        let all = [1, u32::MAX - 1, u32::MAX].map(uid);
        assert!(gone.since(ModSeq(4)).eq(all));
        assert!(again(&gone, 9).since(ModSeq(4)).eq(all));
    }

    #[test]
    fn a_run_beyond_the_last_uid_is_refused() {
        let mut encoder = Encoder::new(1);
        encoder.count(1);
        for number in [7, u64::from(u32::MAX), 3] {
            encoder.number(number);
        }
        let bytes = encoder.finish();
        let decoded = GoneUids::decode(&mut Decoder::new(&bytes, 1).unwrap(), true);
        assert_eq!(decoded.err(), Some(DecodeError::Invalid("UID")));
    }
}
