//! Promotes what is in shadow, for every protocol.

use http::StatusCode;
use serde_json::{Value, json};

use super::api::Api;
use super::approvals::Order;
use super::audited;
use super::caller::Caller;
use super::order::{Confirm, Wanted};
use super::refused::Refused;
use super::revocations::{MOST_LIFTED, Ordered, fresh_id, place, take_back};
use super::shown::{Listed, Record, Time};
use crate::audit::Audit;
use crate::revocation::Revocation;
use crate::revocation::search::Scope;

/// What became of revocations in shadow.
pub(super) enum Promoted {
    /// They are enforced, by these records in their place.
    Enforced(Listed),
    /// One of them needs a second person. All of them are still in shadow.
    Waits(Box<Order>),
}

impl Promoted {
    /// Returns what the audit trail says about it.
    pub(super) fn line(&self, audit: &Audit, id: &str) -> Value {
        match self {
            Self::Enforced(made) => {
                let made = made.revocations.iter().map(|record| &*record.id);
                json!({ "promoted": id, "revoked": made.collect::<Vec<_>>() })
            }
            Self::Waits(order) => order.line(audit),
        }
    }
}

/// Revokes what the revocations with this id, which are in shadow, would refuse, and takes these back. If something
/// fails in between, both remain; the same request again goes on.
pub(super) async fn promote(api: &Api, caller: &Caller, id: &str) -> Result<Promoted, Refused> {
    caller.may_write()?;
    api.require_ready()?;
    audited::require(&api.audit).await?;
    let found = api.with_id(Scope::Live, MOST_LIFTED, id, Revocation::is_in_shadow);
    let found = found.await?;
    if found.found.is_empty() {
        let why = "no live revocation with this id is in shadow: it never was, or it was promoted, lifted or forgotten";
        return Err(Refused::new(StatusCode::NOT_FOUND, why));
    }
    let mut revocations = Vec::new();
    for (number, in_shadow) in found.found.iter().enumerate() {
        let wanted = Wanted::enforcing(&in_shadow.record);
        // The same again if the request is repeated.
        let key = format!("promoted-{id}-{number}");
        let earlier = api.earlier(&key).await?;
        let earlier = earlier.map(|earlier| (earlier.is_lifted, Record::of(&earlier)));
        let key = match earlier {
            Some((false, record))
                if record.matches == wanted.target.matches
                    && wanted.may_have(record.issued_at_or_before.map(|Time(at)| at)) =>
            {
                revocations.push(record);
                continue;
            }
            Some(_) => fresh_id(),
            None => key,
        };
        let cause = format!("{}: promoted {id}", caller.name);
        match place(api, caller, key, wanted, Confirm::Anything, cause).await? {
            Ordered::Made(made) => revocations.push(made.record),
            Ordered::Waits(order) => return Ok(Promoted::Waits(order)),
        }
    }
    take_back(api, caller, id, Revocation::is_in_shadow).await?;
    let more = false;
    Ok(Promoted::Enforced(Listed { revocations, more }))
}
