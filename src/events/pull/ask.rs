//! What a provider that can be asked implements.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::core::clock::UnixMillis;
use crate::events::answer::Failure;
use crate::events::metrics::Ended;

/// Asks one provider for the events of one source.
pub(in crate::events) trait Ask: fmt::Debug + Send + Sync {
    /// Returns how long to wait after an answer without news.
    fn every(&self) -> Duration;

    /// Asks for what comes after `since`. Limits its own time and the size of the answer.
    fn ask<'a>(&'a self, since: Since<'a>) -> BoxFuture<'a, Result<Page, Trouble>>;

    /// Learns how the events of the last page ended, in their order. An event whose failure
    /// [passes](Failure::passes) must be found again.
    fn settled(&self, _ended: &[Result<Ended, Failure>]) {}
}

/// Where a question begins.
#[derive(Clone, Copy, Debug)]
pub(in crate::events) struct Since<'a> {
    /// The cursor of the last page whose events are durable. It may be an older one: whoever asks has to
    /// bear events that were recorded before.
    pub(in crate::events) cursor: Option<&'a str>,
    /// No event from before can reach a token that is still valid.
    pub(in crate::events) earliest: UnixMillis,
    pub(in crate::events) now: UnixMillis,
}

/// What a provider answered.
#[derive(Debug, Default)]
pub(in crate::events) struct Page {
    /// The bodies of events, as their sender would push them: the same proof must hold.
    pub(in crate::events) events: Vec<Bytes>,
    /// Where the next question begins. It is stored each time that it changes, so it should stay the same
    /// while there is no news.
    pub(in crate::events) cursor: Option<String>,
    /// Ask again at once.
    pub(in crate::events) more: bool,
    /// Why the provider may not have told everything, for operators.
    pub(in crate::events) warning: Option<String>,
}

/// Why a question was not answered.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::events) struct Trouble {
    /// For operators: the address, what went wrong, and what to do.
    pub(in crate::events) why: String,
    /// How long the provider wants to be left alone.
    pub(in crate::events) retry_after: Option<Duration>,
    /// The provider does not take the question.
    pub(in crate::events) is_refusal: bool,
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self {
            why,
            retry_after: None,
            is_refusal: false,
        }
    }
}
