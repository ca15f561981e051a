//! The layout of an object's body: which stored bytes hold which plaintext. It is kept
//! in the sealed summary, and with it any part of a message can be read by one request
//! for a range, without the head.
//!
//! ```text
//! version 1 | chunk_bytes 4 | plaintext octets 8 | content key 32 | stored length 3 …
//! ```
//!
//! Version 2 says that a chunk of it is [packed](super::base64_lines).

use core::fmt;
use core::ops::Range;

use zeroize::Zeroizing;

use super::SealError;
use super::chunk::{CHUNK_BYTES_MAX, CHUNK_OVERHEAD_BYTES};
use super::head::CONTENT_HEAD_BYTES;
use super::keys::SecretBytes;

/// Where the chunks of a body are, and the key that opens them: as secret as the body.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentLayout {
    pub(super) key: SecretBytes,
    pub(super) chunk_bytes: usize,
    plaintext_bytes: u64,
    /// A chunk is.
    packed: bool,
    /// Of each chunk, header included, big endian.
    stored: Vec<[u8; 3]>,
}

impl ContentLayout {
    pub(super) fn new(
        key: SecretBytes,
        chunk_bytes: usize,
        plaintext_bytes: u64,
        packed: bool,
        stored: Vec<[u8; 3]>,
    ) -> Self {
        debug_assert_eq!(chunks(plaintext_bytes, chunk_bytes), stored.len() as u64);
        Self {
            key,
            chunk_bytes,
            plaintext_bytes,
            packed,
            stored,
        }
    }

    /// Octets of the body.
    #[must_use]
    pub fn plaintext_bytes(&self) -> u64 {
        self.plaintext_bytes
    }

    /// Plaintext octets of every chunk but the last.
    #[must_use]
    pub fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Octets of memory that this takes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.stored)
    }

    /// The stored bytes of the chunks that hold the octets `plaintext` of the body: what
    /// to ask storage for. Never empty: one chunk at least is needed to learn that there
    /// is nothing.
    #[must_use]
    pub fn stored_range(&self, plaintext: Range<u64>) -> Range<u64> {
        let first = self.chunk_of(plaintext.start);
        let last = self.chunk_of(plaintext.end.saturating_sub(1)).max(first);
        self.stored_start(first)..self.stored_start(last + 1)
    }

    /// The layout in its stored form, which holds the content key.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(START_BYTES + 3 * self.stored.len()));
        let chunk_bytes = u32::try_from(self.chunk_bytes).expect("chunks are limited to 1 MiB");
        bytes.push(if self.packed { PACKED_VERSION } else { VERSION });
        bytes.extend_from_slice(&chunk_bytes.to_be_bytes());
        bytes.extend_from_slice(&self.plaintext_bytes.to_be_bytes());
        bytes.extend_from_slice(&*self.key);
        bytes.extend_from_slice(self.stored.as_flattened());
        bytes
    }

    /// Reads what [`ContentLayout::encode`] made.
    ///
    /// # Errors
    /// [`SealError::Version`], [`SealError::Truncated`] or [`SealError::TooLarge`] for
    /// everything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        let (&version, rest) = bytes.split_first().ok_or(SealError::Truncated)?;
        if !matches!(version, VERSION | PACKED_VERSION) {
            return Err(SealError::Version);
        }
        let (chunk_bytes, rest) = rest.split_first_chunk::<4>().ok_or(SealError::Truncated)?;
        let (plaintext, rest) = rest.split_first_chunk::<8>().ok_or(SealError::Truncated)?;
        let (key, rest) = rest.split_first_chunk::<32>().ok_or(SealError::Truncated)?;
        let (stored, excess) = rest.as_chunks::<3>();
        let chunk_bytes = u32::from_be_bytes(*chunk_bytes) as usize;
        let plaintext_bytes = u64::from_be_bytes(*plaintext);
        if chunk_bytes == 0 || chunk_bytes > CHUNK_BYTES_MAX {
            return Err(SealError::TooLarge);
        }
        let expected = chunks(plaintext_bytes, chunk_bytes);
        if expected > stored.len() as u64 {
            return Err(SealError::Truncated);
        }
        let limit = chunk_bytes + CHUNK_OVERHEAD_BYTES;
        let too_long = |length: &[u8; 3]| number(length) > limit as u64;
        if expected < stored.len() as u64 || !excess.is_empty() || stored.iter().any(too_long) {
            return Err(SealError::TooLarge);
        }
        // Who delivers a message writes its layout: it could say that there is nothing to ask for.
        let too_short = |length: &[u8; 3]| number(length) < CHUNK_OVERHEAD_BYTES as u64;
        if stored.iter().any(too_short) {
            return Err(SealError::Truncated);
        }
        let stored = stored.to_vec();
        Ok(Self {
            key: Zeroizing::new(*key),
            chunk_bytes,
            plaintext_bytes,
            packed: version == PACKED_VERSION,
            stored,
        })
    }

    /// The chunk that holds the octet `offset`; the last one for what is beyond.
    pub(super) fn chunk_of(&self, offset: u64) -> usize {
        let last = self.stored.len() - 1;
        usize::try_from(offset / self.chunk_bytes as u64).map_or(last, |chunk| chunk.min(last))
    }

    /// Where chunk `index` begins in the object.
    pub(super) fn stored_start(&self, index: usize) -> u64 {
        CONTENT_HEAD_BYTES as u64 + self.stored[..index].iter().map(number).sum::<u64>()
    }
}

impl fmt::Debug for ContentLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentLayout({} octets, …)", self.plaintext_bytes)
    }
}

const VERSION: u8 = 1;
const PACKED_VERSION: u8 = 2;
const START_BYTES: usize = 1 + 4 + 8 + 32;

/// How many chunks a body has: an empty one has an empty last chunk.
fn chunks(plaintext_bytes: u64, chunk_bytes: usize) -> u64 {
    plaintext_bytes.div_ceil(chunk_bytes as u64).max(1)
}

fn number(length: &[u8; 3]) -> u64 {
    length
        .iter()
        .fold(0, |number, &byte| (number << 8) | u64::from(byte))
}
