//! Claims as request headers, in a form that cannot be anything but one header's value.
//!
//! Claims are verified, but users choose names. A value is made of visible ASCII and inner
//! spaces; every other byte, and `%` and `,`, is percent-encoded (UTF-8, `%` and two upper-case
//! digits). The items of an array are joined by commas, so a comma always separates items: a
//! name `x,admin` cannot pose as a second role. An upstream splits at commas, then decodes. A
//! claim that is absent, empty or an object gives no value, and then the header is removed. So does
//! one that is longer than [`LONGEST`], unless the request is refused for it (`answer.too_long`).

use http::HeaderName;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::config::Config;
use crate::core::request::{Headers, as_cgi, spelling};
use crate::verify::claims::{ClaimPath, Claims, Values};

/// The longest value of one header, in bytes.
pub const LONGEST: usize = 8 * 1024;

/// What is percent-encoded besides bytes that are not ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b',');

/// Which headers carry which claims.
#[derive(Debug)]
pub struct Identity {
    headers: Vec<(HeaderName, Source)>,
    /// Has the bit `n % 64` set if a header's name has `n` bytes. Most headers of a request have
    /// another length and are looked at no further.
    lengths: u64,
}

#[derive(Debug)]
enum Source {
    Issuer,
    Client,
    Claim(ClaimPath),
    /// No claim: [`super::asserted`] makes the value.
    Assertion,
}

impl Source {
    fn value(&self, claims: &Claims) -> Option<String> {
        let text = joined(&self.values(claims));
        (1..=LONGEST).contains(&text.len()).then_some(text)
    }

    fn values<'a>(&self, claims: &'a Claims) -> Values<'a> {
        match self {
            Self::Issuer => Values::from_iter([&*claims.issuer]),
            Self::Client => claims.client.as_deref().into_iter().collect(),
            Self::Claim(path) => claims.values(path),
            Self::Assertion => Values::new(),
        }
    }
}

impl Identity {
    /// Reads a configuration that was checked; a name that is no header's is left out.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let claims = config.headers.iter();
        let claims = claims.map(|(name, claim)| (name, source(claim)));
        let assertion = config.assertion.iter();
        let assertion = assertion.map(|assertion| (&assertion.header, Source::Assertion));
        let headers: Vec<_> = claims
            .chain(assertion)
            .filter_map(|(name, source)| Some((name.parse().ok()?, source)))
            .collect();
        let lengths = headers.iter().fold(0, |mask, (name, _): &(HeaderName, _)| {
            mask | bit(name.as_str().len())
        });
        Self { headers, lengths }
    }

    /// Each header with its value, or `None` where it has to be removed. With `asserted` that of the assertion
    /// is left out: the caller sets it.
    pub fn values<'a>(
        &'a self,
        claims: Option<&'a Claims>,
        asserted: bool,
    ) -> impl Iterator<Item = (&'a HeaderName, Option<String>)> {
        let headers = self.headers.iter();
        headers
            .filter(move |(_, source)| !(asserted && matches!(source, Source::Assertion)))
            .map(move |(name, source)| (name, claims.and_then(|claims| source.value(claims))))
    }

    /// Returns whether no header loses its value because that is longer than [`LONGEST`].
    #[must_use]
    pub fn fits(&self, claims: &Claims) -> bool {
        // A byte becomes three at most, and each item has a comma; few tokens hold that much.
        let most = |values: &[&str]| {
            values
                .iter()
                .map(|value| 3 * value.len() + 1)
                .sum::<usize>()
        };
        claims.footprint() * 4 <= LONGEST
            || self.headers.iter().all(|(_, source)| {
                let values = source.values(claims);
                most(&values) <= LONGEST || joined(&values).len() <= LONGEST
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

fn source(claim: &ClaimPath) -> Source {
    match claim.as_str() {
        "iss" => Source::Issuer,
        "client" => Source::Client,
        _ => Source::Claim(claim.clone()),
    }
}

/// May stop once the text is longer than [`LONGEST`].
fn joined(values: &[&str]) -> String {
    let mut text = String::new();
    for value in values.iter().filter(|value| !value.is_empty()) {
        if !text.is_empty() {
            text.push(',');
        }
        encode(value, &mut text);
        if text.len() > LONGEST {
            break;
        }
    }
    text
}

fn encode(value: &str, into: &mut String) {
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
    into.extend(utf8_percent_encode(rest, ESCAPED));
    into.push_str(last);
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::gate::testing;

    fn one(claim: &serde_json::Value) -> Option<String> {
        let verified = testing::verified(&json!({ "iss": "https://id.example.com", "c": claim }));
        Source::Claim(ClaimPath::parse("c").unwrap()).value(&verified.claims)
    }

    #[test]
    fn a_value_that_users_choose_stays_within_its_header() {
        for (claim, expected) in [
            (json!("alice"), "alice"),
            (json!("auth0|123"), "auth0|123"),
            (json!("a b"), "a b"),
            (json!("x\r\nx-role: admin"), "x%0D%0Ax-role: admin"),
            (json!("a\u{0}b"), "a%00b"),
            (json!("\tx\u{7f}"), "%09x%7F"),
            (json!("Zoë"), "Zo%C3%AB"),
            (json!("bob "), "bob%20"),
            (json!(" bob"), "%20bob"),
            (json!(" "), "%20"),
            (json!("100%2C"), "100%252C"),
            (json!("x,admin"), "x%2Cadmin"),
            (json!(["user", "x,admin", 7, true]), "user,x%2Cadmin,7,true"),
            (json!(["a", null, {"b": "c"}, ["d"], "", "e"]), "a,e"),
        ] {
            assert_eq!(one(&claim).as_deref(), Some(expected), "{claim}");
        }
    }

    #[test]
    fn a_claim_without_a_value_removes_its_header() {
        for claim in [
            json!(null),
            json!(""),
            json!([]),
            json!({"a": "b"}),
            json!([""]),
            json!("x".repeat(LONGEST + 1)),
            json!(vec!["ü"; LONGEST / 2]),
        ] {
            assert_eq!(one(&claim), None);
        }
        assert_eq!(one(&json!("x".repeat(LONGEST))).unwrap().len(), LONGEST);
    }

    /// Every name that differs from `x-portcullis-subject` in one byte, or in its separators.
    fn neighbours() -> Vec<String> {
        let name = "x-portcullis-subject";
        let mut names = vec![name.to_owned(), name.to_uppercase()];
        for byte in (b'!'..=b'~').map(char::from) {
            names.push(name.replace('-', &byte.to_string()));
            names.push(name.replacen('-', &byte.to_string(), 1));
            names.push(name.replace('-', &format!("-{byte}")));
            names.push(format!("{byte}{name}"));
            names.push(format!("{name}{byte}"));
            for at in 0..name.len() {
                names.push(format!("{}{byte}{}", &name[..at], &name[at + 1..]));
            }
        }
        names
    }

    #[test]
    fn look_alikes_are_the_names_that_cgi_reads_as_ours() {
        let cgi = |name: &str| {
            let upper = name.to_ascii_uppercase();
            let mapped = upper.chars().map(|c| match c {
                'A'..='Z' | '0'..='9' => c,
                _ => '_',
            });
            mapped.collect::<String>()
        };
        let identity = Identity::new(&Config::default());
        let regex = regex::Regex::new(&format!("^(?:{})$", pattern("X-Portcullis_Subject")));
        let regex = regex.unwrap();
        let mut alike = 0;
        for name in neighbours() {
            let mut headers = Headers::new();
            headers.push("x-portcullis-subjec", b"root");
            headers.push(&name, b"root");
            headers.push("accept", b"*/*");
            let expected = cgi(&name) == "X_PORTCULLIS_SUBJECT";
            let claimed: Vec<_> = identity.claimed(&headers).collect();
            assert_eq!(claimed == [name.as_bytes()], expected, "{name}");
            let others: Vec<_> = identity.look_alikes(&headers).collect();
            let is_ours = name.eq_ignore_ascii_case("x-portcullis-subject");
            assert_eq!(others == [&*name], expected && !is_ours, "{name}");
            assert_eq!(regex.is_match(&name.to_lowercase()), expected, "{name}");
            alike += usize::from(expected);
        }
        assert!(alike > 100, "{alike}");
    }

    proptest! {
        #[test]
        fn any_value_is_one_header_value_and_reads_back(value in ".+") {
            let text = one(&json!(value)).unwrap();
            prop_assert!(HeaderValue::from_str(&text).is_ok());
            prop_assert_eq!(text.trim(), &text);
            prop_assert!(!text.contains(','));
            let mut bytes = text.bytes();
            let mut read = Vec::new();
            while let Some(byte) = bytes.next() {
                read.push(match byte {
                    b'%' => {
                        let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                        u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                    }
                    plain => plain,
                });
            }
            prop_assert_eq!(read, value.into_bytes());
        }
    }
}
