//! Outlook's second version of autodiscovery: JSON that says where the first one is.

use super::{Address, Service};
use serde_json::json;

/// The media type of the answer.
pub const CONTENT_TYPE: &str = "application/json; charset=utf-8";
/// The one protocol that is known here.
const PROTOCOL: &str = "AutodiscoverV1";

/// Status and body of the answer.
#[must_use]
pub fn answer(
    service: &Service,
    address: Option<&Address>,
    protocol: Option<&str>,
) -> (u16, String) {
    let refused = |status, code: &str, message: String| {
        let body = json!({ "ErrorCode": code, "ErrorMessage": message });
        (status, body.to_string())
    };
    let Some(protocol) = protocol.filter(|protocol| !protocol.is_empty()) else {
        let message = "The query parameter 'Protocol' must be given".to_owned();
        return refused(400, "MandatoryParameterMissing", message);
    };
    if !protocol.eq_ignore_ascii_case(PROTOCOL) {
        let message = format!("The one protocol known here is '{PROTOCOL}'");
        return refused(400, "InvalidProtocol", message);
    }
    let Some(address) = address else {
        return refused(400, "InvalidEmailAddress", "That is no address".to_owned());
    };
    if !service.serves(address.domain()) {
        let message = "This server has no mail for that domain".to_owned();
        return refused(404, "DomainNotFound", message);
    }
    let url = format!("{}/autodiscover/autodiscover.xml", service.url);
    (200, json!({ "Protocol": PROTOCOL, "Url": url }).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{address, service};
    use super::*;

    #[test]
    fn golden() {
        let answer = |protocol| answer(&service(), Some(&address()), protocol);
        let url = "https://imap.example.org/autodiscover/autodiscover.xml";
        let expected = format!("{{\"Protocol\":\"AutodiscoverV1\",\"Url\":\"{url}\"}}");
        for protocol in ["AutodiscoverV1", "autodiscoverv1"] {
            assert_eq!(answer(Some(protocol)), (200, expected.clone()));
        }
        let refused = "{\"ErrorCode\":\"InvalidProtocol\",\
                       \"ErrorMessage\":\"The one protocol known here is 'AutodiscoverV1'\"}";
        assert_eq!(answer(Some("ActiveSync")), (400, refused.to_owned()));
    }

    #[test]
    fn what_is_missing_has_a_code_of_its_own() {
        for (address, protocol, status, code) in [
            (
                Some("a@example.org"),
                None,
                400,
                "MandatoryParameterMissing",
            ),
            (
                Some("a@example.org"),
                Some(""),
                400,
                "MandatoryParameterMissing",
            ),
            (None, Some("AutodiscoverV1"), 400, "InvalidEmailAddress"),
            (
                Some("a@b.example"),
                Some("AutodiscoverV1"),
                404,
                "DomainNotFound",
            ),
        ] {
            let address = address.and_then(Address::parse);
            let (found, body) = answer(&service(), address.as_ref(), protocol);
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!((found, body["ErrorCode"].as_str()), (status, Some(code)));
        }
    }
}
