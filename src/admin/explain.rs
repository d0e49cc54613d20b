//! `POST /v1/explain`: why a token or a request is permitted or refused.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::Api;
use super::refused::Refused;
use super::shown::answer;
use super::{body, shown};
use crate::core::reason::Detail;
use crate::core::request::{Headers, Request as Checked};
use crate::core::token::Token;
use crate::gate::{Decision, Gate};
use crate::revocation::search::{Scope, that_refuse};
use crate::verify::{Algorithm, Verified, Verifier};

/// Revocations in an answer, at most.
const MOST: usize = 100;

/// What to explain: exactly one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    request: Option<Described>,
}

/// A request as a proxy would describe it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    method: String,
    target: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
}

pub(super) async fn explain(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Refused> {
    let question: Question = body::read(request).await?;
    let gate = api.gate();
    let explained = match (&question.token, &question.request) {
        (Some(token), None) => {
            let token = Token::new(token.trim());
            let decision = gate.check_token(token).await;
            api.explained(&gate, &decision, Some(token)).await
        }
        (None, Some(described)) => {
            let request = described.as_request();
            let decision = gate.check(&request).await;
            let located = gate.sources.find(&request).ok();
            let token = located.as_ref().map(|located| located.token());
            api.explained(&gate, &decision, token).await
        }
        _ => {
            return Err(Refused::bad_request(
                "give exactly one of token and request",
            ));
        }
    };
    Ok(answer(StatusCode::OK, &explained?))
}

impl Described {
    fn as_request(&self) -> Checked<'_> {
        let mut headers = Headers::new();
        for (name, value) in &self.headers {
            headers.push(name, value.as_bytes());
        }
        Checked {
            method: &self.method,
            target: &self.target,
            headers,
        }
    }
}

impl Api {
    async fn explained(
        &self,
        gate: &Gate,
        decision: &Decision,
        token: Option<Token<'_>>,
    ) -> Result<Value, Refused> {
        let (outcome, status, denial) = match decision {
            Decision::Permit(_) => ("permit", StatusCode::OK, None),
            Decision::Bypass(_) => ("bypass", StatusCode::OK, None),
            Decision::Deny(denial) => ("deny", (self.status_of)(denial.reason), Some(denial)),
        };
        let detail = denial.and_then(|denial| denial.detail.as_deref());
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
            Some(verified) => Some(self.matching(&verified).await?),
            None => None,
        };
        Ok(json!({
            "decision": outcome,
            "reason": denial.map(|denial| denial.reason.as_str()),
            "status": status.as_u16(),
            "expected": detail.map(Detail::expected),
            "found": detail.and_then(Detail::found),
            "claims": claims,
            "revocations": revocations,
        }))
    }

    /// Returns the live revocations that match a verified token.
    async fn matching(&self, verified: &Verified) -> Result<Vec<Value>, Refused> {
        let filter = that_refuse(verified.claims.clone());
        let results = self.search.find(Scope::Live, MOST, filter).await?;
        let found = results.found.iter();
        let shown = found.map(|found| shown::revocation(&found.record, found.forget_after));
        Ok(shown.collect())
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
