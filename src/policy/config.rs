//! `policies:` — rules for routes, as the configuration writes them.

use std::collections::BTreeSet;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::demands::Demands;
use super::host::HostPattern;
use super::matcher::Matcher;
use super::path::plain_method;
use super::pattern::Pattern;
use super::rule::{Rule, Token};
use crate::core::config_error::ConfigErrors;
use crate::core::route::RouteAnswer;
use crate::core::units::Span;
use crate::core::when_stale::WhenStale;
use crate::verify::claims::Requirement;

/// A rule: the requests that it matches, and what their tokens must say. The first rule that matches
/// counts; [policy.md](policy.md) explains it. A rule without `hosts`, `methods`, `path` and `prefix`
/// matches nothing by itself: only the proxy can choose it, by its name.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// The name in logs, in `portcullis explain` and in what the proxy says: a-z, 0-9 and `-`.
    pub name: String,
    /// The hosts, such as `[shop.example.com, "*.shop.example.com"]`, without port. An asterisk stands for
    /// one or more labels. Default: every host.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The methods, such as `[POST, PUT]`. Default: every method.
    #[serde(default)]
    pub methods: Vec<String>,
    /// The whole path. `{id}` stands for one segment: `/users/{id}/orders`.
    pub path: Option<String>,
    /// The beginning of the path, in whole segments. `/admin` covers that path and everything below it,
    /// `/admin/` only what is below it. `{id}` stands for one segment. Default: every path.
    pub prefix: Option<String>,
    /// Whether requests need a token.
    #[serde(default)]
    pub token: TokenNeed,
    /// The issuers whose tokens are accepted, out of `issuers`. Default: all.
    #[serde(default)]
    pub issuers: Vec<String>,
    /// The token must have one of these audiences (`aud`), beside what its issuer's entry asks for.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// The clients whose tokens are accepted; the issuer's `client_claims` say where a token names its
    /// client. Default: all.
    #[serde(default)]
    pub clients: Vec<String>,
    /// The token must have all of these scopes, in `scope` or `scp`, as an array or separated by spaces.
    /// A client whose token lacks one is told these scopes (403, RFC 6750 §3.1).
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Roles, such as `{ claim: realm_access.roles, is: [admin, auditor] }`: the token must have one
    /// role of each entry. The claim may be an array, or a text with spaces between the roles.
    #[serde(default)]
    pub roles: Vec<Requirement>,
    /// Claims that the token must have, such as `tenant`, or must have with one of the given values,
    /// such as `{ claim: tenant, is: [acme, globex] }`. All entries count.
    #[serde(default)]
    pub claims: Vec<Requirement>,
    /// Conditions in CEL over `request`, `claims` and `now`, such as
    /// `claims.tenant == request.headers["x-tenant"]`. All of them have to hold.
    /// [policy.md](policy.md#conditions) says what they can read.
    #[serde(default)]
    pub conditions: Vec<String>,
    /// The longest time since the token was issued (`iat`). An older token gets 401, so that the client
    /// asks for a new one.
    pub max_token_age: Option<Span>,
    /// The levels of authentication (`acr`) that are accepted. A token with another one gets 401 with
    /// these levels (RFC 9470). Default: all.
    #[serde(default)]
    pub acr: Vec<String>,
    /// The longest time since the user logged in (`auth_time`). A token with an older login, or without
    /// `auth_time`, gets 401 with this age (RFC 9470).
    pub max_auth_age: Option<Span>,
    /// What happens when the log of revocations has been silent for longer than `max_staleness`. Goes before the
    /// `when_stale` of the token's issuer.
    pub when_stale: Option<WhenStale>,
    /// Refuses nothing by this rule: requests get the rule that they would get without it. What this rule would
    /// refuse is counted, logged and kept as such.
    #[serde(default)]
    pub shadow: bool,
    /// What the upstream and the client are told about these requests, beside what `answer` says.
    #[serde(default)]
    pub answer: RouteAnswer,
}

/// Whether the requests of a rule need a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenNeed {
    /// A request without a token is refused.
    #[default]
    Required,
    /// A request without a token passes. A token that is there has to be good and to meet the rule.
    Optional,
    /// Every request passes. A token is ignored, and the upstream gets no identity headers.
    None,
}

impl RuleConfig {
    /// Builds the rule and reports everything that is wrong with it.
    pub(super) fn build(&self, errors: &mut ConfigErrors) -> Rule {
        if errors.name("name", &self.name) && self.name == "default" {
            errors.push("name", "means that no policy is named: choose another name");
        }
        let matcher = self.matcher(errors);
        let demands = self.demands(errors);
        if self.token == TokenNeed::None && self.shadow {
            let message = "needs no token, so the rule would refuse nothing: remove shadow";
            errors.conflict("shadow", message);
        }
        if self.token == TokenNeed::None && self.when_stale.is_some() {
            let message = "has no effect, because tokens are ignored here";
            errors.conflict("when_stale", message);
        }
        if self.token == TokenNeed::None && demands.is_some() {
            let message = "ignores tokens, so the rule's demands on tokens are never checked: use \
                           `token: optional`, or remove them";
            errors.conflict("token", message);
        }
        let is_open = self.token != TokenNeed::Required && self.hosts.is_empty();
        let is_preflight = self.methods == ["OPTIONS"];
        let is_everything = |matcher: &Matcher| matcher.path.is_everything();
        if is_open && !is_preflight && matcher.as_ref().is_some_and(is_everything) {
            let message = "exempts every path of every host: give hosts, path or prefix, or \
                           `methods: [OPTIONS]`";
            errors.conflict("token", message);
        }
        Rule {
            name: self.name.as_str().into(),
            matcher,
            token: match self.token {
                TokenNeed::Required => Token::Required,
                TokenNeed::Optional => Token::Optional,
                TokenNeed::None => Token::Ignored,
            },
            demands: demands.map(Box::new),
            when_stale: self.when_stale,
            shadow: self.shadow,
            answer: (self.answer != RouteAnswer::default()).then(|| Box::new(self.told())),
            ..Rule::default()
        }
    }

    /// Returns what is told, with what the resource takes over from the rule.
    fn told(&self) -> RouteAnswer {
        let mut answer = self.answer.clone();
        if let Some(resource) = &mut answer.resource {
            for (told, own) in [
                (&mut resource.authorization_servers, &self.issuers),
                (&mut resource.scopes, &self.scopes),
            ] {
                if told.is_empty() {
                    told.clone_from(own);
                }
            }
        }
        answer
    }

    /// Returns whether only the proxy can choose the rule.
    #[must_use]
    pub fn is_named_only(&self) -> bool {
        let has_path = self.path.is_some() || self.prefix.is_some();
        !has_path && self.hosts.is_empty() && self.methods.is_empty()
    }

    /// Returns what the rule matches; nothing if only the proxy can choose it.
    fn matcher(&self, errors: &mut ConfigErrors) -> Option<Matcher> {
        let path = match (&self.path, &self.prefix) {
            (Some(path), None) => found("path", path, Pattern::whole(path, true), errors)?,
            (None, Some(prefix)) => found("prefix", prefix, Pattern::prefix(prefix, true), errors)?,
            (Some(_), Some(_)) => {
                errors.push("", "give path or prefix, not both");
                return None;
            }
            (None, None) if self.is_named_only() => return None,
            (None, None) => Pattern::everything(),
        };
        let mut hosts = Vec::new();
        for host in &self.hosts {
            match HostPattern::parse(host) {
                Ok(host) => hosts.push(host),
                Err(why) => errors.push("hosts", format!("{host:?} {why}")),
            }
        }
        for method in &self.methods {
            plain_method(method, errors);
        }
        Some(Matcher {
            hosts: hosts.into(),
            methods: boxed(&self.methods),
            path,
        })
    }

    /// Returns what the rule demands of tokens; nothing if every verified token will do.
    fn demands(&self, errors: &mut ConfigErrors) -> Option<Demands> {
        let lists = [
            ("issuers", &self.issuers),
            ("audiences", &self.audiences),
            ("clients", &self.clients),
            ("scopes", &self.scopes),
            ("acr", &self.acr),
        ];
        for (field, list) in lists {
            if list.iter().any(String::is_empty) {
                errors.push(field, "must not contain an empty string");
            }
        }
        // Both stand in a challenge, in quotes and with spaces between them (RFC 6749 §3.3).
        let is_sent = |byte: u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\');
        for (field, list) in [("scopes", &self.scopes), ("acr", &self.acr)] {
            if let Some(odd) = list.iter().find(|one| !one.bytes().all(is_sent)) {
                let message =
                    format!("{odd:?} has a space, a quote, a backslash or a letter outside ASCII");
                errors.push(field, message);
            }
        }
        for (field, span) in [
            ("max_token_age", self.max_token_age),
            ("max_auth_age", self.max_auth_age),
        ] {
            if span.is_some_and(|span| span.0.as_secs() == 0) {
                errors.push(field, "must be at least 1s");
            }
        }
        let mut conditions = Vec::new();
        errors.each("conditions", &self.conditions, |errors, text| {
            conditions.extend(Condition::compile(text, errors));
        });
        let demands = Demands {
            rule: self.name.as_str().into(),
            issuers: boxed(&self.issuers),
            by_issuer: self.issuers.iter().map(|name| (name, ())).collect(),
            audiences: boxed(&self.audiences),
            clients: boxed(&self.clients),
            scopes: boxed(&self.scopes),
            roles: self.roles.clone().into(),
            claims: self.claims.clone().into(),
            conditions: conditions.into(),
            max_age: self.max_token_age.map(|span| span.0.as_secs()),
            acr: boxed(&self.acr),
            max_auth_age: self.max_auth_age.map(|span| span.0.as_secs()),
            ..Demands::default()
        };
        let none = Demands {
            rule: demands.rule.clone(),
            ..Demands::default()
        };
        (demands != none).then(|| demands.with_challenges())
    }
}

fn boxed(list: &[String]) -> Box<[Box<str>]> {
    list.iter().map(|one| one.as_str().into()).collect()
}

/// Returns a path that was read, or reports why it cannot be.
pub(super) fn found(
    field: &str,
    path: &str,
    read: Result<Pattern, &'static str>,
    errors: &mut ConfigErrors,
) -> Option<Pattern> {
    let report = |why| errors.push(field, format!("{path:?} {why}, so no request can match it"));
    read.map_err(report).ok()
}

/// Reports names that stand twice.
pub(super) fn check_names(policies: &[RuleConfig], errors: &mut ConfigErrors) {
    let mut earlier = BTreeSet::new();
    for (i, rule) in policies.iter().enumerate() {
        if !earlier.insert(&rule.name) {
            errors.push(
                &format!("policies[{i}].name"),
                "an earlier policy has this name",
            );
        }
    }
}

/// Returns the header in which proxies name a policy.
pub(super) fn header(name: &str, errors: &mut ConfigErrors) -> Option<Box<str>> {
    let name = name.to_ascii_lowercase();
    let is_header = HeaderName::from_bytes(name.as_bytes()).is_ok();
    if !is_header || !name.starts_with("x-") {
        let message = "must be the name of a header of its own that begins with x-";
        errors.push("policy_header", message);
        return None;
    }
    Some(name.into())
}
