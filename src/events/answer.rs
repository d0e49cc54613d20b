//! What a sender is told. Every failure becomes a response here and nowhere else.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::auth::Unproven;
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

impl From<Unproven> for Failure {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Forged(why) => Self::Unauthenticated(why),
            Unproven::KeysUnavailable(why) => Self::Unavailable(why),
        }
    }
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

    /// Returns the answer. It says what the sender may know; what went wrong inside stays in the
    /// log. Strangers lose their connection, and so do senders whose body is not worth reading on.
    pub(super) fn answer(&self) -> Response {
        match self {
            Self::Unauthenticated(_) => with(
                last(problem(
                    StatusCode::UNAUTHORIZED,
                    "the credentials are absent or wrong",
                )),
                header::WWW_AUTHENTICATE,
                "Basic realm=\"events\"",
            ),
            Self::Busy => last(try_again("too many events at once")),
            Self::TooLarge => last(problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is larger than this listener takes",
            )),
            Self::Slow => last(problem(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not come in time",
            )),
            Self::Broken => last(problem(StatusCode::BAD_REQUEST, "the body broke off")),
            Self::WrongType => problem(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/json, not compressed",
            ),
            Self::Malformed(rejection) => problem(StatusCode::BAD_REQUEST, &rejection.to_string()),
            Self::Unavailable(_) => try_again("the event could not be made durable; send it again"),
        }
    }
}

fn try_again(detail: &str) -> Response {
    let response = problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    with(response, header::RETRY_AFTER, "1")
}

fn with(mut response: Response, name: HeaderName, value: &'static str) -> Response {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    response
}

/// Returns 200 without a body.
pub(super) fn accepted() -> Response {
    uncached(Response::new(Body::empty()))
}

/// There is no such source. The configured names are not told.
pub(super) fn not_found() -> Response {
    last(problem(StatusCode::NOT_FOUND, "no such event source"))
}

pub(super) fn wrong_method() -> Response {
    let response = last(problem(StatusCode::METHOD_NOT_ALLOWED, "events are posted"));
    with(response, header::ALLOW, "POST")
}
