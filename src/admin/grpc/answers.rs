//! From what the verbs answer to messages.

use prost_types::Timestamp;
use serde_json::Value;

use super::pb;
use super::pb::watch_event as event;
use crate::admin::approvals;
use crate::admin::configuration::Shown;
use crate::admin::decisions::{self, Decided, Whole};
use crate::admin::explain::Explained;
use crate::admin::preview::Reach;
use crate::admin::promote::Promoted;
use crate::admin::replicas::{self, Replica};
use crate::admin::revocations::Ordered;
use crate::admin::shown::{Listed, Record, Time};
use crate::admin::state::{Keys, Status};
use crate::admin::watch::{Event, Happened};

impl From<Time> for Timestamp {
    fn from(Time(at): Time) -> Self {
        Self {
            seconds: i64::try_from(at.0 / 1000).unwrap_or(i64::MAX),
            nanos: i32::try_from(at.0 % 1000 * 1_000_000).unwrap_or_default(),
        }
    }
}

impl From<Record> for pb::Revocation {
    fn from(record: Record) -> Self {
        let (issuer, matches) = (record.issuer, record.matches.into_iter().collect());
        Self {
            id: record.id,
            target: Some(pb::Target { issuer, matches }),
            issued_at_or_before: record.issued_at_or_before.map(Into::into),
            expires_at_or_before: record.expires_at_or_before.map(Into::into),
            source: record.source,
            cause: record.cause,
            occurred_at: Some(record.occurred_at.into()),
            received_at: Some(record.received_at.into()),
            forget_after: Some(record.forget_after.into()),
        }
    }
}

fn all(records: Vec<Record>) -> pb::Revocations {
    pb::Revocations {
        revocations: records.into_iter().map(Into::into).collect(),
        more: false,
    }
}

impl From<Listed> for pb::Revocations {
    fn from(listed: Listed) -> Self {
        let more = listed.more;
        Self {
            more,
            ..all(listed.revocations)
        }
    }
}

impl From<Ordered> for pb::RevokeResponse {
    fn from(ordered: Ordered) -> Self {
        match ordered {
            Ordered::Made(made) => Self {
                revocation: Some(made.record.into()),
                is_new: made.is_new,
                waits: None,
            },
            Ordered::Waits(order) => Self {
                waits: Some(order.id),
                ..Self::default()
            },
        }
    }
}

impl From<Promoted> for pb::PromoteResponse {
    fn from(promoted: Promoted) -> Self {
        match promoted {
            Promoted::Enforced(made) => Self {
                revocations: made.revocations.into_iter().map(Into::into).collect(),
                waits: None,
            },
            Promoted::Waits(order) => Self {
                waits: Some(order.id),
                ..Self::default()
            },
        }
    }
}

impl From<approvals::Shown> for pb::Approval {
    fn from(order: approvals::Shown) -> Self {
        let (issuer, matches) = (order.issuer, order.matches.into_iter().collect());
        Self {
            id: order.id,
            target: Some(pb::Target { issuer, matches }),
            issued_at_or_before: order.issued_at_or_before.map(Into::into),
            cause: order.cause,
            ordered_by: order.ordered_by,
            subject: order.subject,
            tokens: order.tokens as u64,
            ordered_at: Some(order.ordered_at.into()),
            expires_at: Some(order.expires_at.into()),
        }
    }
}

impl From<approvals::Listed> for pb::ApprovalsResponse {
    fn from(listed: approvals::Listed) -> Self {
        let approvals = listed.approvals.into_iter();
        Self {
            approvals: approvals.map(Into::into).collect(),
        }
    }
}

impl From<Event> for pb::WatchEvent {
    fn from(told: Event) -> Self {
        let (position, event) = match told {
            Event::Live { position } => (position, event::Event::Live(event::Live {})),
            Event::Alive { position } => (position, event::Event::Alive(event::Alive {})),
            Event::Revoked(happened) => effect(happened, event::Event::Revoked),
            Event::Lifted(happened) => effect(happened, event::Event::Lifted),
            Event::End { position, why } => {
                let why = why.to_owned();
                (position, event::Event::End(event::End { why }))
            }
        };
        let event = Some(event);
        Self { position, event }
    }
}

fn effect(happened: Happened, kind: fn(event::Effect) -> event::Event) -> (String, event::Event) {
    let effect = event::Effect {
        effective_at: Some(happened.effective_at.into()),
        record: Some(happened.record.into()),
    };
    (happened.position, kind(effect))
}

impl From<Explained> for pb::Explanation {
    fn from(explained: Explained) -> Self {
        Self {
            decision: explained.decision.as_str().to_owned(),
            reason: explained.reason.map(str::to_owned),
            status: explained.status.into(),
            policy: explained.policy,
            expected: explained.expected,
            found: explained.found,
            would_refuse: explained.would_refuse.map(str::to_owned),
            claims: explained
                .claims
                .map(|claims| Value::Object(claims).to_string()),
            revocations: explained.revocations.map(all),
        }
    }
}

impl From<Reach> for pb::Reach {
    fn from(reach: Reach) -> Self {
        Self {
            tokens: reach.tokens as u64,
            subjects: reach.subjects as u64,
            clients: reach.clients as u64,
            already_refused: reach.already_refused as u64,
            needs_confirm: reach.needs_confirm,
            tokens_seen: reach.tokens_seen as u64,
            is_complete: reach.is_complete,
        }
    }
}

impl From<Decided> for pb::Decision {
    fn from(decided: Decided) -> Self {
        Self {
            id: decided.id,
            at: Some(decided.at.into()),
            decision: decided.decision.to_owned(),
            reason: decided.reason.map(str::to_owned),
            status: decided.status.into(),
            door: decided.door.to_owned(),
            host: decided.host,
            method: decided.method,
            path: decided.path,
            policy: decided.policy,
            would_refuse: decided.would_refuse.map(str::to_owned),
            issuer: decided.issuer,
            expected: decided.expected,
            found: decided.found,
            revoked_by: decided.revoked_by.map(|by| pb::RevokedBy {
                source: by.source,
                cause: by.cause,
                occurred_at: Some(by.occurred_at.into()),
                claims: by.claims,
            }),
            revocations: None,
        }
    }
}

impl From<Whole> for pb::Decision {
    fn from(whole: Whole) -> Self {
        Self {
            revocations: whole.revocations.map(all),
            ..whole.decided.into()
        }
    }
}

impl From<decisions::Listed> for pb::DecisionsResponse {
    fn from(listed: decisions::Listed) -> Self {
        let decisions = listed.decisions.into_iter();
        Self {
            decisions: decisions.map(Into::into).collect(),
        }
    }
}

impl From<Shown> for pb::Configuration {
    fn from(shown: Shown) -> Self {
        Self {
            generation: shown.generation,
            hash: shown.hash,
            error: shown.error,
            failing_since: shown.failing_since.map(Into::into),
        }
    }
}

impl From<Status> for pb::ReplicaStatus {
    fn from(status: Status) -> Self {
        let readiness = status.readiness;
        Self {
            version: status.version,
            ready: readiness.ready,
            draining: readiness.draining,
            awaited: readiness.awaited.into_iter().collect(),
            degraded: readiness.degraded.into_iter().collect(),
            live_revocations: status.live_revocations,
            feed_age_seconds: status.feed_age_seconds,
            feed_lag_records: status.feed_lag_records,
            configuration: Some(status.configuration.into()),
            audit: status.audit,
            horizon: status.horizon.map(Into::into),
            instance: status.instance,
            issuers: status.issuers.into_iter().map(Into::into).collect(),
            sources: status.sources.into_iter().map(source).collect(),
        }
    }
}

impl From<Keys> for pb::replica_status::IssuerKeys {
    fn from(keys: Keys) -> Self {
        Self {
            issuer: keys.issuer,
            usable: keys.usable,
            age_seconds: keys.age_seconds,
        }
    }
}

fn source((source, last): (String, Option<Time>)) -> pb::replica_status::SourceEvents {
    let last = last.map(Into::into);
    pb::replica_status::SourceEvents { source, last }
}

impl From<Replica> for pb::Replica {
    fn from(replica: Replica) -> Self {
        let differs = replica.differs.into_iter();
        Self {
            url: replica.url,
            is_self: replica.is_self,
            status: replica.status.map(Into::into),
            error: replica.error,
            differs: differs.map(str::to_owned).collect(),
        }
    }
}

impl From<replicas::Listed> for pb::ReplicasResponse {
    fn from(listed: replicas::Listed) -> Self {
        let replicas = listed.replicas.into_iter();
        Self {
            replicas: replicas.map(Into::into).collect(),
        }
    }
}
