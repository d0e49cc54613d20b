//! The key of an issuer that signs with a shared secret.

use super::algorithm::{Algorithm, Algorithms};
use super::config::{IssuerConfig, SecretConfig};
use super::jwks::KeySet;
use super::key::Key;
use crate::core::secret::Secret;

/// The HMAC algorithms that a decoded secret serves: those that are listed, or without a list those
/// whose hash it is long enough for.
///
/// # Errors
/// When it is too short, for people.
pub(super) fn algorithms(issuer: &IssuerConfig, secret: &Secret) -> Result<Algorithms, String> {
    let length = secret.expose().len();
    let fits = |algorithm: &Algorithm| length >= algorithm.shortest_secret();
    let hmac = |algorithm: &Algorithm| algorithm.is_hmac();
    let Some(listed) = &issuer.algorithms else {
        let all = Algorithm::ALL.into_iter().filter(hmac).filter(fits);
        let served: Algorithms = all.collect();
        return match served.iter().next() {
            Some(_) => Ok(served),
            None => Err(too_short(Algorithm::HS256, length)),
        };
    };
    let listed = listed.iter().copied().filter(hmac);
    match listed.clone().find(|algorithm| !fits(algorithm)) {
        Some(algorithm) => Err(too_short(algorithm, length)),
        None => Ok(listed.collect()),
    }
}

fn too_short(algorithm: Algorithm, length: usize) -> String {
    let least = algorithm.shortest_secret();
    format!("{algorithm:?} needs a secret of at least {least} bytes; this one has {length}")
}

/// Reads the secret and makes its key.
///
/// # Errors
/// When the file cannot be read or the secret is too short, for people.
pub(super) fn load(issuer: &IssuerConfig, config: &SecretConfig) -> Result<KeySet, String> {
    let written = match (&config.value, &config.value_file) {
        (Some(value), _) => value.read()?,
        (None, Some(path)) => Secret::from_file(path)?,
        (None, None) => return Err("value or value_file is missing".to_owned()),
    };
    let secret = config.encoding.decode(written)?;
    let algorithms = algorithms(issuer, &secret)?;
    Ok(KeySet::of(Key::from_secret(
        &secret,
        config.kid.as_deref(),
        algorithms,
    )))
}
