use super::{Driver, Engine};
use crate::core::horizon::Horizon;

impl<D: Driver> Engine<D> {
    /// Returns how far the log has forgotten: the horizon that it was given.
    #[must_use]
    pub fn horizon(&self) -> Horizon {
        self.status.horizon.clone()
    }
}
