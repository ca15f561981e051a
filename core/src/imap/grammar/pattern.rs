//! Patterns of LIST (RFC 3501 §6.3.8): `*` matches anything, `%` anything within one
//! level of the hierarchy. A pattern comes from a client and is tried on every mailbox,
//! so it is compiled to a set of states kept as bits: the time for a name is the length
//! of the name times the length of the pattern / 64, whatever the wildcards.

use crate::mailbox::MailboxName;
use core::fmt;

const INBOX: &[u8] = b"INBOX";

/// A pattern, small enough to wait in a command.
#[derive(Clone, PartialEq, Eq)]
pub struct ListPattern {
    /// Reference and pattern, runs of wildcards made one.
    octets: Vec<u8>,
}

impl ListPattern {
    /// The pattern `pattern` below `reference`, both in UTF-8.
    #[must_use]
    pub fn new(reference: &str, pattern: &str) -> Self {
        Self {
            octets: squeeze(reference.bytes().chain(pattern.bytes())),
        }
    }

    /// The reference and the pattern, runs of wildcards made one.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.octets).expect("only ASCII wildcards were taken out of UTF-8")
    }

    /// Whether the whole of one `name` matches; [`Self::matcher`] is for many names.
    #[must_use]
    pub fn matches(&self, name: &MailboxName) -> bool {
        self.matcher().matches(name)
    }

    /// Compiles the pattern, to be tried on many names. A matcher takes up to some 30 times
    /// the memory of its pattern, so it is made when a command runs.
    #[must_use]
    pub fn matcher(&self) -> ListMatcher {
        // One state before each octet and one after the last.
        let words = (self.octets.len() + 1).div_ceil(64);
        let mut matcher = ListMatcher {
            end: self.octets.len(),
            any: vec![0; words],
            within_level: vec![0; words],
            advance: Vec::new(),
        };
        for (state, &octet) in self.octets.iter().enumerate() {
            match octet {
                b'*' => set(&mut matcher.any, state),
                b'%' => set(&mut matcher.within_level, state),
                _ => set(matcher.advanced_by(octet, words), state),
            }
        }
        matcher
    }
}

impl fmt::Debug for ListPattern {
    /// Names of mailboxes are the user's secret: logs see only that there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListPattern(…)")
    }
}

/// A compiled pattern.
#[derive(Clone)]
pub struct ListMatcher {
    /// The state in which all of the pattern has matched.
    end: usize,
    /// States that stay on every octet: those before a `*`.
    any: Bits,
    /// States that stay on every octet but the separator: those before a `%`.
    within_level: Bits,
    /// For each octet that occurs, the states that it advances.
    advance: Vec<(u8, Bits)>,
}

type Bits = Vec<u64>;

impl ListMatcher {
    /// Whether the whole of `name` matches. INBOX, also as the first level of a longer
    /// name, matches in any case (RFC 3501 §5.1).
    #[must_use]
    pub fn matches(&self, name: &MailboxName) -> bool {
        let name = name.as_str().as_bytes();
        let separator = MailboxName::SEPARATOR as u8;
        let below_inbox =
            name.starts_with(INBOX) && matches!(name.get(INBOX.len()), None | Some(&b'/'));
        let mut states = vec![0; self.any.len()];
        set(&mut states, 0);
        self.skip_wildcards(&mut states);
        let mut next = vec![0; states.len()];
        for (place, &octet) in name.iter().enumerate() {
            for (word, next) in next.iter_mut().enumerate() {
                *next = states[word] & self.any[word];
                if octet != separator {
                    *next |= states[word] & self.within_level[word];
                }
            }
            self.step(octet, &states, &mut next);
            if below_inbox && place < INBOX.len() {
                self.step(octet.to_ascii_lowercase(), &states, &mut next);
            }
            self.skip_wildcards(&mut next);
            if next.iter().all(|&word| word == 0) {
                return false;
            }
            core::mem::swap(&mut states, &mut next);
        }
        states[self.end / 64] >> (self.end % 64) & 1 == 1
    }

    /// Steps that it takes to try a name of so many octets, at most.
    #[must_use]
    pub fn steps(&self, octets: usize) -> usize {
        octets.saturating_mul(self.any.len())
    }

    fn advanced_by(&mut self, octet: u8, words: usize) -> &mut Bits {
        let place = match self.advance.binary_search_by_key(&octet, |entry| entry.0) {
            Ok(place) => place,
            Err(place) => {
                self.advance.insert(place, (octet, vec![0; words]));
                place
            }
        };
        &mut self.advance[place].1
    }

    /// Moves the states that `octet` advances.
    fn step(&self, octet: u8, states: &[u64], next: &mut [u64]) {
        let Ok(place) = self.advance.binary_search_by_key(&octet, |entry| entry.0) else {
            return;
        };
        let mask = &self.advance[place].1;
        or_shifted(next, |word| states[word] & mask[word]);
    }

    /// A wildcard may match nothing. No two of them are neighbours, so one step is enough.
    fn skip_wildcards(&self, states: &mut [u64]) {
        let mut carry = 0;
        for (word, bits) in states.iter_mut().enumerate() {
            let at_wildcard = *bits & (self.any[word] | self.within_level[word]);
            *bits |= at_wildcard << 1 | carry;
            carry = at_wildcard >> 63;
        }
    }
}

impl fmt::Debug for ListMatcher {
    /// Names of mailboxes are the user's secret: logs see only that there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListMatcher(…)")
    }
}

/// `**` and `*%` match what `*` does, `%%` what `%` does.
fn squeeze(octets: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut squeezed: Vec<u8> = Vec::new();
    for octet in octets {
        match (squeezed.last_mut(), octet) {
            (Some(b'*'), b'*' | b'%') | (Some(b'%'), b'%') => {}
            (Some(last @ b'%'), b'*') => *last = b'*',
            _ => squeezed.push(octet),
        }
    }
    squeezed
}

fn set(bits: &mut [u64], place: usize) {
    bits[place / 64] |= 1 << (place % 64);
}

fn or_shifted(into: &mut [u64], source: impl Fn(usize) -> u64) {
    let mut carry = 0;
    for (word, bits) in into.iter_mut().enumerate() {
        let source = source(word);
        *bits |= source << 1 | carry;
        carry = source >> 63;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        ListPattern::new("", pattern).matches(&MailboxName::new(name))
    }

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("%/%", "a/b", true),
            ("a*c", "a/b/c", true),
            ("a%c", "a/b/c", false),
            ("*%", "a/b", true),
            ("%*", "a/b", true),
            ("a", "a", true),
            ("a", "A", false),
            ("a", "ab", false),
            ("ab", "a", false),
            ("", "a", false),
            ("*/%/x*", "a/b/xyz", true),
            ("*/%/x*", "a/xyz", false),
            ("Entw%rfe", "Entwürfe", true),
            ("%ü%", "Entwürfe", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_reference_comes_first() {
        let pattern = ListPattern::new("Archive/", "%").matcher();
        assert!(pattern.matches(&MailboxName::new("Archive/2024")));
        assert!(!pattern.matches(&MailboxName::new("Archive")));
        assert!(!pattern.matches(&MailboxName::new("Archive/2024/May")));
    }

    #[test]
    fn inbox_has_no_case() {
        for pattern in ["inbox", "InBoX", "in%", "*x", "INBOX", "iNBo*"] {
            assert!(matches(pattern, "INBOX"), "{pattern}");
        }
        assert!(matches("inbox/a", "INBOX/a"));
        assert!(!matches("inbox/A", "INBOX/a"));
        assert!(!matches("inboxes", "INBOXES"));
        assert!(!matches("a/inbox", "a/INBOX"));
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = ListPattern::new("", &"*a%a".repeat(250)).matcher();
        let name = MailboxName::new(&"a".repeat(1000));
        for _ in 0..100 {
            assert!(pattern.matches(&name));
        }
        let pattern = ListPattern::new("", &format!("{}b", "*a".repeat(400))).matcher();
        for _ in 0..100 {
            assert!(!pattern.matches(&name));
        }
    }

    /// The obvious way, exponential and right.
    fn obvious(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((b'*', rest)), tail) => {
                obvious(rest, name) || tail.is_some_and(|(_, tail)| obvious(pattern, tail))
            }
            (Some((b'%', rest)), tail) => {
                obvious(rest, name)
                    || tail.is_some_and(|(&octet, tail)| octet != b'/' && obvious(pattern, tail))
            }
            (Some((a, rest)), Some((b, tail))) => a == b && obvious(rest, tail),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn the_same_as_the_obvious_way(pattern in "[ab/*%]{0,10}", name in "[ab/]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), obvious(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn the_same_across_words(pattern in "[ab*%]{60,70}", name in "[ab]{60,140}") {
            // Long enough that states cross from one word to the next; few wildcards.
            let pattern = pattern.replacen('*', "a", 50).replacen('%', "b", 50);
            let name_of_pattern = format!("{pattern}{name}");
            prop_assert!(matches(&pattern, &pattern) || pattern.contains('*'));
            prop_assert!(matches(&format!("{pattern}*"), &name_of_pattern), "a prefix matches");
            prop_assert!(matches(&format!("*{name}"), &name_of_pattern), "and a suffix");
            prop_assert_eq!(matches(&format!("{pattern}%a"), &name_of_pattern), name.ends_with('a'));
        }
    }
}
