//! GET and PUT of one object: the two requests that every message costs. They are signed and sent
//! as those to K2V are; the SDK, which makes all others to S3, would take ten times the
//! processor for it (docs/decisions/009-garage-connector.md).

use super::answer::{nonsense, rest};
use super::buckets::Bucket;
use super::failure::Failure;
use super::http::{Body, Http, Repeated, Wait};
use super::signing::{Service, sign_request};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, RANGE};
use http::request::Builder;
use http::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::events::Event;
use restante_core::storage::ObjectKey;
use std::sync::Arc;
use std::time::SystemTime;

/// Everything but what RFC 3986 §2.3 leaves as it is, and what divides a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// Reads and stores bodies.
pub(super) struct Bodies {
    http: Http,
    region: Arc<str>,
}

impl Bodies {
    pub(super) fn new(http: Http, region: &str) -> Self {
        let region = Arc::from(region);
        Self { http, region }
    }

    /// The header of the answer, and behind it the octets: those of `range`, as HTTP writes it, of the
    /// object with `etag`, where these are given.
    pub(super) async fn get(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        range: Option<String>,
        etag: Option<&str>,
    ) -> Result<Response<Body>, Failure> {
        let mut request = self.request(Method::GET, bucket, key);
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, etag);
        }
        self.send(bucket, request, Bytes::new()).await
    }

    /// Stores an object.
    pub(super) async fn put(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        body: Bytes,
    ) -> Result<(), Failure> {
        let request = self.request(Method::PUT, bucket, key);
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let answer = self.send(bucket, request, body).await?;
        let stored = etag(&answer).map(drop);
        // To its end, so that the connection serves the next request.
        rest(&self.http, answer).await?;
        stored
    }

    fn request(&self, method: Method, bucket: &Bucket, key: &ObjectKey) -> Builder {
        let key = utf8_percent_encode(&key.0, ENCODED);
        let uri = format!("{}/{}/{key}", self.http.address(), bucket.name);
        Request::builder().method(method).uri(uri)
    }

    async fn send(
        &self,
        bucket: &Bucket,
        request: Builder,
        body: Bytes,
    ) -> Result<Response<Body>, Failure> {
        let request = request.body(body);
        let mut request = request.map_err(|error| Failure::Refused(error.to_string()))?;
        let now = SystemTime::now();
        sign_request(
            &mut request,
            Service::S3,
            &bucket.identity,
            &self.region,
            now,
        )?;
        let answer = self.http.call(request, Wait::Object).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let repeated = answer.extensions().get::<Repeated>().is_some();
        let text = rest(&self.http, answer).await.unwrap_or_default();
        let (code, message) = error_of(&text);
        Err(Failure::of_answer(status, &code, &message).if_carried_out(repeated))
    }
}

/// The ETag of an answer, if it is Garage's.
pub(super) fn etag(answer: &Response<Body>) -> Result<&str, Failure> {
    let etag = answer.headers().get(ETAG).and_then(|it| it.to_str().ok());
    let etag = etag.filter(|etag| is_etag(etag));
    etag.ok_or_else(|| nonsense("it has no ETag of Garage"))
}

/// Whether it is an ETag as Garage writes them: an MD5 in hexadecimal and in quotes, and behind it the
/// number of parts where there were several. A page that a proxy answers with 200, because Garage
/// is away, has none like it.
pub(super) fn is_etag(text: &str) -> bool {
    let quoted = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    quoted.is_some_and(|etag| {
        let md5 = etag.split_once('-').map_or(etag, |(md5, _parts)| md5);
        md5.len() == 32 && md5.bytes().all(|octet| octet.is_ascii_hexdigit())
    })
}

/// Whether the octets that come are those from `start` on, where a part was asked for; otherwise
/// those of the whole object.
pub(super) fn begins_at(answer: &Response<Body>, start: Option<u64>) -> Result<(), Failure> {
    let range = answer.headers().get(CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    let right = match start {
        None => answer.status() == StatusCode::OK,
        Some(start) => {
            let from = format!("bytes {start}-");
            answer.status() == StatusCode::PARTIAL_CONTENT
                && range.is_some_and(|range| range.starts_with(&from))
        }
    };
    match right {
        true => Ok(()),
        false => Err(nonsense("it has other octets than were asked for")),
    }
}

/// Code and message of S3's `<Error>`; nothing where there is none.
fn error_of(text: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(text);
    let (mut code, mut message) = (String::new(), String::new());
    let mut reader = Reader::from_str(&text);
    let mut element = String::new();
    // As far as it can be read: its status says enough.
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => element = start.name().as_ref().to_owned(),
            Event::End(_) => element.clear(),
            Event::Text(text) => match element.as_str() {
                "Code" => code += &text,
                "Message" => message += &text,
                _ => {}
            },
            Event::Eof => break,
            _ => {}
        }
    }
    (code, message)
}

/// The octets of the whole object, as the answer to a GET says it.
pub(super) fn object_len(key: &ObjectKey, answer: &Response<Body>) -> Result<u64, Failure> {
    let header = |name| answer.headers().get(name)?.to_str().ok();
    let len = match header(CONTENT_RANGE) {
        Some(range) => range.rsplit_once('/').map(|(_, len)| len),
        None => header(CONTENT_LENGTH),
    };
    let len = len.and_then(|len| len.parse().ok());
    len.ok_or_else(|| nonsense(&format!("{key}: an answer without length")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_garage_says_of_an_error_is_found() {
        let text = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchKey</Code>\
                     <Message>Key not found</Message><Resource>/b/k</Resource></Error>";
        let found = error_of(text);
        assert_eq!(found, ("NoSuchKey".to_owned(), "Key not found".to_owned()));
        for text in [&b""[..], b"{}", b"<Error><Code>", b"\xff<<", b"<a></b>"] {
            assert_eq!(error_of(text), (String::new(), String::new()));
        }
    }
}
