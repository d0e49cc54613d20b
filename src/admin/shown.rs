//! Answers of the admin API, and how they show times and revocations.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::core::clock::UnixMillis;
use crate::core::readiness::State;
use crate::net::{problem, uncached};
use crate::revocation::Revocation;
use crate::revocation::search::Found;

/// Returns a time in RFC 3339 with milliseconds, in UTC.
pub(super) fn rfc3339(at: UnixMillis) -> String {
    at.rfc3339()
}

/// Reads a time in RFC 3339, in UTC.
pub(super) fn parse_rfc3339(text: &str) -> Option<UnixMillis> {
    let at: SystemTime = humantime::parse_rfc3339(text).ok()?;
    let since_epoch = at.duration_since(UNIX_EPOCH).ok()?;
    Some(UnixMillis(u64::try_from(since_epoch.as_millis()).ok()?))
}

/// A time, which the API shows in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) UnixMillis);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = parse_rfc3339(&text).map(Self);
        at.ok_or_else(|| D::Error::custom("expected a time in RFC 3339, in UTC"))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "description": "RFC 3339, in UTC." })
    }
}

/// A revocation as the API shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Revocation")]
pub(super) struct Record {
    /// Several revocations of one event share an id.
    pub(super) id: String,
    pub(super) issuer: String,
    /// Tokens that match all of these claims are refused. Empty: every token of the issuer.
    pub(super) matches: BTreeMap<String, String>,
    /// Only tokens issued until then are refused. `null`: whenever they were issued.
    pub(super) issued_at_or_before: Option<Time>,
    /// Only tokens that expire until then are refused. `null`: whenever they expire.
    pub(super) expires_at_or_before: Option<Time>,
    /// The event source; `admin` is this API. With `shadow/` before it, the revocation refuses nothing.
    pub(super) source: String,
    /// Why, such as `user.deactivate` or `ops: stolen laptop`.
    pub(super) cause: String,
    /// When it happened, by the sender's clock.
    pub(super) occurred_at: Time,
    /// When Portcullis received it.
    pub(super) received_at: Time,
    /// No matching token can be valid after this time.
    pub(super) forget_after: Time,
}

impl Record {
    /// `forget_after` is by the terms of today.
    pub(super) fn new(record: &Revocation, forget_after: UnixMillis) -> Self {
        Self {
            id: record.id.clone(),
            issuer: record.target.issuer.clone(),
            matches: record.target.matches.clone(),
            issued_at_or_before: record.issued_at_or_before.map(Time),
            expires_at_or_before: record.expires_at_or_before.map(Time),
            source: record.source.clone(),
            cause: record.cause.clone(),
            occurred_at: Time(record.occurred_at),
            received_at: Time(record.received_at),
            forget_after: Time(forget_after),
        }
    }

    pub(super) fn of(found: &Found) -> Self {
        Self::new(&found.record, found.forget_after)
    }
}

/// Revocations, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Revocations")]
pub(super) struct Listed {
    pub(super) revocations: Vec<Record>,
    /// Whether there are older ones beyond the limit.
    pub(super) more: bool,
}

impl Listed {
    /// Returns what the audit trail says when these were lifted.
    pub(super) fn line(&self) -> Value {
        let ids: BTreeSet<_> = self.revocations.iter().map(|record| &record.id).collect();
        json!({ "lifted": ids, "revocations": self.revocations.len() })
    }
}

/// What `/readyz` and `/v1/status` say about readiness.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    /// Whether the process is shutting down.
    pub(super) draining: bool,
    /// What must arrive before Portcullis is ready, and why it is not there.
    pub(super) awaited: BTreeMap<String, String>,
    /// What does not work although Portcullis serves, and why.
    pub(super) degraded: BTreeMap<String, String>,
}

impl From<State> for Readiness {
    fn from(state: State) -> Self {
        Self {
            ready: state.is_ready(),
            draining: state.draining,
            awaited: state.awaited,
            degraded: state.degraded,
        }
    }
}

/// Returns a JSON answer.
pub(super) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    match serde_json::to_string(body) {
        Ok(body) => uncached((status, kind, body + "\n").into_response()),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_read_back() {
        let at = UnixMillis(1_795_766_400_123);
        assert_eq!(rfc3339(at), "2026-11-27T08:00:00.123Z");
        assert_eq!(parse_rfc3339(&rfc3339(at)), Some(at));
        assert_eq!(rfc3339(UnixMillis::MAX), "9999-12-31T23:59:59.999Z");
        for wrong in [
            "",
            "2026-11-27",
            "2026-11-27T08:00:00",
            "2026-11-27T08:00:00+01:00",
            "2026-13-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
        }
    }
}
