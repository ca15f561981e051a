//! Finds the parts of a message while its octets stream by.
//!
//! The scanner looks at the beginnings of lines only: at blank lines, where a header
//! ends, and at lines that begin with `--` and the boundary of an open multipart.
//! Besides the structure it holds one header and the beginning of one line, so it
//! does not matter how the octets were split.

use memchr::{memchr, memchr_iter, memmem};

use super::description::Surroundings;
use super::structure::{Kind, Part, PartId, Span, Structure};
use super::{Description, Envelope, codec};
use crate::config::Config;

/// Octets of a boundary that are compared. RFC 2046 §5.1.1 allows 70.
pub const BOUNDARY_BYTES_MAX: usize = 80;

/// Octets of a line that decide whether it is a boundary: `--`, the boundary, `--`
/// and the line end.
const HELD_BYTES_MAX: usize = BOUNDARY_BYTES_MAX + 6;

/// What is known of a message when its last octet has been seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Octets of the message.
    pub size: u64,
    /// The header with its blank line, or its first `header_bytes_max` octets.
    pub header: Vec<u8>,
    /// Octets of the whole header.
    pub header_len: u64,
    /// The parts.
    pub structure: Structure,
}

/// Finds the parts of a message that is fed to it piece by piece; how it is split does
/// not matter. Its memory is limited by the configuration it was made with.
pub struct Scanner {
    limits: Limits,
    state: State,
    /// Parts in the order in which they begin.
    parts: Vec<Part>,
    /// The part whose octets come, behind the parts that it lies in.
    open: Vec<OpenPart>,
    /// Boundaries that are open.
    boundaries: usize,
    /// The beginning of a line that may be a boundary.
    held: Vec<u8>,
    /// Octets before those in `held`.
    position: u64,
    /// Line ends in them.
    lines: u64,
    /// Octets of the current line; in a body, only whether there are any.
    line_len: u64,
    last_octet: u8,
    /// Octets of the line end before this line; 0 at the beginning of a header or body,
    /// whose line end belongs to what is before it.
    line_end_len: u64,
    /// The header of the message, up to its limit.
    top_header: Vec<u8>,
    /// The header of the current part, up to its limit.
    part_header: Vec<u8>,
    /// Octets that descriptions and envelopes may still take.
    room: usize,
    line_and_dash: memmem::Finder<'static>,
}

#[derive(Clone, Copy)]
struct Limits {
    header_bytes: usize,
    part_header_bytes: usize,
    parts: usize,
    depth: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Body,
    /// Behind a boundary, in the rest of its line.
    Delimiter,
}

struct OpenPart {
    id: PartId,
    /// Line ends before the body.
    lines_before: u64,
    /// What separates the parts of an open multipart.
    boundary: Option<Vec<u8>>,
}

impl Scanner {
    /// A scanner at the beginning of a message.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut scanner = Self {
            limits: Limits {
                header_bytes: config.header_bytes_max,
                part_header_bytes: config.mime_header_bytes_max,
                parts: config.mime_parts_max.clamp(1, codec::PARTS_MAX),
                depth: config.mime_depth_max,
            },
            state: State::Header,
            parts: Vec::new(),
            open: Vec::new(),
            boundaries: 0,
            held: Vec::with_capacity(HELD_BYTES_MAX),
            position: 0,
            lines: 0,
            line_len: 0,
            last_octet: 0,
            line_end_len: 0,
            top_header: Vec::new(),
            part_header: Vec::new(),
            room: config.structure_bytes_max,
            line_and_dash: memmem::Finder::new(b"\n-"),
        };
        scanner.begin_part();
        scanner
    }

    /// Takes the next octets.
    pub fn feed(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some(&first) = rest.first() {
            let candidate = !self.held.is_empty()
                || (first == b'-' && self.line_len == 0 && self.is_watching());
            let taken = match self.state {
                State::Delimiter => self.skip_delimiter(rest),
                _ if candidate => self.hold(rest),
                State::Header => self.pass_header(rest),
                State::Body => {
                    let next = match self.is_watching() {
                        true => self.line_and_dash.find(rest).map(|line_end| line_end + 1),
                        false => None,
                    };
                    self.pass_body(&rest[..next.unwrap_or(rest.len())])
                }
            };
            debug_assert!(taken > 0, "each step takes octets");
            rest = &rest[taken..];
        }
    }

    /// Ends the message.
    #[must_use]
    pub fn finish(mut self) -> Scanned {
        if !self.held.is_empty() {
            self.decide();
        }
        self.end_headers(self.position, self.lines);
        while !self.open.is_empty() {
            self.close_part(self.position, self.lines);
        }
        let structure = Structure::new(self.parts);
        Scanned {
            size: self.position,
            header: self.top_header,
            header_len: structure.root().header.len,
            structure,
        }
    }

    /// Whether a line could be a boundary.
    fn is_watching(&self) -> bool {
        self.boundaries > 0
            && self.parts.len() < self.limits.parts
            && self.state != State::Delimiter
    }

    /// Holds the beginning of a line until it is clear whether it is a boundary.
    fn hold(&mut self, octets: &[u8]) -> usize {
        let room = HELD_BYTES_MAX - self.held.len();
        let chunk = &octets[..octets.len().min(room)];
        let line_end = memchr(b'\n', chunk);
        let taken = line_end.map_or(chunk.len(), |at| at + 1);
        self.held.extend_from_slice(&chunk[..taken]);
        let hopeless = self.held.len() >= 2 && !self.held.starts_with(b"--");
        if line_end.is_some() || hopeless || self.held.len() == HELD_BYTES_MAX {
            self.decide();
        }
        taken
    }

    /// Takes the held beginning of a line for what it is.
    fn decide(&mut self) {
        let line = core::mem::take(&mut self.held);
        match self.find_boundary(&line) {
            Some((depth, closing)) => self.pass_boundary(&line, depth, closing),
            None if self.state == State::Header => {
                self.pass_header(&line);
            }
            None => {
                self.pass_body(&line);
            }
        }
        self.held = line;
        self.held.clear();
    }

    /// Which open multipart (by its place in `open`) a line separates, and whether it
    /// closes it. The innermost one with that very boundary, else the longest that the
    /// line begins with (RFC 2046 §5.1.1 compares beginnings only).
    fn find_boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut best: Option<(usize, &[u8])> = None;
        for (depth, part) in self.open.iter().enumerate().rev() {
            let Some(boundary) = part.boundary.as_deref() else {
                continue;
            };
            let Some(rest) = line.strip_prefix(boundary) else {
                continue;
            };
            if best.is_none_or(|(_, longest)| longest.len() < boundary.len()) {
                best = Some((depth, boundary));
            }
            if rest.is_empty() || rest == b"--" {
                break;
            }
        }
        let (depth, boundary) = best?;
        Some((depth, line.get(boundary.len()..)?.starts_with(b"--")))
    }

    /// Takes a boundary line, or what is known of it: the parts in that multipart end
    /// before it, and before the line end in front of it.
    fn pass_boundary(&mut self, line: &[u8], depth: usize, closing: bool) {
        let end = self.position - self.line_end_len;
        let lines = self.lines - u64::from(self.line_end_len > 0);
        self.end_headers(end, lines);
        while self.open.len() > depth + 1 {
            self.close_part(end, lines);
        }
        if closing {
            self.drop_boundary();
            self.state = State::Body;
            self.pass_body(line);
            if line.trim_ascii_end().ends_with(b"--") {
                // A boundary that follows a closing one at once leaves the line end
                // between them to the part that was closed, as Dovecot and Cyrus do.
                self.line_end_len = 0;
            }
        } else {
            self.state = State::Delimiter;
            self.skip_delimiter(line);
        }
    }

    /// Takes the rest of a boundary line; the next part begins behind it.
    fn skip_delimiter(&mut self, octets: &[u8]) -> usize {
        let line_end = memchr(b'\n', octets);
        let taken = line_end.map_or(octets.len(), |at| at + 1);
        self.position += taken as u64;
        if line_end.is_some() {
            self.lines += 1;
            self.begin_part();
        }
        taken
    }

    /// Takes octets of a header up to the end of a line.
    fn pass_header(&mut self, octets: &[u8]) -> usize {
        let line_end = memchr(b'\n', octets);
        let taken = line_end.map_or(octets.len(), |at| at + 1);
        let octets = &octets[..taken];
        let (kept, max) = if self.parts.len() == 1 {
            (&mut self.top_header, self.limits.header_bytes)
        } else {
            (&mut self.part_header, self.limits.part_header_bytes)
        };
        kept.extend_from_slice(&octets[..taken.min(max.saturating_sub(kept.len()))]);
        let before = self.line_len;
        self.pass(octets);
        if line_end.is_some() {
            let line_len = before + taken as u64;
            if line_len == self.line_end_len {
                self.end_header(self.position, self.lines);
            }
        }
        taken
    }

    /// Takes octets of a body.
    fn pass_body(&mut self, octets: &[u8]) -> usize {
        self.pass(octets);
        octets.len()
    }

    /// Counts octets.
    fn pass(&mut self, octets: &[u8]) {
        let Some((&last, before)) = octets.split_last() else {
            return;
        };
        if last == b'\n' {
            let cr = before.last().copied().unwrap_or(self.last_octet) == b'\r';
            self.line_end_len = if cr { 2 } else { 1 };
            self.line_len = 0;
        } else {
            self.line_len += octets.len() as u64;
        }
        self.last_octet = last;
        self.lines += memchr_iter(b'\n', octets).count() as u64;
        self.position += octets.len() as u64;
    }

    /// Opens a part whose header begins here.
    fn begin_part(&mut self) {
        let id = PartId(u32::try_from(self.parts.len()).expect("parts are limited"));
        if let Some(parent) = self.open.last() {
            match &mut self.parts[parent.id.index()].kind {
                Kind::Multipart { children } => children.push(id),
                Kind::Message { child, .. } => *child = id,
                Kind::Leaf => unreachable!("only multiparts and messages have parts in them"),
            }
        }
        self.parts.push(Part {
            header: Span {
                offset: self.position,
                len: 0,
            },
            body: Span::default(),
            body_lines: 0,
            description: Description::default(),
            kind: Kind::Leaf,
        });
        self.open.push(OpenPart {
            id,
            lines_before: 0,
            boundary: None,
        });
        self.part_header.clear();
        self.state = State::Header;
        self.begin_region();
    }

    /// A header or body begins here: no line end before this place belongs to it.
    fn begin_region(&mut self) {
        self.line_len = 0;
        self.line_end_len = 0;
        self.last_octet = 0;
    }

    /// Ends the header that is open, if any, and that of a message that begins there.
    fn end_headers(&mut self, end: u64, lines: u64) {
        while self.state == State::Header {
            let here = core::mem::replace(&mut self.position, end);
            self.end_header(end, lines);
            self.position = here;
        }
    }

    /// The header of the current part ends at `end`, after `lines` line ends.
    fn end_header(&mut self, end: u64, lines: u64) {
        let description = self.describe();
        let may_nest = self.open.len() < self.limits.depth && self.parts.len() < self.limits.parts;
        let multipart = may_nest && description.is_type("multipart");
        let message = may_nest && description.is_media("message", "rfc822");
        let boundary = description
            .parameter("boundary")
            .filter(|it| multipart && !it.is_empty())
            .map(|it| it[..it.len().min(BOUNDARY_BYTES_MAX)].to_vec());

        let open = self.open.last_mut();
        let open = open.expect("a header belongs to an open part");
        let part = &mut self.parts[open.id.index()];
        part.header.len = end - part.header.offset;
        part.body.offset = end;
        part.description = description;
        if !charge(&mut self.room, part.description.weight()) {
            part.description.shrink();
        }
        if multipart {
            let children = Vec::new();
            part.kind = Kind::Multipart { children };
        }
        open.lines_before = lines;
        self.boundaries += usize::from(boundary.is_some());
        open.boundary = boundary;
        if message {
            let (envelope, child) = (Box::default(), PartId::ROOT);
            part.kind = Kind::Message { envelope, child };
        }
        self.state = State::Body;
        self.begin_region();
        if message {
            self.begin_part();
        }
    }

    /// What the header that was read says of the current part, and of the message that
    /// it is the header of.
    fn describe(&mut self) -> Description {
        let header = if self.parts.len() == 1 {
            &self.top_header
        } else {
            &self.part_header
        };
        let parent = self.open.iter().nth_back(1).map(|it| it.id.index());
        let surroundings = match parent.map(|it| &mut self.parts[it]) {
            None => Surroundings::Message,
            Some(Part {
                kind: Kind::Message { envelope, .. },
                ..
            }) => {
                let found = Envelope::from_header(header);
                if charge(&mut self.room, found.weight()) {
                    **envelope = found;
                }
                Surroundings::Message
            }
            Some(it) if it.description.is_media("multipart", "digest") => Surroundings::Digest,
            Some(_) => Surroundings::Multipart,
        };
        Description::parse(header, surroundings)
    }

    /// The innermost part ends at `end`, after `lines` line ends.
    fn close_part(&mut self, end: u64, lines: u64) {
        self.drop_boundary();
        if let Some(open) = self.open.pop() {
            let part = &mut self.parts[open.id.index()];
            part.body.len = end - part.body.offset;
            part.body_lines = lines - open.lines_before;
        }
    }

    fn drop_boundary(&mut self) {
        if self
            .open
            .last_mut()
            .is_some_and(|it| it.boundary.take().is_some())
        {
            self.boundaries -= 1;
        }
    }
}

/// Takes `weight` from `room` if there is as much.
fn charge(room: &mut usize, weight: usize) -> bool {
    let rest = room.checked_sub(weight);
    *room = rest.unwrap_or(*room);
    rest.is_some()
}

#[cfg(test)]
mod tests;
