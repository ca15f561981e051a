//! APPEND (RFC 3501 §6.3.11) and MULTIAPPEND (RFC 3502). A message is a literal that is
//! streamed to storage and never held, so these commands are parsed in pieces: what
//! stands before the first message, and what follows each of them.

use super::cursor::{Cursor, ascii};
use super::flag::flag_list;
use super::{InternalDate, MailboxEncoding, Parsed, Rejected, Tag, bad};
use crate::config::Config;
use crate::mailbox::{Flag, MailboxName};

/// The announcement of a literal at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiteralHeader {
    /// How many octets follow the CRLF. A number too large for any message is kept as
    /// the largest there is, so that it is refused as a literal and not read as text.
    pub len: u64,
    /// Whether the client waits for a continuation request; not so for `{n+}` (RFC 7888).
    pub synchronising: bool,
    /// Whether it is a literal8, `~{n}` (RFC 3516), which no command here takes.
    pub binary: bool,
    /// How many octets of the line the announcement takes, from its `{` or `~{`.
    pub header_len: usize,
}

/// Finds the announcement of a literal at the end of `line` (without its CRLF).
#[must_use]
pub fn parse_literal_header(line: &[u8]) -> Option<LiteralHeader> {
    let inside = line.strip_suffix(b"}")?;
    let start = inside.iter().rposition(|&octet| octet == b'{')?;
    let (digits, synchronising) = match inside[start + 1..].strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (&inside[start + 1..], true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let binary = start > 0 && line[start - 1] == b'~';
    Some(LiteralHeader {
        // Only a number that does not fit fails to parse.
        len: ascii(digits).parse().unwrap_or(u64::MAX),
        synchronising,
        binary,
        header_len: line.len() - start + usize::from(binary),
    })
}

/// What stands before a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendMessage {
    /// Its flags.
    pub flags: Vec<Flag>,
    /// Its internal date, if the client gives one.
    pub date: Option<InternalDate>,
}

/// What the octets of a command before a literal are.
#[derive(Debug, PartialEq, Eq)]
pub enum AppendStart {
    /// No APPEND: the literal is an argument of some other command.
    NotAppend,
    /// An APPEND, and the literal is the name of the mailbox.
    Argument,
    /// An APPEND, and the literal is the first message.
    Message {
        /// The tag to answer with.
        tag: Tag,
        /// Where the messages go.
        mailbox: MailboxName,
        /// What is said of the first one.
        message: AppendMessage,
    },
    /// An APPEND that cannot be.
    Rejected(Rejected),
}

/// What follows a message.
#[derive(Debug, PartialEq, Eq)]
pub enum AppendNext {
    /// The end of the command.
    End,
    /// Another message (RFC 3502); its literal is the one that was announced.
    Message(AppendMessage),
    /// Neither. `tag` is `None` here: the caller has it.
    Rejected(Rejected),
}

/// Says what the next literal of a command is. `octets` is the command so far, earlier
/// literals inline, up to and without the announcement of that literal.
#[must_use]
pub fn append_start(octets: &[u8], limits: &Config, names: MailboxEncoding) -> AppendStart {
    let mut cursor = Cursor::new(octets, limits, names);
    let Ok(tag) = cursor.tag() else {
        return AppendStart::NotAppend;
    };
    if !cursor.take_word_after_space("APPEND") {
        return AppendStart::NotAppend;
    }
    if cursor.rest() == b" " {
        return AppendStart::Argument;
    }
    match before_first_message(&mut cursor) {
        Ok((mailbox, message)) => AppendStart::Message {
            tag,
            mailbox,
            message,
        },
        Err(refusal) => AppendStart::Rejected(refusal.tagged(tag)),
    }
}

/// Says what follows a message. `octets` is the rest of the line after the message: up
/// to its CRLF, or if `before_literal` up to and without the announcement of a literal.
#[must_use]
pub fn append_next(octets: &[u8], before_literal: bool, limits: &Config) -> AppendNext {
    let mut cursor = Cursor::new(octets, limits, MailboxEncoding::default());
    if !before_literal {
        return match cursor.end() {
            Ok(()) => AppendNext::End,
            Err(refusal) => AppendNext::Rejected(refusal.without_tag()),
        };
    }
    match before_message(&mut cursor) {
        Ok(message) => AppendNext::Message(message),
        Err(refusal) => AppendNext::Rejected(refusal.without_tag()),
    }
}

fn before_first_message(cursor: &mut Cursor<'_>) -> Parsed<(MailboxName, AppendMessage)> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    Ok((mailbox, before_message(cursor)?))
}

/// `[SP flag-list] [SP date-time] SP`
fn before_message(cursor: &mut Cursor<'_>) -> Parsed<AppendMessage> {
    let between = "A space stands between the arguments of APPEND";
    cursor.require(b' ', between)?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = flag_list(cursor)?;
        cursor.require(b' ', between)?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(InternalDate::parse(cursor)?);
        cursor.require(b' ', between)?;
    }
    if !cursor.rest().is_empty() {
        return bad("APPEND takes flags, a date-time and a message as a literal");
    }
    Ok(AppendMessage { flags, date })
}
