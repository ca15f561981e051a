//! What a message is made of (RFC 5322, RFC 2045–2047, RFC 2231).
//!
//! A [`Scanner`] is fed the octets of a message while they stream in and finds
//! where its parts begin and end; the result, a [`Structure`], answers BODY,
//! BODYSTRUCTURE and the sections of FETCH without the message. [`header`] takes
//! a header apart, [`Envelope`] is what FETCH ENVELOPE shows of it, and
//! [`decode`] turns the octets of text parts into text that can be searched.
//!
//! Nothing here trusts a message: depth, number of parts and the octets kept of
//! each are limited by the [configuration](crate::config::Config), and the work
//! grows with the length of the message only.

mod address;
mod codec;
pub mod decode;
mod description;
mod envelope;
pub mod header;
mod imap_string;
mod lexer;
mod parameter;
mod scanner;
mod structure;
mod write;

pub use address::{ADDRESSES_MAX, Address};
pub(crate) use codec::{Reader, Writer};
pub use description::{Description, Disposition};
pub use envelope::Envelope;
pub(crate) use imap_string::{write_nstring, write_string};
pub use parameter::Parameter;
pub use scanner::{BOUNDARY_BYTES_MAX, Scanned, Scanner};
pub use structure::{Kind, Part, PartId, PartRef, Searchable, Span, Structure};
pub use write::{write_bodystructure, write_envelope};

/// Octets as they stood in a message, cheap to clone. They are not decoded and
/// may be in any charset.
pub type Octets = bytes::Bytes;

/// `octets` as they can be sent in an IMAP string: NUL, which no string may hold
/// (RFC 3501 §9 `CHAR8`), becomes 0x80.
fn without_nul(octets: &[u8]) -> Octets {
    if memchr::memchr(0, octets).is_none() {
        return Octets::copy_from_slice(octets);
    }
    octets
        .iter()
        .map(|&octet| if octet == 0 { 0x80 } else { octet })
        .collect()
}
