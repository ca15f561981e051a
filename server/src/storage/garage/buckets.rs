//! Which bucket an account's mail is in, and the key that opens it.
//!
//! Keys of objects and partitions begin with the account's id. An account whose entry
//! names no bucket of its own is in the default one, and so is what belongs to no account
//! (partitions that begin with `!`). An account without an entry has no bucket at all: its
//! entry may have named one.

use super::failure::Failure;
use crate::accounts::file::AccountsFile;
use crate::accounts::list::{AccountList, Entry};
use crate::runtime::Runtime;
use crate::secret::Secret;
use crate::storage::BoxFuture;
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::identity::Identity;
use core::fmt;
use restante_core::mailbox::AccountId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bucket and the key that opens it.
pub(super) struct Bucket {
    /// Its name.
    pub(super) name: String,
    /// For the S3 SDK.
    pub(super) credentials: Credentials,
    /// The same, for the signer.
    pub(super) identity: Identity,
}

impl Bucket {
    pub(super) fn new(name: String, key_id: &str, secret: &Secret) -> Self {
        let credentials = Credentials::new(key_id, secret.reveal(), None, None, "restante");
        Self {
            name,
            identity: Identity::from(credentials.clone()),
            credentials,
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.name)
    }
}

/// Where to look up accounts that are not known yet.
type Read = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<AccountList>, String>> + Send + Sync>;

/// The buckets of all accounts.
pub(super) struct Buckets {
    default: Arc<Bucket>,
    accounts: Option<(Arc<AccountsFile>, Read)>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The list that the buckets were taken from.
    list: Option<Arc<AccountList>>,
    /// Every account of it, with its own bucket if it has one.
    buckets: BTreeMap<AccountId, Option<Arc<Bucket>>>,
}

impl Buckets {
    /// Every account in one bucket.
    pub(super) fn one(default: Bucket) -> Self {
        Self {
            default: Arc::new(default),
            accounts: None,
            known: Mutex::default(),
        }
    }

    /// Accounts in the buckets that `file` names, and otherwise in `default`.
    pub(super) fn of_accounts<R: Runtime>(
        default: Bucket,
        runtime: R,
        file: Arc<AccountsFile>,
    ) -> Self {
        let accounts = Arc::clone(&file);
        let read: Read = Box::new(move || {
            let file = Arc::clone(&accounts);
            let read = runtime.blocking(move || file.read());
            Box::pin(async move { read.await.map_err(|error| error.to_string()) })
        });
        Self {
            accounts: Some((file, read)),
            ..Self::one(default)
        }
    }

    /// The bucket for what belongs to no account.
    pub(super) fn default(&self) -> &Arc<Bucket> {
        &self.default
    }

    /// The bucket of an object or partition; `Unavailable` when the account of it is in no list.
    pub(super) async fn of(&self, key: &str) -> Result<Arc<Bucket>, Failure> {
        let Some(account) = account(key) else {
            return Ok(Arc::clone(&self.default));
        };
        let Some((file, _)) = &self.accounts else {
            return Ok(Arc::clone(&self.default));
        };
        if let Some(list) = file.last() {
            self.lock().take(&list);
        }
        if let Some(bucket) = self.listed(&account) {
            return Ok(bucket);
        }
        self.refresh().await?;
        self.listed(&account).ok_or_else(|| {
            Failure::Unavailable(format!("account {account} is not in the accounts file"))
        })
    }

    /// The bucket of an account that the list has.
    fn listed(&self, account: &AccountId) -> Option<Arc<Bucket>> {
        let known = self.lock();
        let own = known.buckets.get(account)?;
        Some(Arc::clone(own.as_ref().unwrap_or(&self.default)))
    }

    /// Reads the accounts again, if they changed. Mail of an account must never land in
    /// two buckets, so nothing goes on without them.
    pub(super) async fn refresh(&self) -> Result<(), Failure> {
        let Some((_, read)) = &self.accounts else {
            return Ok(());
        };
        let list = read().await.map_err(|error| {
            Failure::Unavailable(format!("which bucket an account has is not known: {error}"))
        })?;
        self.lock().take(&list);
        Ok(())
    }

    /// Every bucket that is known, each once.
    pub(super) fn all(&self) -> Vec<Arc<Bucket>> {
        let mut all = BTreeMap::from([(self.default.name.clone(), Arc::clone(&self.default))]);
        for bucket in self.lock().buckets.values().flatten() {
            all.entry(bucket.name.clone())
                .or_insert_with(|| Arc::clone(bucket));
        }
        all.into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Takes the buckets from a list, unless it is the same one as before.
    fn take(&mut self, list: &Arc<AccountList>) {
        if self
            .list
            .as_ref()
            .is_some_and(|same| Arc::ptr_eq(same, list))
        {
            return;
        }
        let of_entry = |entry: &Entry| {
            let own = entry
                .bucket
                .as_ref()
                .map(|own| Arc::new(Bucket::new(own.name.clone(), &own.key_id, &own.secret)));
            (entry.id, own)
        };
        self.buckets = list.entries().iter().map(of_entry).collect();
        self.list = Some(Arc::clone(list));
    }
}

/// The account that a key begins with.
pub(super) fn account(key: &str) -> Option<AccountId> {
    let (id, _) = key.split_once('/')?;
    if id.len() != 32
        || !id
            .bytes()
            .all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    let number = u128::from_str_radix(id, 16).ok()?;
    Some(AccountId(number.to_be_bytes()))
}
