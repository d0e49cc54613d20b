//! The assertion about the bearer of a token, ready for both doors.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use memchr::memmem;

use super::config::Config;
use super::identity::LONGEST;
use super::template;
use crate::assertion::{Assertions, Keys, Signed};
use crate::core::clock::UnixMillis;
use crate::core::route::Route;
use crate::gate::DecisionId;
use crate::verify::Verified;

/// Makes assertions, and their header.
#[derive(Debug)]
pub(super) struct Asserter {
    assertions: Assertions,
    name: HeaderName,
}

impl Asserter {
    /// Returns `None` if no assertions are configured. `config` must have passed its check.
    pub(super) fn new(config: &Config, keys: Arc<Keys>) -> Option<Self> {
        let config = config.assertion.as_ref()?;
        Some(Self {
            assertions: Assertions::new(config, keys),
            name: config.header.parse().ok()?,
        })
    }

    /// Returns whether an assertion may go along with another request.
    pub(super) fn is_fresh(&self, asserted: &Asserted) -> bool {
        self.assertions.now() < asserted.fresh_until
    }

    /// Returns a new assertion; `None` when it cannot be signed.
    /// `audience` is that of the route, if it has one.
    pub(super) fn sign(
        &self,
        verified: &Verified,
        (route, audience): (Route, Option<&str>),
        id: DecisionId,
    ) -> Option<Asserted> {
        let (claims, until) = (&verified.claims, verified.ends_at());
        let signed = self
            .assertions
            .sign(claims, until, audience, &id.to_string())?;
        Some(Asserted::new(&self.name, route, &signed))
    }
}

/// An assertion as its header. A clone shares the bytes.
#[derive(Clone, Debug)]
pub(super) struct Asserted {
    pub(super) name: HeaderName,
    /// The route whose audience it has; the default for the usual one.
    pub(super) route: Route,
    fresh_until: UnixMillis,
    /// A piece of a `CheckResponse` that sets the header, or removes it.
    pub(super) piece: Bytes,
    /// Where in the piece the assertion stands; `None` if it is longer than a header may be.
    place: Option<Range<usize>>,
}

impl Asserted {
    fn new(name: &HeaderName, route: Route, signed: &Signed) -> Self {
        let text = Some(signed.text.as_bytes()).filter(|text| text.len() <= LONGEST);
        let piece = Bytes::from(template::headers([(name.as_str(), text)].into_iter()));
        let start = text.and_then(|text| memmem::find(&piece, text));
        Self {
            name: name.clone(),
            route,
            fresh_until: signed.fresh_until,
            piece,
            place: start.map(|start| start..start + signed.text.len()),
        }
    }

    /// Returns the value of the header, unless it is too long for one.
    pub(super) fn value(&self) -> Option<HeaderValue> {
        let place = self.place.clone()?;
        HeaderValue::from_maybe_shared(self.piece.slice(place)).ok()
    }

    pub(super) const fn fits(&self) -> bool {
        self.place.is_some()
    }

    pub(super) fn footprint(&self) -> usize {
        size_of::<Self>() + self.piece.len() + 32
    }
}
