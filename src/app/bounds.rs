//! The `max_token_lifetime` and `leeway` of issuers, which change while the process runs only in agreement
//! with the log.

use std::collections::HashMap;

use crate::config::Config;
use crate::core::lifetime::Current;
use crate::revocation::{Agree, Issuer, Reader, provisional};

/// What the log was asked about so far.
pub(super) struct Bounds {
    /// Issuers that were removed from the configuration keep theirs until the process ends.
    agreed: HashMap<String, (Issuer, Current)>,
    agree: Agree,
}

/// The issuers of a configuration that is not in use yet.
pub(super) struct Wanted(Vec<(Issuer, Current)>);

impl Bounds {
    /// Returns those of the first configuration, whose history the log is read for at the start.
    pub(super) fn new(config: &Config, lifetimes: &HashMap<String, Current>, agree: Agree) -> Self {
        let issuers = config.lifetimes().into_iter();
        let agreed = issuers.filter_map(|issuer| {
            let name = issuer.issuer.clone();
            let current = lifetimes.get(&name)?.clone();
            Some((name, (issuer, current)))
        });
        Self {
            agreed: agreed.collect(),
            agree,
        }
    }

    /// Returns those of another configuration, with what holds for their tokens.
    pub(super) fn wanted(&self, config: &Config) -> Wanted {
        let issuers = config.lifetimes().into_iter();
        let wanted = issuers.map(|issuer| {
            let agreed = self.agreed.get(&issuer.issuer);
            let current = agreed.map(|(_, current)| current.clone());
            let current = current.unwrap_or_else(|| provisional(&issuer));
            (issuer, current)
        });
        Wanted(wanted.collect())
    }

    /// Returns once the log has all of them.
    ///
    /// # Errors
    /// When the log cannot be written, for people.
    pub(super) async fn agree(&mut self, wanted: Wanted) -> Result<(), String> {
        let is_news = |(issuer, _): &(Issuer, _)| {
            let agreed = self.agreed.get(&issuer.issuer);
            agreed.is_none_or(|(agreed, _)| agreed != issuer)
        };
        if wanted.0.iter().any(is_news) {
            self.agree.on(wanted.0.clone()).await?;
        }
        let wanted = wanted.0.into_iter();
        let wanted = wanted.map(|(issuer, current)| (issuer.issuer.clone(), (issuer, current)));
        self.agreed.extend(wanted);
        Ok(())
    }

    /// See [`Agree::judge_by`].
    pub(super) fn judge_by(&self, reader: &Reader) {
        self.agree.judge_by(reader);
    }
}

impl Wanted {
    /// Returns, by issuer, what `verify` holds tokens against.
    pub(super) fn lifetimes(&self) -> HashMap<String, Current> {
        let all = self.0.iter();
        all.map(|(issuer, current)| (issuer.issuer.clone(), current.clone()))
            .collect()
    }
}
