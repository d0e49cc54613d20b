//! What an event would leave behind, without a sender, a signature or a log.

use bytes::Bytes;

use super::auth::{Proof, Proven};
use super::delivery;
use super::dialect::Origin;
use super::outcome::{Outcome, Rejection};
use super::source::SourceConfig;
use crate::core::clock::UnixMillis;

/// Maps the body of an event as `source` would at `now`. Whether the sender may send it is not
/// checked, not even for a token, whose claims are read as they are. For a token that would stand in the
/// headers, one without claims but an id is assumed.
///
/// # Errors
/// When nobody can ever understand this body.
pub fn try_event(
    source: &SourceConfig,
    body: Bytes,
    now: UnixMillis,
) -> Result<Outcome, Rejection> {
    let dialect = source.format.dialect();
    let claimed = match dialect.proof() {
        Proof::Token(rules) => rules.claimed(&body)?,
        Proof::Headers(_) | Proof::Idempotent | Proof::Asked => Proven::default(),
    };
    let delivery = delivery::on_trial(body, now, claimed);
    let origin = Origin {
        source: &source.name,
        issuer: &source.issuer,
    };
    let mut outcome = dialect.map(&delivery, origin)?;
    outcome.id = outcome.id.or_else(|| delivery.id().map(str::to_owned));
    Ok(outcome)
}
