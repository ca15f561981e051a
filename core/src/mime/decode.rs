//! From the octets of text parts and headers to text that can be searched: transfer
//! encodings (RFC 2045 §6), charsets, and a search that disregards case.

mod decoded;
mod matcher;
mod part_text;
mod transfer;

pub use decoded::Decoded;
pub use matcher::TextMatcher;
pub use part_text::PartText;
pub use transfer::TransferDecoder;

/// The charset with this label. No label, us-ascii and what is unknown are read as
/// UTF-8: it has ASCII in it, and is what such messages most often mean.
#[must_use]
pub fn charset_of(label: Option<&[u8]>) -> &'static encoding_rs::Encoding {
    match label {
        Some(label) if !label.trim_ascii().eq_ignore_ascii_case(b"us-ascii") => {
            encoding_rs::Encoding::for_label_no_replacement(label).unwrap_or(encoding_rs::UTF_8)
        }
        _ => encoding_rs::UTF_8,
    }
}
