//! Who may log in, and with which password.
//!
//! [`Accounts`] answers the core's `Derive`: it finds the account in the
//! [accounts file](mod@file), stretches the password ([`stretch`]) and unwraps the account's
//! keys with it. A name that does not exist goes the same way with a slot that no
//! password opens, so that time tells nothing. [`edit`] is what the command line does.

pub mod address;
mod as_owner;
pub mod edit;
pub mod file;
mod known;
pub mod list;
mod memory;
mod opening;
pub mod penalty;
pub mod stretch;
#[cfg(test)]
mod tests;

use crate::driver::flood::Flood;
use crate::runtime::{self, Runtime};
use crate::seed;
use address::Addresses;
use argon2::Params;
use file::AccountsFile;
use list::{Entry, PasswordSlot, fold_name};
pub use opening::Altered;
use opening::Closed;
use penalty::{Attempt, Penalties, Waited};
use restante_core::boundary::{Credentials, Login, LoginError};
use restante_core::delivery::Recipient;
use restante_core::lmtp::Address;
pub use restante_core::lmtp::NoRecipient;
use restante_core::mailbox::{AccountId, Directory};
use restante_core::seal::{self, AccountKeys, SlotKind};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stretch::{Permit, SALT_BYTES, StretchError, Stretcher};

/// Octets of a password that is looked at; longer ones are wrong.
pub const PASSWORD_BYTES_MAX: usize = 4 * 1024;

/// The accounts of a running server.
pub struct Accounts<R> {
    runtime: R,
    file: Arc<AccountsFile>,
    stretcher: Stretcher<R>,
    penalties: Penalties,
    /// Logins that were not even waited with.
    refused: Flood,
    started: Instant,
    /// Stands for every account that does not exist.
    nobody: Entry,
}

/// An account that a password opened.
pub struct Opened {
    /// For the connection.
    pub login: Login,
    /// When storage was put back from a backup ([`Entry::restored_ms`]).
    pub restored_ms: Option<u64>,
}

impl<R: Runtime> Accounts<R> {
    /// Accounts from `file`; `params` is what most of their passwords were set with.
    pub fn new(
        runtime: R,
        file: impl Into<Arc<AccountsFile>>,
        params: Params,
        stretcher: Stretcher<R>,
    ) -> Self {
        let mut random = seed::random();
        let keys = AccountKeys::generate(AccountId(random.bytes()), &mut random);
        let key = random.bytes();
        let slot = PasswordSlot {
            params,
            salt: random.bytes::<SALT_BYTES>().to_vec(),
            wrapped: seal::wrap(&keys, &key, SlotKind::Password, &mut random),
        };
        Self {
            runtime,
            file: file.into(),
            stretcher,
            penalties: Penalties::default(),
            refused: Flood::default(),
            started: Instant::now(),
            nobody: Entry {
                id: keys.account(),
                names: Vec::new(),
                addresses: Vec::new(),
                public_key: keys.public_key(),
                inbox: Some(Directory::inbox(&keys)),
                bucket: None,
                restored_ms: None,
                slots: vec![slot],
            },
        }
    }

    /// Opens an account with a password.
    ///
    /// # Errors
    /// `Invalid` for a name and password that do not belong together; `Unavailable`
    /// when the file cannot be read or too many logins wait; `Altered` for the right password
    /// of an account whose entry in the file is not what its keys say.
    pub async fn login(
        &self,
        credentials: Credentials,
        source: IpAddr,
    ) -> Result<Opened, LoginError> {
        let name = fold_name(&credentials.user);
        let attempt = Attempt {
            source,
            name: &name,
        };
        let mut waited = Waited::default();
        let wait = self.wait(attempt, &mut waited)?;
        if !wait.is_zero() {
            runtime::sleep(&self.runtime, wait).await;
        }
        let file = Arc::clone(&self.file);
        let list = self.runtime.blocking(move || file.read_existing()).await;
        let list = list.map_err(|error| {
            tracing::error!(%error, "the accounts cannot be read");
            LoginError::Unavailable
        })?;
        let entry = list
            .find(&name)
            .filter(|entry| !entry.slots.is_empty())
            .unwrap_or(&self.nobody);
        let mut permit = None;
        let result = self
            .open(entry, &credentials, attempt, waited, &mut permit)
            .await;
        match &result {
            Err(LoginError::Invalid) => self.penalties.failed(attempt, self.now_ms()),
            Ok(login) => {
                self.penalties.succeeded(attempt, self.now_ms());
                if entry.inbox.is_none() {
                    self.note_inbox(&login.keys);
                }
            }
            Err(_) => {}
        }
        // Only now, so that who is let in next knows of this one.
        drop(permit);
        let restored_ms = entry.restored_ms;
        result.map(|login| Opened { login, restored_ms })
    }

    /// How much longer an attempt has to wait.
    fn wait(&self, attempt: Attempt<'_>, waited: &mut Waited) -> Result<Duration, LoginError> {
        let wait = self.penalties.wait(attempt, waited, self.now_ms());
        wait.map_err(|penalty::TooMany| {
            let now = restante_core::time::Instant::default().after(self.started.elapsed());
            if let Some(count) = self.refused.happened(now) {
                tracing::warn!(
                    count,
                    "logins are refused: too many wait behind wrong passwords from their address"
                );
            }
            LoginError::Unavailable
        })
    }

    /// Lets an attempt in whose turn it is, as far as is known by then: of those that come at once, the
    /// first ones have failed when the others are about to be let in.
    async fn admit(
        &self,
        params: &Params,
        attempt: Attempt<'_>,
        waited: &mut Waited,
    ) -> Result<Permit, LoginError> {
        loop {
            let permit = self.stretcher.admit(params).await.map_err(unchecked)?;
            let wait = self.wait(attempt, waited)?;
            if wait.is_zero() {
                return Ok(permit);
            }
            // Nobody waits with what others could use.
            drop(permit);
            runtime::sleep(&self.runtime, wait).await;
        }
    }

    /// Writes down where mail for this account is delivered. The login does not wait for
    /// it; what fails is made good by the next one.
    fn note_inbox(&self, keys: &AccountKeys) {
        let (id, inbox) = (keys.account(), Directory::inbox(keys));
        let (file, runtime) = (Arc::clone(&self.file), self.runtime.clone());
        self.runtime.spawn(async move {
            let noted = runtime.blocking(move || edit::note_inbox(&file, id, inbox));
            if let Err(error) = noted.await {
                tracing::warn!(%error, "where to deliver mail for an account was not noted");
            }
        });
    }

    /// Takes the mark away that an account's storage was put back, unless it is another one by now. What fails
    /// is made good by the first login of the next process.
    pub async fn note_settled(&self, id: AccountId, restored_ms: u64) {
        let file = Arc::clone(&self.file);
        let noted = self
            .runtime
            .blocking(move || edit::note_settled(&file, id, restored_ms));
        if let Err(error) = noted.await {
            tracing::warn!(%error, "the mark of an account whose storage was put back stays");
        }
    }

    /// To whom mail for this address is delivered.
    ///
    /// # Errors
    /// `Unknown` only if nobody has this address for certain.
    pub async fn addressee(
        &self,
        address: Address,
        addresses: Arc<Addresses>,
    ) -> Result<Recipient, NoRecipient> {
        let file = Arc::clone(&self.file);
        let found = self
            .runtime
            .blocking(move || {
                let list = file.read_existing()?;
                Ok::<_, AccountsError>(addresses.find(&list, &address).cloned())
            })
            .await;
        let found = found.map_err(|error| {
            tracing::error!(%error, "the accounts cannot be read");
            NoRecipient::Unavailable
        })?;
        let entry = found.ok_or(NoRecipient::Unknown)?;
        Ok(Recipient {
            account: entry.id,
            public_key: entry.public_key,
            inbox: entry.inbox.ok_or(NoRecipient::NotYet)?,
        })
    }

    /// Opens the account, and leaves in `permit` that of the last password that was stretched for it.
    async fn open(
        &self,
        entry: &Entry,
        credentials: &Credentials,
        attempt: Attempt<'_>,
        mut waited: Waited,
        permit: &mut Option<Permit>,
    ) -> Result<Login, LoginError> {
        if credentials.password.len() > PASSWORD_BYTES_MAX {
            return Err(LoginError::Invalid);
        }
        for slot in &entry.slots {
            let (params, salt) = (slot.params.clone(), slot.salt.clone());
            // Who keeps the last one's would wait for itself.
            drop(permit.take());
            let admitted = self.admit(&params, attempt, &mut waited).await?;
            let guess = Guess {
                accounts: self,
                attempt,
            };
            let stretched = self
                .stretcher
                .stretch(admitted, params, salt, credentials.password.clone())
                .await;
            guess.come_to_end();
            let (stretched, admitted) = stretched.map_err(unchecked)?;
            *permit = Some(admitted);
            match opening::open(entry, slot, &stretched) {
                Ok(keys) => {
                    return Ok(Login {
                        keys: Arc::new(keys),
                    });
                }
                Err(Closed::WrongPassword) => {}
                Err(Closed::Altered(_)) => {
                    tracing::error!(
                        account = %entry.id,
                        file = %self.file.path().display(),
                        "the account's public_key or inbox in the accounts file was altered: logins \
                         are refused, and mail delivered since may be readable to others; \
                         fsck says what the file must say"
                    );
                    return Err(LoginError::Altered);
                }
            }
        }
        Err(LoginError::Invalid)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A password that is being stretched. Whoever goes away before it is known whether it was right has used a processor as
/// much as who guessed wrong, and counts as such.
struct Guess<'a, R: Runtime> {
    accounts: &'a Accounts<R>,
    attempt: Attempt<'a>,
}

impl<R: Runtime> Guess<'_, R> {
    fn come_to_end(self) {
        core::mem::forget(self);
    }
}

impl<R: Runtime> Drop for Guess<'_, R> {
    fn drop(&mut self) {
        let accounts = self.accounts;
        accounts.penalties.failed(self.attempt, accounts.now_ms());
    }
}

fn unchecked(error: StretchError) -> LoginError {
    tracing::warn!(%error, "a password cannot be checked");
    LoginError::Unavailable
}

/// Why the accounts could not be read or changed.
#[derive(Debug)]
pub enum AccountsError {
    /// The file cannot be read or written.
    Io(PathBuf, io::Error),
    /// The file makes no sense: why.
    Format(PathBuf, String),
    /// There is an account of this name already.
    Exists(String),
    /// There is no account of this name.
    Unknown(String),
    /// This cannot be a name: why.
    Name(&'static str),
    /// The account's present password is another one.
    WrongPassword,
    /// The entry of this account in the file is not what its keys say.
    Altered(PathBuf, String, Altered),
    /// The password cannot be stretched.
    Stretch(stretch::StretchError),
}

impl fmt::Display for AccountsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Format(file, reason) => write!(f, "{}: {reason}", file.display()),
            Self::Exists(name) => write!(f, "there is an account {name:?} already"),
            Self::Unknown(name) => write!(f, "there is no account {name:?}"),
            Self::Name(reason) => f.write_str(reason),
            Self::Altered(file, name, line) => write!(
                f,
                "{}: the entry of {name:?} was altered, and mail delivered since may be readable \
                 to others; it must have the line: {line}",
                file.display()
            ),
            Self::Stretch(error) => error.fmt(f),
            Self::WrongPassword => f.write_str("the present password is another one"),
        }
    }
}

impl std::error::Error for AccountsError {}
