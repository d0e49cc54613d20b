//! What the event path needs of its surroundings: somebody who has the issuers' keys, and
//! somebody who makes records durable.

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
    /// The issuer's keys cannot be had at the moment; the sender should try again.
    Unavailable(String),
}

/// The key sets of the configured issuers.
pub trait Keys: Send + Sync + 'static {
    /// Verifies a compact JWS (RFC 7515 §3.1) with a key of `issuer` and returns its payload. Only
    /// `algorithms` may sign, each only with keys of its own type. No claim is checked.
    fn verify_jws<'a>(
        &'a self,
        issuer: &'a str,
        compact: &'a str,
        algorithms: &'a [Algorithm],
    ) -> BoxFuture<'a, Result<Bytes, SignatureError>>;

    /// Asks for the issuer's keys to be fetched again soon, and does not wait for it.
    fn refetch(&self, issuer: &str);
}

/// The writing end of the log.
pub trait Record: Send + Sync + 'static {
    /// Returns once all the drafts are durable, and how many were recorded; none of them counts
    /// before. Waits until this replica enforces them too, but for that no longer than `within` from
    /// the call.
    fn record(
        &self,
        drafts: Vec<Draft>,
        within: Duration,
    ) -> BoxFuture<'_, Result<usize, AppendError>>;
}
