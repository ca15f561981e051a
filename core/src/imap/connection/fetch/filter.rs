//! HEADER.FIELDS of a header that is read piece by piece, because no summary keeps it whole.
//!
//! The literal's length is said before its octets, so what is kept is held in memory: no more than
//! of any header, and whole fields only, so that no client takes the half of one for all of it.

use super::section::Fields;
use crate::mime::header::{self, Names};

/// Takes a header and keeps the fields that are wanted, the first ones if they are too long together.
/// One that is too long alone is left out.
pub(super) struct Filter {
    wanted: Names,
    /// Octets of all that is kept.
    octets_max: usize,
    kept: Vec<u8>,
    /// The last field, which may go on.
    last: Vec<u8>,
    /// The last field is longer than what may be kept, and passed over.
    passes: bool,
    /// One did not fit any more.
    full: bool,
}

impl Filter {
    pub(super) fn new(fields: &Fields<'_>, octets_max: usize) -> Self {
        Self {
            wanted: fields.wanted(),
            octets_max,
            kept: Vec::new(),
            last: Vec::new(),
            passes: false,
            full: false,
        }
    }

    /// Takes the next octets.
    pub(super) fn feed(&mut self, octets: &[u8]) {
        self.last.extend_from_slice(octets);
        // Behind the last line that does not go on.
        let mut ends = memchr::memrchr_iter(b'\n', &self.last).map(|end| end + 1);
        let goes_on = |end: &usize| matches!(self.last.get(*end), None | Some(b' ' | b'\t'));
        if let Some(end) = ends.find(|end| !goes_on(end)) {
            let rest = self.last.split_off(end);
            let whole = core::mem::replace(&mut self.last, rest);
            self.keep(&whole);
        }
        if self.last.len() > self.octets_max {
            // Its last octet says, with the next ones, whether it goes on.
            let end = self.last.pop();
            self.last = [b'x'].into_iter().chain(end).collect();
            self.passes = true;
        }
    }

    /// Whether nothing more is kept.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// What was wanted, with a blank line.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let last = core::mem::take(&mut self.last);
        self.keep(&last);
        self.kept.extend_from_slice(b"\r\n");
        self.kept
    }

    /// Keeps what is wanted of these fields.
    fn keep(&mut self, whole: &[u8]) {
        let passed = core::mem::take(&mut self.passes);
        for field in header::fields(whole).skip(usize::from(passed)) {
            let fits = field.raw.len() <= self.octets_max;
            if self.full || !fits || !self.wanted.contain(field.name) {
                continue;
            }
            self.full = self.kept.len() + field.raw.len() > self.octets_max;
            if !self.full {
                self.kept.extend_from_slice(field.raw);
                if !field.raw.ends_with(b"\n") {
                    self.kept.extend_from_slice(b"\r\n");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::header::fields_matching;

    fn filtered(header: &[u8], not: bool, octets_max: usize, piece: usize) -> String {
        let names = ["A".to_owned(), "long".to_owned()];
        let fields = Fields {
            names: &names,
            not,
            partial: None,
        };
        let mut filter = Filter::new(&fields, octets_max);
        for octets in header.chunks(piece) {
            filter.feed(octets);
        }
        String::from_utf8(filter.finish()).unwrap()
    }

    #[test]
    fn it_does_not_matter_how_a_header_is_cut() {
        for header in [
            &b"A: one\r\n two\r\nB: x\r\n\ty\r\na : three\r\n\r\n"[..],
            b"A: one\n two\nnothing\nLong: x",
            b"\r\n",
            b"",
        ] {
            for not in [false, true] {
                let whole = fields_matching(header, &["a", "long"], not);
                for piece in [1, 2, 5, 100] {
                    let found = filtered(header, not, 1_000, piece);
                    assert_eq!(found.as_bytes(), whole, "{not} {piece}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_as_a_whole() {
        let folds = "\r\n x".repeat(20);
        let header = format!("A: one\r\nLong: {folds}\r\nA: two\r\n\r\n");
        for piece in [1, 2, 3, 7, 100, 1_000] {
            let found = filtered(header.as_bytes(), false, 30, piece);
            assert_eq!(found, "A: one\r\nA: two\r\n\r\n", "{piece}");
        }
        let header = "A: 12345\r\n".repeat(10);
        let found = filtered(header.as_bytes(), false, 35, 8);
        assert_eq!(found, "A: 12345\r\n".repeat(3) + "\r\n");
    }
}
