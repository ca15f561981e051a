//! Which path means which format, and what is refused before any is made.
//!
//! Paths are compared whole and without regard to case; nothing in them is ever the name of
//! a file. What tries to be one (`//`, `..`, a NUL, a backslash, plain or encoded) is refused
//! all the same, for the sake of proxies that may stand in front and read it otherwise.

use super::page::{self, Asked};
use super::{Address, Service, apple, mozilla, outlook, outlook_json};
use bytes::Bytes;
use core::fmt;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// The answer to a request.
pub type Answer = Response<Bytes>;

/// Where Apple's profile is.
pub const APPLE_PATH: &str = "/apple.mobileconfig";
/// Where the style sheet of the page is.
pub const STYLE_PATH: &str = "/style.css";
/// Where Outlook's XML is asked for.
const OUTLOOK_PATH: &str = "/autodiscover/autodiscover.xml";
/// The parameter with the address, as Mozilla calls it.
pub const PARAMETER: &str = "emailaddress";
/// What Outlook calls it.
const OUTLOOK_PARAMETER: &str = "email";
/// Where Outlook's JSON has the address in the path.
const JSON_PREFIX: &str = "/autodiscover/autodiscover.json/v1.0/";

const TEXT: &str = "text/plain; charset=utf-8";
/// Nothing but the style sheet is loaded, nothing runs, nobody may frame the page.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// What a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Page,
    Style,
    Mozilla,
    Outlook,
    OutlookJson,
    Apple,
}

/// A request whose path and method make sense; its body has not been looked at.
pub struct Request<'a> {
    place: Place,
    uri: &'a Uri,
}

impl fmt::Debug for Request<'_> {
    /// Without the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl<'a> Request<'a> {
    /// Reads the first line of a request; the answer if there is no more to it.
    ///
    /// # Errors
    /// The refusal: 400 for what is up to something, 404 for what is not here, 405 for what
    /// cannot be done with it.
    #[allow(clippy::result_large_err, reason = "made once a request")]
    pub fn read(method: &Method, uri: &'a Uri) -> Result<Self, Answer> {
        if !has_path(uri) || is_trick(uri.path()) {
            return Err(refusal(StatusCode::BAD_REQUEST));
        }
        let place = place(uri.path()).ok_or_else(|| refusal(StatusCode::NOT_FOUND))?;
        let (allowed, allow): (&[Method], _) = match place {
            Place::Outlook => (&[Method::POST], "POST"),
            _ => (&[Method::GET, Method::HEAD], "GET, HEAD"),
        };
        if !allowed.contains(method) {
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED);
            let allow = HeaderValue::from_static(allow);
            answer.headers_mut().insert(header::ALLOW, allow);
            return Err(answer);
        }
        Ok(Self { place, uri })
    }

    /// Whether its body means something.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        self.place == Place::Outlook
    }

    /// Whether its answer is better signed.
    #[must_use]
    pub fn wants_signature(&self) -> bool {
        self.place == Place::Apple
    }

    /// The answer.
    #[must_use]
    pub fn answer(&self, service: &Service, body: &[u8]) -> Answer {
        match self.place {
            Place::Page => self.page(service),
            Place::Style => {
                let mut answer = ok(page::STYLE_CONTENT_TYPE, page::STYLE.to_owned());
                let hour = HeaderValue::from_static("max-age=3600");
                answer.headers_mut().insert(header::CACHE_CONTROL, hour);
                answer
            }
            Place::Mozilla => self.mozilla(service),
            Place::Outlook => ok(outlook::CONTENT_TYPE, outlook::answer(service, body)),
            Place::OutlookJson => self.outlook_json(service),
            Place::Apple => self.apple(service),
        }
    }

    fn page(&self, service: &Service) -> Answer {
        let typed = self.parameter(PARAMETER);
        let typed = typed.as_deref().map(str::trim).unwrap_or_default();
        let address = Address::parse(typed);
        let (status, asked) = match &address {
            _ if typed.is_empty() => (StatusCode::OK, Asked::Nothing),
            None => (StatusCode::BAD_REQUEST, Asked::NoAddress(typed)),
            Some(address) if !service.serves(address.domain()) => {
                (StatusCode::NOT_FOUND, Asked::Elsewhere(address))
            }
            Some(address) => (StatusCode::OK, Asked::Address(address)),
        };
        answer(status, page::CONTENT_TYPE, page::html(service, asked))
    }

    fn mozilla(&self, service: &Service) -> Answer {
        let xml = |address| ok(mozilla::CONTENT_TYPE, mozilla::config(service, address));
        match self.parameter(PARAMETER) {
            None => xml(None),
            // A client that has none yet.
            Some(text) if text.is_empty() || text == "%EMAILADDRESS%" => xml(None),
            Some(text) => match served(service, &text) {
                Ok(address) => xml(Some(&address)),
                Err(status) => refusal(status),
            },
        }
    }

    fn apple(&self, service: &Service) -> Answer {
        let text = self.parameter(PARAMETER).unwrap_or_default();
        match served(service, &text) {
            Ok(address) => {
                let mut answer = ok(apple::CONTENT_TYPE, apple::profile(service, &address));
                let name = HeaderValue::from_static("attachment; filename=\"mail.mobileconfig\"");
                answer
                    .headers_mut()
                    .insert(header::CONTENT_DISPOSITION, name);
                answer
            }
            Err(status) => refusal(status),
        }
    }

    fn outlook_json(&self, service: &Service) -> Answer {
        let path = self.uri.path();
        let text = match path.get(JSON_PREFIX.len()..) {
            Some(text) if !text.is_empty() => percent_decode_str(text).decode_utf8().ok(),
            _ => self.parameter(OUTLOOK_PARAMETER),
        };
        let address = text.as_deref().and_then(Address::parse);
        let protocol = self.parameter("protocol");
        let (status, body) = outlook_json::answer(service, address.as_ref(), protocol.as_deref());
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        answer(status, outlook_json::CONTENT_TYPE, body)
    }

    /// The first parameter of that name, whatever its case. A `+` is a plus: addresses have
    /// them, clients write them as they are, and no address has the space that it means in
    /// forms.
    fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs = self.uri.query()?.split('&');
        pairs.find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_it = key.eq_ignore_ascii_case(name);
            // What is no UTF-8 is no address either, and is shown as what it is.
            is_it.then(|| percent_decode_str(value).decode_utf8_lossy())
        })
    }
}

/// An address whose domain has mail here.
fn served(service: &Service, text: &str) -> Result<Address, StatusCode> {
    let address = Address::parse(text).ok_or(StatusCode::BAD_REQUEST)?;
    match service.serves(address.domain()) {
        true => Ok(address),
        false => Err(StatusCode::NOT_FOUND),
    }
}

/// Whether a target is a path, alone or behind the name of a server (RFC 9112 §3.2.1, §3.2.2). What
/// name that is makes no difference: no answer depends on it, as none depends on `Host`.
fn has_path(uri: &Uri) -> bool {
    match uri.scheme_str() {
        None => uri.authority().is_none(),
        Some(scheme) => matches!(scheme, "http" | "https"),
    }
}

fn place(path: &str) -> Option<Place> {
    let lower = path.to_ascii_lowercase();
    Some(match lower.as_str() {
        "/" => Place::Page,
        STYLE_PATH => Place::Style,
        "/mail/config-v1.1.xml" | "/.well-known/autoconfig/mail/config-v1.1.xml" => Place::Mozilla,
        OUTLOOK_PATH => Place::Outlook,
        "/autodiscover/autodiscover.json" => Place::OutlookJson,
        APPLE_PATH => Place::Apple,
        _ if lower.strip_prefix(JSON_PREFIX)?.contains('/') => return None,
        _ => Place::OutlookJson,
    })
}

/// Whether a path tries to be more than a path.
fn is_trick(path: &str) -> bool {
    let decoded = percent_decode_str(path).collect::<Vec<u8>>();
    let strange = |octet: &u8| octet.is_ascii_control() || *octet == b'\\';
    decoded.windows(2).any(|pair| pair == b"//")
        || decoded.iter().any(strange)
        || decoded
            .split(|octet| *octet == b'/')
            .any(|segment| segment == b"." || segment == b"..")
}

/// Where Outlook's question by HTTP leads, if this is it and there is an answer by HTTPS.
///
/// It asks `http://autodiscover.<domain>/autodiscover/autodiscover.xml` by GET and without
/// saying for whom, when nobody answers by HTTPS under the domain's own names, and sends its
/// POST to where it is led (MS-OXDISCO §3.1.5.3). Where that is does not depend on the request.
#[must_use]
pub fn to_https(service: &Service, method: &Method, uri: &Uri) -> Option<Answer> {
    let url = &service.url;
    let asks = matches!(*method, Method::GET | Method::HEAD);
    if !asks || !has_path(uri) || place(uri.path()) != Some(Place::Outlook) {
        return None;
    }
    let location = url
        .starts_with("https://")
        .then(|| url.clone() + OUTLOOK_PATH)?;
    let mut answer = refusal(StatusCode::FOUND);
    let location = HeaderValue::try_from(location).ok()?;
    answer.headers_mut().insert(header::LOCATION, location);
    Some(answer)
}

/// A refusal that says no more than its status.
#[must_use]
pub fn refusal(status: StatusCode) -> Answer {
    let reason = status.canonical_reason().unwrap_or("No");
    answer(status, TEXT, format!("{reason}\n"))
}

fn ok(content_type: &'static str, body: String) -> Answer {
    answer(StatusCode::OK, content_type, body)
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        // The address is in the URL.
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests;
