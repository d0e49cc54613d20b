//! A bearer token of the issuer (RFC 6750) that names the hash of the body.

use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::jws::{Signature, Types};
use super::proven::Unproven;
use super::signed::SignatureEncoding;
use super::token::{Names, Place, Rules};
use crate::core::clock::UnixMillis;
use crate::core::config_error::ConfigErrors;
use crate::core::shorthand::OneOrMany;
use crate::events::keys::Keys;
use crate::events::payload::{self, Members};

/// `Authorization: Bearer` with a JWT that the issuer's keys sign. It must name the SHA-256 hash of
/// the raw body, and `iss`, `aud`, `iat`, `exp` and `jti`. It carries a time, so it is enough alone.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the sender writes into `aud`: one value, or a list of which one must be there.
    pub audience: OneOrMany<String>,
    /// The claim with the hash of the body.
    #[serde(default = "claim")]
    pub claim: String,
    /// How the hash is written.
    #[serde(default)]
    pub encoding: SignatureEncoding,
}

fn claim() -> String {
    "request_body_sha256".to_owned()
}

/// How long after its `iat` such a token is taken.
const MAX_AGE: Duration = Duration::from_mins(10);

/// What the token has to say.
#[derive(Debug)]
pub(super) struct Jwt {
    config: Config,
    rules: Rules,
    signature: Signature,
}

impl Config {
    /// Reports what is wrong, with `jwt` as the current place.
    pub(super) fn check(&self, beside_basic: bool, errors: &mut ConfigErrors) {
        if beside_basic {
            let message = "basic uses the Authorization header too, so both could never hold";
            errors.conflict("", message);
        }
        if self.audience.0.iter().any(String::is_empty) {
            errors.push("audience", "must not be empty");
        }
        if self.claim.is_empty() {
            errors.push("claim", "must not be empty");
        }
    }

    /// Prepares the check for tokens of `issuer`.
    pub(super) fn build(&self, issuer: &str) -> Jwt {
        let rules = Rules {
            place: Place::Bearer,
            names: Names::Registered,
            types: Types {
                named: vec!["JWT".to_owned()],
                may_be_absent: true,
            },
            issuer: Some(issuer.to_owned()),
            subject: None,
            audiences: self.audience.0.clone(),
            max_age: MAX_AGE,
            required: &["iat", "exp"],
        };
        Jwt {
            config: self.clone(),
            rules,
            signature: Signature::default(),
        }
    }
}

impl Jwt {
    /// Checks that the token holds and is about this very body. The keys that verify it sign access
    /// tokens too, so a token without the body's hash proves nothing.
    pub(super) async fn check(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        now: UnixMillis,
        keys: &dyn Keys,
    ) -> Result<(), Unproven> {
        let proven = self
            .rules
            .prove(&self.signature, headers, body, now, keys)
            .await?;
        let claims = payload::read::<Members<Value>>(&proven.claims).map_err(Unproven::Refused)?;
        let hash = claims.0.get(&self.config.claim).and_then(Value::as_str);
        let hash = hash.and_then(|hash| self.config.encoding.decode(hash.as_bytes()));
        let hash = hash.ok_or(Unproven::Forged("the token is about no body"))?;
        let actual = digest::digest(&digest::SHA256, body);
        if bool::from(actual.as_ref().ct_eq(&hash)) {
            Ok(())
        } else {
            Err(Unproven::Forged("the token is about another body"))
        }
    }
}
