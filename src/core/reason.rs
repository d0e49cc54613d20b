//! Why a request was refused: one closed list, used alike in logs, metrics, dynamic metadata and
//! `explain`. Operators see the reason; a client never does (see `doors::answer`).

mod rejection;

pub use rejection::{Detail, Rejection};

/// Whose fault a refusal is. A client that gets 401 logs its user out or asks for a new token, so
/// only what is known to be wrong with the token may lead there, and a token that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The token is known to be no good: a new one may help.
    Token,
    /// The request has to be made differently.
    Request,
    /// The token is good, and its owner may not do this.
    Rights,
    /// Portcullis does not know, or reached a limit of its own: the same request may pass later, or
    /// when an operator has done something.
    Portcullis,
}

/// The reasons. Their names are an interface: dashboards and alerts match on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No token where one may be.
    MissingToken,
    /// Different tokens in several places (RFC 6750 §2: a client uses one).
    SeveralTokens,
    /// The token is longer than `token.max_size`.
    TokenTooLarge,
    /// Not a JWS that can be read, or two tokens in one place.
    MalformedToken,
    /// `iss` is absent or names no configured issuer.
    UnknownIssuer,
    /// No usable key of the issuer has this `kid`.
    UnknownKey,
    /// `alg` is not one that the issuer and the key allow.
    UnsupportedAlgorithm,
    /// The signature does not fit.
    BadSignature,
    /// `exp` is over (RFC 7519 §4.1.4).
    Expired,
    /// `nbf` or `iat` lies in the future.
    NotYetValid,
    /// `aud` has none of the issuer's audiences (RFC 7519 §4.1.3).
    WrongAudience,
    /// `typ`, or a claim that tells kinds of tokens apart, is of another kind (RFC 8725 §3.11–3.12).
    WrongType,
    /// `exp − iat` is more than the issuer's `max_token_lifetime` and leeway.
    LifetimeExceeded,
    /// A required claim is absent or of the wrong type.
    MissingClaim,
    /// The token is bound to a key (`cnf`, RFC 7800 §3.1) and came without proof of possession.
    BoundToken,
    /// A revocation matches.
    Revoked,
    /// The token is good, its scope does not reach.
    InsufficientScope,
    /// The token is good, this client or subject may not.
    Forbidden,
    /// The client sent a header that tells upstreams who the user is, or one that reads alike.
    SpoofedIdentity,
    /// The proxy's question cannot be read: the target is no UTF-8, a header of the door is absent.
    UnreadableRequest,
    /// The proxy's question is larger than a door takes.
    TooLarge,
    /// A verified claim does not fit into its identity header.
    IdentityTooLong,
    /// Portcullis does not know enough yet, or no longer, about this issuer's keys.
    NotReady,
    /// The token may be signed with a newer key, and the issuer's key set cannot be fetched now.
    KeysUnavailable,
    /// Too many requests wait for a key set already.
    Overloaded,
    /// Clocks disagree, so it is not known whether a revocation of this token was forgotten.
    ClockDisagreement,
    /// The revocation feed is older than `max_staleness`.
    Stale,
}

impl Reason {
    /// Every reason, for metrics that start at zero and for tests that must cover all.
    pub const ALL: [Self; 27] = [
        Self::MissingToken,
        Self::SeveralTokens,
        Self::TokenTooLarge,
        Self::MalformedToken,
        Self::UnknownIssuer,
        Self::UnknownKey,
        Self::UnsupportedAlgorithm,
        Self::BadSignature,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongAudience,
        Self::WrongType,
        Self::LifetimeExceeded,
        Self::MissingClaim,
        Self::BoundToken,
        Self::Revoked,
        Self::InsufficientScope,
        Self::Forbidden,
        Self::SpoofedIdentity,
        Self::UnreadableRequest,
        Self::TooLarge,
        Self::IdentityTooLong,
        Self::NotReady,
        Self::KeysUnavailable,
        Self::Overloaded,
        Self::ClockDisagreement,
        Self::Stale,
    ];

    /// Returns whose fault the refusal is.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self {
            Self::MissingToken
            | Self::SeveralTokens
            | Self::TokenTooLarge
            | Self::SpoofedIdentity
            | Self::UnreadableRequest
            | Self::TooLarge => Fault::Request,
            Self::MalformedToken
            | Self::UnknownIssuer
            | Self::UnknownKey
            | Self::UnsupportedAlgorithm
            | Self::BadSignature
            | Self::Expired
            | Self::NotYetValid
            | Self::WrongAudience
            | Self::WrongType
            | Self::LifetimeExceeded
            | Self::MissingClaim
            | Self::BoundToken
            | Self::Revoked => Fault::Token,
            Self::InsufficientScope | Self::Forbidden => Fault::Rights,
            Self::IdentityTooLong
            | Self::NotReady
            | Self::KeysUnavailable
            | Self::Overloaded
            | Self::ClockDisagreement
            | Self::Stale => Fault::Portcullis,
        }
    }

    /// The name at every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::SeveralTokens => "several_tokens",
            Self::TokenTooLarge => "token_too_large",
            Self::MalformedToken => "malformed_token",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongAudience => "wrong_audience",
            Self::WrongType => "wrong_type",
            Self::LifetimeExceeded => "lifetime_exceeded",
            Self::MissingClaim => "missing_claim",
            Self::BoundToken => "bound_token",
            Self::Revoked => "revoked",
            Self::InsufficientScope => "insufficient_scope",
            Self::Forbidden => "forbidden",
            Self::SpoofedIdentity => "spoofed_identity",
            Self::UnreadableRequest => "unreadable_request",
            Self::TooLarge => "too_large",
            Self::IdentityTooLong => "identity_too_long",
            Self::NotReady => "not_ready",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Overloaded => "overloaded",
            Self::ClockDisagreement => "clock_disagreement",
            Self::Stale => "stale",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
