//! What a sender is told. Every failure becomes a response here and nowhere else.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::auth::Unproven;
use super::metrics::Ended;
use super::outcome::Rejection;
use super::resources::Plan;
use crate::net::{last, problem, uncached};
use crate::revocation::log::AppendError;

/// How senders of a format want to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answers {
    pub(super) success: StatusCode,
    /// If nobody can be found by what the event is about.
    pub(super) unresolved: StatusCode,
    pub(super) failures: Failures,
    /// What a 401 in the form [`Failures::Problem`] asks for.
    pub(super) challenge: Option<&'static str>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            success: StatusCode::OK,
            unresolved: StatusCode::BAD_REQUEST,
            failures: Failures::Problem,
            challenge: None,
        }
    }
}

/// The form of a failure's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failures {
    /// `application/problem+json` (RFC 9457); 401 asks for what the source takes.
    Problem,
    /// `application/problem+json`; 401 asks for a bearer token (RFC 6750 §3).
    Bearer,
    /// `err` and `description` (RFC 8935 §2.4); what is wrong with a sender or its token is 400.
    SecurityEvent,
    /// `error` and `error_description` (OpenID Connect Back-Channel Logout 1.0 §2.8); what is wrong
    /// with a token is 400.
    OpenId,
    /// A SCIM error (RFC 7644 §3.12).
    Scim,
}

/// Why an event was not acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The credentials in the headers are absent or wrong.
    Stranger,
    /// The signature or the token of the body does not hold. The sentence is for the log.
    Forged(&'static str),
    /// The token is the sender's, and breaks a rule.
    Refused(Rejection),
    /// Too many events at once.
    Busy,
    /// Its source sent too many, and has to wait for so long.
    TooMany(Duration),
    TooLarge,
    /// The body did not come in time.
    Slow,
    /// The body broke off.
    Broken,
    /// The body is of none of these media types.
    WrongType(&'static [&'static str]),
    Malformed(Rejection),
    /// What the request is about is not here, is there already, or cannot be done: with the status and the
    /// code that the format has for it.
    Told(StatusCode, &'static str, &'static str),
    /// Nobody can be found by what the event is about.
    Unresolved(Rejection),
    /// The same, but it may be different soon.
    UnresolvedYet(Rejection),
    /// Not durable.
    Unavailable(String),
    /// Not durable, because the store rejects the record. A sender is told to try again all the same: a 4xx
    /// would end its attempts, and the event would be lost although the configuration may be at fault. A
    /// provider that is asked is not asked for it again: it would stand in the way of all others.
    Rejected(String),
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Rejected(why) => Self::Rejected(why),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<Unproven> for Failure {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Forged(why) => Self::Forged(why),
            Unproven::Malformed(rejection) => Self::Malformed(rejection),
            Unproven::Refused(rejection) => Self::Refused(rejection),
            Unproven::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl Failure {
    pub(super) const fn ended(&self) -> Ended {
        match self {
            Self::Stranger | Self::Forged(_) | Self::Refused(_) => Ended::Unauthenticated,
            Self::Busy => Ended::Busy,
            Self::TooMany(_) => Ended::RateLimited,
            Self::TooLarge => Ended::TooLarge,
            Self::Slow => Ended::Slow,
            Self::Told(StatusCode::CONFLICT, ..) => Ended::Duplicate,
            Self::Told(StatusCode::NOT_FOUND, ..)
            | Self::Unresolved(_)
            | Self::UnresolvedYet(_) => Ended::Unresolved,
            Self::Broken | Self::WrongType(_) | Self::Malformed(_) | Self::Told(..) => {
                Ended::Malformed
            }
            Self::Unavailable(_) | Self::Rejected(_) => Ended::Unavailable,
        }
    }

    /// Logs the failure of an event of `source`.
    pub(super) fn log(&self, source: &str) {
        match self {
            Self::Stranger => {
                let why = "the credentials do not match";
                tracing::warn!(source, why, "event refused: unauthenticated");
            }
            Self::Forged(why) => {
                tracing::warn!(source, why, "event refused: unauthenticated");
            }
            Self::Refused(rejection) => {
                let why = rejection.to_string();
                tracing::warn!(source, why = ?why, "event refused: its token breaks a rule");
            }
            Self::Unavailable(why) => {
                tracing::error!(source, why, "event not acknowledged: not durable");
            }
            Self::Rejected(why) => {
                tracing::error!(source, why, "event not recorded: the log does not take it");
            }
            Self::Malformed(rejection) => {
                let why = rejection.to_string();
                tracing::warn!(source, why = ?why, "event refused: not understood");
            }
            Self::Unresolved(rejection) | Self::UnresolvedYet(rejection) => {
                let why = rejection.to_string();
                tracing::warn!(source, why = ?why, "event refused: nobody is found by its subject");
            }
            other => tracing::warn!(source, why = ?other, "event refused"),
        }
    }

    /// Returns whether the same event may succeed later.
    pub(super) const fn passes(&self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::Slow
                | Self::TooMany(_)
                | Self::Unavailable(_)
                | Self::UnresolvedYet(_)
        )
    }

    /// Returns the error of an event in the form of RFC 8935 §2.4 and RFC 8936 §2.4.
    pub(super) fn security_event_error(&self) -> Value {
        let (_, detail) = self.told(StatusCode::BAD_REQUEST);
        json!({ "err": self.security_event_code(), "description": detail })
    }

    /// Returns the answer. It says what the sender may know; what went wrong inside stays in the
    /// log. Strangers lose their connection, and so do senders whose body is not worth reading on.
    pub(super) fn answer(&self, answers: Answers) -> Response {
        let form = answers.failures;
        let (status, detail) = self.told(answers.unresolved);
        let response = match form {
            Failures::Problem | Failures::Bearer => problem(status, &detail),
            Failures::SecurityEvent => {
                let body = self.security_event_error();
                with(coded(status, &body), header::CONTENT_LANGUAGE, "en")
            }
            Failures::OpenId => {
                let body = json!({ "error": "invalid_request", "error_description": detail });
                coded(status, &body)
            }
            Failures::Scim => self.scim_error(status, &detail),
        };
        match self {
            Self::Stranger | Self::Forged(_) | Self::Refused(_) => {
                let challenge = match form {
                    Failures::Problem => answers.challenge,
                    Failures::Scim => answers.challenge.or(Some("Bearer")),
                    Failures::Bearer => Some("Bearer error=\"invalid_token\""),
                    Failures::SecurityEvent | Failures::OpenId => None,
                };
                last(match challenge {
                    Some(challenge) => with(response, header::WWW_AUTHENTICATE, challenge),
                    None => response,
                })
            }
            Self::TooLarge | Self::Slow | Self::Broken => last(response),
            Self::Busy => last(with(response, header::RETRY_AFTER, "1")),
            Self::Unavailable(_) | Self::Rejected(_) | Self::UnresolvedYet(_) => {
                with(response, header::RETRY_AFTER, "1")
            }
            Self::TooMany(wait) => {
                let mut response = response;
                let seconds = wait.as_millis().div_ceil(1000).max(1);
                let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, seconds.into());
                response
            }
            Self::WrongType(_) | Self::Malformed(_) | Self::Told(..) | Self::Unresolved(_) => {
                response
            }
        }
    }

    /// Returns the status, and the sentence that explains it.
    fn told(&self, unresolved: StatusCode) -> (StatusCode, Cow<'static, str>) {
        let (status, detail) = match self {
            Self::Stranger => (
                StatusCode::UNAUTHORIZED,
                "the credentials are absent or wrong",
            ),
            Self::Forged(_) => (
                StatusCode::UNAUTHORIZED,
                "the signature or the token does not hold",
            ),
            Self::Refused(rejection) => {
                return (StatusCode::UNAUTHORIZED, rejection.to_string().into());
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many events at once"),
            Self::TooMany(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many events of this source; send it again after Retry-After",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is larger than this listener takes",
            ),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
            Self::Broken => (StatusCode::BAD_REQUEST, "the body broke off"),
            Self::WrongType(accepted) => {
                let accepted = accepted.join(" or ");
                let detail = format!("the body must be {accepted}, not compressed");
                return (StatusCode::UNSUPPORTED_MEDIA_TYPE, detail.into());
            }
            Self::Malformed(rejection) => {
                return (StatusCode::BAD_REQUEST, rejection.to_string().into());
            }
            Self::Told(status, _, detail) => (*status, *detail),
            Self::Unresolved(rejection) => return (unresolved, rejection.to_string().into()),
            Self::UnresolvedYet(rejection) => {
                return (
                    StatusCode::SERVICE_UNAVAILABLE,
                    rejection.to_string().into(),
                );
            }
            Self::Unavailable(_) | Self::Rejected(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the event could not be made durable; send it again",
            ),
        };
        (status, detail.into())
    }

    /// Returns the answer in the form of RFC 7644 §3.12.
    fn scim_error(&self, status: StatusCode, detail: &str) -> Response {
        let code = match self {
            Self::Told(_, code, _) => *code,
            Self::Malformed(_) => "invalidSyntax",
            _ => "",
        };
        scim(status, Some(&scim_error(status, code, detail)))
    }

    /// Returns the code of RFC 8935 §2.4.
    fn security_event_code(&self) -> &'static str {
        match self {
            Self::Stranger => "authentication_failed",
            Self::Forged(_) => "invalid_key",
            Self::Refused(Rejection { path, .. }) if path == "iss" => "invalid_issuer",
            Self::Refused(Rejection { path, .. }) if path == "aud" => "invalid_audience",
            _ => "invalid_request",
        }
    }
}

/// Returns a JSON answer of a protocol in which 400 stands for 401.
fn coded(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = match status {
        StatusCode::UNAUTHORIZED => StatusCode::BAD_REQUEST,
        status => status,
    };
    uncached(with(response, header::CONTENT_TYPE, "application/json"))
}

fn with(mut response: Response, name: HeaderName, value: &'static str) -> Response {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    response
}

/// Returns the answer to an event that was dealt with, without a body.
pub(super) fn accepted(answers: Answers) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answers.success;
    uncached(response)
}

/// Returns the error of RFC 7644 §3.12. An empty code is left out.
pub(super) fn scim_error(status: StatusCode, code: &str, detail: &str) -> Value {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": status.as_str(),
        "detail": detail,
    });
    if !code.is_empty() {
        body["scimType"] = code.into();
    }
    body
}

/// Returns the answer to a request about a resource.
pub(super) fn resource(plan: Plan) -> Response {
    let mut response = scim(plan.status, plan.body.as_ref());
    let location = plan.location.and_then(|path| path.try_into().ok());
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn scim(status: StatusCode, body: Option<&Value>) -> Response {
    let text = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let mut response = Response::new(text);
    *response.status_mut() = status;
    match body {
        None => uncached(response),
        Some(_) => uncached(with(
            response,
            header::CONTENT_TYPE,
            "application/scim+json",
        )),
    }
}

/// The answer to a request that carries no event, by which a provider checks the address.
pub(super) struct Handshake {
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

/// Returns the answer to a handshake. It echoes what a stranger sent, so no browser may take it for a
/// page.
pub(super) fn handshake(handshake: Handshake) -> Response {
    let response = Response::new(Body::from(handshake.body));
    let response = with(response, header::CONTENT_TYPE, handshake.content_type);
    uncached(with(response, header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
}

/// There is no such source. The configured names are not told.
pub(super) fn not_found() -> Response {
    last(problem(StatusCode::NOT_FOUND, "no such event source"))
}

pub(super) fn wrong_method() -> Response {
    let response = last(problem(StatusCode::METHOD_NOT_ALLOWED, "events are posted"));
    with(response, header::ALLOW, "POST")
}
