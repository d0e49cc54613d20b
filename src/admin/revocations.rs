//! Revoke, list and lift, for every protocol.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use super::api::Api;
use super::approvals::{Asked, Order};
use super::caller::Caller;
use super::order::{Confirm, Wanted};
use super::query::Query;
use super::refused::Refused;
use super::shown::{Listed, Record};
use super::{audited, order, preview};
use crate::audit::Audit;
use crate::core::clock::UnixMillis;
use crate::revocation::search::{Found, Name, Results, Scope, SearchError};
use crate::revocation::{Action, Draft, Revocation, Target};

/// Revocations that one request lifts, at most.
pub(super) const MOST_LIFTED: usize = 10_000;

/// Revocations with one id that are shown, at most.
const MOST_SHOWN: usize = 1000;

/// What became of an order.
pub(super) enum Ordered {
    Made(Made),
    /// It needs a second person.
    Waits(Box<Order>),
}

/// A revocation that a request asked for.
pub(super) struct Made {
    /// Whether this request made it, and not an earlier one with the same key.
    pub(super) is_new: bool,
    pub(super) record: Record,
}

impl Made {
    /// Returns what the audit trail says about it.
    pub(super) fn line(&self, audit: &Audit) -> Value {
        let record = &self.record;
        let target = audited::target(audit, &record.issuer, &record.matches);
        json!({ "revoked": record.id, "cause": record.cause, "target": target })
    }
}

/// Revokes. A request whose key was used before changes nothing.
pub(super) async fn revoke(
    api: &Api,
    caller: &Caller,
    key: Option<&str>,
    order: &order::Order,
) -> Result<Ordered, Refused> {
    caller.may_write()?;
    let key = key.map(idempotency_key).transpose()?;
    api.require_ready()?;
    let cause = format!("{}: {}", caller.name, order.reason()?);
    let wanted = order.wanted(&api.gate()).await?;
    if let Some(key) = &key
        && let Some(earlier) = api.earlier(key).await?
    {
        return repeated(&earlier, &wanted, &cause).map(Ordered::Made);
    }
    let id = key.unwrap_or_else(fresh_id);
    place(api, caller, id, wanted, order.confirm(), cause).await
}

/// Revokes, or lets an order wait for a second person, if it needs one.
pub(super) async fn place(
    api: &Api,
    caller: &Caller,
    id: String,
    wanted: Wanted,
    confirm: Confirm,
    cause: String,
) -> Result<Ordered, Refused> {
    preview::confirmed(api, confirm, wanted.clone()).await?;
    let approval = api.credentials.load().approval;
    if let Some(lasts) = approval.filter(|_| !wanted.shadow && preview::reaches_far(api, &wanted)) {
        let asked = Asked {
            id,
            by: caller.clone(),
            confirm,
            cause,
            tokens: preview::tokens(api, wanted.clone()).await?,
            wanted,
        };
        let order = api.approvals.add(asked, lasts)?;
        tracing::info!(
            credential = &*caller.name,
            id = &*order.id,
            "an order waits for approval"
        );
        return Ok(Ordered::Waits(Box::new(order)));
    }
    make(api, caller, id, wanted, cause)
        .await
        .map(Ordered::Made)
}

/// Revokes what another person ordered. Returns the order, too.
pub(super) async fn approve(
    api: &Api,
    caller: &Caller,
    id: &str,
) -> Result<(Order, Made), Refused> {
    let order = api.approvals.for_approval(id, caller)?;
    api.require_ready()?;
    preview::confirmed(api, order.confirm, order.wanted.clone()).await?;
    let (wanted, cause) = (order.wanted.clone(), order.cause.clone());
    let made = make(api, caller, order.id.clone(), wanted, cause).await?;
    // Whoever approved it at the same time revoked the same.
    let _ = api.approvals.remove(id);
    Ok((order, made))
}

/// Ends the wait of an order.
pub(super) fn withdraw(api: &Api, caller: &Caller, id: &str) -> Result<Order, Refused> {
    caller.may_write()?;
    api.approvals.remove(id)
}

async fn make(
    api: &Api,
    caller: &Caller,
    id: String,
    wanted: Wanted,
    cause: String,
) -> Result<Made, Refused> {
    let now = api.clock.now();
    let draft = Draft {
        id,
        source: wanted.source(),
        issued_at_or_before: wanted.cut_off(now),
        expires_at_or_before: wanted.expires_at_or_before,
        target: wanted.target,
        action: Action::Revoke,
        occurred_at: now,
        cause,
    };
    let records = api.writer.record_whole(vec![draft]).await?;
    let record = records.first().ok_or_else(not_recorded)?;
    let claims: Vec<_> = record.target.matches.keys().collect();
    let (credential, id) = (&*caller.name, &*record.id);
    tracing::info!(credential, id, ?claims, "revoked through the admin API");
    let record = Record::new(record, record.forget_after);
    Ok(Made {
        is_new: true,
        record,
    })
}

/// Answers a request whose key was used before. It changes nothing.
fn repeated(earlier: &Found, wanted: &Wanted, cause: &str) -> Result<Made, Refused> {
    let record = &earlier.record;
    let is_same = record.target == wanted.target
        && record.cause == cause
        && record.source == wanted.source()
        && wanted.may_have(record.issued_at_or_before);
    if !is_same {
        return Err(Refused::unprocessable(
            "this Idempotency-Key belongs to another revocation; send another key",
        ));
    }
    if earlier.is_lifted {
        let why =
            "the revocation of this Idempotency-Key was lifted; to revoke again, send another key";
        return Err(Refused::new(StatusCode::CONFLICT, why));
    }
    Ok(Made {
        is_new: false,
        record: Record::new(&earlier.record, earlier.forget_after),
    })
}

/// Lists live revocations, newest first.
pub(super) async fn list(api: &Api, query: Query) -> Result<Listed, Refused> {
    api.require_ready()?;
    let Query { limit, filter } = query;
    let sought = filter.value.clone().map(Name::Value);
    let sought = sought.into_iter().collect();
    let accepts = move |record: &Revocation| filter.accepts(record);
    let found = api
        .search
        .find_named(Scope::Live, limit, sought, accepts)
        .await?;
    Ok(listed(&found))
}

/// Lists the live revocations with this id.
pub(super) async fn find(api: &Api, id: String) -> Result<Listed, Refused> {
    api.require_ready()?;
    let results = api.with_id(Scope::Live, MOST_SHOWN, &id, |_| true).await?;
    if results.found.is_empty() {
        return Err(no_such_revocation());
    }
    Ok(listed(&results))
}

/// Lifts the live revocations with this id, and returns all that it took back.
pub(super) async fn lift(api: &Api, caller: &Caller, id: String) -> Result<Listed, Refused> {
    caller.may_write()?;
    api.require_ready()?;
    audited::require(&api.audit).await?;
    take_back(api, caller, &id, |_| true).await
}

/// Lifts the live revocations with this id that `is_meant` accepts, and returns all that it took back.
pub(super) async fn take_back(
    api: &Api,
    caller: &Caller,
    id: &str,
    is_meant: impl Fn(&Revocation) -> bool + Send + 'static,
) -> Result<Listed, Refused> {
    let named = api.with_id(Scope::Live, MOST_LIFTED, id, is_meant).await?;
    if named.found.is_empty() {
        return Err(no_such_revocation());
    }
    let now = api.clock.now();
    // A sender whose clock is ahead may have dated it later than now.
    let occurred = named.found.iter().map(|found| found.record.occurred_at);
    let at = occurred.fold(now, UnixMillis::max);
    let records = named.found.iter().map(|found| &*found.record);
    let subjects: BTreeSet<_> = records.map(Subject::of).collect();
    let sought = subjects.iter().map(|subject| Name::of(&subject.target));
    let sought = sought.collect();
    let drafts = subjects.iter().map(|subject| subject.lift(at)).collect();
    // A lift reaches all revocations of the same source, target and cause.
    let reached = move |record: &Revocation| {
        record.occurred_at <= at && subjects.iter().any(|subject| subject.is_of(record))
    };
    let reached = api
        .search
        .find_named(Scope::Live, MOST_LIFTED, sought, reached)
        .await?;
    if api.writer.record_whole(drafts).await?.is_empty() {
        return Err(not_recorded());
    }
    let (credential, lifted) = (&*caller.name, reached.found.len());
    tracing::info!(credential, id, lifted, "lifted through the admin API");
    Ok(listed(&reached))
}

/// What a lift and the revocations that it takes back have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    source: String,
    cause: String,
    target: Target,
}

impl Subject {
    fn of(record: &Revocation) -> Self {
        Self {
            source: record.source.clone(),
            cause: record.cause.clone(),
            target: record.target.clone(),
        }
    }

    fn is_of(&self, record: &Revocation) -> bool {
        (&self.source, &self.cause, &self.target) == (&record.source, &record.cause, &record.target)
    }

    fn lift(&self, at: UnixMillis) -> Draft {
        Draft {
            id: fresh_id(),
            target: self.target.clone(),
            action: Action::Lift,
            issued_at_or_before: None,
            expires_at_or_before: None,
            occurred_at: at,
            source: self.source.clone(),
            cause: self.cause.clone(),
        }
    }
}

impl Api {
    /// Returns the revocation that a request with this key made, also if it was lifted since.
    pub(super) async fn earlier(&self, key: &str) -> Result<Option<Found>, Refused> {
        let earlier = self.with_id(Scope::LiftedToo, 1, key, |_| true).await?;
        Ok(earlier.found.into_iter().next())
    }

    /// Returns the newest revocations with this id that `is_meant` accepts.
    pub(super) async fn with_id(
        &self,
        scope: Scope,
        limit: usize,
        id: &str,
        is_meant: impl Fn(&Revocation) -> bool + Send + 'static,
    ) -> Result<Results, SearchError> {
        let (sought, id) = (vec![Name::Id(id.to_owned())], id.to_owned());
        let filter = move |record: &Revocation| record.id == id && is_meant(record);
        self.search.find_named(scope, limit, sought, filter).await
    }
}

fn listed(results: &Results) -> Listed {
    Listed {
        revocations: results.found.iter().map(Record::of).collect(),
        more: results.more,
    }
}

fn no_such_revocation() -> Refused {
    let why = "no live revocation has this id: it never had one, or it was lifted or forgotten";
    Refused::new(StatusCode::NOT_FOUND, why)
}

fn not_recorded() -> Refused {
    Refused::unavailable("this replica's clock was set back; nothing was recorded")
}

pub(super) fn fresh_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Returns a key that makes repeating a request safe, given with or without quotes.
fn idempotency_key(key: &str) -> Result<String, Refused> {
    let quoted = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    let key = quoted.unwrap_or(key);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    if (1..=128).contains(&key.len()) && key.bytes().all(is_allowed) {
        return Ok(key.to_owned());
    }
    Err(Refused::bad_request(
        "Idempotency-Key must stand once and have 1 to 128 characters of A-Z, a-z, 0-9, -, ., _, ~ and :",
    ))
}
