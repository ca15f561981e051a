//! The configuration file: TOML, every key known, documented in `docs/restante.toml`.
//!
//! [`Config::load`] gives a configuration that makes sense as a whole, or an error that
//! names the file and the key.

mod delivery;
mod service;
mod web;

use crate::autodiscovery::limits::HttpLimits;
use crate::secret::Secret;
use crate::storage::garage::{GarageConfig, GarageLimits};
pub use delivery::Delivery;
use restante_core::config::Config as CoreConfig;
use serde::Deserialize;
pub use service::{Mode, ServiceAddress, ServiceListener};
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use web::{Autodiscovery, Public};

/// Where Garage's S3 interface is unless told otherwise: as in Garage's own guide.
const GARAGE_S3: &str = "http://127.0.0.1:3900";
/// Where Garage's K2V interface is.
const GARAGE_K2V: &str = "http://127.0.0.1:3904";
/// Garage's region.
const GARAGE_REGION: &str = "garage";

/// A server's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen for IMAP.
    pub imap: Vec<Listener>,
    /// Where to listen for LMTP.
    #[serde(default)]
    pub lmtp: Vec<ServiceListener>,
    /// Where other services have passwords checked.
    #[serde(default)]
    pub auth: Vec<ServiceListener>,
    /// Whose mail is whose.
    #[serde(default)]
    pub delivery: Delivery,
    /// Where to listen for HTTP.
    #[serde(default)]
    pub http: Vec<Listener>,
    /// What mail clients are told over HTTP.
    #[serde(default)]
    pub autodiscovery: Autodiscovery,
    /// Certificate and key, if any listener speaks TLS.
    pub tls: Option<Tls>,
    /// Where mail is kept.
    pub storage: Storage,
    /// Who may log in.
    pub accounts: AccountsFile,
    /// How passwords are stretched.
    #[serde(default)]
    pub argon2: Argon2,
    /// Limits that an operator may want to change.
    #[serde(default)]
    pub limits: Limits,
    /// The log.
    #[serde(default)]
    pub log: Log,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address and port.
    pub address: SocketAddr,
    /// How TLS begins.
    pub tls: TlsMode,
}

/// How TLS begins on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Never.
    None,
    /// With the command STARTTLS (RFC 3501 §6.2.1).
    StartTls,
    /// With the first byte (RFC 8314 §3.2).
    Implicit,
}

/// The server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file: the server's certificate, then intermediate ones.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

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

/// Who may log in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsFile {
    /// The accounts file.
    pub file: PathBuf,
}

/// How passwords are stretched (Argon2id, RFC 9106).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Argon2 {
    /// KiB of memory for one login.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Octets of memory for all logins that are being checked at once.
    pub checking_bytes_max: usize,
    /// Logins that wait for that memory.
    pub waiting_max: usize,
}

impl Default for Argon2 {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
            checking_bytes_max: 64 * 1024 * 1024,
            waiting_max: 1_024,
        }
    }
}

/// Limits that an operator may want to change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Octets of one message.
    pub message_bytes_max: u64,
    /// Mailboxes of one account.
    pub mailboxes_max: usize,
    /// Messages of one mailbox.
    pub messages_max: usize,
    /// Connections of all clients together.
    pub connections_max: usize,
    /// Threads that serve connections; `0`: as many as suit the storage.
    pub threads: usize,
    /// Connections of one account.
    pub connections_per_account_max: usize,
    /// Recipients of one LMTP transaction.
    pub lmtp_recipients_max: usize,
    /// Copies of messages that are being stored at once, for all recipients of all LMTP
    /// connections together.
    pub lmtp_copies_max: usize,
    /// HTTP connections of all clients together.
    pub http_connections_max: usize,
    /// Seconds a part of an HTTP request may take to come.
    pub http_timeout_s: u64,
    /// Seconds a connection may take to log in.
    pub login_timeout_s: u64,
    /// Seconds an authenticated connection may be silent.
    pub inactivity_timeout_s: u64,
    /// Seconds between two signs of life in IDLE.
    pub keep_alive_interval_s: u64,
    /// Seconds that commits may take when the server stops.
    pub shutdown_timeout_s: u64,
    /// Whether passwords may come without TLS from other machines.
    pub plaintext_login: bool,
    /// Days that expunged messages and deleted mailboxes can be brought back.
    pub undelete_retention_days: u32,
}

/// A day.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What `limits.undelete_retention_days` is where it is not said.
const UNDELETE_RETENTION_DAYS: u32 = 14;

/// What `limits.lmtp_copies_max` is where it is not said.
const LMTP_COPIES_MAX: usize = 128;

impl Default for Limits {
    fn default() -> Self {
        let core = CoreConfig::default();
        let http = HttpLimits::default();
        Self {
            message_bytes_max: core.message_bytes_max,
            mailboxes_max: core.mailboxes_max,
            messages_max: core.messages_max,
            connections_max: 10_000,
            threads: 0,
            connections_per_account_max: 50,
            lmtp_recipients_max: core.lmtp_recipients_max,
            lmtp_copies_max: LMTP_COPIES_MAX,
            http_connections_max: http.connections_max,
            http_timeout_s: http.request_timeout.as_secs(),
            login_timeout_s: core.login_timeout.as_secs(),
            inactivity_timeout_s: core.inactivity_timeout.as_secs(),
            keep_alive_interval_s: core.keep_alive_interval.as_secs(),
            shutdown_timeout_s: 10,
            plaintext_login: core.plaintext_login,
            undelete_retention_days: UNDELETE_RETENTION_DAYS,
        }
    }
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or directives by module.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, has an unknown key, or makes no sense.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let fail = |reason: String| ConfigError {
            file: file.to_owned(),
            reason,
        };
        let text = fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
        let mut config = Self::parse(&text).map_err(fail)?;
        config.resolve(file.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// The configuration that `text` describes; the error names the key.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self =
            toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        config.check()?;
        Ok(config)
    }

    /// How many threads serve connections, on a machine with so many cores. Where Garage is
    /// on the same machine it needs as much as all its clients, and requests that are
    /// handed from thread to thread take longer than those that are not.
    #[must_use]
    pub fn threads(&self, cores: usize) -> usize {
        let suitable = match self.storage.kind {
            StorageKind::Embedded => cores,
            StorageKind::Garage => cores / 2,
        };
        match self.limits.threads {
            0 => suitable.max(1),
            threads => threads,
        }
    }

    /// The limits of the core for connections that come in by `listener`.
    #[must_use]
    pub fn core(&self, listener: &Listener) -> CoreConfig {
        let limits = &self.limits;
        CoreConfig {
            message_bytes_max: limits.message_bytes_max,
            mailboxes_max: limits.mailboxes_max,
            messages_max: limits.messages_max,
            login_timeout: Duration::from_secs(limits.login_timeout_s),
            inactivity_timeout: Duration::from_secs(limits.inactivity_timeout_s),
            keep_alive_interval: Duration::from_secs(limits.keep_alive_interval_s),
            plaintext_login: limits.plaintext_login,
            starttls: listener.tls == TlsMode::StartTls,
            shared_storage: self.storage.kind == StorageKind::Garage,
            undelete_retention: DAY * limits.undelete_retention_days,
            ..CoreConfig::default()
        }
    }

    /// The limits of the core for connections that come in by LMTP.
    #[must_use]
    pub fn core_for_lmtp(&self) -> CoreConfig {
        CoreConfig {
            message_bytes_max: self.limits.message_bytes_max,
            lmtp_recipients_max: self.limits.lmtp_recipients_max,
            lmtp_host: self.delivery.host(),
            ..CoreConfig::default()
        }
    }

    /// Makes relative paths count from `folder`.
    fn resolve(&mut self, folder: &Path) {
        let tls = self
            .tls
            .iter_mut()
            .flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        for path in tls
            .chain(&mut self.storage.folder)
            .chain(&mut self.storage.secret_file)
            .chain(&mut self.storage.ca)
            .chain([&mut self.accounts.file])
        {
            *path = folder.join(&path);
        }
        for listener in self.lmtp.iter_mut().chain(&mut self.auth) {
            listener.resolve(folder);
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.imap.is_empty() {
            return Err("imap: at least one [[imap]] section is needed".to_owned());
        }
        for listener in &self.imap {
            if listener.tls != TlsMode::None && self.tls.is_none() {
                return Err(format!(
                    "imap.tls: the listener on {} needs a certificate, but there is no [tls] section",
                    listener.address
                ));
            }
        }
        for (section, listeners) in [("lmtp", &self.lmtp), ("auth", &self.auth)] {
            for listener in listeners {
                listener.check(section)?;
            }
        }
        self.delivery.check()?;
        self.check_web()?;
        self.storage.check()?;
        self.argon2.check()?;
        self.limits.check()
    }
}

impl Storage {
    fn check(&self) -> Result<(), String> {
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

impl Argon2 {
    fn check(&self) -> Result<(), String> {
        self.params()?;
        if self.checking_bytes_max < self.memory_kib as usize * 1024 {
            return Err(format!(
                "argon2.checking_bytes_max: {} octets are too few for one login of {} KiB",
                self.checking_bytes_max, self.memory_kib
            ));
        }
        Ok(())
    }

    /// The parameters for new passwords.
    ///
    /// # Errors
    /// When Argon2 cannot work with them.
    pub fn params(&self) -> Result<argon2::Params, String> {
        argon2::Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|error| format!("argon2: {error}"))
    }
}

impl Limits {
    fn check(&self) -> Result<(), String> {
        let positive = [
            ("message_bytes_max", self.message_bytes_max),
            ("mailboxes_max", self.mailboxes_max as u64),
            ("messages_max", self.messages_max as u64),
            ("connections_max", self.connections_max as u64),
            (
                "connections_per_account_max",
                self.connections_per_account_max as u64,
            ),
            ("lmtp_recipients_max", self.lmtp_recipients_max as u64),
            ("http_connections_max", self.http_connections_max as u64),
            ("http_timeout_s", self.http_timeout_s),
            ("login_timeout_s", self.login_timeout_s),
            ("keep_alive_interval_s", self.keep_alive_interval_s),
            (
                "undelete_retention_days",
                u64::from(self.undelete_retention_days),
            ),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(format!("limits.{key}: must not be 0"));
            }
        }
        if self.lmtp_copies_max < self.lmtp_recipients_max {
            return Err(format!(
                "limits.lmtp_copies_max: {} are too few for one message to {} recipients",
                self.lmtp_copies_max, self.lmtp_recipients_max
            ));
        }
        // RFC 3501 §5.4
        if self.inactivity_timeout_s < 1_800 {
            return Err(format!(
                "limits.inactivity_timeout_s: {} is less than the 1800 seconds of RFC 3501",
                self.inactivity_timeout_s
            ));
        }
        Ok(())
    }
}

/// Why a configuration file cannot be used.
#[derive(Debug)]
pub struct ConfigError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong, with the key.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/restante.toml");
    const LEAST: &str = "imap = [{ address = '127.0.0.1:143', tls = 'none' }]\n\
        storage = { kind = 'embedded', folder = 's' }\naccounts = { file = 'a' }\n";

    /// The example with every `#key = value` line in effect.
    fn uncommented() -> String {
        let mut defaults = 0;
        let text: String = EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => {
                    defaults += 1;
                    format!("{rest}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(defaults, 40, "a default of the example is not looked at");
        text
    }

    #[test]
    fn threads_suit_the_storage_unless_they_are_given() {
        let mut config = Config::parse(LEAST).unwrap();
        let threads = |config: &Config| [1, 2, 8].map(|cores| config.threads(cores));
        assert_eq!(threads(&config), [1, 2, 8]);
        config.storage.kind = StorageKind::Garage;
        assert_eq!(threads(&config), [1, 1, 4]);
        config.limits.threads = 3;
        assert_eq!(threads(&config), [3, 3, 3]);
    }

    #[test]
    fn example_shows_the_defaults() {
        let example = Config::parse(EXAMPLE).unwrap();
        assert_eq!(example, Config::parse(&uncommented()).unwrap());
        assert_eq!(example.argon2, Argon2::default());
        assert_eq!(example.limits, Limits::default());
        assert_eq!(example.delivery, Delivery::default());
        assert_eq!(example.autodiscovery, Autodiscovery::default());
        assert_eq!(example.storage.limits, GarageLimits::default());
        assert_eq!(example.log, Log::default());
    }

    #[test]
    fn example_names_every_key() {
        let shown: toml::Table = uncommented().parse().unwrap();
        let keys = |section: &str| shown[section].as_table().unwrap().len();
        assert_eq!(keys("argon2"), 5);
        assert_eq!(keys("limits"), 16);
        assert_eq!(keys("delivery"), 2);
        assert_eq!(keys("autodiscovery"), 2);
        assert_eq!(keys("log"), 2);
        let limits = shown["storage"]["limits"].as_table().unwrap();
        assert_eq!(limits.len(), 13);
    }

    #[test]
    fn least_configuration_is_enough() {
        let config = Config::parse(LEAST).unwrap();
        assert_eq!(config.core(&config.imap[0]), CoreConfig::default());
    }

    #[test]
    fn paths_count_from_the_folder_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("restante.toml");
        fs::write(&file, LEAST).unwrap();
        let config = Config::load(&file).unwrap();
        assert_eq!(config.accounts.file, folder.path().join("a"));
        assert_eq!(config.storage.folder, Some(folder.path().join("s")));
    }

    #[test]
    fn garage_needs_a_bucket_and_a_key_and_the_rest_is_as_in_its_guide() {
        let garage = "'garage', bucket = 'b', key_id = 'k', secret_file = 'f'";
        let text = LEAST.replace("'embedded', folder = 's'", garage);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("restante.toml");
        fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        let error = config.storage.garage().unwrap_err();
        assert!(error.contains("storage.secret_file"), "{error}");
        fs::write(folder.path().join("f"), "s3cr3t\n").unwrap();
        let garage = config.storage.garage().unwrap();
        assert_eq!(garage.secret.reveal(), "s3cr3t");
        assert!(!format!("{garage:?}").contains("s3cr3t"));
        assert_eq!(garage.s3, "http://127.0.0.1:3900");
        // And the example says the same.
        for default in [&garage.s3, &garage.k2v, &garage.region] {
            assert!(EXAMPLE.contains(&format!("= \"{default}\"")), "{default}");
        }
    }

    #[test]
    fn errors_name_the_key() {
        for (change, key) in [
            ("[limits]\nmesage_bytes_max = 1", "mesage_bytes_max"),
            (
                "[limits]\nmessage_bytes_max = 0",
                "limits.message_bytes_max",
            ),
            (
                "[limits]\ninactivity_timeout_s = 60",
                "limits.inactivity_timeout_s",
            ),
            ("[argon2]\nmemory_kib = 1", "argon2"),
            (
                "[argon2]\nchecking_bytes_max = 1",
                "argon2.checking_bytes_max",
            ),
            ("[log]\nformat = 'xml'", "format"),
        ] {
            let error = Config::parse(&format!("{LEAST}{change}")).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
        for (from, to, key) in [
            ("'none'", "'implicit'", "imap.tls"),
            ("'embedded'", "'garage'", "storage.folder"),
            (
                "folder = 's'",
                "folder = 's', bucket = 'b'",
                "storage.bucket",
            ),
            ("'embedded', folder = 's'", "'garage'", "storage.bucket"),
            (
                "'embedded', folder = 's'",
                "'garage', bucket = 'b', key_id = 'k'",
                "storage.secret_file",
            ),
            (
                "'embedded', folder = 's'",
                "'garage', bucket = 'b', key_id = 'k', secret = 's', secret_file = 'f'",
                "storage.secret_file",
            ),
            (
                "'embedded', folder = 's'",
                "'garage', bucket = 'b', key_id = 'k', secret = 's', limits = { requests_max = 0 }",
                "storage.limits.requests_max",
            ),
            (", folder = 's'", "", "storage.folder"),
            ("127.0.0.1:143", "localhost", "address"),
            (
                "[{ address = '127.0.0.1:143', tls = 'none' }]",
                "[]",
                "imap",
            ),
        ] {
            let error = Config::parse(&LEAST.replace(from, to)).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }
}
