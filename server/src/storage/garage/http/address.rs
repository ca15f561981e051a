//! Where a service is: the scheme, host and port of a URL.

use core::fmt;
use http::Uri;

/// The address of one of Garage's interfaces.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct Address {
    /// Whether it speaks TLS.
    pub(super) tls: bool,
    /// A name or an IP address.
    pub(super) host: String,
    /// TCP port.
    pub(super) port: u16,
    /// What goes into the `Host` header and is signed.
    pub(in super::super) authority: String,
}

impl Address {
    /// Whether it speaks TLS.
    pub(in super::super) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Reads `http://host:port` or `https://host:port`.
    pub(in super::super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("{url:?} is no URL: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("{url:?} begins with neither http:// nor https://")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!("{url:?} has a path, which Garage would not know"));
        }
        let authority = uri
            .authority()
            .filter(|authority| !authority.as_str().contains('@'))
            .ok_or_else(|| format!("{url:?} has no host"))?;
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(format!("{url:?} has no host"));
        }
        let usual = if tls { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(usual);
        // As it is signed: without the port that goes without saying.
        let authority = match port == usual {
            true => authority.host().to_owned(),
            false => authority.as_str().to_owned(),
        };
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            authority,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_without_a_path() {
        let address = Address::parse("http://127.0.0.1:3900").unwrap();
        assert_eq!((address.tls, address.port), (false, 3900));
        assert_eq!(address.to_string(), "http://127.0.0.1:3900");
        let address = Address::parse("https://[::1]/").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 443));
        let address = Address::parse("http://garage.example:80").unwrap();
        assert_eq!(address.authority, "garage.example");
        for wrong in [
            "127.0.0.1:3900",
            "ftp://a",
            "http://a/b",
            "http://u@a",
            "",
            "http://",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}
