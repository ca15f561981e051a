//! The part of the configuration that is about mail that comes in.

use crate::accounts::address::Addresses;
use serde::Deserialize;

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

    const LEAST: &str = "imap = [{ address = '127.0.0.1:143', tls = 'none' }]\n\
        storage = { kind = 'embedded', folder = 's' }\naccounts = { file = 'a' }\n";

    #[test]
    fn errors_name_the_key() {
        for (change, key) in [
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
