//! Why a request to Garage failed, and what that means to the core.

use super::http::Repeated;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use core::fmt;
use http::StatusCode;
use restante_core::storage::StorageError;

/// Octets of an error's text that go to the log.
const TEXT_CHARS_MAX: usize = 300;

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Garage says that there is no such object.
    NotFound,
    /// Garage says that there is no such upload in parts: it was finished or aborted.
    NoUpload,
    /// Another object has taken its place.
    Replaced,
    /// The range begins at the end of the object or after it.
    OutOfRange,
    /// A quota is reached. Nothing was stored.
    Full,
    /// Garage refuses this and will refuse it again. Nothing was stored.
    Refused(String),
    /// May have been carried out or not; trying again makes sense.
    Unavailable(String),
    /// Not sent, because Garage does not answer at present.
    Open(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such object"),
            Self::NoUpload => f.write_str("the upload is gone"),
            Self::Replaced => f.write_str("the object was replaced"),
            Self::OutOfRange => f.write_str("no such range"),
            Self::Full => f.write_str("a quota is reached"),
            Self::Refused(why) | Self::Unavailable(why) | Self::Open(why) => f.write_str(why),
        }
    }
}

impl From<Failure> for StorageError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotFound | Failure::Replaced => Self::NotFound,
            // That is no missing object: its parts are not stored.
            Failure::NoUpload => Self::Unavailable(failure.to_string()),
            Failure::Full => Self::Full,
            Failure::OutOfRange => Self::Refused(failure.to_string()),
            Failure::Refused(why) => Self::Refused(why),
            Failure::Unavailable(why) | Failure::Open(why) => Self::Unavailable(why),
        }
    }
}

impl Failure {
    /// What an answer with an error status means. `code` and `message` are Garage's.
    pub(super) fn of_answer(status: StatusCode, code: &str, message: &str) -> Self {
        let message: String = message.chars().take(TEXT_CHARS_MAX).collect();
        let text = || format!("{} {code}: {message}", status.as_u16());
        if code == "RequestTimeTooSkewed" || message.contains("Date is too old") {
            // A request that is a day old is not taken. That gets better when the clock is set.
            return Self::Unavailable(format!("{}: is the clock right?", text()));
        }
        match status {
            // What is not there counts as deleted, so only Garage itself may say so. A proxy before it
            // answers 404 as well, while what is behind it starts again.
            StatusCode::NOT_FOUND => match code {
                "NoSuchKey" => Self::NotFound,
                "NoSuchUpload" => Self::NoUpload,
                "NoSuchBucket" => Self::Refused(text()),
                _ => Self::Unavailable(text()),
            },
            StatusCode::PRECONDITION_FAILED => Self::Replaced,
            StatusCode::RANGE_NOT_SATISFIABLE => Self::OutOfRange,
            // Garage has no status of its own for its quotas.
            StatusCode::FORBIDDEN if message.contains("quota is reached") => Self::Full,
            StatusCode::INSUFFICIENT_STORAGE => Self::Full,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Self::Unavailable(text())
            }
            status if status.is_client_error() => Self::Refused(text()),
            _ => Self::Unavailable(text()),
        }
    }

    /// What an error of the S3 SDK means.
    pub(super) fn of_sdk<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        match error {
            SdkError::ServiceError(error) => {
                let status = StatusCode::from_u16(error.raw().status().as_u16())
                    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let repeated = error.raw().extension::<Repeated>().is_some();
                let code = error.err().code().unwrap_or("");
                let message = error.err().message().unwrap_or("");
                match status {
                    // A part of a request may fail after the header was sent.
                    status if status.is_success() => {
                        Self::Unavailable(format!("{code}: {message}"))
                    }
                    status => Self::of_answer(status, code, message).if_carried_out(repeated),
                }
            }
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                Some(error) if error.is_other() => Self::Open(texts(error)),
                Some(error) if error.is_user() => Self::Refused(texts(error)),
                Some(error) => Self::Unavailable(texts(error)),
                None => Self::Unavailable("not sent".to_owned()),
            },
            SdkError::ConstructionFailure(error) => {
                let text: String = format!("{error:?}").chars().take(TEXT_CHARS_MAX).collect();
                Self::Refused(format!("the request cannot be made: {text}"))
            }
            SdkError::ResponseError(_) => Self::Unavailable("an answer makes no sense".to_owned()),
            SdkError::TimeoutError(_) => Self::Unavailable("no answer in time".to_owned()),
            _ => Self::Unavailable("an unknown error of the S3 SDK".to_owned()),
        }
    }

    /// The same failure of a request that `may` have been carried out before: no refusal says then that
    /// nothing was stored.
    pub(super) fn if_carried_out(self, may: bool) -> Self {
        match self {
            Self::Refused(_) | Self::Full if may => Self::Unavailable(self.to_string()),
            failure => failure,
        }
    }

    /// The same failure after `some` of what was asked for was carried out, by requests before: then no
    /// reason says that nothing was stored.
    pub(super) fn after(self, some: bool) -> Self {
        match self {
            failure @ (Self::Unavailable(_) | Self::Open(_)) => failure,
            failure if some => Self::Unavailable(failure.to_string()),
            failure => failure,
        }
    }

    /// Whether the same request may succeed when it is made again.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// The innermost cause, which is our own text.
fn texts(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => texts(source),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_storage_promises() {
        let of = |status: u16, code, message| {
            StorageError::from(Failure::of_answer(
                StatusCode::from_u16(status).unwrap(),
                code,
                message,
            ))
        };
        let refused = |error| matches!(error, StorageError::Refused(_));
        let unavailable = |error| matches!(error, StorageError::Unavailable(_));
        assert_eq!(of(404, "NoSuchKey", ""), StorageError::NotFound);
        assert!(unavailable(of(404, "NoSuchUpload", "")));
        for code in ["", "NotFound", "NoSuchThing"] {
            assert!(unavailable(of(404, code, "")), "{code}: a proxy's");
        }
        assert_eq!(of(412, "PreconditionFailed", ""), StorageError::NotFound);
        assert!(refused(of(404, "NoSuchBucket", "")));
        assert!(refused(of(403, "AccessDenied", "No such key")));
        assert!(refused(of(400, "InvalidRequest", "")));
        assert!(unavailable(of(403, "RequestTimeTooSkewed", "")));
        let quota = "Forbidden: Bucket size quota is reached, maximum …";
        assert_eq!(of(403, "AccessDenied", quota), StorageError::Full);
        assert_eq!(of(507, "", ""), StorageError::Full);
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(unavailable(of(status, "", "")), "{status}");
        }
    }
}
