//! Recognises paths that every server reads alike, and requests that override path or method.

use percent_encoding::percent_decode_str;

use crate::core::config_error::ConfigErrors;
use crate::core::request::{Headers, Request, as_cgi, spelling, target_of};

/// Returns whether a path has one reading only: absolute, printable ASCII, nothing encoded, no
/// parameters, no empty or all-dots segment (a last empty segment is a trailing slash).
///
/// # Errors
/// Why not, as the end of a sentence.
pub(super) fn plain(path: &str) -> Result<(), &'static str> {
    let Some(below) = path.strip_prefix('/') else {
        return Err("does not begin with a slash");
    };
    if !path.bytes().all(is_plain) {
        return Err("has a character that servers read differently (such as % ; \\ or a control)");
    }
    let mut segments = below.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment.is_empty() && !is_last {
            return Err("has a double slash");
        }
        if !segment.is_empty() && segment.bytes().all(|byte| byte == b'.') {
            return Err("has a segment of dots");
        }
    }
    Ok(())
}

/// `pchar` of RFC 3986 §3.3 and the slash, without `%` (encodings) and `;` (parameters, which
/// some servers cut off before they map the path).
pub(super) const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*'
        )
        || matches!(byte, b'+' | b',' | b'=' | b':' | b'@')
}

/// Reports what is no method in upper case, such as GET.
pub(super) fn plain_method(method: &str, errors: &mut ConfigErrors) {
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        errors.push("methods", format!("{method:?} is not a method such as GET"));
    }
}

/// Some frameworks serve the path in these headers instead of the one in the request line. A proxy
/// may set them to the original target, which is harmless.
const PATH_OVERRIDES: [&str; 2] = ["x-original-url", "x-rewrite-url"];

const METHOD_OVERRIDES: [&str; 4] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-tunneled-method",
];

/// Returns whether a header names another path than the request line.
pub(super) fn overridden(request: &Request<'_>) -> bool {
    let target = request.target;
    let named = reading_like(&request.headers, &PATH_OVERRIDES);
    named
        .filter(|value| *value != target.as_bytes())
        .any(|value| std::str::from_utf8(value).ok().and_then(target_of) != Some(target))
}

/// Query parameters that some frameworks read as the method, with `_` for separators.
const METHOD_PARAMETERS: [&str; 9] = [
    "_method",
    "_http_method",
    "_httpmethod",
    "_http_method_override",
    "http_method_override",
    "x_http_method_override",
    "x_http_method",
    "x_method_override",
    "x_tunneled_method",
];

/// Methods that change something. As the value of a parameter they may be an override, whatever
/// the parameter is called.
const UNSAFE_METHODS: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

/// Returns the values of the headers that CGI and PHP read as one of these names.
fn reading_like<'h>(headers: &Headers<'h>, names: &[&str]) -> impl Iterator<Item = &'h [u8]> {
    let is_alike = |held: &[u8], name: &str| {
        held.len() == name.len() && held.iter().map(|byte| as_cgi(*byte)).eq(name.bytes())
    };
    let mut all = headers.iter();
    std::iter::from_fn(move || {
        let found = all.find(|(held, _)| names.iter().any(|name| is_alike(held, name)));
        found.map(|(_, value)| value)
    })
}

/// Returns whether a header or a parameter by its name says another method than the request line.
pub(super) fn method_renamed(request: &Request<'_>) -> bool {
    reading_like(&request.headers, &METHOD_OVERRIDES)
        .next()
        .is_some()
        || pairs(request).any(|(name, _)| names_the_method(name))
}

/// Returns whether the value of a parameter, whatever its name, may be meant as the method.
pub(super) fn method_hinted(request: &Request<'_>) -> bool {
    pairs(request).any(|(_, value)| is_unsafe_method(value))
}

/// Returns names and values of the query.
fn pairs<'r>(request: &'r Request<'_>) -> impl Iterator<Item = (&'r str, &'r str)> {
    let pairs = request.query().split(['&', ';']);
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Returns whether a parameter is read as the method. A name that is escaped twice, or holds bytes
/// that servers read differently, counts as one that is.
fn names_the_method(name: &str) -> bool {
    let name = name.replace('+', " ");
    let Ok(name) = percent_decode_str(&name).decode_utf8() else {
        return true;
    };
    if name.contains('%') || name.contains(|c: char| c.is_control()) {
        return true;
    }
    // PHP cuts a name at a bracket that is closed, and reads any other as `_`.
    let name = name.trim_start();
    let cut = name.split('[').next().unwrap_or_default();
    [cut, name].iter().any(|name| {
        let name = spelling(name.as_bytes()).replace('-', "_");
        METHOD_PARAMETERS.contains(&&*name)
    })
}

/// Returns whether a value is a method that changes something, also when it is escaped twice.
fn is_unsafe_method(value: &str) -> bool {
    let value = value.replace('+', " ");
    let once = percent_decode_str(&value).decode_utf8_lossy();
    let twice = percent_decode_str(&once).decode_utf8_lossy();
    let method = twice.trim();
    UNSAFE_METHODS
        .iter()
        .any(|name| name.eq_ignore_ascii_case(method))
}
