//! Chunks: the pieces in which bodies and summaries are sealed, each readable and
//! verifiable without the others.
//!
//! ```text
//! header 4: compressed 1 bit | last 1 bit | packed 1 bit | zero 5 bits | sealed length 24 bits
//! AES-256-GCM ciphertext | tag 16
//! ```
//!
//! The nonce is domain 1 | zero 2 | index 8 | last 1. A content key seals one object
//! only, so no nonce comes twice, and a chunk opens nowhere but at its own place:
//! order, end and truncation are authenticated. The header, the object's kind and its
//! id are associated data. Every chunk but the last holds exactly `chunk_bytes` octets.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};

use super::compression::{Compressor, Decompressor, Form, SpareContext};
use super::{ContentKind, SealError};
use crate::mailbox::ContentId;

/// Octets that sealing adds to a chunk, at most.
pub const CHUNK_OVERHEAD_BYTES: usize = CHUNK_HEADER_BYTES + TAG_BYTES;
/// The most plaintext octets that a chunk may have.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;

pub(super) const CHUNK_HEADER_BYTES: usize = 4;
pub(super) const TAG_BYTES: usize = 16;

/// What a nonce is for: parts of an object that must not be taken for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Domain {
    Body = 1,
    Summary = 2,
    Trailer = 3,
}

/// Where a chunk stands.
#[derive(Clone, Copy)]
pub(super) struct ChunkPlace {
    pub(super) domain: Domain,
    pub(super) index: u64,
    pub(super) last: bool,
}

impl ChunkPlace {
    fn nonce(self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[0] = self.domain as u8;
        nonce[3..11].copy_from_slice(&self.index.to_be_bytes());
        nonce[11] = u8::from(self.last);
        nonce
    }
}

/// What stands before a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkHeader {
    /// Ciphertext and tag, in octets.
    pub(super) sealed_bytes: usize,
    pub(super) form: Form,
    pub(super) last: bool,
}

impl ChunkHeader {
    /// Reads a header that nothing has authenticated yet: only its length is used, and
    /// only within the limit.
    pub(super) fn parse(
        bytes: [u8; CHUNK_HEADER_BYTES],
        chunk_bytes: usize,
    ) -> Result<Self, SealError> {
        let word = u32::from_be_bytes(bytes);
        let sealed_bytes = (word & LENGTH_MASK) as usize;
        if word & !(COMPRESSED | LAST | PACKED | LENGTH_MASK) != 0 || sealed_bytes < TAG_BYTES {
            return Err(SealError::Forged);
        }
        if sealed_bytes > chunk_bytes + TAG_BYTES {
            return Err(SealError::TooLarge);
        }
        Ok(Self {
            sealed_bytes,
            form: Form {
                packed: word & PACKED != 0,
                compressed: word & COMPRESSED != 0,
            },
            last: word & LAST != 0,
        })
    }

    fn to_bytes(self) -> [u8; CHUNK_HEADER_BYTES] {
        let mut word = u32::try_from(self.sealed_bytes).expect("a chunk is under 2^24 octets");
        word |= if self.form.compressed { COMPRESSED } else { 0 };
        word |= if self.form.packed { PACKED } else { 0 };
        word |= if self.last { LAST } else { 0 };
        word.to_be_bytes()
    }
}

const COMPRESSED: u32 = 1 << 31;
const LAST: u32 = 1 << 30;
const PACKED: u32 = 1 << 29;
const LENGTH_MASK: u32 = (1 << 24) - 1;

/// Seals and opens the chunks of one object.
pub(super) struct ChunkCipher {
    cipher: Aes256Gcm,
    kind: ContentKind,
    id: ContentId,
}

impl ChunkCipher {
    pub(super) fn new(key: &[u8; 32], kind: ContentKind, id: ContentId) -> Self {
        Self {
            cipher: Aes256Gcm::new(key.into()),
            kind,
            id,
        }
    }

    /// Appends a sealed chunk to `out`; its stored length, header included.
    pub(super) fn seal_chunk(
        &self,
        place: ChunkPlace,
        plaintext: &[u8],
        compressor: &mut Compressor,
        out: &mut Vec<u8>,
    ) -> usize {
        let start = out.len();
        out.resize(start + CHUNK_HEADER_BYTES + plaintext.len(), 0);
        let body = &mut out[start + CHUNK_HEADER_BYTES..];
        let (length, form) = compressor.shorten(plaintext, body);
        let header = ChunkHeader {
            sealed_bytes: length + TAG_BYTES,
            form,
            last: place.last,
        }
        .to_bytes();
        let tag = self.seal_in_place(place, &header, &mut body[..length]);
        out[start..start + CHUNK_HEADER_BYTES].copy_from_slice(&header);
        out.truncate(start + CHUNK_HEADER_BYTES + length);
        out.extend_from_slice(&tag);
        out.len() - start
    }

    pub(super) fn seal_in_place(
        &self,
        place: ChunkPlace,
        header: &[u8],
        plaintext: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        self.cipher
            .encrypt_inout_detached(
                &place.nonce().into(),
                &self.context(header),
                plaintext.into(),
            )
            .expect("a chunk is within the cipher's 64 GiB")
            .into()
    }

    /// Opens ciphertext and tag where they stand; the plaintext.
    pub(super) fn open_in_place<'a>(
        &self,
        place: ChunkPlace,
        header: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], SealError> {
        let (text, tag) = sealed
            .split_last_chunk_mut::<TAG_BYTES>()
            .ok_or(SealError::Truncated)?;
        self.cipher
            .decrypt_inout_detached(
                &place.nonce().into(),
                &self.context(header),
                (&mut *text).into(),
                (&*tag).into(),
            )
            .map_err(|_| SealError::Forged)?;
        Ok(text)
    }

    fn context(&self, header: &[u8]) -> Vec<u8> {
        [&[self.kind as u8], self.id.0.as_slice(), header].concat()
    }
}

/// Opens the chunks of one object, with what that needs.
pub(super) struct ChunkOpener {
    cipher: ChunkCipher,
    decompressor: Decompressor,
    /// Plaintext octets of every chunk but the last.
    pub(super) chunk_bytes: usize,
}

impl ChunkOpener {
    pub(super) fn new(
        cipher: ChunkCipher,
        chunk_bytes: usize,
        spare: Option<SpareContext>,
    ) -> Self {
        Self {
            cipher,
            decompressor: Decompressor::new(spare),
            chunk_bytes,
        }
    }

    pub(super) fn share(&mut self, spare: &SpareContext) {
        self.decompressor = Decompressor::new(Some(spare.clone()));
    }

    /// Opens chunk `index`, of which `sealed` is what follows `header`. Appends its
    /// plaintext to `out` and gives the length; appends nothing on failure. Leaves
    /// `sealed` in an unspecified state.
    pub(super) fn open(
        &mut self,
        domain: Domain,
        index: u64,
        header: ChunkHeader,
        sealed: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, SealError> {
        let start = out.len();
        let place = ChunkPlace {
            domain,
            index,
            last: header.last,
        };
        let text = self
            .cipher
            .open_in_place(place, &header.to_bytes(), sealed)?;
        let limit = self.chunk_bytes;
        let length = self.decompressor.restore(header.form, text, limit, out)?;
        if !header.last && length != self.chunk_bytes {
            out.truncate(start);
            return Err(SealError::Forged);
        }
        Ok(length)
    }
}
