//! The token in a request: where to look for it, and a type that never shows it.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problems;
use crate::reason::Reason;
use crate::request::{Found, Request};
use crate::units::Bytes;

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
    /// The places, in the order in which they are looked at. The first that holds a token wins.
    #[serde(default = "authorization_bearer")]
    pub sources: Vec<Source>,
    /// A longer token is refused unread.
    #[serde(default = "max_size")]
    pub max_size: Bytes,
}

/// One place. Exactly one of `header`, `cookie` and `query` is given.
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
    /// The name of a cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The name of a query parameter. URLs end up in logs: prefer the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

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
            max_size: max_size(),
        }
    }
}

impl Config {
    /// Reports every mistake.
    pub fn check(&self, problems: &mut Problems) {
        if self.sources.is_empty() {
            problems.push("sources", "name at least one place where tokens are sought");
        }
        if self.max_size.is_empty() || self.max_size > LONGEST {
            problems.push("max_size", format!("must be between 1B and {LONGEST}"));
        }
        problems.each("sources", &self.sources, |problems, source| {
            source.check(problems);
        });
    }
}

impl Source {
    fn check(&self, problems: &mut Problems) {
        let names = [
            ("header", &self.header),
            ("cookie", &self.cookie),
            ("query", &self.query),
        ];
        let given = names.iter().filter(|(_, name)| name.is_some()).count();
        if given != 1 {
            problems.push("", "give exactly one of header, cookie and query");
        }
        for (field, name) in names {
            if name.as_deref().is_some_and(|name| !is_plain_name(name)) {
                problems.push(field, "must be a name of letters, digits, '-', '_' and '.'");
            }
        }
        if let Some(header) = &self.header
            && header.eq_ignore_ascii_case("cookie")
        {
            problems.push("header", "write `cookie: NAME` to read one cookie");
        }
        match &self.scheme {
            Some(_) if self.header.is_none() => {
                problems.push("scheme", "only a header has a scheme");
            }
            Some(scheme) if !is_plain_name(scheme) => {
                problems.push("scheme", "must be one word, such as Bearer");
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
    max_size: usize,
}

#[derive(Clone, Debug)]
enum Place {
    Header {
        name: String,
        scheme: Option<String>,
    },
    Cookie(String),
    Query(String),
}

impl Sources {
    /// Builds from a checked configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            places: config.sources.iter().filter_map(Place::new).collect(),
            max_size: config.max_size.min(LONGEST).len(),
        }
    }

    /// Finds the token of a request. An empty value, and a scheme without a value, is no token.
    ///
    /// # Errors
    /// [`Reason::MissingToken`] when no place holds one. [`Reason::MalformedToken`] when a place
    /// holds two, or one that is too long or cannot be a token.
    pub fn find<'a>(&self, request: &Request<'a>) -> Result<Token<'a>, Reason> {
        for place in &self.places {
            let Some(value) = place.read(request)? else {
                continue;
            };
            if value.len() > self.max_size {
                return Err(Reason::MalformedToken);
            }
            let text = std::str::from_utf8(value).map_err(|_| Reason::MalformedToken)?;
            return Ok(Token::new(text));
        }
        Err(Reason::MissingToken)
    }

    /// The request headers that a proxy has to send along for [`Sources::find`] to work.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.places.iter().filter_map(|place| match place {
            Place::Header { name, .. } => Some(name.as_str()),
            Place::Cookie(_) => Some("cookie"),
            Place::Query(_) => None,
        })
    }
}

impl Place {
    fn new(source: &Source) -> Option<Self> {
        if let Some(name) = &source.header {
            return Some(Self::Header {
                name: name.to_ascii_lowercase(),
                scheme: source.scheme.clone(),
            });
        }
        let cookie = source.cookie.clone().map(Self::Cookie);
        cookie.or_else(|| source.query.clone().map(Self::Query))
    }

    fn read<'a>(&self, request: &Request<'a>) -> Result<Option<&'a [u8]>, Reason> {
        match self {
            Self::Header { name, scheme } => in_header(request, name, scheme.as_deref()),
            Self::Cookie(name) => in_cookies(request, name.as_bytes()),
            Self::Query(name) => in_query(request, name.as_bytes()),
        }
    }
}

/// A comma means that a proxy joined two headers into one (RFC 9110 §5.3), and no token has one.
fn in_header<'a>(
    request: &Request<'a>,
    name: &str,
    scheme: Option<&str>,
) -> Result<Option<&'a [u8]>, Reason> {
    let value = match request.headers.find(name) {
        Found::Nothing => return Ok(None),
        Found::Several => return Err(Reason::MalformedToken),
        Found::One(value) => value.trim_ascii(),
    };
    if any(value, |byte| byte == b',') {
        return Err(Reason::MalformedToken);
    }
    let token = match scheme {
        None => Some(value),
        Some(scheme) => after_scheme(value, scheme.as_bytes()),
    };
    match token {
        Some(token) if any(token, |byte| byte.is_ascii_whitespace()) => Err(Reason::MalformedToken),
        found => Ok(found.filter(|token| !token.is_empty())),
    }
}

/// Looks at every byte and never stops early, so that the machine looks at many at once.
fn any(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |any, byte| any | is(*byte))
}

fn after_scheme<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (word, rest) = value.split_at_checked(scheme.len())?;
    let ends = rest.first().is_none_or(u8::is_ascii_whitespace);
    (ends && word.eq_ignore_ascii_case(scheme)).then(|| rest.trim_ascii_start())
}

/// HTTP/2 may split cookies over several headers, and proxies join them by `;` or by `,`, so all
/// of these separate (RFC 6265 §4.2.1 allows no comma inside a value).
fn in_cookies<'a>(request: &Request<'a>, name: &[u8]) -> Result<Option<&'a [u8]>, Reason> {
    let pairs = request
        .headers
        .all("cookie")
        .flat_map(|header| header.split(|byte| matches!(byte, b';' | b',')));
    let values = pairs.filter_map(|pair| {
        let (held, value) = split_pair(pair)?;
        (held.trim_ascii() == name).then(|| value.trim_ascii())
    });
    the_only(values)
}

/// A JWT has nothing to escape, so an escaped name or value only serves to hide a second token
/// from one of two readers.
fn in_query<'a>(request: &Request<'a>, name: &[u8]) -> Result<Option<&'a [u8]>, Reason> {
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let mut values = Vec::new();
    for pair in query.as_bytes().split(|byte| *byte == b'&') {
        let (held, value) = split_pair(pair).unwrap_or((pair, b""));
        if held == name && !value.contains(&b'%') {
            values.push(value);
        } else if held == name || (held.contains(&b'%') && unescaped(held) == name) {
            return Err(Reason::MalformedToken);
        }
    }
    the_only(values.into_iter())
}

fn split_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    Some((&pair[..at], &pair[at + 1..]))
}

fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.split_at_checked(2))
            .flatten()
            .and_then(|(digits, after)| {
                let digits = std::str::from_utf8(digits).ok()?;
                Some((u8::from_str_radix(digits, 16).ok()?, after))
            });
        let (byte, after) = escaped.unwrap_or((first, tail));
        bytes.push(byte);
        rest = after;
    }
    bytes
}

fn the_only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<&'a [u8]>, Reason> {
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Reason::MalformedToken),
        (found, None) => Ok(found.filter(|value| !value.is_empty())),
    }
}
