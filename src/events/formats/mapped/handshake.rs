//! How a sender checks the address before its first event.

use axum::body::Body;
use http::{Method, Request};
use schemars::JsonSchema;
use serde::Deserialize;
use url::form_urlencoded;

use crate::events::answer::Handshake as Answer;

/// How a sender checks the address before its first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Handshake {
    /// It posts a `validationToken` in the query and wants it back as plain text, as Microsoft Graph
    /// does.
    ValidationToken,
}

/// The longest token that is answered.
const LONGEST_TOKEN: usize = 1024;

impl Handshake {
    /// Returns the answer to a request that checks the address.
    pub(super) fn answer(self, request: &Request<Body>) -> Option<Answer> {
        let Self::ValidationToken = self;
        let query = request.uri().query()?.as_bytes();
        let mut tokens =
            form_urlencoded::parse(query).filter(|(name, _)| name == "validationToken");
        let (_, token) = tokens.next().filter(|_| request.method() == Method::POST)?;
        let is_plain = |byte| matches!(byte, b' '..=b'~');
        let is_sound = (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(is_plain);
        (is_sound && tokens.next().is_none()).then(|| Answer {
            content_type: "text/plain",
            body: token.into_owned(),
        })
    }
}
