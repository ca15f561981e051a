//! Framing: finds where a command ends in what the client sent, literals included
//! (RFC 3501 §2.2, §4.3; RFC 7888).
//!
//! Nothing is framed ahead of its turn: octets wait in the [`Inbox`] until the command
//! before is answered, so a continuation request can never be taken for that of another
//! command, and the inbox's bound is the bound of the pipeline.

use crate::config::Config;
use crate::imap::grammar::{
    AppendStart, LiteralHeader, MailboxEncoding, Tag, append_start, parse_literal_header, read_tag,
};
use memchr::{memchr, memchr_iter};

/// Octets that the client sent and nobody has looked at yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    octets: Vec<u8>,
    /// Octets before this were taken already.
    taken: usize,
    /// Line ends among the octets that were not taken.
    lines: usize,
}

impl Inbox {
    pub(super) fn push(&mut self, octets: &[u8]) {
        if self.taken > 0 {
            self.octets.drain(..self.taken);
            self.taken = 0;
        }
        self.lines += memchr_iter(b'\n', octets).count();
        self.octets.extend_from_slice(octets);
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len() - self.taken
    }

    /// Gives its memory back if nothing waits: for a connection that comes to rest.
    pub(super) fn rest(&mut self) {
        if self.len() == 0 {
            *self = Self::default();
        }
    }

    /// Octets of memory that it takes.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.octets.capacity()
    }

    /// Line ends that wait: at least as many as commands wait.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    fn waiting(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    /// Takes the next `count` octets.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let start = self.taken;
        self.taken = (start + count).min(self.octets.len());
        let octets = &self.octets[start..self.taken];
        self.lines -= memchr_iter(b'\n', octets).count();
        octets
    }

    /// Takes a line with its end, or nothing if its end is not there yet.
    pub(super) fn take_line(&mut self) -> Option<&[u8]> {
        let end = memchr(b'\n', self.waiting())?;
        Some(without_line_end(self.take(end + 1)))
    }

    /// Throws everything away and says whether there was anything.
    pub(super) fn discard(&mut self) -> bool {
        let had = self.len() > 0;
        *self = Self::default();
        had
    }

    /// Gives back memory that an idle connection does not need.
    pub(super) fn shrink(&mut self) {
        if self.len() == 0 {
            *self = Self::default();
        }
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What the collector found.
#[derive(Debug)]
pub(super) enum Frame {
    /// The rest has not come yet.
    Incomplete,
    /// A whole command (or the next segment of an APPEND), literals inline, without
    /// its line end.
    Command(Vec<u8>),
    /// The client waits for `+` before it sends a literal.
    Continue,
    /// An APPEND up to its message, which begins with the next octet.
    Message(AppendStart, LiteralHeader),
    /// What follows a message of APPEND, up to the next message.
    NextMessage(Vec<u8>, LiteralHeader),
    /// A LOGIN whose client waits for `+` before it sends its password in the clear. It is
    /// forgotten; the tag, if there was one, is answered NO.
    LoginInTheClear(Option<Tag>),
    /// Too long. Its octets are skipped already; the tag, if there was one, is answered BAD.
    Refused(Option<Tag>, &'static str),
    /// Too long to be skipped.
    Hopeless(&'static str),
}

/// How far a command has been collected.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// The command so far: lines and literals as they came.
    octets: Vec<u8>,
    /// Octets of its literals so far.
    literal_octets: usize,
    /// Whether this follows a message of APPEND.
    segment: bool,
    phase: Phase,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Line,
    /// Octets of a literal still to come.
    Literal(usize),
    /// Octets of a literal still to be thrown away.
    SkipLiteral(u64, &'static str),
    /// The rest of a refused command's line.
    SkipLine(&'static str),
}

const LITERAL_TOO_LONG: &str = "Literal is longer than this server takes";
const LINE_TOO_LONG: &str = "Command line is longer than this server takes";

impl Collector {
    /// Starts with what follows a message of APPEND.
    pub(super) fn segment() -> Self {
        Self {
            segment: true,
            ..Self::default()
        }
    }

    /// Whether part of a command is here.
    pub(super) fn has_begun(&self) -> bool {
        !self.octets.is_empty() || !matches!(self.phase, Phase::Line)
    }

    /// Takes as much from `inbox` as belongs to this command.
    pub(super) fn advance(&mut self, inbox: &mut Inbox, config: &Config) -> Frame {
        loop {
            match self.phase {
                Phase::Line => {
                    let Some(end) = memchr(b'\n', inbox.waiting()) else {
                        return self.unfinished_line(inbox, config);
                    };
                    if end > config.line_bytes_max {
                        self.keep_start(inbox);
                        self.phase = Phase::SkipLine(LINE_TOO_LONG);
                        continue;
                    }
                    let line = inbox.take(end + 1);
                    let content = without_line_end(line);
                    let Some(header) = parse_literal_header(content) else {
                        self.octets.extend_from_slice(content);
                        return self.complete();
                    };
                    if let Some(frame) = self.literal(line.to_vec(), header, config) {
                        return frame;
                    }
                }
                Phase::Literal(left) => {
                    let octets = inbox.take(left);
                    self.octets.extend_from_slice(octets);
                    if octets.len() < left {
                        self.phase = Phase::Literal(left - octets.len());
                        return Frame::Incomplete;
                    }
                    self.phase = Phase::Line;
                }
                Phase::SkipLiteral(left, why) => {
                    let octets = inbox.take(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - octets.len() as u64;
                    if left > 0 {
                        self.phase = Phase::SkipLiteral(left, why);
                        return Frame::Incomplete;
                    }
                    self.phase = Phase::SkipLine(why);
                }
                Phase::SkipLine(why) => {
                    if let Some(frame) = self.skip_line(inbox, why, config) {
                        return frame;
                    }
                }
            }
        }
    }

    /// Throws away `left` octets of a literal and whatever follows it in the command.
    pub(super) fn skip(tag: &Tag, left: u64, why: &'static str) -> Self {
        Self {
            octets: [tag.as_str().as_bytes(), b" "].concat(),
            phase: Phase::SkipLiteral(left, why),
            ..Self::default()
        }
    }

    /// The client waits for `+`, and may send no password: a LOGIN is not gone on with.
    pub(super) fn continue_in_the_clear(&mut self, config: &Config) -> Frame {
        if !is_login(&self.octets) {
            return Frame::Continue;
        }
        let tag = read_tag(&self.octets, config);
        *self = Self::default();
        Frame::LoginInTheClear(tag)
    }

    fn complete(&mut self) -> Frame {
        Frame::Command(core::mem::take(self).octets)
    }

    fn unfinished_line(&mut self, inbox: &mut Inbox, config: &Config) -> Frame {
        if inbox.len() > config.line_bytes_max {
            self.keep_start(inbox);
            self.phase = Phase::SkipLine(LINE_TOO_LONG);
            return self.advance_skipping(inbox, config);
        }
        Frame::Incomplete
    }

    fn advance_skipping(&mut self, inbox: &mut Inbox, config: &Config) -> Frame {
        match self.skip_line(inbox, LINE_TOO_LONG, config) {
            Some(frame) => frame,
            None => Frame::Incomplete,
        }
    }

    /// Keeps enough of an endless line to read its tag; a tag that does not end there is none,
    /// as the client would not know what is left of it.
    fn keep_start(&mut self, inbox: &mut Inbox) {
        if self.octets.is_empty() {
            let start = inbox.waiting();
            let start = &start[..start.len().min(TAG_OCTETS)];
            if start.contains(&b' ') {
                self.octets = start.to_vec();
            }
        }
    }

    /// A line ended in `header`: says what to do, or nothing if octets just follow.
    fn literal(&mut self, line: Vec<u8>, header: LiteralHeader, config: &Config) -> Option<Frame> {
        let content = without_line_end(&line);
        if self.segment && self.literal_octets == 0 {
            let before = content.len() - header.header_len;
            return Some(Frame::NextMessage(content[..before].to_vec(), header));
        }
        let before = content.len() - header.header_len;
        // In place: a command of thousands of empty literals must not be copied for each.
        self.octets.extend_from_slice(&content[..before]);
        match append_start(&self.octets, config, MailboxEncoding::ModifiedUtf7) {
            AppendStart::Argument | AppendStart::NotAppend => {}
            start => {
                *self = Self::default();
                return Some(Frame::Message(start, header));
            }
        }
        let room = config.literal_bytes_max.saturating_sub(self.literal_octets);
        let len = usize::try_from(header.len).unwrap_or(usize::MAX);
        if len <= room && self.octets.len() < config.literal_bytes_max + config.line_bytes_max {
            self.octets.extend_from_slice(&line[before..]);
            self.literal_octets += len;
            self.phase = Phase::Literal(len);
            return header.synchronising.then_some(Frame::Continue);
        }
        self.refuse_literal(header, config)
    }

    fn refuse_literal(&mut self, header: LiteralHeader, config: &Config) -> Option<Frame> {
        if header.synchronising {
            let tag = read_tag(&self.octets, config);
            *self = Self::default();
            return Some(Frame::Refused(tag, LITERAL_TOO_LONG));
        }
        if header.len > config.skip_bytes_max {
            return Some(Frame::Hopeless(LITERAL_TOO_LONG));
        }
        self.phase = Phase::SkipLiteral(header.len, LITERAL_TOO_LONG);
        None
    }

    /// Skips to the end of the command: its line may end in further literals, and
    /// those that do not wait for `+` follow in any case.
    fn skip_line(
        &mut self,
        inbox: &mut Inbox,
        why: &'static str,
        config: &Config,
    ) -> Option<Frame> {
        let Some(end) = memchr(b'\n', inbox.waiting()) else {
            // Keep the tail: it may be the beginning of a literal header.
            let spare = inbox.len().saturating_sub(LITERAL_HEADER_OCTETS);
            inbox.take(spare);
            return Some(Frame::Incomplete);
        };
        let line = inbox.take(end + 1);
        if let Some(header) = parse_literal_header(without_line_end(line))
            && !header.synchronising
        {
            if header.len > config.skip_bytes_max {
                return Some(Frame::Hopeless(LITERAL_TOO_LONG));
            }
            self.phase = Phase::SkipLiteral(header.len, why);
            return None;
        }
        let tag = read_tag(&self.octets, config);
        *self = Self::default();
        Some(Frame::Refused(tag, why))
    }
}

/// Whether a command, of which only the beginning is here, is LOGIN.
fn is_login(octets: &[u8]) -> bool {
    let name = octets.split(|&octet| octet == b' ').nth(1);
    name.is_some_and(|name| name.eq_ignore_ascii_case(b"LOGIN"))
}

/// Octets of a line that are kept to read its tag.
const TAG_OCTETS: usize = 128;
/// `{18446744073709551615+}` and its line end.
const LITERAL_HEADER_OCTETS: usize = 26;
