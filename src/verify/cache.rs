//! Tokens that were verified before. A cache, and never the truth: whatever it holds is judged
//! again by the clock, the horizon and the state of the key that verified it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;
use serde_json::Value;

use super::Verified;
use super::config::CacheConfig;
use crate::clock::{Clock, UnixMillis};
use crate::reason::Reason;
use crate::token::Token;

/// Keyed by the whole text of the token, because anything less could be made to collide by those
/// who send tokens. Bounded by bytes; a full cache costs signature checks and nothing else.
pub(super) struct VerifiedTokens(Option<Cache<Box<str>, Arc<Verified>>>);

impl VerifiedTokens {
    pub(super) fn new(config: &CacheConfig, clock: Clock) -> Self {
        if config.max_size.is_empty() {
            return Self(None);
        }
        let cache = Cache::<Box<str>, Arc<Verified>>::builder()
            .max_capacity(config.max_size.0)
            .weigher(|token, verified| {
                let weight = token.len() + verified.weight;
                u32::try_from(weight).unwrap_or(u32::MAX)
            })
            .expire_after(AtTheEnd(clock))
            .build();
        Self(Some(cache))
    }

    /// A token that was verified before and still is, or the reason why time refuses it now.
    /// `None` when it has to be verified, be it again.
    pub(super) fn find(
        &self,
        token: Token<'_>,
        now: UnixMillis,
        horizon: UnixMillis,
    ) -> Option<Result<Arc<Verified>, Reason>> {
        let verified = self.0.as_ref()?.get(token.expose())?;
        if !verified.key.is_good(now) {
            self.forget(token);
            return None;
        }
        let admitted = verified.window.admits(now, horizon);
        Some(admitted.map(|()| verified))
    }

    pub(super) fn insert(&self, token: Token<'_>, verified: &Arc<Verified>) {
        if let Some(cache) = &self.0 {
            cache.insert(token.expose().into(), Arc::clone(verified));
        }
    }

    fn forget(&self, token: Token<'_>) {
        if let Some(cache) = &self.0 {
            cache.invalidate(token.expose());
        }
    }
}

/// Frees the memory of a token that ended. That it ended is judged by [`VerifiedTokens::find`].
struct AtTheEnd(Clock);

impl Expiry<Box<str>, Arc<Verified>> for AtTheEnd {
    fn expire_after_create(
        &self,
        _token: &Box<str>,
        verified: &Arc<Verified>,
        _created_at: Instant,
    ) -> Option<Duration> {
        Some(verified.window.until.since(self.0.now()))
    }

    fn expire_after_update(
        &self,
        token: &Box<str>,
        verified: &Arc<Verified>,
        updated_at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(token, verified, updated_at)
    }
}

/// What one entry takes besides its payload: the claims that were pulled out, the door's encoded
/// answer and the cache's own bookkeeping.
const PER_ENTRY: usize = 2048;

/// About how many bytes verified claims take in memory, without the token's text.
pub(super) fn weight(claims: &serde_json::Map<String, Value>) -> usize {
    PER_ENTRY + members(claims)
}

fn members(map: &serde_json::Map<String, Value>) -> usize {
    const PER_MEMBER: usize = size_of::<String>();
    map.iter()
        .map(|(name, value)| PER_MEMBER + name.len() + footprint(value))
        .sum()
}

fn footprint(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(footprint).sum(),
        Value::Object(map) => members(map),
    };
    size_of::<Value>() + inner
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;
    use crate::verify::Claims;

    fn verified(filler: usize) -> Arc<Verified> {
        let mut all = serde_json::Map::new();
        all.insert("filler".to_owned(), "x".repeat(filler).into());
        Arc::new(Verified::assumed(Claims {
            issuer: "https://id.example.com".into(),
            subject: None,
            client: None,
            token_id: None,
            issued_at: None,
            counts_as_issued_at: 0,
            expires_at: u64::MAX,
            all,
        }))
    }

    #[test]
    fn the_cache_stays_within_its_bytes() {
        let max_size = Bytes::kib(256);
        let cache = VerifiedTokens::new(&CacheConfig { max_size }, Clock::system());
        for i in 0..1000 {
            let token = format!("token-{i}");
            cache.insert(Token::new(&token), &verified(4096));
        }
        let held = cache.0.unwrap();
        held.run_pending_tasks();
        assert!(held.weighted_size() <= max_size.0);
        assert!(held.entry_count() * 4096 <= max_size.0);
        assert!(held.entry_count() > 0);
    }

    #[test]
    fn only_the_very_same_text_is_a_hit() {
        let cache = VerifiedTokens::new(&CacheConfig::default(), Clock::system());
        cache.insert(Token::new("a.b.c"), &verified(0));
        let find = |text: &str| {
            let now = UnixMillis(1);
            cache.find(Token::new(text), now, now).is_some()
        };
        assert!(find("a.b.c"));
        for other in ["a.b.C", "a.b.c ", "a.b", ""] {
            assert!(!find(other), "{other}");
        }
    }
}
