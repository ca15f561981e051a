//! The accounts and the text that stands for them in the accounts file.
//!
//! ```toml
//! version = 2                  # 3, where an account has `addresses`; 4, where one has `restored_ms`
//!
//! [[account]]
//! id = "0192…"                 # 16 octets in hexadecimal
//! names = ["alice"]            # what it logs in as, and gets mail for
//! addresses = ["sales@a.org"]  # what it gets mail for besides
//! public_key = "…"             # X25519, base64
//! inbox = "…"                  # the id of INBOX in hexadecimal: where mail is delivered;
//!                              # version 1 lacks it, and the next login fills it in
//! bucket = "…"                 # of Garage; where given, key_id and secret are as well
//! key_id = "…"
//! secret = "…"
//! restored_ms = 1796000000000  # its storage was put back from a backup then, milliseconds since
//!                              # 1970; until somebody logs in
//!
//! [[account.slot]]
//! kind = "password"
//! memory_kib = 19456           # Argon2id
//! passes = 2
//! lanes = 1
//! salt = "…"                   # base64
//! wrapped = "…"                # the account's keys, sealed by the stretched password
//! ```

use super::stretch::STRETCHED_BYTES;
use crate::secret::Secret;
use crate::toml_file;
use argon2::Params;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_core::mailbox::{AccountId, MailboxId};
pub use restante_core::sasl::fold_name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The newest version of the format.
const VERSION: u32 = 4;
/// The versions that are written where nothing needs a newer one, so that a server of before
/// can be gone back to.
const VERSION_WITHOUT_MARKS: u32 = 3;
const VERSION_WITHOUT_ADDRESSES: u32 = 2;
/// Octets of a login name.
pub const NAME_BYTES_MAX: usize = 255;
/// Further addresses of one account.
pub const ADDRESSES_MAX: usize = 1_000;
/// Slots of one account.
pub const SLOTS_MAX: usize = 16;
/// KiB of memory that a slot may ask for.
const MEMORY_KIB_MAX: u32 = 4 * 1024 * 1024;

/// Every account of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountList {
    entries: Vec<Entry>,
    by_name: BTreeMap<String, usize>,
    /// The further addresses only.
    by_address: BTreeMap<String, usize>,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Names it for ever.
    pub id: AccountId,
    /// What it logs in as; ASCII letters in lower case.
    pub names: Vec<String>,
    /// What it gets mail for besides, and does not log in as; in lower case as well.
    pub addresses: Vec<String>,
    /// X25519 public key.
    pub public_key: [u8; 32],
    /// Its INBOX, which deliverers must know; `None` until it logs in next.
    pub inbox: Option<MailboxId>,
    /// Where its mail is in Garage, if not in the bucket of all.
    pub bucket: Option<OwnBucket>,
    /// When its storage was put back from a backup, milliseconds since 1970; `None` once somebody has
    /// logged in since.
    pub restored_ms: Option<u64>,
    /// Its keys, wrapped, once for each password.
    pub slots: Vec<PasswordSlot>,
}

/// An account's own bucket in Garage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnBucket {
    /// Its name.
    pub name: String,
    /// The key that opens it.
    pub key_id: String,
    /// The key's secret.
    pub secret: Secret,
}

/// The account's keys, wrapped by a stretched password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordSlot {
    /// How the password is stretched.
    pub params: Params,
    /// The salt for it.
    pub salt: Vec<u8>,
    /// The wrapped keys.
    pub wrapped: Vec<u8>,
}

/// Whether `name` can be a login name.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("a login name must not be empty");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("the login name is too long");
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("a login name must have no spaces or control characters");
    }
    Ok(())
}

impl AccountList {
    /// The accounts in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The account that logs in as `name`, in any case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.by_name
            .get(&fold_name(name))
            .map(|&place| &self.entries[place])
    }

    /// The account that gets mail for `address`: a name or a further address, in any case.
    #[must_use]
    pub fn find_address(&self, address: &str) -> Option<&Entry> {
        let place = self.by_address.get(&fold_name(address));
        place
            .map(|&place| &self.entries[place])
            .or_else(|| self.find(address))
    }

    /// The list with the change that `change` makes to the entries.
    ///
    /// # Errors
    /// When the result has a name twice, or a name or slot that cannot be.
    pub fn changed(&self, change: impl FnOnce(&mut Vec<Entry>)) -> Result<Self, String> {
        let mut entries = self.entries.clone();
        change(&mut entries);
        Self::new(entries)
    }

    /// What is wrong is told with ids: it goes into the log, where no names are.
    fn new(entries: Vec<Entry>) -> Result<Self, String> {
        let mut by_name = BTreeMap::new();
        let mut by_address = BTreeMap::new();
        for (place, entry) in entries.iter().enumerate() {
            if entry.slots.len() > SLOTS_MAX {
                return Err(format!("account {}: too many slots", entry.id));
            }
            for name in &entry.names {
                let fail = |reason| format!("account {}: names: {reason}", entry.id);
                check_name(name).map_err(fail)?;
                if let Some(other) = by_name.insert(fold_name(name), place) {
                    let other = entries[other].id;
                    return Err(fail(&format!(
                        "two accounts have one, the other is {other}"
                    )));
                }
            }
        }
        for (place, entry) in entries.iter().enumerate() {
            if entry.addresses.len() > ADDRESSES_MAX {
                return Err(format!("account {}: too many addresses", entry.id));
            }
            for address in &entry.addresses {
                let fail = |reason| format!("account {}: addresses: {reason}", entry.id);
                check_name(address).map_err(fail)?;
                let folded = fold_name(address);
                if by_name.contains_key(&folded) || by_address.insert(folded, place).is_some() {
                    return Err(fail("one is there twice"));
                }
            }
        }
        Ok(Self {
            entries,
            by_name,
            by_address,
        })
    }

    /// Reads the text of an accounts file.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Version { version } = toml_file::parse(text)?;
        if !(1..=VERSION).contains(&version) {
            return Err(format!(
                "version: {version} is unknown here; this server knows {VERSION}"
            ));
        }
        let file: File = toml_file::parse(text)?;
        let entries = file.account.into_iter().map(AccountText::parse);
        Self::new(entries.collect::<Result<_, _>>()?)
    }

    /// The text of the accounts file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let marked = self.entries.iter().any(|entry| entry.restored_ms.is_some());
        let file = File {
            version: match (marked, self.by_address.is_empty()) {
                (true, _) => VERSION,
                (false, false) => VERSION_WITHOUT_MARKS,
                (false, true) => VERSION_WITHOUT_ADDRESSES,
            },
            account: self.entries.iter().map(AccountText::new).collect(),
        };
        let toml = toml::to_string(&file).expect("strings and numbers in tables are TOML");
        format!("# Written by `account …`; it holds keys: readable by the server alone.\n{toml}")
    }
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    account: Vec<AccountText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountText {
    id: String,
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    inbox: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    slot: Vec<SlotText>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum SlotText {
    Password {
        memory_kib: u32,
        passes: u32,
        lanes: u32,
        salt: String,
        wrapped: String,
    },
}

impl AccountText {
    fn new(entry: &Entry) -> Self {
        Self {
            id: entry.id.to_string(),
            names: entry.names.clone(),
            addresses: entry.addresses.clone(),
            public_key: STANDARD.encode(entry.public_key),
            inbox: entry.inbox.map(|inbox| inbox.to_string()),
            bucket: entry.bucket.as_ref().map(|own| own.name.clone()),
            key_id: entry.bucket.as_ref().map(|own| own.key_id.clone()),
            secret: entry
                .bucket
                .as_ref()
                .map(|own| own.secret.reveal().to_owned()),
            restored_ms: entry.restored_ms,
            slot: entry.slots.iter().map(SlotText::new).collect(),
        }
    }

    fn parse(self) -> Result<Entry, String> {
        let id = AccountId(parse_id("account.id", &self.id)?);
        let inbox = self.inbox.map(|inbox| parse_id("account.inbox", &inbox));
        let inbox = inbox.transpose()?.map(MailboxId);
        let public_key = decode("account.public_key", &self.public_key)?
            .try_into()
            .map_err(|_| format!("account {id}: public_key: not 32 octets"))?;
        let bucket = match (self.bucket, self.key_id, self.secret) {
            (None, None, None) => None,
            (Some(name), Some(key_id), Some(secret)) => Some(OwnBucket {
                name,
                key_id,
                secret: Secret::from(secret),
            }),
            _ => {
                return Err(format!(
                    "account {id}: bucket, key_id and secret come together or not at all"
                ));
            }
        };
        Ok(Entry {
            id,
            inbox,
            bucket,
            restored_ms: self.restored_ms,
            names: self.names.iter().map(|name| fold_name(name)).collect(),
            addresses: self.addresses.iter().map(|name| fold_name(name)).collect(),
            public_key,
            slots: self
                .slot
                .into_iter()
                .map(SlotText::parse)
                .collect::<Result<_, _>>()
                .map_err(|reason| format!("account {id}: {reason}"))?,
        })
    }
}

impl SlotText {
    fn new(slot: &PasswordSlot) -> Self {
        Self::Password {
            memory_kib: slot.params.m_cost(),
            passes: slot.params.t_cost(),
            lanes: slot.params.p_cost(),
            salt: STANDARD.encode(&slot.salt),
            wrapped: STANDARD.encode(&slot.wrapped),
        }
    }

    fn parse(self) -> Result<PasswordSlot, String> {
        let Self::Password {
            memory_kib,
            passes,
            lanes,
            salt,
            wrapped,
        } = self;
        if memory_kib > MEMORY_KIB_MAX {
            return Err(format!("slot.memory_kib: {memory_kib} is too much"));
        }
        let params = Params::new(memory_kib, passes, lanes, Some(STRETCHED_BYTES))
            .map_err(|error| format!("slot: {error}"))?;
        let salt = decode("slot.salt", &salt)?;
        if !(argon2::MIN_SALT_LEN..=64).contains(&salt.len()) {
            return Err("slot.salt: not 8 to 64 octets".to_owned());
        }
        Ok(PasswordSlot {
            params,
            salt,
            wrapped: decode("slot.wrapped", &wrapped)?,
        })
    }
}

fn decode(key: &str, text: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text)
        .map_err(|error| format!("{key}: {error}"))
}

fn parse_id(key: &str, text: &str) -> Result<[u8; 16], String> {
    let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| hex);
    let number = number.ok_or_else(|| format!("{key}: {text:?} is not 32 hexadecimal digits"))?;
    Ok(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never to be changed: files like this are in use.
    const GOLDEN_1: &str = include_str!("golden/accounts-v1.toml");
    const GOLDEN: &str = include_str!("golden/accounts-v2.toml");
    const GOLDEN_3: &str = include_str!("golden/accounts-v3.toml");
    const GOLDEN_4: &str = include_str!("golden/accounts-v4.toml");

    #[test]
    fn golden() {
        let list = AccountList::parse(GOLDEN).unwrap();
        assert_eq!(list.entries().len(), 2);
        let alice = list.find("ALICE@example.org").unwrap();
        assert_eq!(alice, list.find("alice").unwrap());
        assert_eq!(alice.id.to_string(), "01920000000070008000000000000001");
        assert_eq!(alice.public_key, [1; 32]);
        assert_eq!(alice.slots[0].params.m_cost(), 19_456);
        assert_eq!(alice.slots[0].salt, [2; 16]);
        assert_eq!(alice.slots[0].wrapped, [3; 138]);
        assert!(list.find("bob").unwrap().slots.is_empty());
        assert!(list.find("carol").is_none());
        assert_eq!(alice.inbox, Some(MailboxId([4; 16])));
        assert_eq!(list.to_text(), GOLDEN);
    }

    #[test]
    fn version_1_is_read_for_ever() {
        let old = AccountList::parse(GOLDEN_1).unwrap();
        let list = old.changed(|entries| entries[0].inbox = Some(MailboxId([4; 16])));
        assert_eq!(list.unwrap().to_text(), GOLDEN);
        assert!(old.entries().iter().all(|entry| entry.inbox.is_none()));
    }

    #[test]
    fn version_3_has_further_addresses() {
        let list = AccountList::parse(GOLDEN_3).unwrap();
        assert_eq!(list.to_text(), GOLDEN_3);
        let old = AccountList::parse(GOLDEN).unwrap();
        let addresses = ["sales@example.org", "postmaster"].map(str::to_owned);
        let new = old.changed(|entries| entries[1].addresses = addresses.to_vec());
        assert_eq!(new.unwrap(), list);
        let bob = list.find("bob");
        assert!(bob.is_some());
        for address in ["bob", "Sales@Example.org", "Postmaster"] {
            assert_eq!(list.find_address(address), bob);
        }
        assert_eq!(
            list.find("sales@example.org"),
            None,
            "nobody logs in as that"
        );
        assert_eq!(list.find_address("carol"), None);
        for (from, to) in [("postmaster", "alice"), ("postmaster", "SALES@example.org")] {
            let error = AccountList::parse(&GOLDEN_3.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains("twice"), "{error}");
        }
    }

    #[test]
    fn version_4_has_marks_of_storage_that_was_put_back() {
        let list = AccountList::parse(GOLDEN_4).unwrap();
        assert_eq!(list.to_text(), GOLDEN_4);
        for before in [GOLDEN, GOLDEN_3] {
            let old = AccountList::parse(before).unwrap();
            let mark = |mark| move |entries: &mut Vec<Entry>| entries[1].restored_ms = mark;
            let marked = old.changed(mark(Some(1_796_000_000_000))).unwrap();
            assert!(marked.to_text().contains("version = 4\n"));
            let unmarked = marked.changed(mark(None)).unwrap();
            assert_eq!(unmarked.to_text(), before);
            if before == GOLDEN_3 {
                assert_eq!(marked, list);
            }
        }
    }

    #[test]
    fn an_account_may_have_a_bucket_of_its_own() {
        let own = "bucket = \"alice\"\nkey_id = \"GK1\"\nsecret = \"s3cr3t\"\n";
        let text = GOLDEN.replacen(
            "\n\n[[account.slot]]",
            &format!("\n{own}\n[[account.slot]]"),
            1,
        );
        assert_ne!(text, GOLDEN);
        let list = AccountList::parse(&text).unwrap();
        let bucket = list.find("alice").unwrap().bucket.clone().unwrap();
        assert_eq!(
            (bucket.name.as_str(), bucket.key_id.as_str()),
            ("alice", "GK1")
        );
        assert_eq!(bucket.secret.reveal(), "s3cr3t");
        assert!(!format!("{list:?}").contains("s3cr3t"));
        assert_eq!(list.find("bob").unwrap().bucket, None);
        assert_eq!(list.to_text(), text);
        let error = AccountList::parse(&text.replacen("key_id = \"GK1\"\n", "", 1)).unwrap_err();
        assert!(error.contains("key_id"), "{error}");
    }

    #[test]
    fn errors_show_neither_secrets_nor_names() {
        let slot = "\n\n[[account.slot]]";
        for secret in ["\"s3cr3t", "s3cr3t", "[\"s3cr3t\"]", "s3cr3t="] {
            let own = format!("\nbucket = \"b\"\nkey_id = \"k\"\nsecret = {secret}{slot}");
            let text = GOLDEN.replacen(slot, &own, 1);
            let line = text.lines().position(|line| line.starts_with("secret"));
            let line = 1 + line.unwrap();
            let error = AccountList::parse(&text).unwrap_err();
            assert!(error.contains(&format!("line {line}")), "{error}");
            assert!(!error.contains("s3cr3t"), "{error}");
        }
        let alice = "01920000000070008000000000000001";
        let bob = GOLDEN.find("names = [\"bob\"").unwrap();
        let (before, after) = GOLDEN.split_at(bob);
        let twice = format!("{before}{}", after.replacen("bob", "alice", 1));
        let error = AccountList::parse(&twice).unwrap_err();
        assert!(
            error.contains(alice) && error.contains("two accounts"),
            "{error}"
        );
        assert!(!error.contains("alice"), "{error}");
        let twice = GOLDEN_3.replacen("postmaster", "sales@example.org", 1);
        let error = AccountList::parse(&twice).unwrap_err();
        assert!(!error.contains("sales"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (from, to, reason) in [
            ("version = 2", "version = 5", "version: 5 is unknown"),
            ("version = 2\n", "", "version"),
            ("04040404", "0404", "account.inbox"),
            ("passes", "pases", "pases"),
            ("\"bob\"", "\"alice\"", "two accounts"),
            ("\"bob\"", "\"a b\"", "spaces"),
            ("\"bob\"", "\"\"", "empty"),
            ("01920000", "0192", "account.id"),
            ("01920000", "+1920000", "account.id"),
            ("AgICAgICAgICAgICAgICAg==", "AgIC", "slot.salt"),
            ("19456", "4294967295", "memory_kib"),
            ("kind = \"password\"", "kind = \"key\"", "password"),
        ] {
            assert!(GOLDEN.contains(from), "{from}");
            let error = AccountList::parse(&GOLDEN.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
