//! Keys of SEARCH that the reference can judge.

use super::flags::{Flags, NAMES};
use super::mailbox::Message;
use super::set::Set;
use super::text::{DATES, DAYS};
use core::fmt;

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `ALL`
    All,
    /// `SEEN`, `KEYWORD work`, …: the bit of the flag, and whether it is set.
    Flag(u8, bool),
    /// `LARGER`
    Larger(u32),
    /// `SMALLER`
    Smaller(u32),
    /// `SUBJECT`: the number of a message.
    Subject(u32),
    /// `BODY`: the form of messages.
    Body(u8),
    /// `BEFORE`, `ON` or `SINCE` a day.
    Day(Order, u8),
    /// Sequence numbers.
    Numbers(Set),
    /// `UID`
    Uids(Set),
    /// `MODSEQ`
    ModSeq(u64),
    /// `NOT`
    Not(Box<Self>),
    /// `OR`
    Or(Box<Self>, Box<Self>),
    /// Both.
    And(Box<Self>, Box<Self>),
}

/// Where a day lies to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// `BEFORE`
    Before,
    /// `ON`
    On,
    /// `SINCE`
    Since,
}

/// A message as SEARCH looks at it.
pub struct Judged<'a> {
    /// Its sequence number.
    pub number: u32,
    /// How many messages there are.
    pub count: u32,
    /// The highest UID.
    pub last: u32,
    /// The message.
    pub message: &'a Message,
    /// Whether it changed after a MODSEQ minus 1, if that is known.
    pub is_after: &'a dyn Fn(u64) -> Option<bool>,
}

impl Key {
    pub(super) fn aim(&mut self, uids: &[u32], modseq: &dyn Fn(u64) -> u64) {
        match self {
            Self::Numbers(set) => set.aim(false, uids),
            Self::Uids(set) => set.aim(true, uids),
            Self::ModSeq(raw) => *raw = modseq(*raw),
            Self::Not(key) => key.aim(uids, modseq),
            Self::Or(one, two) | Self::And(one, two) => {
                one.aim(uids, modseq);
                two.aim(uids, modseq);
            }
            _ => {}
        }
    }

    /// Whether any key in it fulfils a condition.
    pub fn any(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::Not(key) => key.any(is),
                Self::Or(one, two) | Self::And(one, two) => one.any(is) || two.any(is),
                _ => false,
            }
    }

    /// Whether a message is found; `None`: nobody was told enough to know.
    #[must_use]
    pub fn judge(&self, it: &Judged<'_>) -> Option<bool> {
        let message = it.message;
        Some(match self {
            Self::All => true,
            Self::Flag(bit, set) => message.flags.has(Flags(1 << bit)) == *set,
            Self::Larger(octets) => message.text.octets().len() > *octets as usize,
            Self::Smaller(octets) => message.text.octets().len() < *octets as usize,
            // Substrings: number 1 is in number 12.
            Self::Subject(number) => {
                let subject = message.text.subject_field();
                subject.contains(&format!("number {number}"))
            }
            Self::Body(form) => message.text.form == *form,
            Self::Day(order, day) => {
                let day = DAYS[usize::from(*day)].0;
                // Who gave no date came after all of them.
                let of = message.date.map_or(u32::MAX, |it| DAYS[usize::from(it)].0);
                match order {
                    Order::Before => of < day,
                    Order::On => of == day,
                    Order::Since => of >= day,
                }
            }
            Self::Numbers(set) => set.holds(it.number, it.count),
            Self::Uids(set) => set.holds(message.uid, it.last),
            Self::ModSeq(modseq) => {
                if *modseq == 0 {
                    true
                } else {
                    (it.is_after)(*modseq - 1)?
                }
            }
            Self::Not(key) => !key.judge(it)?,
            Self::Or(one, two) => match (one.judge(it), two.judge(it)) {
                (Some(true), _) | (_, Some(true)) => true,
                (one, two) => one? || two?,
            },
            Self::And(one, two) => match (one.judge(it), two.judge(it)) {
                (Some(false), _) | (_, Some(false)) => false,
                (one, two) => one? && two?,
            },
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("ALL"),
            Self::Flag(bit, set) => {
                let name = NAMES[usize::from(*bit)];
                let un = if *set { "" } else { "UN" };
                match name.strip_prefix('\\') {
                    Some(system) => write!(f, "{un}{}", system.to_uppercase()),
                    None => write!(f, "{un}KEYWORD {name}"),
                }
            }
            Self::Larger(octets) => write!(f, "LARGER {octets}"),
            Self::Smaller(octets) => write!(f, "SMALLER {octets}"),
            Self::Subject(number) => write!(f, "SUBJECT \"number {number}\""),
            Self::Body(form) => write!(f, "BODY \"of form{form}\""),
            Self::Day(order, day) => {
                let order = match order {
                    Order::Before => "BEFORE",
                    Order::On => "ON",
                    Order::Since => "SINCE",
                };
                write!(f, "{order} {}", DAYS[usize::from(*day)].1)
            }
            Self::Numbers(set) => set.fmt(f),
            Self::Uids(set) => write!(f, "UID {set}"),
            Self::ModSeq(modseq) => write!(f, "MODSEQ {modseq}"),
            Self::Not(key) => write!(f, "NOT {key}"),
            Self::Or(one, two) => write!(f, "OR {one} {two}"),
            Self::And(one, two) => write!(f, "({one} {two})"),
        }
    }
}

const _: () = assert!(DATES.len() == DAYS.len());
