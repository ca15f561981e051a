//! An account is opened: by a slot that the password fits, whose keys are then compared
//! with what the accounts file says beside it.
//!
//! The slot is sealed, the rest of the entry is not, and mail is sealed for the public key
//! and put into the mailbox that stand there. Whoever may write the file could put a key of
//! their own there and read all mail that comes from then on; nobody but the account's keys
//! can tell. So wherever they are opened they are compared, and do not leave this file if
//! the entry was altered.

use super::list::{Entry, PasswordSlot};
use super::stretch::STRETCHED_BYTES;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_core::mailbox::Directory;
use restante_core::seal::{self, AccountKeys};
use std::fmt;

/// Why an account stays closed.
#[derive(Debug)]
pub(super) enum Closed {
    /// The slot is for another password.
    WrongPassword,
    /// The password is right, and the entry is not what the account's keys say.
    Altered(Altered),
}

/// What an entry of the accounts file must say and does not. Holds no secret, but whoever
/// knows the public key can make up mail: it is for the operator's terminal, not for logs.
#[derive(Debug, PartialEq, Eq)]
pub struct Altered {
    /// The line as it must be.
    line: String,
}

impl fmt::Display for Altered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// Opens a slot of an account by a stretched password.
pub(super) fn open(
    entry: &Entry,
    slot: &PasswordSlot,
    stretched: &[u8; STRETCHED_BYTES],
) -> Result<AccountKeys, Closed> {
    let keys = seal::unwrap(&slot.wrapped, stretched, entry.id);
    let keys = keys.map_err(|_| Closed::WrongPassword)?;
    compare(entry, &keys).map_err(Closed::Altered)?;
    Ok(keys)
}

/// Whether mail for the account is sealed so that these keys open it, and delivered where
/// they look.
fn compare(entry: &Entry, keys: &AccountKeys) -> Result<(), Altered> {
    let public_key = keys.public_key();
    if entry.public_key != public_key {
        let line = format!("public_key = \"{}\"", STANDARD.encode(public_key));
        return Err(Altered { line });
    }
    let inbox = Directory::inbox(keys);
    if entry.inbox.is_some_and(|noted| noted != inbox) {
        let line = format!("inbox = \"{inbox}\"");
        return Err(Altered { line });
    }
    Ok(())
}
