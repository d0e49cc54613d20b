//! The gate: find the token, verify it, look it up, decide. Every door calls [`Gate::check`].

mod denial;
mod metrics;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::policy::{Policy, Tokens};
use crate::readiness::Readiness;
use crate::reason::{Detail, Reason, Rejection};
use crate::request::Request;
use crate::revocation::{Clear, Reader, Standing};
use crate::token;
use crate::verify::{Verified, Verifier};

pub use metrics::Metrics;

/// The answer to one request. There is no default, and only this module can build the two kinds
/// that let a request pass.
#[derive(Debug)]
pub enum Decision {
    Permit(Permit),
    Bypass(Bypass),
    Deny(Denial),
}

/// The request carries a good token: verified, looked up, not revoked.
#[derive(Debug)]
pub struct Permit {
    pub id: DecisionId,
    /// Where the request holds its token.
    pub carriers: token::Carriers,
    verified: Arc<Verified>,
    _looked_up: Clear,
}

impl Permit {
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }
}

/// The route needs no token, and there was none, or it was not looked at. So nothing is known about
/// the client.
#[derive(Debug)]
#[expect(
    clippy::manual_non_exhaustive,
    reason = "not even the rest of this crate may build one"
)]
pub struct Bypass {
    pub id: DecisionId,
    _built_here: (),
}

/// The request must not pass.
#[derive(Clone, Debug)]
pub struct Denial {
    pub id: DecisionId,
    pub reason: Reason,
    /// For operators only.
    pub detail: Option<Arc<Detail>>,
}

/// Names one decision in logs, metadata and the error body, so that all three can be brought
/// together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionId(u64);

impl DecisionId {
    /// The length of the text form.
    pub const LEN: usize = 16;

    /// A random start and an odd stride through all 64-bit numbers: unique within a process, and
    /// most unlikely to meet another replica's.
    fn next() -> Self {
        const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;
        static START: std::sync::LazyLock<AtomicU64> =
            std::sync::LazyLock::new(|| AtomicU64::new(rand::random()));
        Self(START.fetch_add(STRIDE, Ordering::Relaxed))
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Everything a decision depends on. It can be replaced as a whole; today it is built once, at the start.
#[derive(Debug)]
pub struct Gate {
    pub readiness: Readiness,
    pub policy: Policy,
    pub sources: token::Sources,
    pub verifier: Arc<Verifier>,
    pub revocations: Reader,
    pub metrics: Arc<Metrics>,
}

impl Gate {
    /// Decides about one request. It always answers, and a failure of any kind is a denial.
    pub async fn check(&self, request: &Request<'_>) -> Decision {
        let started = Instant::now();
        let id = DecisionId::next();
        let decision = match self.judge(request, id).await {
            Ok(decision) => decision,
            Err(Rejection { reason, detail }) => Decision::Deny(Denial { id, reason, detail }),
        };
        self.metrics.decided(&decision, started.elapsed());
        decision
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
        let verified = self.verifier.verify(located.token()).await?;
        match self.revocations.standing(&verified.claims) {
            Standing::Clear(looked_up) => Ok(Decision::Permit(Permit {
                id,
                carriers: located.carriers,
                verified,
                _looked_up: looked_up,
            })),
            Standing::Revoked => Err(Reason::Revoked.into()),
            Standing::NotReady => Err(Reason::NotReady.into()),
            Standing::Stale => Err(Reason::Stale.into()),
        }
    }
}
