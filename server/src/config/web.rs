//! The part of the configuration that tells clients, over HTTP, where the servers are.

use super::{Config, Listener, TlsMode};
use crate::autodiscovery::limits::HttpLimits;
use crate::autodiscovery::{Endpoint, Login, Service, is_domain};
use core::time::Duration;
use serde::Deserialize;

/// Ports of submission where none are said (RFC 8314 §3.3, RFC 6409 §3.1).
const SUBMISSION: (u16, u16) = (465, 587);
/// The port of IMAP where no listener speaks TLS: a proxy does then.
const IMAPS: u16 = 993;

/// What clients are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Autodiscovery {
    /// What the service is called; the host's name where it is not said.
    pub name: Option<String>,
    /// Domains that are answered for; any where there are none.
    pub domains: Vec<String>,
    /// What accounts log in as.
    pub login: Login,
    /// Where the answers are for the world; the IMAP server's name where it is not said.
    pub url: Option<String>,
    /// Where mail is read.
    pub imap: Public,
    /// Where mail is sent.
    pub submission: Public,
}

/// A server as the world sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Public {
    /// Its name.
    pub host: Option<String>,
    /// The port with TLS from the first byte; 0 for none.
    pub tls: Option<u16>,
    /// The port with STARTTLS; 0 for none.
    pub starttls: Option<u16>,
}

impl Config {
    /// What clients are told.
    #[must_use]
    pub fn service(&self) -> Service {
        let said = &self.autodiscovery;
        let own = |tls| port_of(&self.imap, tls);
        let implicit = own(TlsMode::Implicit);
        let neither = implicit.is_none() && own(TlsMode::StartTls).is_none();
        let imap = said.imap.endpoint(
            self.delivery.host(),
            implicit.or(neither.then_some(IMAPS)),
            own(TlsMode::StartTls),
        );
        let submission =
            said.submission
                .endpoint(imap.host.clone(), Some(SUBMISSION.0), Some(SUBMISSION.1));
        let url = match (&said.url, port_of(&self.http, TlsMode::Implicit)) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(port)) if port != 443 => format!("https://{}:{port}", imap.host),
            (None, _) => format!("https://{}", imap.host),
        };
        let domains = said.domains.iter().map(|it| it.to_ascii_lowercase());
        Service {
            name: said.name.clone().unwrap_or_else(|| imap.host.clone()),
            domains: domains.collect(),
            login: said.login,
            imap,
            submission,
            url,
        }
    }

    /// What one HTTP client may take.
    #[must_use]
    pub fn http_limits(&self) -> HttpLimits {
        HttpLimits {
            request_timeout: Duration::from_secs(self.limits.http_timeout_s),
            // Mail goes first.
            connections_max: self
                .limits
                .http_connections_max
                .min(self.limits.connections_max.div_ceil(2)),
            ..HttpLimits::default()
        }
    }

    pub(super) fn check_web(&self) -> Result<(), String> {
        for listener in &self.http {
            match listener.tls {
                TlsMode::None => {}
                TlsMode::StartTls => {
                    return Err("http.tls: HTTP has no STARTTLS".to_owned());
                }
                TlsMode::Implicit if self.tls.is_none() => {
                    return Err(format!(
                        "http.tls: the listener on {} needs a certificate, but there is no [tls] section",
                        listener.address
                    ));
                }
                TlsMode::Implicit => {}
            }
        }
        self.autodiscovery.check()?;
        if self.http.is_empty() && self.autodiscovery == Autodiscovery::default() {
            // Nobody is told anything, and nothing was said.
            return Ok(());
        }
        // With what the listeners add to it.
        let service = self.service();
        for (key, endpoint) in [("imap", service.imap), ("submission", service.submission)] {
            if endpoint.ways().next().is_none() {
                return Err(format!(
                    "autodiscovery.{key}: there must be a port, tls or starttls"
                ));
            }
        }
        Ok(())
    }
}

impl Autodiscovery {
    fn check(&self) -> Result<(), String> {
        let odd = |name: &&String| name.trim().is_empty() || name.chars().any(char::is_control);
        if let Some(name) = self.name.as_ref().filter(odd) {
            return Err(format!("autodiscovery.name: {name:?} is no name"));
        }
        if let Some(domain) = self.domains.iter().find(|domain| !is_domain(domain)) {
            return Err(format!("autodiscovery.domains: {domain:?} is no domain"));
        }
        for (key, public) in [("imap", &self.imap), ("submission", &self.submission)] {
            if let Some(host) = public.host.as_ref().filter(|host| !is_host(host)) {
                return Err(format!("autodiscovery.{key}.host: {host:?} is no name"));
            }
        }
        if self.url.as_ref().is_some_and(|url| !is_url(url)) {
            return Err(
                "autodiscovery.url: it must be like \"https://mail.example.org\"".to_owned(),
            );
        }
        Ok(())
    }
}

impl Public {
    fn endpoint(&self, host: String, tls: Option<u16>, starttls: Option<u16>) -> Endpoint {
        let port = |said: Option<u16>, default| said.or(default).filter(|port| *port != 0);
        Endpoint {
            host: self.host.clone().unwrap_or(host),
            tls: port(self.tls, tls),
            starttls: port(self.starttls, starttls),
        }
    }
}

/// The port of the first listener of a kind.
fn port_of(listeners: &[Listener], tls: TlsMode) -> Option<u16> {
    let listener = listeners.iter().find(|listener| listener.tls == tls)?;
    Some(listener.address.port())
}

/// What DNS records and URLs name is written in ASCII.
fn is_host(text: &str) -> bool {
    text.is_ascii() && is_domain(text)
}

fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let Some(authority) = rest.map(|rest| rest.trim_end_matches('/')) else {
        return false;
    };
    match authority.split_once(':') {
        Some((host, port)) => is_host(host) && port.parse::<u16>().is_ok(),
        None => is_host(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "storage = { kind = 'embedded', folder = 's' }\naccounts = { file = 'a' }\n\
        tls = { certificate = 'c', key = 'k' }\n";

    fn service(text: &str) -> Service {
        Config::parse(&format!("{LEAST}{text}")).unwrap().service()
    }

    #[test]
    fn the_listeners_say_what_nobody_else_says() {
        let text = "[[imap]]\naddress = '[::]:143'\ntls = 'starttls'\n\
            [[imap]]\naddress = '[::]:1993'\ntls = 'implicit'\n\
            [[http]]\naddress = '[::]:80'\ntls = 'none'\n\
            [[http]]\naddress = '[::]:8443'\ntls = 'implicit'\n\
            [delivery]\nhost = 'mx.example.org'\n";
        let found = service(text);
        assert_eq!(
            (found.imap.tls, found.imap.starttls),
            (Some(1993), Some(143))
        );
        let submission = &found.submission;
        assert_eq!(
            (submission.tls, submission.starttls),
            (Some(465), Some(587))
        );
        assert_eq!(submission.host, "mx.example.org");
        assert_eq!(found.name, "mx.example.org");
        assert_eq!(found.url, "https://mx.example.org:8443");
        let found = service(&text.replace("8443", "443"));
        assert_eq!(found.url, "https://mx.example.org");
        // Behind a proxy that speaks TLS.
        let plain = "[[imap]]\naddress = '127.0.0.1:143'\ntls = 'none'\n";
        let imap = service(plain).imap;
        assert_eq!((imap.tls, imap.starttls), (Some(993), None));
    }

    #[test]
    fn what_is_said_counts() {
        let found = service(
            "[[imap]]\naddress = '[::]:993'\ntls = 'implicit'\n\
             [autodiscovery]\nname = 'Mail'\ndomains = ['Example.org']\nlogin = 'name'\n\
             url = 'https://web.example.org/'\n\
             imap = { host = 'imap.example.org', starttls = 143 }\n\
             submission = { host = 'smtp.example.org', starttls = 0 }\n",
        );
        let endpoint = |host: &str, tls, starttls| Endpoint {
            host: host.to_owned(),
            tls,
            starttls,
        };
        let expected = Service {
            name: "Mail".to_owned(),
            domains: vec!["example.org".to_owned()],
            login: Login::Name,
            imap: endpoint("imap.example.org", Some(993), Some(143)),
            submission: endpoint("smtp.example.org", Some(465), None),
            url: "https://web.example.org".to_owned(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn mail_keeps_half_of_the_connections_at_least() {
        let imap = "[[imap]]\naddress = '[::]:993'\ntls = 'implicit'\n";
        let limits = |text: &str| {
            let config = Config::parse(&format!("{LEAST}{imap}{text}")).unwrap();
            config.http_limits()
        };
        assert_eq!(limits(""), HttpLimits::default());
        let few = "[limits]\nconnections_max = 9\nhttp_timeout_s = 3\n";
        assert_eq!(limits(few).connections_max, 5);
        assert_eq!(limits(few).request_timeout, Duration::from_secs(3));
    }

    #[test]
    fn who_tells_nobody_needs_no_port_to_tell() {
        let imap = "imap = [{ address = '127.0.0.1:0', tls = 'none' }]\n\
            storage = { kind = 'embedded', folder = 's' }\naccounts = { file = 'a' }\n";
        assert!(Config::parse(imap).is_ok());
    }

    #[test]
    fn errors_name_the_key() {
        let imap = "[[imap]]\naddress = '[::]:993'\ntls = 'implicit'\n";
        for (change, key) in [
            (
                "[[http]]\naddress = '[::]:80'\ntls = 'starttls'",
                "http.tls",
            ),
            (
                "[[http]]\naddress = 'localhost:80'\ntls = 'none'",
                "address",
            ),
            ("[autodiscovery]\nname = ''", "autodiscovery.name"),
            ("[autodiscovery]\nname = \"a\\nb\"", "autodiscovery.name"),
            (
                "[autodiscovery]\nsubmission = { host = 'b\u{fc}cher.example' }",
                "autodiscovery.submission.host",
            ),
            (
                "[autodiscovery]\ndomains = ['a b']",
                "autodiscovery.domains",
            ),
            ("[autodiscovery]\nlogin = 'nobody'", "login"),
            ("[autodiscovery]\npop3 = 1", "pop3"),
            (
                "[autodiscovery]\nimap = { host = 'a/b' }",
                "autodiscovery.imap.host",
            ),
            ("[autodiscovery]\nimap = { tls = 0 }", "autodiscovery.imap"),
            (
                "[autodiscovery]\nsubmission = { tls = 0, starttls = 0 }",
                "autodiscovery.submission",
            ),
            (
                "[autodiscovery]\nurl = 'mail.example.org'",
                "autodiscovery.url",
            ),
            ("[autodiscovery]\nurl = 'https://a/b'", "autodiscovery.url"),
            ("[limits]\nhttp_timeout_s = 0", "limits.http_timeout_s"),
            (
                "[limits]\nhttp_connections_max = 0",
                "limits.http_connections_max",
            ),
        ] {
            let error = Config::parse(&format!("{LEAST}{imap}{change}")).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
        let text = format!("{LEAST}{imap}[[http]]\naddress = '[::]:443'\ntls = 'implicit'\n");
        let text = text.replace("tls = { certificate = 'c', key = 'k' }\n", "");
        let text = text.replace("993'\ntls = 'implicit'", "143'\ntls = 'none'");
        let error = Config::parse(&text).unwrap_err();
        assert!(error.contains("http.tls"), "{error}");
    }
}
