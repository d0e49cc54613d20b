//! The token in a request: where to look for it, and a type that never shows it.

mod carry;
mod places;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::config_error::ConfigErrors;
use crate::core::reason::Reason;
use crate::core::request::Request;
use crate::core::units::Bytes;
use places::Place;

pub use carry::{Carriers, Stripped};

/// No token longer than this is ever looked at, whatever the configuration says.
pub const LONGEST: Bytes = Bytes::kib(64);

/// A token as the client sent it: unverified, and secret. Prints as `***`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token<'a>(&'a str);

impl<'a> Token<'a> {
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The text itself. Every call is a place where the token can leak.
    #[must_use]
    pub const fn expose(self) -> &'a str {
        self.0
    }
}

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Where a request may carry its token.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The places where a token may be.
    #[serde(default = "authorization_bearer")]
    pub sources: Vec<Source>,
    /// What to do with a request that has different tokens in several of these places.
    #[serde(default)]
    pub several: Several,
    /// A longer token is refused unread.
    #[serde(default = "max_size")]
    pub max_size: Bytes,
}

/// What to do with different tokens in several places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Several {
    /// Refuse the request with 400 (RFC 6750 §2: a client uses one way). The upstream might read
    /// another token than the one that was verified.
    #[default]
    Refuse,
    /// The first in the order of `sources` counts. The others are taken out of the request, as with
    /// `answer.drop_token`, where the proxy can.
    First,
}

/// One place. Exactly one of `header`, `cookie`, `query` and `websocket_protocol` is given.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The name of a request header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The word before the token in `header`, compared without case. Without it, the whole value
    /// is the token. A value with another scheme counts as no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The name of a cookie. Its value may stand in quotes and behind the word Bearer. A cookie in
    /// numbered pieces (`name.0`, `name.1`, …) is put together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The name of a query parameter. URLs end up in logs: prefer the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A marker in `Sec-WebSocket-Protocol`, the one header that a browser can set on a WebSocket.
    /// The token is the protocol listed behind this one (`bearer, TOKEN`), or what follows this and
    /// a dot in the same one (`bearer.TOKEN`), where it may be in base64url as Kubernetes has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket_protocol: Option<String>,
}

/// The sources that a [`Carriers`] can tell apart.
const MOST_SOURCES: usize = 32;

fn authorization_bearer() -> Vec<Source> {
    vec![Source {
        header: Some("authorization".to_owned()),
        scheme: Some("Bearer".to_owned()),
        ..Source::default()
    }]
}

const fn max_size() -> Bytes {
    Bytes::kib(16)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sources: authorization_bearer(),
            several: Several::default(),
            max_size: max_size(),
        }
    }
}

impl Config {
    /// Reports every mistake.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.sources.is_empty() {
            errors.push("sources", "name at least one place where tokens are sought");
        }
        if self.sources.len() > MOST_SOURCES {
            errors.push("sources", format!("name at most {MOST_SOURCES} places"));
        }
        if self.max_size.is_empty() || self.max_size > LONGEST {
            errors.push("max_size", format!("must be between 1B and {LONGEST}"));
        }
        errors.each("sources", &self.sources, |errors, source| {
            source.check(errors);
        });
    }
}

impl Source {
    fn check(&self, errors: &mut ConfigErrors) {
        let names = [
            ("header", &self.header),
            ("cookie", &self.cookie),
            ("query", &self.query),
            ("websocket_protocol", &self.websocket_protocol),
        ];
        let given = names.iter().filter(|(_, name)| name.is_some()).count();
        if given != 1 {
            errors.push(
                "",
                "give exactly one of header, cookie, query and websocket_protocol",
            );
        }
        for (field, name) in names {
            if name.as_deref().is_some_and(|name| !is_plain_name(name)) {
                errors.push(field, "must be a name of letters, digits, '-', '_' and '.'");
            }
        }
        if let Some(header) = &self.header
            && header.eq_ignore_ascii_case("cookie")
        {
            errors.push("header", "write `cookie: NAME` to read one cookie");
        }
        match &self.scheme {
            Some(_) if self.header.is_none() => {
                errors.push("scheme", "only a header has a scheme");
            }
            Some(scheme) if !is_plain_name(scheme) => {
                errors.push("scheme", "must be one word, such as Bearer");
            }
            _ => {}
        }
    }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Where tokens are sought.
#[derive(Clone, Debug)]
pub struct Sources {
    places: Vec<Place>,
    several: Several,
    max_size: usize,
}

/// The token of a request, and where it stands.
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

/// Looks where [`Config`] does by default.
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
            places: config.sources.iter().filter_map(Place::new).collect(),
            several: config.several,
            max_size: config.max_size.min(LONGEST).len(),
        }
    }

    /// Finds the token of a request. An empty value, and a scheme without a value, is no token. The
    /// same token in several places is one token.
    ///
    /// # Errors
    /// [`Reason::MissingToken`] when no place holds one. [`Reason::MalformedToken`] when a place
    /// holds two, or one that cannot be a token. [`Reason::TokenTooLarge`] when it is too long.
    /// [`Reason::SeveralTokens`] when places hold different ones and none may be passed over.
    pub fn find<'a>(&self, request: &Request<'a>) -> Result<Located<'a>, Reason> {
        let mut located: Option<Located<'a>> = None;
        for (index, place) in self.places.iter().enumerate() {
            let found = self.read(place, request);
            match (&mut located, found) {
                (_, Ok(None)) => {}
                (None, Ok(Some(text))) => {
                    let carriers = Carriers::first(index);
                    located = Some(Located { text, carriers });
                }
                (Some(first), Ok(Some(text))) if first.text == text => {
                    first.carriers.add(index);
                }
                // A parameter that was hidden cannot be named to a proxy, so it cannot be removed.
                (_, Err(reason)) if matches!(place, Place::Query(_)) => return Err(reason),
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
        place: &Place,
        request: &Request<'a>,
    ) -> Result<Option<Cow<'a, str>>, Reason> {
        match place.read(request)? {
            Some(text) if text.len() > self.max_size => Err(Reason::TokenTooLarge),
            found => Ok(found),
        }
    }

    /// Returns the request headers that a proxy has to send along for [`Sources::find`] to work.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.places.iter().filter_map(Place::header)
    }
}
