//! What the event path needs from the rest of the program: the issuers' keys, and a log to write to.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::revocation::Draft;
use crate::revocation::log::AppendError;
use crate::verify::Algorithm;

/// Why a signature was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// It does not hold, or no key of the issuer has its `kid`.
    Bad,
    /// The issuer's keys are not available at the moment; the sender should try again.
    Unavailable(String),
}

/// Gives access to the key sets of the configured issuers.
pub trait Keys: Send + Sync + 'static {
    /// Verifies a compact JWS (RFC 7515 §3.1) with a key of `issuer` and returns its payload. Only
    /// `algorithms` may sign, each only with keys of its own type. No claim is checked.
    fn verify_jws<'a>(
        &'a self,
        issuer: &'a str,
        compact: &'a str,
        algorithms: &'a [Algorithm],
    ) -> BoxFuture<'a, Result<Bytes, SignatureError>>;

    /// Has the issuer's keys fetched again soon, without waiting for them.
    fn refetch(&self, issuer: &str);
}

/// Writes to the log of revocations.
pub trait Record: Send + Sync + 'static {
    /// Makes all drafts durable, or none, and returns how many were recorded. Waits until this replica
    /// enforces them too, but not longer than `within` from the call.
    fn record(
        &self,
        drafts: Vec<Draft>,
        within: Duration,
    ) -> BoxFuture<'_, Result<usize, AppendError>>;

    /// Returns a number that changes when the log begins anew, without what it had before.
    fn history(&self) -> u64;
}
