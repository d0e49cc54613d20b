//! The closed list of reasons why a request is refused, for logs, metrics and dynamic metadata.
//! Operators see the reason; a client never does (see `doors::answer`).

mod rejection;

pub use rejection::{Detail, Rejection};

/// Whose fault a refusal is. A client that gets 401 logs out its user or asks for a new token. So 401
/// is for a missing token and for what is known to be wrong with a token, and for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The token is known to be bad. A new one may help.
    Token,
    /// The client must send another request.
    Request,
    /// The token is good but does not permit this request.
    Rights,
    /// Portcullis does not know, or reached a limit of its own. The same request may pass later, or
    /// after an operator has acted.
    Portcullis,
}

/// Defines [`Reason`] from one table: its doc comment, its name at every interface, and whose fault
/// it is.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal, $fault:ident;)*) => {
        /// The reasons. Their names are an interface: dashboards and alerts match on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// Every reason, for metrics that start at zero and for tests that must cover all.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$reason),*];

            /// Returns whose fault the refusal is.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self {
                    $(Self::$reason => Fault::$fault,)*
                }
            }

            /// Returns the name at every interface.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// The request has no token.
    MissingToken = "missing_token", Request;
    /// Different tokens in several places (RFC 6750 §2: a client uses one).
    SeveralTokens = "several_tokens", Request;
    /// The token is longer than `token.max_size`, or its JSON has too many values.
    TokenTooLarge = "token_too_large", Request;
    /// The token is not a readable JWS, or one place holds two tokens.
    MalformedToken = "malformed_token", Token;
    /// `iss` is absent or names no configured issuer.
    UnknownIssuer = "unknown_issuer", Token;
    /// No usable key of the issuer has this `kid`.
    UnknownKey = "unknown_key", Token;
    /// `alg` is not one that the issuer and the key allow.
    UnsupportedAlgorithm = "unsupported_algorithm", Token;
    /// The signature is wrong.
    BadSignature = "bad_signature", Token;
    /// `exp` has passed (RFC 7519 §4.1.4).
    Expired = "expired", Token;
    /// `nbf` is in the future.
    NotYetValid = "not_yet_valid", Token;
    /// `aud` has none of the issuer's audiences (RFC 7519 §4.1.3).
    WrongAudience = "wrong_audience", Token;
    /// `typ`, or a claim that tells kinds of tokens apart, is of another kind (RFC 8725 §3.11–3.12).
    WrongType = "wrong_type", Token;
    /// `exp − iat` is more than the issuer's `max_token_lifetime` and leeway.
    LifetimeExceeded = "lifetime_exceeded", Token;
    /// A required claim is absent or of the wrong type.
    MissingClaim = "missing_claim", Token;
    /// The token is bound to a key (`cnf`, RFC 7800 §3.1) and came without proof of possession.
    BoundToken = "bound_token", Token;
    /// A revocation matches.
    Revoked = "revoked", Token;
    /// The token is older than the policy's `max_token_age`.
    TokenTooOld = "token_too_old", Token;
    /// The user has to log in again, or by a stronger method (RFC 9470 §3).
    InsufficientUserAuthentication = "insufficient_user_authentication", Token;
    /// The token is good, but lacks a scope that the route requires.
    InsufficientScope = "insufficient_scope", Rights;
    /// The token is good, but its client or subject may not use the route.
    Forbidden = "forbidden", Rights;
    /// The client sent an identity header, or one that CGI reads as one.
    SpoofedIdentity = "spoofed_identity", Request;
    /// The proxy's request cannot be read: the target is not UTF-8, or a header of the door is absent.
    UnreadableRequest = "unreadable_request", Request;
    /// Servers may read the path, the method or the host differently, and policies differ by that.
    AmbiguousRequest = "ambiguous_request", Request;
    /// The proxy's request is larger than a door accepts.
    TooLarge = "too_large", Request;
    /// A verified claim does not fit into its identity header.
    IdentityTooLong = "identity_too_long", Portcullis;
    /// The proxy names a policy that is not configured.
    UnknownPolicy = "unknown_policy", Portcullis;
    /// A condition of the policy has no result for this token and this request.
    ConditionFailed = "condition_failed", Portcullis;
    /// Portcullis has not read its log yet, or has no current keys of this issuer.
    NotReady = "not_ready", Portcullis;
    /// The token may be signed with a newer key, and the issuer's key set cannot be fetched.
    KeysUnavailable = "keys_unavailable", Portcullis;
    /// Too many requests already wait for a key set.
    Overloaded = "overloaded", Portcullis;
    /// Clocks disagree, so the times of the token cannot be judged: the clock jumped, or `iat` is in the
    /// future.
    ClockDisagreement = "clock_disagreement", Portcullis;
    /// The revocation feed is older than `max_staleness`.
    Stale = "stale", Portcullis;
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
