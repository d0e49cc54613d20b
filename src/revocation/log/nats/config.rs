//! `revocations.store.nats` in the configuration file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::core::config_error::ConfigErrors;
use crate::core::secret::Sources;
use crate::core::units::{Bytes, Span};
use crate::revocation::log::engine::login;

/// A JetStream stream that all replicas share. Needs NATS 2.11 or later.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["servers"]))]
pub struct Config {
    /// The servers, such as `nats://nats-1.example.com:4222`; `tls://` insists on TLS. One is
    /// enough to begin with, since servers of a cluster name each other; several are found even
    /// while one is down. Credentials go to `auth`, not here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// The stream that holds the revocations.
    pub stream: String,
    /// The prefix of the stream's subjects. No other stream may have them.
    pub subject_prefix: String,
    /// On how many servers each revocation is kept: 3 outlives the loss of one server, 5 of two,
    /// 1 of none. A stream with fewer is refused.
    pub replicas: usize,
    /// Make the stream when it is missing. `false` leaves that to the operator.
    pub create: bool,
    /// The size limit of a new stream. When it is full, events are refused with 503 until
    /// revocations have expired; none is ever dropped to make room. Left out, the limits of the
    /// account apply.
    pub max_bytes: Option<Bytes>,
    /// The credentials of this process. Read once, at start.
    pub auth: Auth,
    /// Encryption of the connection.
    pub tls: Tls,
    /// How long one attempt to connect may take.
    pub connect_timeout: Span,
    /// How long an event may wait for its acknowledgement by the stream. A new leader is elected
    /// in 4 to 9 seconds; an event that arrives meanwhile waits for up to this time, and is then
    /// refused with 503.
    pub publish_timeout: Span,
    /// How often the stream's leader is asked whether everything has arrived here.
    pub heartbeat: Span,
    /// Refuse servers that are known to write to disk later than they acknowledge
    /// (`sync_interval` other than `always`). Only `system_auth` can see it; without that, a warning
    /// is logged at start. `false` turns the refusal into an error in the log.
    pub require_sync_always: bool,
    /// A user of the servers' system account, only to read `sync_interval` from every server.
    pub system_auth: Option<Auth>,
    /// Use an existing stream even if its settings can lose revocations. Each weakness is then
    /// logged as an error.
    pub accept_weaker_stream: bool,
    /// How much longer than needed a revocation stays in the stream, for replicas whose clocks
    /// disagree.
    pub keep_longer: Span,
}

/// At most one of: `user` and a password, a token, a credentials file, an NKey seed. Left out, none
/// is used (or the client certificate alone).
#[derive(Clone, Debug, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The user's name; needs a password.
    pub user: Option<String>,
    /// The password of `user`.
    #[serde(skip_serializing)]
    pub password: Option<Sources>,
    /// A file with the password of `user`.
    pub password_file: Option<PathBuf>,
    /// A token.
    #[serde(skip_serializing)]
    pub token: Option<Sources>,
    /// A file with a token.
    pub token_file: Option<PathBuf>,
    /// A `.creds` file: a user JWT and its NKey seed.
    pub creds_file: Option<PathBuf>,
    /// A file with an NKey seed (`SU…`).
    pub nkey_file: Option<PathBuf>,
}

/// Encryption of the connection to NATS.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate authorities that sign the servers' certificates. Left out,
    /// those of the operating system.
    pub ca: Option<PathBuf>,
    /// PEM file with this process' client certificate and its chain; needs `key`.
    pub cert: Option<PathBuf>,
    /// PEM file with the key of `cert`.
    pub key: Option<PathBuf>,
    /// Refuse servers without TLS.
    pub required: bool,
    /// Begin with the TLS handshake, for servers with `handshake_first`.
    pub handshake_first: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            stream: "portcullis-revocations".to_owned(),
            subject_prefix: "portcullis.revocations".to_owned(),
            replicas: 3,
            create: true,
            max_bytes: None,
            auth: Auth::default(),
            tls: Tls::default(),
            connect_timeout: Span::secs(5),
            publish_timeout: Span::secs(5),
            heartbeat: Span::secs(1),
            require_sync_always: true,
            system_auth: None,
            accept_weaker_stream: false,
            keep_longer: Span::secs(300),
        }
    }
}

impl Config {
    /// Reports what cannot work.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.servers.is_empty() {
            let message = "must name at least one server, such as nats://127.0.0.1:4222";
            errors.push("servers", message);
        }
        errors.each("servers", &self.servers, |errors, server| {
            if let Err(message) = check_server(server) {
                errors.push("", message);
            }
        });
        self.check_names(errors);
        self.check_numbers(errors);
        errors.within("auth", |errors| self.auth.check(errors));
        if let Some(auth) = &self.system_auth {
            errors.within("system_auth", |errors| auth.check(errors));
        }
        errors.within("tls", |errors| self.tls.check(errors));
    }

    fn check_names(&self, errors: &mut ConfigErrors) {
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || "*>/\\".contains(c);
        if self.stream.is_empty() || self.stream.contains(|c| forbidden(c) || c == '.') {
            let message = "must not be empty nor contain dots, blanks, *, >, / or \\";
            errors.push("stream", message);
        }
        let prefix = &self.subject_prefix;
        let empty_token = prefix.split('.').any(str::is_empty);
        if empty_token || prefix.contains(forbidden) || prefix.starts_with(['$', '_']) {
            let message = "must be words joined by dots, without wildcards; it must not begin with \
                           $ or _, which are reserved for the servers";
            errors.push("subject_prefix", message);
        }
    }

    fn check_numbers(&self, errors: &mut ConfigErrors) {
        if !(1..=5).contains(&self.replicas) {
            errors.push("replicas", "must be between 1 and 5; use 3");
        }
        if self.max_bytes.is_some_and(Bytes::is_empty) {
            errors.push("max_bytes", "must be greater than zero");
        }
        let spans = [
            ("connect_timeout", self.connect_timeout, Span::secs(60)),
            ("publish_timeout", self.publish_timeout, Span::secs(60)),
            ("heartbeat", self.heartbeat, Span::secs(10)),
        ];
        for (field, span, longest) in spans {
            if span.0.is_zero() || span > longest {
                errors.push(field, format!("must be between 1ms and {longest}"));
            }
        }
    }
}

fn check_server(server: &str) -> Result<(), String> {
    let text = if server.contains("://") {
        server.to_owned()
    } else {
        format!("nats://{server}")
    };
    // The text itself may hold a password: it is not repeated.
    let url = Url::parse(&text).map_err(|error| format!("invalid address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address must not contain credentials; use auth".to_owned());
    }
    if !["nats", "tls"].contains(&url.scheme()) {
        return Err(format!(
            "the scheme must be nats or tls, not {}",
            url.scheme()
        ));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the host is missing, as in nats://nats-1.example.com:4222".to_owned());
    }
    Ok(())
}

impl Auth {
    fn check(&self, errors: &mut ConfigErrors) {
        let password = self.password.is_some() || self.password_file.is_some();
        let token = self.token.is_some() || self.token_file.is_some();
        let ways = [
            self.user.is_some() || password,
            token,
            self.creds_file.is_some(),
            self.nkey_file.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() > 1 {
            let message = "only one of user, token, creds_file and nkey_file may be set";
            errors.push("", message);
        }
        if self.user.is_some() != password {
            errors.push("", "user and its password must be set together");
        }
        let (password, token) = (self.password.as_ref(), self.token.as_ref());
        login::check(errors, "password", password, self.password_file.as_ref());
        login::check(errors, "token", token, self.token_file.as_ref());
    }
}

impl Tls {
    fn check(&self, errors: &mut ConfigErrors) {
        if self.cert.is_some() != self.key.is_some() {
            errors.push("", "cert and key must be set together");
        }
    }
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
    fn one_server_is_enough() {
        assert!(problems_of("servers: ['nats://nats-1.example.com:4222']").is_empty());
        assert!(problems_of("servers: [nats-1.example.com]").is_empty());
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        for server in ["nats://joe:hunter2@h:1", "tls://hunter2@h"] {
            let found = problems_of(&format!("servers: ['{server}']"));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with("servers[0]: "), "{found:?}");
            assert!(!found[0].contains("hunter2"), "{found:?}");
        }
    }

    #[test]
    fn invalid_settings_are_named_by_their_path() {
        for (yaml, place) in [
            ("servers: []", "servers"),
            ("servers: ['http://h']", "servers[0]"),
            ("{servers: [h], stream: 'a.b'}", "stream"),
            ("{servers: [h], stream: ''}", "stream"),
            ("{servers: [h], subject_prefix: 'a..b'}", "subject_prefix"),
            ("{servers: [h], subject_prefix: 'a.>'}", "subject_prefix"),
            (
                "{servers: [h], subject_prefix: '$JS.API'}",
                "subject_prefix",
            ),
            ("{servers: [h], replicas: 0}", "replicas"),
            ("{servers: [h], replicas: 6}", "replicas"),
            ("{servers: [h], max_bytes: 0B}", "max_bytes"),
            ("{servers: [h], publish_timeout: 0s}", "publish_timeout"),
            ("{servers: [h], publish_timeout: 5m}", "publish_timeout"),
            ("{servers: [h], heartbeat: 1m}", "heartbeat"),
            ("{servers: [h], auth: {user: a}}", "auth"),
            ("{servers: [h], auth: {password: a}}", "auth"),
            ("{servers: [h], auth: {token: a, nkey_file: b}}", "auth"),
            (
                "{servers: [h], auth: {token: a, token_file: b}}",
                "auth.token",
            ),
            ("{servers: [h], tls: {cert: a}}", "tls"),
        ] {
            let found = problems_of(yaml);
            assert_eq!(found.len(), 1, "{yaml}: {found:?}");
            assert!(found[0].starts_with(&format!("{place}: ")), "{found:?}");
        }
    }

    #[test]
    fn secrets_are_not_written_out() {
        let config: Config =
            serde_saphyr::from_str("{servers: [h], auth: {user: a, password: hunter2}}").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
    }
}
