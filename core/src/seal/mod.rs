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
//!
//! A message goes in and comes out like this; `stored` stands for the object.
//!
//! ```
//! use restante_core::mailbox::{AccountId, ContentId};
//! use restante_core::random::{Random, Seed};
//! use restante_core::seal::{
//!     AccountKeys, ContentKind, ContentReader, ContentWriter, Progress, SealError,
//! };
//!
//! let mut random = Random::new(Seed::new([0; 32]));
//! let keys = AccountKeys::generate(AccountId([1; 16]), &mut random);
//! let (kind, id) = (ContentKind::Message, ContentId([2; 16]));
//!
//! let mut stored = Vec::new();
//! let mut writer = ContentWriter::new(&keys, kind, id, 64 * 1024, &mut random);
//! writer.write(b"Subject: hello\r\n", &mut stored);
//! writer.write(b"\r\nhello\r\n", &mut stored);
//! let layout = writer.end_body(&mut stored);
//! writer.finish(&layout.encode(), &mut stored);
//!
//! let mut reader = ContentReader::from_start(&keys, kind, id, layout.plaintext_bytes());
//! let mut download = stored.chunks(100);
//! let mut body = Vec::new();
//! loop {
//!     match reader.next(&mut body)? {
//!         Progress::Chunk(_) => {}
//!         Progress::NeedMore(_) => reader.feed(download.next().ok_or(SealError::Truncated)?),
//!         Progress::End => break,
//!     }
//! }
//! assert_eq!(body, b"Subject: hello\r\n\r\nhello\r\n");
//! # Ok::<(), SealError>(())
//! ```

mod base64_lines;
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
pub use compression::SpareContext;
pub use content::ContentWriter;
pub use error::SealError;
pub use head::{CONTENT_HEAD_BYTES, ContentKind};
pub use item::{ITEM_OVERHEAD_BYTES, ItemKind, is_arrival, seal_arrival, seal_delivered_summary};
pub use keys::AccountKeys;
pub use layout::ContentLayout;
pub use letter::{LETTER_OVERHEAD_BYTES, seal_to};
pub use place::Places;
pub use read::{ContentReader, Progress};
pub use slot::{SLOT_BYTES, SlotKind, unwrap, wrap};
pub use summary::{
    CONTENT_TRAILER_BYTES, ContentEnd, SUMMARY_BYTES_MAX, SummaryPlace, open_summary, open_trailer,
};
