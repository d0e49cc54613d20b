//! One issuer: its keys, its algorithms and its rules. Nothing here looks at another issuer.

use std::sync::Arc;

use super::algorithm::Algorithms;
use super::config::IssuerConfig;
use super::feed::{Feed, Shared};
use super::jwks::{Candidates, KeySet, Missing};
use super::jws::{Header, Jws};
use super::key::Key;
use super::keyring::{Keyring, NoKey};
use super::metrics::Metrics;
use super::origin::{LazyClient, Origin};
use super::rules::Rules;
use super::secret_key;
use crate::clock::{Clock, UnixMillis};
use crate::lifetime::Current;
use crate::reason::Reason;

pub(super) struct Issuer {
    pub rules: Rules,
    pub feed: Option<Feed>,
    algorithms: Algorithms,
    keyring: Arc<Keyring>,
    secret: Option<Secret>,
}

/// The shared secret's key. Kept apart from the public keys, so that neither is ever used for
/// the other's algorithms.
struct Secret {
    set: KeySet,
    /// Without a configured `kid` the token's does not matter: there is one secret.
    named: bool,
}

impl Issuer {
    /// Builds from a checked configuration.
    ///
    /// # Errors
    /// The field that is wrong, and why: a secret's file or an inline set that cannot be used.
    pub(super) fn new(
        config: &IssuerConfig,
        lifetimes: Current,
        client: &LazyClient,
        shared: &Shared,
        metrics: &Metrics,
    ) -> Result<Self, (&'static str, String)> {
        let asymmetric = config.asymmetric();
        let keyring = Arc::new(Keyring::new(asymmetric));
        let secret = config.secret.as_ref();
        let secret = secret
            .map(|secret| Secret::load(config, secret))
            .transpose();
        let secret = secret.map_err(|why| ("secret", why))?;
        let feed = feed(config, &keyring, client, shared, metrics).map_err(|why| ("jwks", why))?;
        let hmac = secret.iter().flat_map(Secret::algorithms);
        Ok(Self {
            rules: Rules::new(config, lifetimes),
            feed,
            algorithms: asymmetric.iter().chain(hmac).collect(),
            keyring,
            secret,
        })
    }

    /// What the header alone can decide.
    pub(super) fn admit(&self, header: &Header<'_>) -> Result<(), Reason> {
        let allowed = self.algorithms.contains(header.algorithm);
        allowed.then_some(()).ok_or(Reason::UnsupportedAlgorithm)
    }

    /// The key that signed this token. May wait for newer keys when the token names an unknown
    /// one.
    pub(super) async fn signer(&self, jws: &Jws<'_>, clock: &Clock) -> Result<Arc<Key>, Reason> {
        let candidates = self.candidates(&jws.header, clock).await?;
        candidates
            .into_iter()
            .find(|key| key.verifies(jws.header.algorithm, jws.signed, jws.signature))
            .ok_or(Reason::BadSignature)
    }

    async fn candidates(&self, header: &Header<'_>, clock: &Clock) -> Result<Candidates, Reason> {
        if header.algorithm.is_hmac() {
            return self.secret_for(header);
        }
        let found = self.public(header, clock.now());
        let Some(feed) = &self.feed else {
            return found.map_err(reason);
        };
        match found {
            Err(NoKey::Missing(Missing::Key)) if feed.refresh.wait().await => {
                self.public(header, clock.now()).map_err(reason)
            }
            Err(NoKey::NotLoaded) => {
                feed.refresh.ask();
                Err(Reason::NotReady)
            }
            found => found.map_err(reason),
        }
    }

    fn public(&self, header: &Header<'_>, now: UnixMillis) -> Result<Candidates, NoKey> {
        let kid = header.kid.as_deref();
        self.keyring.find(kid, header.algorithm, now)
    }

    fn secret_for(&self, header: &Header<'_>) -> Result<Candidates, Reason> {
        let secret = self.secret.as_ref().ok_or(Reason::UnsupportedAlgorithm)?;
        let kid = header.kid.as_deref().filter(|_| secret.named);
        let found = secret.set.find(kid, header.algorithm);
        found.map_err(|missing| reason(NoKey::Missing(missing)))
    }
}

impl Secret {
    fn load(config: &IssuerConfig, secret: &super::SecretConfig) -> Result<Self, String> {
        Ok(Self {
            set: secret_key::load(config, secret)?,
            named: secret.kid.is_some(),
        })
    }

    fn algorithms(&self) -> impl Iterator<Item = super::Algorithm> {
        let all = super::Algorithm::ALL.into_iter();
        all.filter(|algorithm| self.set.find(None, *algorithm).is_ok())
    }
}

fn reason(no_key: NoKey) -> Reason {
    match no_key {
        NoKey::NotLoaded => Reason::NotReady,
        NoKey::Missing(Missing::Key | Missing::Ambiguous) => Reason::UnknownKey,
        NoKey::Missing(Missing::Algorithm) => Reason::UnsupportedAlgorithm,
    }
}

/// The feed that will fill the keyring. An inline set fills it right here.
fn feed(
    config: &IssuerConfig,
    keyring: &Arc<Keyring>,
    client: &LazyClient,
    shared: &Shared,
    metrics: &Metrics,
) -> Result<Option<Feed>, String> {
    let Some(jwks) = &config.jwks else {
        return Ok(None);
    };
    let of_keys = metrics.of(&config.issuer);
    if let Some(text) = jwks.inline_text() {
        let set = keyring.replace(text.as_bytes(), UnixMillis::MAX)?;
        of_keys.loaded(&set, shared.clock.now());
        return Ok(None);
    }
    let origin = Origin::new(&config.issuer, jwks, &shared.keys, client)?;
    Ok(origin.map(|origin| {
        let keyring = Arc::clone(keyring);
        Feed::new(&config.issuer, origin, keyring, of_keys, shared.clone())
    }))
}
