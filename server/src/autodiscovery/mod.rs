//! Tells mail clients, and people, how to reach this server.
//!
//! One description of the service ([`Service`]) becomes whatever a client asks for:
//! Mozilla's autoconfig ([`mozilla`]), Outlook's two formats ([`outlook`],
//! [`outlook_json`]), Apple's profile ([`apple`]), a page for people ([`page`]) and the DNS
//! records that lead clients here ([`dns`]). All of these are functions of the service and
//! the [`Address`] asked for, and [`routes`] says which path means which; the sockets are
//! in `driver/http.rs`.
//!
//! Whether an address exists is never looked at: the answer depends on its domain alone.

mod address;
pub mod apple;
pub mod dns;
pub mod limits;
mod markup;
pub mod mozilla;
pub mod outlook;
pub mod outlook_json;
pub mod page;
mod qr;
pub mod routes;
pub mod signature;

pub use address::Address;
pub(crate) use address::is_domain;
pub use routes::{Answer, Request};

use serde::Deserialize;

/// What clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What the service is called.
    pub name: String,
    /// Domains that have mail here, ASCII letters in lower case; none for any.
    pub domains: Vec<String>,
    /// What accounts log in as.
    pub login: Login,
    /// Where mail is read.
    pub imap: Endpoint,
    /// Where mail is sent.
    pub submission: Endpoint,
    /// Where these answers are, without a slash at the end.
    pub url: String,
}

/// What accounts log in as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Login {
    /// Their whole address.
    #[default]
    Address,
    /// What is before the `@`.
    Name,
}

/// A server and the ports by which it is reached; it has one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub host: String,
    /// The port with TLS from the first byte.
    pub tls: Option<u16>,
    /// The port with STARTTLS.
    pub starttls: Option<u16>,
}

/// One way to reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The port.
    pub port: u16,
    /// How TLS begins there.
    pub security: Security,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// With the first byte.
    Tls,
    /// With STARTTLS.
    StartTls,
}

impl Endpoint {
    /// Every way, the better one first (RFC 8314 §3).
    pub fn ways(&self) -> impl Iterator<Item = Way> {
        let way = |port: Option<u16>, security| port.map(|port| Way { port, security });
        let ways = [
            way(self.tls, Security::Tls),
            way(self.starttls, Security::StartTls),
        ];
        ways.into_iter().flatten()
    }
}

impl Service {
    /// Whether a domain has mail here.
    #[must_use]
    pub fn serves(&self, domain: &str) -> bool {
        self.domains.is_empty()
            || self
                .domains
                .iter()
                .any(|served| served.eq_ignore_ascii_case(domain))
    }

    /// What the owner of an address logs in as.
    #[must_use]
    pub fn login_of<'a>(&self, address: &'a Address) -> &'a str {
        match self.login {
            Login::Address => address.text(),
            Login::Name => address.local(),
        }
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// A service with everything.
    pub(crate) fn service() -> Service {
        let endpoint = |host: &str, tls, starttls| Endpoint {
            host: host.to_owned(),
            tls: Some(tls),
            starttls: Some(starttls),
        };
        Service {
            name: "Example & Sons".to_owned(),
            domains: vec!["example.org".to_owned(), "example.net".to_owned()],
            login: Login::Address,
            imap: endpoint("imap.example.org", 993, 143),
            submission: endpoint("smtp.example.org", 465, 587),
            url: "https://imap.example.org".to_owned(),
        }
    }

    /// An address with what XML would mistake for its own.
    pub(crate) fn address() -> Address {
        Address::parse("o'hara&sons@Example.org").unwrap()
    }

    /// What a golden file holds; with `RESTANTE_GOLDEN=write` it is written.
    #[track_caller]
    pub(crate) fn assert_golden(name: &str, found: &str) {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/autodiscovery/golden")
            .join(name);
        if std::env::var_os("RESTANTE_GOLDEN").is_some() {
            std::fs::write(&file, found).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap();
        assert_eq!(found, golden, "{name}");
    }

    #[test]
    fn the_better_way_comes_first_and_none_is_invented() {
        let mut imap = service().imap;
        let ports = |imap: &Endpoint| imap.ways().map(|way| way.port).collect::<Vec<_>>();
        assert_eq!(ports(&imap), [993, 143]);
        imap.tls = None;
        assert_eq!(ports(&imap), [143]);
    }

    #[test]
    fn domains_are_compared_without_case_and_none_means_any() {
        let mut service = service();
        assert!(service.serves("EXAMPLE.ORG"));
        assert!(!service.serves("sub.example.org"));
        service.domains.clear();
        assert!(service.serves("sub.example.org"));
    }
}
