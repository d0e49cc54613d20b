//! One delivery. The body of an unverified one cannot be read.

use std::marker::PhantomData;

use bytes::Bytes;
use http::HeaderMap;

use super::auth::{Admitted, BodyHash, Credentials, Unproven};
use super::keys::Keys;
use crate::core::clock::UnixMillis;

/// The credentials in the headers held, but the body may be anybody's.
#[derive(Debug)]
pub struct Unverified(());

/// Every configured proof of the sender held.
#[derive(Debug)]
pub struct Verified(());

/// The raw bytes of one event and the headers that came with them.
pub struct Delivery<State> {
    headers: HeaderMap,
    body: Bytes,
    received_at: UnixMillis,
    state: PhantomData<State>,
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
            state: PhantomData,
        }
    }

    /// Checks the signature over the raw bytes, if the source asks for one.
    ///
    /// # Errors
    /// When the signature does not hold, or cannot be checked now.
    pub(super) async fn authenticate(
        self,
        credentials: &Credentials,
        signature: BodyHash,
        issuer: &str,
        keys: &dyn Keys,
    ) -> Result<Delivery<Verified>, Unproven> {
        let (headers, body) = (&self.headers, &self.body);
        let checked = credentials.check_signature(signature, headers, body, issuer, keys);
        checked.await?;
        Ok(Delivery {
            headers: self.headers,
            body: self.body,
            received_at: self.received_at,
            state: PhantomData,
        })
    }
}

impl Delivery<Verified> {
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    #[must_use]
    pub const fn received_at(&self) -> UnixMillis {
        self.received_at
    }
}

/// Makes a delivery for the tests of formats, which begin where authentication ended.
#[cfg(test)]
pub(super) const fn verified(
    headers: HeaderMap,
    body: Bytes,
    received_at: UnixMillis,
) -> Delivery<Verified> {
    Delivery {
        headers,
        body,
        received_at,
        state: PhantomData,
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
