//! Writes refusals because of a revocation to the audit trail.

use serde_json::json;

use crate::audit::{Audit, Sampled};
use crate::gate::{Answered, Decision};
use crate::revocation::Reader;

/// Notes a decision if it refuses a token because of a revocation, or would if that were not in shadow. Costs
/// others some comparisons.
pub(super) fn note(audit: &Audit, revocations: &Reader, answered: &Answered<'_, '_>) {
    let (denial, sampled, kind) = match answered.decision {
        Decision::Deny(denial) => (denial, Sampled::Refusals, "refusal"),
        passes => match passes.refused_in_shadow() {
            Some(denial) => (denial, Sampled::Shadow, "shadow"),
            None => return,
        },
    };
    if !audit.is_on() {
        return;
    }
    let Some(revoked) = denial.revoked.clone() else {
        return;
    };
    let (audit_of, revocations) = (audit.clone(), revocations.clone());
    let (id, door) = (denial.id, answered.door);
    let (method, path) = (answered.method().to_owned(), answered.path().to_owned());
    audit.sample(sampled, kind, move || {
        let claims = &revoked.verified().claims;
        let hidden = |value: &str| audit_of.subject(&claims.issuer, value);
        let by = revocations.describe(&revoked.by);
        json!({
            "decision_id": id.to_string(),
            "door": door,
            "method": method,
            "path": path,
            "issuer": &*claims.issuer,
            "subject": claims.subject.as_deref().map(hidden),
            "client": claims.client.as_deref(),
            "revoked_by": by.map(|by| json!({
                "source": &*by.source,
                "cause": &*by.cause,
                "occurred_at": by.occurred_at.rfc3339(),
                "claims": by.claims,
            })),
        })
    });
}
