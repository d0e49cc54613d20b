//! Claims as request headers, in a form that cannot be anything but one header's value.
//!
//! Claims are verified, but users choose names. A value is made of visible ASCII and inner
//! spaces; every other byte, and `%` and `,`, is percent-encoded (UTF-8, `%` and two upper-case
//! digits). The items of an array are joined by commas, so a comma always separates items: a
//! name `x,admin` cannot pose as a second role. An upstream splits at commas, then decodes. A
//! claim that is absent, empty, an object, or longer than [`LONGEST`] gives no value, and then
//! the header is removed.

use http::HeaderName;

use super::config::Config;
use crate::verify::claims::{ClaimPath, Claims};

/// Bytes that one header may get.
pub const LONGEST: usize = 8 * 1024;

/// Which headers carry which claims.
#[derive(Debug)]
pub struct Identity {
    headers: Vec<(HeaderName, Source)>,
    /// Names that a CGI-like upstream cannot tell from those of `headers`.
    look_alikes: Vec<String>,
}

#[derive(Debug)]
enum Source {
    Issuer,
    Client,
    Claim(ClaimPath),
}

impl Source {
    fn value(&self, claims: &Claims) -> Option<String> {
        match self {
            Self::Issuer => text([&*claims.issuer]),
            Self::Client => text(claims.client.as_deref()),
            Self::Claim(path) => text(claims.values(path)),
        }
    }
}

impl Identity {
    /// Reads a configuration that was checked; a name that is no header's is left out.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let headers: Vec<_> = config
            .headers
            .iter()
            .filter_map(|(name, claim)| Some((name.parse().ok()?, source(claim))))
            .collect();
        let look_alikes = headers
            .iter()
            .flat_map(|(name, _): &(HeaderName, _)| look_alikes(name.as_str()))
            .collect();
        Self {
            headers,
            look_alikes,
        }
    }

    /// Each header with its value, or `None` where it has to be removed.
    pub fn values<'a>(
        &'a self,
        claims: Option<&'a Claims>,
    ) -> impl Iterator<Item = (&'a HeaderName, Option<String>)> {
        self.headers
            .iter()
            .map(move |(name, source)| (name, claims.and_then(|claims| source.value(claims))))
    }

    /// `x_portcullis_subject` and its like: an upstream that reads headers as CGI variables takes
    /// them for `x-portcullis-subject`. Always to be removed.
    #[must_use]
    pub fn look_alikes(&self) -> &[String] {
        &self.look_alikes
    }
}

fn source(claim: &ClaimPath) -> Source {
    match claim.as_str() {
        "iss" => Source::Issuer,
        "client" => Source::Client,
        _ => Source::Claim(claim.clone()),
    }
}

/// Every other way to write a name with dashes and underscores.
fn look_alikes(name: &str) -> Vec<String> {
    let mut spellings = vec![String::new()];
    for c in name.chars() {
        let other = match c {
            '-' => Some('_'),
            '_' => Some('-'),
            _ => None,
        };
        let mut others = match other {
            Some(_) => spellings.clone(),
            None => Vec::new(),
        };
        for spelling in &mut spellings {
            spelling.push(c);
        }
        for spelling in &mut others {
            spelling.extend(other);
        }
        spellings.append(&mut others);
    }
    spellings.retain(|spelling| spelling != name);
    spellings
}

fn text(values: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
    let mut text = String::new();
    for value in values {
        if value.as_ref().is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push(',');
        }
        encode(value.as_ref(), &mut text);
        if text.len() > LONGEST {
            return None;
        }
    }
    (!text.is_empty()).then_some(text)
}

fn encode(value: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let is_plain = |byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'%' | b',');
    if value.bytes().all(is_plain) {
        return into.push_str(value);
    }
    let last = value.len().saturating_sub(1);
    for (i, byte) in value.bytes().enumerate() {
        match byte {
            // Spaces at the ends would be trimmed, and `"bob "` would become `"bob"`.
            b' ' if i != 0 && i != last => into.push(' '),
            b'%' | b',' => escape(byte, DIGITS, into),
            0x21..=0x7e => into.push(char::from(byte)),
            _ => escape(byte, DIGITS, into),
        }
    }
}

fn escape(byte: u8, digits: &[u8; 16], into: &mut String) {
    into.push('%');
    into.push(char::from(digits[usize::from(byte >> 4)]));
    into.push(char::from(digits[usize::from(byte & 15)]));
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
        Source::Claim("c".parse().unwrap()).value(&verified.claims)
    }

    #[test]
    fn what_users_choose_cannot_leave_its_header() {
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
    fn what_is_no_value_removes_the_header() {
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

    #[test]
    fn look_alikes_are_all_other_spellings() {
        let mut found = look_alikes("x-a-b");
        found.sort();
        assert_eq!(found, ["x-a_b", "x_a-b", "x_a_b"]);
        assert!(look_alikes("user").is_empty());
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
