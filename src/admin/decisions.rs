//! The latest decisions of the doors, for every protocol.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::api::Api;
use super::query::{limit_of, parameters};
use super::refused::Refused;
use super::shown::{Record, Time};
use crate::core::reason::{Detail, Reason};
use crate::gate::{Gate, Kept};
use crate::revocation::Match;
use crate::revocation::search::Scope;

/// Revocations in an answer, at most. One is known by several ids if it was recorded several times.
const MOST: usize = 100;

/// The latest decisions, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Decisions")]
pub(super) struct Listed {
    pub(super) decisions: Vec<Decided>,
}

/// A decision of a door.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Decided {
    pub(super) id: String,
    pub(super) at: Time,
    /// `permit`, `bypass` or `deny`.
    pub(super) decision: &'static str,
    /// Why it was refused; docs/reasons.md lists the reasons.
    pub(super) reason: Option<&'static str>,
    /// The status that the client got.
    pub(super) status: u16,
    pub(super) door: &'static str,
    /// As the proxy says it, 256 bytes at most.
    pub(super) host: String,
    pub(super) method: String,
    /// The path without its query, 256 bytes at most.
    pub(super) path: String,
    /// The policy that counted.
    pub(super) policy: Option<String>,
    /// The issuer of the token if its signature is good.
    pub(super) issuer: Option<String>,
    pub(super) expected: Option<String>,
    pub(super) found: Option<String>,
    pub(super) revoked_by: Option<RevokedBy>,
    /// The reason for which the request would be refused if nothing were in shadow. Then `expected`, `found` and
    /// `revoked_by` say why.
    pub(super) would_refuse: Option<&'static str>,
}

/// What is known about the revocation that refused a token.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RevokedBy {
    pub(super) source: String,
    pub(super) cause: String,
    pub(super) occurred_at: Time,
    /// The names of the claims that it matches.
    pub(super) claims: Vec<String>,
}

/// A decision with the revocation behind it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WholeDecision")]
pub(super) struct Whole {
    #[serde(flatten)]
    pub(super) decided: Decided,
    /// The revocation that refused the token, as the log has it, also if it was lifted since.
    pub(super) revocations: Option<Vec<Record>>,
}

/// Which decisions are asked for.
pub(super) struct Filter {
    pub(super) reason: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) limit: usize,
}

impl Filter {
    pub(super) fn parse(query: &str) -> Result<Self, Refused> {
        let [reason, outcome, limit] = parameters(query, ["reason", "outcome", "limit"])?;
        Ok(Self {
            reason,
            outcome,
            limit: limit_of(limit)?,
        })
    }
}

/// Lists the latest decisions that pass the filters.
pub(super) fn list(api: &Api, wanted: &Filter) -> Result<Listed, Refused> {
    let Filter {
        reason, outcome, ..
    } = wanted;
    let is_reason = |name: &str| Reason::ALL.iter().any(|known| known.as_str() == name);
    if reason.as_deref().is_some_and(|reason| !is_reason(reason)) {
        return Err(Refused::bad_request("reason must be a reason of a denial"));
    }
    if let Some(outcome) = outcome
        && !["permit", "bypass", "deny"].contains(&&**outcome)
    {
        return Err(Refused::bad_request(
            "outcome must be permit, bypass or deny",
        ));
    }
    let gate = api.gate();
    let filter = |kept: &Kept| {
        let own = kept.reason.map(Reason::as_str);
        (reason.is_none() || reason.as_deref() == own)
            && outcome
                .as_deref()
                .is_none_or(|wanted| wanted == kept.outcome)
    };
    let found = gate.recent.latest(wanted.limit, filter);
    let decisions = found.iter().map(|kept| api.decided(&gate, kept)).collect();
    Ok(Listed { decisions })
}

/// Returns the decision with this id.
pub(super) async fn find(api: &Api, id: &str) -> Result<Whole, Refused> {
    let id = id.parse().map_err(|()| {
        Refused::bad_request("the id of a decision has sixteen digits of 0-9 and a-f")
    })?;
    let gate = api.gate();
    let Some(kept) = gate.recent.find(id) else {
        let why = "no decision with this id is kept: it is too old, another replica made it, or the \
                   request passed and was not sampled; the log may have it";
        return Err(Refused::new(StatusCode::NOT_FOUND, why));
    };
    let decided = api.decided(&gate, &kept);
    let revocations = match kept.revoked_by {
        Some(found) => Some(api.recorded(found).await?),
        None => None,
    };
    Ok(Whole {
        decided,
        revocations,
    })
}

impl Api {
    fn decided(&self, gate: &Gate, kept: &Kept) -> Decided {
        let detail = kept.detail.as_deref();
        let status = kept.reason.map_or(StatusCode::OK, self.status_of);
        let matched = kept.revoked_by.as_ref();
        let matched = matched.and_then(|found| gate.revocations.describe(found));
        Decided {
            id: kept.id.to_string(),
            at: Time(kept.at),
            decision: kept.outcome,
            reason: kept.reason.map(Reason::as_str),
            status: status.as_u16(),
            door: kept.door,
            host: kept.host.clone(),
            method: kept.method.clone(),
            path: kept.path.clone(),
            policy: kept.policy.as_deref().map(str::to_owned),
            issuer: kept.issuer.as_deref().map(str::to_owned),
            expected: detail.map(|detail| detail.expected().to_owned()),
            found: detail.and_then(Detail::found).map(str::to_owned),
            revoked_by: matched.map(|matched| RevokedBy {
                source: matched.source.to_string(),
                cause: matched.cause.to_string(),
                occurred_at: Time(matched.occurred_at),
                claims: matched.claims,
            }),
            would_refuse: kept.would_refuse.map(Reason::as_str),
        }
    }

    /// Returns the revocation that refused a token, as the log has it, also if it was lifted since.
    async fn recorded(&self, found: Match) -> Result<Vec<Record>, Refused> {
        let filter = move |record: &_| found.is_by(record);
        let results = self.search.find(Scope::LiftedToo, MOST, filter).await?;
        Ok(results.found.iter().map(Record::of).collect())
    }
}
