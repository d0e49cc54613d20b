//! Authenticates clients: by HTTP Basic, by parameters of the body (RFC 6749 §2.3.1), or by a token that the client
//! signed (RFC 7523).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use super::assertion::{self, Used};
use super::config::{Config, Revocable, check_secret};
use super::form::Form;
use super::refused::Refused;
use crate::core::clock::Clock;
use crate::core::secret::{Encoding, Live, Sources};
use crate::verify::FixedKeys;

/// The configured clients with their secrets at hand.
#[derive(Debug)]
pub struct Clients {
    by_id: HashMap<String, Arc<Client>>,
    audiences: Vec<String>,
    pub(super) origins: Vec<String>,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: String,
    /// Without it and without keys the client is public.
    secret: Option<Live>,
    keys: Option<FixedKeys>,
    pub(super) revoke: Revocable,
    pub(super) introspect: bool,
}

impl Clients {
    /// Reads the secrets of a checked configuration.
    ///
    /// # Errors
    /// A sentence that names the client and the file.
    pub fn build(config: &Config) -> Result<Self, String> {
        let clients = config.clients.iter().map(|client| {
            let read = |given| {
                let sources = Sources::of("secret", Some(given), None)?;
                Live::read(sources, Encoding::Plain, Box::new(check_secret))
            };
            let secret = client.secret.as_ref().map(read).transpose();
            let secret = secret.map_err(|error| format!("oauth client {}: {error}", client.id))?;
            let keys = client.jwks_file.as_deref().map(read_keys).transpose();
            let keys = keys.map_err(|error| format!("oauth client {}: {error}", client.id))?;
            let built = Client {
                id: client.id.clone(),
                secret,
                keys,
                revoke: client.revoke,
                introspect: client.introspect,
            };
            Ok((client.id.clone(), Arc::new(built)))
        });
        Ok(Self {
            by_id: clients.collect::<Result<_, String>>()?,
            audiences: config.audiences.clone(),
            origins: config.allowed_origins.clone(),
        })
    }

    /// Returns whether there are any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Returns the client that sent a request.
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        form: &Form,
        now: (&Clock, &Used),
    ) -> Result<Arc<Client>, Refused> {
        if let Some(assertion) = form.get("client_assertion") {
            return self.admit_by(assertion, headers, form, now);
        }
        let of_body = (form.get("client_id"), form.get("client_secret"));
        let (id, secret) = if headers.contains_key(header::AUTHORIZATION) {
            let (id, secret) = basic(headers).ok_or_else(Refused::invalid_client)?;
            // RFC 6749 §2.3: one method in each request.
            if of_body.1.is_some() || of_body.0.is_some_and(|other| other != id) {
                let why = "the client authenticates in two ways; use one";
                return Err(Refused::invalid_request(why));
            }
            (id, Some(secret))
        } else {
            let id = of_body.0.ok_or_else(Refused::invalid_client)?;
            (id.to_owned(), of_body.1.map(str::to_owned))
        };
        let client = self.by_id.get(&id).ok_or_else(Refused::invalid_client)?;
        let holds = match (&client.secret, &secret) {
            (Some(expected), Some(secret)) => expected.matches(secret.as_bytes()),
            (None, None) => client.keys.is_none(),
            _ => false,
        };
        holds
            .then(|| Arc::clone(client))
            .ok_or_else(Refused::invalid_client)
    }

    /// Returns the client that signed an assertion.
    fn admit_by(
        &self,
        assertion: &str,
        headers: &HeaderMap,
        form: &Form,
        now: (&Clock, &Used),
    ) -> Result<Arc<Client>, Refused> {
        if headers.contains_key(header::AUTHORIZATION) || form.get("client_secret").is_some() {
            let why = "the client authenticates in two ways; use one";
            return Err(Refused::invalid_request(why));
        }
        let claimed = assertion::claimed(assertion).ok_or_else(Refused::invalid_client)?;
        let client = self
            .by_id
            .get(&claimed)
            .ok_or_else(Refused::invalid_client)?;
        let is_named = form.get("client_id").is_none_or(|id| id == claimed);
        let is_of_type = form.get("client_assertion_type") == Some(assertion::TYPE);
        let holds = is_named
            && is_of_type
            && client.keys.as_ref().is_some_and(|keys| {
                assertion::holds(assertion, &claimed, keys, &self.audiences, now)
            });
        holds
            .then(|| Arc::clone(client))
            .ok_or_else(Refused::invalid_client)
    }
}

impl Client {
    /// Returns whether it proved more than its name.
    pub(super) const fn is_confidential(&self) -> bool {
        self.secret.is_some() || self.keys.is_some()
    }
}

/// The largest file with keys.
const LARGEST: u64 = 1 << 20;

fn read_keys(path: &Path) -> Result<FixedKeys, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("jwks_file {}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|error| cannot(&error))?;
    if size.len() > LARGEST {
        return Err(cannot(&"has more than 1 MiB"));
    }
    let text = std::fs::read(path).map_err(|error| cannot(&error))?;
    FixedKeys::parse(&text).map_err(|why| cannot(&why))
}

/// Returns id and secret of the only `Authorization` header. Both are form-encoded before they are
/// joined (RFC 6749 §2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, encoded) = value.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text).decode_utf8().ok()?;
        Some(decoded.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}
