//! Finds the token of a request, and holds it in a type that never prints it.

mod carry;
mod location;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::config_error::ConfigErrors;
use crate::core::reason::Reason;
use crate::core::request::Request;
use crate::core::units::Bytes;
use location::Location;

pub use carry::{Carriers, Stripped};

/// The largest `max_size`.
pub const LONGEST: Bytes = Bytes::kib(64);

/// A token as the client sent it: unverified, and secret. Prints as `***`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token<'a>(&'a str);

impl<'a> Token<'a> {
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the text. Every call is a chance to leak the token.
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

/// Where a request may hold its token.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The locations where a token may be, such as a header or a cookie.
    #[serde(default = "authorization_bearer")]
    pub sources: Vec<Source>,
    /// What to do with a request that holds different tokens in several of these locations.
    #[serde(default)]
    pub several: Several,
    /// A longer token is refused with 431.
    #[serde(default = "max_size")]
    pub max_size: Bytes,
}

/// What to do with different tokens in several locations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Several {
    /// Refuse the request with 400 (RFC 6750 §2: a client uses one location). The upstream might read
    /// another token than the verified one.
    #[default]
    Refuse,
    /// The first in the order of `sources` counts. The others are removed from the request, as with
    /// `answer.drop_token`, where the proxy can do so.
    First,
}

/// One location. Give exactly one of `header`, `cookie`, `query` and `websocket_protocol`.
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
    /// The name of a cookie. Its value may be quoted and may begin with the word Bearer. Numbered
    /// pieces of a cookie (`name.0`, `name.1`, …) are joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The name of a query parameter. URLs end up in logs, so prefer another location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A marker in `Sec-WebSocket-Protocol`, the one header that a browser can set on a WebSocket.
    /// The token is the next protocol in the list (`bearer, TOKEN`), or follows the marker and a dot
    /// in the same one (`bearer.TOKEN`). There it may be in base64url, as Kubernetes has it.
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
            errors.push("sources", "must name at least one location");
        }
        if self.sources.len() > MOST_SOURCES {
            errors.push(
                "sources",
                format!("must name at most {MOST_SOURCES} locations"),
            );
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
                errors.conflict("scheme", "only a header has a scheme");
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

    /// Returns the request headers that a proxy must forward to Portcullis.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.locations.iter().filter_map(Location::header)
    }
}
