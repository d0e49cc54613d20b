//! The configuration: one YAML file, composed of each module's own `Config`.
//!
//! Everything that is wrong is reported at once, each mistake with its line and field: `yaml` makes a
//! tree that knows positions → `interpolate` expands environment variables → `mend` makes the types
//! below with serde (`decode`), and puts samples in the place of values that do not fit → each module
//! checks its own values, and `cross` checks them together.

mod changes;
mod cross;
mod decode;
mod interpolate;
mod listen;
mod mend;
mod nearest;
mod outline;
mod read;
mod report;
mod sample;
mod schema;
#[cfg(test)]
mod tests;
mod tree;
mod yaml;

pub use changes::{Change, at_start, changes};
pub use listen::{Addresses, Listen};
pub(crate) use read::load_as;
pub use read::{load, parse, parse_other};
pub use report::{Finding, Report};
pub use schema::schema;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::client_ip::ClientIp;
use crate::core::config_error::ConfigErrors;
use crate::core::issuer::IssuerPattern;
use crate::core::outline::Outline;
use crate::core::route::RouteAnswer;
use crate::core::units::Span;
use crate::{
    admin, audit, core::token, doors, events, net, oauth, policy, revocation, telemetry, verify,
};

/// The settings of Portcullis.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where Portcullis listens. At least one of `ext_authz` and `forward_auth` is needed.
    pub listen: Listen,

    /// How many connections each listener holds at once, and how long a new one may take.
    #[serde(default)]
    pub connections: net::Config,

    /// The issuers whose tokens are accepted, and how their tokens are verified.
    #[schemars(length(min = 1))]
    pub issuers: Vec<verify::IssuerConfig>,

    /// How key sets are fetched and kept, for all issuers.
    #[serde(default)]
    pub keys: verify::KeysConfig,

    /// The cache of verified tokens. Revocations are looked up behind it on every request, so it
    /// never keeps a revoked token alive.
    #[serde(default)]
    pub cache: verify::CacheConfig,

    /// Where in a request the token is sought.
    #[serde(default)]
    pub token: token::Config,

    /// Which address a request comes from, for revocations of networks. Default: not known.
    #[serde(default)]
    pub client_ip: Option<ClientIp>,

    /// Paths that need no token.
    #[serde(default)]
    pub bypass: Vec<policy::Bypass>,

    /// What requests need, by host, method and path. The first rule that matches counts, after those of
    /// `bypass`. A request that no rule matches needs a token, and nothing more.
    #[serde(default)]
    pub policies: Vec<policy::RuleConfig>,

    /// The header in which proxies that ask over HTTP name a rule of `policies`, such as
    /// `x-portcullis-policy`. Every such proxy then has to set it on each question, to the name of a rule
    /// without a match or to `default`; a question without it is refused with 503, so that no client
    /// can name a policy in place of a proxy that forgot to. Default: no header is read. Envoy over gRPC
    /// names a policy by `context_extensions`.
    pub policy_header: Option<String>,

    // Built from `bypass` and `policies` when the file is read.
    #[serde(skip)]
    #[schemars(skip)]
    pub policy: policy::Policy,

    /// The paths of the settings that say `insecure: true`.
    #[serde(skip)]
    #[schemars(skip)]
    pub insecure: Vec<String>,

    /// Every setting, with defaults filled in.
    #[serde(skip)]
    #[schemars(skip)]
    pub outline: Outline,

    /// The SHA-256 of the file, in hexadecimal.
    #[serde(skip)]
    #[schemars(skip)]
    pub hash: String,

    /// Where revocations are kept, for how long, and what happens when news of them stop coming.
    #[serde(default)]
    pub revocations: revocation::Config,

    /// Who tells Portcullis about revocations: one entry for each sender of webhooks, which
    /// reaches it at `/events/<name>`.
    #[serde(default)]
    pub events: Vec<events::SourceConfig>,

    /// How much time and room the senders of events get.
    #[serde(default)]
    pub event_listener: events::ListenerConfig,

    /// Who may use the admin API, at `/v1/…` on `listen.admin`.
    #[serde(default)]
    pub admin: admin::Config,

    /// Who revoked what, and who was refused for it, in a file that shows when it was changed. Off by default.
    #[serde(default)]
    pub audit: Option<audit::Config>,

    /// Who may revoke and introspect tokens with OAuth, at `/oauth2/revoke` and `/oauth2/introspect` on
    /// `listen.events`.
    #[serde(default)]
    pub oauth: oauth::Config,

    /// What is answered: the headers that the service behind the proxy gets, and how a refusal
    /// looks.
    #[serde(default)]
    pub answer: doors::Config,

    /// How `ext_authz` and `forward_auth` serve proxies.
    #[serde(default)]
    pub doors: doors::serve::Config,

    /// What is logged, and how.
    #[serde(default)]
    pub log: telemetry::Config,

    /// Where spans go: OpenTelemetry traces of slow and of sampled checks, of events and of key fetches. Off by
    /// default.
    #[serde(default)]
    pub traces: Option<telemetry::traces::Config>,

    /// How the process ends.
    #[serde(default)]
    pub shutdown: Shutdown,
}

/// How the process ends.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long requests and events that are under way may take after SIGTERM, before the process
    /// ends without them. Readiness is withdrawn at once, so the proxy stops asking.
    pub drain_timeout: Span,

    /// How long to go on serving after readiness is withdrawn, so that a proxy which asks about
    /// health now and then has time to notice.
    pub delay: Span,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            drain_timeout: Span::secs(20),
            delay: Span::secs(0),
        }
    }
}

impl Config {
    /// Lets each module report what is wrong with its own part, and build what it needs.
    fn build(&mut self, errors: &mut ConfigErrors) {
        errors.within("listen", |errors| self.listen.check(errors));
        errors.within("connections", |errors| self.connections.check(errors));
        verify::check_issuers(&self.issuers, errors);
        for (i, issuer) in self.issuers.iter().enumerate() {
            if let Some(session) = &issuer.session {
                let path = format!("issuers[{i}].session");
                errors.within(&path, |errors| session.check(errors));
            }
        }
        errors.within("keys", |errors| self.keys.check(errors));
        errors.within("token", |errors| self.token.check(errors));
        if let Some(client_ip) = &self.client_ip {
            errors.within("client_ip", |errors| client_ip.check(errors));
        }
        let header = self.policy_header.as_deref();
        let built = policy::Policy::build(&self.bypass, &self.policies, header, errors);
        self.policy = built.unwrap_or_default();
        errors.within("revocations", |errors| {
            let entries = self.issuers.iter();
            let entries = entries.map(|entry| terms(entry, entry.issuer.clone()));
            self.revocations.check(errors, &entries.collect::<Vec<_>>());
        });
        events::check(&self.events, errors);
        errors.within("event_listener", |errors| {
            self.event_listener.check(errors);
        });
        errors.within("admin", |errors| self.admin.check(errors));
        if let Some(audit) = &self.audit {
            errors.within("audit", |errors| audit.check(errors));
        }
        errors.within("oauth", |errors| self.oauth.check(errors));
        errors.within("answer", |errors| self.answer.check(errors));
        let routes = self.policies.iter().enumerate();
        let routes = routes.map(|(i, rule)| (format!("policies[{i}].answer"), &rule.answer));
        self.answer.check_routes(routes, errors);
        let names = self.issuer_names();
        if let Some(resource) = &mut self.answer.resource
            && resource.authorization_servers.is_empty()
        {
            resource.authorization_servers = names;
        }
        errors.within("doors", |errors| self.doors.check(errors));
        errors.within("log", |errors| self.log.check(errors));
        if let Some(traces) = &self.traces {
            errors.within("traces", |errors| traces.check(errors));
        }
    }

    /// Returns the issuers that have one name.
    fn issuer_names(&self) -> Vec<String> {
        let names = self.issuers.iter().map(|entry| &entry.issuer);
        let has_one = |name: &&String| matches!(IssuerPattern::parse(name), Ok(None));
        names.filter(has_one).cloned().collect()
    }

    /// Returns the answers of policies, by the numbers of their routes from 1 on.
    #[must_use]
    pub fn routes(&self) -> Vec<RouteAnswer> {
        let mut routes: Vec<_> = self.policy.answers().cloned().collect();
        let resources = routes
            .iter_mut()
            .filter_map(|answer| answer.resource.as_mut());
        for resource in resources.filter(|one| one.authorization_servers.is_empty()) {
            resource.authorization_servers = self.issuer_names();
        }
        routes
    }

    /// Returns what the retention of revocations depends on.
    #[must_use]
    pub fn lifetimes(&self) -> Vec<revocation::Issuer> {
        let of = |entry: &verify::IssuerConfig| {
            let names = entry.names().into_iter();
            names.map(|name| terms(entry, name)).collect::<Vec<_>>()
        };
        self.issuers.iter().flat_map(of).collect()
    }

    /// Describes the configuration in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |n: usize, one: &str| match n {
            1 => format!("1 {one}"),
            _ => format!("{n} {one}s"),
        };
        let mut doors: Vec<&str> = self.listen.all().map(|(name, _)| name).collect();
        doors.dedup();
        let policies = match self.policies.len() {
            0 => String::new(),
            1 => ", 1 policy".to_owned(),
            n => format!(", {n} policies"),
        };
        format!(
            "{}, {}, {}{}; listens for {}",
            count(self.issuers.len(), "issuer"),
            count(self.events.len(), "event source"),
            count(self.bypass.len(), "bypass rule"),
            policies,
            doors.join(", "),
        )
    }
}

fn terms(entry: &verify::IssuerConfig, issuer: String) -> revocation::Issuer {
    revocation::Issuer {
        issuer,
        max_token_lifetime: entry.max_token_lifetime.0,
        leeway: entry.leeway.0,
    }
}
