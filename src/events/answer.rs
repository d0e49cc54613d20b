//! What a sender is told. Every failure becomes a response here and nowhere else.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::metrics::Ended;
use super::outcome::Rejection;
use crate::net::{last, problem, uncached};

/// Why an event was not acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Unauthenticated(&'static str),
    /// Too many events at once.
    Busy,
    TooLarge,
    /// The body did not come in time.
    Slow,
    /// The body broke off.
    Broken,
    /// The body says that it is no JSON.
    WrongType,
    Malformed(Rejection),
    /// Not durable. Also when the store rejects the record: a 4xx would end the sender's attempts,
    /// and the event would be lost.
    Unavailable(String),
}

impl Failure {
    pub(super) const fn ended(&self) -> Ended {
        match self {
            Self::Unauthenticated(_) => Ended::Unauthenticated,
            Self::Busy => Ended::Busy,
            Self::TooLarge => Ended::TooLarge,
            Self::Slow => Ended::Slow,
            Self::Broken | Self::WrongType | Self::Malformed(_) => Ended::Malformed,
            Self::Unavailable(_) => Ended::Unavailable,
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Busy | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Broken | Self::Malformed(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// What the sender may know. What went wrong inside stays in the log.
    fn detail(&self) -> String {
        match self {
            Self::Unauthenticated(_) => "the credentials are absent or wrong".to_owned(),
            Self::Busy => "too many events at once".to_owned(),
            Self::TooLarge => "the body is larger than this listener takes".to_owned(),
            Self::Slow => "the body did not come in time".to_owned(),
            Self::Broken => "the body broke off".to_owned(),
            Self::WrongType => "the body must be application/json, not compressed".to_owned(),
            Self::Malformed(rejection) => rejection.to_string(),
            Self::Unavailable(_) => "the event could not be made durable; send it again".to_owned(),
        }
    }

    /// Whether the connection ends with this answer: strangers keep none, and what is left of a
    /// body is not worth reading.
    const fn is_last(&self) -> bool {
        match self {
            Self::Unauthenticated(_) | Self::Busy | Self::TooLarge | Self::Slow | Self::Broken => {
                true
            }
            Self::WrongType | Self::Malformed(_) | Self::Unavailable(_) => false,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let response = problem(self.status(), &self.detail());
        let mut response = if self.is_last() {
            last(response)
        } else {
            response
        };
        let header = match self {
            Self::Unauthenticated(_) => (header::WWW_AUTHENTICATE, "Basic realm=\"events\""),
            Self::Busy | Self::Unavailable(_) => (header::RETRY_AFTER, "1"),
            _ => return response,
        };
        let value = HeaderValue::from_static(header.1);
        response.headers_mut().insert(header.0, value);
        response
    }
}

/// 200 without a body.
pub(super) fn accepted() -> Response {
    uncached(Response::new(Body::empty()))
}

/// No such source. The configured names are not told.
pub(super) fn not_found() -> Response {
    last(problem(StatusCode::NOT_FOUND, "no such event source"))
}

pub(super) fn wrong_method() -> Response {
    let mut response = last(problem(StatusCode::METHOD_NOT_ALLOWED, "events are posted"));
    let value = HeaderValue::from_static("POST");
    response.headers_mut().insert(header::ALLOW, value);
    response
}
