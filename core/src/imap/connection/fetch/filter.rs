//! HEADER.FIELDS of a header that is read piece by piece, because no summary keeps it whole.
//!
//! The literal's length is said before its octets, so what is kept is held in memory: no more than
//! of any header, and whole fields only, so that no client takes the half of one for all of it.

use super::section::Fields;
use crate::mime::header;

/// Takes a header and keeps the fields that are wanted, the first ones if they are too long together.
pub(super) struct Filter<'a> {
    fields: &'a Fields<'a>,
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

impl<'a> Filter<'a> {
    pub(super) fn new(fields: &'a Fields<'a>, octets_max: usize) -> Self {
        Self {
            fields,
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
            if self.full || !self.fields.want(field.name) {
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
