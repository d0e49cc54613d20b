//! The configured locations of tokens, and how a token is found there.

use std::borrow::Cow;

use super::Token;
use super::carry::{Carriers, Stripped};
use super::config::{Config, LONGEST, Several};
use super::location::Location;
use crate::core::reason::Reason;
use crate::core::request::Request;

/// The locations of tokens, in the order of the configuration.
#[derive(Clone, Debug)]
pub struct Sources {
    locations: Vec<Location>,
    several: Several,
    max_size: usize,
}

/// The token of a request, and where it is.
pub struct Located<'a> {
    text: Cow<'a, str>,
    pub carriers: Carriers,
}

impl Located<'_> {
    #[must_use]
    pub fn token(&self) -> Token<'_> {
        Token::new(&self.text)
    }
}

/// Returns the default locations of [`Config`].
impl Default for Sources {
    fn default() -> Self {
        Self::new(&Config::default())
    }
}

impl Sources {
    /// Builds from a checked configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            locations: config.sources.iter().filter_map(Location::new).collect(),
            several: config.several,
            max_size: config.max_size.min(LONGEST).len(),
        }
    }

    /// Finds the token of a request. An empty value or a scheme without a value is no token. The same
    /// token in several locations is one token.
    ///
    /// # Errors
    /// [`Reason::MissingToken`] when no location holds one. [`Reason::MalformedToken`] when a location
    /// holds two, or text that cannot be a token. [`Reason::TokenTooLarge`] when it is too long.
    /// [`Reason::SeveralTokens`] when locations hold different tokens and `several` is `refuse`.
    pub fn find<'a>(&self, request: &Request<'a>) -> Result<Located<'a>, Reason> {
        let mut located: Option<Located<'a>> = None;
        for (index, location) in self.locations.iter().enumerate() {
            let found = self.read(location, request);
            match (&mut located, found) {
                (_, Ok(None)) => {}
                (None, Ok(Some(text))) => {
                    let carriers = Carriers::first(index);
                    located = Some(Located { text, carriers });
                }
                (Some(first), Ok(Some(text))) if first.text == text => {
                    first.carriers.add(index);
                }
                // A proxy cannot remove a parameter whose name is disguised.
                (_, Err(reason)) if matches!(location, Location::Query(_)) => return Err(reason),
                (Some(first), _) if self.several == Several::First => {
                    first.carriers.add_loser(index);
                }
                (_, Err(reason)) => return Err(reason),
                (Some(_), Ok(Some(_))) => return Err(Reason::SeveralTokens),
            }
        }
        located.ok_or(Reason::MissingToken)
    }

    fn read<'a>(
        &self,
        location: &Location,
        request: &Request<'a>,
    ) -> Result<Option<Cow<'a, str>>, Reason> {
        match location.read(request)? {
            Some(text) if text.len() > self.max_size => Err(Reason::TokenTooLarge),
            found => Ok(found),
        }
    }

    /// Returns the bytes of the longest token that is accepted.
    #[must_use]
    pub const fn max_size(&self) -> usize {
        self.max_size
    }

    /// Returns the request headers that a proxy must forward to Portcullis.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.locations.iter().filter_map(Location::header)
    }

    /// Returns whether any token is ever removed. `all` says whether verified tokens are.
    #[must_use]
    pub fn strips(&self, all: bool) -> bool {
        all || self.several == Several::First
    }

    /// Returns how to remove the tokens: all of them, or only those that were not verified.
    #[must_use]
    pub fn strip(&self, carriers: Carriers, all: bool, request: &Request<'_>) -> Stripped<'_> {
        Stripped::of(&self.locations, carriers, all, &request.headers)
    }
}
