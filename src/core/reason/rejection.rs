//! A refusal with what an operator needs to understand it: what was expected and what was found.

use std::fmt;
use std::sync::Arc;

use super::Reason;

/// Bytes of each text of a [`Detail`], at most.
const LONGEST: usize = 160;

/// Why a token is refused and, where it helps, what was expected and what was found.
#[derive(Clone, Debug)]
pub struct Rejection {
    pub reason: Reason,
    pub detail: Option<Arc<Detail>>,
    /// The issuer of the token, if its signature is good.
    pub issuer: Option<Arc<str>>,
    /// The parameters for the challenge that say what would be enough, each behind a comma, such as
    /// `, scope="orders:write"` (RFC 6750 §3, RFC 9470 §3). They come from the configuration alone.
    pub wanted: Option<Arc<str>>,
}

/// What a check expected of a token, and what the token has instead, for logs and exemplars. Both
/// texts are bounded in length, and unprintable characters are escaped.
#[derive(Debug)]
pub struct Detail {
    expected: Box<str>,
    found: Option<Box<str>>,
}

impl Rejection {
    /// Refuses something that was not verified. It records only what was expected, because a stranger
    /// chose the rest.
    pub fn expected(reason: Reason, expected: impl fmt::Display) -> Self {
        Self::detailed(reason, &expected, None)
    }

    /// Refuses what the time is not known for, because the clock jumped.
    #[must_use]
    pub fn without_jump() -> Self {
        let expected = "a wall clock that did not jump";
        Self::expected(Reason::ClockDisagreement, expected)
    }

    /// Notes the issuer of a token whose signature is good.
    #[must_use]
    pub fn by(self, issuer: &Arc<str>) -> Self {
        let issuer = Some(Arc::clone(issuer));
        Self { issuer, ..self }
    }

    /// Says what was expected, if nothing says so yet.
    #[must_use]
    pub fn or_expected<T: fmt::Display>(self, expected: impl FnOnce() -> T) -> Self {
        if self.detail.is_some() {
            return self;
        }
        let detail = Self::expected(self.reason, expected()).detail;
        Self { detail, ..self }
    }

    /// Refuses claims whose signature is good.
    pub fn found(reason: Reason, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::detailed(reason, &expected, Some(&found))
    }

    fn detailed(
        reason: Reason,
        expected: &dyn fmt::Display,
        found: Option<&dyn fmt::Display>,
    ) -> Self {
        let detail = Detail {
            expected: bounded(expected),
            found: found.map(bounded),
        };
        Self {
            reason,
            detail: Some(Arc::new(detail)),
            issuer: None,
            wanted: None,
        }
    }
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            detail: None,
            issuer: None,
            wanted: None,
        }
    }
}

impl Detail {
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.expected
    }

    #[must_use]
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }
}

fn bounded(value: &dyn fmt::Display) -> Box<str> {
    let mut text = Bounded(String::new());
    // Ends early once the text is full.
    let _ = fmt::write(&mut text, format_args!("{value}"));
    text.0.into()
}

/// Takes text until it is full, and escapes what is not printable.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            let before = self.0.len();
            match letter {
                '"' | '\'' | '\\' => self.0.push(letter),
                _ => self.0.extend(letter.escape_debug()),
            }
            if self.0.len() > LONGEST - '…'.len_utf8() {
                self.0.truncate(before);
                self.0.push('…');
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: &str) -> String {
        let rejection = Rejection::found(Reason::WrongAudience, "aud: api", found);
        let detail = rejection.detail.unwrap();
        assert_eq!(detail.expected(), "aud: api");
        detail.found().unwrap().to_owned()
    }

    #[test]
    fn untrusted_text_is_escaped_and_bounded() {
        assert_eq!(shown("shop-api"), "shop-api");
        assert_eq!(shown("Zoë \"x\""), "Zoë \"x\"");
        assert_eq!(shown("a\nb\u{0}\u{1b}[2J"), "a\\nb\\0\\u{1b}[2J");
        assert_eq!(shown("\u{202e}txt"), "\\u{202e}txt");
        for filler in ["x", "ü", "\u{1}", "😀"] {
            let long = shown(&filler.repeat(10_000));
            assert!(long.len() <= LONGEST && long.ends_with('…'), "{long}");
            assert!(long.len() > LONGEST - 16, "{long}");
        }
    }

    #[test]
    fn unverified_values_are_not_shown() {
        let rejection = Rejection::expected(Reason::UnknownIssuer, "iss: https://id.example.com");
        assert_eq!(rejection.detail.unwrap().found(), None);
    }
}
