//! What is told about the requests of one policy, beside what `answer` says for all.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config_error::ConfigErrors;

/// Which [`RouteAnswer`] a request gets; the default is the one of `answer` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route(u16);

impl Route {
    /// Numbers the answers of policies from 1 on.
    #[must_use]
    pub fn numbered(number: usize) -> Self {
        Self(u16::try_from(number).expect("a configuration is far below 65536 policies"))
    }

    /// Returns the place in a list that begins with the default.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// What the upstream and the client are told about the requests of a policy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteAnswer {
    /// `aud` of the signed assertion, in place of `answer.assertion.audience`.
    pub audience: Option<String>,
    /// Request headers with fixed values for the upstream, such as `x-tier: gold`. On all other routes, and in
    /// what the client sent, they are removed like those of `answer.headers`.
    pub headers: BTreeMap<String, String>,
    /// The protected resource that the requests are for. Its document is served, and challenges name it.
    pub resource: Option<Resource>,
}

/// A protected resource (RFC 9728). Portcullis serves its metadata document on `listen.forward_auth`, `events`
/// and `admin`, and names it in challenges, so that clients find out where to get a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its identifier, as clients reach it: an https URL such as `https://api.example.com/mcp`. The document is
    /// at `https://api.example.com/.well-known/oauth-protected-resource/mcp`.
    pub url: String,
    /// `resource_name`, for people.
    pub name: Option<String>,
    /// `authorization_servers`. Default: the issuers that the policy accepts.
    #[serde(default)]
    pub authorization_servers: Vec<String>,
    /// `scopes_supported`. Default: the scopes that the policy asks for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// `resource_documentation`: a URL.
    pub documentation: Option<String>,
}

/// Stands between the host and the path of a resource (RFC 9728 §3.1).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

impl Resource {
    /// Reports what is wrong, with the resource as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        // It stands in a challenge, in quotes, and clients compare it byte by byte.
        let is_plain = |byte: u8| matches!(byte, b'!'..=b'~') && !b"\"\\?#".contains(&byte);
        let (host, path) = self.parts();
        let is_host = |byte: u8| byte.is_ascii_lowercase() || b"-.:[]0123456789".contains(&byte);
        let is_url = self.url.starts_with("https://") && !host.is_empty();
        if !is_url || !host.bytes().all(is_host) || !path.bytes().all(is_plain) {
            errors.push(
                "url",
                "must be an https URL with a host in lower case, without query and fragment",
            );
        }
    }

    /// Returns host and path. A path of one slash alone counts as none.
    fn parts(&self) -> (&str, &str) {
        let rest = self.url.strip_prefix("https://").unwrap_or_default();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        (host, if path == "/" { "" } else { path })
    }

    /// Returns the host and the path at which the document is asked for.
    #[must_use]
    pub fn place(&self) -> (String, String) {
        let (host, path) = self.parts();
        (host.to_owned(), format!("{WELL_KNOWN}{path}"))
    }

    /// Returns the URL of the document.
    #[must_use]
    pub fn metadata_url(&self) -> String {
        let (host, path) = self.place();
        format!("https://{host}{path}")
    }

    /// Returns the document (RFC 9728 §2).
    #[must_use]
    pub fn metadata(&self) -> Value {
        let mut document = json!({
            "resource": self.url,
            "authorization_servers": self.authorization_servers,
            "bearer_methods_supported": ["header"],
        });
        let optional = [
            ("scopes_supported", json!(self.scopes)),
            ("resource_name", json!(self.name)),
            ("resource_documentation", json!(self.documentation)),
        ];
        for (name, value) in optional {
            if !value.is_null() && value != json!([]) {
                document[name] = value;
            }
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(url: &str) -> Resource {
        serde_saphyr::from_str(&format!("{{ url: '{url}' }}")).unwrap()
    }

    #[test]
    fn the_document_stands_between_host_and_path() {
        let base = "https://api.example.com/.well-known/oauth-protected-resource";
        for (url, expected) in [
            ("https://api.example.com", base.to_owned()),
            ("https://api.example.com/", base.to_owned()),
            ("https://api.example.com/mcp", format!("{base}/mcp")),
            ("https://api.example.com/a/b/", format!("{base}/a/b/")),
        ] {
            assert_eq!(resource(url).metadata_url(), expected);
        }
    }

    #[test]
    fn only_what_clients_can_compare_is_a_resource() {
        for url in [
            "",
            "https://",
            "https:///mcp",
            "http://api.example.com/mcp",
            "https://API.example.com/mcp",
            "https://user@api.example.com/",
            "https://api.example.com/mcp?x",
            "https://api.example.com/mcp#x",
            "https://api.example.com/a b",
            "https://api.example.com/a\"b",
        ] {
            let mut errors = ConfigErrors::new();
            resource(url).check(&mut errors);
            assert_eq!(errors.into_vec().len(), 1, "{url}");
        }
        let mut errors = ConfigErrors::new();
        resource("https://api.example.com:8443/mcp").check(&mut errors);
        assert!(errors.is_empty());
    }
}
