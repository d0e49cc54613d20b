//! How many tokens a revocation would refuse, of those that were seen lately.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::api::Api;
use super::audited;
use super::order::{Confirm, Order, Wanted};
use super::refused::Refused;
use crate::audit::Audit;
use crate::core::network::CLIENT_IP;
use crate::gate::Gate;
use crate::revocation::{Target, refused_by};
use crate::verify::Claims;
use crate::verify::claims::SIGNED_PART;

/// What a revocation would do to the good tokens in the cache.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Preview")]
pub(super) struct Reach {
    /// Tokens that would be refused and are not yet.
    pub(super) tokens: usize,
    /// How many different subjects these have.
    pub(super) subjects: usize,
    /// How many different clients these have.
    pub(super) clients: usize,
    /// Tokens that match and are revoked already.
    pub(super) already_refused: usize,
    /// Whether the revocation needs `confirm`.
    pub(super) needs_confirm: bool,
    /// Good tokens in the cache.
    pub(super) tokens_seen: usize,
    /// Whether the cache has room, so that no token was displaced.
    pub(super) is_complete: bool,
}

impl Reach {
    /// Returns what the audit trail says about a preview.
    pub(super) fn line(&self, audit: &Audit, target: &Target) -> Value {
        let target = audited::target(audit, &target.issuer, &target.matches);
        json!({ "target": target, "tokens": self.tokens })
    }
}

/// Says what a revocation would do. Returns its target, too.
pub(super) async fn preview(api: &Api, order: &Order) -> Result<(Target, Reach), Refused> {
    api.require_ready()?;
    order.reason()?;
    let gate = api.gate();
    let wanted = order.wanted(&gate).await?;
    let target = wanted.target.clone();
    let needs_confirm = is_broad(&gate, &target);
    let reach = api.reach(gate, wanted).await?;
    Ok((
        target,
        Reach {
            needs_confirm,
            ..reach
        },
    ))
}

/// Returns whether a revocation may reach the tokens of many people.
pub(super) fn reaches_far(api: &Api, wanted: &Wanted) -> bool {
    is_broad(&api.gate(), &wanted.target)
}

/// Returns how many of the tokens seen lately a revocation would refuse.
pub(super) async fn tokens(api: &Api, wanted: Wanted) -> Result<usize, Refused> {
    Ok(api.reach(api.gate(), wanted).await?.tokens)
}

/// Refuses a revocation that reaches further than the operator confirmed.
pub(super) async fn confirmed(api: &Api, confirm: Confirm, wanted: Wanted) -> Result<(), Refused> {
    let gate = api.gate();
    let is_broad = is_broad(&gate, &wanted.target);
    match confirm {
        Confirm::Anything => Ok(()),
        Confirm::Narrow if !is_broad => Ok(()),
        Confirm::Narrow => {
            let Reach {
                tokens, subjects, ..
            } = api.reach(gate, wanted).await?;
            Err(Refused::unprocessable(format!(
                "this names no person, session, token or address, such as sub, and revokes {tokens} of those seen \
                 lately, of {subjects} subjects; add \"confirm\": {tokens} to refuse at most so many of \
                 them, or \"confirm\": true"
            )))
        }
        Confirm::AtMost(most) => {
            let Reach { tokens, .. } = api.reach(gate, wanted).await?;
            if tokens <= most {
                return Ok(());
            }
            let why = format!(
                "this would refuse {tokens} of the tokens seen lately, more than the {most} that were \
                 confirmed; look at the preview again"
            );
            Err(Refused::new(StatusCode::CONFLICT, why))
        }
    }
}

/// Claims of which each value belongs to one person, session or token.
const NARROW: [&str; 19] = [
    "cognito:username",
    "email",
    "jti",
    "oid",
    "origin_jti",
    "phone_number",
    "preferred_username",
    "session_id",
    "session_state",
    "sid",
    "sub",
    SIGNED_PART,
    "uid",
    "unique_name",
    "upn",
    "user_id",
    "username",
    "user_name",
    "uti",
];

/// Returns whether the target names no person, session, token or single address. Any other claim may have the same
/// value in every token.
fn is_broad(gate: &Gate, target: &Target) -> bool {
    let is_narrow = |(claim, value): (&String, &String)| {
        let is_address =
            claim == CLIENT_IP && value.ends_with(if value.contains(':') { "/128" } else { "/32" });
        let is_one = claim.split('|').all(|choice| NARROW.contains(&choice));
        is_address || is_one && !gate.verifier.names_client(&target.issuer, claim)
    };
    !target.matches.iter().any(is_narrow)
}

impl Api {
    /// Counts on a blocking thread.
    async fn reach(&self, gate: Arc<Gate>, wanted: Wanted) -> Result<Reach, Refused> {
        let cut_off = wanted.cut_off(self.clock.now());
        let count = move || reach(&gate, refused_by(&wanted.target, cut_off));
        let counted = tokio::task::spawn_blocking(count).await;
        counted.map_err(|_| Refused::unavailable("the tokens could not be counted; try again"))
    }
}

fn reach(gate: &Gate, is_refused: impl Fn(&Claims) -> bool) -> Reach {
    let mut reach = Reach::default();
    let hasher = RandomState::new();
    let (mut subjects, mut clients) = (HashSet::new(), HashSet::new());
    reach.is_complete = gate.verifier.each_known(|token| {
        reach.tokens_seen += 1;
        if !is_refused(token) {
            return;
        }
        if gate.revocations.is_revoked(token) {
            reach.already_refused += 1;
            return;
        }
        reach.tokens += 1;
        let of_token = |value: &str| hasher.hash_one((&*token.issuer, value));
        subjects.extend(token.subject.as_deref().map(of_token));
        clients.extend(token.client.as_deref().map(of_token));
    });
    (reach.subjects, reach.clients) = (subjects.len(), clients.len());
    reach
}
