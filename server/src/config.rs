//! The configuration file: TOML, every key known, documented in `docs/restante.toml`.
//!
//! [`Config::load`] gives a configuration that makes sense as a whole, or an error that
//! names the file and the key.

mod argon2;
mod delivery;
mod limits;
mod service;
mod storage;
mod web;

use crate::toml_file;
pub use argon2::Argon2;
pub use delivery::Delivery;
pub use limits::Limits;
use restante_core::config::Config as CoreConfig;
use serde::Deserialize;
pub use service::{Mode, ServiceAddress, ServiceListener};
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use storage::{Storage, StorageKind};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
pub use web::{Autodiscovery, Public};

/// A day.
const DAY: Duration = Duration::from_secs(24 * 3_600);

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

/// Who may log in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsFile {
    /// The accounts file.
    pub file: PathBuf,
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

impl Log {
    /// What is logged: `level`, understood.
    ///
    /// # Errors
    /// When a part of it is neither a level nor `module=level`. `EnvFilter` itself takes any other
    /// word, like `warning`, for the name of a module, and logs nothing else from then on.
    pub fn filter(&self) -> Result<EnvFilter, String> {
        let fail = |part: &str, why: &str| Err(format!("log.level: {part:?} {why}"));
        for part in self.level.split(',') {
            match part.split_once(['=', '[']) {
                Some((module, _)) if !module.bytes().all(of_module) => {
                    return fail(part, "does not begin with the name of a module");
                }
                Some(_) => {}
                None if part.is_empty() || part.parse::<LevelFilter>().is_err() => {
                    let levels = "is no level: off, error, warn, info, debug or trace";
                    return fail(part, levels);
                }
                None => {}
            }
        }
        EnvFilter::builder()
            .parse(&self.level)
            .map_err(|error| format!("log.level: {:?}: {error}", self.level))
    }
}

/// Whether the name of a module can have this octet.
fn of_module(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"_:".contains(&octet)
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
        let config: Self = toml_file::parse(text)?;
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
        CoreConfig {
            starttls: listener.tls == TlsMode::StartTls,
            ..self.core_for_accounts()
        }
    }

    /// The limits of the core for accounts, whoever asks for them.
    #[must_use]
    pub fn core_for_accounts(&self) -> CoreConfig {
        let limits = &self.limits;
        CoreConfig {
            message_bytes_max: limits.message_bytes_max,
            mailboxes_max: limits.mailboxes_max,
            messages_max: limits.messages_max,
            login_timeout: Duration::from_secs(limits.login_timeout_s),
            inactivity_timeout: Duration::from_secs(limits.inactivity_timeout_s),
            keep_alive_interval: Duration::from_secs(limits.keep_alive_interval_s),
            plaintext_login: limits.plaintext_login,
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
        self.log.filter()?;
        self.limits.check()
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
    use crate::storage::garage::GarageLimits;

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
        assert_eq!(defaults, 41, "a default of the example is not looked at");
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
        assert_eq!(keys("limits"), 17);
        assert_eq!(keys("delivery"), 2);
        assert_eq!(keys("autodiscovery"), 2);
        assert_eq!(keys("log"), 2);
        let limits = shown["storage"]["limits"].as_table().unwrap();
        assert_eq!(limits.len(), 13);
    }

    #[test]
    fn storage_is_shared_whether_or_not_somebody_listens_for_imap() {
        let mut config = Config::parse(LEAST).unwrap();
        config.storage.kind = StorageKind::Garage;
        config.imap.clear();
        assert!(config.core_for_accounts().shared_storage);
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
    fn errors_show_no_secret() {
        for secret in ["'s3cr3t", "s3cr3t", "['s3cr3t']", "{ s = 's3cr3t' }"] {
            let garage = "kind = 'garage'\nbucket = 'b'\nkey_id = 'k'";
            let text = format!(
                "imap = [{{ address = '127.0.0.1:143', tls = 'none' }}]\n\
                 accounts = {{ file = 'a' }}\n[storage]\n{garage}\nsecret = {secret}\n"
            );
            let error = Config::parse(&text).unwrap_err();
            assert!(error.contains("line 7"), "{error}");
            assert!(!error.contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn levels_of_the_log() {
        for level in [
            "info",
            "WARN",
            "off",
            "info,restante_core=debug",
            "restante_server::driver=trace",
            "warn,[connection{id=7}]=debug",
        ] {
            let text = format!("{LEAST}[log]\nlevel = '{level}'");
            assert_eq!(Config::parse(&text).unwrap().log.level, level);
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
            ("[log]\nlevel = 'warning'", "log.level"),
            ("[log]\nlevel = 'restante_server'", "log.level"),
            ("[log]\nlevel = 'info,restante_server'", "log.level"),
            ("[log]\nlevel = 'info,'", "log.level"),
            ("[log]\nlevel = 'info, debug'", "log.level"),
            ("[log]\nlevel = 'restante-server=debug'", "log.level"),
            ("[log]\nlevel = 'restante_server=loud'", "log.level"),
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
