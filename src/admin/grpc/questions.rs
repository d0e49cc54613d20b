//! From messages to what the verbs take.

use tonic::Status;

use super::pb;
use super::pb::explain_request::Question as Asked;
use super::pb::order::{Confirm as Confirmed, CutOff, Tokens};
use crate::admin::body::Matches;
use crate::admin::decisions;
use crate::admin::explain::{Described, Question};
use crate::admin::order::{Confirm, IssuedAtOrBefore, Order};
use crate::admin::query::{Filter, limit_of};
use crate::admin::refused::Refused;
use crate::admin::shown::rfc3339;
use crate::core::clock::UnixMillis;

/// Returns the key and the order of a request.
pub(super) fn revoke(request: pb::RevokeRequest) -> Result<(Option<String>, Order), Refused> {
    let key = Some(request.idempotency_key).filter(|key| !key.is_empty());
    Ok((key, order(request.order)?))
}

pub(super) fn order(order: Option<pb::Order>) -> Result<Order, Refused> {
    let order = order.ok_or_else(|| Refused::bad_request("order is missing"))?;
    let (token, target) = match order.tokens {
        Some(Tokens::Token(token)) => (Some(token), None),
        Some(Tokens::Target(target)) => (None, Some(target)),
        None => (None, None),
    };
    let (issuer, matches) = target.map(|target| (target.issuer, target.matches)).unzip();
    let issued_at_or_before = match order.cut_off {
        None => IssuedAtOrBefore::Absent,
        Some(CutOff::WheneverIssued(true)) => IssuedAtOrBefore::Null,
        Some(CutOff::WheneverIssued(false)) => {
            let why = "whenever_issued must be true, if it is given";
            return Err(Refused::bad_request(why));
        }
        Some(CutOff::IssuedAtOrBefore(at)) => IssuedAtOrBefore::Text(rfc3339(time(at)?)),
    };
    let confirm = match order.confirm {
        None | Some(Confirmed::Anything(false)) => Confirm::Narrow,
        Some(Confirmed::Anything(true)) => Confirm::Anything,
        Some(Confirmed::AtMost(most)) => {
            Confirm::AtMost(usize::try_from(most).unwrap_or(usize::MAX))
        }
    };
    Ok(Order {
        token,
        issuer,
        matches: matches.map(|matches| Matches(matches.into_iter().collect())),
        issued_at_or_before,
        confirm,
        shadow: order.shadow,
        reason: order.reason,
    })
}

fn time(at: prost_types::Timestamp) -> Result<UnixMillis, Refused> {
    let seconds = u64::try_from(at.seconds).ok();
    let millis = u64::try_from(at.nanos).ok().map(|nanos| nanos / 1_000_000);
    let at = seconds.zip(millis).and_then(|(seconds, millis)| {
        let at = UnixMillis(seconds.checked_mul(1000)?.checked_add(millis)?);
        (at <= UnixMillis::MAX).then_some(at)
    });
    at.ok_or_else(|| Refused::unprocessable("issued_at_or_before must be from 1970 to 9999"))
}

/// Returns how many are wanted; `None` if nothing is said.
pub(super) fn limit(limit: u32) -> Option<String> {
    (limit != 0).then(|| limit.to_string())
}

impl From<pb::Filter> for Filter {
    fn from(filter: pb::Filter) -> Self {
        Self {
            issuer: filter.issuer,
            claim: filter.claim,
            value: filter.value,
            source: filter.source,
            cause: filter.cause,
        }
    }
}

impl TryFrom<pb::DecisionsRequest> for decisions::Filter {
    type Error = Status;

    fn try_from(request: pb::DecisionsRequest) -> Result<Self, Status> {
        Ok(Self {
            reason: request.reason,
            outcome: request.outcome,
            limit: limit_of(limit(request.limit))?,
        })
    }
}

impl From<pb::ExplainRequest> for Question {
    fn from(request: pb::ExplainRequest) -> Self {
        let (token, request) = match request.question {
            Some(Asked::Token(token)) => (Some(token), None),
            Some(Asked::Request(request)) => (None, Some(request.into())),
            None => (None, None),
        };
        Self { token, request }
    }
}

impl From<pb::HttpRequest> for Described {
    fn from(request: pb::HttpRequest) -> Self {
        let headers = request.headers.into_iter();
        Self {
            method: request.method,
            target: request.target,
            headers: headers.map(|header| (header.name, header.value)).collect(),
            host: request.host,
            policy: request.policy,
        }
    }
}
