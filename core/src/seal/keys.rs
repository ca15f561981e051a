//! The keys of an account, and what is derived from them.
//!
//! An account has two secrets: a symmetric root, from which HKDF-SHA256 (RFC 5869)
//! derives one key for each purpose, and an X25519 pair, so that mail can be sealed
//! *for* the account by somebody who cannot open it. Both are kept in slots.

use core::fmt;
use std::sync::Arc;

use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::mailbox::AccountId;
use crate::random::Random;

/// 32 secret bytes, overwritten when dropped.
pub(super) type SecretBytes = Zeroizing<[u8; 32]>;

/// The keys of one account. A clone shares them; they are overwritten with zeros
/// when the last clone is dropped.
#[derive(Clone)]
pub struct AccountKeys(Arc<Secrets>);

impl AccountKeys {
    /// New keys for a new account.
    #[must_use]
    pub fn generate(account: AccountId, random: &mut Random) -> Self {
        let root = Zeroizing::new(random.bytes());
        let private = Zeroizing::new(random.bytes());
        Self::from_secrets(account, root, private)
    }

    /// Whose keys these are.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.0.account
    }

    /// The X25519 public key (RFC 7748), which may be given to anybody who delivers.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.0.public
    }

    /// 32 bytes that only the account's keys can compute from `input`, the same each
    /// time. `domain` keeps different uses apart. For identifiers that must be
    /// repeatable and yet tell storage nothing.
    #[must_use]
    pub fn identifier(&self, domain: &str, input: &[u8]) -> [u8; 32] {
        let length = (domain.len() as u64).to_be_bytes();
        let mut identifier = [0; 32];
        Hkdf::<Sha256>::from_prk(&*self.0.identifier)
            .expect("32 bytes are one SHA-256 output")
            .expand_multi_info(&[&length, domain.as_bytes(), input], &mut identifier)
            .expect("32 bytes are within HKDF's limit of 255 blocks");
        identifier
    }

    pub(super) fn from_secrets(
        account: AccountId,
        root: SecretBytes,
        private: SecretBytes,
    ) -> Self {
        let pair = StaticSecret::from(*private);
        let public = PublicKey::from(&pair).to_bytes();
        Self(Arc::new(Secrets {
            account,
            item: derive(&root, account, Purpose::Item),
            content_wrap: derive(&root, account, Purpose::ContentWrap),
            identifier: derive(&root, account, Purpose::Identifier),
            root,
            private,
            public,
        }))
    }

    pub(super) fn root(&self) -> &[u8; 32] {
        &self.0.root
    }

    pub(super) fn private(&self) -> &[u8; 32] {
        &self.0.private
    }

    pub(super) fn item_key(&self) -> &[u8; 32] {
        &self.0.item
    }

    pub(super) fn content_wrap_key(&self) -> &[u8; 32] {
        &self.0.content_wrap
    }
}

impl fmt::Debug for AccountKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountKeys(…)")
    }
}

struct Secrets {
    account: AccountId,
    root: SecretBytes,
    private: SecretBytes,
    public: [u8; 32],
    item: SecretBytes,
    content_wrap: SecretBytes,
    identifier: SecretBytes,
}

/// What a derived key is for. A label, once used, never means anything else.
#[derive(Clone, Copy)]
enum Purpose {
    Item,
    ContentWrap,
    Identifier,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Item => b"restante v1 item",
            Self::ContentWrap => b"restante v1 content wrap",
            Self::Identifier => b"restante v1 identifier",
        }
    }
}

/// The root is uniformly random already, so the extract step only binds the scheme;
/// the account id in `info` makes equal roots of two accounts harmless.
fn derive(root: &[u8; 32], account: AccountId, purpose: Purpose) -> SecretBytes {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(b"restante account root"), root)
        .expand_multi_info(&[purpose.label(), b"\0", &account.0], &mut *key)
        .expect("32 bytes are within HKDF's limit of 255 blocks");
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    #[test]
    fn derived_keys_differ_by_purpose_and_by_account() {
        let (root, private) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
        let one = AccountKeys::from_secrets(AccountId([1; 16]), root.clone(), private.clone());
        let two = AccountKeys::from_secrets(AccountId([2; 16]), root, private);
        let mut keys = vec![
            *one.item_key(),
            *one.content_wrap_key(),
            one.identifier("a", b"bc"),
        ];
        keys.extend([
            *two.item_key(),
            *two.content_wrap_key(),
            two.identifier("a", b"bc"),
        ]);
        keys.extend([one.identifier("ab", b"c"), *one.root(), *one.private()]);
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn debug_shows_nothing() {
        let keys = AccountKeys::generate(AccountId([3; 16]), &mut Random::new(Seed::new([4; 32])));
        assert_eq!(format!("{keys:?}"), "AccountKeys(…)");
    }
}
