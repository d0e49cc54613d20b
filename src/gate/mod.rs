//! The gate: find the token, verify it, look it up, decide. Every door calls [`Gate::check`].

mod decision;
mod denial;
mod id;
mod metrics;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use crate::core::readiness::Readiness;
use crate::core::reason::{Reason, Rejection};
use crate::core::request::Request;
use crate::core::token::{self, Carriers, Token};
use crate::policy::{Policy, Tokens};
use crate::revocation::{Reader, Standing};
use crate::verify::Verifier;

pub use decision::{Bypass, Decision, Denial, Permit};
pub use id::DecisionId;
pub use metrics::Metrics;

/// Everything that a decision depends on.
#[derive(Clone, Debug)]
pub struct Gate {
    pub readiness: Readiness,
    pub policy: Policy,
    pub sources: token::Sources,
    pub verifier: Arc<Verifier>,
    pub revocations: Reader,
    pub metrics: Arc<Metrics>,
}

impl Gate {
    /// Decides about one request. Any failure is a denial. The door counts its final answer in
    /// [`Gate::metrics`].
    pub async fn check(&self, request: &Request<'_>) -> Decision {
        let id = DecisionId::next();
        decided(id, self.judge(request, id).await)
    }

    /// Decides about a token alone, as if it came in the first of the configured places on a path that
    /// is not exempt.
    pub async fn check_token(&self, token: Token<'_>) -> Decision {
        let id = DecisionId::next();
        if !self.readiness.knows() {
            return decided(id, Err(Reason::NotReady.into()));
        }
        if token.expose().len() > self.sources.max_size() {
            return decided(id, Err(Reason::TokenTooLarge.into()));
        }
        decided(id, self.judge_token(token, Carriers::first(0), id).await)
    }

    async fn judge(&self, request: &Request<'_>, id: DecisionId) -> Result<Decision, Rejection> {
        if !self.readiness.knows() {
            return Err(Reason::NotReady.into());
        }
        let bypass = Decision::Bypass(Bypass {
            id,
            _built_here: (),
        });
        let exempt = self.policy.exempts(request);
        if exempt == Some(Tokens::Ignored) {
            return Ok(bypass);
        }
        let located = match self.sources.find(request) {
            Err(Reason::MissingToken) if exempt.is_some() => return Ok(bypass),
            found => found?,
        };
        self.judge_token(located.token(), located.carriers, id)
            .await
    }

    async fn judge_token(
        &self,
        token: Token<'_>,
        carriers: Carriers,
        id: DecisionId,
    ) -> Result<Decision, Rejection> {
        let verified = self.verifier.verify(token).await?;
        match self.revocations.standing(&verified.claims) {
            Standing::Clear(looked_up) => Ok(Decision::Permit(Permit {
                id,
                carriers,
                verified,
                _looked_up: looked_up,
            })),
            Standing::Revoked => Err(Reason::Revoked.into()),
            Standing::NotReady => Err(Reason::NotReady.into()),
            Standing::Stale => Err(Reason::Stale.into()),
        }
    }
}

fn decided(id: DecisionId, judged: Result<Decision, Rejection>) -> Decision {
    judged.unwrap_or_else(|Rejection { reason, detail }| {
        Decision::Deny(Denial { id, reason, detail })
    })
}
