//! Documents for everybody, at `/.well-known/…`: the keys that verify assertions.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::assertion::Keys;
use crate::net;

const JWKS: &str = "/.well-known/jwks.json";

/// The documents of one configuration.
#[derive(Debug, Default)]
pub(super) struct Documents {
    keys: Option<Arc<Keys>>,
}

impl Documents {
    pub(super) const fn of(keys: Arc<Keys>) -> Self {
        Self { keys: Some(keys) }
    }

    fn find(&self, path: &str) -> Option<Bytes> {
        match path {
            JWKS => self.keys.as_ref().map(|keys| keys.jwks()),
            _ => None,
        }
    }

    /// Answers a request for a document, or says that there is none.
    pub(super) fn answer<B: From<Bytes> + Default>(
        &self,
        head: &http::request::Parts,
    ) -> Response<B> {
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let found = self.find(head.uri.path()).filter(|_| is_read);
        let Some(document) = found else {
            return net::problem(StatusCode::NOT_FOUND, "");
        };
        let mut response = Response::new(B::from(document));
        for (name, value) in [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "public, max-age=300"),
        ] {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
