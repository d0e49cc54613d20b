//! Which revocation refuses a token. The index has neither its id nor its values; a search of the log
//! finds both.

use std::sync::Arc;

use super::shapes::Shape;
use super::slot::Slot;
use crate::core::clock::UnixMillis;
use crate::revocation::record::{Action, Revocation};
use crate::verify::claims::ClaimPath;

/// A revocation that refuses a token, as the index has it.
#[derive(Clone, Debug)]
pub struct Match {
    /// `None` if the token has too many combinations of values to look up.
    slot: Option<Slot>,
    shape: Arc<Shape>,
}

/// Networks are revoked, and the address of the request is not known.
#[derive(Debug)]
pub struct UnknownAddress;

/// What the index can tell about a revocation that refuses a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    pub source: Arc<str>,
    pub cause: Arc<str>,
    /// By the sender's clock.
    pub occurred_at: UnixMillis,
    /// The names of the claims that it matches; empty for every token of the issuer.
    pub claims: Vec<String>,
}

impl Match {
    pub(super) fn new(slot: Option<Slot>, shape: &Arc<Shape>) -> Self {
        let shape = Arc::clone(shape);
        Self { slot, shape }
    }

    /// Returns what is known. `names` has the source and the cause of each number. `None` if the token has too
    /// many combinations of values, or the causes are not told apart any more.
    pub(super) fn describe(&self, names: &[(Arc<str>, Arc<str>)]) -> Option<Matched> {
        let slot = self.slot?;
        let (source, cause) = names.get(usize::from(slot.cause_number()))?;
        Some(Matched {
            source: Arc::clone(source),
            cause: Arc::clone(cause),
            occurred_at: slot.occurred_at(),
            claims: self.shape.names().map(ToOwned::to_owned).collect(),
        })
    }

    /// Returns whether `record` is the revocation.
    #[must_use]
    pub fn is_by(&self, record: &Revocation) -> bool {
        let names = record.target.matches.keys().map(String::as_str);
        let Some(slot) = self.slot else { return false };
        record.action == Action::Revoke
            && record.occurred_at == slot.occurred_at()
            && self.shape.is_of(&record.target.issuer, names)
            && self.shape.key_of(record.target.matches.values()) == slot.key
    }
}

impl Shape {
    fn is_of<'a>(&self, issuer: &str, names: impl Iterator<Item = &'a str>) -> bool {
        *self.issuer == *issuer && self.names().eq(names)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.claims.iter().map(ClaimPath::as_str)
    }
}
