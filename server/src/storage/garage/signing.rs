//! Signs requests as Garage checks them: AWS Signature Version 4, with the hash of the payload
//! as a header.
//!
//! For K2V Garage encodes the path once more than it came, and for S3 it takes it as it is.

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

/// Which interface of Garage a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Objects.
    S3,
    /// Items.
    K2v,
}

impl Service {
    /// Its name in the signature.
    fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::K2v => "k2v",
        }
    }
}

/// Adds the headers that prove who sends `request`, whose `Host` header is the one that
/// goes out.
pub(super) fn sign_request(
    request: &mut Request<Bytes>,
    service: Service,
    identity: &Identity,
    region: &str,
    now: SystemTime,
) -> Result<(), Failure> {
    let fail = |error: &dyn std::error::Error| Failure::Refused(format!("not signed: {error}"));
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = match service {
        Service::S3 => PercentEncodingMode::Single,
        Service::K2v => PercentEncodingMode::Double,
    };
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params = SigningParams::builder()
        .identity(identity)
        .region(region)
        .name(service.name())
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
