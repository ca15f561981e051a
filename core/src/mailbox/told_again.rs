//! What is told again, while a reading goes on.
//!
//! Each batch whose writer did not know of others gives those a new MODSEQ (see
//! [`modseq`](super::modseq)). To look for them in the whole mailbox each time would cost the
//! number of such batches times that of messages, and after two servers wrote for a while at
//! the same time almost all batches are such. So what each of them asks for is noted here, and
//! once a reading is over the mailbox is looked through for all of them together
//! ([`MailboxState::renumber`](super::MailboxState)). Until then messages and UIDs that are
//! gone have the MODSEQ that was the highest when they changed last.
//!
//! It comes to the same, however a log is divided into readings. To tell again takes all
//! MODSEQs above one to the highest of all, and those do not fall from which the following
//! changes get theirs: so at any time it is whole ranges of MODSEQs that have become one.

use super::ModSeq;

/// Ranges of MODSEQs that have become one each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ToldAgain {
    /// Ascending and apart. No more than there were batches; mostly one.
    ranges: Vec<Range>,
}

/// What changed with a MODSEQ above `above`, up to `to`, is told with `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    above: ModSeq,
    to: ModSeq,
}

impl ToldAgain {
    /// All that has a MODSEQ above `knew` by now gets `to`, which is higher than any.
    pub(super) fn tell(&mut self, knew: ModSeq, to: ModSeq) {
        let first = self.ranges.partition_point(|range| range.to <= knew);
        let above = self.ranges.get(first).map_or(knew, |it| it.above.min(knew));
        self.ranges.truncate(first);
        self.ranges.push(Range { above, to });
    }

    /// The MODSEQ of what changed with this one; `None` if it has it still.
    pub(super) fn instead_of(&self, modseq: ModSeq) -> Option<ModSeq> {
        let range = self.ranges.partition_point(|range| range.to < modseq);
        let range = self.ranges.get(range)?;
        (range.above < modseq && modseq < range.to).then_some(range.to)
    }

    /// Whether nothing is to be told again.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_as_if_each_was_told_at_once(
            steps in prop::collection::vec((any::<bool>(), 0u64..60, 1u64..4), 0..40),
            before in 1u64..20,
        ) {
            // With which MODSEQ things changed, and which they have.
            let mut things: Vec<(u64, u64)> = (1..=before).map(|it| (it, it)).collect();
            let (mut told, mut highest) = (ToldAgain::default(), before);
            for (tell, knew, step) in steps {
                highest += step;
                if tell && knew < highest {
                    told.tell(ModSeq(knew), ModSeq(highest));
                    let again = things.iter_mut().filter(|(_, modseq)| *modseq > knew);
                    again.for_each(|(_, modseq)| *modseq = highest);
                }
                things.push((highest, highest));
                for (first, modseq) in &things {
                    let now = told.instead_of(ModSeq(*first));
                    prop_assert_eq!(now.is_some(), first != modseq);
                    prop_assert_eq!(now.map_or(*first, |now| now.0), *modseq);
                }
            }
        }
    }

    #[test]
    fn of_two_that_never_knew_of_each_other_one_range_is_kept() {
        let mut told = ToldAgain::default();
        assert!(told.is_empty());
        for to in 3..10_000 {
            told.tell(ModSeq(1), ModSeq(to));
            assert_eq!(told.ranges.len(), 1);
        }
        // And so it is of two that always miss the last one.
        for to in 10_000..20_000 {
            told.tell(ModSeq(to - 2), ModSeq(to));
            assert_eq!(told.ranges.len(), 1);
        }
    }
}
