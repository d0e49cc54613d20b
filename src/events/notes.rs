//! What the event path needs of the notes in the log.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::core::clock::UnixMillis;
use crate::revocation::log::AppendError;
use crate::revocation::notes::{Change, Known};
use crate::revocation::{self, Draft};

/// Keeps what a source has to know again, such as its users, in the log of revocations. A source is its name
/// and its issuer.
pub trait Notes: Send + Sync + 'static {
    /// Returns what the log has, as far as this replica has read it.
    fn known(&self) -> &Known;

    /// See [`revocation::Notes::catch_up`].
    fn catch_up(&self, within: Duration) -> BoxFuture<'_, Result<(), AppendError>>;

    /// See [`revocation::Notes::put`].
    fn put<'a>(
        &'a self,
        source: (&'a str, &'a str),
        drafts: Vec<Draft>,
        change: Change,
        within: Duration,
    ) -> BoxFuture<'a, Result<bool, AppendError>>;

    /// See [`revocation::Notes::renew`].
    fn renew<'a>(&'a self, source: (&'a str, &'a str))
    -> BoxFuture<'a, Result<usize, AppendError>>;

    /// Returns the time before which no event can reach a token of `issuer` that is still valid.
    fn earliest(&self, issuer: &str) -> UnixMillis;

    /// Returns how far the clock of `issuer` may be ahead.
    fn leeway(&self, issuer: &str) -> Duration;
}

impl Notes for revocation::Notes {
    fn known(&self) -> &Known {
        self.known()
    }

    fn catch_up(&self, within: Duration) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(self.catch_up(within))
    }

    fn put<'a>(
        &'a self,
        source: (&'a str, &'a str),
        drafts: Vec<Draft>,
        change: Change,
        within: Duration,
    ) -> BoxFuture<'a, Result<bool, AppendError>> {
        Box::pin(self.put(source, drafts, change, within))
    }

    fn renew<'a>(
        &'a self,
        source: (&'a str, &'a str),
    ) -> BoxFuture<'a, Result<usize, AppendError>> {
        Box::pin(self.renew(source))
    }

    fn earliest(&self, issuer: &str) -> UnixMillis {
        self.earliest(issuer)
    }

    fn leeway(&self, issuer: &str) -> Duration {
        self.leeway(issuer)
    }
}
