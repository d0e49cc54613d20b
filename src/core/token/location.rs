//! Reads the token from one location of a request.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use smallvec::SmallVec;

use super::config::Source;
use crate::core::reason::Reason;
use crate::core::request::{Found, Headers, Request};

#[derive(Clone, Debug)]
pub(super) enum Location {
    Header {
        name: String,
        scheme: Option<String>,
    },
    Cookie(String),
    Query(String),
    /// A marker among the protocols of a WebSocket.
    Protocol(String),
}

pub(super) const COOKIE: &str = "cookie";
pub(super) const PROTOCOLS: &str = "sec-websocket-protocol";

type Read<'a> = Result<Option<Cow<'a, str>>, Reason>;

impl Location {
    pub(super) fn new(source: &Source) -> Option<Self> {
        if let Some(name) = &source.header {
            return Some(Self::Header {
                name: name.to_ascii_lowercase(),
                scheme: source.scheme.clone(),
            });
        }
        let cookie = source.cookie.clone().map(Self::Cookie);
        cookie
            .or_else(|| source.query.clone().map(Self::Query))
            .or_else(|| source.websocket_protocol.clone().map(Self::Protocol))
    }

    /// Returns the header that holds this location, if one does.
    pub(super) fn header(&self) -> Option<&str> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::Cookie(_) => Some(COOKIE),
            Self::Protocol(_) => Some(PROTOCOLS),
            Self::Query(_) => None,
        }
    }

    /// Returns the token at this location, if there is one.
    ///
    /// # Errors
    /// [`Reason::MalformedToken`] for two different tokens, or for text that cannot be a token.
    pub(super) fn read<'a>(&self, request: &Request<'a>) -> Read<'a> {
        match self {
            Self::Header { name, scheme } => in_header(request, name, scheme.as_deref()),
            Self::Cookie(name) => in_cookies(request, name),
            Self::Query(name) => in_query(request, name.as_bytes()),
            Self::Protocol(marker) => in_protocols(request, marker),
        }
    }
}

fn in_header<'a>(request: &Request<'a>, name: &str, scheme: Option<&str>) -> Read<'a> {
    let value = match request.headers.find(name) {
        Found::Nothing => return Ok(None),
        Found::One(value) if !any(value, |byte| byte == b',') => value.trim_ascii(),
        Found::One(_) | Found::Several => return in_list(request, name, scheme),
    };
    match scheme {
        None => the_only([value]),
        Some(scheme) => the_only(after_scheme(value, scheme.as_bytes())),
    }
}

/// Reads a header that has commas or is repeated. A comma may mean that a proxy joined two headers
/// (RFC 9110 §5.3), so it separates values. Other schemes, such as Digest, have commas of their own.
/// They are no token, but a token beside one is refused.
fn in_list<'a>(request: &Request<'a>, name: &str, scheme: Option<&str>) -> Read<'a> {
    let values = request.headers.all(name);
    let items = values.flat_map(|value| value.split(|byte| *byte == b','));
    let items: SmallVec<[&[u8]; 4]> = items
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
        .collect();
    let Some(scheme) = scheme else {
        return the_only(items);
    };
    let tokens = items
        .iter()
        .filter_map(|item| after_scheme(item, scheme.as_bytes()));
    let tokens: SmallVec<[&[u8]; 4]> = tokens.collect();
    if !tokens.is_empty() && tokens.len() < items.len() {
        return Err(Reason::MalformedToken);
    }
    the_only(tokens)
}

/// Tests every byte without an early exit, so that the compiler can vectorise it.
fn any(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |any, byte| any | is(*byte))
}

fn after_scheme<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (word, rest) = value.split_at_checked(scheme.len())?;
    let ends = rest.first().is_none_or(u8::is_ascii_whitespace);
    (ends && word.eq_ignore_ascii_case(scheme)).then(|| rest.trim_ascii_start())
}

/// Which part of the value a cookie holds.
pub(super) enum Piece {
    Whole,
    /// `name.0`, `name.1`, …
    Part(usize),
}

/// Returns which piece of the cookie `name` the cookie `held` is, if it is one.
pub(super) fn piece(held: &[u8], name: &str) -> Option<Piece> {
    match held.trim_ascii().strip_prefix(name.as_bytes())? {
        b"" => Some(Piece::Whole),
        [b'.', digits @ ..] => {
            let number: usize = str::from_utf8(digits).ok()?.parse().ok()?;
            (number.to_string().as_bytes() == digits).then_some(Piece::Part(number))
        }
        _ => None,
    }
}

/// Reads a cookie. HTTP/2 may split cookies over several headers, and proxies join them by `;` or by
/// `,`, so all of these separate (RFC 6265 §4.2.1 allows no comma inside a value).
fn in_cookies<'a>(request: &Request<'a>, name: &str) -> Read<'a> {
    let mut whole: SmallVec<[&[u8]; 2]> = SmallVec::new();
    let mut pieces: SmallVec<[(usize, &[u8]); 4]> = SmallVec::new();
    let headers = request.headers.all(COOKIE);
    for pair in headers.flat_map(|header| header.split(|byte| matches!(byte, b';' | b','))) {
        let Some((held, value)) = split_pair(pair) else {
            continue;
        };
        match piece(held, name) {
            Some(Piece::Whole) => whole.push(bare(value)),
            Some(Piece::Part(number)) => pieces.push((number, value.trim_ascii())),
            None => {}
        }
    }
    let token = the_only(whole)?;
    if pieces.is_empty() {
        return Ok(token);
    }
    pieces.sort_by_key(|(number, _)| *number);
    // Readers of pieces begin with number 0. Without it, the whole cookie is the only token.
    if token.is_some() && pieces[0].0 != 0 {
        return Ok(token);
    }
    let complete = pieces
        .iter()
        .enumerate()
        .all(|(i, (number, _))| i == *number);
    let joined: Vec<u8> = pieces
        .iter()
        .flat_map(|(_, value)| *value)
        .copied()
        .collect();
    let joined = the_only([bare(&joined)])?.map(Cow::into_owned);
    match (token, joined) {
        (Some(_), Some(_)) => Err(Reason::SeveralTokens),
        // A piece is missing or repeated.
        (_, Some(_)) if !complete => Err(Reason::MalformedToken),
        (None, Some(joined)) => Ok(Some(Cow::Owned(joined))),
        (token, None) => Ok(token),
    }
}

/// Returns the value of a cookie without the quotes and the word Bearer that some frameworks add.
fn bare(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    let value = quoted.unwrap_or(value);
    let Some((word, rest)) = value.split_at_checked("bearer".len()) else {
        return value;
    };
    let spaces: [&[u8]; 3] = [b" ", b"+", b"%20"];
    let rest = spaces.iter().find_map(|space| rest.strip_prefix(*space));
    match rest {
        Some(rest) if word.eq_ignore_ascii_case(b"bearer") => rest.trim_ascii(),
        _ => value,
    }
}

/// Reads a query parameter. A JWT has nothing to escape, so an escaped name or value is an attempt to
/// hide a second token from one of two readers. So is another name that PHP reads as this one.
fn in_query<'a>(request: &Request<'a>, name: &[u8]) -> Read<'a> {
    let query = request.target.split_once('?');
    let query = query.map_or("", |(_, query)| query);
    let mut values: SmallVec<[&[u8]; 2]> = SmallVec::new();
    for pair in query.as_bytes().split(|byte| matches!(byte, b'&' | b';')) {
        let (held, value) = split_pair(pair).unwrap_or((pair, b""));
        if held == name && !value.contains(&b'%') {
            values.push(value);
        } else if held == name || as_php_reads(held) == as_php_reads(name) {
            return Err(Reason::MalformedToken);
        }
    }
    the_only(values)
}

fn in_protocols<'a>(request: &Request<'a>, marker: &str) -> Read<'a> {
    let mut items = protocols(&request.headers);
    let mut found: Option<Cow<'a, str>> = None;
    while let Some(item) = items.next() {
        let token = match item.strip_prefix(marker.as_bytes()) {
            Some(b"") => the_only(items.next())?,
            Some([b'.', token @ ..]) => decoded(token)?,
            _ => None,
        };
        match (&found, token) {
            (_, None) => {}
            (None, token) => found = token,
            (Some(first), Some(token)) if *first == token => {}
            (Some(_), Some(_)) => return Err(Reason::MalformedToken),
        }
    }
    Ok(found)
}

/// Returns the listed protocols of a WebSocket (RFC 6455 §11.3.4). A list may have empty items
/// (RFC 9110 §5.6.1).
pub(super) fn protocols<'a>(headers: &Headers<'a>) -> impl Iterator<Item = &'a [u8]> {
    let items = headers
        .all(PROTOCOLS)
        .flat_map(|header| header.split(|byte| *byte == b','));
    items
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// Decodes a token that may be in base64url. A JWT has dots, and base64url has none.
fn decoded(token: &[u8]) -> Read<'_> {
    if token.is_empty() || token.contains(&b'.') {
        return the_only([token]);
    }
    let text = URL_SAFE_NO_PAD.decode(token).ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(|text| Some(Cow::Owned(text)))
        .ok_or(Reason::MalformedToken)
}

pub(super) fn split_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    Some((&pair[..at], &pair[at + 1..]))
}

/// Returns a parameter's name as PHP reads it: decoded, without leading spaces, with `_` for `.`,
/// space and `[`.
fn as_php_reads(name: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = name
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let name: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    let read = |byte: &u8| match byte {
        b'.' | b' ' | b'[' => b'_',
        plain => *plain,
    };
    name.trim_ascii_start().iter().map(read).collect()
}

/// Returns the one distinct value that is not empty.
fn the_only<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Read<'a> {
    let mut values = values.into_iter().filter(|value| !value.is_empty());
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|value| value != first) || any(first, |byte| byte.is_ascii_whitespace()) {
        return Err(Reason::MalformedToken);
    }
    let text = str::from_utf8(first).map_err(|_| Reason::MalformedToken)?;
    Ok(Some(Cow::Borrowed(text)))
}
