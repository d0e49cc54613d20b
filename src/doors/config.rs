//! `answer:` — what a proxy is told.

use std::collections::BTreeMap;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assertion;
use crate::core::config_error::{ConfigErrors, shown_key};
use crate::core::request::spelling;
use crate::core::request::target_of;
use crate::core::route::{Resource, RouteAnswer};
use crate::core::shorthand::TextOr;
use crate::verify::claims::ClaimPath;

/// What a proxy is told about a request that may pass, and how a refusal looks.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Request headers that tell the upstream who the client is: header name → claim. `client` is
    /// the first of the issuer's `client_claims`; every other word names a claim, such as `sub` or
    /// `realm_access.roles`. The client's own headers of these names, and those that CGI, WSGI or
    /// PHP would read alike, such as `x.portcullis.subject`, never pass. Values are percent-encoded
    /// where they are not visible ASCII; the items of an array are joined by commas. A mapping in place of
    /// the claim, such as `{ claim: realm_access, as: json }`, writes it otherwise.
    pub headers: BTreeMap<String, TextOr<ClaimPath, Format>>,
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
    /// The protected resource that all requests are for, in place of `resource_metadata`. Policies may say
    /// another one.
    pub resource: Option<Resource>,
    /// Tell the upstream who the client is in a JWT that Portcullis signs. Off by default.
    pub assertion: Option<assertion::Config>,
    /// Tell Envoy, as dynamic metadata `portcullis`, who the client is, or why it was refused,
    /// for its access log.
    pub metadata: bool,
}

/// A claim in a header, written in another way than as text with commas.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// The claim. Left out, with `as: json`: the whole payload of the token, as its issuer wrote it.
    pub claim: Option<ClaimPath>,
    /// How the value is written.
    #[serde(default, rename = "as")]
    pub form: Form,
    /// What stands between the items of an array, with `as: text`. It is percent-encoded within items.
    #[serde(default)]
    pub join: Join,
}

/// How the value of a header is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Percent-encoded text, without types. An object has none.
    #[default]
    Text,
    /// JSON with its types, objects included, in base64url without padding (RFC 4648 §5).
    Json,
}

/// What separates the items of an array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    #[default]
    Comma,
    Space,
    Semicolon,
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
                        TextOr::Text(ClaimPath::parse(claim).expect("it is a plain name")),
                    )
                })
                .into(),
            drop_token: false,
            refuse_spoofed: true,
            too_long: TooLong::Refuse,
            realm: "portcullis".to_owned(),
            resource_metadata: None,
            resource: None,
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
            for (name, source) in &self.headers {
                let key = shown_key(name);
                if let TextOr::More(format) = source {
                    errors.within(&key, |errors| format.check(errors));
                }
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
                self.check_header(&assertion.header, "header", errors);
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
        if let Some(resource) = &self.resource {
            errors.within("resource", |errors| resource.check(errors));
            if self.resource_metadata.is_some() {
                errors.conflict(
                    "resource_metadata",
                    "is made from resource: give one of them",
                );
            }
        }
    }

    /// Reports what is wrong with the answers of policies, each with its place.
    pub fn check_routes<'a>(
        &self,
        routes: impl Iterator<Item = (String, &'a RouteAnswer)>,
        errors: &mut ConfigErrors,
    ) {
        let (mut spellings, mut places) = (BTreeMap::new(), BTreeMap::new());
        if let Some(resource) = &self.resource {
            places.insert(resource.place(), "answer".to_owned());
        }
        for (place, answer) in routes {
            errors.within(&place, |errors| {
                if answer.audience.as_ref().is_some_and(String::is_empty) {
                    errors.push("audience", "must not be empty");
                }
                if answer.audience.is_some() && self.assertion.is_none() {
                    errors.push("audience", "is of an assertion: configure answer.assertion");
                }
                for (name, value) in &answer.headers {
                    let field = format!("headers.{}", shown_key(name));
                    self.check_fixed((name, value.as_str()), &mut spellings, &field, errors);
                }
                if let Some(resource) = &answer.resource {
                    errors.within("resource", |errors| resource.check(errors));
                    let other = places.insert(resource.place(), place.clone());
                    if let Some(other) = other {
                        errors.push("resource.url", format!("is the resource of {other}"));
                    }
                }
            });
        }
    }

    fn check_fixed<'a>(
        &self,
        (name, value): (&'a String, &str),
        spellings: &mut BTreeMap<String, &'a String>,
        field: &str,
        errors: &mut ConfigErrors,
    ) {
        self.check_header(name, field, errors);
        let spelt = spelling(name.as_bytes());
        let first = spellings.entry(spelt).or_insert(name);
        if !first.eq_ignore_ascii_case(name) {
            errors.push(field, format!("is the same header as {first}"));
        }
        let is_sent = |byte: u8| matches!(byte, b' '..=b'~');
        if value.is_empty() || value.trim() != value || !value.bytes().all(is_sent) {
            errors.push(field, "must be visible ASCII, and not empty");
        }
    }
}

impl Format {
    fn check(&self, errors: &mut ConfigErrors) {
        if self.form == Form::Text && self.claim.is_none() {
            errors.push("claim", "is missing; only `as: json` writes all claims");
        }
        if self.form == Form::Json && self.join != Join::Comma {
            errors.conflict("join", "is for `as: text`: JSON has its own commas");
        }
    }
}

impl Config {
    /// Returns the names of all identity headers but those with fixed values, in lower case.
    pub(crate) fn header_names(&self) -> impl Iterator<Item = String> {
        let names = self.headers.keys().chain(self.assertion_header());
        names.map(|name| name.to_ascii_lowercase())
    }

    /// Reports what is wrong with a header that is none of `headers`.
    fn check_header(&self, name: &str, field: &str, errors: &mut ConfigErrors) {
        if let Err(message) = check_name(name) {
            errors.push(field, message);
        }
        let reads_alike = |other: &&String| {
            !std::ptr::eq(other.as_str(), name)
                && spelling(other.as_bytes()) == spelling(name.as_bytes())
        };
        let mut others = self.headers.keys().chain(self.assertion_header());
        if let Some(other) = others.find(reads_alike) {
            errors.push(field, format!("is the same header as {other}"));
        }
    }

    fn assertion_header(&self) -> Option<&String> {
        self.assertion.as_ref().map(|assertion| &assertion.header)
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
