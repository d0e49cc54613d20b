//! Stand-ins for the configuration of modules that are still being written. To be deleted.

pub(super) mod verify {
    use std::path::PathBuf;

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use crate::problem::Problems;
    use crate::units::{Bytes, Span};

    /// One issuer and how its tokens are verified.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct IssuerConfig {
        /// The `iss` claim of its tokens, character for character.
        pub issuer: String,
        /// Where its keys come from.
        pub jwks: Jwks,
        /// A token must name at least one of these in `aud`.
        pub audiences: Vec<String>,
        /// Which signature algorithms are accepted.
        #[serde(default = "algorithms")]
        pub algorithms: Vec<Algorithm>,
        /// A token that lives longer is refused.
        pub max_token_lifetime: Span,
        /// How far clocks may differ.
        #[serde(default = "leeway")]
        pub leeway: Span,
        /// Whether a token without `iat` is refused.
        #[serde(default)]
        pub require_iat: bool,
    }

    /// Where keys come from: exactly one of these.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Jwks {
        /// The address of the key set.
        pub uri: Option<String>,
        /// Finds the key set through the issuer's discovery document.
        #[serde(default)]
        pub discovery: bool,
        /// A file with the key set.
        pub file: Option<PathBuf>,
    }

    /// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
    #[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
    pub enum Algorithm {
        RS256,
        RS384,
        ES256,
        ES384,
        PS256,
        EdDSA,
    }

    fn algorithms() -> Vec<Algorithm> {
        use Algorithm as A;
        vec![A::RS256, A::RS384, A::ES256, A::ES384, A::PS256, A::EdDSA]
    }

    fn leeway() -> Span {
        Span::secs(60)
    }

    impl IssuerConfig {
        pub fn check(&self, problems: &mut Problems) {
            if url::Url::parse(&self.issuer).is_err() {
                problems.push("issuer", format!("{:?} is not a URL", self.issuer));
            }
            if self.audiences.is_empty() {
                problems.push("audiences", "name at least one");
            }
            if self.max_token_lifetime.0.is_zero() {
                problems.push("max_token_lifetime", "must be longer than 0s");
            }
            problems.within("jwks", |problems| {
                let jwks = &self.jwks;
                let given = [jwks.uri.is_some(), jwks.discovery, jwks.file.is_some()];
                if given.iter().filter(|given| **given).count() != 1 {
                    problems.push("", "give exactly one of uri, discovery, file");
                }
                if jwks
                    .uri
                    .as_ref()
                    .is_some_and(|uri| !uri.starts_with("https://"))
                {
                    problems.push("uri", "must be an https URL");
                }
            });
        }
    }

    /// How key sets are fetched.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct KeysConfig {
        /// How often a key set is fetched again.
        #[serde(default = "refresh")]
        pub refresh: Span,
        /// The largest key set that is read.
        #[serde(default = "largest")]
        pub max_size: Bytes,
    }

    fn refresh() -> Span {
        Span::secs(300)
    }

    fn largest() -> Bytes {
        Bytes::mib(1)
    }

    impl KeysConfig {
        pub fn check(&self, problems: &mut Problems) {
            if self.refresh.0.is_zero() {
                problems.push("refresh", "must be longer than 0s");
            }
        }
    }

    /// The cache of verified tokens.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct CacheConfig {
        /// How much memory verified tokens may take.
        #[serde(default = "size")]
        pub size: Bytes,
        /// Into how many parts it is divided.
        #[serde(default = "shards")]
        #[schemars(range(min = 1, max = 1024))]
        pub shards: u16,
    }

    fn size() -> Bytes {
        Bytes::mib(64)
    }

    fn shards() -> u16 {
        16
    }

    impl CacheConfig {
        pub fn check(&self, problems: &mut Problems) {
            if self.size.is_empty() {
                problems.push("size", "must be larger than 0B");
            }
        }
    }
}

pub(super) mod token {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use crate::problem::Problems;
    use crate::units::Bytes;

    /// Where the token is sought.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// The places, in order.
        #[serde(default = "sources")]
        pub sources: Vec<Source>,
        /// The longest token.
        #[serde(default = "max_size")]
        pub max_size: Bytes,
    }

    /// A place in a request.
    #[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Source {
        /// The `Authorization: Bearer` header (RFC 6750 §2.1).
        Bearer,
        /// The header of this name.
        Header(String),
        /// The cookie of this name.
        Cookie(String),
    }

    fn sources() -> Vec<Source> {
        vec![Source::Bearer]
    }

    fn max_size() -> Bytes {
        Bytes::kib(16)
    }

    impl Config {
        pub fn check(&self, problems: &mut Problems) {
            if self.sources.is_empty() {
                problems.push("sources", "name at least one");
            }
        }
    }
}

pub(super) mod policy {
    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::problem::Problems;

    /// Paths that need no token: exactly one of these.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Bypass {
        /// This path alone.
        pub exact: Option<String>,
        /// Every path that begins so, at a slash.
        pub prefix: Option<String>,
    }

    impl Bypass {
        pub fn check(&self, problems: &mut Problems) {
            if self.exact.is_some() == self.prefix.is_some() {
                problems.push("", "give exactly one of exact, prefix");
            }
        }
    }
}

pub(super) mod revocation {
    use std::path::PathBuf;

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use crate::problem::Problems;
    use crate::units::Span;

    /// How revocations are kept.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// Where they are kept.
        pub store: Store,
        /// How old the feed may be.
        #[serde(default = "max_staleness")]
        pub max_staleness: Span,
        /// What happens to requests when the feed is older.
        #[serde(default)]
        pub when_stale: WhenStale,
    }

    /// Where revocations are kept.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    pub enum Store {
        /// In a directory of this machine.
        Embedded(Embedded),
    }

    /// A directory of this machine.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Embedded {
        /// The directory.
        pub path: PathBuf,
    }

    /// What happens to requests when the feed is too old.
    #[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum WhenStale {
        /// They are refused.
        #[default]
        Deny,
        /// They are judged by what is known.
        Allow,
    }

    fn max_staleness() -> Span {
        Span::secs(60)
    }

    impl Config {
        pub fn check(&self, problems: &mut Problems) {
            let Store::Embedded(embedded) = &self.store;
            if embedded.path.as_os_str().is_empty() {
                problems.push("store.embedded.path", "must not be empty");
            }
        }
    }
}

pub(super) mod events {
    use std::path::PathBuf;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::problem::Problems;
    use crate::secret::Secret;

    /// One sender of events.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct SourceConfig {
        /// Its name, and the end of its path: `/events/<name>`.
        pub name: String,
        /// The format of its events.
        pub format: Format,
        /// The issuer whose tokens it revokes.
        pub issuer: String,
        /// How it proves who it is. Several at once must all hold.
        pub auth: Auth,
    }

    /// The format of events.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Format {
        /// `FusionAuth` webhooks.
        Fusionauth,
        /// `Keycloak` admin events.
        Keycloak,
    }

    /// How a sender proves who it is.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Auth {
        /// Basic authentication (RFC 7617).
        pub basic: Option<Basic>,
    }

    /// A user name and a password.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Basic {
        /// The user name.
        pub username: String,
        /// The password itself; better `password_file` or `${NAME}`.
        pub password: Option<Secret>,
        /// A file that holds the password.
        pub password_file: Option<PathBuf>,
    }

    impl SourceConfig {
        pub fn check(&self, problems: &mut Problems) {
            if let Some(basic) = &self.auth.basic {
                problems.within("auth.basic", |problems| {
                    if basic.password.is_some() == basic.password_file.is_some() {
                        problems.push("", "give password or password_file, not both");
                    }
                });
            } else {
                problems.push("auth", "without authentication anybody could revoke");
            }
        }
    }
}

pub(super) mod proxy {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::problem::Problems;

    /// What is answered.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// Request headers for the service, each from a claim.
        #[serde(default = "headers")]
        pub headers: BTreeMap<String, String>,
        /// Whether the `authorization` header is dropped.
        #[serde(default)]
        pub drop_authorization: bool,
    }

    fn headers() -> BTreeMap<String, String> {
        let pair = |header: &str, claim: &str| (header.to_owned(), claim.to_owned());
        BTreeMap::from([
            pair("x-portcullis-subject", "sub"),
            pair("x-portcullis-issuer", "iss"),
        ])
    }

    impl Config {
        pub fn check(&self, problems: &mut Problems) {
            for header in self.headers.keys() {
                if http::HeaderName::from_bytes(header.as_bytes()).is_err() {
                    problems.push(&format!("headers.{header}"), "is no header name");
                }
            }
        }
    }
}

pub(super) mod telemetry {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use crate::problem::Problems;

    /// What is logged.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// For people or for machines.
        #[serde(default)]
        pub format: Format,
        /// What is logged, such as `info` or `portcullis=debug,info`.
        #[serde(default = "level")]
        pub level: String,
    }

    /// The form of a log line.
    #[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Format {
        /// For people.
        #[default]
        Human,
        /// A JSON object on each line.
        Json,
    }

    fn level() -> String {
        "info".to_owned()
    }

    impl Config {
        #[expect(clippy::unused_self, reason = "a stand-in")]
        pub fn check(&self, _problems: &mut Problems) {}
    }
}
