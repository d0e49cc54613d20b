//! Verification: from the text of a token to claims that may be trusted.
//!
//! Read a strict JWS → choose the issuer by `iss` → let its header pass → find the key by `kid`
//! inside that issuer only → check the signature → judge the claims → remember the result.

mod algorithm;
mod cache;
mod certificate;
pub mod claims;
mod config;
mod discover;
mod feed;
mod fetch;
mod fingerprint;
mod fixed;
#[doc(hidden)]
pub mod fuzzing;
mod issuer;
mod jwk;
mod jwks;
mod jws;
mod kept;
mod key;
mod key_config;
mod keyring;
mod memo;
mod metrics;
mod origin;
mod profile;
mod public;
mod refresh;
mod rules;
mod secret_key;
mod session;
mod shared;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verified;
mod verifying_key;
mod window;

pub(crate) use algorithm::Algorithm;
pub use claims::Claims;
pub(crate) use config::{CacheConfig, IssuerConfig, check_issuers};
pub(crate) use discover::discover;
pub(crate) use fixed::FixedKeys;
pub use issuer::KeysOf;
pub(crate) use key_config::KeysConfig;
pub(crate) use memo::{Keepsake, Memo};
pub use metrics::Metrics;
pub(crate) use profile::Profile;
pub(crate) use session::SessionConfig;
pub use shared::{Parts, Shared};
pub(crate) use verified::Verified;

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;

use crate::core::clock::{Clock, UnixMillis};
use crate::core::config_error::ConfigErrors;
use crate::core::issuer::ByIssuer;
use crate::core::lifetime::Current;
use crate::core::reason::{Reason, Rejection};
use crate::core::token::Token;
use cache::Judges;
use claims::{Payload, json};
use fingerprint::Fingerprint;
use issuer::{Issuer, Refusal};
use jws::Jws;
use origin::LazyClient;

/// Verifies tokens of every configured issuer.
pub struct Verifier {
    issuers: ByIssuer<Known>,
    /// The entries of the configuration, each with keys of its own.
    entries: Vec<Arc<Issuer>>,
    judges: Judges,
    /// The refusal of a token of another issuer.
    no_issuer: Rejection,
    shared: Arc<Shared>,
}

/// An issuer, or those of any tenant, and the entry that says how their tokens are judged.
struct Known {
    /// `None` for any tenant.
    name: Option<Arc<str>>,
    entry: Arc<Issuer>,
    lifetimes: Current,
}

impl Verifier {
    /// Builds from a checked configuration. Blocks on the disk: reads secrets and restores stored
    /// keys. At the start of the process readiness waits for keys that are still missing;
    /// [`Shared::run`] fetches them.
    ///
    /// `shared` has the history of each of [`IssuerConfig::names`].
    ///
    /// # Errors
    /// Every issuer whose secret or inline keys cannot be used.
    pub fn new(issuers: &[IssuerConfig], shared: &Arc<Shared>) -> Result<Self, ConfigErrors> {
        Self::build(issuers, &shared.parts.lifetimes, shared, &[], false)
    }

    /// Builds the successor. It takes over the keys that did not change. The tokens that were verified
    /// by entries that did not change stay verified if `keep_tokens` says so; a door may have kept
    /// answers beside them. `lifetimes` has the history of each of [`IssuerConfig::names`].
    ///
    /// # Errors
    /// See [`Verifier::new`].
    pub fn succeed(
        &self,
        issuers: &[IssuerConfig],
        lifetimes: &HashMap<String, Current>,
        keep_tokens: bool,
    ) -> Result<Self, ConfigErrors> {
        Self::build(issuers, lifetimes, &self.shared, &self.entries, keep_tokens)
    }

    fn build(
        issuers: &[IssuerConfig],
        lifetimes: &HashMap<String, Current>,
        shared: &Arc<Shared>,
        before: &[Arc<Issuer>],
        keep_tokens: bool,
    ) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let (mut built, mut entries) = (ByIssuer::default(), Vec::new());
        let client = LazyClient::new(crate::net::Clients::new);
        errors.each("issuers", issuers, |errors, config| {
            let mut unchanged = before.iter().filter(|_| keep_tokens);
            let unchanged = unchanged.find(|entry| entry.rules.config() == config);
            let entry = match unchanged.map(Arc::clone) {
                Some(entry) => Ok(entry),
                None => Issuer::new(config, &client, shared, before).map(Arc::new),
            };
            let entry = match entry {
                Ok(entry) => entry,
                Err((field, why)) => return errors.push(field, why),
            };
            for name in config.names() {
                let Some(lifetimes) = lifetimes.get(&name).cloned() else {
                    return errors.push("issuer", format!("{name:?} has no history"));
                };
                let known = Known {
                    name: (!config.accepts_any_tenant()).then(|| name.as_str().into()),
                    entry: Arc::clone(&entry),
                    lifetimes,
                };
                built.insert(&name, known);
            }
            entries.push(entry);
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let names: Vec<String> = issuers.iter().map(IssuerConfig::shown).collect();
        let expected = format!("iss: {}", names.join(" or "));
        Ok(Self {
            issuers: built,
            judges: Judges::new(entries.iter().map(|entry| entry.number)),
            entries,
            no_issuer: Rejection::expected(Reason::UnknownIssuer, expected),
            shared: Arc::clone(shared),
        })
    }

    /// Waits until the first fetch of each issuer's keys ended, well or badly.
    pub async fn first_fetches(&self) {
        join_all(self.entries.iter().map(|entry| entry.first_fetch())).await;
    }

    /// Verifies a token, or returns what the cache has of it. Waits only if no known key signed the
    /// token, and then for newer keys.
    ///
    /// # Errors
    /// The first check that failed.
    pub async fn verify(&self, token: Token<'_>) -> Result<Arc<Verified>, Rejection> {
        let Parts {
            clock,
            horizon,
            metrics,
            ..
        } = &self.shared.parts;
        let tokens = &self.shared.tokens;
        let fingerprint = Fingerprint::of(token);
        let found = tokens.find(&fingerprint, &self.judges, clock.now(), horizon.get());
        if let Some(found) = found.filter(|found| !self.is_doubtful(found)) {
            metrics.hits.inc();
            return found;
        }
        metrics.misses.inc();
        let examined = self.examine(token).await.map(|mut verified| {
            verified.memo = tokens.memo(fingerprint);
            Arc::new(verified)
        });
        tokens.insert(fingerprint, &self.judges, &examined);
        examined
    }

    /// Verifies a compact JWS other than a client's token, such as the signature of an event, with
    /// the keys of `issuer`, and returns its payload. Checks no claims. The issuer's `algorithms`
    /// restrict it too.
    ///
    /// # Errors
    /// [`Reason::NotReady`], [`Reason::KeysUnavailable`] or [`Reason::Overloaded`] if it cannot be
    /// told; any other reason means that the signature is bad.
    pub async fn open(
        &self,
        issuer: &str,
        compact: &str,
        allowed: &[Algorithm],
    ) -> Result<Vec<u8>, Reason> {
        settled(|| {
            let mut space = Vec::new();
            let jws = Jws::parse(compact, &mut space)?;
            if !allowed.contains(&jws.header.algorithm) {
                return Err(Reason::UnsupportedAlgorithm.into());
            }
            let known = self.issuers.get(issuer).ok_or(Reason::UnknownIssuer)?;
            known.entry.signer(issuer, &jws, &self.shared.parts.clock)?;
            Ok(jws.payload_bytes.to_vec())
        })
        .await
        .map_err(|rejection| rejection.reason)
    }

    async fn examine(&self, token: Token<'_>) -> Result<Verified, Rejection> {
        let Parts { clock, horizon, .. } = &self.shared.parts;
        settled(|| {
            let mut space = Vec::new();
            let jws = Jws::parse(token.expose(), &mut space)?;
            let name = jws.issuer();
            let known = name.and_then(|name| Some((name, self.issuers.get(name)?)));
            let (name, known) = known.ok_or_else(|| self.no_issuer.clone())?;
            let Known { entry, .. } = known;
            entry.admit(&jws.header)?;
            let key = entry.signer(name, &jws, clock)?;
            let now = clock.now();
            let name = known.name.clone().unwrap_or_else(|| name.into());
            let lifetimes = known.lifetimes.load();
            let typ = jws.header.typ.as_deref();
            let judged = |now| {
                let name = name.clone();
                let rules = &entry.rules;
                let (claims, window) = rules.judge(name, &lifetimes, typ, &jws.payload, now)?;
                window.admits(now, horizon.get())?;
                Ok((claims, window))
            };
            let (mut claims, window) =
                judged(now).map_err(|why| self.without_jump(why, judged).by(&name))?;
            if claims.token_id.is_none() {
                let digest = URL_SAFE_NO_PAD.encode(digest::digest(&SHA256, jws.signed));
                claims.all = Payload::with(&jws.payload, Some((claims::SIGNED_PART, &digest)));
            }
            if let Some(issued_at) = claims.issued_at {
                clock.heard_of_issue(UnixMillis::from_seconds(issued_at));
            }
            Ok(Verified {
                claims,
                memo: Memo::default(),
                session: entry.rules.config().session,
                judged_by: entry.number,
                key,
                window,
            })
        })
        .await
    }

    /// Visits the claims of the good tokens in the cache, and returns whether it has room for more. Takes
    /// time in proportion to the cache.
    pub fn each_known(&self, visit: impl FnMut(&Claims)) -> bool {
        let Parts { clock, horizon, .. } = &self.shared.parts;
        let tokens = &self.shared.tokens;
        tokens.each_good(&self.judges, clock.now(), horizon.get(), visit)
    }

    /// Returns whether `claim` may name the client of the issuer's tokens, or their audience.
    #[must_use]
    pub fn names_client(&self, issuer: &str, claim: &str) -> bool {
        let known = self.issuers.get(issuer);
        let names = known.is_some_and(|known| known.entry.rules.names_client(claim));
        names || claim == "aud"
    }

    /// Returns whether a cached refusal may be the fault of a jump of the clock.
    fn is_doubtful(&self, found: &Result<Arc<Verified>, Rejection>) -> bool {
        let is_by_time = matches!(found, Err(refused) if is_by_time(refused.reason));
        is_by_time && self.shared.parts.clock.without_jump().is_some()
    }

    /// Returns why a token is refused that `refused` says is refused now. After a jump of the clock it is
    /// judged again at the time without the jump. If the times of the token are good then, the clocks
    /// are to blame.
    fn without_jump<T>(
        &self,
        refused: Rejection,
        judged: impl Fn(UnixMillis) -> Result<T, Rejection>,
    ) -> Rejection {
        if !is_by_time(refused.reason) {
            return refused;
        }
        let Some(then) = self.shared.parts.clock.without_jump() else {
            return refused;
        };
        match judged(then) {
            Err(again) if again.reason == refused.reason || !is_by_time(again.reason) => again,
            _ => Rejection::without_jump(),
        }
    }

    /// Returns the clock that tokens are judged by.
    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.parts.clock
    }

    /// Returns what is known about the keys of each entry of the configuration.
    #[must_use]
    pub fn keys(&self) -> Vec<KeysOf> {
        self.entries.iter().map(|entry| entry.keys()).collect()
    }

    /// Asks for an issuer's keys to be fetched soon, because an event said that they changed. There
    /// is at most one such fetch per cooldown; an earlier request is delayed, not dropped.
    pub fn refetch(&self, issuer: &str) {
        let known = self.issuers.get(issuer);
        if let Some(feed) = known.and_then(|known| known.entry.feed()) {
            feed.refresh.hint();
        }
    }
}

/// Returns whether a refusal may depend on the present time.
const fn is_by_time(reason: Reason) -> bool {
    use Reason::{Expired, LifetimeExceeded, NotYetValid};
    matches!(reason, Expired | LifetimeExceeded | NotYetValid)
}

/// Makes an attempt, and a second one if newer keys could change the outcome and have arrived.
/// Nothing of the first is held while waiting: a parsed token takes many times its length.
async fn settled<'i, T>(attempt: impl Fn() -> Result<T, Refusal<'i>>) -> Result<T, Rejection> {
    match attempt() {
        Ok(done) => return Ok(done),
        Err(Refusal::Known(rejection)) => return Err(rejection),
        Err(Refusal::Doubted(doubt)) => doubt.settle().await?,
    }
    attempt().map_err(|refusal| match refusal {
        Refusal::Known(rejection) => rejection,
        Refusal::Doubted(doubt) => doubt.reason.into(),
    })
}

/// Shows the issuers only: the rest are keys and tokens.
impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("issuers", &self.no_issuer.detail)
            .finish_non_exhaustive()
    }
}
