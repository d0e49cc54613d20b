//! The outcome of a good verification.

use std::sync::Arc;

use super::claims::Claims;
use super::key::Key;
use super::memo::Memo;
use super::session::SessionConfig;
use super::window::Window;
use crate::core::clock::UnixMillis;

/// Verified claims. Only this module can make them.
#[derive(Debug)]
pub struct Verified {
    pub claims: Claims,
    /// A door's encoded answer to this token.
    pub memo: Memo,
    /// How long its session lasts, if that is limited.
    pub session: Option<SessionConfig>,
    /// The number of the entry of `issuers` that judged the claims.
    pub(super) judged_by: u64,
    pub(super) key: Arc<Key>,
    pub(super) window: Window,
}

impl Verified {
    /// Returns when the token ends, leeway included.
    #[must_use]
    pub const fn ends_at(&self) -> UnixMillis {
        self.window.until
    }
}

#[cfg(test)]
impl Verified {
    /// Pretends that claims were verified, for tests of what comes after verification.
    pub(crate) fn assumed(claims: Claims) -> Self {
        let nothing = crate::core::secret::Secret::new("");
        let key = Key::from_secret(&nothing, None, std::iter::empty().collect());
        Self {
            claims,
            memo: Memo::default(),
            session: None,
            judged_by: 0,
            key: Arc::new(key),
            window: Window {
                from: UnixMillis(0),
                issued: UnixMillis(0),
                until: UnixMillis::MAX,
            },
        }
    }
}
