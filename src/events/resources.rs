//! Resources: what senders of some formats create, read and change below the path of their source.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::core::clock::UnixMillis;
use crate::revocation::Draft;
use crate::revocation::notes::{Change, Known};

/// A request about a resource, read whole, whose sender proved itself.
pub(super) struct Asked {
    pub(super) method: Method,
    /// The path of the source, such as `/events/okta/`.
    pub(super) base: String,
    /// What stands behind it.
    pub(super) path: String,
    /// As it stands in the target; empty if there is none.
    pub(super) query: String,
    pub(super) body: Bytes,
    pub(super) received_at: UnixMillis,
}

/// What the log has about the resources of a source.
#[derive(Clone, Copy)]
pub(super) struct Shelf<'a> {
    pub(super) notes: &'a Known,
    /// No event from before this time can reach a token that is still valid.
    pub(super) earliest: UnixMillis,
    /// How far the issuer's clock may be ahead.
    pub(super) leeway: Duration,
}

/// What a request about a resource does, and its answer once that is done.
pub(super) struct Plan {
    /// The type of event, from a bounded list.
    pub(super) event: &'static str,
    /// What has to be durable before the answer.
    pub(super) change: Option<(Vec<Draft>, Change)>,
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
    /// The path of a resource that is new.
    pub(super) location: Option<String>,
}
