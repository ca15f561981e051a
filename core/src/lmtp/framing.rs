//! From octets to command lines.
//!
//! A line ends with CR LF. Whoever sends a CR or LF alone may have another opinion about
//! where lines end than who wrote what it passes on (SMTP smuggling), so that ends the
//! connection: nothing after it is looked at.

use memchr::memchr2;

/// Octets from the client that wait.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    octets: Vec<u8>,
    taken: usize,
    /// A line that was too long is being thrown away.
    skipping: bool,
}

/// What a look for the next line found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its end has not come yet.
    Incomplete,
    /// A line without its end.
    Whole(Vec<u8>),
    /// A line that is too long was thrown away.
    TooLong,
    /// A CR or LF alone.
    Bare,
}

impl Inbox {
    pub(super) fn push(&mut self, octets: &[u8]) {
        if self.taken > 0 {
            self.octets.drain(..self.taken);
            self.taken = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    pub(super) fn waiting(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len() - self.taken
    }

    /// Whether the client has begun something.
    pub(super) fn is_clean(&self) -> bool {
        self.len() == 0 && !self.skipping
    }

    pub(super) fn take(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.octets.len());
        if self.len() == 0 {
            // A connection that waits holds no buffer.
            self.octets = Vec::new();
            self.taken = 0;
        }
    }

    /// The next line, of at most `line_bytes_max` octets with its end.
    pub(super) fn next_line(&mut self, line_bytes_max: usize) -> Line {
        let waiting = self.waiting();
        let Some(end) = memchr2(b'\r', b'\n', waiting) else {
            if self.skipping || waiting.len() > line_bytes_max {
                self.skipping = true;
                self.take(self.len());
            }
            return Line::Incomplete;
        };
        match (waiting[end], waiting.get(end + 1)) {
            (b'\r', Some(b'\n')) => {}
            (b'\r', None) => return Line::Incomplete,
            _ => return Line::Bare,
        }
        let line = match self.skipping || end + 2 > line_bytes_max {
            true => Line::TooLong,
            false => Line::Whole(waiting[..end].to_vec()),
        };
        self.skipping = false;
        self.take(end + 2);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Line> {
        let mut inbox = Inbox::default();
        let mut found = Vec::new();
        for piece in pieces {
            inbox.push(piece);
            loop {
                match inbox.next_line(10) {
                    Line::Incomplete => break,
                    Line::Bare => {
                        found.push(Line::Bare);
                        return found;
                    }
                    line => found.push(line),
                }
            }
        }
        found
    }

    #[test]
    fn only_cr_lf_ends_a_line() {
        let whole = |line: &[u8]| Line::Whole(line.to_vec());
        assert_eq!(
            lines(&[b"NOOP\r\nQUIT\r\n"]),
            [whole(b"NOOP"), whole(b"QUIT")]
        );
        assert_eq!(lines(&[b"NO", b"OP\r", b"\n"]), [whole(b"NOOP")]);
        assert_eq!(lines(&[b"\r\n"]), [whole(b"")]);
        for bare in [&b"NOOP\nQUIT\r\n"[..], b"NOOP\rQUIT\r\n", b"NOOP\r\r\n"] {
            assert_eq!(lines(&[bare]), [Line::Bare]);
            let octets: Vec<_> = bare.chunks(1).collect();
            assert_eq!(lines(&octets), [Line::Bare]);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_thrown_away() {
        let whole = |line: &[u8]| Line::Whole(line.to_vec());
        assert_eq!(lines(&[b"12345678\r\n"]), [whole(b"12345678")]);
        let long = &b"123456789\r\nNOOP\r\n"[..];
        assert_eq!(lines(&[long]), [Line::TooLong, whole(b"NOOP")]);
        let endless = b"x".repeat(1_000);
        let end = &b"\r\nNOOP\r\n"[..];
        assert_eq!(
            lines(&[&endless, &endless, end]),
            [Line::TooLong, whole(b"NOOP")]
        );
    }
}
