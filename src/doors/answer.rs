//! From a decision to what a client, a proxy and an upstream see: the one place that says so, for
//! every door.
//!
//! A client learns that its token is not good, never why (RFC 6750 §3.1): every bad token gets the
//! same status, challenge and body, except for the id of the decision. With the id, an operator
//! finds the reason in the log and in Envoy's access log.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::check_response::{Encoder, Reply};
use super::config::{Config, TooLong};
use super::identity::Identity;
use crate::core::reason::{Fault, Reason};
use crate::core::request::Request;
use crate::core::token::{Sources, Stripped};
use crate::gate::{Decision, Denial};

/// How decisions are answered under one configuration.
#[derive(Debug)]
pub struct Answers {
    pub(super) identity: Identity,
    pub(super) drop_token: bool,
    /// Where requests may hold tokens.
    pub(super) sources: Sources,
    pub(super) refuse_spoofed: bool,
    pub(super) too_long: TooLong,
    pub(super) challenge: Challenge,
    encoder: Encoder,
}

impl Answers {
    /// Builds the answers of a configuration that passed its check.
    #[must_use]
    pub fn new(config: &Config, sources: Sources) -> Self {
        let identity = Identity::new(config);
        let challenge = Challenge::new(config);
        let encoder = Encoder::new(config.metadata, &identity, &challenge);
        Self {
            identity,
            drop_token: config.drop_token,
            sources,
            refuse_spoofed: config.refuse_spoofed,
            too_long: config.too_long,
            challenge,
            encoder,
        }
    }

    /// Returns what has to change in a request that passes, besides the identity headers: tokens
    /// that the upstream must not see go, and so do headers that read like ours.
    pub(super) fn changes<'a>(
        &'a self,
        decision: &Decision,
        request: &'a Request<'_>,
    ) -> Stripped<'a> {
        let mut changes = match decision {
            Decision::Permit(permit) => {
                self.sources
                    .strip(permit.carriers, self.drop_token, request)
            }
            Decision::Bypass(_) => Stripped::default(),
            Decision::Deny(_) => return Stripped::default(),
        };
        changes
            .remove
            .extend(self.identity.look_alikes(&request.headers));
        changes
    }

    /// Returns the `CheckResponse` for a decision.
    pub(super) fn reply(&self, decision: &Decision, request: &Request<'_>) -> Reply {
        let reply = match decision {
            Decision::Permit(permit) => {
                self.encoder
                    .permit(&self.identity, permit.verified(), permit.id)
            }
            Decision::Bypass(bypass) => self.encoder.bypass(bypass.id),
            Decision::Deny(denial) => return self.refusal(denial, request),
        };
        reply.with(&self.changes(decision, request))
    }

    /// Returns the `CheckResponse` for a denial. A client that speaks gRPC gets its error in that
    /// form.
    pub(super) fn refusal(&self, denial: &Denial, request: &Request<'_>) -> Reply {
        self.encoder.refusal(denial, request.is_grpc())
    }
}

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

impl Refusal {
    /// Returns the refusal for a reason. Whose fault it is decides the status; only the faults of
    /// the request have one each.
    pub(super) const fn of(reason: Reason) -> Self {
        use tonic::Code;
        const INVALID_TOKEN: Option<&str> = Some(", error=\"invalid_token\"");
        const SCOPE: Option<&str> = Some(", error=\"insufficient_scope\"");
        const INVALID_REQUEST: Option<&str> = Some(", error=\"invalid_request\"");
        let (status, challenge, grpc) = match (reason.fault(), reason) {
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
    fn new(config: &Config) -> Self {
        let url = config.resource_metadata.as_ref();
        let metadata = url.map(|url| format!(", resource_metadata=\"{url}\""));
        Self {
            realm: config.realm.clone(),
            metadata: metadata.unwrap_or_default(),
        }
    }

    /// Returns the headers of a refusal, without `content-type`.
    pub(super) fn headers(&self, refusal: Refusal) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        if let Some(error) = refusal.challenge {
            let value = format!("Bearer realm=\"{}\"{error}{}", self.realm, self.metadata);
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
