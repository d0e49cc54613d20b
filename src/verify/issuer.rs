//! One entry of `issuers:`, its keys and its algorithms. Nothing here looks at another entry.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::DropGuard;

use super::algorithm::Algorithms;
use super::cache::Judges;
use super::config::IssuerConfig;
use super::feed::Feed;
use super::jwks::{Candidates, MOST_TRIED};
use super::jws::{Header, Jws};
use super::key::{Key, Terms};
use super::keyring::Keyring;
use super::origin::{LazyClient, Origin};
use super::refresh::Want;
use super::rules::Rules;
use super::secret_key::SharedSecret;
use super::shared::Shared;
use crate::core::clock::{Clock, UnixMillis};
use crate::core::reason::{Reason, Rejection};

pub(super) struct Issuer {
    /// See [`Judges`].
    pub number: u64,
    pub rules: Rules,
    source: Arc<Source>,
    leeway: Duration,
}

/// The keys of an issuer, and what keeps them fresh. Entries of successive configurations share it.
struct Source {
    algorithms: Algorithms,
    keyring: Arc<Keyring>,
    feed: Option<Arc<Feed>>,
    secret: Option<Arc<SharedSecret>>,
    /// The tasks end with the last entry.
    _tasks: Vec<DropGuard>,
}

/// What is known about the keys of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysOf {
    /// As configured.
    pub issuer: String,
    /// How many keys of the current set can be used.
    pub usable: u64,
    /// When the set was loaded from its source; `None` if it never was, or the issuer has a shared secret.
    pub loaded_at: Option<UnixMillis>,
}

/// Why a token is refused.
pub(super) enum Refusal<'i> {
    Known(Rejection),
    /// A newer key set may say otherwise.
    Doubted(Doubt<'i>),
}

impl From<Reason> for Refusal<'_> {
    fn from(reason: Reason) -> Self {
        Self::Known(reason.into())
    }
}

impl From<Rejection> for Refusal<'_> {
    fn from(rejection: Rejection) -> Self {
        Self::Known(rejection)
    }
}

/// A refusal that only a fetch can settle: the issuer may have a new key, also under an old name.
pub(super) struct Doubt<'i> {
    pub reason: Reason,
    feed: &'i Feed,
    want: Want,
    /// The latest moment at which the token can have been issued, if it is good. Unverified.
    issued_by: Option<UnixMillis>,
}

impl Doubt<'_> {
    /// Waits for a key set that was asked for after this doubt arose.
    ///
    /// # Errors
    /// [`Reason::KeysUnavailable`] and [`Reason::Overloaded`]: nothing is known about the token. The
    /// doubt's own reason for a bad signature of a token that was issued before the last key set was
    /// asked for: an issuer publishes a key before it signs with it, so that set would have it.
    pub(super) async fn settle(&self) -> Result<(), Reason> {
        let refresh = &self.feed.refresh;
        refresh.wait(self.want).await.map_err(|unknown| {
            let is_older = self.issued_by.is_some_and(|at| at < refresh.known_since());
            let is_known = is_older && self.want == Want::Signature;
            if is_known { self.reason } else { unknown }
        })
    }
}

impl Source {
    fn new(
        config: &IssuerConfig,
        client: &LazyClient,
        shared: &Shared,
    ) -> Result<Self, (&'static str, String)> {
        let asymmetric = config.asymmetric();
        let terms = Terms {
            algorithms: asymmetric,
            jwt_svid: config.jwks.as_ref().is_some_and(|jwks| jwks.jwt_svid),
        };
        let keyring = Arc::new(Keyring::new(terms, config.names()));
        let secret = config.secret.as_ref();
        let secret = secret
            .map(|secret| SharedSecret::read(secret, config.listed_hmac()).map(Arc::new))
            .transpose();
        let secret = secret.map_err(|why| ("secret", why))?;
        let feed = feed(config, &keyring, client, shared).map_err(|why| ("jwks", why))?;
        let hmac = secret.iter().flat_map(|secret| secret.algorithms.iter());
        let fetching = feed.iter().map(|feed| shared.begin(Arc::clone(feed).run()));
        let following = secret
            .iter()
            .map(|secret| shared.begin(Arc::clone(secret).follow()));
        Ok(Self {
            _tasks: fetching.chain(following).collect(),
            algorithms: asymmetric.iter().chain(hmac).collect(),
            keyring,
            feed,
            secret,
        })
    }
}

impl Issuer {
    pub(super) fn keys(&self) -> KeysOf {
        let (usable, loaded_at) = self.feed().map(Feed::state).unwrap_or_default();
        KeysOf {
            issuer: self.rules.config().shown(),
            usable,
            loaded_at,
        }
    }

    /// Builds from a checked configuration. Takes over the keys of an entry of the configuration before.
    ///
    /// # Errors
    /// The field that is wrong, and why: a secret's file or an inline set that cannot be used.
    pub(super) fn new(
        config: &IssuerConfig,
        client: &LazyClient,
        shared: &Shared,
        before: &[Arc<Self>],
    ) -> Result<Self, (&'static str, String)> {
        let same = before
            .iter()
            .find(|other| config.has_keys_of(other.rules.config()));
        Ok(Self {
            number: Judges::next(),
            rules: Rules::new(config),
            source: match same {
                Some(other) => Arc::clone(&other.source),
                None => Arc::new(Source::new(config, client, shared)?),
            },
            leeway: config.leeway.0,
        })
    }

    /// Waits until the first fetch of the keys ended.
    pub(super) async fn first_fetch(&self) {
        if let Some(feed) = &self.source.feed {
            feed.first_fetch().await;
        }
    }

    /// Returns the feed of keys that are fetched.
    pub(super) fn feed(&self) -> Option<&Feed> {
        self.source.feed.as_deref()
    }

    /// Checks what the header alone decides.
    pub(super) fn admit(&self, header: &Header<'_>) -> Result<(), Reason> {
        let allowed = self.source.algorithms.contains(header.algorithm);
        allowed.then_some(()).ok_or(Reason::UnsupportedAlgorithm)
    }

    /// Returns the key of `name`, one of the entry's issuers, that signed this token.
    pub(super) fn signer(
        &self,
        name: &str,
        jws: &Jws<'_>,
        clock: &Clock,
    ) -> Result<Arc<Key>, Refusal<'_>> {
        let candidates = self.candidates(name, jws, clock)?;
        let made_it =
            |key: &&Arc<Key>| key.verifies(jws.header.algorithm, jws.signed, jws.signature);
        if let Some(key) = candidates.iter().take(MOST_TRIED).find(made_it) {
            return Ok(Arc::clone(key));
        }
        if candidates.len() > MOST_TRIED {
            let expected = format!(
                "a kid of its own for every key: more than {MOST_TRIED} keys of the issuer fit this token"
            );
            return Err(Rejection::expected(Reason::KeysUnavailable, expected).into());
        }
        Err(self.doubt(jws, Reason::BadSignature))
    }

    fn candidates(
        &self,
        name: &str,
        jws: &Jws<'_>,
        clock: &Clock,
    ) -> Result<Candidates, Refusal<'_>> {
        let Header { algorithm, kid, .. } = &jws.header;
        let (algorithm, kid) = (*algorithm, kid.as_deref());
        if algorithm.is_hmac() {
            let secret = self
                .source
                .secret
                .as_ref()
                .ok_or(Reason::UnsupportedAlgorithm)?;
            return Ok(secret.find(kid, algorithm).map_err(Reason::from)?);
        }
        match self.source.keyring.find(name, kid, algorithm, clock.now()) {
            Some(Ok(candidates)) => Ok(candidates),
            Some(Err(missing)) => Err(self.doubt(jws, missing.into())),
            None => {
                if let Some(feed) = self.feed() {
                    feed.refresh.ask(Want::Name);
                }
                Err(Reason::NotReady.into())
            }
        }
    }

    fn doubt(&self, jws: &Jws<'_>, reason: Reason) -> Refusal<'_> {
        match self.feed() {
            Some(feed) if !jws.header.algorithm.is_hmac() => Refusal::Doubted(Doubt {
                reason,
                feed,
                want: match reason {
                    Reason::UnknownKey => Want::Name,
                    _ => Want::Signature,
                },
                issued_by: jws.issued_at().map(|at| at.plus(self.leeway)),
            }),
            _ => reason.into(),
        }
    }
}

/// Returns the feed that will fill the keyring. An inline set fills it at once.
fn feed(
    config: &IssuerConfig,
    keyring: &Arc<Keyring>,
    client: &LazyClient,
    shared: &Shared,
) -> Result<Option<Arc<Feed>>, String> {
    let Some(jwks) = &config.jwks else {
        return Ok(None);
    };
    let parts = &shared.parts;
    let of_keys = parts.metrics.of(&config.issuer);
    if let Some(text) = jwks.inline_text() {
        let set = keyring.replace(text.as_bytes(), UnixMillis::MAX)?;
        if set.len() == 0 {
            let why = set.complaint().unwrap_or_else(|| "it is empty".to_owned());
            return Err(format!("the key set has no usable key ({why})"));
        }
        of_keys.loaded(&set, parts.clock.now());
        return Ok(None);
    }
    let origin = Origin::new(&config.issuer, jwks, &parts.keys, client)?;
    Ok(origin.map(|origin| {
        let keyring = Arc::clone(keyring);
        let feed = Feed::new(&config.issuer, origin, keyring, of_keys, shared);
        Arc::new(feed)
    }))
}
