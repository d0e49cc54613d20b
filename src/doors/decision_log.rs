//! The decision log: one line per decision, target `portcullis::decision`. Denials are logged at
//! `info`, what passes at `debug`, and at `info` too what passes only because a refusal is in shadow.
//!
//! It names the request by method and path, never by query or header, and the client not at all:
//! a denied request's claims are unverified, or its owner's business. What a check expected of a
//! token is said, and what came only of claims whose signature held, and only of the claim that
//! failed.

use tracing::{Level, enabled};

use crate::core::reason::Detail;
use crate::core::request::Request;
use crate::core::trace;
use crate::gate::{Answered, Decision, Denial};

const TARGET: &str = "portcullis::decision";

/// Logs one decision. Costs a load when nobody listens.
pub(super) fn decided(answered: &Answered<'_, '_>) {
    match answered.decision {
        Decision::Deny(denial) => {
            if enabled!(target: TARGET, Level::INFO) {
                refused(answered, denial, true);
            }
        }
        passes => {
            if let Some(denial) = passes.refused_in_shadow()
                && enabled!(target: TARGET, Level::INFO)
            {
                refused(answered, denial, false);
            }
            if enabled!(target: TARGET, Level::DEBUG) {
                passed(answered, passes);
            }
        }
    }
}

/// Logs a refusal, or what would be one without shadow.
fn refused(answered: &Answered<'_, '_>, denial: &Denial, enforced: bool) {
    let (detail, reason) = (denial.detail.as_deref(), denial.reason.as_str());
    let message = if enforced {
        "request denied"
    } else {
        "request passes, and would be denied without shadow"
    };
    tracing::info!(
        target: TARGET,
        outcome = answered.decision.outcome(),
        reason = enforced.then_some(reason),
        would_refuse = (!enforced).then_some(reason),
        expected = detail.map(Detail::expected),
        found = detail.and_then(Detail::found),
        decision_id = %denial.id,
        door = answered.door,
        method = answered.method(),
        path = answered.path(),
        trace_id = trace_id(answered.request),
        "{message}"
    );
}

fn passed(answered: &Answered<'_, '_>, decision: &Decision) {
    tracing::debug!(
        target: TARGET,
        outcome = decision.outcome(),
        decision_id = %decision.id(),
        door = answered.door,
        method = answered.method(),
        path = answered.path(),
        trace_id = trace_id(answered.request),
        "request passes"
    );
}

/// Returns the trace that the request belongs to, if its header is sound.
fn trace_id<'a>(request: &Request<'a>) -> Option<&'a str> {
    trace::trace_id(request.headers.text(trace::HEADER)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::request::Headers;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn of(parents: &[&str]) -> Option<String> {
        let mut headers = Headers::new();
        for parent in parents {
            headers.push("traceparent", parent.as_bytes());
        }
        let request = Request {
            method: "GET",
            target: "/",
            headers,
            ..Request::unread()
        };
        trace_id(&request).map(str::to_owned)
    }

    #[test]
    fn a_sound_traceparent_names_its_trace() {
        for parent in [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-holds",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(of(&[parent]).as_deref(), Some(TRACE), "{parent}");
        }
    }

    #[test]
    fn an_unsound_traceparent_is_not_there() {
        for parent in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b71692033311-01",
            "00-0af7651916cd43dd8448eb211c8031\n9-b7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(of(&[parent]), None, "{parent}");
        }
        let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(of(&[sound, sound]), None, "two of them");
    }
}
