//! `revocations:` in the configuration file.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::issuer::{ByIssuer, IssuerPattern};
use crate::core::units::Span;
pub use crate::core::when_stale::WhenStale;

use super::log;
use super::retention::Issuer;

/// Where revocations are stored, for how long, and what happens when the log falls silent.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The durable log of revocations.
    pub store: log::Config,
    /// Where this replica keeps a copy of an engine's log, the last good keys and so on. Not used with
    /// the embedded store, which has its own directory.
    pub local: log::embedded::Config,
    /// How long this replica trusts what it knows after the log last confirmed that nothing is
    /// missing. At least 3s, because the log confirms once a second.
    pub max_staleness: Span,
    /// What happens to requests when the log has been silent for longer than `max_staleness`.
    pub when_stale: WhenStale,
    /// The issuers for whose tokens `max_staleness` or `when_stale` differ. This concerns logs on an
    /// engine: the embedded log is on the same machine and does not fall silent.
    pub issuers: Vec<Exception>,
    /// Warn when more revocations than this match on the same set of claims.
    pub warn_live_per_shape: usize,
    /// Remember revocations for at least this long after their receipt. By default each is remembered
    /// for exactly as long as a matching token can be valid.
    pub retention: Option<Span>,
    /// How long the sender of an event waits, at most, until this replica enforces it. The event
    /// is durable before that and is acknowledged in either case. Never more than three quarters of
    /// the source's `record_timeout`.
    pub sync_timeout: Span,
}

/// How one issuer's tokens are treated when the log falls silent.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// One of the configured issuers, exactly as in `issuers`; of an issuer with `tenants` either
    /// the pattern or one tenant's.
    pub issuer: String,
    /// Replaces the common `max_staleness`.
    pub max_staleness: Option<Span>,
    /// Replaces the common `when_stale`.
    pub when_stale: Option<WhenStale>,
    /// Refuses nothing because of a revocation of this issuer's tokens. What would be refused is counted, logged and
    /// kept as such.
    #[serde(default)]
    pub shadow: bool,
}

/// The log confirms once a second, and one confirmation may be late.
const SHORTEST_STALENESS: Span = Span::secs(3);

impl Default for Config {
    fn default() -> Self {
        Self {
            store: log::Config::default(),
            local: log::embedded::Config::default(),
            max_staleness: Span::secs(30),
            when_stale: WhenStale::default(),
            issuers: Vec::new(),
            warn_live_per_shape: 5_000_000,
            retention: None,
            sync_timeout: Span::secs(5),
        }
    }
}

impl Config {
    /// Reports what cannot work with the configured issuers.
    pub fn check(&self, errors: &mut ConfigErrors, issuers: &[Issuer]) {
        errors.within("store", |errors| self.store.check(errors));
        errors.within("local", |errors| self.local.check(errors));
        check_staleness(errors, self.max_staleness);
        errors.each("issuers", &self.issuers, |errors, exception| {
            self.check_exception(errors, exception);
        });
        if self.warn_live_per_shape == 0 {
            errors.push("warn_live_per_shape", "must be greater than zero");
        }
        for issuer in issuers {
            self.check_retention(errors, issuer);
        }
    }

    fn check_exception(&self, errors: &mut ConfigErrors, exception: &Exception) {
        let issuer = &exception.issuer;
        let same = self.issuers.iter().filter(|one| one.issuer == *issuer);
        if same.count() > 1 {
            errors.push("issuer", "duplicate issuer");
        }
        let Some(own) = exception.max_staleness else {
            if exception.when_stale.is_none() && !exception.shadow {
                errors.push(
                    "",
                    "give max_staleness, when_stale or shadow, or remove this",
                );
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

    /// Returns the issuers whose revocations refuse nothing.
    pub(super) fn in_shadow(&self) -> ByIssuer<()> {
        let issuers = self.issuers.iter().filter(|own| own.shadow);
        issuers.map(|own| (&own.issuer, ())).collect()
    }

    /// Returns how old the feed may be before this issuer's tokens are refused; `None`: any age.
    pub(super) fn patience(&self, issuer: &str) -> Option<Duration> {
        let when_stale = self.exception(issuer).and_then(|own| own.when_stale);
        match when_stale.unwrap_or(self.when_stale) {
            WhenStale::Deny => Some(self.max_staleness(issuer)),
            WhenStale::Allow => None,
        }
    }

    pub(super) fn max_staleness(&self, issuer: &str) -> Duration {
        let own = self.exception(issuer).and_then(|own| own.max_staleness);
        own.unwrap_or(self.max_staleness).0
    }

    fn exception(&self, issuer: &str) -> Option<&Exception> {
        let has = |one: &&Exception| match IssuerPattern::parse(&one.issuer) {
            Ok(Some(pattern)) => pattern.matches(issuer),
            _ => false,
        };
        let exact = self.issuers.iter().find(|one| one.issuer == issuer);
        exact.or_else(|| self.issuers.iter().find(has))
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
                 requests would be refused without a reason; use at least {SHORTEST_STALENESS}"
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
        errors.messages()
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
