//! The connector as the S3 SDK wants it.

use super::{Http, Wait};
use crate::storage::garage::failure::Failure;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use core::fmt;
use http_body_util::BodyExt;

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
            let response = http.call(request, Wait::Request).await;
            let response = response.map_err(|failure| match failure {
                Failure::Open(why) => ConnectorError::other(why.into(), None),
                failure => ConnectorError::io(failure.to_string().into()),
            })?;
            let response = response.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|error| user(error.into()))
        })
    }
}
