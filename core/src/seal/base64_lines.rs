//! Attachments: lines of base64 (RFC 2045 §6.8) are stored as the octets that they stand
//! for. That is what zstd makes of them at best, and takes a third of its time to undo.
//!
//! A chunk is cut anywhere, so a run of base64 in it may begin and end within a line. What
//! stands between runs stays as it is:
//!
//! ```text
//! for each run: literal octets 3 | first line 2 | line 2 | run octets 3 | literal | run
//! what is left: literal octets 3 | zero 7 | literal
//! ```
//!
//! The lengths of lines are in characters. A first line that is shorter than the others
//! (and may have none: then a run begins with a line end) is one whose beginning is in the
//! chunk before. All line ends of a run are CRLF and stand between characters.

use base64_simd::{AsOut, STANDARD};
use memchr::memchr;

use super::SealError;

/// Lines that are shorter than this are taken for text.
const LINE_CHARS_MIN: usize = 40;
/// The longest line that mail may have (RFC 5322 §2.1.1).
const LINE_CHARS_MAX: usize = 998;
/// Fewer would save too little.
const RUN_CHARS_MIN: usize = 512;
/// One twentieth must be saved by all runs of a chunk together.
const SAVING_FRACTION: usize = 20;
const RECORD_BYTES: usize = 10;

/// Makes `packed` the packed form of `text`, which is shorter; `false`, with anything in
/// `packed`, where it would not be by much. `text` has fewer than 2^24 octets.
pub(super) fn pack(text: &[u8], packed: &mut Vec<u8>) -> bool {
    packed.clear();
    let (mut from, mut written) = (0, 0);
    while let Some(run) = Run::find(text, from) {
        // No form of it is longer for a moment than what is left of the text.
        packed.reserve_exact(text.len() - written + 2 * RECORD_BYTES);
        let literal = &text[written..run.start];
        let kept = packed.len();
        run.record(literal.len()).write(packed);
        packed.extend_from_slice(literal);
        let start = packed.len();
        run.characters(text, packed);
        let decoded = STANDARD.decode_inplace(&mut packed[start..]);
        match decoded.map(|octets| octets.len()) {
            Ok(octets) if octets == run.octets() => {
                packed.truncate(start + octets);
                (from, written) = (run.end(), run.end());
            }
            // Lines that only looked alike.
            _ => {
                packed.truncate(kept);
                from = run.end();
            }
        }
    }
    if written == 0 {
        return false;
    }
    let rest = &text[written..];
    Record::rest(rest.len()).write(packed);
    packed.extend_from_slice(rest);
    packed.len() + text.len() / SAVING_FRACTION <= text.len()
}

/// Appends what [`pack`] packed to `out`, at most `limit` octets, or nothing on failure;
/// how many they are.
///
/// # Errors
/// [`SealError::Compression`] for what [`pack`] does not make, or more than `limit`.
pub(super) fn unpack(packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<usize, SealError> {
    let mut length = 0;
    let mut rest = packed;
    while !rest.is_empty() {
        let (record, _, _) = Record::read(&mut rest)?;
        length += record.plain_bytes();
        if length > limit {
            return Err(SealError::Compression);
        }
    }
    out.reserve_exact(length);
    let mut rest = packed;
    while !rest.is_empty() {
        let (record, literal, octets) = Record::read(&mut rest)?;
        out.extend_from_slice(literal);
        record.write_lines(octets, out);
    }
    Ok(length)
}

/// Lines of base64 in a text.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Offset in the text.
    start: usize,
    lines: Lines,
    /// Without line ends; a multiple of four.
    characters: usize,
}

/// How characters are cut into lines.
#[derive(Clone, Copy, Debug)]
struct Lines {
    /// Characters of the first line.
    first: usize,
    /// Characters of the others; the last one may have fewer.
    line: usize,
}

impl Lines {
    /// Octets of so many characters with the line ends between them.
    fn bytes(self, characters: usize) -> usize {
        match characters.checked_sub(self.first + 1) {
            Some(beyond) => characters + 2 * (1 + beyond / self.line),
            None => characters,
        }
    }
}

impl Run {
    /// The next run of lines that may be base64: not all characters are looked at.
    fn find(text: &[u8], from: usize) -> Option<Self> {
        let mut before = None;
        let mut start = from;
        loop {
            let end = start + memchr(b'\n', &text[start..])?;
            let line = end.saturating_sub(start + 1);
            if is_full_line(text, start, line) && is_full_line(text, end + 1, line) {
                let mut lines = 2;
                while is_full_line(text, start + lines * (line + 2), line) {
                    lines += 1;
                }
                let last = start + lines * (line + 2);
                let rest = text[last..].iter().take(line);
                let rest = rest.take_while(|octet| is_base64(**octet)).count();
                let (start, first, others) = match before {
                    Some(length) if length <= line => (0, length, lines),
                    _ => (start, line, lines - 1),
                };
                let characters = first + others * line + rest;
                let characters = characters - characters % 4;
                let lines = Lines { first, line };
                if characters >= RUN_CHARS_MIN {
                    return Some(Self {
                        start,
                        lines,
                        characters,
                    });
                }
            }
            // The line that a chunk begins with may be the end of a longer one.
            let cut = (start == 0 && end > 0 && text[end - 1] == b'\r')
                .then(|| &text[..end - 1])
                .filter(|line| line.iter().all(|octet| is_base64(*octet)));
            before = cut.map(<[u8]>::len);
            start = end + 1;
        }
    }

    /// Offset in the text behind it.
    fn end(self) -> usize {
        self.start + self.lines.bytes(self.characters)
    }

    fn octets(self) -> usize {
        self.characters / 4 * 3
    }

    fn record(self, literal: usize) -> Record {
        Record {
            literal,
            lines: self.lines,
            octets: self.octets(),
        }
    }

    /// Appends the characters without line ends.
    fn characters(self, text: &[u8], out: &mut Vec<u8>) {
        let (mut at, mut left, mut room) = (self.start, self.characters, self.lines.first);
        while left > 0 {
            let count = room.min(left);
            out.extend_from_slice(&text[at..at + count]);
            at += count + 2;
            left -= count;
            room = self.lines.line;
        }
    }
}

/// Whether a line of `line` characters is at `start`, with its CRLF, that may be in the
/// midst of base64: padding ends it (RFC 2045 §6.8).
fn is_full_line(text: &[u8], start: usize, line: usize) -> bool {
    (LINE_CHARS_MIN..=LINE_CHARS_MAX).contains(&line)
        && text.get(start + line..start + line + 2) == Some(b"\r\n")
        && text[start + line - 1] != b'='
}

fn is_base64(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'+' || octet == b'/'
}

/// What stands before a run and its literal.
#[derive(Clone, Copy, Debug)]
struct Record {
    literal: usize,
    lines: Lines,
    /// Of the run; a multiple of three.
    octets: usize,
}

impl Record {
    /// Of what follows the last run.
    fn rest(literal: usize) -> Self {
        Self {
            literal,
            lines: Lines { first: 0, line: 0 },
            octets: 0,
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        let number = |number: usize| u32::try_from(number).expect("within a chunk").to_be_bytes();
        out.extend_from_slice(&number(self.literal)[1..]);
        out.extend_from_slice(&number(self.lines.first)[2..]);
        out.extend_from_slice(&number(self.lines.line)[2..]);
        out.extend_from_slice(&number(self.octets)[1..]);
    }

    /// Takes a record from the front of `rest`, with its literal and its run.
    fn read<'a>(rest: &mut &'a [u8]) -> Result<(Self, &'a [u8], &'a [u8]), SealError> {
        let number = |octets: &[u8]| {
            let digits = octets.iter();
            digits.fold(0, |number, digit| number << 8 | usize::from(*digit))
        };
        let (record, behind) = rest
            .split_first_chunk::<RECORD_BYTES>()
            .ok_or(SealError::Compression)?;
        let record = Self {
            literal: number(&record[..3]),
            lines: Lines {
                first: number(&record[3..5]),
                line: number(&record[5..7]),
            },
            octets: number(&record[7..]),
        };
        let Lines { first, line } = record.lines;
        if !record.octets.is_multiple_of(3) || first > line || (line == 0 && record.octets > 0) {
            return Err(SealError::Compression);
        }
        let split = behind.split_at_checked(record.literal);
        let (literal, behind) = split.ok_or(SealError::Compression)?;
        let split = behind.split_at_checked(record.octets);
        let (octets, behind) = split.ok_or(SealError::Compression)?;
        *rest = behind;
        Ok((record, literal, octets))
    }

    /// Octets of the literal and of the run with its line ends.
    fn plain_bytes(self) -> usize {
        self.literal + self.lines.bytes(self.octets / 3 * 4)
    }

    fn write_lines(self, octets: &[u8], out: &mut Vec<u8>) {
        let Lines { first, line } = self.lines;
        let mut room = first;
        let mut block = [0; BLOCK_OCTETS / 3 * 4];
        for octets in octets.chunks(BLOCK_OCTETS) {
            let mut characters = &*STANDARD.encode(octets, block.as_mut_slice().as_out());
            while !characters.is_empty() {
                if room == 0 {
                    out.extend_from_slice(b"\r\n");
                    room = line;
                }
                let (now, later) = characters.split_at(room.min(characters.len()));
                out.extend_from_slice(now);
                room -= now.len();
                characters = later;
            }
        }
    }
}

/// Octets that are encoded at a time; a multiple of three.
const BLOCK_OCTETS: usize = 3 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, Seed};
    use proptest::prelude::*;

    /// Noise in lines of base64, padding included.
    fn attachment(octets: usize, line: usize) -> Vec<u8> {
        let mut random = Random::new(Seed::new([3; 32]));
        let noise: Vec<u8> = (0..octets).map(|_| random.bytes::<1>()[0]).collect();
        let characters = STANDARD.encode_to_string(noise);
        let lines = characters.as_bytes().chunks(line);
        lines.flat_map(|line| [line, b"\r\n"].concat()).collect()
    }

    /// What is unpacked of the packed form, and its length, if there is one.
    fn there_and_back(text: &[u8]) -> Option<(usize, Vec<u8>)> {
        let mut packed = Vec::new();
        pack(text, &mut packed).then(|| {
            let mut out = b"before".to_vec();
            assert_eq!(unpack(&packed, text.len(), &mut out), Ok(text.len()));
            assert_eq!(&out[..6], b"before");
            let short = unpack(&packed, text.len() - 1, &mut out);
            assert_eq!(short, Err(SealError::Compression));
            (packed.len(), out.split_off(6))
        })
    }

    #[test]
    fn every_cut_of_an_attachment_comes_back() {
        for line in [60, 64, 72, 75, 76, 77] {
            let text = [
                b"Content-Transfer-Encoding: base64\r\n\r\n".to_vec(),
                attachment(5_000, line),
                b"\r\n--boundary\r\nContent-Type: image/png\r\n\r\n".to_vec(),
                attachment(1_999, line),
                b"--boundary--\r\n".to_vec(),
            ]
            .concat();
            for from in (0..300).chain(6_700..6_900) {
                for until in [text.len(), text.len() - from % 97, from + 4_000] {
                    let cut = &text[from..until.min(text.len())];
                    if cut.len() < 1_500 {
                        continue;
                    }
                    let (packed, back) = there_and_back(cut).expect("it is mostly base64");
                    assert!(back == cut, "lines of {line}, {from}..{until}");
                    assert!(packed * 100 < cut.len() * 86, "{packed} of {}", cut.len());
                }
            }
        }
    }

    #[test]
    fn nothing_else_is_packed() {
        let alike =
            b"these are words in lines of one and the same length, that is all\r\n".repeat(99);
        let bare = attachment(5_000, 76)
            .into_iter()
            .filter(|octet| *octet != b'\r');
        let long = attachment(5_000, 1_000);
        for text in [b"".to_vec(), alike, bare.collect(), long] {
            assert!(there_and_back(&text).is_none());
        }
        // Only so little of it is base64 that it is not worth it.
        let text = [b"word ".repeat(10_000), attachment(600, 76)].concat();
        assert!(there_and_back(&text).is_none());
        // A line that is no base64 spoils its run, not the next one.
        let mut spoilt = attachment(3_000, 76);
        spoilt[400] = b'%';
        let text = [spoilt, b"--boundary\r\n".to_vec(), attachment(4_000, 76)].concat();
        let (packed, back) = there_and_back(&text).expect("the second run");
        assert!(back == text && packed > 7_000 && packed < 8_200, "{packed}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_packed_comes_back(
            pieces in prop::collection::vec(
                (0_usize..1_500, prop::sample::select(vec![3_usize, 40, 57, 64, 76, 998]), any::<[u8; 2]>()),
                1..6,
            ),
            from in 0_usize..200,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let mut text = Vec::new();
            for (octets, line, between) in pieces {
                text.extend(attachment(octets, line));
                text.extend(between);
            }
            for (place, octet) in damage {
                let place = place.index(text.len());
                text[place] = octet;
            }
            let text = &text[from.min(text.len())..];
            if let Some((_, back)) = there_and_back(text) {
                prop_assert!(back == text);
            }
        }

        #[test]
        fn anything_is_unpacked_within_the_limit_or_refused(
            records in prop::collection::vec(
                (0_usize..20, 0_usize..90, 0_usize..90, 0_usize..30), 0..4,
            ),
            limit in 0_usize..400,
            cut in 0_usize..200,
        ) {
            let mut packed = Vec::new();
            for (literal, first, line, octets) in records {
                let lines = Lines { first, line };
                Record { literal, lines, octets }.write(&mut packed);
                packed.extend(vec![7; literal + octets]);
            }
            packed.truncate(packed.len().saturating_sub(cut / 10));
            let mut out = Vec::new();
            match unpack(&packed, limit, &mut out) {
                Ok(length) => prop_assert!(length == out.len() && length <= limit),
                Err(_) => prop_assert!(out.is_empty()),
            }
        }
    }
}
