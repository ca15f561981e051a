//! The part of the configuration that says where mail is kept.

use crate::secret::Secret;
use crate::storage::garage::{GarageConfig, GarageLimits};
use serde::Deserialize;
use std::path::PathBuf;

/// Where Garage's S3 interface is unless told otherwise: as in Garage's own guide.
const GARAGE_S3: &str = "http://127.0.0.1:3900";
/// Where Garage's K2V interface is.
const GARAGE_K2V: &str = "http://127.0.0.1:3904";
/// Garage's region.
const GARAGE_REGION: &str = "garage";

/// Where mail is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Which backend.
    pub kind: StorageKind,
    /// The folder of the embedded backend.
    pub folder: Option<PathBuf>,
    /// URL of Garage's S3 interface.
    pub s3: Option<String>,
    /// URL of Garage's K2V interface.
    pub k2v: Option<String>,
    /// The region that Garage was configured with.
    pub region: Option<String>,
    /// The bucket of all accounts whose entry names none.
    pub bucket: Option<String>,
    /// The key that opens it.
    pub key_id: Option<String>,
    /// The key's secret.
    pub secret: Option<Secret>,
    /// A file that holds the secret, instead of `secret`.
    pub secret_file: Option<PathBuf>,
    /// PEM file: whose certificates are trusted for `https`.
    pub ca: Option<PathBuf>,
    /// What requests to Garage may take.
    #[serde(default)]
    pub limits: GarageLimits,
}

/// A storage backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// A folder on this machine.
    Embedded,
    /// A Garage cluster.
    Garage,
}

impl Storage {
    pub(super) fn check(&self) -> Result<(), String> {
        let garage = [
            ("s3", self.s3.is_some()),
            ("k2v", self.k2v.is_some()),
            ("region", self.region.is_some()),
            ("bucket", self.bucket.is_some()),
            ("key_id", self.key_id.is_some()),
            ("secret", self.secret.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("ca", self.ca.is_some()),
        ];
        match self.kind {
            StorageKind::Embedded => {
                if self.folder.is_none() {
                    return Err("storage.folder: the embedded storage needs a folder".to_owned());
                }
                match garage.iter().find(|(_, given)| *given) {
                    Some((key, _)) => Err(format!("storage.{key}: only for kind = \"garage\"")),
                    None => Ok(()),
                }
            }
            StorageKind::Garage => {
                if self.folder.is_some() {
                    return Err("storage.folder: only for kind = \"embedded\"".to_owned());
                }
                if self.secret.is_some() && self.secret_file.is_some() {
                    return Err("storage.secret_file: there is a secret already".to_owned());
                }
                for (key, given) in [
                    ("bucket", self.bucket.is_some()),
                    ("key_id", self.key_id.is_some()),
                    (
                        "secret_file",
                        self.secret.is_some() || self.secret_file.is_some(),
                    ),
                ] {
                    if !given {
                        return Err(format!("storage.{key}: Garage cannot be used without"));
                    }
                }
                self.limits.check()
            }
        }
    }

    /// How to get into Garage; reads the file with the secret.
    ///
    /// # Errors
    /// When that file cannot be read or is empty, or a key is missing.
    pub fn garage(&self) -> Result<GarageConfig, String> {
        self.check()?;
        let secret = match (&self.secret, &self.secret_file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(file)) => {
                Secret::read(file).map_err(|why| format!("storage.secret_file: {why}"))?
            }
            (None, None) => return Err("storage.secret_file: there is none".to_owned()),
        };
        let or = |value: &Option<String>, default: &str| {
            value.clone().unwrap_or_else(|| default.to_owned())
        };
        Ok(GarageConfig {
            s3: or(&self.s3, GARAGE_S3),
            k2v: or(&self.k2v, GARAGE_K2V),
            region: or(&self.region, GARAGE_REGION),
            bucket: or(&self.bucket, ""),
            key_id: or(&self.key_id, ""),
            secret,
            ca: self.ca.clone(),
            limits: self.limits.clone(),
        })
    }
}
