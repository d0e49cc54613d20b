//! Claims as request headers, in a form that cannot be anything but one header's value.
//!
//! Claims are verified, but users choose names. A value is made of visible ASCII and inner
//! spaces; every other byte, and `%` and `,`, is percent-encoded (UTF-8, `%` and two upper-case
//! digits). The items of an array are joined by commas, so a comma always separates items: a
//! name `x,admin` cannot pose as a second role. An upstream splits at commas, then decodes. Another
//! separator works alike; JSON is base64url, and so cannot be anything else either. A
//! claim that is absent, empty or, as text, an object gives no value, and then the header is removed. So does
//! one that is longer than [`LONGEST`], unless the request is refused for it (`answer.too_long`).

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use super::config::{Config, Form, Format, Join};
use crate::core::request::{Headers, as_cgi, spelling};
use crate::core::shorthand::TextOr;
use crate::verify::claims::{ClaimPath, Claims, Values};

/// The longest value of one header, in bytes.
pub const LONGEST: usize = 8 * 1024;

/// What is percent-encoded besides bytes that are not ASCII, for each separator.
const COMMA: &AsciiSet = &CONTROLS.add(b'%').add(b',');
const SPACE: &AsciiSet = &CONTROLS.add(b'%').add(b' ');
const SEMICOLON: &AsciiSet = &CONTROLS.add(b'%').add(b';');

impl Join {
    const fn parts(self) -> (char, &'static AsciiSet) {
        match self {
            Self::Comma => (',', COMMA),
            Self::Space => (' ', SPACE),
            Self::Semicolon => (';', SEMICOLON),
        }
    }
}

/// What is known about the client of a request.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    pub claims: &'a Claims,
    /// Finds the payload of the verified token, in base64url.
    pub payload: &'a dyn Fn() -> Option<String>,
}

/// Which headers carry which claims.
#[derive(Debug)]
pub struct Identity {
    headers: Vec<(HeaderName, Source)>,
    /// Has the bit `n % 64` set if a header's name has `n` bytes. Most headers of a request have
    /// another length and are looked at no further.
    lengths: u64,
    /// Whether any header has JSON in it.
    has_json: bool,
}

#[derive(Debug)]
enum Source {
    Issuer,
    Client,
    Claim(ClaimPath, Join),
    /// A claim as JSON; `None` for all claims.
    Json(Option<ClaimPath>),
    /// No claim: [`super::asserted`] makes the value.
    Assertion,
    /// No claim: [`super::route`] says the value.
    Fixed,
}

impl Source {
    fn value(&self, client: Client<'_>) -> Option<String> {
        let text = self.text(client)?;
        (1..=LONGEST).contains(&text.len()).then_some(text)
    }

    fn text(&self, client: Client<'_>) -> Option<String> {
        match self {
            Self::Json(None) => (client.payload)(),
            Self::Json(Some(path)) => as_json(&(client.payload)()?, path),
            _ => Some(joined(&self.values(client.claims), self.join())),
        }
    }

    const fn join(&self) -> Join {
        match self {
            Self::Claim(_, join) => *join,
            _ => Join::Comma,
        }
    }

    fn values<'a>(&self, claims: &'a Claims) -> Values<'a> {
        match self {
            Self::Issuer => Values::from_iter([&*claims.issuer]),
            Self::Client => claims.client.as_deref().into_iter().collect(),
            Self::Claim(path, _) => claims.values(path),
            Self::Json(_) | Self::Assertion | Self::Fixed => Values::new(),
        }
    }
}

impl Identity {
    /// Reads a configuration that was checked; a name that is no header's is left out. `fixed` are the names of
    /// headers with fixed values.
    #[must_use]
    pub fn new(config: &Config, fixed: &BTreeSet<String>) -> Self {
        let claims = config.headers.iter();
        let claims = claims.map(|(name, claim)| (name, source(claim)));
        let assertion = config.assertion.iter();
        let assertion = assertion.map(|assertion| (&assertion.header, Source::Assertion));
        let fixed = fixed.iter().map(|name| (name, Source::Fixed));
        let headers: Vec<_> = claims
            .chain(assertion)
            .chain(fixed)
            .filter_map(|(name, source)| Some((name.parse().ok()?, source)))
            .collect();
        let lengths = headers.iter().fold(0, |mask, (name, _): &(HeaderName, _)| {
            mask | bit(name.as_str().len())
        });
        let has_json = |(_, source): &(_, Source)| matches!(source, Source::Json(_));
        Self {
            has_json: headers.iter().any(has_json),
            headers,
            lengths,
        }
    }

    /// Each header with its value, or `None` where it has to be removed. Those with fixed values are left out:
    /// the caller sets them. So is that of the assertion with `asserted`.
    pub fn values<'a>(
        &'a self,
        client: Option<Client<'_>>,
        asserted: bool,
    ) -> impl Iterator<Item = (&'a HeaderName, Option<String>)> {
        let headers = self.headers.iter();
        headers
            .filter(move |(_, source)| match source {
                Source::Assertion => !asserted,
                Source::Fixed => false,
                _ => true,
            })
            .map(move |(name, source)| (name, client.and_then(|client| source.value(client))))
    }

    /// Returns whether no header loses its value because that is longer than [`LONGEST`].
    #[must_use]
    pub fn fits(&self, client: Client<'_>) -> bool {
        let claims = client.claims;
        // A byte becomes three at most, and each item has a comma; few tokens hold that much.
        let most = |values: &[&str]| {
            values
                .iter()
                .map(|value| 3 * value.len() + 1)
                .sum::<usize>()
        };
        (claims.footprint() * 4 <= LONGEST && !self.has_json)
            || self.headers.iter().all(|(_, source)| {
                let is_short = || most(&source.values(claims)) <= LONGEST;
                let text = || source.text(client);
                (!matches!(source, Source::Json(_)) && is_short())
                    || text().is_none_or(|text| text.len() <= LONGEST)
            })
    }

    /// Returns the names in a request that some upstream reads as one of ours, in the spelling of
    /// the request. Our own spelling is among them.
    pub fn claimed<'a>(&'a self, headers: &'a Headers<'_>) -> impl Iterator<Item = &'a [u8]> {
        let of_our_length = move |name: &&[u8]| self.lengths & bit(name.len()) != 0;
        let names = headers.iter().map(|(name, _)| -> &'a [u8] { name });
        let names = names.filter(of_our_length);
        names.filter(|name| self.own(|own| reads_alike(own, name)))
    }

    /// Returns the names of [`Identity::claimed`] that are spelled differently from ours, such as
    /// `x.portcullis.subject`. A proxy that replaces our headers leaves these as they are.
    pub fn look_alikes<'a>(&'a self, headers: &'a Headers<'_>) -> impl Iterator<Item = &'a str> {
        let names = self.claimed(headers);
        let others = names.filter(|name| !self.own(|own| own.eq_ignore_ascii_case(name)));
        // A header's name is ASCII (RFC 9110 §5.1); no proxy passes on another.
        others.filter_map(|name| std::str::from_utf8(name).ok())
    }

    fn own(&self, is: impl Fn(&[u8]) -> bool) -> bool {
        let mut names = self.headers.iter();
        names.any(|(name, _)| is(name.as_str().as_bytes()))
    }
}

const fn bit(length: usize) -> u64 {
    1 << (length % 64)
}

fn reads_alike(one: &[u8], other: &[u8]) -> bool {
    let pairs = || one.iter().zip(other);
    one.len() == other.len() && pairs().all(|(one, other)| as_cgi(*one) == as_cgi(*other))
}

/// Returns a regular expression that matches exactly those names, in lower case, that have the
/// same [`spelling`] as `name`. Proxies that are told by pattern which headers to pass to
/// Portcullis, or to remove, take it.
#[must_use]
pub fn pattern(name: &str) -> String {
    spelling(name.as_bytes()).replace('-', "[^a-z0-9]")
}

fn source(told: &TextOr<ClaimPath, Format>) -> Source {
    let (claim, join) = match told {
        TextOr::Text(claim) => (claim, Join::Comma),
        TextOr::More(format) => match (&format.claim, format.form) {
            (Some(claim), Form::Text) => (claim, format.join),
            (claim, _) => return Source::Json(claim.clone()),
        },
    };
    match claim.as_str() {
        "iss" => Source::Issuer,
        "client" => Source::Client,
        _ => Source::Claim(claim.clone(), join),
    }
}

/// Returns a claim of a payload as JSON. Both are in base64url.
fn as_json(payload: &str, path: &ClaimPath) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let payload: Value = serde_json::from_slice(&payload).ok()?;
    let mut found = path.paths().filter_map(|steps| {
        let mut steps = steps.iter();
        let end = steps.try_fold(&payload, |value, name| value.get(&**name));
        end.filter(|value| !value.is_null())
    });
    Some(URL_SAFE_NO_PAD.encode(found.next()?.to_string()))
}

/// May stop once the text is longer than [`LONGEST`].
fn joined(values: &[&str], join: Join) -> String {
    let (separator, escaped) = join.parts();
    let mut text = String::new();
    for value in values.iter().filter(|value| !value.is_empty()) {
        if !text.is_empty() {
            text.push(separator);
        }
        encode(value, escaped, &mut text);
        if text.len() > LONGEST {
            break;
        }
    }
    text
}

fn encode(value: &str, escaped: &'static AsciiSet, into: &mut String) {
    // Spaces at the ends would be trimmed, and `"bob "` would become `"bob"`.
    let (first, rest) = match value.strip_prefix(' ') {
        Some(rest) => ("%20", rest),
        None => ("", value),
    };
    let (rest, last) = match rest.strip_suffix(' ') {
        Some(rest) => (rest, "%20"),
        None => (rest, ""),
    };
    into.push_str(first);
    into.extend(utf8_percent_encode(rest, escaped));
    into.push_str(last);
}

#[cfg(test)]
mod tests;
