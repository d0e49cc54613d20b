//! `revocations:` in the configuration file.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::config_error::ConfigErrors;
use crate::core::issuer::IssuerPattern;
use crate::core::units::Span;

use super::log;
use super::retention::Issuer;

/// Where revocations are kept, for how long, and what happens when news of them stop coming.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The durable log of revocations.
    #[serde(default)]
    pub store: log::Config,
    /// Where this replica keeps a copy of an engine's log, the last good keys and the like. Not
    /// used with the embedded store, which has its own directory.
    #[serde(default)]
    pub local: log::embedded::Config,
    /// How long this replica trusts what it knows after the log last confirmed that nothing is
    /// missing. At least 3s, since the confirmations come once a second.
    #[serde(default = "default_max_staleness")]
    pub max_staleness: Span,
    /// What happens to requests when the log has been silent for longer than `max_staleness`.
    #[serde(default)]
    pub when_stale: WhenStale,
    /// The issuers for whose tokens `max_staleness` or `when_stale` differ. This is about logs on
    /// an engine: the embedded log is on the same machine and does not fall silent.
    #[serde(default)]
    pub issuers: Vec<Exception>,
    /// Warn when more revocations than this match on the same set of claims.
    #[serde(default = "default_warn_live_per_shape")]
    pub warn_live_per_shape: usize,
    /// Remember revocations for at least this long after their receipt. Left out, each is
    /// remembered for exactly as long as a matching token can be valid.
    #[serde(default)]
    pub retention: Option<Span>,
    /// How long the sender of an event waits, at most, until this replica enforces it. The event
    /// is durable before that and is acknowledged in either case. Never more than three quarters of
    /// the source's `record_timeout`.
    #[serde(default = "default_sync_timeout")]
    pub sync_timeout: Span,
}

/// How one issuer's tokens are treated when news of revocations stop coming.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// One of the configured issuers, exactly as in `issuers`; of an issuer with `tenants` either
    /// the pattern or one tenant's.
    pub issuer: String,
    /// In place of the common `max_staleness`.
    #[serde(default)]
    pub max_staleness: Option<Span>,
    /// In place of the common `when_stale`.
    #[serde(default)]
    pub when_stale: Option<WhenStale>,
}

/// See [`Config::when_stale`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenStale {
    /// They are refused with 503: a revocation that did not arrive cannot be enforced.
    #[default]
    Deny,
    /// They are judged by the revocations that are known.
    Allow,
}

/// Confirmations come once a second; one may be late without meaning anything.
const SHORTEST_STALENESS: Span = Span::secs(3);

const fn default_max_staleness() -> Span {
    Span::secs(30)
}

const fn default_warn_live_per_shape() -> usize {
    5_000_000
}

const fn default_sync_timeout() -> Span {
    Span::secs(5)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: log::Config::default(),
            local: log::embedded::Config::default(),
            max_staleness: default_max_staleness(),
            when_stale: WhenStale::default(),
            issuers: Vec::new(),
            warn_live_per_shape: default_warn_live_per_shape(),
            retention: None,
            sync_timeout: default_sync_timeout(),
        }
    }
}

impl Config {
    /// Reports what cannot work, given the issuers that are configured.
    pub fn check(&self, errors: &mut ConfigErrors, issuers: &[Issuer]) {
        errors.within("store", |errors| self.store.check(errors));
        errors.within("local", |errors| self.local.check(errors));
        check_staleness(errors, self.max_staleness);
        errors.each("issuers", &self.issuers, |errors, exception| {
            self.check_exception(errors, exception);
        });
        if self.warn_live_per_shape == 0 {
            errors.push(
                "warn_live_per_shape",
                "0 would warn for ever; use at least 1",
            );
        }
        for issuer in issuers {
            self.check_retention(errors, issuer);
        }
    }

    fn check_exception(&self, errors: &mut ConfigErrors, exception: &Exception) {
        let issuer = &exception.issuer;
        if self
            .issuers
            .iter()
            .filter(|one| one.issuer == *issuer)
            .count()
            > 1
        {
            errors.push("issuer", "duplicate issuer");
        }
        let Some(own) = exception.max_staleness else {
            if exception.when_stale.is_none() {
                errors.push("", "give max_staleness or when_stale, or remove this");
            }
            return;
        };
        check_staleness(errors, own);
        if self.patience(issuer).is_none() {
            errors.conflict(
                "max_staleness",
                "has no effect, since when_stale is allow for this issuer; add when_stale: deny",
            );
        }
    }

    /// How old the feed may be before this issuer's tokens are refused; `None`: any age.
    pub(super) fn patience(&self, issuer: &str) -> Option<Duration> {
        let has = |one: &&Exception| match IssuerPattern::parse(&one.issuer) {
            Ok(Some(pattern)) => pattern.matches(issuer),
            _ => false,
        };
        let exact = self.issuers.iter().find(|one| one.issuer == issuer);
        let own = exact.or_else(|| self.issuers.iter().find(has));
        let when_stale = own.and_then(|own| own.when_stale);
        let max_staleness = own.and_then(|own| own.max_staleness);
        match when_stale.unwrap_or(self.when_stale) {
            WhenStale::Deny => Some(max_staleness.unwrap_or(self.max_staleness).0),
            WhenStale::Allow => None,
        }
    }

    fn check_retention(&self, errors: &mut ConfigErrors, issuer: &Issuer) {
        let needed = Span(issuer.longest_life().saturating_add(issuer.leeway));
        let Some(retention) = self.retention.filter(|retention| *retention < needed) else {
            return;
        };
        errors.push(
            "retention",
            format!(
                "{retention} is shorter than a token of {} can live: a token revoked right after \
                 it was issued is valid for up to {needed} more (max_token_lifetime + twice the leeway), \
                 and would be accepted again once its revocation is forgotten; use at least \
                 {needed}, or leave retention out",
                issuer.issuer
            ),
        );
    }
}

fn check_staleness(errors: &mut ConfigErrors, span: Span) {
    if span < SHORTEST_STALENESS {
        errors.push(
            "max_staleness",
            format!(
                "{span} is too short: the log confirms once a second that nothing is missing, so \
                 requests would be refused now and then for nothing; use at least \
                 {SHORTEST_STALENESS}"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(yaml: &str) -> Vec<String> {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        let mut errors = ConfigErrors::new();
        let issuer = Issuer {
            issuer: "https://id.example.com".to_owned(),
            max_token_lifetime: Duration::from_hours(1),
            leeway: Duration::from_mins(1),
        };
        config.check(&mut errors, &[issuer]);
        let found = errors.into_vec();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_retention_that_forgets_too_early_cannot_be_written() {
        let found = problems_of("retention: 1h");
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("retention: 1h is shorter"),
            "{found:?}"
        );
        assert!(found[0].contains("1h 2m"), "{found:?}");
        assert_eq!(problems_of("retention: 61m").len(), 1);
        assert!(problems_of("retention: 62m").is_empty());
    }

    #[test]
    fn a_staleness_below_the_heartbeat_is_refused() {
        assert_eq!(problems_of("max_staleness: 500ms").len(), 1);
    }

    #[test]
    fn an_exception_that_changes_nothing_is_a_mistake() {
        let exceptions = |list: &str| problems_of(&format!("issuers: [{list}]"));
        let allow = "{ issuer: a, when_stale: allow }";
        assert!(exceptions(allow).is_empty());
        assert!(exceptions("{ issuer: a, max_staleness: 1m }").is_empty());
        assert_eq!(exceptions("{ issuer: a, max_staleness: 1s }").len(), 1);
        assert_eq!(exceptions("{ issuer: a }").len(), 1);
        assert_eq!(exceptions(&format!("{allow}, {allow}")).len(), 2);
        let idle = "{ issuer: a, max_staleness: 1m, when_stale: allow }";
        assert!(exceptions(idle)[0].starts_with("issuers[0].max_staleness: has no effect"));
    }

    #[test]
    fn the_store_has_a_default_and_a_path() {
        assert!(problems_of("{}").is_empty());
        assert!(problems_of("store: { embedded: { path: /var/lib/portcullis } }").is_empty());
        assert_eq!(problems_of("store: { embedded: { path: '' } }").len(), 1);
        assert!(serde_saphyr::from_str::<Config>("store: { tape: {} }").is_err());
        assert!(serde_saphyr::from_str::<Config>("when_stale: maybe").is_err());
    }
}
