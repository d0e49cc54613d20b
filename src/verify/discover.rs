//! Recognises a provider by its metadata. The result is advice for operators; nothing relies on it.

use serde_json::{Map, Value};
use tokio::time::timeout;

use super::config::IssuerConfig;
use super::fetch::fetch;
use super::key_config::KeysConfig;
use super::origin::well_known;
use super::profile::Profile;
use crate::net::{Access, Clients, safe_url};

const AUTHORIZE: &str = "authorization_endpoint";
const USERINFO: &str = "userinfo_endpoint";
const JWKS: &str = "jwks_uri";

/// The first profile applies whose members of the metadata have values that end like this.
#[rustfmt::skip]
const TRAITS: [(Profile, &[(&str, &str)]); 8] = [
    (Profile::Keycloak, &[(AUTHORIZE, "/protocol/openid-connect/auth")]),
    (Profile::Auth0, &[("mfa_challenge_endpoint", "/mfa/challenge")]),
    (Profile::Okta, &[(AUTHORIZE, "/v1/authorize"), (JWKS, "/v1/keys")]),
    (Profile::Entra, &[("cloud_graph_host_name", "")]),
    (Profile::Hydra, &[(AUTHORIZE, "/oauth2/auth")]),
    (Profile::FusionAuth, &[(AUTHORIZE, "/oauth2/authorize"), (USERINFO, "/oauth2/userinfo")]),
    (Profile::Spring, &[(AUTHORIZE, "/oauth2/authorize"), (JWKS, "/oauth2/jwks")]),
    // The routes of oidc-provider, whose access tokens follow RFC 9068.
    (Profile::Rfc9068, &[(USERINFO, "/me"), (JWKS, "/jwks")]),
];

/// Fetches the issuer's discovery document and returns the profile that fits it, if any does.
///
/// # Errors
/// Why the document cannot be fetched.
pub async fn discover(issuer: &IssuerConfig, keys: &KeysConfig) -> Result<Option<Profile>, String> {
    let jwks = issuer.jwks.clone().unwrap_or_default();
    if issuer.accepts_any_tenant() {
        return Err("an issuer pattern has no discovery document".to_owned());
    }
    let names = issuer.names();
    let name = names.first().ok_or("it has no tenants")?;
    let url = safe_url(name, jwks.insecure);
    let url = url.map_err(|why| format!("the issuer {why}"))?;
    let access = Access::new(jwks.files(), &url, Clients::new()?);
    let mut failures = Vec::new();
    for url in well_known(&url) {
        let fetched = timeout(keys.timeout.0, fetch(&access, url, keys.max_size, false)).await;
        match fetched.unwrap_or_else(|_| Err(format!("no answer within {}", keys.timeout))) {
            Ok(document) => match serde_json::from_slice(&document.text) {
                Ok(metadata) => return Ok(provider(&metadata)),
                Err(_) => failures.push("the document is no JSON object".to_owned()),
            },
            Err(why) => failures.push(why),
        }
    }
    Err(failures.join("; "))
}

fn provider(metadata: &Map<String, Value>) -> Option<Profile> {
    let has = |(name, end): &(&str, &str)| {
        let value = metadata.get(*name).and_then(Value::as_str);
        value.is_some_and(|value| value.ends_with(end))
    };
    let known = TRAITS.iter().find(|(_, traits)| traits.iter().all(has));
    known.map(|(profile, _)| *profile)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_shows_the_provider() {
        let at = |path: &str| format!("https://id.example.com{path}");
        for (metadata, profile) in [
            (
                json!({"authorization_endpoint": at("/realms/a/protocol/openid-connect/auth")}),
                Some(Profile::Keycloak),
            ),
            (
                json!({"authorization_endpoint": at("/authorize"), "mfa_challenge_endpoint": at("/mfa/challenge")}),
                Some(Profile::Auth0),
            ),
            (
                json!({"authorization_endpoint": at("/oauth2/default/v1/authorize"), "jwks_uri": at("/oauth2/default/v1/keys")}),
                Some(Profile::Okta),
            ),
            (
                json!({"authorization_endpoint": at("/t/oauth2/v2.0/authorize"), "cloud_graph_host_name": "graph.windows.net"}),
                Some(Profile::Entra),
            ),
            (
                json!({"authorization_endpoint": at("/oauth2/auth")}),
                Some(Profile::Hydra),
            ),
            (
                json!({"authorization_endpoint": at("/oauth2/authorize"), "userinfo_endpoint": at("/oauth2/userinfo"),
                    "jwks_uri": at("/.well-known/jwks.json")}),
                Some(Profile::FusionAuth),
            ),
            (
                json!({"authorization_endpoint": at("/oauth2/authorize"), "userinfo_endpoint": at("/userinfo"),
                    "jwks_uri": at("/oauth2/jwks")}),
                Some(Profile::Spring),
            ),
            (
                json!({"authorization_endpoint": at("/auth"), "userinfo_endpoint": at("/me"), "jwks_uri": at("/jwks")}),
                Some(Profile::Rfc9068),
            ),
            (
                json!({"authorization_endpoint": at("/authorize"), "jwks_uri": at("/keys")}),
                None,
            ),
            (json!({"authorization_endpoint": 1}), None),
            (json!({}), None),
        ] {
            assert_eq!(
                provider(metadata.as_object().unwrap()),
                profile,
                "{metadata}"
            );
        }
    }
}
