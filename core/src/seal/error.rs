//! Why something sealed could not be opened.

use core::fmt;

/// Why something sealed could not be opened. Nothing of it is to be used then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealError {
    /// Written by a newer version of the server, or not by it at all.
    Version,
    /// It ends too early.
    Truncated,
    /// Not sealed with this key, for this place, or changed since.
    Forged,
    /// Authentic, but what was compressed or packed does not unfold to at most one chunk.
    Compression,
    /// A length in it is over the limit of its format.
    TooLarge,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "unknown version of a sealed value",
            Self::Truncated => "a sealed value ends too early",
            Self::Forged => "a sealed value is not authentic here",
            Self::Compression => "a sealed value does not decompress",
            Self::TooLarge => "a sealed value gives a length over its limit",
        })
    }
}

impl core::error::Error for SealError {}
