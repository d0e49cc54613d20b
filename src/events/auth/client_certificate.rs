//! The certificate that a sender shows in the TLS handshake.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::shorthand::OneOrMany;

/// The certificate that a sender shows in the TLS handshake (mutual TLS). `listen.events` needs `tls.client_ca`, whose
/// authorities must have issued it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Names of which the certificate must hold one among its subject alternative names: DNS names, or
    /// URIs such as a SPIFFE id, compared exactly.
    pub names: OneOrMany<String>,
}

#[derive(Debug)]
pub(super) struct ClientCertificate(Vec<String>);

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.names.0.iter().any(String::is_empty) {
            errors.push("names", "must not hold an empty name");
        }
    }

    pub(super) fn build(&self) -> ClientCertificate {
        ClientCertificate(self.names.0.clone())
    }
}

impl ClientCertificate {
    /// Returns whether one of the names stands in the certificate of the sender, whose names are `shown`; none
    /// if it showed none.
    pub(super) fn admits(&self, shown: &[String]) -> bool {
        shown.iter().any(|name| self.0.contains(name))
    }
}
