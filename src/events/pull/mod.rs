//! Events that are asked for, because their provider does not push them, or because a push was lost.
//!
//! A format whose provider can be asked returns an [`Ask`](ask::Ask) from its dialect. An `Ask` puts one
//! question at a time and keeps nothing that must survive a crash. [`Pull`] does the rest for all of them: one
//! replica asks at a time, every event goes the way of a pushed one, the cursor moves only once everything
//! before it is durable, and a provider that fails is left alone for a while.

pub(super) mod ask;
pub(super) mod http;
mod metrics;
pub(super) mod oauth;
pub(super) mod reconcile;
mod run;
pub(super) mod sweep;

pub(crate) use run::Pull;
