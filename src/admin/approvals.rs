//! Orders that wait for a second person.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::audited;
use super::caller::Caller;
use super::order::{Confirm, Wanted};
use super::refused::Refused;
use super::shown::Time;
use crate::audit::Audit;
use crate::core::clock::{Clock, Moment, UnixMillis};

/// Orders that wait at once.
const MOST: usize = 100;

/// The orders that wait for a second person, in the memory of this replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Approvals {
    clock: Clock,
    waiting: Arc<Mutex<BTreeMap<String, Order>>>,
}

/// An order that waits.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// The id of the revocation that follows.
    pub(super) id: String,
    pub(super) by: Caller,
    /// With the cut-off of the moment at which it was ordered.
    pub(super) wanted: Wanted,
    pub(super) confirm: Confirm,
    pub(super) cause: String,
    /// The tokens seen lately that it would have refused.
    tokens: usize,
    at: UnixMillis,
    began: Moment,
    lasts: Duration,
}

/// What an operator asks for.
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) by: Caller,
    pub(super) wanted: Wanted,
    pub(super) confirm: Confirm,
    pub(super) cause: String,
    pub(super) tokens: usize,
}

impl Approvals {
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            waiting: Arc::default(),
        }
    }

    /// Lets an order wait for as long as `lasts`. The same order with the same id waits once.
    pub(super) fn add(&self, asked: Asked, lasts: Duration) -> Result<Order, Refused> {
        let mut waiting = self.waiting();
        if let Some(earlier) = waiting.get(&asked.id) {
            let is_same = earlier.wanted.target == asked.wanted.target
                && earlier.cause == asked.cause
                && asked.wanted.may_have(earlier.wanted.cut_off(earlier.at))
                && earlier.by.is(&asked.by);
            return is_same.then(|| earlier.clone()).ok_or_else(|| {
                Refused::unprocessable(
                    "this Idempotency-Key belongs to another order, which waits for approval; send another key",
                )
            });
        }
        if waiting.len() >= MOST {
            let why =
                format!("{MOST} orders wait already; approve or withdraw some: GET /v1/approvals");
            return Err(Refused::new(StatusCode::CONFLICT, why));
        }
        let at = self.clock.now();
        let order = Order {
            wanted: asked.wanted.fixed(at),
            id: asked.id,
            by: asked.by,
            confirm: asked.confirm,
            cause: asked.cause,
            tokens: asked.tokens,
            at,
            began: self.clock.moment(),
            lasts,
        };
        waiting.insert(order.id.clone(), order.clone());
        Ok(order)
    }

    /// Returns the order with this id.
    pub(super) fn find(&self, id: &str) -> Result<Order, Refused> {
        self.waiting().get(id).cloned().ok_or_else(no_such_order)
    }

    /// Returns the order with this id if `caller` may approve it: a second person.
    pub(super) fn for_approval(&self, id: &str, caller: &Caller) -> Result<Order, Refused> {
        caller.may_approve()?;
        let order = self.find(id)?;
        if !order.by.is(caller) {
            return Ok(order);
        }
        let why = "you ordered this yourself; it needs the approval of a second person";
        Err(Refused::new(StatusCode::FORBIDDEN, why))
    }

    /// Ends the wait of an order. Returns it if it still waited.
    pub(super) fn remove(&self, id: &str) -> Result<Order, Refused> {
        self.waiting().remove(id).ok_or_else(no_such_order)
    }

    /// Returns all orders, the oldest first.
    pub(super) fn list(&self, audit: &Audit) -> Listed {
        let mut orders: Vec<_> = self.waiting().values().cloned().collect();
        orders.sort_by_key(|order| order.at);
        let shown = orders.iter().map(|order| order.shown(audit));
        Listed {
            approvals: shown.collect(),
        }
    }

    /// Returns the orders whose time is not over.
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, Order>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, order| self.clock.since(order.began) < order.lasts);
        waiting
    }
}

impl Order {
    /// Returns what the audit trail says about it.
    pub(super) fn line(&self, audit: &Audit) -> Value {
        let target = &self.wanted.target;
        let target = audited::target(audit, &target.issuer, &target.matches);
        json!({ "waits": self.id, "cause": self.cause, "target": target })
    }

    /// Adds who ordered it to what the audit trail says about its approval.
    pub(super) fn approved_line(&self, audit: &Audit, mut line: Value) -> Value {
        line["ordered_by"] = json!(audited::who(audit, &self.by));
        line
    }

    /// Returns what the audit trail says about its withdrawal.
    pub(super) fn withdrawn_line(&self, audit: &Audit) -> Value {
        let mut line = self.line(audit);
        line["withdrawn"] = line["waits"].take();
        line["ordered_by"] = json!(audited::who(audit, &self.by));
        line
    }
}

fn no_such_order() -> Refused {
    let why = "no order with this id waits on this replica: it never did, it was approved or withdrawn, its time \
               is over, or the process was restarted";
    Refused::new(StatusCode::NOT_FOUND, why)
}

/// An order that waits for a second person.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Approval")]
pub(super) struct Shown {
    /// Also the id of the revocation, once it is approved.
    pub(super) id: String,
    pub(super) issuer: String,
    /// Tokens that match all of these claims will be refused. Empty: every token of the issuer.
    pub(super) matches: BTreeMap<String, String>,
    /// Only tokens issued until then will be refused. `null`: whenever they were issued.
    pub(super) issued_at_or_before: Option<Time>,
    pub(super) cause: String,
    /// The credential of the operator who ordered it.
    pub(super) ordered_by: String,
    /// Who that was, if the credential is a token or a certificate; hashed as in the audit trail.
    pub(super) subject: Option<String>,
    /// The tokens seen lately that it would have refused when it was ordered.
    pub(super) tokens: usize,
    pub(super) ordered_at: Time,
    pub(super) expires_at: Time,
}

/// Orders that wait, the oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Approvals")]
pub(super) struct Listed {
    pub(super) approvals: Vec<Shown>,
}

impl Order {
    pub(super) fn shown(&self, audit: &Audit) -> Shown {
        let target = &self.wanted.target;
        let subject = self.by.subject.as_ref();
        Shown {
            id: self.id.clone(),
            issuer: target.issuer.clone(),
            matches: target.matches.clone(),
            issued_at_or_before: self.wanted.cut_off(self.at).map(Time),
            cause: self.cause.clone(),
            ordered_by: self.by.name.to_string(),
            subject: subject.map(|subject| audit.subject(&subject.issuer, &subject.name)),
            tokens: self.tokens,
            ordered_at: Time(self.at),
            expires_at: Time(self.at.plus(self.lasts)),
        }
    }
}
