//! Logins at an issuer that have begun.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::oidc::{Begun, random};
use crate::core::clock::{Clock, Moment};

/// Logins under way at once. One more ends the oldest.
const MOST: usize = 64;

/// How long a login at the issuer may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// Logins under way, by what their browser holds. A restart ends them all.
pub(in crate::admin) struct Logins {
    clock: Clock,
    begun: Mutex<HashMap<String, (Moment, Begun)>>,
}

impl Logins {
    pub(in crate::admin) fn new(clock: Clock) -> Self {
        Self {
            clock,
            begun: Mutex::default(),
        }
    }

    /// Notes a login, and returns what its browser has to hold.
    pub(super) fn add(&self, begun: Begun) -> String {
        let mut all = self.live();
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, (at, _))| *at);
            let oldest = oldest.map(|(browser, _)| browser.clone());
            oldest.and_then(|browser| all.remove(&browser));
        }
        let browser = random();
        all.insert(browser.clone(), (self.clock.moment(), begun));
        browser
    }

    /// Takes the login of a browser, which counts once.
    pub(super) fn take(&self, browser: &str, state: &str) -> Option<Begun> {
        let (_, begun) = self.live().remove(browser)?;
        (begun.state == state).then_some(begun)
    }

    /// Returns the logins whose time is not over.
    fn live(&self) -> MutexGuard<'_, HashMap<String, (Moment, Begun)>> {
        let mut all = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (at, _)| self.clock.since(*at) < PATIENCE);
        all
    }
}
