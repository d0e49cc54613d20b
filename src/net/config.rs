//! Limits the connections of each listener.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;

/// How many connections each listener holds at once, on all its addresses together. The default is a
/// share of the process's limit of open files, so that no listener can starve another.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Connections to `listen.ext_authz`.
    pub ext_authz: Option<usize>,
    /// Connections to `listen.forward_auth`.
    pub forward_auth: Option<usize>,
    /// Connections to `listen.events`. Three quarters are reserved for senders with right credentials.
    pub events: Option<usize>,
    /// Connections to `listen.admin`.
    pub admin: Option<usize>,
    /// How long a new connection may take until its first request is complete and, on
    /// `listen.events`, has right credentials.
    pub first_request: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ext_authz: None,
            forward_auth: None,
            events: None,
            admin: None,
            first_request: Span::secs(10),
        }
    }
}

/// A listener's part of 16, and its largest default.
const SHARES: [(&str, usize, usize); 4] = [
    ("ext_authz", 4, 8192),
    ("forward_auth", 7, 8192),
    ("events", 4, 1024),
    ("admin", 1, 128),
];

/// Files for everything but connections: the store, key sets, logs.
const MOST_RESERVED: usize = 1024;

impl Config {
    /// Reports what is wrong, with `connections` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        for (name, ..) in SHARES {
            if let Some(most) = self.set(name) {
                errors.range(name, most, 4..=1_000_000);
            }
        }
        let bounds = Span(Duration::from_millis(100))..=Span::secs(300);
        errors.range("first_request", self.first_request, bounds);
    }

    fn set(&self, name: &str) -> Option<usize> {
        match name {
            "ext_authz" => self.ext_authz,
            "forward_auth" => self.forward_auth,
            "events" => self.events,
            _ => self.admin,
        }
    }

    /// Returns how many connections each listener may hold, in the order of their names in
    /// `listen`, when the process may open `files`.
    ///
    /// # Errors
    /// When the configured numbers do not fit, for people.
    pub fn shares(&self, files: usize) -> Result<[(&'static str, usize); 4], String> {
        let usable = files - (files / 4).min(MOST_RESERVED);
        let shares = SHARES.map(|(name, part, most)| {
            let share = (usable * part / 16).clamp(1, most);
            (name, self.set(name).unwrap_or(share))
        });
        let sum: usize = shares.iter().map(|(_, share)| share).sum();
        if sum > usable {
            return Err(format!(
                "connections: the listeners may hold {sum} connections, but this process may open \
                 only {files} files, {} of them for other things; lower the numbers under \
                 connections or raise the limit of open files (ulimit -n, LimitNOFILE)",
                files - usable
            ));
        }
        Ok(shares)
    }
}

/// Raises the soft limit of open files to the hard one and returns it.
#[must_use]
pub fn open_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX / 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Config {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn shares_fit_into_every_limit_of_open_files() {
        for files in [64, 256, 1024, 4096, 65536, 1 << 20, usize::MAX / 16] {
            let shares = config("{}").shares(files).unwrap();
            let sum: usize = shares.iter().map(|(_, share)| share).sum();
            assert!(sum <= files - files / 5, "{files}: {shares:?}");
            assert!(shares.iter().all(|(_, share)| *share >= 1), "{shares:?}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_with_the_limit() {
        assert!(config("events: 500").shares(1024).is_err());
        let error = config("events: 5000").shares(1024).unwrap_err();
        assert!(
            error.contains("1024 files") && error.contains("LimitNOFILE"),
            "{error}"
        );
        let shares = config("{ events: 300, forward_auth: 100 }")
            .shares(1024)
            .unwrap();
        assert_eq!(shares[1..3], [("forward_auth", 100), ("events", 300)]);
    }

    #[test]
    fn numbers_out_of_range_are_errors() {
        for (yaml, count) in [
            ("{}", 0),
            ("events: 3", 1),
            ("admin: 0", 1),
            ("first_request: 0s", 1),
            ("first_request: 1h", 1),
        ] {
            let mut errors = ConfigErrors::new();
            config(yaml).check(&mut errors);
            assert_eq!(errors.into_vec().len(), count, "{yaml}");
        }
    }
}
