//! The protocol-neutral request that every door hands to the gate. It borrows from the wire message.

use smallvec::SmallVec;

/// One request as the proxy describes it.
#[derive(Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, …; empty when the proxy did not say.
    pub method: &'a str,
    /// Path and query as the client sent them, before any normalisation.
    pub target: &'a str,
    /// In the order received; duplicates stay.
    pub headers: Headers<'a>,
    /// Host and port that the client asked for, as the proxy says; empty when it did not say.
    pub host: &'a str,
    /// Whether the proxy names the policy.
    pub policy: NamedPolicy<'a>,
}

/// How the proxy names the policy of a request. A client must not be able to do so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedPolicy<'a> {
    /// It does not.
    No,
    Name(&'a str),
    /// In the header that the configuration says, if it says one.
    InHeader,
}

/// The result of a look-up by name. A repeated header is its own case, because joining the values
/// would hide a second token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Nothing,
    One(&'a [u8]),
    Several,
}

/// Raw names and values. Names are compared without case (RFC 9110 §5.1).
#[derive(Default)]
pub struct Headers<'a>(SmallVec<[(&'a [u8], &'a [u8]); 32]>);

impl<'a> Headers<'a> {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, name: &'a (impl AsRef<[u8]> + ?Sized), value: &'a [u8]) {
        self.0.push((name.as_ref(), value));
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Found<'a> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (None, _) => Found::Nothing,
            (Some(value), None) => Found::One(value),
            (Some(_), Some(_)) => Found::Several,
        }
    }

    /// Returns every header, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.0.iter().copied()
    }

    /// Returns every value of a name, in the order received.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(held, _)| held.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| *value)
    }

    /// Returns the value if the header is there once and is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match self.find(name) {
            Found::One(value) => std::str::from_utf8(value).ok(),
            Found::Nothing | Found::Several => None,
        }
    }
}

/// Returns path and query of an absolute `http` or `https` URL, `None` for everything else. The
/// authority may come from the client's `Host`, so it must look like a host.
#[must_use]
pub fn target_of(url: &str) -> Option<&str> {
    parts_of(url).map(|(_, target)| target)
}

/// Returns host and port of an absolute `http` or `https` URL, as [`target_of`] reads it.
#[must_use]
pub fn authority_of(url: &str) -> Option<&str> {
    parts_of(url).map(|(authority, _)| authority)
}

fn parts_of(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://");
    let rest = rest.or_else(|| url.strip_prefix("http://"))?;
    let (authority, target) = rest.split_at(rest.find('/')?);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!authority.is_empty() && authority.bytes().all(is_host)).then_some((authority, target))
}

/// Maps a byte of a header's name as CGI does (RFC 3875 §4.1.18) and as PHP and lighttpd extend it:
/// every byte outside letters and digits becomes the same separator.
pub(crate) const fn as_cgi(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' => byte,
        b'A'..=b'Z' => byte.to_ascii_lowercase(),
        _ => b'-',
    }
}

/// Returns one spelling, in lower case with dashes, for all names that a CGI-like upstream cannot
/// tell apart.
pub(crate) fn spelling(name: &[u8]) -> String {
    name.iter().map(|byte| char::from(as_cgi(*byte))).collect()
}

/// Prints names only: values hold tokens and cookies.
impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name.escape_ascii()))
            .finish()
    }
}

impl Request<'_> {
    /// Returns a request of which nothing is known.
    #[must_use]
    pub fn unread() -> Self {
        Self {
            method: "",
            target: "",
            headers: Headers::new(),
            host: "",
            policy: NamedPolicy::No,
        }
    }

    /// Returns the target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target, |(path, _)| path)
    }

    /// Returns the query without its `?`; empty when there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Returns whether the client speaks gRPC and expects errors as trailers. This is Envoy's own
    /// rule, because Envoy writes them: `application/grpc-web`, for example, gets an HTTP error.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        let kind = self.headers.text("content-type");
        let rest = kind.and_then(|kind| kind.strip_prefix("application/grpc"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_grpc(kind: &str) -> bool {
        let mut headers = Headers::new();
        headers.push("content-type", kind.as_bytes());
        let request = Request {
            method: "POST",
            target: "/",
            headers,
            ..Request::unread()
        };
        request.is_grpc()
    }

    #[test]
    fn only_the_grpc_media_types_are_grpc() {
        assert!(is_grpc("application/grpc"));
        assert!(is_grpc("application/grpc+proto"));
        for other in [
            "",
            "application/json",
            "application/grp",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcx",
        ] {
            assert!(!is_grpc(other), "{other}");
        }
    }
}
