//! Finds the token of a request, and holds it in a type that never prints it.

mod carry;
mod config;
mod location;
mod sources;
#[cfg(test)]
mod tests;

pub use carry::{Carriers, Stripped};
pub use config::{Config, LONGEST, Several, Source};
pub use sources::{Located, Sources};

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
