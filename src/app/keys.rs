//! Gives the event path the issuers' keys and the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::core::reason::Reason;
use crate::events::{self, SignatureError};
use crate::revocation::log::AppendError;
use crate::revocation::{Draft, Writer};
use crate::verify::{Algorithm, Verifier};

/// The issuers' keys, for events that are signed with them.
pub(super) struct IssuerKeys(pub(super) Arc<Verifier>);

impl events::Keys for IssuerKeys {
    fn verify_jws<'a>(
        &'a self,
        issuer: &'a str,
        compact: &'a str,
        algorithms: &'a [Algorithm],
    ) -> BoxFuture<'a, Result<Bytes, SignatureError>> {
        Box::pin(async move {
            let opened = self.0.open(issuer, compact, algorithms).await;
            opened.map(Bytes::from).map_err(|reason| match reason {
                Reason::NotReady | Reason::KeysUnavailable | Reason::Overloaded => {
                    SignatureError::Unavailable(reason.to_string())
                }
                _ => SignatureError::Bad,
            })
        })
    }

    fn refetch(&self, issuer: &str) {
        self.0.refetch(issuer);
    }
}

/// The log's writing end.
pub(super) struct Recorder(pub(super) Writer);

impl events::Record for Recorder {
    fn record(
        &self,
        drafts: Vec<Draft>,
        within: Duration,
    ) -> BoxFuture<'_, Result<usize, AppendError>> {
        Box::pin(self.0.record_within(drafts, within))
    }

    fn history(&self) -> u64 {
        self.0.history()
    }
}
