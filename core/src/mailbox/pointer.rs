//! Pointers: which object a [checkpoint](super::checkpoint) is.
//!
//! A pointer is an item in the log's own partition whose sort key begins with `#`
//! and so comes before the log's items: one read brings both. It repeats the
//! version vector, so that whoever has the state already need not read the object to
//! know that it contains nothing new.

use super::ContentId;
use super::encoding::{DecodeError, Decoder, Encoder};
use super::merge::Floor;
use super::version_vector::VersionVector;

/// Version of pointers.
const POINTER_VERSION: u8 = 1;

/// What the pointer item says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointPointer {
    /// The object.
    pub(crate) content: ContentId,
    /// Octets of its plaintext.
    pub(crate) bytes: u64,
    /// What clients were shown, should the object be lost.
    pub(crate) floor: Floor,
    /// What it contains.
    pub(crate) covered: VersionVector,
}

impl CheckpointPointer {
    /// The encoded form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(POINTER_VERSION);
        encoder.array(&self.content.0);
        encoder.number(self.bytes);
        encoder.number(self.floor.modseq.0);
        encoder.number(u64::from(self.floor.uid_next));
        self.covered.encode(&mut encoder);
        encoder.finish()
    }

    /// Reads the encoded form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes, POINTER_VERSION)?;
        let pointer = Self {
            content: ContentId(decoder.array()?),
            bytes: decoder.number()?,
            floor: Floor {
                modseq: decoder.modseq()?,
                uid_next: decoder.number32()?,
            },
            covered: VersionVector::decode(&mut decoder)?,
        };
        decoder.finish()?;
        Ok(pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ModSeq;
    use super::super::checkpoint_tests::covered;
    use super::*;

    #[test]
    fn version_1_of_pointers_is_read_for_ever() {
        let pointer = CheckpointPointer {
            content: ContentId([3; 16]),
            bytes: 70_000,
            floor: Floor {
                modseq: ModSeq(500),
                uid_next: 400,
            },
            covered: covered(),
        };
        let golden = include_bytes!("golden/pointer-1.bin");
        assert_eq!(pointer.encode(), golden);
        assert_eq!(CheckpointPointer::decode(golden), Ok(pointer));
    }
}
