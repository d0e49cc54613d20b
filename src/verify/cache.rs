//! The cache of verified and refused tokens. A hit is never final: a cached token is checked again
//! against the clock, the horizon and the state of the key that verified it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;

use super::claims::Claims;
use super::config::CacheConfig;
use super::fingerprint::Fingerprint;
use super::memo::{Memo, Weigh};
use super::verified::Verified;
use crate::core::clock::{Clock, UnixMillis};
use crate::core::reason::{Reason, Rejection};

/// The tokens seen before, by fingerprint. Verified tokens are bounded by bytes; a full cache costs
/// signature checks and nothing else. Refused tokens are kept apart, so that they cannot evict verified
/// ones.
pub(super) struct KnownTokens(Option<Arc<Caches>>);

struct Caches {
    good: Cache<Fingerprint, Arc<Verified>>,
    /// Each with the verifier that refused it.
    refused: Cache<Fingerprint, (u64, Rejection)>,
    /// When the last entry of `refused` ends, in milliseconds. Afterwards new tokens are not looked up
    /// there.
    refusing_until: AtomicU64,
    clock: Clock,
}

/// Who judged tokens under one configuration. Numbers are never used twice.
#[derive(Default)]
pub(super) struct Judges {
    verifier: u64,
    /// Those of the entries of `issuers`, in ascending order.
    entries: Box<[u64]>,
}

impl Judges {
    pub(super) fn new(entries: impl Iterator<Item = u64>) -> Self {
        let mut entries: Box<[u64]> = entries.collect();
        entries.sort_unstable();
        Self {
            verifier: Self::next(),
            entries,
        }
    }

    /// Returns a number that nobody has yet; never 0.
    pub(super) fn next() -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        LAST.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn include(&self, entry: u64) -> bool {
        self.entries.binary_search(&entry).is_ok()
    }
}

/// How long a refusal is remembered. Clients that ignore a refusal repeat it at once, so this saves most of
/// their signature checks. It is also how long a good token stays refused after its key replaced another one
/// of the same `kid`.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// The most refused tokens, some megabytes.
const REFUSED_TOKENS: u64 = 10_000;

impl KnownTokens {
    pub(super) fn new(config: &CacheConfig, clock: Clock) -> Self {
        if config.max_size.is_empty() {
            return Self(None);
        }
        let good = Cache::<Fingerprint, Arc<Verified>>::builder()
            .max_capacity(config.max_size.0)
            .weigher(|_, verified| u32::try_from(weight(verified)).unwrap_or(u32::MAX))
            .expire_after(AtTheEnd(clock.clone()))
            .build();
        let refused = Cache::builder()
            .max_capacity(REFUSED_TOKENS)
            .time_to_live(REFUSED_FOR)
            .build();
        Self(Some(Arc::new(Caches {
            good,
            refused,
            refusing_until: AtomicU64::new(0),
            clock,
        })))
    }

    /// Returns a memo for a token that will be inserted.
    pub(super) fn memo(&self, token: Fingerprint) -> Memo {
        self.0.as_ref().map_or_else(Memo::default, |caches| {
            let caches: Weak<dyn Weigh> = Arc::<Caches>::downgrade(caches);
            Memo::at(caches, token)
        })
    }

    /// Returns a token that was verified before and is still good, or the reason why it is refused now.
    /// `None` when it has to be verified, perhaps again: other configurations than that of `judges` say
    /// nothing about it.
    pub(super) fn find(
        &self,
        token: &Fingerprint,
        judges: &Judges,
        now: UnixMillis,
        horizon: UnixMillis,
    ) -> Option<Result<Arc<Verified>, Rejection>> {
        let caches = self.0.as_ref()?;
        let Some(verified) = caches.good.get(token) else {
            return caches.find_refused(token, judges, now).map(Err);
        };
        if !judges.include(verified.judged_by) {
            return caches.find_refused(token, judges, now).map(Err);
        }
        if !verified.key.is_good(now) {
            caches.good.invalidate(token);
            return None;
        }
        Some(match verified.window.admits(now, horizon) {
            Ok(()) => Ok(verified),
            Err(why) => Err(why.by(&verified.claims.issuer)),
        })
    }

    /// Visits the tokens that are good at `now`, and returns whether the cache has room for more. Takes
    /// time in proportion to the cache.
    pub(super) fn each_good(
        &self,
        judges: &Judges,
        now: UnixMillis,
        horizon: UnixMillis,
        mut visit: impl FnMut(&Claims),
    ) -> bool {
        let Some(caches) = &self.0 else { return false };
        for (_, verified) in &caches.good {
            let is_good = judges.include(verified.judged_by)
                && verified.key.is_good(now)
                && verified.window.admits(now, horizon).is_ok();
            if is_good {
                visit(&verified.claims);
            }
        }
        let most = caches.good.policy().max_capacity().unwrap_or_default();
        caches.good.weighted_size() < most / 10 * 9
    }

    pub(super) fn insert(
        &self,
        token: Fingerprint,
        judges: &Judges,
        examined: &Result<Arc<Verified>, Rejection>,
    ) {
        let Some(caches) = &self.0 else {
            return;
        };
        match examined {
            Ok(verified) => caches.good.insert(token, Arc::clone(verified)),
            Err(rejection) if is_lasting(rejection.reason) => {
                caches.insert_refused(token, (judges.verifier, rejection.clone()));
            }
            Err(_) => {}
        }
    }
}

impl Weigh for Caches {
    fn weigh_again(&self, token: Fingerprint) {
        if let Some(verified) = self.good.get(&token) {
            self.good.insert(token, verified);
        }
    }
}

impl Caches {
    fn find_refused(
        &self,
        token: &Fingerprint,
        judges: &Judges,
        now: UnixMillis,
    ) -> Option<Rejection> {
        let until = UnixMillis(self.refusing_until.load(Ordering::Relaxed));
        let (verifier, rejection) = (now <= until).then(|| self.refused.get(token))??;
        (verifier == judges.verifier).then_some(rejection)
    }

    fn insert_refused(&self, token: Fingerprint, refused: (u64, Rejection)) {
        self.refused.insert(token, refused);
        let until = self.clock.now().plus(REFUSED_FOR);
        self.refusing_until.fetch_max(until.0, Ordering::Relaxed);
    }
}

/// Returns whether a refusal cost a signature check and does not depend on the time.
const fn is_lasting(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BadSignature
            | Reason::Expired
            | Reason::WrongAudience
            | Reason::WrongType
            | Reason::LifetimeExceeded
            | Reason::MissingClaim
            | Reason::BoundToken
            | Reason::Forbidden
    )
}

/// Frees the memory of a token that has expired. [`KnownTokens::find`] decides whether it has.
struct AtTheEnd(Clock);

impl Expiry<Fingerprint, Arc<Verified>> for AtTheEnd {
    fn expire_after_create(
        &self,
        _token: &Fingerprint,
        verified: &Arc<Verified>,
        _created_at: Instant,
    ) -> Option<Duration> {
        Some(verified.window.until.since(self.0.now()))
    }

    fn expire_after_update(
        &self,
        token: &Fingerprint,
        verified: &Arc<Verified>,
        updated_at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(token, verified, updated_at)
    }
}

/// The bytes of an entry besides its claims and its answer: the cache's bookkeeping, and what the allocator
/// adds to five blocks.
const PER_ENTRY: usize = 576;

/// Returns about how many bytes an entry takes.
fn weight(verified: &Verified) -> usize {
    let held = verified.claims.footprint() + verified.memo.footprint();
    PER_ENTRY + size_of::<Verified>() + held
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::token::Token;
    use crate::core::units::Bytes;

    fn verified(filler: usize) -> Arc<Verified> {
        let payload = json!({ "filler": "x".repeat(filler) });
        Arc::new(Verified::assumed(Claims::with_payload(&payload)))
    }

    fn fingerprint(text: &str) -> Fingerprint {
        Fingerprint::of(Token::new(text))
    }

    fn find(cache: &KnownTokens, text: &str) -> Option<Result<Arc<Verified>, Rejection>> {
        let now = UnixMillis(1);
        cache.find(&fingerprint(text), &judges(), now, now)
    }

    /// Those of [`Verified::assumed`].
    fn judges() -> Judges {
        Judges {
            entries: [0].into(),
            ..Judges::default()
        }
    }

    #[test]
    fn the_cache_stays_within_its_bytes() {
        let max_size = Bytes::kib(256);
        let cache = KnownTokens::new(&CacheConfig { max_size }, Clock::system());
        for i in 0..1000 {
            cache.insert(
                fingerprint(&format!("token-{i}")),
                &judges(),
                &Ok(verified(4096)),
            );
        }
        let held = &cache.0.as_ref().unwrap().good;
        held.run_pending_tasks();
        assert!(held.weighted_size() <= max_size.0);
        assert!(held.entry_count() * 4096 <= max_size.0);
        assert!(held.entry_count() > 0);
    }

    /// Every token comes back, and then the door keeps its answer.
    #[test]
    fn the_answers_count_too() {
        let max_size = Bytes::kib(256);
        let cache = KnownTokens::new(&CacheConfig { max_size }, Clock::system());
        let held = &cache.0.as_ref().unwrap().good;
        let mut seen = Vec::new();
        for i in 0..200 {
            let token = fingerprint(&format!("token-{i}"));
            let mut verified = Verified::assumed(Claims::with_payload(&json!({})));
            verified.memo = cache.memo(token);
            let verified = Arc::new(verified);
            cache.insert(token, &judges(), &Ok(Arc::clone(&verified)));
            let light = weight(&verified);
            for _twice in 0..2 {
                verified.memo.recall(|| vec![0_u8; 4096]);
            }
            assert_eq!(weight(&verified), light + 4096);
            held.run_pending_tasks();
            seen.push(token);
            let kept = seen.iter().filter(|token| held.contains_key(*token));
            let answers = kept.count() as u64 * 4096;
            assert!(answers <= max_size.0, "{answers}");
            assert!(held.weighted_size() >= answers && held.weighted_size() <= max_size.0);
        }
        assert!(held.entry_count() > 0);
    }

    #[test]
    fn only_the_very_same_text_is_a_hit() {
        let cache = KnownTokens::new(&CacheConfig::default(), Clock::system());
        cache.insert(fingerprint("a.b.c"), &judges(), &Ok(verified(0)));
        assert!(find(&cache, "a.b.c").unwrap().is_ok());
        for other in ["a.b.C", "a.b.c ", "a.b", ""] {
            assert!(find(&cache, other).is_none(), "{other}");
        }
    }

    #[test]
    fn refused_tokens_evict_no_good_ones_and_only_permanent_refusals_are_cached() {
        let max_size = Bytes::kib(256);
        let cache = KnownTokens::new(&CacheConfig { max_size }, Clock::system());
        cache.insert(fingerprint("good"), &judges(), &Ok(verified(0)));
        for i in 0..20_000 {
            let refused = Err(Reason::BadSignature.into());
            cache.insert(fingerprint(&format!("bad-{i}")), &judges(), &refused);
        }
        assert!(find(&cache, "good").unwrap().is_ok());
        let held = &cache.0.as_ref().unwrap().refused;
        held.run_pending_tasks();
        assert!(held.entry_count() <= REFUSED_TOKENS);
        for reason in Reason::ALL {
            cache.insert(fingerprint(reason.as_str()), &judges(), &Err(reason.into()));
        }
        for reason in [Reason::NotYetValid, Reason::NotReady, Reason::UnknownKey] {
            assert!(find(&cache, reason.as_str()).is_none(), "{reason}");
        }
    }
}
