//! From a decision to what a client, a proxy and an upstream see: the one place that says so, for
//! every door.
//!
//! A client learns that its token is not good, never why (RFC 6750 §3.1): every bad token gets the
//! same status, challenge and body, except for the id of the decision. With the id, an operator
//! finds the reason in the log and in Envoy's access log.

use std::sync::{Arc, OnceLock};

use super::asserted::{Asserted, Asserter};
use super::check_response::{Encoder, Reply};
use super::config::{Config, TooLong};
use super::documents::Documents;
use super::identity::Identity;
use super::kept::Kept;
use super::refusal::Challenge;
use crate::assertion::Keys;
use crate::core::reason::Reason;
use crate::core::request::Request;
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
    pub(super) challenge: Challenge,
    pub(super) documents: Documents,
    asserter: Option<Asserter>,
    encoder: Encoder,
}

impl Answers {
    /// Builds the answers of a configuration that passed its check.
    #[must_use]
    pub fn new(config: &Config, sources: Sources) -> Self {
        let identity = Identity::new(config);
        let challenge = Challenge::new(config);
        let encoder = Encoder::new(config.metadata, &identity, &challenge);
        Self {
            identity,
            drop_token: config.drop_token,
            sources,
            refuse_spoofed: config.refuse_spoofed,
            too_long: config.too_long,
            challenge,
            documents: Documents::default(),
            asserter: None,
            encoder,
        }
    }

    /// Lets these keys sign what `config` says is asserted.
    #[must_use]
    pub fn asserting(self, config: &Config, keys: Option<Arc<Keys>>) -> Self {
        let Some(keys) = keys else { return self };
        Self {
            documents: Documents::of(Arc::clone(&keys)),
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
        let fresh = kept.and_then(|kept| kept.asserted(|one| signer.is_fresh(one)));
        if fresh.is_some() {
            return Ok(fresh);
        }
        let Some(asserted) = signer.sign(verified, permit.id) else {
            tracing::error!(decision_id = %permit.id, "cannot sign an assertion");
            return Err(Reason::NotReady);
        };
        if kept.is_some_and(|kept| kept.keep(asserted.clone())) {
            verified.memo.weigh_again();
        }
        Ok(Some(asserted))
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
                let verified = permit.verified();
                self.encoder
                    .permit(&self.identity, verified, asserted, permit.id)
            }
            Decision::Bypass(bypass) => self.encoder.bypass(bypass.id),
            Decision::Deny(denial) => return self.refusal(denial, request),
        };
        reply.with(&self.changes(decision, request))
    }

    /// Returns the `CheckResponse` for a denial. A client that speaks gRPC gets its error in that
    /// form.
    pub(super) fn refusal(&self, denial: &Denial, request: &Request<'_>) -> Reply {
        self.encoder
            .refusal(&self.challenge, denial, request.is_grpc())
    }
}
