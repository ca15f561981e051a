//! Slots: the account's keys, wrapped by a key that a password, an app password or
//! a recovery code gives (Argon2id, which is run outside of the core).
//!
//! ```text
//! version 1 | kind 1 | nonce 24 | commitment 32 | sealed (root 32, X25519 private 32) 80
//! ```
//!
//! The wrapping key is first put through HKDF with the nonce as salt, which gives the
//! sealing key and the commitment. Poly1305 alone would let whoever may write slots
//! make one that opens under many keys at once, and so try many passwords by a single
//! login; a commitment can fit only one.

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::SealError;
use super::keys::{AccountKeys, SecretBytes};
use crate::mailbox::AccountId;
use crate::random::Random;

/// Octets of every slot.
pub const SLOT_BYTES: usize = 2 + NONCE_BYTES + COMMITMENT_BYTES + 64 + 16;

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SlotKind {
    /// The account's password.
    Password = 1,
    /// A password for one application.
    AppPassword = 2,
    /// A recovery code on paper.
    Recovery = 3,
}

/// Wraps the account's keys with `kek`, which must be the output of a password hash
/// made for that or another key of 256 bits. The result always has [`SLOT_BYTES`].
#[must_use]
pub fn wrap(keys: &AccountKeys, kek: &[u8; 32], kind: SlotKind, random: &mut Random) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = random.bytes();
    let context = context(keys.account(), kind as u8);
    let (key, commitment) = slot_keys(kek, &nonce, &context);
    let mut secrets = Zeroizing::new([0; 64]);
    secrets[..32].copy_from_slice(keys.root());
    secrets[32..].copy_from_slice(keys.private());
    let sealed = XChaCha20Poly1305::new((&*key).into())
        .encrypt(
            &nonce.into(),
            Payload {
                msg: &*secrets,
                aad: &context,
            },
        )
        .expect("64 octets are within the cipher's limit");
    [&[VERSION, kind as u8][..], &nonce, &commitment, &sealed].concat()
}

/// Opens a slot of `account`.
///
/// # Errors
/// [`SealError::Forged`] for a wrong `kek` too: the two cannot be told apart.
pub fn unwrap(bytes: &[u8], kek: &[u8; 32], account: AccountId) -> Result<AccountKeys, SealError> {
    let (&version, rest) = bytes.split_first().ok_or(SealError::Truncated)?;
    if version != VERSION {
        return Err(SealError::Version);
    }
    let (&kind, rest) = rest.split_first().ok_or(SealError::Truncated)?;
    let (nonce, rest) = rest
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(SealError::Truncated)?;
    let (commitment, sealed) = rest
        .split_first_chunk::<COMMITMENT_BYTES>()
        .ok_or(SealError::Truncated)?;
    let context = context(account, kind);
    let (key, expected) = slot_keys(kek, nonce, &context);
    // Both sides are pseudo-random and the value is public: no need for constant time.
    if *commitment != expected {
        return Err(SealError::Forged);
    }
    let secrets = XChaCha20Poly1305::new((&*key).into())
        .decrypt(
            nonce.into(),
            Payload {
                msg: sealed,
                aad: &context,
            },
        )
        .map_err(|_| SealError::Forged)?;
    let secrets = Zeroizing::new(secrets);
    let (Some((root, _)), Some((_, private))) = (
        secrets.split_first_chunk::<32>(),
        secrets.split_last_chunk::<32>(),
    ) else {
        return Err(SealError::Truncated);
    };
    if secrets.len() != 64 {
        return Err(SealError::TooLarge);
    }
    Ok(AccountKeys::from_secrets(
        account,
        Zeroizing::new(*root),
        Zeroizing::new(*private),
    ))
}

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const COMMITMENT_BYTES: usize = 32;

fn context(account: AccountId, kind: u8) -> Vec<u8> {
    [b"restante slot\0".as_slice(), &[VERSION, kind], &account.0].concat()
}

fn slot_keys(kek: &[u8; 32], nonce: &[u8; NONCE_BYTES], context: &[u8]) -> (SecretBytes, [u8; 32]) {
    let mut both = Zeroizing::new([0; 64]);
    Hkdf::<Sha256>::new(Some(nonce), kek)
        .expand(context, &mut *both)
        .expect("64 bytes are within HKDF's limit of 255 blocks");
    let (mut key, mut commitment) = (Zeroizing::new([0; 32]), [0; 32]);
    key.copy_from_slice(&both[..32]);
    commitment.copy_from_slice(&both[32..]);
    (key, commitment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;
    use crate::seal::tests::{from_hex, hex};

    const ACCOUNT: AccountId = AccountId([7; 16]);

    fn slot() -> (AccountKeys, Vec<u8>) {
        let mut random = Random::new(Seed::new([1; 32]));
        let keys = AccountKeys::generate(ACCOUNT, &mut random);
        let slot = wrap(&keys, &[9; 32], SlotKind::Password, &mut random);
        (keys, slot)
    }

    #[test]
    fn golden() {
        let (keys, slot) = slot();
        assert_eq!(hex(&slot), include_str!("golden/slot.hex").trim());
        let opened = unwrap(
            &from_hex(include_str!("golden/slot.hex")),
            &[9; 32],
            ACCOUNT,
        )
        .unwrap();
        assert_eq!(opened.root(), keys.root());
        assert_eq!(opened.private(), keys.private());
        assert_eq!(opened.public_key(), keys.public_key());
        assert_eq!(slot.len(), SLOT_BYTES);
    }

    #[test]
    fn another_key_or_account_does_not_open() {
        let (_, slot) = slot();
        assert_eq!(
            unwrap(&slot, &[8; 32], ACCOUNT).unwrap_err(),
            SealError::Forged
        );
        let other = AccountId([8; 16]);
        assert_eq!(
            unwrap(&slot, &[9; 32], other).unwrap_err(),
            SealError::Forged
        );
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let (_, slot) = slot();
        for bit in 0..slot.len() * 8 {
            let mut changed = slot.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(unwrap(&changed, &[9; 32], ACCOUNT).is_err(), "bit {bit}");
        }
        for length in 0..slot.len() {
            assert!(
                unwrap(&slot[..length], &[9; 32], ACCOUNT).is_err(),
                "length {length}"
            );
        }
    }
}
