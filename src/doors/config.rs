//! `answer:` — what a proxy is told.

use std::collections::BTreeMap;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assertion;
use crate::core::config_error::{ConfigErrors, shown_key};
use crate::core::request::spelling;
use crate::core::request::target_of;
use crate::verify::claims::ClaimPath;

/// What a proxy is told about a request that may pass, and how a refusal looks.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Request headers that tell the upstream who the client is: header name → claim. `client` is
    /// the first of the issuer's `client_claims`; every other word names a claim, such as `sub` or
    /// `realm_access.roles`. The client's own headers of these names, and those that CGI, WSGI or
    /// PHP would read alike, such as `x.portcullis.subject`, never pass. Values are percent-encoded
    /// where they are not visible ASCII; the items of an array are joined by commas.
    pub headers: BTreeMap<String, ClaimPath>,
    /// Take the token out of a request that may pass, wherever it was found, so that no upstream
    /// ever sees it. Other cookies stay. Requests on exempt routes keep theirs. Only Envoy over gRPC
    /// can take it out of the query. The other proxies need the configuration that
    /// `portcullis proxy-config` prints.
    pub drop_token: bool,
    /// Refuse a request that carries one of these headers, or one that reads alike, when a proxy
    /// asks over HTTP (400, `spoofed_identity`). Set this to `false` behind another gateway that
    /// sets the same headers: then the proxy has to replace or remove them. Envoy over gRPC
    /// always removes them and refuses nothing.
    pub refuse_spoofed: bool,
    /// What to do with a good token that has a claim above 8 KiB, as it is written into its header.
    pub too_long: TooLong,
    /// The `realm` in `WWW-Authenticate` (RFC 6750 §3).
    pub realm: String,
    /// The https URL of the metadata document of the protected resource. Challenges name it as
    /// `resource_metadata` (RFC 9728 §5.1), so that clients find out where to get a token.
    pub resource_metadata: Option<String>,
    /// Tell the upstream who the client is in a JWT that Portcullis signs. Off by default.
    pub assertion: Option<assertion::Config>,
    /// Tell Envoy, as dynamic metadata `portcullis`, who the client is, or why it was refused,
    /// for its access log.
    pub metadata: bool,
}

/// What happens when a claim does not fit into its header. Either is counted in
/// `portcullis_identity_too_long_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TooLong {
    /// Refuse the request with 503, `identity_too_long`.
    Refuse,
    /// Let it pass without that header. An upstream that takes the absence of a group for a
    /// right must not be behind this.
    Drop,
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
                .map(|(name, claim)| {
                    (
                        name.to_owned(),
                        ClaimPath::parse(claim).expect("it is a plain name"),
                    )
                })
                .into(),
            drop_token: false,
            refuse_spoofed: true,
            too_long: TooLong::Refuse,
            realm: "portcullis".to_owned(),
            resource_metadata: None,
            assertion: None,
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

impl Config {
    /// Reports every mistake.
    pub fn check(&self, errors: &mut ConfigErrors) {
        errors.within("headers", |errors| {
            let mut spellings = BTreeMap::new();
            for name in self.headers.keys() {
                let key = shown_key(name);
                if let Err(message) = check_name(name) {
                    errors.push(&key, message);
                }
                if let Some(other) = spellings.insert(spelling(name.as_bytes()), name) {
                    errors.push(&key, format!("is the same header as {other}"));
                }
            }
        });
        if let Some(assertion) = &self.assertion {
            errors.within("assertion", |errors| {
                assertion.check(errors);
                self.check_header(&assertion.header, errors);
            });
        }
        let quotable = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        if self.realm.is_empty() || !self.realm.chars().all(quotable) {
            errors.push(
                "realm",
                "must be visible ASCII without quotes and backslashes, and not empty",
            );
        }
        let is_url = |url: &String| url.starts_with("https://") && target_of(url).is_some();
        if let Some(url) = &self.resource_metadata
            && !(is_url(url) && url.chars().all(|c| quotable(c) && !matches!(c, ' ' | '#')))
        {
            errors.push("resource_metadata", "must be an https URL with a path");
        }
    }
}

impl Config {
    /// Returns the names of all identity headers, in lower case.
    pub(crate) fn header_names(&self) -> impl Iterator<Item = String> {
        let assertion = self.assertion.iter().map(|assertion| &assertion.header);
        let names = self.headers.keys().chain(assertion);
        names.map(|name| name.to_ascii_lowercase())
    }

    /// Reports what is wrong with a header that is none of `headers`.
    fn check_header(&self, name: &str, errors: &mut ConfigErrors) {
        if let Err(message) = check_name(name) {
            errors.push("header", message);
        }
        let reads_alike = |other: &&String| spelling(other.as_bytes()) == spelling(name.as_bytes());
        if let Some(other) = self.headers.keys().find(reads_alike) {
            errors.push("header", format!("is the same header as {other}"));
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if name.starts_with(':') || HeaderName::from_bytes(lower.as_bytes()).is_err() {
        return Err("is not the name of a header that can be set".to_owned());
    }
    let plain = spelling(name.as_bytes());
    let reserved = RESERVED_PREFIXES
        .iter()
        .any(|start| plain.starts_with(start));
    if reserved || RESERVED.contains(&plain.as_str()) {
        return Err("is read by HTTP or by proxies and cannot carry a claim".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(yaml: &str) -> Vec<String> {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        let mut errors = ConfigErrors::new();
        config.check(&mut errors);
        errors.into_vec().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_default_is_valid() {
        let mut errors = ConfigErrors::new();
        Config::default().check(&mut errors);
        assert!(errors.is_empty(), "{errors:?}");
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
            "Content.Length",
            "x!forwarded~host",
        ] {
            let yaml = format!("headers: {{ \"{name}\": sub }}");
            assert_eq!(errors(&yaml).len(), 1, "{name}");
        }
    }

    #[test]
    fn resource_metadata_is_an_https_url() {
        let path = "/.well-known/oauth-protected-resource";
        let good = format!("resource_metadata: https://api.example.com:8443{path}");
        assert_eq!(errors(&good), [""; 0]);
        for url in [
            "",
            "http://api.example.com/x",
            "https://api.example.com",
            "https:///x",
            "https://a/x y",
            "https://a/\\\"x",
            "https://a/x#y",
        ] {
            let yaml = format!("resource_metadata: \"{url}\"");
            assert_eq!(errors(&yaml).len(), 1, "{url}");
        }
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let found = errors("{ headers: { X-User: sub, x.user: iss }, realm: \"a\\\"b\" }");
        assert_eq!(
            found,
            [
                "headers.x.user: is the same header as X-User",
                "realm: must be visible ASCII without quotes and backslashes, and not empty",
            ]
        );
    }
}
