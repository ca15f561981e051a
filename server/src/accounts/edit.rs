//! Adding, removing and changing accounts, as the command line does it.

use super::AccountsError;
use super::file::AccountsFile;
use super::list::{AccountList, Entry, OwnBucket, PasswordSlot, check_name, fold_name};
use super::opening::{self, Closed};
use super::stretch::{SALT_BYTES, stretch};
use crate::seed;
use argon2::Params;
use restante_core::mailbox::{AccountId, Directory, MailboxId};
use restante_core::random::Random;
use restante_core::seal::{self, AccountKeys, SlotKind};
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes an account with new keys, whose mail will be in a bucket of its own where one is
/// given.
///
/// # Errors
/// `Name`, `Exists`, and when the file cannot be changed.
pub fn add(
    file: &AccountsFile,
    name: &str,
    password: &str,
    params: &Params,
    bucket: Option<OwnBucket>,
) -> Result<AccountId, AccountsError> {
    check_name(name).map_err(AccountsError::Name)?;
    let mut random = seed::random();
    let id = AccountId::at(unix_ms(), &mut random);
    let keys = AccountKeys::generate(id, &mut random);
    let entry = Entry {
        id,
        names: vec![fold_name(name)],
        addresses: Vec::new(),
        public_key: keys.public_key(),
        inbox: Some(Directory::inbox(&keys)),
        bucket,
        restored_ms: None,
        slots: vec![password_slot(&keys, password, params, &mut random)?],
    };
    file.edit(|list| {
        if list.find_address(name).is_some() {
            return Err(AccountsError::Exists(name.to_owned()));
        }
        Ok((changed(file, list, |entries| entries.push(entry))?, id))
    })
}

/// Gives an account a further address, for which it gets mail but does not log in.
///
/// # Errors
/// `Name`, `Unknown`, `Exists`, and when the file cannot be changed.
pub fn add_address(file: &AccountsFile, name: &str, address: &str) -> Result<(), AccountsError> {
    check_name(address).map_err(AccountsError::Name)?;
    file.edit(|list| {
        let id = find(list, name)?.id;
        if list.find_address(address).is_some() {
            return Err(AccountsError::Exists(address.to_owned()));
        }
        let list = changed(file, list, |entries| {
            for entry in entries.iter_mut().filter(|entry| entry.id == id) {
                entry.addresses.push(fold_name(address));
            }
        })?;
        Ok((list, ()))
    })
}

/// Takes a further address from whatever account has it.
///
/// # Errors
/// `Unknown`, and when the file cannot be changed.
pub fn remove_address(file: &AccountsFile, address: &str) -> Result<(), AccountsError> {
    let address = fold_name(address);
    file.edit(|list| {
        let has = |entry: &Entry| entry.addresses.contains(&address);
        if !list.entries().iter().any(has) {
            return Err(AccountsError::Unknown(address.clone()));
        }
        let list = changed(file, list, |entries| {
            for entry in entries {
                entry.addresses.retain(|other| *other != address);
            }
        })?;
        Ok((list, ()))
    })
}

/// Notes which mailbox is the INBOX of an account, where that is not known yet. A running
/// server does that, perhaps while somebody puts another file in the place of this one: it makes
/// none.
///
/// # Errors
/// `Unknown`, and when the file is not there or cannot be changed.
pub fn note_inbox(
    file: &AccountsFile,
    id: AccountId,
    inbox: MailboxId,
) -> Result<(), AccountsError> {
    file.edit_existing(|list| {
        if !list.entries().iter().any(|entry| entry.id == id) {
            return Err(AccountsError::Unknown(id.to_string()));
        }
        let list = changed(file, list, |entries| {
            for entry in entries.iter_mut().filter(|entry| entry.id == id) {
                entry.inbox = Some(inbox);
            }
        })?;
        Ok((list, ()))
    })
}

/// Marks accounts as those whose storage was put back from a backup now: all of them, or those with
/// these login names. How many there are.
///
/// # Errors
/// `Unknown`, and when the file is not there or cannot be changed.
pub fn mark_restored(
    file: &AccountsFile,
    names: Option<&[String]>,
) -> Result<usize, AccountsError> {
    file.edit_existing(|list| {
        let ids = match names {
            None => list.entries().iter().map(|entry| entry.id).collect(),
            Some(names) => names
                .iter()
                .map(|name| Ok(find(list, name)?.id))
                .collect::<Result<BTreeSet<_>, AccountsError>>()?,
        };
        let now = unix_ms();
        let list = changed(file, list, |entries| {
            for entry in entries.iter_mut().filter(|entry| ids.contains(&entry.id)) {
                entry.restored_ms = Some(now);
            }
        })?;
        Ok((list, ids.len()))
    })
}

/// Takes such a mark away, unless there is another one by now. An account that is not there has none.
///
/// # Errors
/// When the file is not there or cannot be changed.
pub fn note_settled(
    file: &AccountsFile,
    id: AccountId,
    restored_ms: u64,
) -> Result<(), AccountsError> {
    file.edit_existing(|list| {
        let list = changed(file, list, |entries| {
            let marked =
                |entry: &&mut Entry| entry.id == id && entry.restored_ms == Some(restored_ms);
            for entry in entries.iter_mut().filter(marked) {
                entry.restored_ms = None;
            }
        })?;
        Ok((list, ()))
    })
}

/// Forgets an account and with it the keys of its mail, which nobody can open any more.
///
/// # Errors
/// `Unknown`, and when the file cannot be changed.
pub fn remove(file: &AccountsFile, name: &str) -> Result<AccountId, AccountsError> {
    file.edit(|list| {
        let id = find(list, name)?.id;
        let list = changed(file, list, |entries| entries.retain(|entry| entry.id != id))?;
        Ok((list, id))
    })
}

/// Wraps the keys of an account by a new password in place of the old one. Other
/// passwords that it may have stay.
///
/// # Errors
/// `Unknown`, `WrongPassword`, `Altered`, and when the file cannot be changed.
pub fn change_password(
    file: &AccountsFile,
    name: &str,
    old: &str,
    new: &str,
    params: &Params,
) -> Result<(), AccountsError> {
    file.edit(|list| {
        let entry = find(list, name)?;
        let (place, keys) = open(file, entry, old)?.ok_or(AccountsError::WrongPassword)?;
        let slot = password_slot(&keys, new, params, &mut seed::random())?;
        let list = changed(file, list, |entries| {
            for changed in entries.iter_mut().filter(|other| other.id == entry.id) {
                changed.slots[place] = slot.clone();
            }
        })?;
        Ok((list, ()))
    })
}

/// The keys of an account, for who knows its password.
///
/// # Errors
/// `Unknown`, `WrongPassword`, `Altered`, and when the file cannot be read.
pub fn keys(file: &AccountsFile, name: &str, password: &str) -> Result<AccountKeys, AccountsError> {
    let list = file.read()?;
    let opened = open(file, find(&list, name)?, password)?;
    opened
        .map(|(_, keys)| keys)
        .ok_or(AccountsError::WrongPassword)
}

fn password_slot(
    keys: &AccountKeys,
    password: &str,
    params: &Params,
    random: &mut Random,
) -> Result<PasswordSlot, AccountsError> {
    let salt = random.bytes::<SALT_BYTES>().to_vec();
    let stretched = stretch(params, &salt, password).map_err(AccountsError::Stretch)?;
    Ok(PasswordSlot {
        params: params.clone(),
        salt,
        wrapped: seal::wrap(keys, &stretched, SlotKind::Password, random),
    })
}

/// The slot that `password` opens, and the keys in it.
fn open(
    file: &AccountsFile,
    entry: &Entry,
    password: &str,
) -> Result<Option<(usize, AccountKeys)>, AccountsError> {
    for (place, slot) in entry.slots.iter().enumerate() {
        let stretched =
            stretch(&slot.params, &slot.salt, password).map_err(AccountsError::Stretch)?;
        match opening::open(entry, slot, &stretched) {
            Ok(keys) => return Ok(Some((place, keys))),
            Err(Closed::WrongPassword) => {}
            Err(Closed::Altered(altered)) => {
                let name = entry.names.first().cloned().unwrap_or_default();
                let file = file.path().to_owned();
                return Err(AccountsError::Altered(file, name, altered));
            }
        }
    }
    Ok(None)
}

fn find<'a>(list: &'a AccountList, name: &str) -> Result<&'a Entry, AccountsError> {
    list.find(name)
        .ok_or_else(|| AccountsError::Unknown(name.to_owned()))
}

fn changed(
    file: &AccountsFile,
    list: &AccountList,
    change: impl FnOnce(&mut Vec<Entry>),
) -> Result<AccountList, AccountsError> {
    list.changed(change)
        .map_err(|reason| AccountsError::Format(file.path().to_owned(), reason))
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params::new(64, 1, 1, Some(32)).unwrap()
    }

    fn opens(file: &AccountsFile, name: &str, password: &str) -> Option<AccountKeys> {
        let list = file.read().unwrap();
        let (_, keys) = open(file, list.find(name)?, password).unwrap()?;
        Some(keys)
    }

    #[test]
    fn account_from_its_beginning_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = AccountsFile::new(folder.path().join("accounts.toml"));
        add(&file, "Alice", "one", &params(), None).unwrap();
        add(&file, "bob", "b", &params(), None).unwrap();
        assert!(matches!(
            add(&file, "ALICE", "two", &params(), None),
            Err(AccountsError::Exists(_))
        ));
        let before = opens(&file, "alice", "one").expect("the password opens");
        assert!(opens(&file, "alice", "two").is_none());
        let again = keys(&file, "ALICE", "one").unwrap();
        assert_eq!(again.public_key(), before.public_key());
        let wrong = keys(&file, "alice", "two");
        assert!(matches!(wrong, Err(AccountsError::WrongPassword)));
        let nobody = keys(&file, "carol", "one");
        assert!(matches!(nobody, Err(AccountsError::Unknown(_))));

        assert!(matches!(
            change_password(&file, "alice", "wrong", "two", &params()),
            Err(AccountsError::WrongPassword)
        ));
        change_password(&file, "alice", "one", "two", &params()).unwrap();
        assert!(opens(&file, "alice", "one").is_none(), "the old one opens");
        let after = opens(&file, "alice", "two").expect("the new one opens");
        assert_eq!(after.public_key(), before.public_key(), "the keys stay");

        add_address(&file, "alice", "Sales@example.org").unwrap();
        let taken = add_address(&file, "bob", "sales@EXAMPLE.org");
        assert!(matches!(taken, Err(AccountsError::Exists(_))));
        let taken = add(&file, "sales@example.org", "c", &params(), None);
        assert!(matches!(taken, Err(AccountsError::Exists(_))));
        let nobody = add_address(&file, "carol", "c@example.org");
        assert!(matches!(nobody, Err(AccountsError::Unknown(_))));
        assert!(opens(&file, "sales@example.org", "two").is_none());
        remove_address(&file, "SALES@example.org").unwrap();
        let gone = remove_address(&file, "sales@example.org");
        assert!(matches!(gone, Err(AccountsError::Unknown(_))));

        remove(&file, "alice").unwrap();
        assert!(opens(&file, "alice", "two").is_none());
        assert!(opens(&file, "bob", "b").is_some());
        assert!(matches!(
            remove(&file, "alice"),
            Err(AccountsError::Unknown(_))
        ));
    }

    #[test]
    fn an_inbox_is_noted_only_where_the_account_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = AccountsFile::new(folder.path().join("accounts.toml"));
        let id = add(&file, "alice", "one", &params(), None).unwrap();
        let text = || std::fs::read_to_string(file.path()).unwrap();
        let before = text();

        let stranger = AccountId([9; 16]);
        note_inbox(&file, stranger, MailboxId([1; 16])).unwrap_err();
        note_inbox(&file, id, MailboxId([1; 16])).unwrap();
        assert_ne!(text(), before);

        // While somebody puts another file in its place there is none for a moment.
        let aside = folder.path().join("aside");
        std::fs::rename(file.path(), &aside).unwrap();
        let gone = note_inbox(&file, id, MailboxId([2; 16]));
        assert!(matches!(gone, Err(AccountsError::Io(..))), "{gone:?}");
        assert!(!file.path().exists(), "a file without accounts was written");
    }
}
