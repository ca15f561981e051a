//! Writing a content object: head, body, summary, trailer.
//!
//! ```text
//! head | chunk 0 | chunk 1 | … | last chunk | chunks of the summary | trailer
//! ```
//!
//! Bytes come out as they are ready, so that a message of any size goes to storage
//! through one chunk of memory.

use super::chunk::{CHUNK_BYTES_MAX, ChunkCipher, ChunkPlace, Domain};
use super::compression::Compressor;
use super::head::Head;
use super::keys::SecretBytes;
use super::summary::{ContentEnd, SUMMARY_BYTES_MAX, SummaryPlace, seal_trailer};
use super::{AccountKeys, ContentKind, ContentLayout, SealError};
use crate::mailbox::{AccountId, ContentId};
use crate::random::Random;

/// Seals one object as it streams by: [`write`](Self::write) the body,
/// [`end_body`](Self::end_body), then [`finish`](Self::finish) with the summary.
///
/// All three append stored bytes to their `out`; the object is all of them in order.
/// Between calls the writer holds at most one chunk of plaintext, the compressor, and
/// three octets for each chunk written.
pub struct ContentWriter {
    key: SecretBytes,
    cipher: ChunkCipher,
    compressor: Compressor,
    chunk_bytes: usize,
    /// Until it is written.
    head: Option<[u8; super::CONTENT_HEAD_BYTES]>,
    /// Plaintext that waits to become a chunk: a full one waits too, since only the next
    /// octet tells that it is not the last.
    chunk: Vec<u8>,
    lengths: Vec<[u8; 3]>,
    plaintext_bytes: u64,
    stored_bytes: u64,
    body_ended: bool,
}

impl ContentWriter {
    /// Begins an object of the account's own. An `id` is for one object: who begins again
    /// after a failure takes another, since the first may yet be stored. `chunk_bytes` is cut to 1..=1 MiB
    /// ([`CHUNK_BYTES_MAX`]).
    ///
    /// # Panics
    /// For [`ContentKind::Delivery`]: use [`ContentWriter::deliver`].
    #[must_use]
    pub fn new(
        keys: &AccountKeys,
        kind: ContentKind,
        id: ContentId,
        chunk_bytes: usize,
        random: &mut Random,
    ) -> Self {
        let chunk_bytes = chunk_bytes.clamp(1, CHUNK_BYTES_MAX);
        let (head, bytes) = Head::seal(keys, kind, id, chunk_bytes, random);
        Self::with_head(head, bytes, kind, id)
    }

    /// Begins a message ([`ContentKind::Delivery`]) for an account of which only the
    /// public key is at hand.
    ///
    /// # Errors
    /// [`SealError::Forged`] when `public_key` is no usable key.
    pub fn deliver(
        account: AccountId,
        public_key: &[u8; 32],
        id: ContentId,
        chunk_bytes: usize,
        random: &mut Random,
    ) -> Result<Self, SealError> {
        let chunk_bytes = chunk_bytes.clamp(1, CHUNK_BYTES_MAX);
        let (head, bytes) = Head::seal_delivery(account, public_key, id, chunk_bytes, random)?;
        Ok(Self::with_head(head, bytes, ContentKind::Delivery, id))
    }

    /// The next octets of the body. `out` grows by what became ready, which is at most
    /// the plaintext and one chunk more.
    ///
    /// # Panics
    /// After the end of the body.
    pub fn write(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) {
        assert!(!self.body_ended, "the body has ended");
        self.write_head(out);
        self.plaintext_bytes += plaintext.len() as u64;
        while !plaintext.is_empty() {
            if self.chunk.len() == self.chunk_bytes {
                self.seal_body_chunk(false, out);
            }
            let room = self.chunk_bytes - self.chunk.len();
            let (now, later) = plaintext.split_at(room.min(plaintext.len()));
            self.chunk.reserve_exact(room);
            self.chunk.extend_from_slice(now);
            plaintext = later;
        }
    }

    /// Ends the body; the layout, for the summary.
    ///
    /// # Panics
    /// When the body has ended before.
    pub fn end_body(&mut self, out: &mut Vec<u8>) -> ContentLayout {
        assert!(!self.body_ended, "the body has ended");
        self.write_head(out);
        self.seal_body_chunk(true, out);
        self.body_ended = true;
        self.chunk = Vec::new();
        let lengths = core::mem::take(&mut self.lengths);
        ContentLayout::new(
            self.key.clone(),
            self.chunk_bytes,
            self.plaintext_bytes,
            self.compressor.has_packed(),
            lengths,
        )
    }

    /// Ends the object with its summary (which may be empty); where the sealed summary is.
    ///
    /// # Panics
    /// Before the end of the body, or for a summary over [`SUMMARY_BYTES_MAX`].
    pub fn finish(mut self, summary: &[u8], out: &mut Vec<u8>) -> SummaryPlace {
        assert!(
            self.body_ended,
            "the layout belongs to the summary, so the body ends first"
        );
        assert!(
            summary.len() <= SUMMARY_BYTES_MAX,
            "a summary is some 100 KiB, 16 MiB at most"
        );
        let offset = self.stored_bytes;
        // A summary shorter than a chunk, an empty one too, is one last chunk.
        let count = summary.len().div_ceil(self.chunk_bytes).max(1);
        let mut len = 0;
        for index in 0..count {
            let start = index * self.chunk_bytes;
            let end = summary.len().min(start + self.chunk_bytes);
            let last = index + 1 == count;
            let place = ChunkPlace {
                domain: Domain::Summary,
                index: index as u64,
                last,
            };
            len += self
                .cipher
                .seal_chunk(place, &summary[start..end], &mut self.compressor, out);
        }
        let len = u32::try_from(len).expect("16 MiB in chunks of one octet are 336 MiB");
        let place = SummaryPlace { offset, len };
        let end = ContentEnd {
            summary: place,
            body_bytes: self.plaintext_bytes,
        };
        out.extend_from_slice(&seal_trailer(&self.cipher, end));
        place
    }

    fn with_head(
        head: Head,
        bytes: [u8; super::CONTENT_HEAD_BYTES],
        kind: ContentKind,
        id: ContentId,
    ) -> Self {
        Self {
            cipher: ChunkCipher::new(&head.key, kind, id),
            key: head.key,
            compressor: Compressor::new(kind.packs()),
            chunk_bytes: head.chunk_bytes,
            head: Some(bytes),
            chunk: Vec::new(),
            lengths: Vec::new(),
            plaintext_bytes: 0,
            stored_bytes: 0,
            body_ended: false,
        }
    }

    fn write_head(&mut self, out: &mut Vec<u8>) {
        if let Some(head) = self.head.take() {
            out.extend_from_slice(&head);
            self.stored_bytes += head.len() as u64;
        }
    }

    fn seal_body_chunk(&mut self, last: bool, out: &mut Vec<u8>) {
        let index = self.lengths.len() as u64;
        let place = ChunkPlace {
            domain: Domain::Body,
            index,
            last,
        };
        let stored = self
            .cipher
            .seal_chunk(place, &self.chunk, &mut self.compressor, out);
        self.chunk.clear();
        self.stored_bytes += stored as u64;
        let length = u32::try_from(stored)
            .expect("a chunk is under 2^24 octets")
            .to_be_bytes();
        self.lengths.push([length[1], length[2], length[3]]);
    }

    /// Octets of memory that the writer holds besides the compressor.
    #[cfg(test)]
    pub(super) fn buffer_capacity(&self) -> usize {
        self.chunk.capacity() + self.lengths.capacity() * 3
    }
}

impl core::fmt::Debug for ContentWriter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ContentWriter({} octets, …)", self.plaintext_bytes)
    }
}
