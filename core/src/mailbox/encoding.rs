//! The compact encoding of everything that the logs and checkpoints store: bytes,
//! fixed identities and variable-length numbers (LEB128, at most ten bytes).
//!
//! Whatever is decoded here was sealed, so it comes from a server that held the
//! account's keys; a decoder still refuses what is cut short or absurd, because a
//! fault elsewhere must damage one value and nothing else.

use super::ModSeq;
use core::fmt;

/// Why a stored value could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It ends too early.
    Truncated,
    /// It was written by a newer version.
    Version(u8),
    /// It says something impossible.
    Invalid(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("ends too early"),
            Self::Version(version) => write!(f, "unknown version {version}"),
            Self::Invalid(what) => write!(f, "invalid {what}"),
        }
    }
}

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// Starts a value with its version.
    pub(crate) fn new(version: u8) -> Self {
        Self {
            bytes: vec![version],
        }
    }

    /// One byte.
    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// A number; small ones are short.
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// How many of something follow.
    pub(crate) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// A number that may be negative.
    pub(crate) fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    /// An identity or another array of known length.
    pub(crate) fn array<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A text with its length.
    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Bytes to the end of the value.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What was written.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads values from a buffer.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Checks the version and begins behind it.
    pub(crate) fn new(bytes: &'a [u8], version: u8) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            None => Err(DecodeError::Truncated),
            Some((&found, rest)) if found == version => Ok(Self { rest }),
            Some((&found, _)) => Err(DecodeError::Version(found)),
        }
    }

    /// The same for any version up to this one; which it is.
    pub(crate) fn up_to(bytes: &'a [u8], version: u8) -> Result<(Self, u8), DecodeError> {
        match bytes.first() {
            Some(&found) if (1..version).contains(&found) => Ok((Self::new(bytes, found)?, found)),
            _ => Ok((Self::new(bytes, version)?, version)),
        }
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    /// A number.
    pub(crate) fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(DecodeError::Invalid("number"))
    }

    /// A modification sequence. What is written stays far below 2^62, so that there is
    /// always a next one (RFC 7162 §3.1: 63 bits).
    pub(crate) fn modseq(&mut self) -> Result<ModSeq, DecodeError> {
        match self.number()? {
            number @ ..0x4000_0000_0000_0000 => Ok(ModSeq(number)),
            _ => Err(DecodeError::Invalid("modification sequence")),
        }
    }

    /// A number of 32 bits.
    pub(crate) fn number32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.number()?).map_err(|_| DecodeError::Invalid("number"))
    }

    /// How many follow, where each takes at least `least` bytes: what cannot be there
    /// is refused before room is made for it.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.number()?).map_err(|_| DecodeError::Invalid("count"))?;
        if count > self.rest.len() / least.max(1) {
            return Err(DecodeError::Truncated);
        }
        Ok(count)
    }

    /// A number that may be negative.
    pub(crate) fn signed(&mut self) -> Result<i64, DecodeError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// An array of known length.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    /// A text.
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.count(1)?;
        let (text, rest) = self.rest.split_at(len);
        self.rest = rest;
        core::str::from_utf8(text).map_err(|_| DecodeError::Invalid("text"))
    }

    /// Everything to the end of the value.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing is left over.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Invalid("length"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::MAX / 2, u64::MAX];
        let mut encoder = Encoder::new(1);
        for number in numbers {
            encoder.number(number);
            encoder.signed(number as i64);
        }
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes, 1).unwrap();
        for number in numbers {
            assert_eq!(decoder.number(), Ok(number));
            assert_eq!(decoder.signed(), Ok(number as i64));
        }
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn what_is_cut_short_or_absurd_is_refused() {
        assert_eq!(Decoder::new(&[], 1).unwrap_err(), DecodeError::Truncated);
        assert_eq!(Decoder::new(&[2], 1).unwrap_err(), DecodeError::Version(2));
        let long = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        let mut decoder = Decoder::new(&long, 1).unwrap();
        assert_eq!(decoder.number(), Err(DecodeError::Invalid("number")));
        let mut decoder = Decoder::new(&[1, 0xff, 0x7f, 0], 1).unwrap();
        assert_eq!(decoder.count(16), Err(DecodeError::Truncated));
        let mut decoder = Decoder::new(&[1, 1, 0xff], 1).unwrap();
        assert_eq!(decoder.text(), Err(DecodeError::Invalid("text")));
    }
}
