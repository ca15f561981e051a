//! Signs requests to K2V as Garage checks them: AWS Signature Version 4, for the service
//! `k2v`, with the hash of the payload as a header.
//!
//! Garage encodes the path once more than it came, and changes nothing else about it.

use super::failure::Failure;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use std::time::SystemTime;

/// The service's name in the signature.
const SERVICE: &str = "k2v";

/// Adds the headers that prove who sends `request`, whose `Host` header is the one that
/// goes out.
pub(super) fn sign_request(
    request: &mut Request<Bytes>,
    identity: &Identity,
    region: &str,
    now: SystemTime,
) -> Result<(), Failure> {
    let fail = |error: &dyn std::error::Error| Failure::Refused(format!("not signed: {error}"));
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Double;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params = SigningParams::builder()
        .identity(identity)
        .region(region)
        .name(SERVICE)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| fail(&error))?
        .into();
    let headers = request.headers().iter().filter_map(|(name, value)| {
        // Values that are no text are not among ours.
        (*name != HOST).then(|| Some((name.as_str(), value.to_str().ok()?)))?
    });
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers,
        SignableBody::Bytes(request.body()),
    )
    .map_err(|error| fail(&error))?;
    let (instructions, _signature) = sign(signable, &params)
        .map_err(|error| fail(&error))?
        .into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}
