//! Answers requests about resources.

use std::net::SocketAddr;
use std::time::Duration;

use axum::response::Response;
use http::Method;
use tokio::time::Instant;

use super::answer::{self, Failure};
use super::dialect::{Origin, Resources};
use super::directory;
use super::metrics::Ended;
use super::noted::Understood;
use super::outcome::Effect;
use super::resources::{Asked, Shelf};
use super::shared::Shared;
use super::source::Source;

/// How often a request begins again because another one changed the same resource meanwhile.
const ATTEMPTS: usize = 4;

/// Does what a request asks for, `within` this time. Begins with what all replicas have acknowledged.
pub(super) async fn serve(
    shared: &Shared,
    source: &Source,
    resources: &dyn Resources,
    asked: &Asked,
    (within, peer): (Duration, Option<SocketAddr>),
) -> Result<(Ended, Response), Failure> {
    let latest = Instant::now() + within;
    let left = || latest.saturating_duration_since(Instant::now());
    let origin = Origin {
        source: &source.name,
        issuer: &source.issuer,
    };
    let notes = &*shared.notes;
    for _ in 0..ATTEMPTS {
        notes.catch_up(left()).await?;
        let shelf = Shelf {
            notes: notes.known(),
            earliest: notes.earliest(origin.issuer),
            leeway: notes.leeway(origin.issuer),
        };
        let mut plan = resources.plan(asked, shelf, origin)?;
        let Some((drafts, change)) = plan.change.take() else {
            let is_question = asked.method == Method::GET;
            let ended = if is_question {
                Ended::Handshake
            } else {
                Ended::Ignored
            };
            return Ok((ended, answer::resource(plan)));
        };
        let (directory, effect) = (source.directory.as_ref(), Effect::of(drafts));
        let (effect, missed) = directory::resolve(directory, effect).await?;
        let drafts = match effect {
            Effect::Record(drafts) => source.in_records(drafts),
            _ => Vec::new(),
        };
        let revocations = drafts.len();
        let put = notes.put((origin.source, origin.issuer), drafts, change, left());
        if !put.await? {
            continue;
        }
        let understood = Understood {
            source: origin.source,
            event: plan.event,
            id: None,
            revocations,
            received_at: asked.received_at,
            peer,
        };
        // Recorded in any case: tokens may carry what the resource names.
        let notice = missed?;
        shared
            .understood(&understood, Ended::Accepted, notice)
            .await;
        return Ok((Ended::Accepted, answer::resource(plan)));
    }
    let why = "other requests change the same resource at the same time";
    Err(Failure::Unavailable(why.to_owned()))
}
