//! The options of the format `keycloak`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::config_error::ConfigErrors;
use crate::verify::claims::ClaimPath;

/// The options of the format `keycloak`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The ids of the clients whose admin URL leads here: an action for another client is refused.
    pub clients: Vec<String>,
    /// Which tokens a not-before or the logout of everybody ends. Keycloak sends the same message for
    /// the whole realm and for a single client.
    pub reach: Reach,
    /// Takes earlier not-befores back when a cleared one is pushed. Without it they stay until no
    /// token from before them can be valid.
    pub lift_when_cleared: bool,
    /// The claim of access tokens that has the session of a logout.
    pub session_claim: String,
}

/// The tokens that an action without a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// All tokens of the realm, as an adapter does with every token that it sees.
    Realm,
    /// The tokens that the client of the action obtained, by their `azp`.
    Client,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            clients: Vec::new(),
            reach: Reach::Realm,
            lift_when_cleared: false,
            session_claim: "sid".to_owned(),
        }
    }
}

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.clients.is_empty() || self.clients.iter().any(String::is_empty) {
            let message = "name the clients whose admin URL leads here, by their client ids";
            errors.push("clients", message);
        }
        if let Err(why) = ClaimPath::parse(&self.session_claim) {
            errors.push("session_claim", why.to_string());
        }
    }
}
