//! Why a request to the admin API is refused: the one place that turns failures into answers.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tonic::{Code, Status};

use crate::core::reason::{Fault, Rejection};
use crate::net::problem;
use crate::revocation::log::AppendError;
use crate::revocation::search::SearchError;

/// A refusal: its status, and what is wrong and what to do. It never quotes a value of the request.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) detail: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, detail }
    }

    /// Refuses a request that cannot be read.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Refuses a request that can be read and makes no sense here.
    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// Refuses to revoke a token that is not good.
    pub(super) fn bad_token(Rejection { reason, detail, .. }: &Rejection) -> Self {
        let expected = detail.as_ref().map(|detail| detail.expected());
        let expected = expected.map(|expected| format!(" (expected {expected})"));
        let expected = expected.unwrap_or_default();
        if reason.fault() == Fault::Portcullis {
            let detail = format!("the token cannot be judged now: {reason}{expected}; try again");
            return Self::unavailable(detail);
        }
        Self::unprocessable(format!(
            "the token is refused already: {reason}{expected}; to revoke other tokens, send issuer \
             and matches"
        ))
    }
}

/// Why a request was refused, in the extensions of the response.
#[derive(Clone, Debug)]
pub(super) struct Why(pub(super) String);

impl From<AppendError> for Refused {
    fn from(error: AppendError) -> Self {
        if let AppendError::Rejected(why) = error {
            return Self::unprocessable(why);
        }
        tracing::error!(%error, "a request to the admin API is not durable");
        Self::unavailable("it could not be made durable; send it again")
    }
}

impl From<SearchError> for Refused {
    fn from(error: SearchError) -> Self {
        Self::unavailable(format!("{error}; try again"))
    }
}

/// The statuses of refusals and the codes of gRPC that stand for them, after the comments of `google.rpc.Code`.
const CODES: [(StatusCode, Code); 11] = [
    (StatusCode::BAD_REQUEST, Code::InvalidArgument),
    (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
    (StatusCode::FORBIDDEN, Code::PermissionDenied),
    (StatusCode::NOT_FOUND, Code::NotFound),
    (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented),
    (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
    (StatusCode::CONFLICT, Code::Aborted),
    (StatusCode::GONE, Code::OutOfRange),
    (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
    (StatusCode::UNPROCESSABLE_ENTITY, Code::FailedPrecondition),
    (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
];

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let code = CODES.iter().find(|(status, _)| *status == refused.status);
        Self::new(
            code.map_or(Code::Internal, |(_, code)| *code),
            refused.detail,
        )
    }
}

/// Returns the status of HTTP that a code of gRPC stands for.
pub(super) fn status_of(code: Code) -> StatusCode {
    let status = CODES.iter().find(|(_, known)| *known == code);
    status.map_or(StatusCode::INTERNAL_SERVER_ERROR, |(status, _)| *status)
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response: Response = problem(self.status, &self.detail);
        response.extensions_mut().insert(Why(self.detail));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
