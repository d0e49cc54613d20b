//! The token in a request: where to look for it, and a type that never shows it.

use crate::reason::Reason;
use crate::request::Request;

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

/// Where tokens are sought.
#[derive(Clone, Debug)]
pub struct Sources;

impl Sources {
    /// Finds the token of a request.
    ///
    /// # Errors
    /// [`Reason::MissingToken`] or [`Reason::MalformedToken`].
    pub fn find<'a>(&self, _request: &Request<'a>) -> Result<Token<'a>, Reason> {
        unimplemented!()
    }
}
