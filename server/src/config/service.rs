//! Where other services of this machine or network find this one: on TCP, or on a Unix socket.

use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// One place to listen for a service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceListener {
    /// Address and port, or `unix:` and the path of a socket.
    pub address: ServiceAddress,
    /// Who may open the file of a Unix socket, in octal; 660 where it is not said.
    #[serde(default)]
    pub mode: Option<Mode>,
}

/// Where to listen for a service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ServiceAddress {
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

impl TryFrom<String> for ServiceAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("address: a path belongs after unix:".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!("address: {text:?} is neither an address with a port nor unix:/path")
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
            .ok_or_else(|| format!("mode: {text:?} is not a mode like \"660\""))
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl ServiceListener {
    /// Makes a relative path count from `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let ServiceAddress::Unix(path) = &mut self.address {
            *path = folder.join(&path);
        }
    }

    pub(super) fn check(&self, section: &str) -> Result<(), String> {
        match (&self.address, self.mode) {
            (ServiceAddress::Tcp(_), Some(_)) => {
                Err(format!("{section}.mode: only for an address with unix:"))
            }
            _ => Ok(()),
        }
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
        for section in ["lmtp", "auth"] {
            let services = format!(
                "[[{section}]]\naddress = '[::1]:24'\n\
                 [[{section}]]\naddress = 'unix:run/socket'\nmode = '600'\n"
            );
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("restante.toml");
            std::fs::write(&file, format!("{LEAST}{services}")).unwrap();
            let config = Config::load(&file).unwrap();
            let [tcp, unix] = &[config.lmtp, config.auth].concat()[..] else {
                panic!("two services");
            };
            assert_eq!(tcp.address.to_string(), "[::1]:24");
            let path = folder.path().join("run/socket");
            assert_eq!(unix.address, ServiceAddress::Unix(path));
            assert_eq!((tcp.mode, unix.mode), (None, Some(Mode(0o600))));
        }
    }

    #[test]
    fn errors_name_the_key() {
        for section in ["lmtp", "auth"] {
            let mode = format!("{section}.mode");
            for (lines, key) in [
                ("address = 'localhost:24'", "address"),
                ("address = 'unix:'", "address"),
                ("address = '[::1]:24'\nmode = '660'", mode.as_str()),
                ("address = 'unix:l'\nmode = '888'", "mode"),
                ("address = 'unix:l'\nmode = '7777'", "mode"),
                ("address = 'unix:l'\ntls = 'none'", "tls"),
            ] {
                let text = format!("{LEAST}[[{section}]]\n{lines}");
                let error = Config::parse(&text).unwrap_err();
                assert!(error.contains(key), "{error}");
            }
        }
    }
}
