//! Sets of sequence numbers or UIDs.

use core::fmt;

/// Ranges; 0 is `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Set(pub Vec<(u32, u32)>);

/// Raw numbers from here on name messages that are not there.
const ABSENT: u32 = 240;

impl Set {
    /// Turns raw numbers into those of messages, or near them.
    pub(super) fn aim(&mut self, uid: bool, uids: &[u32]) {
        let count = uids.len().max(1) as u32;
        let number = |raw: u32| match raw {
            0 => 0,
            raw if uid && raw >= ABSENT => uids.last().unwrap_or(&1) + raw % 4,
            raw if uid => *uids.get(((raw - 1) % count) as usize).unwrap_or(&raw),
            raw if raw >= ABSENT => count + 1,
            raw => 1 + (raw - 1) % count,
        };
        for (from, to) in &mut self.0 {
            (*from, *to) = (number(*from), number(*to));
        }
    }

    /// Whether a number is in the set, if `*` is `last`.
    #[must_use]
    pub fn holds(&self, number: u32, last: u32) -> bool {
        let value = |it: u32| if it == 0 { last } else { it };
        self.0.iter().any(|(from, to)| {
            let (from, to) = (value(*from), value(*to));
            (from.min(to)..=from.max(to)).contains(&number)
        })
    }

    /// Whether it is a set of sequence numbers of a mailbox with so many messages: it
    /// names none that are not there, unless up to `*`.
    #[must_use]
    pub fn is_valid(&self, count: u32) -> bool {
        let valid =
            |(from, to): &(u32, u32)| *from == 0 || *to == 0 || (*from <= count && *to <= count);
        self.0.iter().all(valid)
    }

    /// The numbers in a set that a server wrote, in its order.
    ///
    /// # Errors
    /// What is not a set.
    pub fn numbers(text: &str) -> Result<Vec<u32>, String> {
        let fault = || format!("not a set: {text}");
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once(':').unwrap_or((part, part));
            let from: u32 = from.parse().map_err(|_| fault())?;
            let to: u32 = to.parse().map_err(|_| fault())?;
            if from == 0 || from > to || to - from > 100_000 {
                return Err(fault());
            }
            numbers.extend(from..=to);
        }
        Ok(numbers)
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |it: u32| match it {
            0 => "*".to_owned(),
            it => it.to_string(),
        };
        for (place, (from, to)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let (from, to) = (number(*from), number(*to));
            match from == to {
                true => write!(f, "{comma}{from}")?,
                false => write!(f, "{comma}{from}:{to}")?,
            }
        }
        Ok(())
    }
}
