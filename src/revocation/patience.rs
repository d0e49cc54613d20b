//! How old the feed may be before an issuer's tokens are refused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Config, Issuer};
use crate::core::issuer::ByIssuer;
use crate::core::when_stale::WhenStale;

/// Ages of the feed; `None` is an age that it never reaches.
#[derive(Debug)]
pub(super) struct Patience {
    of: ByIssuer<Option<Duration>>,
    /// The ages for requests whose policy refuses them whatever the issuer's entry says.
    strict: ByIssuer<Duration>,
    /// Whether a policy lets requests pass at any age.
    is_lenient: AtomicBool,
    /// Up to this age no issuer is refused, so none needs to be looked up.
    shortest: Option<Duration>,
    /// Beyond this age all issuers are refused.
    longest: Option<Duration>,
}

impl Patience {
    pub(super) fn new(config: &Config, issuers: &[Issuer]) -> Self {
        let issuers = issuers.iter().map(|issuer| &issuer.issuer);
        // An exception may be made for one tenant of a pattern.
        let exceptions = config.issuers.iter().map(|exception| &exception.issuer);
        let issuers: Vec<_> = issuers.chain(exceptions).collect();
        let each = issuers.iter();
        let of: ByIssuer<_> = each
            .clone()
            .map(|issuer| (issuer, config.patience(issuer)))
            .collect();
        let longest: Option<Vec<Duration>> = of.values().copied().collect();
        Self {
            shortest: of.values().copied().flatten().min(),
            longest: longest.and_then(|all| all.into_iter().max()),
            strict: each
                .map(|issuer| (issuer, config.max_staleness(issuer)))
                .collect(),
            is_lenient: AtomicBool::new(false),
            of,
        }
    }

    /// Returns whether this issuer's tokens are refused at this age of the feed. A policy may say so itself.
    pub(super) fn is_over(
        &self,
        issuer: &str,
        policy: Option<WhenStale>,
        age: impl FnOnce() -> Duration,
    ) -> bool {
        match policy {
            None => {}
            Some(WhenStale::Allow) => return false,
            Some(WhenStale::Deny) => {
                let own = self.strict.get(issuer);
                return own.is_none_or(|own| age() > *own);
            }
        }
        let Some(shortest) = self.shortest else {
            return false;
        };
        let age = age();
        age > shortest && self.of.get(issuer).is_none_or(|own| is_over(*own, age))
    }

    /// Returns whether the tokens of all issuers are refused at this age, on every route.
    pub(super) fn is_over_for_all(&self, age: Duration) -> bool {
        is_over(self.longest, age) && !self.is_lenient.load(Ordering::Relaxed)
    }

    /// Says whether a policy lets requests pass at any age.
    pub(super) fn set_lenient(&self, is_lenient: bool) {
        self.is_lenient.store(is_lenient, Ordering::Relaxed);
    }
}

fn is_over(patience: Option<Duration>, age: Duration) -> bool {
    patience.is_some_and(|patience| age > patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Of the issuers `a` and `b`; `c` is not configured.
    fn patience(yaml: &str) -> Patience {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        let issuers = ["a", "b"].map(|issuer| Issuer {
            issuer: issuer.to_owned(),
            max_token_lifetime: Duration::from_hours(1),
            leeway: Duration::ZERO,
        });
        Patience::new(&config, &issuers)
    }

    fn refused(patience: &Patience, seconds: u32) -> String {
        let age = SECOND * seconds;
        let over = |issuer: &&str| patience.is_over(issuer, None, || age);
        let mut refused: String = ["a", "b", "c"].into_iter().filter(over).collect();
        if patience.is_over_for_all(age) {
            refused.push('*');
        }
        refused
    }

    #[test]
    fn issuers_override_max_staleness() {
        let patience =
            patience("{ max_staleness: 9s, issuers: [{ issuer: b, max_staleness: 5s }] }");
        assert_eq!(refused(&patience, 5), "");
        assert_eq!(refused(&patience, 6), "bc");
        assert_eq!(refused(&patience, 9), "bc");
        assert_eq!(refused(&patience, 10), "abc*");
    }

    #[test]
    fn while_one_issuer_is_judged_by_what_is_known_not_everybody_is_refused() {
        let patience = patience("issuers: [{ issuer: b, when_stale: allow }]");
        assert_eq!(refused(&patience, 30), "");
        assert_eq!(refused(&patience, 31), "ac");
    }

    #[test]
    fn a_pattern_and_one_of_its_tenants_may_be_excepted() {
        let yaml = "issuers: [{ issuer: 'https://a/{tenant}', max_staleness: 9s }, \
                    { issuer: https://a/strict, max_staleness: 5s }]";
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        let issuer = |name: &str| Issuer {
            issuer: name.to_owned(),
            max_token_lifetime: Duration::from_hours(1),
            leeway: Duration::ZERO,
        };
        let listed = [
            issuer("https://a/x"),
            issuer("https://a/strict"),
            issuer("b"),
        ];
        for issuers in [&listed[..], &[issuer("https://a/{tenant}"), issuer("b")]] {
            let patience = Patience::new(&config, issuers);
            let over = |issuer, seconds| patience.is_over(issuer, None, || SECOND * seconds);
            assert!(!over("https://a/x", 9) && over("https://a/x", 10));
            assert!(!over("https://a/strict", 5) && over("https://a/strict", 6));
            assert!(!over("b", 30) && over("b", 31));
        }
    }

    #[test]
    fn a_policy_decides_whatever_the_issuer_says() {
        let patience = patience(
            "{ max_staleness: 9s, issuers: [{ issuer: b, when_stale: allow }, \
             { issuer: a, max_staleness: 5s }] }",
        );
        let over =
            |issuer, policy, seconds| patience.is_over(issuer, Some(policy), || SECOND * seconds);
        for (issuer, last) in [("a", 5), ("b", 9)] {
            assert!(!over(issuer, WhenStale::Deny, last), "{issuer}");
            assert!(over(issuer, WhenStale::Deny, last + 1), "{issuer}");
            assert!(!over(issuer, WhenStale::Allow, 1000), "{issuer}");
        }
        assert!(over("c", WhenStale::Deny, 0), "nothing is known of it");
    }

    #[test]
    fn while_one_policy_lets_requests_pass_not_everybody_is_refused() {
        let patience = patience("{}");
        assert_eq!(refused(&patience, 31), "abc*");
        patience.set_lenient(true);
        assert_eq!(refused(&patience, 31), "abc");
    }

    #[test]
    fn an_issuer_can_be_stricter_than_the_others() {
        let patience =
            patience("{ when_stale: allow, issuers: [{ issuer: b, when_stale: deny }] }");
        assert_eq!(refused(&patience, 31), "bc");
        let all = super::Patience::new(&Config::default(), &[]);
        assert!(!all.is_over_for_all(SECOND), "there is nobody");
    }
}
