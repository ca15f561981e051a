//! SEARCH (RFC 3501 §6.4.4), with WITHIN (RFC 5032), MODSEQ (RFC 7162 §3.1.5) and return
//! options (RFC 4731, RFC 5182). A key is a tree, but a flat one: runs of OR and NOT are
//! read in a loop and become one node, so only parentheses make it deeper, and those are
//! counted. That bounds the stack of parsing, evaluating and dropping alike.

use super::cursor::Cursor;
use super::{Command, Date, Fault, Parsed, Refusal, ReturnOption, SequenceSet};
use super::{bad, flag, too_much};
use crate::mailbox::Flag;
use core::fmt;
use core::num::NonZeroU32;

/// What SEARCH looks for. Its depth is at most three times
/// [`search_depth_max`](crate::config::Config::search_depth_max).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchKey {
    /// Every message.
    All,
    /// All of them hold; at least two.
    And(Vec<SearchKey>),
    /// One of them holds; at least two.
    Or(Vec<SearchKey>),
    /// It does not hold; never directly in another one.
    Not(Box<SearchKey>),
    /// Message numbers.
    Numbers(SequenceSet),
    /// UIDs.
    Uids(SequenceSet),
    /// The flag is `set` or not.
    Flag {
        /// Which one.
        flag: Flag,
        /// Whether messages with it are looked for, or those without.
        set: bool,
    },
    /// `RECENT`, or with `false` `OLD`. `NEW` is `RECENT UNSEEN`.
    Recent(bool),
    /// A header field called `name` (in any case) holds `text`; any value if that is empty.
    /// BCC, CC, FROM, SUBJECT and TO are such keys too.
    Header {
        /// The name of the field.
        name: String,
        /// What to find in it.
        text: SearchText,
    },
    /// The body holds this.
    Body(SearchText),
    /// The header or the body holds this.
    Text(SearchText),
    /// A day, without regard to time and zone.
    Date {
        /// Which day of a message.
        field: DateField,
        /// How it compares.
        test: DateTest,
        /// With what.
        day: Date,
    },
    /// More octets than this.
    Larger(u64),
    /// Fewer octets than this.
    Smaller(u64),
    /// The internal date is this many seconds ago or more.
    Older(NonZeroU32),
    /// The internal date is this many seconds ago or less.
    Younger(NonZeroU32),
    /// The modification sequence is this or higher.
    ModSeq(u64),
}

impl SearchKey {
    /// Whether it or any key inside of it is `wanted`.
    fn any(&self, wanted: &impl Fn(&Self) -> bool) -> bool {
        wanted(self)
            || match self {
                Self::And(keys) | Self::Or(keys) => keys.iter().any(|key| key.any(wanted)),
                Self::Not(key) => key.any(wanted),
                _ => false,
            }
    }

    /// Whether MODSEQ occurs: the response then has one too (RFC 7162 §3.1.5).
    #[must_use]
    pub fn asks_modseq(&self) -> bool {
        self.any(&|key| matches!(key, Self::ModSeq(_)))
    }

    /// Whether message numbers occur.
    #[must_use]
    pub fn has_numbers(&self) -> bool {
        self.any(&|key| matches!(key, Self::Numbers(_)))
    }
}

/// Words to find, UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SearchText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for SearchText {
    /// What somebody looks for in mail is as secret as the mail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SearchText(…)")
    }
}

/// Which day of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateField {
    /// The internal date.
    Internal,
    /// The Date: field of the header.
    Sent,
}

/// How a day compares with the one given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateTest {
    /// Earlier.
    Before,
    /// The same.
    On,
    /// The same or later.
    Since,
}

/// What follows SEARCH.
pub(super) fn search(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    let mut return_options = None;
    if cursor.take_word_after_space("RETURN") {
        cursor.space()?;
        return_options = Some(self::return_options(cursor)?);
    }
    let mut charset = None;
    if cursor.take_word_after_space("CHARSET") {
        cursor.space()?;
        charset = Some(self::charset(cursor)?);
    }
    let ascii_only = charset.as_deref() == Some("US-ASCII");
    cursor.space()?;
    let mut reader = Reader {
        cursor,
        keys: 0,
        ascii_only,
    };
    let mut keys = vec![reader.key(0)?];
    while !reader.cursor.at_end() {
        reader.cursor.space()?;
        keys.push(reader.key(0)?);
    }
    Ok(Command::Search {
        uid,
        charset,
        key: all_of(keys),
        return_options,
    })
}

fn return_options(cursor: &mut Cursor<'_>) -> Parsed<Vec<ReturnOption>> {
    let mut options = Vec::new();
    let max = cursor.limits.search_keys_max;
    cursor.list(max, "There are too many return options", |cursor| {
        let option = match cursor.word().as_str() {
            "MIN" => ReturnOption::Min,
            "MAX" => ReturnOption::Max,
            "ALL" => ReturnOption::All,
            "COUNT" => ReturnOption::Count,
            "SAVE" => ReturnOption::Save,
            _ => return bad("SEARCH knows no such return option"),
        };
        if !options.contains(&option) {
            options.push(option);
        }
        Ok(())
    })?;
    if options.is_empty() {
        options.push(ReturnOption::All);
    }
    Ok(options)
}

fn charset(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let charset = cursor.astring()?.to_ascii_uppercase();
    if matches!(charset.as_str(), "US-ASCII" | "UTF-8") {
        return Ok(charset);
    }
    Err(Refusal {
        fault: Fault::Charset,
        text: "SEARCH knows the charsets US-ASCII and UTF-8",
    })
}

/// Reads the keys of one SEARCH and counts them.
struct Reader<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    keys: usize,
    ascii_only: bool,
}

impl Reader<'_, '_> {
    /// A key at `depth`. Recurses only through [`Self::group`], which counts the depth.
    fn key(&mut self, depth: usize) -> Parsed<SearchKey> {
        self.count()?;
        if self.cursor.peek() == Some(b'(') {
            return self.group(depth);
        }
        let is_number = |octet: u8| octet.is_ascii_digit() || matches!(octet, b'*' | b'$');
        if self.cursor.peek().is_some_and(is_number) {
            return SequenceSet::parse(self.cursor).map(SearchKey::Numbers);
        }
        match self.cursor.word().as_str() {
            "NOT" => self.not(depth),
            "OR" => self.or(depth),
            name => self.simple(name),
        }
    }

    /// `( key … )`: all of them.
    fn group(&mut self, depth: usize) -> Parsed<SearchKey> {
        let inside = self.deeper(depth)?;
        self.cursor.require(b'(', "A list of keys is expected")?;
        let mut keys = vec![self.key(inside)?];
        while !self.cursor.take(b')') {
            self.cursor.require(b' ', "A list of keys is not closed")?;
            keys.push(self.key(inside)?);
        }
        Ok(all_of(keys))
    }

    /// After NOT. A run of them is counted, not nested.
    fn not(&mut self, depth: usize) -> Parsed<SearchKey> {
        let inside = self.deeper(depth)?;
        let mut negative = true;
        self.cursor.space()?;
        while self.take_prefix(b"NOT ")? {
            negative = !negative;
        }
        let key = self.key(inside)?;
        Ok(match key {
            key if !negative => key,
            SearchKey::Not(key) => *key,
            key => SearchKey::Not(Box::new(key)),
        })
    }

    /// After OR. `OR a OR b c` and `OR OR a b c` mean the same: one of three.
    fn or(&mut self, depth: usize) -> Parsed<SearchKey> {
        let inside = self.deeper(depth)?;
        let mut wanted = 2_usize;
        let mut keys = Vec::new();
        while wanted > 0 {
            self.cursor.space()?;
            // An OR in place of one key takes two in its stead.
            while self.take_prefix(b"OR ")? {
                wanted += 1;
            }
            match self.key(inside)? {
                SearchKey::Or(more) => keys.extend(more),
                key => keys.push(key),
            }
            wanted -= 1;
        }
        Ok(SearchKey::Or(keys))
    }

    fn take_prefix(&mut self, prefix: &[u8]) -> Parsed<bool> {
        let found = self.cursor.take_prefix(prefix);
        if found {
            self.count()?;
        }
        Ok(found)
    }

    fn simple(&mut self, name: &str) -> Parsed<SearchKey> {
        let flag = |flag, set| Ok(SearchKey::Flag { flag, set });
        match name {
            "ALL" => Ok(SearchKey::All),
            "ANSWERED" => flag(Flag::Answered, true),
            "DELETED" => flag(Flag::Deleted, true),
            "DRAFT" => flag(Flag::Draft, true),
            "FLAGGED" => flag(Flag::Flagged, true),
            "SEEN" => flag(Flag::Seen, true),
            "UNANSWERED" => flag(Flag::Answered, false),
            "UNDELETED" => flag(Flag::Deleted, false),
            "UNDRAFT" => flag(Flag::Draft, false),
            "UNFLAGGED" => flag(Flag::Flagged, false),
            "UNSEEN" => flag(Flag::Seen, false),
            "RECENT" => Ok(SearchKey::Recent(true)),
            "OLD" => Ok(SearchKey::Recent(false)),
            "NEW" => Ok(SearchKey::And(vec![
                SearchKey::Recent(true),
                SearchKey::Flag {
                    flag: Flag::Seen,
                    set: false,
                },
            ])),
            "KEYWORD" | "UNKEYWORD" => {
                self.cursor.space()?;
                flag(
                    Flag::Keyword(flag::keyword(self.cursor)?),
                    name == "KEYWORD",
                )
            }
            _ => self.with_argument(name),
        }
    }

    fn with_argument(&mut self, name: &str) -> Parsed<SearchKey> {
        use {
            DateField::Internal, DateField::Sent, DateTest::Before, DateTest::On, DateTest::Since,
        };
        match name {
            "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => self.header(name.to_owned()),
            "HEADER" => {
                self.cursor.space()?;
                let field = self.cursor.astring()?;
                self.header(field)
            }
            "BODY" => self.text().map(SearchKey::Body),
            "TEXT" => self.text().map(SearchKey::Text),
            "BEFORE" => self.date(Internal, Before),
            "ON" => self.date(Internal, On),
            "SINCE" => self.date(Internal, Since),
            "SENTBEFORE" => self.date(Sent, Before),
            "SENTON" => self.date(Sent, On),
            "SENTSINCE" => self.date(Sent, Since),
            "LARGER" => self.number().map(SearchKey::Larger),
            "SMALLER" => self.number().map(SearchKey::Smaller),
            "OLDER" => self.interval().map(SearchKey::Older),
            "YOUNGER" => self.interval().map(SearchKey::Younger),
            "MODSEQ" => self.mod_seq().map(SearchKey::ModSeq),
            "UID" => {
                self.cursor.space()?;
                SequenceSet::parse(self.cursor).map(SearchKey::Uids)
            }
            _ => bad("SEARCH knows no such key"),
        }
    }

    fn header(&mut self, name: String) -> Parsed<SearchKey> {
        let text = self.text()?;
        Ok(SearchKey::Header { name, text })
    }

    fn text(&mut self) -> Parsed<SearchText> {
        self.cursor.space()?;
        let text = self.cursor.astring()?;
        if self.ascii_only && !text.is_ascii() {
            return bad("A string is not US-ASCII, which the command said it is");
        }
        Ok(SearchText(text))
    }

    fn date(&mut self, field: DateField, test: DateTest) -> Parsed<SearchKey> {
        self.cursor.space()?;
        let day = Date::parse(self.cursor)?;
        Ok(SearchKey::Date { field, test, day })
    }

    fn number(&mut self) -> Parsed<u64> {
        self.cursor.space()?;
        self.cursor.number()
    }

    fn interval(&mut self) -> Parsed<NonZeroU32> {
        self.cursor.space()?;
        self.cursor.nz_number()
    }

    /// `MODSEQ ["/flags/\\seen" priv|shared|all] n`: every flag shares one sequence with
    /// its message, so the entry makes no difference (RFC 7162 §3.1.5).
    fn mod_seq(&mut self) -> Parsed<u64> {
        self.cursor.space()?;
        if self.cursor.peek() == Some(b'"') {
            let entry = self.cursor.string()?;
            if !entry.starts_with("/flags/") {
                return bad("MODSEQ takes entries that start with /flags/");
            }
            self.cursor.space()?;
            if !matches!(self.cursor.word().as_str(), "PRIV" | "SHARED" | "ALL") {
                return bad("An entry of MODSEQ is priv, shared or all");
            }
            self.cursor.space()?;
        }
        self.cursor.number()
    }

    fn count(&mut self) -> Parsed<()> {
        self.keys += 1;
        if self.keys > self.cursor.limits.search_keys_max {
            return too_much("SEARCH has too many keys");
        }
        Ok(())
    }

    fn deeper(&self, depth: usize) -> Parsed<usize> {
        if depth >= self.cursor.limits.search_depth_max {
            return too_much("SEARCH is nested too deeply");
        }
        Ok(depth + 1)
    }
}

fn all_of(mut keys: Vec<SearchKey>) -> SearchKey {
    match keys.len() {
        1 => keys.remove(0),
        _ => SearchKey::And(keys),
    }
}
