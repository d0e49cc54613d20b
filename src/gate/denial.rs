//! Denials by a door, when the check itself failed. Denying is always safe, so every module may.

use super::{DecisionId, Denial};
use crate::core::reason::Reason;

impl Denial {
    /// Returns a denial with an id of its own.
    #[must_use]
    pub fn because(reason: Reason) -> Self {
        Self {
            id: DecisionId::next(),
            reason,
            detail: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_denials_have_two_ids() {
        let (one, other) = (
            Denial::because(Reason::Stale),
            Denial::because(Reason::Stale),
        );
        assert_ne!(one.id, other.id);
    }
}
