//! What a sender is told. Every failure becomes a response here and nowhere else.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::metrics::Ended;
use super::outcome::Rejection;

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

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::Unauthenticated(_) => {
                let challenge = HeaderValue::from_static("Basic realm=\"events\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::Busy | Self::Unavailable(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // What is left of the body is not worth reading.
            Self::TooLarge | Self::Slow | Self::Broken => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::WrongType | Self::Malformed(_) => {}
        }
        headers
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = problem(self.status(), &self.detail());
        response.headers_mut().extend(self.headers());
        response
    }
}

/// 200 without a body.
pub(super) fn accepted() -> Response {
    uncached(Response::new(Body::empty()))
}

/// No such source. The configured names are not told.
pub(super) fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "no such event source")
}

pub(super) fn wrong_method() -> Response {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "events are posted");
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    uncached(response)
}

fn uncached(mut response: Response) -> Response {
    let value = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
    response
}
