//! The head of a content object: who can open it, and how long its chunks are.
//!
//! ```text
//! magic "RSTC" | version 1 | kind 1 | chunk_bytes 4 | wrapped content key 80
//! ```
//!
//! Version 2 says that chunks may be [packed](super::base64_lines). Checkpoints have no
//! base64 and are written as version 1. Both are read.
//!
//! Each object has a random content key. The account wraps it with XChaCha20-Poly1305
//! (nonce 24, ciphertext 32, tag 16, zero 8); who delivers without the account's keys
//! seals it to the account's public key (a letter of 80 octets). Which of the two is
//! said by the kind, and the reader asks for a kind: what claims to be the account's
//! own cannot have been made by somebody who only knows its public key.

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use zeroize::Zeroizing;

use super::chunk::CHUNK_BYTES_MAX;
use super::keys::SecretBytes;
use super::letter::{LETTER_OVERHEAD_BYTES, seal_to};
use super::{AccountKeys, SealError};
use crate::mailbox::{AccountId, ContentId};
use crate::random::Random;

/// Octets of the head of every content object.
pub const CONTENT_HEAD_BYTES: usize = PLAIN_BYTES + WRAPPED_BYTES;

/// What a content object is. The numbers are stored and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ContentKind {
    /// A message that was stored with the account's keys.
    Message = 1,
    /// The state of a log.
    Checkpoint = 2,
    /// A message that was delivered without the account's keys. Anybody who knows the
    /// public key can make one: what names it must say where it came from.
    Delivery = 3,
}

impl ContentKind {
    /// Whether its chunks may be packed.
    pub(super) fn packs(self) -> bool {
        self != Self::Checkpoint
    }

    /// What an object with this head claims to be. Only opening it tells whether it is.
    #[must_use]
    pub fn claimed(head: &[u8]) -> Option<Self> {
        match head.get(5)? {
            1 => Some(Self::Message),
            2 => Some(Self::Checkpoint),
            3 => Some(Self::Delivery),
            _ => None,
        }
    }
}

/// What an opened head says.
pub(super) struct Head {
    pub(super) key: SecretBytes,
    pub(super) chunk_bytes: usize,
}

impl Head {
    /// Makes a head with a new content key for an object of the account's own.
    ///
    /// # Panics
    /// For [`ContentKind::Delivery`], which the account's keys do not make.
    pub(super) fn seal(
        keys: &AccountKeys,
        kind: ContentKind,
        id: ContentId,
        chunk_bytes: usize,
        random: &mut Random,
    ) -> (Self, [u8; CONTENT_HEAD_BYTES]) {
        assert!(
            kind != ContentKind::Delivery,
            "a delivery is sealed to the public key"
        );
        let key = Zeroizing::new(random.bytes());
        let plain = plain(kind, chunk_bytes);
        let nonce: [u8; NONCE_BYTES] = random.bytes();
        let wrapped = XChaCha20Poly1305::new(keys.content_wrap_key().into())
            .encrypt(
                &nonce.into(),
                Payload {
                    msg: &*key,
                    aad: &context(&plain, keys.account(), id),
                },
            )
            .expect("32 octets are within the cipher's limit");
        let head = join(
            &plain,
            &[&nonce, wrapped.as_slice(), &[0; PADDING_BYTES]].concat(),
        );
        (Self { key, chunk_bytes }, head)
    }

    /// Makes the head of a delivery.
    ///
    /// # Errors
    /// [`SealError::Forged`] for a public key that is no key.
    pub(super) fn seal_delivery(
        account: AccountId,
        public_key: &[u8; 32],
        id: ContentId,
        chunk_bytes: usize,
        random: &mut Random,
    ) -> Result<(Self, [u8; CONTENT_HEAD_BYTES]), SealError> {
        let key: SecretBytes = Zeroizing::new(random.bytes());
        let plain = plain(ContentKind::Delivery, chunk_bytes);
        let aad = context(&plain, account, id);
        let letter = seal_to(public_key, LETTER_INFO, &aad, &*key, random)?;
        Ok((Self { key, chunk_bytes }, join(&plain, &letter)))
    }

    /// Opens a head; what follows [`CONTENT_HEAD_BYTES`] in `bytes` is ignored.
    pub(super) fn open(
        keys: &AccountKeys,
        kind: ContentKind,
        id: ContentId,
        bytes: &[u8],
    ) -> Result<Self, SealError> {
        let (plain, rest) = bytes
            .split_first_chunk::<PLAIN_BYTES>()
            .ok_or(SealError::Truncated)?;
        let wrapped = rest
            .first_chunk::<WRAPPED_BYTES>()
            .ok_or(SealError::Truncated)?;
        if plain[..4] != MAGIC || !(VERSION_MIN..=VERSION).contains(&plain[4]) {
            return Err(SealError::Version);
        }
        if plain[5] != kind as u8 {
            return Err(SealError::Forged);
        }
        let mut chunk_bytes = [0; 4];
        chunk_bytes.copy_from_slice(&plain[6..]);
        let chunk_bytes = u32::from_be_bytes(chunk_bytes) as usize;
        if chunk_bytes == 0 || chunk_bytes > CHUNK_BYTES_MAX {
            return Err(SealError::TooLarge);
        }
        let aad = context(plain, keys.account(), id);
        let key = match kind {
            ContentKind::Delivery => keys.open_sealed_to(LETTER_INFO, &aad, wrapped)?,
            ContentKind::Message | ContentKind::Checkpoint => open_own(keys, &aad, wrapped)?,
        };
        let key = Zeroizing::new(key);
        let key = Zeroizing::new(key.as_slice().try_into().map_err(|_| SealError::Forged)?);
        Ok(Self { key, chunk_bytes })
    }
}

const MAGIC: [u8; 4] = *b"RSTC";
const VERSION_MIN: u8 = 1;
const VERSION: u8 = 2;
const PLAIN_BYTES: usize = 10;
const NONCE_BYTES: usize = 24;
const PADDING_BYTES: usize = WRAPPED_BYTES - NONCE_BYTES - 32 - 16;
const WRAPPED_BYTES: usize = 32 + LETTER_OVERHEAD_BYTES;
const LETTER_INFO: &[u8] = b"restante content key";

fn plain(kind: ContentKind, chunk_bytes: usize) -> [u8; PLAIN_BYTES] {
    let chunk_bytes = u32::try_from(chunk_bytes).expect("the writer limits chunks to 1 MiB");
    let mut plain = [0; PLAIN_BYTES];
    plain[..4].copy_from_slice(&MAGIC);
    let version = if kind.packs() { VERSION } else { VERSION_MIN };
    plain[4..6].copy_from_slice(&[version, kind as u8]);
    plain[6..].copy_from_slice(&chunk_bytes.to_be_bytes());
    plain
}

fn context(plain: &[u8; PLAIN_BYTES], account: AccountId, id: ContentId) -> Vec<u8> {
    [b"restante content\0".as_slice(), plain, &account.0, &id.0].concat()
}

fn join(plain: &[u8; PLAIN_BYTES], wrapped: &[u8]) -> [u8; CONTENT_HEAD_BYTES] {
    let mut head = [0; CONTENT_HEAD_BYTES];
    head[..PLAIN_BYTES].copy_from_slice(plain);
    head[PLAIN_BYTES..].copy_from_slice(wrapped);
    head
}

fn open_own(
    keys: &AccountKeys,
    aad: &[u8],
    wrapped: &[u8; WRAPPED_BYTES],
) -> Result<Vec<u8>, SealError> {
    let (nonce, rest) = wrapped
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(SealError::Truncated)?;
    let (sealed, padding) = rest
        .split_last_chunk::<PADDING_BYTES>()
        .ok_or(SealError::Truncated)?;
    if *padding != [0; PADDING_BYTES] {
        return Err(SealError::Forged);
    }
    XChaCha20Poly1305::new(keys.content_wrap_key().into())
        .decrypt(nonce.into(), Payload { msg: sealed, aad })
        .map_err(|_| SealError::Forged)
}
