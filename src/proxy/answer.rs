//! From a decision to what a client, a proxy and an upstream see: the one place that says so, for
//! every door.
//!
//! A client learns that its token is no good, never why (RFC 6750 §3.1): every bad token gets the
//! same status, challenge and body, but for the decision's id. With it, an operator finds the
//! reason in the log and in Envoy's access log.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::config::Config;
use super::encode::Encoder;
use super::identity::Identity;
use crate::gate::{Decision, DecisionId};
use crate::reason::Reason;

/// How decisions are answered under one configuration.
#[derive(Debug)]
pub struct Answers {
    pub(super) identity: Identity,
    pub(super) drop_authorization: bool,
    pub(super) metadata: bool,
    pub(super) encoder: Encoder,
    challenges: [HeaderValue; 4],
}

impl Answers {
    /// Reads a configuration that was checked.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut answers = Self {
            identity: Identity::new(config),
            drop_authorization: config.drop_authorization,
            metadata: config.metadata,
            encoder: Encoder::default(),
            challenges: Challenge::ALL.map(|challenge| challenge.header(&config.realm)),
        };
        answers.encoder = Encoder::new(&answers);
        answers
    }

    /// A decision as a `CheckResponse`, framed for gRPC. `grpc` says whether the client behind the
    /// proxy speaks gRPC and wants its error in that form.
    #[must_use]
    pub fn to_grpc(&self, decision: &Decision, grpc: bool) -> Bytes {
        self.encoder.encode(self, decision, grpc)
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

/// `WWW-Authenticate` (RFC 6750 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// No token was sent, so there is no error to name.
    Bare,
    InvalidToken,
    Scope,
    InvalidRequest,
}

impl Refusal {
    pub(super) const fn of(reason: Reason) -> Self {
        match reason {
            Reason::MissingToken => Self::unauthenticated(Challenge::Bare),
            Reason::MalformedToken
            | Reason::UnknownIssuer
            | Reason::UnknownKey
            | Reason::UnsupportedAlgorithm
            | Reason::BadSignature
            | Reason::Expired
            | Reason::NotYetValid
            | Reason::WrongAudience
            | Reason::WrongType
            | Reason::LifetimeExceeded
            | Reason::MissingClaim
            | Reason::BoundToken
            | Reason::Revoked => Self::unauthenticated(Challenge::InvalidToken),
            Reason::InsufficientScope => Self {
                challenge: Some(Challenge::Scope),
                ..Self::FORBIDDEN
            },
            Reason::Forbidden => Self::FORBIDDEN,
            Reason::SeveralTokens => Self {
                challenge: Some(Challenge::InvalidRequest),
                ..Self::of_request(StatusCode::BAD_REQUEST)
            },
            Reason::SpoofedIdentity | Reason::UnreadableRequest => {
                Self::of_request(StatusCode::BAD_REQUEST)
            }
            Reason::TokenTooLarge => Self::of_request(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Reason::TooLarge => Self::of_request(StatusCode::PAYLOAD_TOO_LARGE),
            Reason::IdentityTooLong
            | Reason::NotReady
            | Reason::KeysUnavailable
            | Reason::Overloaded
            | Reason::ClockDisagreement
            | Reason::Stale => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                challenge: None,
                grpc: tonic::Code::Unavailable,
            },
        }
    }

    const fn of_request(status: StatusCode) -> Self {
        Self {
            status,
            challenge: None,
            grpc: tonic::Code::InvalidArgument,
        }
    }

    const FORBIDDEN: Self = Self {
        status: StatusCode::FORBIDDEN,
        challenge: None,
        grpc: tonic::Code::PermissionDenied,
    };

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

    fn header(self, realm: &str) -> HeaderValue {
        let error = match self {
            Self::Bare => "",
            Self::InvalidToken => ", error=\"invalid_token\"",
            Self::Scope => ", error=\"insufficient_scope\"",
            Self::InvalidRequest => ", error=\"invalid_request\"",
        };
        HeaderValue::from_str(&format!("Bearer realm=\"{realm}\"{error}"))
            .unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// The sixteen digits of an id as text.
pub(super) fn digits(id: &[u8; DecisionId::LEN]) -> &str {
    std::str::from_utf8(id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_token_looks_the_same_whatever_is_bad_about_it() {
        let answers = Answers::new(&Config::default());
        for reason in Reason::ALL {
            let refusal = Refusal::of(reason);
            let headers = answers.headers(refusal);
            let challenge = headers
                .iter()
                .find(|(name, _)| name == header::WWW_AUTHENTICATE);
            let challenge = challenge.map(|(_, value)| value.to_str().unwrap());
            let expected = match reason {
                Reason::MissingToken => (401, Some("Bearer realm=\"portcullis\"")),
                Reason::InsufficientScope => (
                    403,
                    Some("Bearer realm=\"portcullis\", error=\"insufficient_scope\""),
                ),
                Reason::Forbidden => (403, None),
                Reason::SeveralTokens => (
                    400,
                    Some("Bearer realm=\"portcullis\", error=\"invalid_request\""),
                ),
                Reason::SpoofedIdentity | Reason::UnreadableRequest => (400, None),
                Reason::TokenTooLarge => (431, None),
                Reason::TooLarge => (413, None),
                Reason::IdentityTooLong
                | Reason::NotReady
                | Reason::KeysUnavailable
                | Reason::Overloaded
                | Reason::ClockDisagreement
                | Reason::Stale => (503, None),
                _ => (
                    401,
                    Some("Bearer realm=\"portcullis\", error=\"invalid_token\""),
                ),
            };
            assert_eq!((refusal.status.as_u16(), challenge), expected, "{reason}");
            assert!(!refusal.body("0").contains(reason.as_str()), "{reason}");
            assert!(headers.contains(&(header::CACHE_CONTROL, "no-store".parse().unwrap())));
            let retry = headers.iter().any(|(name, _)| name == header::RETRY_AFTER);
            assert_eq!(retry, refusal.status.as_u16() == 503);
        }
    }

    #[test]
    fn the_body_is_a_problem_document() {
        let body = Refusal::of(Reason::Revoked).body("0123456789abcdef");
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            read,
            serde_json::json!({
                "type": "about:blank",
                "title": "Unauthorized",
                "status": 401,
                "instance": "urn:portcullis:decision:0123456789abcdef",
                "decision_id": "0123456789abcdef",
            })
        );
    }
}
