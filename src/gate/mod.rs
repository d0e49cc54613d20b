//! The gate: find the token, verify it, look it up, decide. Every door calls [`Gate::check`].

mod decision;
mod denial;
mod id;
mod metrics;
mod recent;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::core::readiness::Readiness;
use crate::core::reason::{Reason, Rejection};
use crate::core::request::Request;
use crate::core::token::{self, Carriers, Token};
use crate::policy::{Need, Policy, Rule};
use crate::revocation::{Reader, Standing};
use crate::verify::Verifier;

pub use decision::{Bypass, Decision, Denial, Permit, Revoked};
pub use id::DecisionId;
pub use metrics::Metrics;
pub use recent::{Answered, Kept, Recent};

/// Everything that a decision depends on.
#[derive(Clone, Debug)]
pub struct Gate {
    pub readiness: Readiness,
    pub policy: Policy,
    pub sources: token::Sources,
    pub verifier: Arc<Verifier>,
    pub revocations: Reader,
    pub metrics: Arc<Metrics>,
    pub recent: Arc<Recent>,
}

impl Gate {
    /// Decides about one request. Any failure is a denial. The door hands its final answer to
    /// [`Gate::count`].
    pub async fn check(&self, request: &Request<'_>) -> Decision {
        let id = DecisionId::next();
        decided(id, self.judge(request, id).await)
    }

    /// Counts the answer of a door, and keeps it for operators.
    pub fn count(&self, answered: &Answered<'_, '_>, took: Duration) {
        self.metrics.decided(answered.decision, took);
        self.recent.add(answered, &self.policy);
    }

    /// Decides about a token alone, as if it came in the first of the configured places with a request
    /// that no policy matches.
    pub async fn check_token(&self, token: Token<'_>) -> Decision {
        let id = DecisionId::next();
        if !self.readiness.knows() {
            return decided(id, Err(Reason::NotReady.into()));
        }
        if token.expose().len() > self.sources.max_size() {
            return decided(id, Err(Reason::TokenTooLarge.into()));
        }
        let (rule, request) = (self.policy.default_rule(), Request::unread());
        let judged = self.judge_token(token, Carriers::first(0), rule, &request, id);
        decided(id, judged.await)
    }

    async fn judge(&self, request: &Request<'_>, id: DecisionId) -> Result<Decision, Rejection> {
        if !self.readiness.knows() {
            return Err(Reason::NotReady.into());
        }
        let rule = self.policy.select(request)?;
        let mut decision = self.judge_by(rule, request, id).await?;
        if let Some(found) = self.policy.select_in_shadow(request, rule) {
            let refused = self.refused_in_shadow(found, request, id);
            decision.would_refuse(refused);
        }
        Ok(decision)
    }

    /// Returns the refusal of a request by what the policy would be without shadow. Waits for nothing: keys that
    /// would have to be fetched are not there.
    fn refused_in_shadow(
        &self,
        found: Result<&Rule, Rejection>,
        request: &Request<'_>,
        id: DecisionId,
    ) -> Option<Denial> {
        let judged = found.and_then(|rule| {
            let judged = Box::pin(self.judge_by(rule, request, id)).now_or_never();
            let judged = judged.unwrap_or_else(|| Err(Reason::KeysUnavailable.into()));
            judged.map_err(|refused| refused.or_expected(|| format!("policy {}", rule.name())))
        });
        match decided(id, judged) {
            Decision::Deny(denial) => Some(denial),
            Decision::Permit(_) | Decision::Bypass(_) => None,
        }
    }

    async fn judge_by(
        &self,
        rule: &Rule,
        request: &Request<'_>,
        id: DecisionId,
    ) -> Result<Decision, Rejection> {
        let bypass = |exempt| {
            Ok(Decision::Bypass(Bypass {
                id,
                would_refuse: None,
                _exempt: exempt,
            }))
        };
        let need = rule.need();
        if let Need::Nothing(exempt) = need {
            return bypass(exempt);
        }
        let located = match (self.sources.find(request), need) {
            (Err(Reason::MissingToken), Need::GoodIfAny(exempt)) => return bypass(exempt),
            (Err(reason), _) => return Err(rule.refusal(reason)),
            (Ok(located), _) => located,
        };
        self.judge_token(located.token(), located.carriers, rule, request, id)
            .await
    }

    async fn judge_token(
        &self,
        token: Token<'_>,
        carriers: Carriers,
        rule: &Rule,
        request: &Request<'_>,
        id: DecisionId,
    ) -> Result<Decision, Rejection> {
        let verified = self.verifier.verify(token).await?;
        let refused = |reason| Err(Rejection::from(reason).by(&verified.claims.issuer));
        let claims = &verified.claims;
        match self.revocations.standing_where(claims, rule.when_stale()) {
            Standing::Clear(looked_up) => Ok(Decision::Permit(Permit {
                id,
                carriers,
                would_refuse: looked_up.in_shadow().map(|by| {
                    let (verified, by) = (Arc::clone(&verified), by.clone());
                    Box::new(Denial::of_revoked(id, verified, by))
                }),
                _fit: rule
                    .judge(request, &verified.claims, self.verifier.clock())
                    .map_err(|refused| refused.by(&verified.claims.issuer))?,
                verified,
                _looked_up: looked_up,
            })),
            Standing::Revoked(by) => Ok(Decision::Deny(Denial::of_revoked(id, verified, by))),
            Standing::NotReady => refused(Reason::NotReady),
            Standing::Stale => refused(Reason::Stale),
        }
    }
}

fn decided(id: DecisionId, judged: Result<Decision, Rejection>) -> Decision {
    judged.unwrap_or_else(|rejection| Decision::Deny(Denial::of(id, rejection)))
}
