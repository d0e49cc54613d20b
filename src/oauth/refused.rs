//! Why a request to an OAuth endpoint is refused: the one place that turns failures into answers.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::net::{last, uncached};
use crate::revocation::log::AppendError;

/// A refusal: its status, its code (RFC 6749 §5.2), and what is wrong. It never quotes a value of the
/// request.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    code: &'static str,
    description: String,
}

impl Refused {
    pub(super) fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            description: description.into(),
        }
    }

    /// Returns the code, for the audit trail.
    pub(super) const fn error(&self) -> &'static str {
        self.code
    }

    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    /// Refuses a client that did not prove itself. All of them get the same answer.
    pub(super) fn invalid_client() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..Self::new(
                "invalid_client",
                "the client is unknown or its secret is wrong",
            )
        }
    }

    /// Refuses for now: the client must try again, and must take the token for still valid until then
    /// (RFC 7009 §2.2.1).
    pub(super) fn unavailable(description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..Self::new("temporarily_unavailable", description)
        }
    }
}

impl From<AppendError> for Refused {
    fn from(error: AppendError) -> Self {
        tracing::error!(%error, "a revocation by an OAuth client is not durable");
        Self::unavailable("the revocation could not be made durable; send it again")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code, "error_description": self.description });
        let mut response = json_answer(self.status, &body);
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static("Basic realm=\"oauth2\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
                last(response)
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            _ => response,
        }
    }
}

/// Returns an answer that no cache keeps.
pub(super) fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    uncached(response)
}
