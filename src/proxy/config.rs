//! `answer:` — what a proxy is told.

use std::collections::BTreeMap;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::problem::Problems;
use crate::verify::claims::ClaimPath;

/// What a proxy is told about a request that may pass, and how a refusal looks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Request headers that tell the upstream who the client is: header name → claim. `client` is
    /// the first of the issuer's `client_claims`; every other word names a claim, such as `sub` or
    /// `realm_access.roles`. The client's own headers of these names are always removed. Values are percent-encoded where
    /// they are not visible ASCII; the items of an array are joined by commas.
    pub headers: BTreeMap<String, ClaimPath>,
    /// Take the `Authorization` header out of a request that may pass, so that no upstream ever
    /// sees the token. Exempt routes keep theirs. Works with Envoy, gRPC and HTTP; other proxies
    /// have a setting of their own.
    pub drop_authorization: bool,
    /// The `realm` in `WWW-Authenticate` (RFC 6750 §3).
    pub realm: String,
    /// Tell Envoy, as dynamic metadata `portcullis`, who the client is, or why it was refused,
    /// for its access log.
    pub metadata: bool,
}

impl Default for Config {
    fn default() -> Self {
        let headers = [
            ("x-portcullis-subject", "sub"),
            ("x-portcullis-issuer", "iss"),
            ("x-portcullis-client", "client"),
        ];
        Self {
            headers: headers
                .map(|(name, claim)| (name.to_owned(), claim.parse().expect("it is a plain name")))
                .into(),
            drop_authorization: false,
            realm: "portcullis".to_owned(),
            metadata: true,
        }
    }
}

/// Headers that mean something to HTTP itself or to a proxy. A claim in one of them would change
/// how the request is read, not what the upstream knows about the client.
const RESERVED: [&str; 24] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
    "x-http-method-override",
];

const RESERVED_PREFIXES: [&str; 4] = ["x-envoy-", "x-forwarded-", "x-original-", "grpc-"];

/// Each separator of a name doubles the number of its spellings.
const MOST_SEPARATORS: usize = 4;

impl Config {
    /// Reports every mistake.
    pub fn check(&self, problems: &mut Problems) {
        problems.within("headers", |problems| {
            let mut spellings = BTreeMap::new();
            for name in self.headers.keys() {
                if let Err(message) = check_name(name) {
                    problems.push(name, message);
                }
                if let Some(other) = spellings.insert(spelling(name), name) {
                    problems.push(name, format!("is the same header as {other}"));
                }
            }
        });
        let quotable = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        if self.realm.is_empty() || !self.realm.chars().all(quotable) {
            problems.push(
                "realm",
                "must be visible ASCII without quotes and backslashes, and not empty",
            );
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if name.starts_with(':') || HeaderName::from_bytes(lower.as_bytes()).is_err() {
        return Err("is not the name of a header that can be set".to_owned());
    }
    let plain = spelling(name);
    let reserved = RESERVED_PREFIXES
        .iter()
        .any(|start| plain.starts_with(start));
    if reserved || RESERVED.contains(&plain.as_str()) {
        return Err("is read by HTTP or by proxies and cannot carry a claim".to_owned());
    }
    if name.matches(['-', '_']).count() > MOST_SEPARATORS {
        return Err(format!(
            "has more than {MOST_SEPARATORS} dashes: its look-alikes with underscores could not \
             all be removed"
        ));
    }
    Ok(())
}

/// One spelling for all names that a CGI-like upstream cannot tell apart.
fn spelling(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(yaml: &str) -> Vec<String> {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems
            .into_vec()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_default_is_sound() {
        let mut problems = Problems::new();
        Config::default().check(&mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        assert!(serde_saphyr::from_str::<Config>("{}").unwrap().metadata);
    }

    #[test]
    fn headers_that_must_not_carry_a_claim_are_refused() {
        for name in [
            ":authority",
            ":path",
            "host",
            "Host",
            "content-length",
            "Content_Length",
            "transfer-encoding",
            "connection",
            "authorization",
            "cookie",
            "x-envoy-auth-headers-to-remove",
            "x-forwarded-for",
            "X-Original-URI",
            "a b",
            "x\\ny",
            "",
            "ü",
            "a-b-c-d-e-f",
        ] {
            let yaml = format!("headers: {{ \"{name}\": sub }}");
            assert_eq!(problems(&yaml).len(), 1, "{name}");
        }
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let found = problems("{ headers: { X-User: sub, x_user: iss }, realm: \"a\\\"b\" }");
        assert_eq!(
            found,
            [
                "headers.x_user: is the same header as X-User",
                "realm: must be visible ASCII without quotes and backslashes, and not empty",
            ]
        );
    }
}
