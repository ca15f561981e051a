//! The end of a content object: the sealed summary, and the trailer that finds it for
//! somebody who knows only how long the object is.
//!
//! ```text
//! trailer: sealed (offset of the summary 8, its length 4, octets of the body 8) 20 | tag 16
//! ```

use super::chunk::{CHUNK_HEADER_BYTES, ChunkCipher, ChunkHeader, ChunkOpener, ChunkPlace, Domain};
use super::head::Head;
use super::{AccountKeys, ContentKind, SealError};
use crate::mailbox::ContentId;

/// Octets of the trailer of every content object.
pub const CONTENT_TRAILER_BYTES: usize = TEXT_BYTES + super::chunk::TAG_BYTES;

/// The most octets that a summary may have. It bounds what a hostile one, sealed to the
/// public key, could unfold to.
pub const SUMMARY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where the sealed summary is in its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SummaryPlace {
    /// Its first byte.
    pub offset: u64,
    /// Bytes.
    pub len: u32,
}

/// What the trailer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentEnd {
    /// Where the summary is.
    pub summary: SummaryPlace,
    /// Plaintext octets of the body.
    pub body_bytes: u64,
}

/// Opens the trailer of an object of `object_bytes` bytes. `head` is its first
/// [`CONTENT_HEAD_BYTES`](super::CONTENT_HEAD_BYTES) (or more), `trailer` its last
/// [`CONTENT_TRAILER_BYTES`].
///
/// # Errors
/// [`SealError::Truncated`] also for an object whose length is not what the trailer says.
pub fn open_trailer(
    keys: &AccountKeys,
    kind: ContentKind,
    id: ContentId,
    head: &[u8],
    trailer: &[u8],
    object_bytes: u64,
) -> Result<ContentEnd, SealError> {
    let head = Head::open(keys, kind, id, head)?;
    let mut trailer: [u8; CONTENT_TRAILER_BYTES] =
        trailer.try_into().map_err(|_| SealError::Truncated)?;
    let cipher = ChunkCipher::new(&head.key, kind, id);
    let text = &*cipher.open_in_place(TRAILER, &[], &mut trailer)?;
    let (offset, rest) = text.split_first_chunk::<8>().ok_or(SealError::Truncated)?;
    let (len, rest) = rest.split_first_chunk::<4>().ok_or(SealError::Truncated)?;
    let body_bytes = rest.first_chunk::<8>().ok_or(SealError::Truncated)?;
    let summary = SummaryPlace {
        offset: u64::from_be_bytes(*offset),
        len: u32::from_be_bytes(*len),
    };
    let end = summary.offset.saturating_add(u64::from(summary.len));
    if end.saturating_add(CONTENT_TRAILER_BYTES as u64) != object_bytes {
        return Err(SealError::Truncated);
    }
    Ok(ContentEnd {
        summary,
        body_bytes: u64::from_be_bytes(*body_bytes),
    })
}

/// Opens a summary. `head` is the object's first
/// [`CONTENT_HEAD_BYTES`](super::CONTENT_HEAD_BYTES) (or more), `sealed` exactly the bytes
/// at its [`SummaryPlace`].
///
/// # Errors
/// Any [`SealError`]; nothing of the summary is given then. [`SealError::TooLarge`] for more
/// than [`SUMMARY_BYTES_MAX`].
pub fn open_summary(
    keys: &AccountKeys,
    kind: ContentKind,
    id: ContentId,
    head: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, SealError> {
    let head = Head::open(keys, kind, id, head)?;
    let mut opener = ChunkOpener::new(
        ChunkCipher::new(&head.key, kind, id),
        head.chunk_bytes,
        None,
    );
    let (mut rest, mut summary, mut chunk) = (sealed, Vec::new(), Vec::new());
    for index in 0.. {
        let (header, after) = rest
            .split_first_chunk::<CHUNK_HEADER_BYTES>()
            .ok_or(SealError::Truncated)?;
        let header = ChunkHeader::parse(*header, head.chunk_bytes)?;
        let (now, later) = after
            .split_at_checked(header.sealed_bytes)
            .ok_or(SealError::Truncated)?;
        chunk.clear();
        chunk.extend_from_slice(now);
        opener.open(Domain::Summary, index, header, &mut chunk, &mut summary)?;
        if summary.len() > SUMMARY_BYTES_MAX {
            return Err(SealError::TooLarge);
        }
        rest = later;
        if header.last {
            break;
        }
    }
    if rest.is_empty() {
        Ok(summary)
    } else {
        Err(SealError::Forged)
    }
}

pub(super) fn seal_trailer(cipher: &ChunkCipher, end: ContentEnd) -> [u8; CONTENT_TRAILER_BYTES] {
    let mut trailer = [0; CONTENT_TRAILER_BYTES];
    let (text, tag) = trailer.split_at_mut(TEXT_BYTES);
    text[..8].copy_from_slice(&end.summary.offset.to_be_bytes());
    text[8..12].copy_from_slice(&end.summary.len.to_be_bytes());
    text[12..].copy_from_slice(&end.body_bytes.to_be_bytes());
    tag.copy_from_slice(&cipher.seal_in_place(TRAILER, &[], text));
    trailer
}

const TEXT_BYTES: usize = 8 + 4 + 8;
const TRAILER: ChunkPlace = ChunkPlace {
    domain: Domain::Trailer,
    index: 0,
    last: true,
};
