//! From octets to lines. What is in them may be passwords, so each buffer is wiped when it
//! is given up.

use memchr::memchr;
use zeroize::Zeroizing;

/// Octets from the client that wait.
#[derive(Default)]
pub(super) struct Inbox {
    octets: Zeroizing<Vec<u8>>,
    /// Octets before this were taken already.
    taken: usize,
}

/// What a look for the next line found.
#[derive(PartialEq, Eq)]
pub(super) enum Found {
    /// Its end has not come yet.
    Incomplete,
    /// A line without its end.
    Line(Zeroizing<Vec<u8>>),
    /// It is longer than it may be.
    TooLong,
}

impl Inbox {
    pub(super) fn push(&mut self, octets: &[u8]) {
        // A vector that grew would leave what it held where it was.
        let mut joined = Zeroizing::new(Vec::with_capacity(self.len() + octets.len()));
        joined.extend_from_slice(self.waiting());
        joined.extend_from_slice(octets);
        *self = Self {
            octets: joined,
            taken: 0,
        };
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len() - self.taken
    }

    fn waiting(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    /// Takes the next line, of at most `line_bytes_max` octets without its end.
    pub(super) fn next_line(&mut self, line_bytes_max: usize) -> Found {
        let waiting = self.waiting();
        let end = memchr(b'\n', waiting);
        if end.unwrap_or(waiting.len()) > line_bytes_max {
            return Found::TooLong;
        }
        let Some(end) = end else {
            return Found::Incomplete;
        };
        let line = Zeroizing::new(waiting[..end].to_vec());
        self.taken += end + 1;
        if self.len() == 0 {
            // A connection that waits holds no buffer.
            *self = Self::default();
        }
        Found::Line(line)
    }
}

impl core::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Inbox({} octets)", self.len())
    }
}
