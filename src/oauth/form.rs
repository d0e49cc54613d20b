//! The body of a request to an OAuth endpoint: a form, each parameter at most once (RFC 6749 §3.2).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use url::form_urlencoded;

use super::refused::Refused;

/// The largest body: a token of the longest kind, percent-encoded, fits.
const LARGEST: usize = 256 * 1024;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The parameters. Those without a value count as absent (RFC 6749 §3.2).
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is no form, too large or too slow, or has a parameter twice.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Refused> {
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()?.split(';').next());
        if !kind.is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        }) {
            let why = "the body must be application/x-www-form-urlencoded";
            return Err(Refused::invalid_request(why));
        }
        let whole = tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST).collect());
        let Ok(Ok(whole)) = whole.await else {
            let why =
                format!("the body is larger than {LARGEST} bytes, came too slowly or broke off");
            return Err(Refused::invalid_request(why));
        };
        Self::parse(&whole.to_bytes())
    }

    fn parse(body: &[u8]) -> Result<Self, Refused> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(body).filter(|(_, value)| !value.is_empty()) {
            if parameters
                .insert(name.into_owned(), value.into_owned())
                .is_some()
            {
                return Err(Refused::invalid_request("a parameter stands twice"));
            }
        }
        Ok(Self(parameters))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the parameter `token`.
    pub(super) fn token(&self) -> Result<&str, Refused> {
        let token = self.get("token").map(str::trim);
        token.ok_or_else(|| Refused::invalid_request("the parameter token is absent"))
    }
}
