//! Items: short values of K2V, each sealed alone with XChaCha20-Poly1305 under the
//! account's item key and a random nonce, and bound to its place and its kind.
//!
//! ```text
//! version 1 | nonce 24 | ciphertext | tag 16
//! ```
//!
//! What is left by somebody without the account's keys, an arrival in a log or the summary of
//! a message that was delivered, is a letter (see [`seal_to`](super::seal_to)) with the same
//! associated data, after version octet 129.

use bytes::Bytes;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};

use super::head::ContentKind;
use super::letter::seal_to;
use super::{AccountKeys, SealError};
use crate::mailbox::AccountId;
use crate::random::Random;
use crate::storage::ItemKey;

/// Octets that sealing adds to an item of the account's own.
pub const ITEM_OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// What an item is. The numbers are stored (in what is authenticated) and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ItemKind {
    /// An operation in the log of a mailbox.
    Operation = 1,
    /// An operation in the log of the account's directory.
    DirectoryOperation = 2,
    /// The summary of a message.
    Summary = 3,
    /// Names the checkpoint of a mailbox's log.
    CheckpointPointer = 4,
    /// Names the checkpoint of the directory's log.
    DirectoryCheckpointPointer = 5,
    /// What a writer of a log says about itself.
    Writer = 6,
    /// Settings of the account.
    Settings = 7,
    /// An operation that delivery left in the log of a mailbox, without the account's
    /// keys. Anybody who knows the public key can make one.
    Arrival = 8,
    /// The summary of a message that delivery stored, without the account's keys. As good as
    /// the message itself, which anybody can make as well; never that of another message.
    DeliveredSummary = 9,
}

impl ItemKind {
    /// Whether it is sealed to the public key, by whoever knows that.
    fn is_letter(self) -> bool {
        matches!(self, Self::Arrival | Self::DeliveredSummary)
    }
}

/// Seals an [`ItemKind::Arrival`] to the public key of `account`, for the place `key`.
///
/// # Errors
/// [`SealError::Forged`] when `public_key` is no usable key.
pub fn seal_arrival(
    account: AccountId,
    public_key: &[u8; 32],
    key: &ItemKey,
    plaintext: &[u8],
    random: &mut Random,
) -> Result<Bytes, SealError> {
    seal_letter(
        account,
        public_key,
        key,
        ItemKind::Arrival,
        plaintext,
        random,
    )
}

/// Seals an [`ItemKind::DeliveredSummary`] to the public key of `account`, for the place
/// `key`.
///
/// # Errors
/// [`SealError::Forged`] when `public_key` is no usable key.
pub fn seal_delivered_summary(
    account: AccountId,
    public_key: &[u8; 32],
    key: &ItemKey,
    plaintext: &[u8],
    random: &mut Random,
) -> Result<Bytes, SealError> {
    let kind = ItemKind::DeliveredSummary;
    seal_letter(account, public_key, key, kind, plaintext, random)
}

fn seal_letter(
    account: AccountId,
    public_key: &[u8; 32],
    key: &ItemKey,
    kind: ItemKind,
    plaintext: &[u8],
    random: &mut Random,
) -> Result<Bytes, SealError> {
    let context = context(account, key, kind);
    let letter = seal_to(public_key, LETTER_INFO, &context, plaintext, random)?;
    Ok([&[VERSION_LETTER], letter.as_slice()].concat().into())
}

/// Whether a sealed value of a log claims to be an [`ItemKind::Arrival`], and so is to be
/// opened as one. Only opening it tells whether it is.
#[must_use]
pub fn is_arrival(sealed: &[u8]) -> bool {
    sealed.first() == Some(&VERSION_LETTER)
}

impl AccountKeys {
    /// Seals `plaintext` for the place `key`. To store it again, store the same bytes:
    /// sealing again gives others.
    ///
    /// # Panics
    /// For what is sealed to the public key: use [`seal_arrival`] or
    /// [`seal_delivered_summary`].
    #[must_use]
    pub fn seal_item(
        &self,
        key: &ItemKey,
        kind: ItemKind,
        plaintext: &[u8],
        random: &mut Random,
    ) -> Bytes {
        assert!(!kind.is_letter(), "{kind:?} is sealed to the public key");
        let nonce: [u8; NONCE_BYTES] = random.bytes();
        let mut sealed = Vec::with_capacity(ITEM_OVERHEAD_BYTES + plaintext.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let tag = XChaCha20Poly1305::new(self.item_key().into())
            .encrypt_inout_detached(
                &nonce.into(),
                &context(self.account(), key, kind),
                (&mut sealed[1 + NONCE_BYTES..]).into(),
            )
            .expect("what fits in memory is within the cipher's 256 GiB");
        sealed.extend_from_slice(&tag);
        sealed.into()
    }

    /// Opens what [`AccountKeys::seal_item`] made for the same place and kind, or
    /// [`seal_arrival`] and [`seal_delivered_summary`] for theirs.
    ///
    /// # Errors
    /// [`SealError::Forged`] also for a value that was sealed for another place, kind
    /// or account.
    pub fn open_item(
        &self,
        key: &ItemKey,
        kind: ItemKind,
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (&version, rest) = sealed.split_first().ok_or(SealError::Truncated)?;
        let context = context(self.account(), key, kind);
        match (version, kind.is_letter()) {
            (VERSION_LETTER, true) => return self.open_sealed_to(LETTER_INFO, &context, rest),
            (VERSION, true) | (VERSION_LETTER, false) => return Err(SealError::Forged),
            (VERSION, false) => {}
            _ => return Err(SealError::Version),
        }
        let (nonce, rest) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SealError::Truncated)?;
        let (ciphertext, tag) = rest
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(SealError::Truncated)?;
        let mut plaintext = ciphertext.to_vec();
        XChaCha20Poly1305::new(self.item_key().into())
            .decrypt_inout_detached(
                nonce.into(),
                &context,
                plaintext.as_mut_slice().into(),
                tag.into(),
            )
            .map_err(|_| SealError::Forged)?;
        Ok(plaintext)
    }

    /// Opens the summary that is kept as an item of a message sealed as `message`. What was
    /// left by delivery is believed of what was delivered, and of nothing else.
    ///
    /// # Errors
    /// Those of [`open_item`](Self::open_item).
    pub fn open_summary_item(
        &self,
        key: &ItemKey,
        message: ContentKind,
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let own = self.open_item(key, ItemKind::Summary, sealed);
        match message {
            ContentKind::Delivery => {
                own.or_else(|_| self.open_item(key, ItemKind::DeliveredSummary, sealed))
            }
            _ => own,
        }
    }
}

const VERSION: u8 = 1;
const VERSION_LETTER: u8 = 0x81;
const LETTER_INFO: &[u8] = b"restante item";
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// The associated data. The length of the partition key stands before it, so that no
/// other pair of keys gives the same octets.
fn context(account: AccountId, key: &ItemKey, kind: ItemKind) -> Vec<u8> {
    let (partition, sort) = (key.partition.0.as_bytes(), key.sort.0.as_bytes());
    let length = (partition.len() as u64).to_be_bytes();
    let start = b"restante item\0".as_slice();
    [
        start,
        &[VERSION, kind as u8],
        &account.0,
        &length,
        partition,
        sort,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;
    use crate::seal::tests::{from_hex, hex};
    use crate::storage::{PartitionKey, SortKey};

    fn place(partition: &str, sort: &str) -> ItemKey {
        ItemKey {
            partition: PartitionKey(partition.to_owned()),
            sort: SortKey(sort.to_owned()),
        }
    }

    fn sealed() -> (AccountKeys, ItemKey, Bytes) {
        let mut random = Random::new(Seed::new([1; 32]));
        let keys = AccountKeys::generate(AccountId([7; 16]), &mut random);
        let key = place("partition", "sort");
        let sealed = keys.seal_item(&key, ItemKind::Operation, b"some flags", &mut random);
        (keys, key, sealed)
    }

    #[test]
    fn golden() {
        let (keys, key, sealed) = sealed();
        assert_eq!(hex(&sealed), include_str!("golden/item.hex").trim());
        let golden = from_hex(include_str!("golden/item.hex"));
        assert_eq!(
            keys.open_item(&key, ItemKind::Operation, &golden).unwrap(),
            b"some flags"
        );
        assert_eq!(sealed.len(), b"some flags".len() + ITEM_OVERHEAD_BYTES);
    }

    #[test]
    fn golden_arrival() {
        let (keys, key, own) = sealed();
        let (account, public) = (keys.account(), keys.public_key());
        let mut random = Random::new(Seed::new([2; 32]));
        let sealed = seal_arrival(account, &public, &key, b"a message", &mut random).unwrap();
        assert_eq!(hex(&sealed), include_str!("golden/arrival.hex").trim());
        let golden = from_hex(include_str!("golden/arrival.hex"));
        assert_eq!(
            keys.open_item(&key, ItemKind::Arrival, &golden).unwrap(),
            b"a message"
        );
        assert!(is_arrival(&golden) && !is_arrival(&own) && !is_arrival(b""));
    }

    #[test]
    fn golden_delivered_summary() {
        let (keys, key, _) = sealed();
        let (account, public) = (keys.account(), keys.public_key());
        let mut random = Random::new(Seed::new([3; 32]));
        let sealed =
            seal_delivered_summary(account, &public, &key, b"a summary", &mut random).unwrap();
        let golden = include_str!("golden/delivered_summary.hex").trim();
        assert_eq!(hex(&sealed), golden);
        let golden = from_hex(golden);
        let opened = keys.open_item(&key, ItemKind::DeliveredSummary, &golden);
        assert_eq!(opened.unwrap(), b"a summary");
        for other in [ItemKind::Summary, ItemKind::Arrival, ItemKind::Operation] {
            assert_eq!(keys.open_item(&key, other, &golden), Err(SealError::Forged));
        }
    }

    #[test]
    fn an_arrival_passes_for_nothing_else() {
        let (keys, key, own) = sealed();
        let (account, public) = (keys.account(), keys.public_key());
        let mut random = Random::new(Seed::new([2; 32]));
        let sealed = seal_arrival(account, &public, &key, b"a message", &mut random).unwrap();
        assert_eq!(
            keys.open_item(&key, ItemKind::Operation, &sealed),
            Err(SealError::Forged)
        );
        assert_eq!(
            keys.open_item(&key, ItemKind::Arrival, &own),
            Err(SealError::Forged)
        );
        let moved = place("partition", "other");
        assert_eq!(
            keys.open_item(&moved, ItemKind::Arrival, &sealed),
            Err(SealError::Forged)
        );
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                keys.open_item(&key, ItemKind::Arrival, &changed).is_err(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_moved_item_does_not_open() {
        let (keys, key, sealed) = sealed();
        for moved in [
            place("partition", "other"),
            place("other", "sort"),
            place("partitions", "ort"),
        ] {
            assert_eq!(
                keys.open_item(&moved, ItemKind::Operation, &sealed),
                Err(SealError::Forged)
            );
        }
        assert_eq!(
            keys.open_item(&key, ItemKind::Summary, &sealed),
            Err(SealError::Forged)
        );
        let other = AccountKeys::from_secrets(
            AccountId([8; 16]),
            (*keys.root()).into(),
            (*keys.private()).into(),
        );
        assert_eq!(
            other.open_item(&key, ItemKind::Operation, &sealed),
            Err(SealError::Forged)
        );
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let (keys, key, sealed) = sealed();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                keys.open_item(&key, ItemKind::Operation, &changed).is_err(),
                "bit {bit}"
            );
        }
        for length in 0..sealed.len() {
            assert!(
                keys.open_item(&key, ItemKind::Operation, &sealed[..length])
                    .is_err()
            );
        }
    }
}
