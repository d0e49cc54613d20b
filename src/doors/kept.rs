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
    /// One for each audience. Replaced as a whole, because assertions get old before the token does.
    asserted: ArcSwapOption<Vec<Asserted>>,
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
            asserted: ArcSwapOption::from_pointee(asserted.map(|one| vec![one])),
        }
    }

    /// Returns the assertion that fits.
    pub(super) fn asserted(&self, fits: impl Fn(&Asserted) -> bool) -> Option<Asserted> {
        let held = self.asserted.load();
        held.as_ref()?.iter().find(|held| fits(held)).cloned()
    }

    /// Keeps an assertion in place of the one before. Returns whether that takes more memory.
    pub(super) fn keep(&self, asserted: &Asserted) -> bool {
        let before = self.asserted.rcu(|held| {
            let held = held.iter().flat_map(|held| held.iter());
            let others = held.filter(|held| held.route != asserted.route);
            Some(Arc::new(
                others.chain([asserted]).cloned().collect::<Vec<_>>(),
            ))
        });
        let mut held = before.iter().flat_map(|held| held.iter());
        !held.any(|held| held.route == asserted.route)
    }
}

impl Keepsake for Kept {
    fn footprint(&self) -> usize {
        let asserted = self.asserted.load();
        let asserted = asserted.iter().flat_map(|held| held.iter());
        let asserted: usize = asserted.map(Asserted::footprint).sum();
        size_of::<Self>() + self.permit.get().map_or(0, Template::footprint) + asserted
    }
}
