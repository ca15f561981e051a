//! Sealing: what makes the storage operator read nothing.
//!
//! Everything that leaves the core for storage goes through here, in one of these
//! forms, each with a version byte and each bound to where it is stored:
//!
//! - a **slot** ([`wrap`], [`unwrap`]) holds the account's keys under a key that
//!   comes from a password;
//! - an **item** ([`AccountKeys::seal_item`]) is one short value of K2V;
//! - a **content** object ([`ContentWriter`], [`ContentReader`]) is a message body
//!   or a checkpoint in chunks that can be read alone, then its summary, then a
//!   trailer that finds the summary;
//! - a **letter** ([`seal_to`]) is what somebody without the keys, such as LMTP
//!   delivery, leaves for the account.
//!
//! [`Places`] says where each of them is kept.

mod chunk;
mod compression;
mod content;
mod error;
mod head;
mod item;
mod keys;
mod layout;
mod letter;
mod place;
mod read;
mod slot;
mod summary;
#[cfg(test)]
mod tests;

pub use chunk::{CHUNK_BYTES_MAX, CHUNK_OVERHEAD_BYTES};
pub use content::ContentWriter;
pub use error::SealError;
pub use head::{CONTENT_HEAD_BYTES, ContentKind};
pub use item::{ITEM_OVERHEAD_BYTES, ItemKind};
pub use keys::AccountKeys;
pub use layout::ContentLayout;
pub use letter::{LETTER_OVERHEAD_BYTES, seal_to};
pub use place::Places;
pub use read::{ContentReader, Progress};
pub use slot::{SLOT_BYTES, SlotKind, unwrap, wrap};
pub use summary::{CONTENT_TRAILER_BYTES, ContentEnd, SummaryPlace, open_summary, open_trailer};
