//! One delivery. The body of an unverified one can be hashed and nothing else.

use std::marker::PhantomData;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::HeaderMap;

use super::keys::Keys;
use super::source::Source;
use crate::core::clock::UnixMillis;

/// Nobody knows who sent it.
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

/// Why a delivery stays unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// It is not the sender's. The sentence is for the log; the caller is not told.
    Forged(&'static str),
    /// It cannot be told now, because the issuer's keys are not at hand.
    KeysUnavailable(String),
}

impl Delivery<Unverified> {
    #[must_use]
    pub const fn new(headers: HeaderMap, body: Bytes, received_at: UnixMillis) -> Self {
        Self {
            headers,
            body,
            received_at,
            state: PhantomData,
        }
    }

    /// Checks every proof that the source asks for, over the raw bytes.
    ///
    /// # Errors
    /// The first proof that does not hold.
    pub async fn authenticate(
        self,
        source: &Source,
        keys: &dyn Keys,
    ) -> Result<Delivery<Verified>, Unproven> {
        if !source.credentials.admit(&self.headers) {
            return Err(Unproven::Forged("the credentials do not match"));
        }
        if let Some(signature) = &source.credentials.signature {
            let signed = source
                .format
                .check_signature(&self, signature, &source.issuer, keys);
            signed.await?;
        }
        Ok(Delivery {
            headers: self.headers,
            body: self.body,
            received_at: self.received_at,
            state: PhantomData,
        })
    }

    /// The value of a header that stands exactly once.
    pub(super) fn header(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then(|| value.as_bytes())
    }

    pub(super) fn sha256(&self) -> digest::Digest {
        digest::digest(&digest::SHA256, &self.body)
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

/// For the tests of formats, which begin where authentication ended.
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

/// Neither the headers, which carry secrets, nor the body, which is about people.
impl<State> std::fmt::Debug for Delivery<State> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("bytes", &self.body.len())
            .field("received_at", &self.received_at)
            .finish_non_exhaustive()
    }
}
