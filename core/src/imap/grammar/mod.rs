//! The grammar of IMAP: octets to [`Command`], and answers to octets.
//!
//! A newcomer should know three things. First, another module does the framing: it
//! finds where a command ends with [`parse_literal_header`] and calls
//! [`parse_command`] with the whole command, literals inline exactly as received.
//! Second, the messages of APPEND are never part of that: they are streamed, and
//! [`append_start`] and [`append_next`] read what stands before and between them.
//! Third, nothing here waits, allocates more than the command itself is long, or
//! recurses deeper than [`Config::search_depth_max`].
//!
//! The rules are those of RFC 3501 with what RFC 9051 adds to the commands that both
//! have; each extension is named where it is parsed.

mod append;
mod base64;
mod command;
mod cursor;
mod date;
mod fetch;
mod flag;
mod list;
mod mutf7;
#[cfg(test)]
mod oracle;
mod parse;
mod pattern;
pub mod response;
mod search;
mod set;
#[cfg(test)]
mod tests;

pub use append::{
    AppendMessage, AppendNext, AppendStart, LiteralHeader, append_next, append_start,
    parse_literal_header,
};
pub use base64::{decode_base64, encode_base64};
pub use command::{
    Command, InitialResponse, ListCommand, ListKind, ListReturn, ListSelection, QResync,
    ReturnOption, SelectParameters, StatusItem,
};
pub use date::{Date, InternalDate};
pub use fetch::{FetchItem, Partial, Section, SectionText};
pub use mutf7::{MailboxEncoding, decode_mutf7, encode_mutf7};
pub use pattern::{ListMatcher, ListPattern};
pub use search::{DateField, DateTest, SearchKey, SearchText};
pub use set::{SequenceSet, SetNumber, SetRange};

use crate::config::Config;
use core::fmt;
use cursor::Cursor;

/// The tag of a command (RFC 3501 §2.2.1): one or more characters of an atom.
#[derive(Clone, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// The tag as the client sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", self.0)
    }
}

/// A command and the tag to answer it with.
#[derive(Debug, PartialEq)]
pub struct Tagged {
    /// The tag.
    pub tag: Tag,
    /// The command.
    pub command: Command,
}

/// What kind of answer a rejected command gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// BAD: this is no command, or its arguments are not what the command takes.
    Syntax,
    /// BAD: more of something than this server takes (a field of [`Config`]).
    Limit,
    /// NO `[BADCHARSET (US-ASCII UTF-8)]`: a well-formed SEARCH in another charset.
    Charset,
}

/// A command that the grammar does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The tag, where one could be read. Without it the answer is an untagged BAD.
    pub tag: Option<Tag>,
    /// What kind of answer to give.
    pub fault: Fault,
    /// The text of the answer, for a person.
    pub text: &'static str,
}

/// Parses one command: its line or lines with literals inline, without the last CRLF.
///
/// `names` says how the client writes mailbox names, which ENABLE can change.
///
/// # Errors
/// [`Rejected`] with the tag wherever it could be read. APPEND is rejected here too:
/// one that comes this far had no message literal.
pub fn parse_command(
    octets: &[u8],
    limits: &Config,
    names: MailboxEncoding,
) -> Result<Tagged, Rejected> {
    let mut cursor = Cursor::new(octets, limits, names);
    let tag = cursor.tag().map_err(|refusal| refusal.without_tag())?;
    match parse::command(&mut cursor) {
        Ok(command) => Ok(Tagged { tag, command }),
        Err(refusal) => Err(refusal.tagged(tag)),
    }
}

/// Whether `line` (without CRLF) is the DONE that ends IDLE (RFC 2177).
#[must_use]
pub fn is_done(line: &[u8]) -> bool {
    line.trim_ascii_end().eq_ignore_ascii_case(b"DONE")
}

/// Why the parser stopped, before the tag is put to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    fault: Fault,
    text: &'static str,
}

impl Refusal {
    fn tagged(self, tag: Tag) -> Rejected {
        Rejected {
            tag: Some(tag),
            fault: self.fault,
            text: self.text,
        }
    }

    fn without_tag(self) -> Rejected {
        Rejected {
            tag: None,
            fault: self.fault,
            text: self.text,
        }
    }
}

type Parsed<T> = Result<T, Refusal>;

fn bad<T>(text: &'static str) -> Parsed<T> {
    Err(Refusal {
        fault: Fault::Syntax,
        text,
    })
}

fn too_much<T>(text: &'static str) -> Parsed<T> {
    Err(Refusal {
        fault: Fault::Limit,
        text,
    })
}

/// The tag at the start of a command that may be incomplete or senseless otherwise.
#[must_use]
pub fn read_tag(octets: &[u8], limits: &Config) -> Option<Tag> {
    Cursor::new(octets, limits, MailboxEncoding::ModifiedUtf7)
        .tag()
        .ok()
}
