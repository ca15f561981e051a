//! The part of the configuration that is about mail that comes in.

use crate::accounts::address::Addresses;
use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// One place to listen for LMTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LmtpListener {
    /// Address and port, or `unix:` and the path of a socket.
    pub address: LmtpAddress,
    /// Who may open the file of a Unix socket, in octal; 660 where it is not said.
    #[serde(default)]
    pub mode: Option<Mode>,
}

/// Where to listen for LMTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LmtpAddress {
    /// Address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Mode(pub u32);

impl Default for Mode {
    fn default() -> Self {
        Self(0o660)
    }
}

impl TryFrom<String> for LmtpAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("lmtp.address: a path belongs after unix:".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!("lmtp.address: {text:?} is neither an address with a port nor unix:/path")
            }),
        }
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mode = u32::from_str_radix(&text, 8).ok();
        let mode = mode.filter(|mode| *mode <= 0o777 && text.len() <= 4);
        mode.map(Self)
            .ok_or_else(|| format!("lmtp.mode: {text:?} is not a mode like \"660\""))
    }
}

impl fmt::Display for LmtpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl LmtpListener {
    /// Makes a relative path count from `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let LmtpAddress::Unix(path) = &mut self.address {
            *path = folder.join(&path);
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.address, self.mode) {
            (LmtpAddress::Tcp(_), Some(_)) => {
                Err("lmtp.mode: only for an address with unix:".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Whose mail is whose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// What the server calls itself; the machine's name where it is not said.
    pub host: Option<String>,
    /// Domains in which an account whose name has no domain gets mail.
    pub domains: Vec<String>,
    /// One character, or none.
    pub detail_separator: String,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            host: None,
            domains: Vec::new(),
            detail_separator: "+".to_owned(),
        }
    }
}

impl Delivery {
    pub(super) fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let is_domain = |text: &str| !text.is_empty() && text.chars().all(plain);
        if let Some(host) = self.host.as_deref().filter(|host| !is_domain(host)) {
            return Err(format!("delivery.host: {host:?} is no domain"));
        }
        let is_any = |domain: &&String| {
            let strange = |c: char| c.is_whitespace() || c.is_control() || c == '@';
            domain.is_empty() || domain.chars().any(strange)
        };
        if let Some(domain) = self.domains.iter().find(is_any) {
            return Err(format!("delivery.domains: {domain:?} is no domain"));
        }
        let separator = &self.detail_separator;
        let odd = |c: char| c == '@' || c.is_alphanumeric() || c.is_whitespace();
        if separator.chars().count() > 1 || separator.chars().any(odd) {
            return Err(format!(
                "delivery.detail_separator: {separator:?} is not one character like \"+\""
            ));
        }
        Ok(())
    }

    /// How addresses are read.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        Addresses {
            domains: self.domains.clone(),
            separator: self.detail_separator.chars().next(),
        }
    }

    /// What the server calls itself.
    #[must_use]
    pub fn host(&self) -> String {
        let system = || {
            let name = rustix::system::uname();
            let name = name.nodename().to_string_lossy().into_owned();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            match !name.is_empty() && name.chars().all(plain) {
                true => name,
                false => "localhost".to_owned(),
            }
        };
        self.host.clone().unwrap_or_else(system)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const LEAST: &str = "imap = [{ address = '127.0.0.1:143', tls = 'none' }]\n\
        storage = { kind = 'embedded', folder = 's' }\naccounts = { file = 'a' }\n";

    #[test]
    fn listeners_on_tcp_and_on_unix_sockets() {
        let lmtp =
            "[[lmtp]]\naddress = '[::1]:24'\n[[lmtp]]\naddress = 'unix:run/lmtp'\nmode = '600'\n";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("restante.toml");
        std::fs::write(&file, format!("{LEAST}{lmtp}")).unwrap();
        let config = Config::load(&file).unwrap();
        let [tcp, unix] = &config.lmtp[..] else {
            panic!("{:?}", config.lmtp);
        };
        assert_eq!(tcp.address.to_string(), "[::1]:24");
        let path = folder.path().join("run/lmtp");
        assert_eq!(unix.address, LmtpAddress::Unix(path));
        assert_eq!((tcp.mode, unix.mode), (None, Some(Mode(0o600))));
        assert!(!config.core_for_lmtp().lmtp_host.is_empty());
    }

    #[test]
    fn errors_name_the_key() {
        for (change, key) in [
            ("[[lmtp]]\naddress = 'localhost:24'", "lmtp.address"),
            ("[[lmtp]]\naddress = 'unix:'", "lmtp.address"),
            ("[[lmtp]]\naddress = '[::1]:24'\nmode = '660'", "lmtp.mode"),
            ("[[lmtp]]\naddress = 'unix:l'\nmode = '888'", "lmtp.mode"),
            ("[[lmtp]]\naddress = 'unix:l'\ntls = 'none'", "tls"),
            ("[delivery]\nhost = 'a b'", "delivery.host"),
            ("[delivery]\ndomains = ['a@b']", "delivery.domains"),
            (
                "[delivery]\ndetail_separator = '+-'",
                "delivery.detail_separator",
            ),
            (
                "[delivery]\ndetail_separator = '@'",
                "delivery.detail_separator",
            ),
            (
                "[limits]\nlmtp_recipients_max = 0",
                "limits.lmtp_recipients_max",
            ),
            ("[limits]\nlmtp_copies_max = 99", "limits.lmtp_copies_max"),
        ] {
            let error = Config::parse(&format!("{LEAST}{change}")).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }
}
