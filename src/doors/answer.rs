//! From a decision to what a client, a proxy and an upstream see: the one place that says so, for
//! every door.
//!
//! A client learns that its token is no good, never why (RFC 6750 §3.1): every bad token gets the
//! same status, challenge and body, but for the decision's id. With it, an operator finds the
//! reason in the log and in Envoy's access log.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::config::{Config, TooLong};
use super::encode::{Encoder, amended};
use super::identity::Identity;
use crate::core::reason::{Fault, Reason};
use crate::core::request::Request;
use crate::core::token::{Sources, Stripped};
use crate::gate::{Decision, DecisionId};

/// How decisions are answered under one configuration.
#[derive(Debug)]
pub struct Answers {
    pub(super) identity: Identity,
    pub(super) drop_token: bool,
    /// Where requests may hold tokens.
    pub(super) sources: Sources,
    pub(super) refuse_spoofed: bool,
    pub(super) too_long: TooLong,
    pub(super) metadata: bool,
    pub(super) encoder: Encoder,
    challenges: [HeaderValue; 4],
}

impl Answers {
    /// Reads a configuration that was checked.
    #[must_use]
    pub fn new(config: &Config, sources: Sources) -> Self {
        let mut answers = Self {
            identity: Identity::new(config),
            drop_token: config.drop_token,
            sources,
            refuse_spoofed: config.refuse_spoofed,
            too_long: config.too_long,
            metadata: config.metadata,
            encoder: Encoder::default(),
            challenges: Challenge::ALL.map(|challenge| challenge.header(config)),
        };
        answers.encoder = Encoder::new(&answers);
        answers
    }

    /// Returns what has to change in a request so that the upstream sees no token that it must not.
    pub(super) fn strip(&self, decision: &Decision, request: &Request<'_>) -> Stripped<'_> {
        match decision {
            Decision::Permit(permit) => {
                self.sources
                    .strip(permit.carriers, self.drop_token, request)
            }
            Decision::Bypass(_) | Decision::Deny(_) => Stripped::default(),
        }
    }

    /// Encodes a decision as a `CheckResponse`, framed for gRPC. A client that speaks gRPC gets
    /// its error in that form. Headers of the request that read like ours are removed, and so are
    /// tokens that the upstream must not see.
    #[must_use]
    pub fn to_grpc(&self, decision: &Decision, request: &Request<'_>) -> Bytes {
        let answer = self.encoder.encode(self, decision, request.is_grpc());
        if matches!(decision, Decision::Deny(_)) {
            return answer;
        }
        let mut look_alikes = self.identity.look_alikes(&request.headers).peekable();
        let stripped = self.strip(decision, request);
        if look_alikes.peek().is_none() && stripped.is_empty() {
            return answer;
        }
        amended(&answer, look_alikes, &stripped)
    }

    /// The headers of a refusal, without `content-type`.
    pub(super) fn headers(&self, refusal: Refusal) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        if let Some(challenge) = refusal.challenge {
            let value = self.challenges[challenge as usize].clone();
            headers.push((header::WWW_AUTHENTICATE, value));
        }
        if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.push((header::RETRY_AFTER, HeaderValue::from_static("1")));
        }
        headers
    }
}

/// The media type of [`Refusal::body`] (RFC 9457 §3).
pub(super) const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What everyone but the operator sees of a denial.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) challenge: Option<Challenge>,
    /// The gRPC status code of the same meaning.
    pub(super) grpc: tonic::Code,
}

/// `WWW-Authenticate` (RFC 6750 §3, and RFC 9728 §5.1 for `resource_metadata`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// No token was sent, so there is no error to name.
    Bare,
    InvalidToken,
    Scope,
    InvalidRequest,
}

impl Refusal {
    /// Whose fault it is decides the status, but for the request's, which have one each.
    pub(super) const fn of(reason: Reason) -> Self {
        match reason.fault() {
            Fault::Token => Self::unauthenticated(Challenge::InvalidToken),
            Fault::Rights => Self {
                status: StatusCode::FORBIDDEN,
                challenge: Some(Challenge::Scope),
                grpc: tonic::Code::PermissionDenied,
            },
            Fault::Portcullis => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                challenge: None,
                grpc: tonic::Code::Unavailable,
            },
            Fault::Request => Self::of_request(reason),
        }
    }

    const fn of_request(reason: Reason) -> Self {
        let (status, challenge) = match reason {
            Reason::MissingToken => return Self::unauthenticated(Challenge::Bare),
            Reason::SeveralTokens => (StatusCode::BAD_REQUEST, Some(Challenge::InvalidRequest)),
            Reason::TokenTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, None),
            Reason::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
            _ => (StatusCode::BAD_REQUEST, None),
        };
        Self {
            status,
            challenge,
            grpc: tonic::Code::InvalidArgument,
        }
    }

    const fn unauthenticated(challenge: Challenge) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            challenge: Some(challenge),
            grpc: tonic::Code::Unauthenticated,
        }
    }

    /// A problem of no special type has its status' phrase as title (RFC 9457 §4.2.1).
    pub(super) fn title(self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Refused")
    }

    /// The body, [`PROBLEM`]. `id` is the text form of a [`DecisionId`].
    pub(super) fn body(self, id: &str) -> String {
        let (title, status) = (self.title(), self.status.as_u16());
        format!(
            "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\
             \"instance\":\"urn:portcullis:decision:{id}\",\"decision_id\":\"{id}\"}}"
        )
    }

    /// What a gRPC client gets for a body: `grpc-message`.
    pub(super) fn message(self, id: &str) -> String {
        format!("{} (decision {id})", self.title())
    }
}

impl Challenge {
    /// In the order of their discriminants.
    const ALL: [Self; 4] = [
        Self::Bare,
        Self::InvalidToken,
        Self::Scope,
        Self::InvalidRequest,
    ];

    fn header(self, config: &Config) -> HeaderValue {
        let error = match self {
            Self::Bare => "",
            Self::InvalidToken => ", error=\"invalid_token\"",
            Self::Scope => ", error=\"insufficient_scope\"",
            Self::InvalidRequest => ", error=\"invalid_request\"",
        };
        let metadata = config.resource_metadata.as_ref();
        let metadata = metadata.map(|url| format!(", resource_metadata=\"{url}\""));
        let (realm, metadata) = (&config.realm, metadata.unwrap_or_default());
        HeaderValue::from_str(&format!("Bearer realm=\"{realm}\"{error}{metadata}"))
            .unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// The sixteen digits of an id as text.
pub(super) fn digits(id: &[u8; DecisionId::LEN]) -> &str {
    std::str::from_utf8(id).unwrap_or_default()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
