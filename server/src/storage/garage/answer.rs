//! The body of an answer, of both interfaces.

use super::failure::Failure;
use super::http::{Body, Http};
use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::BodyExt;

/// Octets of an answer that is neither a body nor a list of items.
const SHORT_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The whole body of an answer that is short.
pub(super) async fn rest(http: &Http, answer: Response<Body>) -> Result<Bytes, Failure> {
    whole(http, answer.into_body(), SHORT_ANSWER_BYTES_MAX).await
}

/// A whole body of so many octets at most.
pub(super) async fn whole(http: &Http, mut body: Body, max: usize) -> Result<Bytes, Failure> {
    let mut text = BytesMut::new();
    while let Some(octets) = next(http, &mut body).await? {
        if text.len() + octets.len() > max {
            return Err(nonsense("too long"));
        }
        text.extend_from_slice(&octets);
    }
    Ok(text.freeze())
}

/// The next octets of a body.
pub(super) async fn next(http: &Http, body: &mut Body) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = http.within(http.timeout(), body.frame()).await;
        let broken = |why: &dyn core::fmt::Display| {
            Failure::Unavailable(format!("{}: an answer broke off: {why}", http.address()))
        };
        match frame {
            None => {
                body.stalled();
                return Err(broken(&"it went on too slowly"));
            }
            Some(None) => return Ok(None),
            Some(Some(Err(error))) => return Err(broken(&error)),
            // Trailers are nothing to us.
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(octets) => return Ok(Some(octets)),
                Err(_trailers) => {}
            },
        }
    }
}

/// An answer that has the right status, and is not what was asked for.
pub(super) fn nonsense(why: &str) -> Failure {
    Failure::Unavailable(format!("an answer makes no sense: {why}"))
}
