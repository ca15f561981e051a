//! How a batch lies in the log: in one item, or cut into several with consecutive numbers
//! when it is longer than storage likes.
//!
//! Storage writes an item whole or not at all, but of several items any may be missing.
//! So each part says which of how many it is, and a batch counts only when **all** its
//! parts are there: until then it does not exist, for any reader. That keeps what a
//! batch promises (all messages of a COPY, with their UIDs, or none), whatever is lost
//! and in whatever order the parts come.

use super::encoding::{DecodeError, Decoder, Encoder};
use bytes::Bytes;

/// Version of the items of a log. The batch inside has its own.
const VERSION: u8 = 1;

/// Octets before a part's piece of the batch, at most: a version and two numbers.
const HEADER_BYTES_MAX: usize = 1 + 10 + 10;

/// One item of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which part it is, from 0.
    pub(crate) index: u64,
    /// Of how many.
    pub(crate) count: u64,
    /// Its piece of the encoded batch.
    pub(crate) piece: Bytes,
}

impl Part {
    /// Cuts an encoded batch into items of at most `item_bytes_max` octets (but always at
    /// least one octet of the batch).
    pub(crate) fn cut(batch: &[u8], item_bytes_max: usize) -> Vec<Vec<u8>> {
        let piece_bytes = item_bytes_max.saturating_sub(HEADER_BYTES_MAX).max(1);
        let count = batch.len().div_ceil(piece_bytes);
        let encode = |(index, piece): (usize, &[u8])| {
            let mut encoder = Encoder::new(VERSION);
            encoder.count(index);
            encoder.count(count);
            encoder.raw(piece);
            encoder.finish()
        };
        batch.chunks(piece_bytes).enumerate().map(encode).collect()
    }

    /// An encoded batch as one item, however long it is.
    pub(crate) fn whole(batch: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(VERSION);
        encoder.count(0);
        encoder.count(1);
        encoder.raw(batch);
        encoder.finish()
    }

    /// Reads the encoded form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes, VERSION)?;
        let (index, count) = (decoder.number()?, decoder.number()?);
        if index >= count {
            return Err(DecodeError::Invalid("part"));
        }
        let piece = Bytes::copy_from_slice(decoder.rest());
        Ok(Self {
            index,
            count,
            piece,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_read_for_ever() {
        let golden = include_bytes!("golden/part-1.bin");
        let parts = Part::cut(&[7; 2_000], HEADER_BYTES_MAX + 9);
        assert_eq!(parts[200], golden);
        let part = Part {
            index: 200,
            count: 223,
            piece: Bytes::from_static(&[7; 9]),
        };
        assert_eq!(Part::decode(golden), Ok(part));
    }

    #[test]
    fn parts_are_short_enough_and_give_the_batch_again() {
        let batch: Vec<u8> = (0..10_000u32).map(|number| number as u8).collect();
        for item_bytes_max in [0, 1, 21, 22, 64, 1_000, 10_020, 10_021, 1 << 20] {
            let mut again = Vec::new();
            let items = Part::cut(&batch, item_bytes_max);
            for (index, item) in (0..).zip(&items) {
                assert!(item.len() <= item_bytes_max.max(HEADER_BYTES_MAX + 1));
                let part = Part::decode(item).unwrap();
                assert_eq!((part.index, part.count), (index, items.len() as u64));
                again.extend_from_slice(&part.piece);
            }
            assert_eq!(again, batch);
        }
    }

    #[test]
    fn a_part_beyond_the_last_is_refused() {
        for damaged in [&[1, 3, 3][..], &[1, 0, 0], &[1, 0], &[2, 0, 1, 5], &[]] {
            assert!(Part::decode(damaged).is_err());
        }
    }
}
