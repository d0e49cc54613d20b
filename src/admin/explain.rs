//! Explain, for every protocol: why a token or a request is permitted or refused.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::api::Api;
use super::refused::Refused;
use super::shown::Record;
use crate::core::reason::Detail;
use crate::core::request::{Headers, NamedPolicy, Request as Checked};
use crate::core::token::Token;
use crate::gate::{Decision, Gate};
use crate::revocation::search::{Scope, that_refuse};
use crate::verify::{Algorithm, Verified, Verifier};

/// Revocations in an answer, at most.
const MOST: usize = 100;

/// What to explain: exactly one of the two.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// A token, judged as if it came on a path that is not exempt.
    #[serde(default)]
    pub(super) token: Option<String>,
    /// A request.
    #[serde(default)]
    pub(super) request: Option<Described>,
}

/// A request as a proxy would describe it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Described {
    /// The method, such as `GET`.
    pub(super) method: String,
    /// The path and the query.
    pub(super) target: String,
    /// Names and values.
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
    /// The host that the client asked for. Default: that of the header `host`.
    #[serde(default)]
    pub(super) host: Option<String>,
    /// The policy that the proxy names.
    #[serde(default)]
    pub(super) policy: Option<String>,
}

/// Why a token or a request is permitted or refused.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Explanation")]
pub(super) struct Explained {
    pub(super) decision: Outcome,
    /// Why it is refused; docs/reasons.md lists the reasons.
    pub(super) reason: Option<&'static str>,
    /// The status that a client gets.
    pub(super) status: u16,
    /// The policy that counts; absent if none can be chosen.
    pub(super) policy: Option<String>,
    /// What the check expected.
    pub(super) expected: Option<String>,
    /// What the token has instead.
    pub(super) found: Option<String>,
    /// The reason for which it would be refused if nothing were in shadow. Then `expected` and `found` say why.
    pub(super) would_refuse: Option<&'static str>,
    /// The claims, if the signature holds.
    pub(super) claims: Option<Map<String, Value>>,
    /// The live revocations that match; `null` if the token is refused for another reason.
    pub(super) revocations: Option<Vec<Record>>,
}

impl Explained {
    /// Returns what the audit trail says about it.
    pub(super) fn line(&self) -> Value {
        json!({ "decision": self.decision, "reason": self.reason })
    }
}

/// What a door would decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Decision")]
pub(super) enum Outcome {
    Permit,
    /// The path is exempt.
    Bypass,
    Deny,
}

impl Outcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Bypass => "bypass",
            Self::Deny => "deny",
        }
    }
}

/// Judges as a door does.
pub(super) async fn explain(api: &Api, question: &Question) -> Result<Explained, Refused> {
    let gate = api.gate();
    match (&question.token, &question.request) {
        (Some(token), None) => {
            let token = Token::new(token.trim());
            let decision = gate.check_token(token).await;
            let policy = Some(gate.policy.default_rule().name().to_owned());
            api.explained(&gate, &decision, policy, (Some(token), None))
                .await
        }
        (None, Some(described)) => {
            let request = described.as_request();
            let decision = gate.look_at(&request).await;
            let located = gate.sources.find(&request).ok();
            let token = located.as_ref().map(|located| located.token());
            let rule = gate.policy.select(&request).ok();
            let policy = rule.map(|rule| rule.name().to_owned());
            let from = gate.address(&request);
            api.explained(&gate, &decision, policy, (token, from)).await
        }
        _ => Err(Refused::bad_request(
            "give exactly one of token and request",
        )),
    }
}

impl Described {
    fn as_request(&self) -> Checked<'_> {
        let mut headers = Headers::new();
        for (name, value) in &self.headers {
            headers.push(name, value.as_bytes());
        }
        let host = self.host.as_deref().or_else(|| headers.text("host"));
        Checked {
            method: &self.method,
            target: &self.target,
            host: host.unwrap_or_default(),
            policy: self
                .policy
                .as_deref()
                .map_or(NamedPolicy::No, NamedPolicy::Name),
            headers,
        }
    }
}

impl Api {
    async fn explained(
        &self,
        gate: &Gate,
        decision: &Decision,
        policy: Option<String>,
        (token, from): (Option<Token<'_>>, Option<IpAddr>),
    ) -> Result<Explained, Refused> {
        let (outcome, status, denial) = match decision {
            Decision::Permit(_) => (Outcome::Permit, StatusCode::OK, None),
            Decision::Bypass(_) => (Outcome::Bypass, StatusCode::OK, None),
            Decision::Deny(denial) => {
                (Outcome::Deny, (self.status_of)(denial.reason), Some(denial))
            }
        };
        let in_shadow = decision.refused_in_shadow();
        let detail = denial.or(in_shadow);
        let detail = detail.and_then(|denial| denial.detail.as_deref());
        let verified = match token {
            Some(token) if self.readiness.knows() => gate.verifier.verify(token).await.ok(),
            _ => None,
        };
        let claims = match token {
            Some(token) if verified.is_some() => payload(token),
            Some(token) => signed_claims(&gate.verifier, token).await,
            None => None,
        };
        let revocations = match verified {
            Some(verified) => Some(self.matching(&verified, from).await?),
            None => None,
        };
        Ok(Explained {
            decision: outcome,
            reason: denial.map(|denial| denial.reason.as_str()),
            status: status.as_u16(),
            policy,
            expected: detail.map(|detail| detail.expected().to_owned()),
            found: detail.and_then(Detail::found).map(str::to_owned),
            would_refuse: in_shadow.map(|denial| denial.reason.as_str()),
            claims,
            revocations,
        })
    }

    /// Returns the live revocations that match a verified token, in a request from this address.
    async fn matching(
        &self,
        verified: &Verified,
        from: Option<IpAddr>,
    ) -> Result<Vec<Record>, Refused> {
        let filter = that_refuse(verified.claims.clone(), from);
        let results = self.search.find(Scope::Live, MOST, filter).await?;
        Ok(results.found.iter().map(Record::of).collect())
    }
}

/// Returns the claims of a token whose signature holds, whatever else is wrong with it.
async fn signed_claims(verifier: &Verifier, token: Token<'_>) -> Option<Map<String, Value>> {
    let unverified = payload(token)?;
    let issuer = unverified.get("iss")?.as_str()?;
    let opened = verifier.open(issuer, token.expose(), &Algorithm::ALL);
    opened.await.ok().map(|_| unverified)
}

/// Returns the payload of a token, whose signature the caller checks.
fn payload(token: Token<'_>) -> Option<Map<String, Value>> {
    let payload = token.expose().split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&payload).ok()
}
