//! What tests and benches ask of the index.

use super::{Index, TooManyShapes};
use crate::core::clock::UnixMillis;
use crate::revocation::record::Revocation;

impl Index {
    /// Adds a record and remembers it at least until `forget_after`.
    ///
    /// # Errors
    /// When the record cannot be represented. The caller must not go on without it.
    pub fn apply(
        &self,
        record: &Revocation,
        forget_after: UnixMillis,
    ) -> Result<(), TooManyShapes> {
        self.apply_all(std::iter::once((record, forget_after)))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
