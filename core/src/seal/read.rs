//! Reading the body of a content object, from its start or from any offset, as the
//! stored bytes come in. Nothing of a chunk is given before all of it is verified.

use super::chunk::{
    CHUNK_BYTES_MAX, CHUNK_HEADER_BYTES, CHUNK_OVERHEAD_BYTES, ChunkCipher, ChunkHeader,
    ChunkOpener, Domain,
};
use super::compression::SpareContext;
use super::head::{CONTENT_HEAD_BYTES, Head};
use super::{AccountKeys, ContentKind, ContentLayout, SealError};
use crate::mailbox::ContentId;

/// What a step of a [`ContentReader`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A chunk was verified, and so many octets of plaintext appended.
    Chunk(usize),
    /// Stored bytes are missing. With so many more (1 at least) the next chunk is surely
    /// complete; the object may also end before.
    NeedMore(usize),
    /// The authenticated end of the body was reached. What follows is not the body's.
    End,
}

/// Opens a body: [`feed`](Self::feed) stored bytes, then call [`next`](Self::next) until
/// it wants more. Holds what was fed and not yet read, which is less than one stored
/// chunk after `NeedMore`.
///
/// Who asked storage only for [`ContentLayout::stored_range`] sees `NeedMore` at its end
/// and stops there: every octet that was given is verified.
///
/// After a broken download, [`reopen`](Self::reopen) tells from where to read again.
/// Storage that ends before [`Progress::End`] has lost or hidden something: that is
/// [`SealError::Truncated`] for the caller to raise.
pub struct ContentReader {
    stage: Stage,
    kind: ContentKind,
    id: ContentId,
    expected_bytes: Option<u64>,
    first_skip: usize,
    index: u64,
    /// Plaintext offset of the next chunk.
    plaintext_position: u64,
    stored_start: u64,
    stored_position: u64,
    fed: Vec<u8>,
    /// How much of `fed` has been read.
    taken: usize,
    /// For whom the head is still to be read.
    spare: Option<SpareContext>,
}

impl ContentReader {
    /// Reads from the start of the object, the head included. Where `plaintext_bytes`
    /// is given, a body of another size is an error before its last chunk is given.
    #[must_use]
    pub fn from_start(
        keys: &AccountKeys,
        kind: ContentKind,
        id: ContentId,
        plaintext_bytes: impl Into<Option<u64>>,
    ) -> Self {
        Self {
            stage: Stage::Head(keys.clone()),
            kind,
            id,
            expected_bytes: plaintext_bytes.into(),
            first_skip: 0,
            index: 0,
            plaintext_position: 0,
            stored_start: 0,
            stored_position: 0,
            fed: Vec::new(),
            taken: 0,
            spare: None,
        }
    }

    /// Reads from the chunk that holds the octet `plaintext_offset` of the body. Chunks
    /// are given whole: of the first one, [`first_skip`](Self::first_skip) octets stand
    /// before that offset. An offset beyond the end is taken for the end.
    #[must_use]
    pub fn at(
        layout: &ContentLayout,
        kind: ContentKind,
        id: ContentId,
        plaintext_offset: u64,
    ) -> Self {
        let offset = plaintext_offset.min(layout.plaintext_bytes());
        let index = layout.chunk_of(offset);
        let stored_start = layout.stored_start(index);
        let plaintext_position = index as u64 * layout.chunk_bytes() as u64;
        let cipher = ChunkCipher::new(&layout.key, kind, id);
        Self {
            stage: Stage::Chunks(Box::new(ChunkOpener::new(
                cipher,
                layout.chunk_bytes(),
                None,
            ))),
            kind,
            id,
            expected_bytes: Some(layout.plaintext_bytes()),
            first_skip: usize::try_from(offset - plaintext_position)
                .expect("an offset is within its chunk, which is in memory"),
            index: index as u64,
            plaintext_position,
            stored_start,
            stored_position: stored_start,
            fed: Vec::new(),
            taken: 0,
            spare: None,
        }
    }

    /// Lets it share what it decompresses with, with others that read after or before it.
    #[must_use]
    pub fn sharing(mut self, spare: &SpareContext) -> Self {
        match &mut self.stage {
            Stage::Head(_) => self.spare = Some(spare.clone()),
            Stage::Chunks(opener) => opener.share(spare),
            Stage::End => {}
        }
        self
    }

    /// The first stored byte that the reader wants.
    #[must_use]
    pub fn stored_start(&self) -> u64 {
        self.stored_start
    }

    /// How many octets of the first chunk stand before the offset that was asked for.
    #[must_use]
    pub fn first_skip(&self) -> usize {
        self.first_skip
    }

    /// The stored offset of the next unread chunk (of the head, before it is read).
    #[must_use]
    pub fn stored_position(&self) -> u64 {
        self.stored_position
    }

    /// The offset in the body of the next unread chunk.
    #[must_use]
    pub fn plaintext_position(&self) -> u64 {
        self.plaintext_position
    }

    /// Forgets what was fed and not read; the stored offset to continue from.
    pub fn reopen(&mut self) -> u64 {
        self.fed.clear();
        self.taken = 0;
        self.stored_position
    }

    /// Takes the next stored bytes, cut anywhere. After the end they are ignored.
    pub fn feed(&mut self, stored: &[u8]) {
        if matches!(self.stage, Stage::End) {
            return;
        }
        self.fed.drain(..self.taken);
        self.taken = 0;
        self.fed.extend_from_slice(stored);
    }

    /// Appends the plaintext of the next chunk to `out`, if all of it is there.
    ///
    /// # Errors
    /// Any [`SealError`], and nothing is appended. The reader stays where it is: the same
    /// chunk may be read again after [`reopen`](Self::reopen).
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<Progress, SealError> {
        if let Stage::Head(keys) = &self.stage {
            let Some(head) = self.fed[self.taken..].first_chunk::<CONTENT_HEAD_BYTES>() else {
                // The length of a chunk is not known yet; the usual one is a good guess.
                let missing = CONTENT_HEAD_BYTES - (self.fed.len() - self.taken);
                return Ok(Progress::NeedMore(
                    missing + CHUNK_BYTES_GUESS + CHUNK_OVERHEAD_BYTES,
                ));
            };
            let head = Head::open(keys, self.kind, self.id, head)?;
            let cipher = ChunkCipher::new(&head.key, self.kind, self.id);
            self.stage = Stage::Chunks(Box::new(ChunkOpener::new(
                cipher,
                head.chunk_bytes,
                self.spare.take(),
            )));
            self.advance(CONTENT_HEAD_BYTES);
        }
        let Stage::Chunks(opener) = &mut self.stage else {
            return Ok(Progress::End);
        };
        let fed = &mut self.fed[self.taken..];
        let available = fed.len();
        let Some((header, rest)) = fed.split_first_chunk_mut::<CHUNK_HEADER_BYTES>() else {
            return Ok(Progress::NeedMore(
                opener.chunk_bytes + CHUNK_OVERHEAD_BYTES - available,
            ));
        };
        let header = ChunkHeader::parse(*header, opener.chunk_bytes)?;
        let stored = CHUNK_HEADER_BYTES + header.sealed_bytes;
        let Some(sealed) = rest.get_mut(..header.sealed_bytes) else {
            return Ok(Progress::NeedMore(stored - available));
        };
        let start = out.len();
        let length = opener.open(Domain::Body, self.index, header, sealed, out)?;
        let position = self.plaintext_position + length as u64;
        if !fits(self.expected_bytes, position, header.last) {
            out.truncate(start);
            return Err(SealError::Truncated);
        }
        self.plaintext_position = position;
        self.index += 1;
        self.advance(stored);
        if header.last {
            self.stage = Stage::End;
            self.fed = Vec::new();
            self.taken = 0;
        }
        Ok(Progress::Chunk(length))
    }

    fn advance(&mut self, stored: usize) {
        self.taken += stored;
        self.stored_position += stored as u64;
    }

    /// Octets of memory that the reader holds besides the decompressor.
    #[cfg(test)]
    pub(super) fn buffer_capacity(&self) -> usize {
        self.fed.capacity()
    }
}

impl core::fmt::Debug for ContentReader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ContentReader(at {}, …)", self.plaintext_position)
    }
}

enum Stage {
    Head(AccountKeys),
    Chunks(Box<ChunkOpener>),
    End,
}

const CHUNK_BYTES_GUESS: usize = 64 * 1024;
const _: () = assert!(CHUNK_BYTES_GUESS <= CHUNK_BYTES_MAX);

/// Whether a body of `expected` octets can have a chunk that ends at `position`.
fn fits(expected: Option<u64>, position: u64, last: bool) -> bool {
    expected.is_none_or(|expected| {
        if last {
            position == expected
        } else {
            position < expected
        }
    })
}
