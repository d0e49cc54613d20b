//! A JWT (RFC 7519) that an event is, carries or comes with.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::form_urlencoded;

use super::jws::{Signature, Types};
use super::proven::{Proven, Unproven, only_value};
use crate::core::clock::UnixMillis;
use crate::core::shorthand::OneOrMany;
use crate::events::keys::Keys;
use crate::events::outcome::Rejection;
use crate::events::payload::{self, Id, Members, NumericDate};

/// Where the JWT stands.
#[derive(Clone, Copy, Debug)]
pub(in crate::events) enum Place {
    /// The body is the JWT.
    Body,
    /// A field of the body, which is a form.
    Field(&'static str),
    /// `Authorization: Bearer` (RFC 6750 §2.1).
    Bearer,
}

/// How a JWT spells the claims that count here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::events) enum Names {
    /// As RFC 7519 §4.1 does.
    Registered,
    /// As Keycloak's adapter actions do: `resource`, `expiration` and `id` for `aud`, `exp` and `jti`, and
    /// no `iss`. The same keys sign access tokens, in which users may have claims with these names; a
    /// registered claim gives those away.
    AdapterAction,
}

/// What a JWT of a format must say about itself. It needs `iss`, `aud` and `jti`; the times that it
/// names must be sound.
#[derive(Clone, Debug)]
pub(in crate::events) struct Rules {
    pub(in crate::events) place: Place,
    pub(in crate::events) names: Names,
    pub(in crate::events) types: Types,
    /// `iss`, and whose keys sign. `None`: the issuer of the source.
    pub(in crate::events) issuer: Option<String>,
    /// `sub`, if it matters.
    pub(in crate::events) subject: Option<String>,
    /// One of these must be in `aud`.
    pub(in crate::events) audiences: Vec<String>,
    /// How long after its `iat` it is taken.
    pub(in crate::events) max_age: Duration,
    /// Which of `sub`, `iat` and `exp` it needs as well.
    pub(in crate::events) required: &'static [&'static str],
}

/// How far the clocks of the sender may differ from ours.
const LEEWAY: Duration = Duration::from_mins(1);

/// The claims of RFC 7519 §4.1 that count here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Registered {
    iss: Option<Id>,
    sub: Option<Id>,
    aud: Option<OneOrMany<Id>>,
    iat: Option<NumericDate>,
    nbf: Option<NumericDate>,
    exp: Option<NumericDate>,
    jti: Option<Id>,
}

/// The claims of an adapter action that count here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AdapterAction {
    id: Option<Id>,
    resource: Option<Id>,
    expiration: Option<NumericDate>,
}

impl Names {
    fn read(self, claims: &[u8]) -> Result<Registered, Rejection> {
        if self == Self::Registered {
            return payload::read(claims);
        }
        let all: Members<IgnoredAny> = payload::read(claims)?;
        let registered = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];
        if let Some(claim) = registered
            .into_iter()
            .find(|claim| all.0.contains_key(*claim))
        {
            return Err(Rejection {
                path: claim.to_owned(),
                message: "an adapter action has no such claim: this is another token".to_owned(),
            });
        }
        let action: AdapterAction = payload::read(claims)?;
        Ok(Registered {
            aud: action.resource.map(|client| OneOrMany(vec![client])),
            exp: action.expiration,
            jti: action.id,
            ..Registered::default()
        })
    }

    /// Returns the spelling of a registered claim.
    fn spell(self, claim: &str) -> &str {
        match (self, claim) {
            (Self::AdapterAction, "aud") => "resource",
            (Self::AdapterAction, "exp") => "expiration",
            (Self::AdapterAction, "jti") => "id",
            _ => claim,
        }
    }
}

impl Rules {
    /// Finds the JWT, verifies its signature and holds its claims against the rules.
    pub(super) async fn prove(
        &self,
        signature: &Signature,
        headers: &HeaderMap,
        body: &Bytes,
        now: UnixMillis,
        keys: &dyn Keys,
    ) -> Result<Proven, Unproven> {
        let compact = self.place.find(headers, body)?;
        let issuer = self.issuer.as_deref().unwrap_or_default();
        let opened = signature.open(&compact, &self.types, issuer, keys);
        let claims = opened.await?;
        let registered = self.names.read(&claims).map_err(Unproven::Refused)?;
        let id = self.judge(registered, now)?;
        Ok(Proven {
            claims,
            id: Some(id),
        })
    }

    /// Returns what a JWT in the body says, without verifying anything. One that stands in the headers
    /// is taken to say nothing but its id, `trial`.
    pub(in crate::events) fn claimed(&self, body: &Bytes) -> Result<Proven, Rejection> {
        let rejection = |message: &str| Rejection {
            path: String::new(),
            message: message.to_owned(),
        };
        let compact = match self.place {
            Place::Bearer => {
                return Ok(Proven {
                    claims: Bytes::from_static(b"{}"),
                    id: Some("trial".to_owned()),
                });
            }
            Place::Body | Place::Field(_) => self.place.find(&HeaderMap::new(), body),
        };
        let compact = compact.map_err(|unproven| match unproven {
            Unproven::Malformed(rejection) => rejection,
            _ => rejection("expected a compact JWT"),
        })?;
        let payload = compact.split('.').nth(1);
        let payload = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
        let claims = Bytes::from(payload.ok_or_else(|| rejection("expected a compact JWT"))?);
        let id = self.names.read(&claims)?.jti;
        let id = id.map(|id| id.to_string());
        Ok(Proven { claims, id })
    }

    /// Returns the `jti` of sound claims.
    fn judge(&self, claims: Registered, now: UnixMillis) -> Result<String, Unproven> {
        let refused = |path: &str, message: String| {
            Err(Unproven::Refused(Rejection {
                path: self.names.spell(path).to_owned(),
                message,
            }))
        };
        if self.names == Names::Registered && claims.iss.as_deref() != self.issuer.as_deref() {
            let expected = self.issuer.as_deref().unwrap_or_default();
            return refused("iss", format!("expected {expected}"));
        }
        let is_ours = |audience: &Id| self.audiences.iter().any(|ours| **ours == **audience);
        let audiences = claims.aud.map(|audiences| audiences.0).unwrap_or_default();
        if !audiences.iter().any(is_ours) {
            let expected = self.audiences.join(" or ");
            return refused("aud", format!("expected {expected}"));
        }
        if self.subject.is_some() && claims.sub.as_deref() != self.subject.as_deref() {
            return refused("sub", "is not the configured one".to_owned());
        }
        for (name, is_absent) in [
            ("sub", claims.sub.is_none()),
            ("iat", claims.iat.is_none()),
            ("exp", claims.exp.is_none()),
        ] {
            if is_absent && self.required.contains(&name) {
                return refused(name, "expected a value, found nothing".to_owned());
            }
        }
        let starts = [claims.iat, claims.nbf].into_iter().flatten();
        if starts.max().is_some_and(|start| start.0 > now.plus(LEEWAY)) {
            // By its clock it is good, so it may be the clocks that differ.
            let why = "the token is from the future: the sender's clock or this one is wrong";
            return Err(Unproven::Unavailable(why.to_owned()));
        }
        if claims.exp.is_some_and(|exp| exp.0.plus(LEEWAY) <= now) {
            return refused("exp", "the token has expired".to_owned());
        }
        let ends = |iat: NumericDate| iat.0.plus(self.max_age).plus(LEEWAY);
        if claims.iat.is_some_and(|iat| ends(iat) <= now) {
            let most = humantime::format_duration(self.max_age);
            return refused("iat", format!("the token is older than {most}"));
        }
        let id = payload::required(claims.jti, self.names.spell("jti"), Id::EXPECTED);
        Ok(id.map_err(Unproven::Refused)?.to_string())
    }
}

impl Place {
    /// Returns the text that should be a JWT.
    fn find(self, headers: &HeaderMap, body: &Bytes) -> Result<String, Unproven> {
        match self {
            Self::Body => {
                let text = std::str::from_utf8(body).map(str::trim_ascii);
                let text = text.map_err(|_| malformed("", "expected a compact JWT"))?;
                Ok(text.to_owned())
            }
            Self::Field(name) => {
                let mut values = form_urlencoded::parse(body).filter(|(field, _)| field == name);
                match (values.next(), values.next()) {
                    (Some((_, value)), None) => Ok(value.into_owned()),
                    _ => Err(malformed(
                        name,
                        "expected this field of a form exactly once",
                    )),
                }
            }
            Self::Bearer => {
                let value = only_value(headers, header::AUTHORIZATION.as_str());
                let value = value.and_then(|value| std::str::from_utf8(value).ok());
                let (scheme, token) = value.and_then(|value| value.split_once(' ')).unzip();
                let is_bearer = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
                let token = token.filter(|_| is_bearer);
                let token = token.ok_or(Unproven::Forged("the bearer token is absent"))?;
                Ok(token.trim_ascii().to_owned())
            }
        }
    }
}

fn malformed(path: &str, message: &str) -> Unproven {
    Unproven::Malformed(Rejection {
        path: path.to_owned(),
        message: message.to_owned(),
    })
}
