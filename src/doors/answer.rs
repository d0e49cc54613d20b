//! From a decision to what a client, a proxy and an upstream see: the one place that says so, for
//! every door.
//!
//! A client learns that its token is not good, never why (RFC 6750 §3.1): every bad token gets the
//! same status, challenge and body, except for the id of the decision. With the id, an operator
//! finds the reason in the log and in Envoy's access log.

use super::check_response::{Encoder, Reply};
use super::config::{Config, TooLong};
use super::identity::Identity;
use super::refusal::Challenge;
use crate::core::request::Request;
use crate::core::token::{Sources, Stripped};
use crate::gate::{Decision, Denial};

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
            encoder,
        }
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
    pub(super) fn reply(&self, decision: &Decision, request: &Request<'_>) -> Reply {
        let reply = match decision {
            Decision::Permit(permit) => {
                self.encoder
                    .permit(&self.identity, permit.verified(), permit.id)
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
