//! `revocations.store.redis:` in the configuration file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::config_error::ConfigErrors;
use crate::core::secret::Sources;
use crate::core::units::Span;
use crate::revocation::log::engine::login;

use super::address::Server;

/// Redis or Valkey, 7.0 or later. Either `server` or `sentinel` says where.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// One server: `redis.example.com:6379` or `unix:/run/redis/redis.sock`.
    pub server: Option<Server>,
    /// A primary that sentinels watch over.
    pub sentinel: Option<Sentinel>,
    /// The database number.
    pub database: u16,
    /// The ACL user. Left out: `default`.
    pub username: Option<String>,
    /// The user's password.
    #[serde(skip_serializing)]
    pub password: Option<Sources>,
    /// A file that holds the password. It is read again at each connect if it changed.
    pub password_file: Option<PathBuf>,
    /// Use TLS for the servers and the sentinels. `tls: {}` trusts the system's authorities.
    pub tls: Option<Tls>,
    /// The key of the stream. Keys beside it begin with the same name.
    pub key: String,
    /// Start the log when it is missing. `false` leaves that to another replica.
    pub create: bool,
    /// How many replicas of the server must confirm a revocation before it is acknowledged. From
    /// Redis 7.2 on they confirm that it is in their append-only file, before that only that they
    /// received it.
    pub wait_replicas: u16,
    /// Acknowledge nothing unless the server says that it syncs each write to its disk
    /// (`appendonly yes`, `appendfsync always`, `no-appendfsync-on-rewrite no`). `false` accepts the
    /// server as it is, and logs at each connect what can be lost.
    pub require_appendfsync_always: bool,
    /// How long one attempt to connect may take.
    pub connect_timeout: Span,
    /// How long one append may take, attempts to connect included, before its sender is told to
    /// try again.
    pub append_timeout: Span,
    /// How often one of the replicas deletes expired revocations from the log.
    pub compact_every: Span,
    /// How long an expired revocation stays in the log. This covers clocks that differ, and replicas
    /// that are configured differently during a rollout.
    pub compact_grace: Span,
}

/// The sentinels and the primary that they know.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// All sentinels: revocations count as complete only while a majority of these confirms the
    /// primary. Three or more, so that one can be missing.
    pub servers: Vec<Server>,
    /// The name of the primary in the sentinels' configuration.
    pub primary: String,
    /// The ACL user at the sentinels, if they ask for one.
    #[serde(default)]
    pub username: Option<String>,
    /// The password at the sentinels, if they ask for one.
    #[serde(default, skip_serializing)]
    pub password: Option<Sources>,
    /// A file that holds that password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// TLS towards the servers.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with the authorities to trust. Left out: the system's.
    pub ca: Option<PathBuf>,
    /// A PEM file with the client certificate, if the servers ask for one.
    pub cert: Option<PathBuf>,
    /// A PEM file with the key of `cert`.
    pub key: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: None,
            sentinel: None,
            database: 0,
            username: None,
            password: None,
            password_file: None,
            tls: None,
            key: "{portcullis}:revocations".to_owned(),
            create: true,
            wait_replicas: 0,
            require_appendfsync_always: true,
            connect_timeout: Span::secs(2),
            append_timeout: Span::secs(5),
            compact_every: Span::secs(60),
            compact_grace: Span::secs(3600),
        }
    }
}

impl Config {
    /// Reports what cannot work.
    pub fn check(&self, errors: &mut ConfigErrors) {
        self.check_where(errors);
        self.check_key(errors);
        check_login(
            errors,
            self.username.as_ref(),
            self.password.as_ref(),
            self.password_file.as_ref(),
        );
        if let Some(tls) = &self.tls {
            errors.within("tls", |errors| tls.check(errors, self));
        }
        for (field, span) in [
            ("connect_timeout", self.connect_timeout),
            ("append_timeout", self.append_timeout),
            ("compact_every", self.compact_every),
        ] {
            if span.0.as_millis() == 0 {
                errors.push(field, "must be at least 1ms");
            }
        }
        if self.append_timeout < self.connect_timeout {
            let least = self.connect_timeout;
            let message = format!("must be at least connect_timeout, which is {least}");
            errors.conflict("append_timeout", message);
        }
    }

    fn check_where(&self, errors: &mut ConfigErrors) {
        if self.server.is_some() == self.sentinel.is_some() {
            errors.push("", "exactly one of server and sentinel must be set");
        }
        if let Some(sentinel) = &self.sentinel {
            errors.within("sentinel", |errors| sentinel.check(errors));
        }
    }

    /// All keys share one hash tag, so a brace may only be part of one whole `{tag}`.
    fn check_key(&self, errors: &mut ConfigErrors) {
        let printable = self.key.chars().all(|c| c.is_ascii_graphic());
        let braces = self.key.matches(['{', '}']).count();
        let tagged = self
            .key
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        let has_tag = braces == 2 && tagged.is_some_and(|(tag, _)| !tag.is_empty());
        if self.key.is_empty() || !printable || !(braces == 0 || has_tag) {
            errors.push(
                "key",
                "must be printable ASCII, with braces only around one hash tag, as in \
                 {portcullis}:revocations",
            );
        }
    }

    /// Returns the name of the epoch that begins if there is no log yet; empty if none may begin.
    pub(super) fn candidate(&self) -> String {
        if self.create {
            format!("{:032x}", rand::random::<u128>())
        } else {
            String::new()
        }
    }

    /// Returns the name of a key beside the stream, with the same hash tag.
    pub(super) fn beside(&self, name: &str) -> String {
        if self.key.contains('{') {
            format!("{}:{name}", self.key)
        } else {
            format!("{{{}}}:{name}", self.key)
        }
    }
}

impl Sentinel {
    fn check(&self, errors: &mut ConfigErrors) {
        if self.servers.is_empty() {
            errors.push("servers", "must name at least one sentinel");
        }
        if self.primary.is_empty() {
            errors.push("primary", "must not be empty");
        }
        check_login(
            errors,
            self.username.as_ref(),
            self.password.as_ref(),
            self.password_file.as_ref(),
        );
    }
}

impl Tls {
    fn check(&self, errors: &mut ConfigErrors, config: &Config) {
        if self.cert.is_some() != self.key.is_some() {
            errors.push("", "cert and key must be set together");
        }
        if matches!(config.server, Some(Server::Unix(_))) {
            errors.push("", "must not be set with a unix socket");
        }
    }
}

fn check_login(
    errors: &mut ConfigErrors,
    username: Option<&String>,
    password: Option<&Sources>,
    file: Option<&PathBuf>,
) {
    if username.is_some() && password.is_none() && file.is_none() {
        errors.conflict("username", "password or password_file must be set too");
    }
    login::check(errors, "password", password, file);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(yaml: &str) -> Vec<String> {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        let mut errors = ConfigErrors::new();
        config.check(&mut errors);
        errors.messages()
    }

    #[test]
    fn the_usual_spellings_are_accepted() {
        for yaml in [
            "server: redis.example.com:6379",
            "{ server: 'unix:/run/redis.sock', username: log, password: secret }",
            "{ sentinel: { servers: [a:26379, b:26379], primary: main }, wait_replicas: 1 }",
            "{ server: a, tls: {} }",
            "{ server: a, key: revocations }",
        ] {
            assert_eq!(problems_of(yaml), Vec::<String>::new(), "{yaml}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_path() {
        for (yaml, expected) in [
            ("{}", "exactly one"),
            (
                "{ server: a, sentinel: { servers: [a], primary: main } }",
                "exactly one",
            ),
            (
                "sentinel: { servers: [], primary: main }",
                "sentinel.servers: ",
            ),
            ("{ server: a, username: log }", "username: "),
            ("{ server: a, password: x, password_file: y }", "password: "),
            ("{ server: a, tls: { cert: c.pem } }", "tls: cert and key"),
            ("{ server: 'unix:/s', tls: {} }", "tls: must not"),
            ("{ server: a, key: 'a b' }", "key: "),
            ("{ server: a, key: '{}x' }", "key: "),
            ("{ server: a, key: '}a{' }", "key: "),
            ("{ server: a, append_timeout: 1s }", "append_timeout: "),
        ] {
            let found = problems_of(yaml).join("\n");
            assert!(found.contains(expected), "{yaml}: {found}");
        }
        assert!(serde_saphyr::from_str::<Config>("{ server: a, passwort: x }").is_err());
        assert!(serde_saphyr::from_str::<Config>("server: redis://a").is_err());
    }

    #[test]
    fn keys_beside_the_stream_share_its_slot() {
        let mut config = Config::of(&"a".parse().unwrap());
        assert_eq!(config.beside("seen"), "{portcullis}:revocations:seen");
        config.key = "log".to_owned();
        assert_eq!(config.beside("seen"), "{log}:seen");
    }

    #[test]
    fn the_password_does_not_show() {
        let yaml = "{ server: a, password: hunter2 }";
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
    }
}
