//! What is told about the requests of one policy, ready for both doors.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::config::Config;
use super::refusal::Challenge;
use super::template;
use crate::core::route::RouteAnswer;

/// The answers of one route.
#[derive(Debug)]
pub(super) struct Told {
    /// The headers with fixed values of all routes, each with its value here, or `None` where it is removed.
    pub(super) headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// The same as a piece of a `CheckResponse`.
    pub(super) piece: Bytes,
    /// The challenge, if it is another one than usual.
    pub(super) challenge: Option<Challenge>,
    /// `aud` of the assertion, if it is another one than usual.
    pub(super) audience: Option<Box<str>>,
}

impl Told {
    pub(super) fn new(config: &Config, answer: &RouteAnswer, names: &BTreeSet<String>) -> Self {
        let value = |name: &str| {
            let mut own = answer.headers.iter();
            let own = own.find(|(own, _)| own.eq_ignore_ascii_case(name));
            own.and_then(|(_, value)| value.parse().ok())
        };
        let headers = names
            .iter()
            .filter_map(|name| Some((name.parse().ok()?, value(name))));
        let headers: Vec<(HeaderName, Option<HeaderValue>)> = headers.collect();
        let shown = headers.iter();
        let shown =
            shown.map(|(name, value)| (name.as_str(), value.as_ref().map(HeaderValue::as_bytes)));
        let resource = answer.resource.as_ref();
        Self {
            piece: template::headers(shown).into(),
            headers,
            challenge: resource.map(|resource| Challenge::of(config, Some(resource))),
            audience: answer.audience.as_deref().map(Into::into),
        }
    }
}

/// Returns the names of the headers with fixed values of all routes, in lower case.
pub(super) fn names(routes: &[RouteAnswer]) -> BTreeSet<String> {
    let names = routes.iter().flat_map(|answer| answer.headers.keys());
    names.map(|name| name.to_ascii_lowercase()).collect()
}
