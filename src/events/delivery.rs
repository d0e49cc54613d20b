//! One delivery. The body of an unverified one cannot be read.

use bytes::Bytes;
use http::HeaderMap;

use super::auth::{Admitted, Credentials, Proven, Unproven};
use super::keys::Keys;
use crate::core::clock::UnixMillis;

/// The credentials in the headers held, if any are configured, but the body may be anybody's.
#[derive(Debug)]
pub struct Unverified(());

/// Every configured proof of the sender held.
#[derive(Debug)]
pub struct Verified(Proven);

/// The raw bytes of one event and the headers that came with them.
pub struct Delivery<State> {
    headers: HeaderMap,
    body: Bytes,
    received_at: UnixMillis,
    state: State,
}

impl Delivery<Unverified> {
    #[must_use]
    pub(super) const fn new(
        _proof: Admitted,
        headers: HeaderMap,
        body: Bytes,
        received_at: UnixMillis,
    ) -> Self {
        Self {
            headers,
            body,
            received_at,
            state: Unverified(()),
        }
    }

    /// Checks what proves the body.
    ///
    /// # Errors
    /// When the proof does not hold, or cannot be checked now.
    pub(super) async fn authenticate(
        self,
        credentials: &Credentials,
        keys: &dyn Keys,
    ) -> Result<Delivery<Verified>, Unproven> {
        let (headers, body) = (&self.headers, &self.body);
        let proven = credentials.prove(headers, body, self.received_at, keys);
        let state = Verified(proven.await?);
        Ok(Delivery {
            headers: self.headers,
            body: self.body,
            received_at: self.received_at,
            state,
        })
    }
}

impl Delivery<Verified> {
    /// Takes an event that was asked for.
    ///
    /// # Errors
    /// When it is a token that does not hold, or cannot be checked now.
    pub(super) async fn asked(
        body: Bytes,
        received_at: UnixMillis,
        credentials: &Credentials,
        keys: &dyn Keys,
    ) -> Result<Self, Unproven> {
        let proven = credentials.prove_asked(&body, received_at, keys).await?;
        Ok(Self {
            headers: HeaderMap::new(),
            body,
            received_at,
            state: Verified(proven),
        })
    }

    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the payload of the JWT that proved the delivery, a JSON text; empty if none did.
    #[must_use]
    pub fn claims(&self) -> &[u8] {
        &self.state.0.claims
    }

    /// Returns the id that the proof covers, such as the `jti` of a JWT. It is the same when the
    /// sender tries again.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.state.0.id.as_deref()
    }

    #[must_use]
    pub const fn received_at(&self) -> UnixMillis {
        self.received_at
    }
}

/// Makes a delivery whose sender nobody checked, to see what it would leave behind.
pub(super) fn on_trial(
    body: Bytes,
    received_at: UnixMillis,
    claimed: Proven,
) -> Delivery<Verified> {
    Delivery {
        headers: HeaderMap::new(),
        body,
        received_at,
        state: Verified(claimed),
    }
}

/// Makes a delivery for the tests of formats, which begin where authentication ended.
#[cfg(test)]
pub(super) fn verified(
    headers: HeaderMap,
    body: Bytes,
    received_at: UnixMillis,
) -> Delivery<Verified> {
    Delivery {
        headers,
        body,
        received_at,
        state: Verified(Proven::default()),
    }
}

/// Shows neither the headers, which carry secrets, nor the body, which is about people.
impl<State> std::fmt::Debug for Delivery<State> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("bytes", &self.body.len())
            .field("received_at", &self.received_at)
            .finish_non_exhaustive()
    }
}
