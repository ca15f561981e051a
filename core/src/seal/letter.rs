//! Letters: what is sealed to an account's public key by somebody who holds none of its
//! secrets. HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256
//! and ChaCha20-Poly1305, one letter for each encapsulated key.
//!
//! ```text
//! encapsulated key 32 | ciphertext | tag 16
//! ```
//!
//! A letter says nothing about who wrote it.

use core::convert::Infallible;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{CryptoRng, TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};

use super::{AccountKeys, SealError};
use crate::random::Random;

/// Octets that sealing adds to a letter.
pub const LETTER_OVERHEAD_BYTES: usize = KEY_BYTES + 16;

/// Seals `plaintext` to the X25519 key `public_key`. `info` names the use and `aad` the
/// place, and both must be given again to open it (RFC 9180 §6.1, `SealBase`).
///
/// # Errors
/// [`SealError::Forged`] when `public_key` is no usable key (RFC 7748 §6.1: its shared
/// secret would be zero).
pub fn seal_to(
    public_key: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    random: &mut Random,
) -> Result<Vec<u8>, SealError> {
    seal_with(public_key, info, aad, plaintext, &mut Generator(random))
}

impl AccountKeys {
    /// Opens a letter that [`seal_to`] made with the same `info` and `aad`.
    ///
    /// # Errors
    /// [`SealError::Forged`] also for a letter to somebody else or for another use.
    pub fn open_sealed_to(
        &self,
        info: &[u8],
        aad: &[u8],
        letter: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        open_with(self.private(), info, aad, letter)
    }
}

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type EncapsulatedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

const KEY_BYTES: usize = 32;

fn seal_with(
    public_key: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    random: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    let key = PublicKey::from_bytes(public_key).map_err(|_| SealError::Forged)?;
    let (encapsulated, sealed) = hpke::single_shot_seal_with_rng::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
    >(&OpModeS::Base, &key, info, plaintext, aad, random)
    .map_err(|_| SealError::Forged)?;
    Ok([encapsulated.to_bytes().as_slice(), &sealed].concat())
}

fn open_with(
    private: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    letter: &[u8],
) -> Result<Vec<u8>, SealError> {
    let (encapsulated, sealed) = letter
        .split_first_chunk::<KEY_BYTES>()
        .ok_or(SealError::Truncated)?;
    let private = PrivateKey::from_bytes(private).map_err(|_| SealError::Forged)?;
    let encapsulated = EncapsulatedKey::from_bytes(encapsulated).map_err(|_| SealError::Forged)?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        info,
        sealed,
        aad,
    )
    .map_err(|_| SealError::Forged)
}

/// Gives HPKE the machine's own generator.
struct Generator<'a>(&'a mut Random);

impl TryRng for Generator<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.0.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.0.bytes()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for piece in bytes.chunks_mut(32) {
            let random: [u8; 32] = self.0.bytes();
            piece.copy_from_slice(&random[..piece.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Generator<'_> {}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::mailbox::AccountId;
    use crate::random::Seed;
    use crate::seal::tests::{from_hex, hex};

    const INFO: &str = "4f6465206f6e2061204772656369616e2055726e";
    const PUBLIC: &str = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
    const PRIVATE: &str = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
    const EPHEMERAL: &str = "909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b";
    const PLAINTEXT: &str = "4265617574792069732074727574682c20747275746820626561757479";
    const AAD: &str = "436f756e742d30";
    const LETTER: &str = concat!(
        "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db",
        "21993c62ce81883d2dd1b51a28",
    );

    /// Gives the key material of the vector, once.
    struct Vector(Vec<u8>);

    impl TryRng for Vector {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            unreachable!("only octets are drawn")
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            unreachable!("only octets are drawn")
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.copy_from_slice(&core::mem::take(&mut self.0));
            Ok(())
        }
    }
    impl TryCryptoRng for Vector {}

    fn array(text: &str) -> [u8; 32] {
        from_hex(text).try_into().unwrap()
    }

    /// RFC 9180 appendix A.2.1, sequence number 0.
    #[test]
    fn rfc_9180_vector() {
        let (info, aad) = (from_hex(INFO), from_hex(AAD));
        let mut ephemeral = Vector(from_hex(EPHEMERAL));
        let letter = seal_with(
            &array(PUBLIC),
            &info,
            &aad,
            &from_hex(PLAINTEXT),
            &mut ephemeral,
        )
        .unwrap();
        assert_eq!(hex(&letter), LETTER);
        let opened = open_with(&array(PRIVATE), &info, &aad, &from_hex(LETTER)).unwrap();
        assert_eq!(hex(&opened), PLAINTEXT);
        let private = Zeroizing::new(array(PRIVATE));
        let keys = AccountKeys::from_secrets(AccountId([1; 16]), private.clone(), private);
        assert_eq!(hex(&keys.public_key()), PUBLIC);
    }

    #[test]
    fn a_letter_opens_only_for_its_account_use_and_place() {
        let mut random = Random::new(Seed::new([1; 32]));
        let keys = AccountKeys::generate(AccountId([1; 16]), &mut random);
        let other = AccountKeys::generate(AccountId([1; 16]), &mut random);
        let letter = seal_to(&keys.public_key(), b"info", b"aad", b"text", &mut random).unwrap();
        assert_eq!(letter.len(), LETTER_OVERHEAD_BYTES + 4);
        assert_eq!(
            keys.open_sealed_to(b"info", b"aad", &letter).unwrap(),
            b"text"
        );
        assert_eq!(
            keys.open_sealed_to(b"inf", b"aad", &letter),
            Err(SealError::Forged)
        );
        assert_eq!(
            keys.open_sealed_to(b"info", b"", &letter),
            Err(SealError::Forged)
        );
        assert_eq!(
            other.open_sealed_to(b"info", b"aad", &letter),
            Err(SealError::Forged)
        );
        for bit in 0..letter.len() * 8 {
            let mut changed = letter.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let opened = keys.open_sealed_to(b"info", b"aad", &changed);
            // X25519 ignores the highest bit of a public key (RFC 7748 §5), HPKE does not.
            assert_eq!(opened, Err(SealError::Forged), "bit {bit}");
        }
    }

    #[test]
    fn a_public_key_of_zeros_is_refused() {
        let mut random = Random::new(Seed::new([1; 32]));
        assert!(seal_to(&[0; 32], b"", b"", b"text", &mut random).is_err());
    }
}
