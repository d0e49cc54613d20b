//! Claims that were verified: the JWT's payload (RFC 7519 §4) as the rest of the program reads it.

pub(super) mod json;
mod path;
mod payload;
mod requirement;
mod typed;

use std::sync::{Arc, LazyLock};

use path::Steps;
pub use path::{BadPath, ClaimPath};
pub use payload::{Payload, Values};
pub use requirement::Requirement;
pub use typed::{Members, Typed};

use crate::core::clock::UnixMillis;
use crate::core::reason::{Reason, Rejection};

static AUTH_TIME: LazyLock<ClaimPath> = LazyLock::new(|| ClaimPath::of_record("auth_time"));

/// Seconds by which a login may be later than now and than its token: an issuer has several machines.
const AHEAD: u64 = 60;

/// Stands in the place of a claim for the base64url of the SHA-256 of a token's header and payload, as they
/// are signed. Only a token without `jti` has it. The signature is left out: of an ECDSA signature anybody
/// can make another one that holds.
pub const SIGNED_PART: &str = "token#sha256";

/// The claims of one token. A value of this type exists only after every check of `verify` passed.
#[derive(Clone)]
pub struct Claims {
    /// `iss`, exactly as configured.
    pub issuer: Arc<str>,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// The first that the token has of the issuer's `client_claims`.
    pub client: Option<Box<str>>,
    /// `jti`.
    pub token_id: Option<Box<str>>,
    /// `iat` in whole seconds since the epoch, rounded down; `None` when the token has none.
    pub issued_at: Option<u64>,
    /// `iat`; for a token without one, the earliest second in which it may have been issued, which
    /// is `exp − max_token_lifetime − leeway` unless those were raised since. Seconds.
    pub counts_as_issued_at: u64,
    /// `exp` in whole seconds since the epoch, rounded down.
    pub expires_at: u64,
    /// The whole payload.
    pub all: Payload,
}

impl Claims {
    /// Returns the values of a claim. A claim that is `null` counts as absent; an object has no
    /// values of its own.
    #[must_use]
    pub fn values(&self, claim: &ClaimPath) -> Values<'_> {
        match &claim.steps {
            Steps::Member(name) => {
                let values = self.all.member(name);
                values.map_or_else(Values::new, Iterator::collect)
            }
            Steps::FirstOf(paths) => {
                let mut present = paths.iter().filter_map(|path| self.all.at(path));
                present.next().unwrap_or_default()
            }
        }
    }

    /// Returns the time of the login (`auth_time`), in whole seconds; `None` without one that can be read.
    ///
    /// # Errors
    /// [`Reason::ClockDisagreement`] for a login in the future, whose age nobody knows: the issuer's clock is wrong, or
    /// it writes milliseconds.
    pub fn auth_time(&self, now: UnixMillis) -> Result<Option<UnixMillis>, Rejection> {
        let times = self.values(&AUTH_TIME);
        let seconds = times.first().and_then(|time| time.split('.').next());
        let Some(seconds) = seconds.and_then(|seconds| seconds.parse::<u64>().ok()) else {
            return Ok(None);
        };
        let latest = now.seconds().max(self.issued_at.unwrap_or(0)) + AHEAD;
        if seconds > latest {
            let (expected, found) = (
                format!("auth_time: by {latest}"),
                format!("auth_time: {seconds}"),
            );
            return Err(Rejection::found(Reason::ClockDisagreement, expected, found));
        }
        Ok(Some(UnixMillis::from_seconds(seconds)))
    }

    /// Returns the members of the payload with their types.
    #[must_use]
    pub const fn members(&self) -> Members<'_> {
        Members::of(&self.all)
    }

    /// Returns the claim and the value that only this token has: its `jti`, or else the digest of what its
    /// signature covers.
    #[must_use]
    pub fn own_name(&self) -> (&'static str, String) {
        if let Some(id) = &self.token_id {
            return ("jti", id.to_string());
        }
        let digest = self.all.member(SIGNED_PART);
        let digest = digest.and_then(|mut values| values.next());
        (SIGNED_PART, digest.unwrap_or_default().to_owned())
    }

    /// Returns how many bytes it takes besides itself.
    pub(crate) fn footprint(&self) -> usize {
        let texts = [&self.subject, &self.client, &self.token_id];
        let texts = texts.into_iter().flatten().map(|text| text.len());
        let texts = texts.sum::<usize>() + self.issuer.len();
        texts + self.all.text.len() + size_of_val(&*self.all.pieces)
    }
}

/// The issuer only: claims are about people.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Claims {
    /// For tests of what looks at nothing but the payload.
    pub(super) fn with_payload(payload: &serde_json::Value) -> Self {
        Self {
            issuer: "https://id.example.com".into(),
            subject: None,
            client: None,
            token_id: None,
            issued_at: None,
            counts_as_issued_at: 0,
            expires_at: 0,
            all: payload.as_object().unwrap().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(claims: &Claims, path: &str) -> Vec<String> {
        let path = ClaimPath::parse(path).unwrap();
        let values = claims.values(&path);
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_kind_of_claim_has_the_values_that_it_should() {
        let claims = Claims::with_payload(&json!({
            "array": ["a", 5, true, null, "", ["nested"], {"b": "c"}, "ü"],
            "boolean": false,
            "empty": "",
            "float": 1.5,
            "negative": -7,
            "none": [],
            "null": null,
            "number": 18_446_744_073_709_551_615_u64,
            "object": {"array": "no", "text": "no"},
            "text": "array",
        }));
        let values = |path| values(&claims, path);
        assert_eq!(values("array"), ["a", "5", "true", "", "ü"]);
        assert_eq!(values("boolean"), ["false"]);
        assert_eq!(values("empty"), [""]);
        assert_eq!(values("float"), ["1.5"]);
        assert_eq!(values("negative"), ["-7"]);
        assert_eq!(values("number"), ["18446744073709551615"]);
        assert_eq!(values("text"), ["array"]);
        for nothing in ["none", "null", "object", "absent", "a", "no", "b"] {
            assert!(values(nothing).is_empty(), "{nothing}");
        }
        // The first that is there counts, also when it has no values.
        assert_eq!(values("absent|null|text"), ["array"]);
        assert!(values("none|text").is_empty());
        assert!(values("object|text").is_empty());
        let nameless = Claims::with_payload(&json!({"": "empty name"}));
        assert_eq!(
            nameless.values(&ClaimPath::of_record("")).as_slice(),
            ["empty name"]
        );
    }

    #[test]
    fn a_path_steps_into_objects_and_into_the_objects_of_arrays() {
        let claims = Claims::with_payload(&json!({
            "roles": ["plain"],
            "realm_access": {"roles": ["user", "admin"], "verify": {"level": 2}, "empty": {}},
            "resource_access": {
                "account": {"roles": ["view"]},
                "shop": {"roles": ["buy", "sell"], "account": {"roles": ["no"]}},
            },
            "groups": [{"id": 1, "tags": ["x", "y"]}, "plain", {"id": "two"}, [{"id": "no"}], {"id": null}],
            "https://example.com/app": {"a.b": "dotted", "a": {"b": "nested"}},
            "last": "scalar",
        }));
        for (path, expected) in [
            ("roles", &["plain"][..]),
            ("realm_access.roles", &["user", "admin"]),
            ("realm_access.verify.level", &["2"]),
            ("resource_access.account.roles", &["view"]),
            ("resource_access.shop.roles", &["buy", "sell"]),
            ("resource_access.shop.account.roles", &["no"]),
            ("groups", &["plain"]),
            ("groups.id", &["1", "two"]),
            ("groups.tags", &["x", "y"]),
            (r"https://example\.com/app.a\.b", &["dotted"]),
            (r"https://example\.com/app.a.b", &["nested"]),
            ("absent.roles|realm_access.roles", &["user", "admin"]),
            ("realm_access.empty|realm_access.roles", &[]),
            ("realm_access", &[]),
            ("realm_access.verify", &[]),
            ("realm_access.level", &[]),
            ("realm_access.roles.x", &[]),
            ("roles.roles", &[]),
            ("verify.level", &[]),
            ("account.roles", &[]),
            ("resource_access.roles", &[]),
            ("last.x", &[]),
        ] {
            assert_eq!(values(&claims, path), expected, "{path}");
        }
    }

    #[test]
    fn objects_cost_a_look_up_of_plain_members_nothing() {
        let claims = Claims::with_payload(&json!({
            "a": {"b": {"c": "d"}}, "list": [{"x": 1}], "last": 1,
        }));
        let names = claims.all.pieces.iter().filter(|piece| piece.is_name());
        let depths: Vec<usize> = names.map(|piece| piece.depth()).collect();
        assert_eq!(depths, [0, 0, 0, 0, 1, 2, 0, 1]);
        assert_eq!(claims.all.own, 4);
    }
}
