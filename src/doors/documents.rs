//! Documents for everybody, at `/.well-known/…`: the keys that verify assertions, and what protected resources
//! say about themselves (RFC 9728).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::assertion::Keys;
use crate::core::route::Resource;
use crate::net;

const JWKS: &str = "/.well-known/jwks.json";

/// The documents of one configuration.
#[derive(Debug, Default)]
pub(super) struct Documents {
    keys: Option<Arc<Keys>>,
    /// By path and host, without port: not every proxy passes it on.
    resources: BTreeMap<(String, String), Bytes>,
}

impl Documents {
    pub(super) fn of<'a>(resources: impl Iterator<Item = &'a Resource>) -> Self {
        let documents = resources.map(|resource| {
            let (host, path) = resource.place();
            let place = (path, without_port(&host).to_owned());
            (place, Bytes::from(resource.metadata().to_string()))
        });
        Self {
            keys: None,
            resources: documents.collect(),
        }
    }

    /// Adds the key set.
    pub(super) fn with(self, keys: Arc<Keys>) -> Self {
        Self {
            keys: Some(keys),
            ..self
        }
    }

    fn find(&self, head: &http::request::Parts) -> Option<Bytes> {
        let path = head.uri.path();
        if path == JWKS {
            return self.keys.as_ref().map(|keys| keys.jwks());
        }
        let named = head.uri.authority().map(http::uri::Authority::as_str);
        let header = || head.headers.get(header::HOST)?.to_str().ok();
        let host = without_port(named.or_else(header)?).to_ascii_lowercase();
        self.resources.get(&(path.to_owned(), host)).cloned()
    }

    /// Answers a request for a document, or says that there is none.
    pub(super) fn answer<B: From<Bytes> + Default>(
        &self,
        head: &http::request::Parts,
    ) -> Response<B> {
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let found = is_read.then(|| self.find(head)).flatten();
        let Some(document) = found else {
            return net::problem(StatusCode::NOT_FOUND, "");
        };
        let mut response = Response::new(B::from(document));
        for (name, value) in [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "public, max-age=300"),
            // Clients that are web pages ask too, and there is nothing to hide.
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        ] {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn without_port(host: &str) -> &str {
    let end = host.rfind(':').filter(|at| !host[*at..].contains(']'));
    &host[..end.unwrap_or(host.len())]
}
