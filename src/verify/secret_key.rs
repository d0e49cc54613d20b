//! The keys of an issuer that signs with shared secrets.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::algorithm::{Algorithm, Algorithms};
use super::config::SecretConfig;
use super::jwks::{Candidates, KeySet, Missing};
use super::key::Key;
use crate::core::secret::{Live, Secret, Sources};

/// How often secret files are looked at while only tokens from the cache arrive.
const POLL: Duration = Duration::from_secs(1);

/// The secrets in use and their keys. Kept apart from the public keys, so that neither is ever used
/// for the other's algorithms.
pub(super) struct SharedSecret {
    secrets: Live,
    keys: Mutex<KeySet>,
    /// Without a configured `kid` the token's does not matter.
    kid: Option<String>,
    /// Those that are listed, or all of HMAC. Each secret serves those that it is long enough for.
    pub algorithms: Algorithms,
}

impl SharedSecret {
    /// Reads the secrets. `listed` are the issuer's HMAC algorithms, if it lists any.
    ///
    /// # Errors
    /// When one cannot be read or is too short, for people.
    pub(super) fn read(config: &SecretConfig, listed: Option<Algorithms>) -> Result<Self, String> {
        let sources = Sources::of("value", config.value.as_ref(), config.value_file.as_ref())?;
        let check = Box::new(move |secret: &_| check_length(listed, secret));
        Ok(Self {
            secrets: Live::read(sources, config.encoding, check)?,
            keys: Mutex::default(),
            kid: config.kid.clone(),
            algorithms: listed.unwrap_or_else(Algorithms::hmac),
        })
    }

    /// Returns the keys that may have signed a token with this header. Reads files that changed.
    pub(super) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Candidates, Missing> {
        let kid = kid.filter(|_| self.kid.is_some());
        let found = self.with_keys(|keys| keys.find("", kid, algorithm));
        // Without a name only the algorithm can be missing: there is always a secret.
        found.map_err(|missing| kid.map_or(Missing::Algorithm, |_| missing))
    }

    /// Retires the keys of replaced secrets, for ever.
    pub(super) async fn follow(self: Arc<Self>) -> Infallible {
        loop {
            self.with_keys(|_| ());
            sleep(POLL).await;
        }
    }

    /// Brings the keys up to date, so that those of replaced secrets are retired, and passes them on.
    fn with_keys<T>(&self, then: impl FnOnce(&KeySet) -> T) -> T {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = self.secrets.now();
        let key = |secret: &Secret| {
            let length = secret.expose().len();
            let fits = |one: &Algorithm| length >= one.shortest_secret();
            let served = self.algorithms.iter().filter(fits).collect();
            Key::from_secret(secret, self.kid.as_deref(), served)
        };
        let mut current: KeySet = secrets.iter().map(key).collect();
        let retire = current.succeed(&keys);
        *keys = current;
        retire.now();
        then(&keys)
    }
}

/// Checks that a decoded secret is long enough for every listed algorithm, or without a list for any.
///
/// # Errors
/// When it is too short, for people.
pub(super) fn check_length(listed: Option<Algorithms>, secret: &Secret) -> Result<(), String> {
    let length = secret.expose().len();
    let needed = listed.unwrap_or_else(|| [Algorithm::HS256].into_iter().collect());
    let too_short = needed.iter().find(|one| length < one.shortest_secret());
    too_short.map_or(Ok(()), |algorithm| {
        let least = algorithm.shortest_secret();
        Err(format!(
            "{algorithm:?} needs a secret of at least {least} bytes; this one has {length}"
        ))
    })
}
