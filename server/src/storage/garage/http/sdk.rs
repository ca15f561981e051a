//! The connector as the S3 SDK wants it.
//!
//! The SDK knows no bounds of ours, so it is given no body to read: each answer is read here to
//! its end, within the time limits of all others and up to [`SDK_ANSWER_BYTES_MAX`].

use super::{Http, Wait};
use crate::storage::garage::answer::{nonsense, whole};
use crate::storage::garage::failure::Failure;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use core::fmt;
use http::{Method, StatusCode};
use http_body_util::BodyExt;

/// Octets of an answer's body. The longest is a list of a thousand keys (or uploads): keys of 1 KiB,
/// in which each octet may take six (`&quot;`), and some hundred octets about each.
const SDK_ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Our HTTP, for the SDK.
#[derive(Clone)]
pub(in super::super) struct SdkHttp(pub(in super::super) Http);

impl fmt::Debug for SdkHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SdkHttp({})", self.0.address())
    }
}

impl HttpClient for SdkHttp {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for SdkHttp {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.0.clone();
        HttpConnectorFuture::new(async move {
            let user =
                |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
            let request = request
                .try_into_http1x()
                .map_err(|error| user(error.into()))?;
            let (parts, body) = request.into_parts();
            // Every body of ours is in memory, in one piece, and is not copied here.
            let body = body.collect().await.map_err(user)?.to_bytes();
            let request = http::Request::from_parts(parts, body);
            let failed = |failure| match failure {
                Failure::Open(why) => ConnectorError::other(why.into(), None),
                failure => ConnectorError::io(failure.to_string().into()),
            };
            let deletes = request.method() == Method::DELETE;
            let response = http.call(request, Wait::Request).await.map_err(failed)?;
            let (parts, body) = response.into_parts();
            let body = whole(&http, body, SDK_ANSWER_BYTES_MAX)
                .await
                .map_err(failed)?;
            // Garage answers 204 where it has deleted something. The SDK takes any good status, so also
            // that of a proxy's page.
            if deletes && parts.status.is_success() && parts.status != StatusCode::NO_CONTENT {
                let why = format!("{} to a deletion", parts.status);
                return Err(failed(nonsense(&why)));
            }
            let response = http::Response::from_parts(parts, SdkBody::from(body));
            HttpResponse::try_from(response).map_err(|error| user(error.into()))
        })
    }
}
