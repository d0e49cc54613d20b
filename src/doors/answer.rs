//! From a decision to what a client, a proxy and an upstream see: the one place that says so, for
//! every door.
//!
//! A client learns that its token is not good, never why (RFC 6750 §3.1): every bad token gets the
//! same status, challenge and body, except for the id of the decision. With the id, an operator
//! finds the reason in the log and in Envoy's access log.

use std::sync::{Arc, OnceLock};

use http::HeaderName;

use super::asserted::{Asserted, Asserter};
use super::check_response::{Encoder, Reply};
use super::config::{Config, TooLong};
use super::documents::Documents;
use super::identity::{Client, Identity};
use super::kept::Kept;
use super::refusal::Challenge;
use super::route::{self, Told};
use crate::assertion::Keys;
use crate::core::reason::Reason;
use crate::core::request::Request;
use crate::core::route::{Route, RouteAnswer};
use crate::core::token::{Sources, Stripped};
use crate::gate::{Decision, Denial, Permit};

/// How decisions are answered under one configuration.
#[derive(Debug)]
pub struct Answers {
    pub(super) identity: Identity,
    pub(super) drop_token: bool,
    /// Where requests may hold tokens.
    pub(super) sources: Sources,
    pub(super) refuse_spoofed: bool,
    pub(super) too_long: TooLong,
    challenge: Challenge,
    /// By route.
    told: Vec<Told>,
    pub(super) documents: Documents,
    asserter: Option<Asserter>,
    encoder: Encoder,
}

impl Answers {
    /// Builds the answers of a configuration that passed its check.
    #[must_use]
    pub fn new(config: &Config, sources: Sources) -> Self {
        Self::with(config, &[], sources)
    }

    /// The same with the answers of policies, by the numbers of their routes from 1 on.
    #[must_use]
    pub fn with(config: &Config, routes: &[RouteAnswer], sources: Sources) -> Self {
        let fixed = route::names(routes);
        let identity = Identity::new(config, &fixed);
        let usual = RouteAnswer::default();
        let told = std::iter::once(&usual).chain(routes);
        let told = told
            .map(|answer| Told::new(config, answer, &fixed))
            .collect();
        let resources = routes.iter().filter_map(|answer| answer.resource.as_ref());
        let resources = config.resource.iter().chain(resources);
        let challenge = Challenge::new(config);
        let encoder = Encoder::new(config.metadata, &identity, &challenge);
        Self {
            identity,
            drop_token: config.drop_token,
            sources,
            refuse_spoofed: config.refuse_spoofed,
            too_long: config.too_long,
            challenge,
            told,
            documents: Documents::of(resources),
            asserter: None,
            encoder,
        }
    }

    /// Lets these keys sign what `config` says is asserted.
    #[must_use]
    pub fn asserting(self, config: &Config, keys: Option<Arc<Keys>>) -> Self {
        let Some(keys) = keys else { return self };
        Self {
            documents: self.documents.with(Arc::clone(&keys)),
            asserter: Asserter::new(config, keys),
            ..self
        }
    }

    /// Returns the assertion about the client of a request that may pass, if one is configured.
    pub(super) fn asserted(&self, permit: &Permit) -> Result<Option<Asserted>, Reason> {
        let Some(signer) = &self.asserter else {
            return Ok(None);
        };
        let verified = permit.verified();
        let kept = verified.memo.kept::<Kept>();
        let kept = kept.filter(|kept| kept.answers == self.encoder.number());
        let audience = self.told(permit.route).audience.as_deref();
        let route = audience.map_or(Route::default(), |_| permit.route);
        let fits = |one: &Asserted| one.route == route && signer.is_fresh(one);
        let fresh = kept.and_then(|kept| kept.asserted(fits));
        if fresh.is_some() {
            return Ok(fresh);
        }
        let Some(asserted) = signer.sign(verified, (route, audience), permit.id) else {
            tracing::error!(decision_id = %permit.id, "cannot sign an assertion");
            return Err(Reason::NotReady);
        };
        if kept.is_some_and(|kept| kept.keep(&asserted)) {
            verified.memo.weigh_again();
        }
        Ok(Some(asserted))
    }

    /// Returns the payload of the token of a request that passes, in base64url.
    fn payload(&self, request: &Request<'_>) -> Option<String> {
        let located = self.sources.find(request).ok()?;
        let payload = located.token().expose().split('.').nth(1)?;
        Some(payload.to_owned())
    }

    /// Returns whether no header loses its value because that is too long.
    pub(super) fn fits(&self, permit: &Permit, request: &Request<'_>) -> bool {
        self.identity.fits(Client {
            claims: &permit.verified().claims,
            payload: &|| self.payload(request),
        })
    }

    /// Returns each header with the value that claims give it, or `None` where it has to be removed.
    pub(super) fn values(
        &self,
        decision: &Decision,
        asserted: bool,
        request: &Request<'_>,
    ) -> Vec<(&HeaderName, Option<String>)> {
        let payload = || self.payload(request);
        let client = match decision {
            Decision::Permit(permit) => Some(Client {
                claims: &permit.verified().claims,
                payload: &payload,
            }),
            Decision::Bypass(_) | Decision::Deny(_) => None,
        };
        self.identity.values(client, asserted).collect()
    }

    /// Returns what is told on a route.
    pub(super) fn told(&self, route: Route) -> &Told {
        // Each number comes from the policy of the same configuration.
        self.told.get(route.place()).unwrap_or(&self.told[0])
    }

    /// Returns the challenge of a route.
    pub(super) fn challenge(&self, route: Route) -> &Challenge {
        self.told(route)
            .challenge
            .as_ref()
            .unwrap_or(&self.challenge)
    }

    /// Keeps an assertion beside the token that it is about.
    pub(super) fn keep(&self, permit: &Permit, asserted: &Asserted) {
        let answers = self.encoder.number();
        let kept = || Kept::new(answers, OnceLock::new(), Some(asserted.clone()));
        permit.verified().memo.recall(kept);
    }

    /// Returns what has to change in a request that passes, besides the identity headers: tokens
    /// that the upstream must not see go, and so do headers that read like ours.
    pub(super) fn changes<'a>(
        &'a self,
        decision: &Decision,
        request: &'a Request<'_>,
    ) -> Stripped<'a> {
        let mut changes = match decision {
            Decision::Permit(permit) => {
                self.sources
                    .strip(permit.carriers, self.drop_token, request)
            }
            Decision::Bypass(_) => Stripped::default(),
            Decision::Deny(_) => return Stripped::default(),
        };
        changes
            .remove
            .extend(self.identity.look_alikes(&request.headers));
        changes
    }

    /// Returns the `CheckResponse` for a decision.
    pub(super) fn reply(
        &self,
        decision: &Decision,
        asserted: Option<&Asserted>,
        request: &Request<'_>,
    ) -> Reply {
        let reply = match decision {
            Decision::Permit(permit) => {
                let payload = || self.payload(request);
                let told = (asserted, &payload as &dyn Fn() -> Option<String>);
                self.encoder
                    .permit(&self.identity, permit.verified(), told, permit.id)
            }
            Decision::Bypass(bypass) => self.encoder.bypass(bypass.id),
            Decision::Deny(denial) => return self.refusal(denial, request),
        };
        let fixed = self.told(decision.route()).piece.clone();
        reply.with(fixed, &self.changes(decision, request))
    }

    /// Returns the `CheckResponse` for a denial. A client that speaks gRPC gets its error in that
    /// form.
    pub(super) fn refusal(&self, denial: &Denial, request: &Request<'_>) -> Reply {
        let own = self.told(denial.route).challenge.as_ref();
        self.encoder
            .refusal(&self.challenge, own, denial, request.is_grpc())
    }
}
