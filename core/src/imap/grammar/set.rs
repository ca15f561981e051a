//! Sets of message numbers or UIDs as clients write them (`sequence-set`, RFC 3501 §9):
//! `2,4:7,9,12:*`. What `*` stands for is known only when the command runs.

use super::cursor::Cursor;
use super::{Parsed, bad, too_much};
use core::num::NonZeroU32;
use core::ops::RangeInclusive;

/// A number of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetNumber {
    /// A message number or a UID.
    Number(NonZeroU32),
    /// `*`: the largest in use.
    Last,
}

impl SetNumber {
    fn resolve(self, max: u32) -> u32 {
        match self {
            Self::Number(number) => number.get(),
            Self::Last => max,
        }
    }
}

/// A range of a set, in the order that the client wrote; a single number is twice the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetRange(pub SetNumber, pub SetNumber);

/// A set of message numbers or UIDs: at least one range, at most
/// [`set_ranges_max`](crate::config::Config::set_ranges_max).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceSet(Vec<SetRange>);

impl SequenceSet {
    /// The ranges as written.
    #[must_use]
    pub fn ranges(&self) -> &[SetRange] {
        &self.0
    }

    /// Whether `*` occurs.
    #[must_use]
    pub fn has_last(&self) -> bool {
        self.0
            .iter()
            .any(|range| range.0 == SetNumber::Last || range.1 == SetNumber::Last)
    }

    /// The largest number written, without `*`; `None` if there is only `*`.
    #[must_use]
    pub fn largest(&self) -> Option<u32> {
        let numbers = self.0.iter().flat_map(|range| [range.0, range.1]);
        numbers
            .filter_map(|number| match number {
                SetNumber::Number(number) => Some(number.get()),
                SetNumber::Last => None,
            })
            .max()
    }

    /// Whether it is written in ascending order, without `*`.
    #[must_use]
    pub fn is_ascending(&self) -> bool {
        let mut before = 0;
        self.0.iter().all(|SetRange(first, last)| {
            let (first, last) = (first.resolve(0), last.resolve(0));
            let ascends = before < first && first <= last;
            before = last;
            ascends
        })
    }

    /// The set with `max` for `*`: ascending ranges that neither overlap nor touch.
    /// `5:*` includes `max` even if that is less than 5 (RFC 3501 §9, `seq-range`).
    /// Where there is nothing (`max` is 0), ranges with `*` name nothing.
    #[must_use]
    pub fn resolve(&self, max: u32) -> Vec<RangeInclusive<u32>> {
        let mut ranges: Vec<(u32, u32)> = self
            .0
            .iter()
            .map(|range| (range.0.resolve(max), range.1.resolve(max)))
            .map(|(a, b)| (a.min(b), a.max(b)))
            .filter(|&(first, _)| first > 0)
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<RangeInclusive<u32>> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.end().saturating_add(1) => {
                    *before = *before.start()..=last.max(*before.end());
                }
                _ => merged.push(first..=last),
            }
        }
        merged
    }

    /// A set of these ranges.
    #[must_use]
    pub fn from_ranges(ranges: Vec<SetRange>) -> Self {
        Self(ranges)
    }

    /// Reads a set.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        if cursor.peek() == Some(b'$') {
            return bad("The saved result of a SEARCH ($) is not kept by this server");
        }
        let mut ranges = Vec::new();
        loop {
            if ranges.len() >= cursor.limits.set_ranges_max {
                return too_much("A set has too many ranges");
            }
            let first = number(cursor)?;
            let last = if cursor.take(b':') {
                number(cursor)?
            } else {
                first
            };
            ranges.push(SetRange(first, last));
            if !cursor.take(b',') {
                return Ok(Self(ranges));
            }
        }
    }
}

fn number(cursor: &mut Cursor<'_>) -> Parsed<SetNumber> {
    if cursor.take(b'*') {
        return Ok(SetNumber::Last);
    }
    if !cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        return bad("A set of numbers is expected");
    }
    cursor.nz_number().map(SetNumber::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::imap::grammar::MailboxEncoding;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<SequenceSet> {
        let limits = Config::default();
        let mut cursor = Cursor::new(text.as_bytes(), &limits, MailboxEncoding::default());
        let set = SequenceSet::parse(&mut cursor).ok()?;
        cursor.end().ok().map(|()| set)
    }

    fn resolved(text: &str, max: u32) -> Vec<RangeInclusive<u32>> {
        parse(text).unwrap().resolve(max)
    }

    #[test]
    fn examples_of_rfc_3501() {
        assert_eq!(resolved("2,4:7,9,12:*", 15), [2..=2, 4..=7, 9..=9, 12..=15]);
        assert_eq!(resolved("*:4,5:7", 10), vec![4..=10]);
        assert_eq!(resolved("4:2", 10), vec![2..=4]);
        assert_eq!(resolved("3291:*", 15), vec![15..=3291]);
    }

    #[test]
    fn nothing_is_last_of_nothing() {
        assert_eq!(resolved("*", 0), vec![]);
        assert_eq!(resolved("1:*,3", 0), vec![3..=3]);
        assert_eq!(resolved("1:*", 1), vec![1..=1]);
    }

    #[test]
    fn the_largest_number_does_not_overflow() {
        assert_eq!(
            resolved("4294967295,1:4294967295", 3),
            vec![1..=4_294_967_295]
        );
        assert_eq!(parse("4294967296"), None);
    }

    #[test]
    fn what_is_no_set() {
        for text in [
            "", "0", "1:", ":1", "1,", ",1", "1,,2", "1:2:3", "01", "1:0", "-1", "**", "$", "1 :2",
            "a",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn too_many_ranges_are_too_many() {
        let at_most = vec!["1"; 4096].join(",");
        assert!(parse(&at_most).is_some());
        assert_eq!(parse(&format!("{at_most},1")), None);
    }

    proptest! {
        #[test]
        fn a_resolved_set_is_ascending_and_names_the_same(
            ranges in prop::collection::vec((0_u32..30, 0_u32..30), 1..8),
            max in 1_u32..40,
        ) {
            let word = |number: u32| if number == 0 { "*".to_owned() } else { number.to_string() };
            let text: Vec<String> = ranges.iter().map(|&(a, b)| format!("{}:{}", word(a), word(b))).collect();
            let got = resolved(&text.join(","), max);
            prop_assert!(got.windows(2).all(|pair| pair[0].end() + 1 < *pair[1].start()));
            for number in 1..50 {
                let expected = ranges.iter().any(|&(a, b)| {
                    let at = |n: u32| if n == 0 { max } else { n };
                    (at(a).min(at(b))..=at(a).max(at(b))).contains(&number)
                });
                prop_assert_eq!(got.iter().any(|range| range.contains(&number)), expected);
            }
        }
    }
}
