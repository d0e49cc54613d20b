//! What the doors keep beside a verified token.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use super::asserted::Asserted;
use super::template::Template;
use crate::verify::Keepsake;

/// The answers of one configuration to one token.
#[derive(Debug)]
pub(super) struct Kept {
    /// The number of that configuration's [`Answers`](super::Answers).
    pub(super) answers: u64,
    pub(super) permit: OnceLock<Template>,
    /// Replaced as a whole, because assertions get old before the token does.
    asserted: ArcSwapOption<Asserted>,
}

impl Kept {
    pub(super) fn new(
        answers: u64,
        permit: OnceLock<Template>,
        asserted: Option<Asserted>,
    ) -> Self {
        Self {
            answers,
            permit,
            asserted: ArcSwapOption::from_pointee(asserted),
        }
    }

    /// Returns the assertion, if it is fresh.
    pub(super) fn asserted(&self, is_fresh: impl Fn(&Asserted) -> bool) -> Option<Asserted> {
        let held = self.asserted.load();
        held.as_deref().filter(|held| is_fresh(held)).cloned()
    }

    /// Keeps an assertion in place of the one before. Returns whether that takes more memory.
    pub(super) fn keep(&self, asserted: Asserted) -> bool {
        self.asserted.swap(Some(Arc::new(asserted))).is_none()
    }
}

impl Keepsake for Kept {
    fn footprint(&self) -> usize {
        let asserted = self.asserted.load();
        let asserted = asserted.as_ref().map_or(0, |asserted| asserted.footprint());
        size_of::<Self>() + self.permit.get().map_or(0, Template::footprint) + asserted
    }
}
