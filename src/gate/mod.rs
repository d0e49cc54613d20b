//! The gate: find the token, verify it, look it up, decide. Every door calls [`Gate::check`].

mod decision;
mod denial;
mod id;
mod metrics;
mod recent;
mod sessions;
#[cfg(test)]
pub(crate) mod testing;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::core::client_ip::ClientIp;
use crate::core::readiness::Readiness;
use crate::core::reason::{Reason, Rejection};
use crate::core::request::Request;
use crate::core::route::Route;
use crate::core::token::{self, Carriers, Token};
use crate::policy::{Need, Policy, Rule};
use crate::revocation::{Reader, Standing};
use crate::verify::{Claims, Verifier};

pub use decision::{Bypass, Decision, Denial, Permit, Revoked};
pub use id::DecisionId;
pub use metrics::Metrics;
pub use recent::{Answered, Kept, Recent};
pub use sessions::Sessions;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    ByDoor,
    /// What would be decided, without shadow or for an operator: a session does not count as seen.
    Aside,
    /// About a token: neither a session nor an address is used.
    TokenAlone,
}

/// Everything that a decision depends on.
#[derive(Clone, Debug)]
pub struct Gate {
    pub readiness: Readiness,
    pub policy: Policy,
    pub sources: token::Sources,
    pub client_ip: Option<ClientIp>,
    pub verifier: Arc<Verifier>,
    pub revocations: Reader,
    pub metrics: Arc<Metrics>,
    pub recent: Arc<Recent>,
    pub sessions: Arc<Sessions>,
}

impl Gate {
    /// Decides about one request. Any failure is a denial. The door hands its final answer to
    /// [`Gate::count`].
    pub async fn check(&self, request: &Request<'_>) -> Decision {
        self.decide(request, Asked::ByDoor).await
    }

    /// Decides the same, and leaves sessions as they are.
    pub async fn look_at(&self, request: &Request<'_>) -> Decision {
        self.decide(request, Asked::Aside).await
    }

    async fn decide(&self, request: &Request<'_>, asked: Asked) -> Decision {
        let id = DecisionId::next();
        if !self.readiness.knows() {
            return decided(id, Route::default(), Err(Reason::NotReady.into()));
        }
        match self.policy.select(request) {
            Ok(rule) => {
                let judged = self.judge((request, asked), rule, id).await;
                decided(id, rule.route(), judged)
            }
            Err(rejection) => decided(id, Route::default(), Err(rejection)),
        }
    }

    /// Counts the answer of a door, and keeps it for operators.
    pub fn count(&self, answered: &Answered<'_, '_>, took: Duration) {
        self.metrics.decided(answered.decision, took);
        self.recent.add(answered, &self.policy);
    }

    /// Decides about a token alone, as if it came in the first of the configured places with a request
    /// that no policy matches.
    pub async fn check_token(&self, token: Token<'_>) -> Decision {
        let (id, rule) = (DecisionId::next(), self.policy.default_rule());
        let judged = if !self.readiness.knows() {
            Err(Reason::NotReady.into())
        } else if token.expose().len() > self.sources.max_size() {
            Err(Reason::TokenTooLarge.into())
        } else {
            let (found, request) = ((token, Carriers::first(0)), Request::unread());
            self.judge_token(found, rule, (&request, Asked::TokenAlone), id)
                .await
        };
        decided(id, rule.route(), judged)
    }

    /// Decides by a rule, and notes what would refuse the request without shadow.
    async fn judge(
        &self,
        (request, asked): (&Request<'_>, Asked),
        rule: &Rule,
        id: DecisionId,
    ) -> Result<Decision, Rejection> {
        let mut decision = self.judge_by(rule, (request, asked), id).await?;
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
            let asked = (request, Asked::Aside);
            let judged = Box::pin(self.judge_by(rule, asked, id)).now_or_never();
            let judged = judged.unwrap_or_else(|| Err(Reason::KeysUnavailable.into()));
            judged.map_err(|refused| refused.or_expected(|| format!("policy {}", rule.name())))
        });
        match decided(id, Route::default(), judged) {
            Decision::Deny(denial) => Some(denial),
            Decision::Permit(_) | Decision::Bypass(_) => None,
        }
    }

    async fn judge_by(
        &self,
        rule: &Rule,
        (request, asked): (&Request<'_>, Asked),
        id: DecisionId,
    ) -> Result<Decision, Rejection> {
        let bypass = |exempt| {
            Ok(Decision::Bypass(Bypass {
                id,
                route: rule.route(),
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
        let found = (located.token(), located.carriers);
        self.judge_token(found, rule, (request, asked), id).await
    }

    async fn judge_token(
        &self,
        (token, carriers): (Token<'_>, Carriers),
        rule: &Rule,
        (request, asked): (&Request<'_>, Asked),
        id: DecisionId,
    ) -> Result<Decision, Rejection> {
        let verified = self.verifier.verify(token).await?;
        let refused = |reason| Err(Rejection::from(reason).by(&verified.claims.issuer));
        match self.standing(&verified.claims, rule, (request, asked))? {
            Standing::Clear(looked_up) => {
                let clock = self.verifier.clock();
                let by = |refused: Rejection| refused.by(&verified.claims.issuer);
                let fit = rule.judge(request, &verified.claims, clock).map_err(by)?;
                if verified.session.is_some() {
                    let uses = asked == Asked::ByDoor;
                    let judged = self.sessions.judge(&verified, clock, uses);
                    judged.map_err(by)?;
                }
                Ok(Decision::Permit(Permit {
                    id,
                    route: rule.route(),
                    carriers,
                    would_refuse: looked_up.in_shadow().map(|by| {
                        let (verified, by) = (Arc::clone(&verified), by.clone());
                        Box::new(Denial::of_revoked(id, verified, by))
                    }),
                    _fit: fit,
                    verified,
                    _looked_up: looked_up,
                }))
            }
            Standing::Revoked(by) => Ok(Decision::Deny(Denial {
                route: rule.route(),
                ..Denial::of_revoked(id, verified, by)
            })),
            Standing::NotReady => refused(Reason::NotReady),
            Standing::Stale => refused(Reason::Stale),
        }
    }
}

impl Gate {
    /// Looks a token up, with the address of its request.
    fn standing(
        &self,
        claims: &Claims,
        rule: &Rule,
        (request, asked): (&Request<'_>, Asked),
    ) -> Result<Standing, Rejection> {
        let when_stale = rule.when_stale();
        if asked == Asked::TokenAlone {
            return Ok(self.revocations.standing_where(claims, when_stale));
        }
        let address = || self.address(request);
        let standing = self.revocations.standing_from(claims, when_stale, address);
        standing.map_err(|_| {
            let header = self.client_ip.as_ref().map_or("none", |from| &from.header);
            let expected = format!("the client's address, because networks are revoked: {header}");
            Rejection::expected(Reason::NotReady, expected).by(&claims.issuer)
        })
    }

    /// Returns the address that a request comes from, if it is known.
    #[must_use]
    pub fn address(&self, request: &Request<'_>) -> Option<IpAddr> {
        self.client_ip.as_ref()?.of(&request.headers)
    }
}

fn decided(id: DecisionId, route: Route, judged: Result<Decision, Rejection>) -> Decision {
    judged.unwrap_or_else(|rejection| {
        Decision::Deny(Denial {
            route,
            ..Denial::of(id, rejection)
        })
    })
}
