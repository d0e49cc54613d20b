//! Answers of the admin API, and how they show times and revocations.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::core::clock::UnixMillis;
use crate::core::readiness::State;
use crate::net::uncached;
use crate::revocation::Revocation;

/// The last millisecond that RFC 3339 can write.
const LAST: u64 = 253_402_300_799_999;

/// Returns a time in RFC 3339 with milliseconds, in UTC.
pub(super) fn rfc3339(at: UnixMillis) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(at.0.min(LAST));
    humantime::format_rfc3339_millis(at).to_string()
}

/// Reads a time in RFC 3339, in UTC.
pub(super) fn parse_rfc3339(text: &str) -> Option<UnixMillis> {
    let at: SystemTime = humantime::parse_rfc3339(text).ok()?;
    let since_epoch = at.duration_since(UNIX_EPOCH).ok()?;
    Some(UnixMillis(u64::try_from(since_epoch.as_millis()).ok()?))
}

/// Returns a revocation as JSON. `forget_after` is by the terms of today.
pub(super) fn revocation(record: &Revocation, forget_after: UnixMillis) -> Value {
    json!({
        "id": record.id,
        "issuer": record.target.issuer,
        "matches": record.target.matches,
        "issued_at_or_before": record.issued_at_or_before.map(rfc3339),
        "expires_at_or_before": record.expires_at_or_before.map(rfc3339),
        "source": record.source,
        "cause": record.cause,
        "occurred_at": rfc3339(record.occurred_at),
        "received_at": rfc3339(record.received_at),
        "forget_after": rfc3339(forget_after),
    })
}

/// Returns what `/readyz` and `/v1/status` say about readiness.
pub(super) fn readiness(state: &State) -> Value {
    json!({
        "ready": state.is_ready(),
        "draining": state.draining,
        "awaited": state.awaited,
        "degraded": state.degraded,
    })
}

/// Returns a JSON answer.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    uncached((status, kind, format!("{body}\n")).into_response())
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
