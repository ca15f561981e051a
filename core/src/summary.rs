//! The summary of a message: made once while the message streams in, it answers
//! ENVELOPE, BODYSTRUCTURE, header fields and the places of parts without the body.
//!
//! Stored form, version 1: the octet 1; an octet that says whether the rest is plain
//! (0) or zstd (1); for zstd, the plain length as LEB128. The plain form is size,
//! header length, header, structure and layout, as [`crate::mime`] writes them.

use core::fmt;

use crate::mime::{Envelope, Octets, Reader, Scanned, Structure, Writer};

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// Octets of a summary before compression. `header_bytes_max` and
/// `structure_bytes_max` of the configuration must leave room below this.
pub const SUMMARY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// zstd's fastest: summaries are small and written while someone waits.
const LEVEL: i32 = 1;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Octets of the message (RFC822.SIZE).
    pub size: u64,
    /// The raw header with its blank line, or its first `header_bytes_max` octets.
    pub header: Octets,
    /// Octets of the whole header. If they are more than `header` has, the rest has to
    /// be read from the body.
    pub header_len: u64,
    /// The MIME parts.
    pub structure: Structure,
    /// Where the sealed chunks of the body lie, for those who unseal it.
    pub layout: Octets,
}

/// Why stored octets are no summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryError {
    /// Written by a version of Restante that this one does not know.
    Version(u8),
    /// Not what [`Summary::encode`] writes.
    Malformed,
    /// Longer than [`SUMMARY_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for SummaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "summary of unknown version {version}"),
            Self::Malformed => f.write_str("malformed summary"),
            Self::TooLong => f.write_str("summary too long"),
        }
    }
}

impl core::error::Error for SummaryError {}

impl Summary {
    /// The summary of a scanned message whose sealed body has this layout.
    #[must_use]
    pub fn new(scanned: Scanned, layout: Vec<u8>) -> Self {
        Self {
            size: scanned.size,
            header: scanned.header.into(),
            header_len: scanned.header_len,
            structure: scanned.structure,
            layout: layout.into(),
        }
    }

    /// Whether `header` is the whole header.
    #[must_use]
    pub fn is_header_whole(&self) -> bool {
        self.header.len() as u64 == self.header_len
    }

    /// About how many octets of memory this takes.
    pub(crate) fn weight(&self) -> usize {
        self.header.len() + self.layout.len() + self.structure.weight()
    }

    /// The envelope of the message.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope::from_header(&self.header)
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.number(self.size);
        writer.number(self.header_len);
        writer.octets(&self.header);
        writer.structure(&self.structure);
        writer.octets(&self.layout);
        let plain = writer.into_octets();
        debug_assert!(plain.len() <= SUMMARY_BYTES_MAX, "limits leave room");
        let mut prefix = Writer::default();
        prefix.number(u64::from(VERSION));
        if let Ok(compressed) = zstd::bulk::compress(&plain, LEVEL)
            && compressed.len() + 4 < plain.len()
        {
            prefix.number(u64::from(ZSTD));
            prefix.number(plain.len() as u64);
            return [prefix.into_octets(), compressed].concat();
        }
        prefix.number(u64::from(PLAIN));
        [prefix.into_octets(), plain].concat()
    }

    /// Reads the stored form. For many of them there is [`SummaryDecoder`].
    ///
    /// # Errors
    ///
    /// If `stored` is not what [`encode`](Self::encode) wrote.
    pub fn decode(stored: &[u8]) -> Result<Self, SummaryError> {
        SummaryDecoder::default().decode(stored)
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let size = reader.number()?;
        let header_len = reader.number()?;
        let header = reader.octets()?;
        let structure = reader.structure()?;
        let layout = reader.octets()?;
        let inside = structure.parts().iter().all(|part| part.body.end() <= size);
        let whole = header.len() as u64 <= header_len && header_len <= size;
        (inside && whole).then_some(Self {
            size,
            header,
            header_len,
            structure,
            layout,
        })
    }
}

/// Reads many summaries with one zstd context: to make one takes longer than to read a
/// summary.
#[derive(Default)]
pub struct SummaryDecoder(Option<zstd::bulk::Decompressor<'static>>);

impl SummaryDecoder {
    /// Reads a stored summary. Its strings share one allocation.
    ///
    /// # Errors
    ///
    /// If `stored` is not what [`Summary::encode`] wrote.
    pub fn decode(&mut self, stored: &[u8]) -> Result<Summary, SummaryError> {
        let (&version, rest) = stored.split_first().ok_or(SummaryError::Malformed)?;
        if version != VERSION {
            return Err(SummaryError::Version(version));
        }
        let (&form, rest) = rest.split_first().ok_or(SummaryError::Malformed)?;
        let plain = match form {
            PLAIN if rest.len() > SUMMARY_BYTES_MAX => return Err(SummaryError::TooLong),
            PLAIN => Octets::copy_from_slice(rest),
            ZSTD => self.decompress(rest)?,
            _ => return Err(SummaryError::Malformed),
        };
        let mut reader = Reader::new(plain);
        let summary = Summary::read(&mut reader).ok_or(SummaryError::Malformed)?;
        if !reader.at_end() {
            return Err(SummaryError::Malformed);
        }
        Ok(summary)
    }

    /// Undoes zstd. The length that is claimed limits what is allocated.
    fn decompress(&mut self, stored: &[u8]) -> Result<Octets, SummaryError> {
        let mut reader = Reader::new(Octets::copy_from_slice(stored));
        let len = reader.number().ok_or(SummaryError::Malformed)?;
        let len = usize::try_from(len)
            .ok()
            .filter(|&len| len <= SUMMARY_BYTES_MAX);
        let len = len.ok_or(SummaryError::TooLong)?;
        let compressed = reader.rest();
        if self.0.is_none() {
            self.0 = zstd::bulk::Decompressor::new().ok();
        }
        let zstd = self.0.as_mut().ok_or(SummaryError::Malformed)?;
        let plain = zstd
            .decompress(&compressed, len)
            .map_err(|_| SummaryError::Malformed)?;
        if plain.len() != len {
            return Err(SummaryError::Malformed);
        }
        Ok(plain.into())
    }
}

#[cfg(test)]
mod tests;
