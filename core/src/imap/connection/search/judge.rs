//! Whether a message matches a key, with what is known of it so far.

use super::fields::FieldKey;
use crate::imap::connection::view::View;
use crate::imap::grammar::{DateField, DateTest, InternalDate, SearchKey};
use crate::mailbox::{Flag, FlagBit, Message};
use crate::mime::decode::TextMatcher;
use crate::time::Now;
use core::ops::Range;

/// What is known about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// More must be read.
    Open,
}

impl Verdict {
    fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Open => Self::Open,
        }
    }
}

/// What the keys that are about the header of a message find in it.
pub(super) struct HeaderFound {
    /// Which of those about fields hold.
    pub(super) fields: Vec<bool>,
    /// The day that it names as that of sending, in days since 1970; `None`: none, or no key asks.
    pub(super) sent: Option<i64>,
}

/// What was found in the text of a message so far.
pub(super) struct Texts {
    /// The words of TEXT, looked for in headers.
    pub(super) headers: TextMatcher,
    /// The words of TEXT and then those of BODY, looked for in the bodies of text parts:
    /// BODY sees no headers, not even those of parts and nested messages.
    pub(super) bodies: TextMatcher,
}

/// A key, prepared for many messages. It is as deep as the key, which the grammar bounds.
enum Test {
    Always(bool),
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    /// Positions, ascending ranges.
    Positions(Vec<Range<usize>>),
    Flag {
        flag: Flag,
        /// In the newest state; `None`: a keyword that no message of it has.
        bit: Option<FlagBit>,
        set: bool,
    },
    Recent(bool),
    /// Which of the keys about fields.
    Header(usize),
    /// Which of the words of BODY.
    Body(usize),
    /// Which of the words of TEXT.
    Text(usize),
    Date {
        field: DateField,
        test: DateTest,
        day: i64,
    },
    Larger(u64),
    Smaller(u64),
    /// INTERNALDATE at this second or before.
    NotAfter(i64),
    /// INTERNALDATE at this second or after.
    NotBefore(i64),
    ModSeq(u64),
}

impl Test {
    /// With those in it.
    fn count(&self) -> usize {
        match self {
            Self::All(tests) | Self::Any(tests) => 1 + tests.iter().map(Self::count).sum::<usize>(),
            Self::Not(test) => 1 + test.count(),
            _ => 1,
        }
    }
}

/// A key for many messages.
pub(super) struct Judge<'a> {
    test: Test,
    tests: usize,
    view: &'a View,
    words: Words,
}

#[derive(Default)]
struct Words {
    body: Vec<String>,
    text: Vec<String>,
    fields: Vec<FieldKey>,
    /// Whether a key asks for the day of sending.
    sent: bool,
}

/// What there is to judge by.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) position: u32,
    pub(super) message: &'a Message,
    pub(super) header: Option<&'a HeaderFound>,
    pub(super) texts: Option<&'a Texts>,
    /// Whether all of the text was read.
    pub(super) all: bool,
}

impl<'a> Judge<'a> {
    /// `None`: the key names message numbers that are not there.
    pub(super) fn new(key: &SearchKey, view: &'a View, now: Now) -> Option<Self> {
        let mut words = Words::default();
        let test = prepare(key, view, now, &mut words)?;
        let tests = test.count();
        Some(Self {
            test,
            tests,
            view,
            words,
        })
    }

    /// How many tests a message is put to at most.
    pub(super) fn tests(&self) -> usize {
        self.tests
    }

    /// Matchers that have seen nothing.
    pub(super) fn texts(&self) -> Texts {
        Texts {
            headers: TextMatcher::new(&self.words.text),
            bodies: TextMatcher::new(&[self.words.text.as_slice(), &self.words.body].concat()),
        }
    }

    /// The keys about fields of the header.
    pub(super) fn fields(&self) -> &[FieldKey] {
        &self.words.fields
    }

    /// Whether the day of sending decides anything.
    pub(super) fn wants_sent(&self) -> bool {
        self.words.sent
    }

    /// Whether headers of parts can decide anything.
    pub(super) fn wants_headers(&self) -> bool {
        !self.words.text.is_empty()
    }

    pub(super) fn judge(&self, known: Known<'_>) -> Verdict {
        self.verdict(&self.test, known)
    }

    fn verdict(&self, test: &Test, known: Known<'_>) -> Verdict {
        let message = known.message;
        match test {
            Test::Always(holds) => Verdict::of(*holds),
            Test::All(tests) => self.combine(tests, known, Verdict::No),
            Test::Any(tests) => self.combine(tests, known, Verdict::Yes),
            Test::Not(test) => self.verdict(test, known).not(),
            Test::Positions(ranges) => {
                let position = known.position as usize;
                let after = ranges.partition_point(|range| range.end <= position);
                Verdict::of(
                    ranges
                        .get(after)
                        .is_some_and(|range| range.contains(&position)),
                )
            }
            Test::Flag { flag, bit, set } => {
                let bit = match self.view.is_of_latest(message) {
                    true => *bit,
                    false => FlagBit::of(flag, self.view.keywords_of(message)),
                };
                Verdict::of(bit.is_some_and(|bit| message.flags.contains(bit)) == *set)
            }
            Test::Recent(recent) => Verdict::of(self.view.is_recent(message.uid) == *recent),
            Test::Header(key) => match known.header {
                Some(header) => Verdict::of(header.fields[*key]),
                None => Verdict::Open,
            },
            Test::Body(word) => {
                let place = self.words.text.len() + word;
                found(known, |texts| texts.bodies.found()[place])
            }
            Test::Text(word) => found(known, |texts| {
                texts.headers.found()[*word] || texts.bodies.found()[*word]
            }),
            Test::Date {
                field: DateField::Internal,
                test,
                day,
            } => {
                let date = InternalDate::from(message.internal_date).date();
                Verdict::of(compare(date.days_since_epoch(), *test, *day))
            }
            Test::Date {
                field: DateField::Sent,
                test,
                day,
            } => match known.header {
                Some(header) => {
                    Verdict::of(header.sent.is_some_and(|sent| compare(sent, *test, *day)))
                }
                None => Verdict::Open,
            },
            Test::Larger(size) => Verdict::of(message.size > *size),
            Test::Smaller(size) => Verdict::of(message.size < *size),
            Test::NotAfter(unix_s) => Verdict::of(message.internal_date.unix_s <= *unix_s),
            Test::NotBefore(unix_s) => Verdict::of(message.internal_date.unix_s >= *unix_s),
            Test::ModSeq(modseq) => Verdict::of(message.modseq.0 >= *modseq),
        }
    }

    /// All of them, or any of them: one that is `deciding` decides.
    fn combine(&self, tests: &[Test], known: Known<'_>, deciding: Verdict) -> Verdict {
        let mut open = false;
        for test in tests {
            match self.verdict(test, known) {
                verdict if verdict == deciding => return deciding,
                Verdict::Open => open = true,
                _ => {}
            }
        }
        if open { Verdict::Open } else { deciding.not() }
    }
}

fn compare(day: i64, test: DateTest, with: i64) -> bool {
    match test {
        DateTest::Before => day < with,
        DateTest::On => day == with,
        DateTest::Since => day >= with,
    }
}

/// A word that was not found yet may still come.
fn found(known: Known<'_>, look: impl Fn(&Texts) -> bool) -> Verdict {
    match known.texts {
        Some(texts) if look(texts) => Verdict::Yes,
        Some(_) if known.all => Verdict::No,
        _ => Verdict::Open,
    }
}

fn prepare(key: &SearchKey, view: &View, now: Now, words: &mut Words) -> Option<Test> {
    let now_s = i64::try_from(now.unix_ms / 1_000).unwrap_or(i64::MAX);
    let word = |list: &mut Vec<String>, word: &str| {
        list.push(word.to_owned());
        list.len() - 1
    };
    Some(match key {
        SearchKey::All => Test::Always(true),
        SearchKey::And(keys) => Test::All(prepare_all(keys, view, now, words)?),
        SearchKey::Or(keys) => Test::Any(prepare_all(keys, view, now, words)?),
        SearchKey::Not(key) => Test::Not(Box::new(prepare(key, view, now, words)?)),
        SearchKey::Numbers(set) => Test::Positions(view.sequence_positions(set)?),
        SearchKey::Uids(set) => Test::Positions(view.uid_positions(set)),
        SearchKey::Flag { flag, set } => Test::Flag {
            flag: flag.clone(),
            bit: view.latest.bit(flag),
            set: *set,
        },
        SearchKey::Recent(recent) => Test::Recent(*recent),
        SearchKey::Header { name, text } => {
            words.fields.push(FieldKey {
                name: name.clone(),
                words: text.as_str().to_owned(),
            });
            Test::Header(words.fields.len() - 1)
        }
        SearchKey::Body(text) if text.as_str().is_empty() => Test::Always(true),
        SearchKey::Text(text) if text.as_str().is_empty() => Test::Always(true),
        SearchKey::Body(text) => Test::Body(word(&mut words.body, text.as_str())),
        SearchKey::Text(text) => Test::Text(word(&mut words.text, text.as_str())),
        SearchKey::Date { field, test, day } => {
            words.sent |= *field == DateField::Sent;
            Test::Date {
                field: *field,
                test: *test,
                day: day.days_since_epoch(),
            }
        }
        SearchKey::Larger(size) => Test::Larger(*size),
        SearchKey::Smaller(size) => Test::Smaller(*size),
        SearchKey::Older(seconds) => Test::NotAfter(now_s - i64::from(seconds.get())),
        SearchKey::Younger(seconds) => Test::NotBefore(now_s - i64::from(seconds.get())),
        SearchKey::ModSeq(modseq) => Test::ModSeq(*modseq),
    })
}

fn prepare_all(keys: &[SearchKey], view: &View, now: Now, words: &mut Words) -> Option<Vec<Test>> {
    keys.iter()
        .map(|key| prepare(key, view, now, words))
        .collect()
}
