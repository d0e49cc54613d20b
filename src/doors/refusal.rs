//! What a client sees of a denial: status, challenge and body.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::config::Config;
use crate::core::reason::{Fault, Reason};
use crate::core::route::Resource;

/// What everyone but the operator sees of a denial.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// What the challenge says besides the realm: its error, or nothing when no token was sent
    /// (RFC 6750 §3.1). `None` for no challenge.
    challenge: Option<&'static str>,
    /// The gRPC status code of the same meaning.
    pub(super) grpc: tonic::Code,
}

/// Returns the status that a client gets for a refusal.
#[must_use]
pub const fn status(reason: Reason) -> StatusCode {
    Refusal::of(reason).status
}

impl Refusal {
    /// Returns the refusal for a reason. Whose fault it is decides the status; only the faults of
    /// the request have one each.
    pub(super) const fn of(reason: Reason) -> Self {
        use tonic::Code;
        const INVALID_TOKEN: Option<&str> = Some(", error=\"invalid_token\"");
        const SCOPE: Option<&str> = Some(", error=\"insufficient_scope\"");
        const STEP_UP: Option<&str> = Some(", error=\"insufficient_user_authentication\"");
        const INVALID_REQUEST: Option<&str> = Some(", error=\"invalid_request\"");
        let (status, challenge, grpc) = match (reason.fault(), reason) {
            (Fault::Token, Reason::InsufficientUserAuthentication) => {
                (StatusCode::UNAUTHORIZED, STEP_UP, Code::Unauthenticated)
            }
            (Fault::Token, _) => (
                StatusCode::UNAUTHORIZED,
                INVALID_TOKEN,
                Code::Unauthenticated,
            ),
            (Fault::Rights, _) => (StatusCode::FORBIDDEN, SCOPE, Code::PermissionDenied),
            (Fault::Portcullis, _) => (StatusCode::SERVICE_UNAVAILABLE, None, Code::Unavailable),
            (Fault::Request, Reason::MissingToken) => {
                (StatusCode::UNAUTHORIZED, Some(""), Code::Unauthenticated)
            }
            (Fault::Request, Reason::SeveralTokens) => (
                StatusCode::BAD_REQUEST,
                INVALID_REQUEST,
                Code::InvalidArgument,
            ),
            (Fault::Request, Reason::TokenTooLarge) => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                None,
                Code::InvalidArgument,
            ),
            (Fault::Request, Reason::TooLarge) => {
                (StatusCode::PAYLOAD_TOO_LARGE, None, Code::InvalidArgument)
            }
            (Fault::Request, _) => (StatusCode::BAD_REQUEST, None, Code::InvalidArgument),
        };
        Self {
            status,
            challenge,
            grpc,
        }
    }

    /// Returns the phrase of the status, as the title of a problem without a type has to be
    /// (RFC 9457 §4.2.1).
    pub(super) fn title(self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Refused")
    }

    /// Returns the body, `application/problem+json`. `id` is the decision's.
    pub(super) fn body(self, id: &str) -> String {
        let (title, status) = (self.title(), self.status.as_u16());
        format!(
            "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\
             \"instance\":\"urn:portcullis:decision:{id}\",\"decision_id\":\"{id}\"}}"
        )
    }
}

/// `WWW-Authenticate` (RFC 6750 §3, and RFC 9728 §5.1 for `resource_metadata`).
#[derive(Debug)]
pub(super) struct Challenge {
    realm: String,
    /// The last parameter, with the comma in front of it, or nothing.
    metadata: String,
}

impl Challenge {
    pub(super) fn new(config: &Config) -> Self {
        Self::of(config, config.resource.as_ref())
    }

    /// Returns the challenge for a protected resource.
    pub(super) fn of(config: &Config, resource: Option<&Resource>) -> Self {
        let url = resource.map(Resource::metadata_url);
        let url = url.or_else(|| config.resource_metadata.clone());
        let metadata = url.map(|url| format!(", resource_metadata=\"{url}\""));
        Self {
            realm: config.realm.clone(),
            metadata: metadata.unwrap_or_default(),
        }
    }

    /// Returns the headers of a refusal, without `content-type`. `wanted` are parameters of the
    /// challenge.
    pub(super) fn headers(
        &self,
        refusal: Refusal,
        wanted: Option<&str>,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        if let Some(error) = refusal.challenge {
            let (realm, metadata) = (&self.realm, &self.metadata);
            let wanted = wanted.unwrap_or_default();
            let value = format!("Bearer realm=\"{realm}\"{error}{wanted}{metadata}");
            let value = HeaderValue::try_from(value);
            let value = value.unwrap_or(HeaderValue::from_static("Bearer"));
            headers.push((header::WWW_AUTHENTICATE, value));
        }
        if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.push((header::RETRY_AFTER, HeaderValue::from_static("1")));
        }
        headers
    }
}

#[cfg(test)]
mod tests;
