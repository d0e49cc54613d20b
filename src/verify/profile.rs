//! What the access tokens of common providers look like. `docs/profiles.md` has the table.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claims::ClaimPath;
use super::claims::Requirement;

/// A provider or a standard whose access tokens are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Any issuer.
    #[default]
    Generic,
    /// RFC 9068, the JWT profile for access tokens; also for oidc-provider.
    Rfc9068,
    Keycloak,
    /// Ory Hydra.
    Hydra,
    FusionAuth,
    Auth0,
    /// A custom authorization server of Okta.
    Okta,
    /// Microsoft Entra ID, tokens of version 1.0 and 2.0.
    Entra,
    /// Amazon Cognito.
    Cognito,
    /// Spring Authorization Server.
    Spring,
}

/// What a profile says about access tokens.
#[derive(Debug)]
struct Facts {
    types: &'static [&'static str],
    allow_untyped: bool,
    require: &'static [Known],
    forbid: &'static [Known],
    client_claims: &'static [&'static str],
    /// What to write under `audiences`.
    audiences: &'static str,
}

const VALID: &str = "the names in this file are valid";

/// A claim and its values.
type Known = (&'static str, &'static [&'static str]);

const GENERIC: Facts = Facts {
    types: &["JWT", "at+jwt"],
    allow_untyped: true,
    require: &[],
    forbid: &[],
    client_claims: &["client_id", "azp", "applicationId"],
    audiences: "the identifier of your API, never the id of a client",
};

/// In the order of [`Profile`].
static FACTS: [Facts; 10] = [
    GENERIC,
    // RFC 9068
    Facts {
        types: &["at+jwt"],
        allow_untyped: false,
        require: &[("sub", &[]), ("client_id", &[]), ("iat", &[]), ("jti", &[])],
        client_claims: &["client_id"],
        audiences: "the resource indicator of your API (RFC 8707)",
        ..GENERIC
    },
    // Keycloak
    Facts {
        allow_untyped: false,
        require: &[("typ", &["Bearer"])],
        client_claims: &["azp", "client_id"],
        audiences: "what an audience mapper of the client scope adds; without a mapper \
                    `aud` is `account` or absent",
        ..GENERIC
    },
    // Hydra
    Facts {
        allow_untyped: false,
        require: &[("client_id", &[])],
        client_claims: &["client_id"],
        audiences: "what the client requests as `audience`; the client's registration must allow it",
        ..GENERIC
    },
    // Tokens for entities (client credentials) have no `applicationId`.
    // FusionAuth
    Facts {
        allow_untyped: false,
        forbid: &[("nonce", &[])],
        client_claims: &["applicationId"],
        audiences: "the ids of the applications, or of the target entity; ID tokens have \
                    the same",
        ..GENERIC
    },
    // Auth0
    Facts {
        allow_untyped: false,
        require: &[("azp|client_id", &[])],
        forbid: &[("nonce", &[])],
        client_claims: &["client_id", "azp"],
        audiences: "the identifier of your API",
        ..GENERIC
    },
    // Okta
    Facts {
        require: &[("cid", &[])],
        client_claims: &["cid"],
        audiences: "the audience of the custom authorization server, such as \
                    `api://default`",
        ..GENERIC
    },
    // Entra
    Facts {
        types: &["JWT"],
        allow_untyped: false,
        require: &[("azp|appid", &[])],
        forbid: &[("nonce", &[])],
        client_claims: &["azp", "appid"],
        audiences: "the id of your API's registration (version 2.0), or its `api://…` URI \
                    (version 1.0)",
    },
    // Cognito
    Facts {
        types: &["JWT"],
        require: &[("token_use", &["access"])],
        client_claims: &["client_id"],
        audiences: "none unless the client asks for a resource: set `any_audience: true` \
                    and `allowed_clients`",
        ..GENERIC
    },
    // `nbf` is in access tokens only, `azp` in ID tokens only.
    // Spring
    Facts {
        require: &[("nbf", &[])],
        forbid: &[("azp", &[])],
        client_claims: &["client_id"],
        audiences: "the ids of the clients; ID tokens have the same",
        ..GENERIC
    },
];

/// The name in the configuration.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Profile {
    fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }

    /// Says what to write under `audiences`.
    #[must_use]
    pub fn audiences(self) -> &'static str {
        self.facts().audiences
    }

    /// Returns the profile that an issuer's address suggests.
    #[must_use]
    pub fn of_issuer(issuer: &str) -> Option<Self> {
        let url = url::Url::parse(issuer).ok()?;
        let (host, path) = (url.host_str()?, url.path());
        let within = |domain: &str| {
            host.strip_suffix(domain)
                .is_some_and(|own| own.ends_with('.'))
        };
        let is_okta = within("okta.com") || within("oktapreview.com") || within("okta-emea.com");
        match host {
            "login.microsoftonline.com" | "sts.windows.net" | "login.microsoftonline.us" => {
                Some(Self::Entra)
            }
            _ if host.starts_with("cognito-idp.") && within("amazonaws.com") => Some(Self::Cognito),
            _ if within("auth0.com") => Some(Self::Auth0),
            _ if is_okta && path.starts_with("/oauth2/") => Some(Self::Okta),
            _ if within("fusionauth.io") => Some(Self::FusionAuth),
            _ if within("oryapis.com") => Some(Self::Hydra),
            _ if path.contains("/realms/") => Some(Self::Keycloak),
            _ => None,
        }
    }
}

/// What access tokens must look like.
#[derive(Debug)]
pub(super) struct Form {
    pub types: Vec<String>,
    pub allow_untyped: bool,
    pub require: Vec<Requirement>,
    pub forbid: Vec<Requirement>,
    pub client_claims: Vec<ClaimPath>,
}

impl Facts {
    /// Reads claims and their values.
    fn requirements(known: &[Known]) -> Vec<Requirement> {
        let read = |(claim, is): &Known| Requirement::new(claim, is).expect(VALID);
        known.iter().map(read).collect()
    }
}

impl Profile {
    /// Returns the form of this profile's access tokens.
    pub(super) fn form(self) -> Form {
        let facts = self.facts();
        let clients = facts.client_claims.iter();
        let clients = clients.map(|name| ClaimPath::parse(name).expect(VALID));
        Form {
            types: facts.types.iter().map(ToString::to_string).collect(),
            allow_untyped: facts.allow_untyped,
            require: Facts::requirements(facts.require),
            forbid: Facts::requirements(facts.forbid),
            client_claims: clients.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Profile; 10] = [
        Profile::Generic,
        Profile::Rfc9068,
        Profile::Keycloak,
        Profile::Hydra,
        Profile::FusionAuth,
        Profile::Auth0,
        Profile::Okta,
        Profile::Entra,
        Profile::Cognito,
        Profile::Spring,
    ];

    /// The table of `docs/profiles.md`.
    fn table() -> String {
        let code = |names: &[&str]| {
            let names: Vec<_> = names
                .iter()
                .map(|name| format!("`{}`", name.replace('|', "\\|")))
                .collect();
            names.join(", ")
        };
        let claims = |known: &[Known]| {
            let claims = known
                .iter()
                .map(|(claim, is)| Requirement::new(claim, is).unwrap().to_string());
            let claims: Vec<String> = claims.collect();
            code(&claims.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let rows = ALL.map(|profile| {
            let facts = profile.facts();
            format!(
                "| `{}` | {} | {} | {} | {} | {} | {} |\n",
                profile,
                code(facts.types),
                if facts.allow_untyped { "yes" } else { "no" },
                claims(facts.require),
                claims(facts.forbid),
                code(facts.client_claims),
                facts.audiences,
            )
            .replace("|  |", "| |")
            .replace("|  |", "| |")
        });
        format!(
            "| profile | `types` | `allow_untyped` | required | forbidden | `client_claims` | audiences |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n{}",
            rows.concat()
        )
    }

    #[test]
    fn the_page_has_the_table() {
        let page = include_str!("../../docs/profiles.md");
        assert!(
            page.contains(&table()),
            "put this into docs/profiles.md:\n{}",
            table()
        );
    }

    #[test]
    fn an_address_suggests_its_profile() {
        for (issuer, profile) in [
            (
                "https://sso.example.com/realms/acme",
                Some(Profile::Keycloak),
            ),
            (
                "https://sso.example.com/auth/realms/acme",
                Some(Profile::Keycloak),
            ),
            ("https://acme.eu.auth0.com/", Some(Profile::Auth0)),
            ("https://acme.okta.com/oauth2/default", Some(Profile::Okta)),
            ("https://acme.okta.com", None),
            (
                "https://login.microsoftonline.com/0d1e/v2.0",
                Some(Profile::Entra),
            ),
            ("https://sts.windows.net/0d1e/", Some(Profile::Entra)),
            (
                "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_x",
                Some(Profile::Cognito),
            ),
            ("https://acme.fusionauth.io", Some(Profile::FusionAuth)),
            ("https://acme.projects.oryapis.com", Some(Profile::Hydra)),
            ("https://id.example.com", None),
            ("https://notauth0.com/", None),
            ("https://auth0.com.example.com/", None),
            ("https://cognito-idp.example.com/x", None),
            ("acme", None),
        ] {
            assert_eq!(Profile::of_issuer(issuer), profile, "{issuer}");
        }
    }
}
