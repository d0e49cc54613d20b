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
        self.recent.add(answered);
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
        let rule = self.policy.default_rule();
        decided(
            id,
            self.judge_token(token, Carriers::first(0), rule, id).await,
        )
    }

    async fn judge(&self, request: &Request<'_>, id: DecisionId) -> Result<Decision, Rejection> {
        if !self.readiness.knows() {
            return Err(Reason::NotReady.into());
        }
        let rule = self.policy.select(request)?;
        let bypass = |exempt| {
            Ok(Decision::Bypass(Bypass {
                id,
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
        self.judge_token(located.token(), located.carriers, rule, id)
            .await
    }

    async fn judge_token(
        &self,
        token: Token<'_>,
        carriers: Carriers,
        rule: &Rule,
        id: DecisionId,
    ) -> Result<Decision, Rejection> {
        let verified = self.verifier.verify(token).await?;
        let refused = |reason| Err(Rejection::from(reason).by(&verified.claims.issuer));
        match self.revocations.standing(&verified.claims) {
            Standing::Clear(looked_up) => Ok(Decision::Permit(Permit {
                id,
                carriers,
                _fit: rule
                    .judge(&verified.claims, self.verifier.clock())
                    .map_err(|refused| refused.by(&verified.claims.issuer))?,
                verified,
                _looked_up: looked_up,
            })),
            Standing::Revoked(by) => Ok(Decision::Deny(Denial {
                issuer: Some(Arc::clone(&verified.claims.issuer)),
                revoked: Some(Arc::new(Revoked { verified, by })),
                ..Denial::of(id, Reason::Revoked.into())
            })),
            Standing::NotReady => refused(Reason::NotReady),
            Standing::Stale => refused(Reason::Stale),
        }
    }
}

fn decided(id: DecisionId, judged: Result<Decision, Rejection>) -> Decision {
    judged.unwrap_or_else(|rejection| Decision::Deny(Denial::of(id, rejection)))
}
