//! Opening Garage: the configuration, the first look whether it makes sense, and what
//! goes on in the background.

use super::buckets::{Bucket, Buckets, account};
use super::failure::Failure;
use super::http::{Address, Dialer, Http, tls_config};
use super::items::Items;
use super::limits::GarageLimits;
use super::objects::Objects;
use super::retry::Retry;
use super::upload::Spawn;
use super::{Garage, Shared};
use crate::accounts::file::AccountsFile;
use crate::runtime::{self, Runtime};
use crate::secret::Secret;
use crate::storage::Sleeper;
use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

/// How often connections that wait are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Where Garage is and how to get in.
#[derive(Clone, Debug)]
pub struct GarageConfig {
    /// URL of the S3 interface.
    pub s3: String,
    /// URL of the K2V interface.
    pub k2v: String,
    /// The region that Garage was configured with.
    pub region: String,
    /// The bucket of all accounts that have none of their own.
    pub bucket: String,
    /// The key that opens it.
    pub key_id: String,
    /// The key's secret.
    pub secret: Secret,
    /// PEM file with the certificates that are trusted for `https`, instead of those that
    /// the system trusts.
    pub ca: Option<PathBuf>,
    /// What requests may take.
    pub limits: GarageLimits,
}

/// Why Garage cannot be used. The text names the key of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError(String);

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}

impl Garage {
    /// Opens Garage, with the accounts in `accounts` in the buckets that their entries
    /// name.
    ///
    /// A Garage that does not answer yet is waited for by whoever needs it, so that both
    /// may be started in any order.
    ///
    /// # Errors
    /// When an address or a certificate makes no sense, or Garage refuses the key or has
    /// no such bucket.
    pub async fn open<R: Runtime>(
        runtime: R,
        config: GarageConfig,
        accounts: Option<Arc<AccountsFile>>,
    ) -> Result<Self, OpenError> {
        let GarageConfig { region, limits, .. } = &config;
        let sleeper = sleeper(&runtime);
        let s3 = connect(&runtime, &config, "s3", &config.s3)?;
        let k2v = connect(&runtime, &config, "k2v", &config.k2v)?;
        let retry = Arc::new(Retry::new(limits, sleeper));
        let bucket = Bucket::new(config.bucket.clone(), &config.key_id, &config.secret);
        let buckets = match accounts {
            Some(file) => Buckets::of_accounts(bucket, runtime.clone(), file),
            None => Buckets::one(bucket),
        };
        let spawner = runtime.clone();
        let spawn: Spawn = Arc::new(move |work| spawner.spawn(work));
        let shared = Arc::new(Shared {
            objects: Objects::new(s3, region, limits, Arc::clone(&retry)),
            items: Items::new(k2v, region, retry),
            buckets,
            spawn,
        });
        shared.check().await?;
        runtime.spawn(sweep_connections(runtime.clone(), Arc::downgrade(&shared)));
        let age = limits.upload_age_max();
        runtime.spawn(sweep_uploads(runtime.clone(), Arc::downgrade(&shared), age));
        Ok(Self { shared })
    }
}

fn sleeper<R: Runtime>(runtime: &R) -> Sleeper {
    let runtime = runtime.clone();
    Arc::new(move |duration| {
        let runtime = runtime.clone();
        Box::pin(async move { runtime::sleep(&runtime, duration).await })
    })
}

fn connect<R: Runtime>(
    runtime: &R,
    config: &GarageConfig,
    key: &'static str,
    url: &str,
) -> Result<Http, OpenError> {
    let named = |why: String| OpenError(format!("storage.{key}: {why}"));
    let address = Address::parse(url).map_err(named)?;
    let roots = match address.is_tls() {
        true => Some(
            tls_config(config.ca.as_deref())
                .map_err(|why| OpenError(format!("storage.ca: {why}")))?,
        ),
        false => None,
    };
    let timeout = config.limits.connect_timeout();
    let dialer = Dialer::new(runtime.clone(), address.clone(), roots.as_ref(), timeout);
    let dialer = dialer.map_err(named)?;
    let http = Http::new(key, address, dialer, &config.limits, sleeper(runtime));
    let (http, watch) = http.map_err(named)?;
    runtime.spawn(watch);
    Ok(http)
}

impl Shared {
    /// Asks both interfaces for something that needs the key and the bucket, and the right to write.
    async fn check(&self) -> Result<(), OpenError> {
        let bucket = Arc::clone(self.buckets.default());
        judge("s3", &bucket, self.objects.check(&bucket).await)?;
        judge("k2v", &bucket, self.items.check(&bucket).await)
    }
}

/// Refuses what will not get better by itself.
fn judge(
    interface: &'static str,
    bucket: &Bucket,
    result: Result<(), Failure>,
) -> Result<(), OpenError> {
    let name = &bucket.name;
    let text = match result {
        Ok(()) => return Ok(()),
        // Later that may be a proxy whose Garage starts again. Now it is more likely a wrong address.
        Err(Failure::Unavailable(why)) if why.starts_with("404") => why,
        Err(failure @ (Failure::Unavailable(_) | Failure::Open(_))) => {
            tracing::warn!(
                reason = %failure,
                "storage.{interface}: Garage does not answer yet; going on without"
            );
            return Ok(());
        }
        Err(failure) => failure.to_string(),
    };
    Err(OpenError(if text.contains("NoSuchBucket") {
        format!("storage.bucket: Garage has no bucket {name:?} ({text})")
    } else if text.contains("scope") {
        format!("storage.region: Garage has another one ({text})")
    } else if text.contains("not allowed for this key") {
        let key_id = bucket.credentials.access_key_id();
        format!(
            "storage.key_id: this key may not read and write the bucket {name:?}; \
             `garage bucket allow --read --write {name} --key {key_id}` allows it ({text})"
        )
    } else if text.starts_with("403") {
        format!(
            "storage.key_id, storage.secret: Garage refuses this key for the bucket {name:?} ({text})"
        )
    } else {
        format!("storage.{interface}: this is not Garage's {interface} interface ({text})")
    }))
}

/// Closes connections that have waited too long, as long as the storage is there.
async fn sweep_connections<R: Runtime>(runtime: R, shared: Weak<Shared>) {
    loop {
        runtime::sleep(&runtime, SWEEP_INTERVAL).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        shared.objects.http().sweep();
        shared.items.http().sweep();
    }
}

/// Aborts uploads that a crash left behind, of this process or of another: now, and again
/// and again, since those of a process that was started again at once are too young yet.
async fn sweep_uploads<R: Runtime>(runtime: R, shared: Weak<Shared>, age_max: Duration) {
    loop {
        let buckets = match shared.upgrade() {
            Some(shared) => {
                if let Err(failure) = shared.buckets.refresh().await {
                    tracing::debug!(%failure, "only the default bucket is swept");
                }
                shared.buckets.all()
            }
            None => return,
        };
        for bucket in buckets {
            sweep_bucket(&shared, &bucket, age_max).await;
        }
        runtime::sleep(&runtime, age_max).await;
    }
}

/// Aborts the uploads of accounts in one bucket that are older than `age_max`.
async fn sweep_bucket(shared: &Weak<Shared>, bucket: &Bucket, age_max: Duration) {
    let mut after = None;
    loop {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let page = shared.objects.old_uploads(bucket, age_max, after).await;
        let (old, next) = match page {
            Ok(page) => page,
            Err(failure) => {
                tracing::debug!(%failure, ?bucket, "old uploads were not looked for");
                return;
            }
        };
        // Others may keep things in the same bucket.
        for (key, upload) in old.into_iter().filter(|(key, _)| account(key).is_some()) {
            match shared.objects.abort(bucket, &key, &upload).await {
                Ok(()) => tracing::info!(key, "removed an upload that was not finished"),
                Err(failure) => tracing::debug!(%failure, key, "an old upload stays"),
            }
        }
        after = next;
        if after.is_none() {
            return;
        }
    }
}
