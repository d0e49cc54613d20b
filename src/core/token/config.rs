//! What an operator writes: `token:`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::config_error::ConfigErrors;
use crate::core::units::Bytes;

/// The largest `max_size`.
pub const LONGEST: Bytes = Bytes::kib(64);

/// Where a request may hold its token.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The locations where a token may be, such as a header or a cookie.
    pub sources: Vec<Source>,
    /// What to do with a request that holds different tokens in several of these locations.
    pub several: Several,
    /// A longer token is refused with 431.
    pub max_size: Bytes,
}

/// What to do with different tokens in several locations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Several {
    /// Refuse the request with 400 (RFC 6750 §2: a client uses one location). The upstream might read
    /// another token than the verified one.
    #[default]
    Refuse,
    /// The first in the order of `sources` counts. The others are removed from the request, as with
    /// `answer.drop_token`, where the proxy can do so.
    First,
}

/// One location. Give exactly one of `header`, `cookie`, `query` and `websocket_protocol`.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The name of a request header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The word before the token in `header`, compared without case. Without it, the whole value
    /// is the token. A value with another scheme counts as no token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The name of a cookie. Its value may be quoted and may begin with the word Bearer. Numbered
    /// pieces of a cookie (`name.0`, `name.1`, …) are joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The name of a query parameter. URLs end up in logs, so prefer another location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A marker in `Sec-WebSocket-Protocol`, the one header that a browser can set on a WebSocket.
    /// The token is the next protocol in the list (`bearer, TOKEN`), or follows the marker and a dot
    /// in the same one (`bearer.TOKEN`). There it may be in base64url, as Kubernetes has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket_protocol: Option<String>,
}

/// The sources that [`Carriers`](super::Carriers) can tell apart.
const MOST_SOURCES: usize = 32;

impl Default for Config {
    fn default() -> Self {
        Self {
            sources: vec![Source {
                header: Some("authorization".to_owned()),
                scheme: Some("Bearer".to_owned()),
                ..Source::default()
            }],
            several: Several::default(),
            max_size: Bytes::kib(16),
        }
    }
}

impl Config {
    /// Reports every mistake.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.sources.is_empty() {
            errors.push("sources", "must name at least one location");
        }
        if self.sources.len() > MOST_SOURCES {
            errors.push(
                "sources",
                format!("must name at most {MOST_SOURCES} locations"),
            );
        }
        errors.range("max_size", self.max_size, Bytes(1)..=LONGEST);
        errors.each("sources", &self.sources, |errors, source| {
            source.check(errors);
        });
    }
}

impl Source {
    fn check(&self, errors: &mut ConfigErrors) {
        let names = [
            ("header", &self.header),
            ("cookie", &self.cookie),
            ("query", &self.query),
            ("websocket_protocol", &self.websocket_protocol),
        ];
        let given = names.iter().filter(|(_, name)| name.is_some()).count();
        if given != 1 {
            errors.push(
                "",
                "give exactly one of header, cookie, query and websocket_protocol",
            );
        }
        for (field, name) in names {
            if name.as_deref().is_some_and(|name| !is_plain_name(name)) {
                errors.push(field, "must be a name of letters, digits, '-', '_' and '.'");
            }
        }
        if let Some(header) = &self.header
            && header.eq_ignore_ascii_case("cookie")
        {
            errors.push("header", "write `cookie: NAME` to read one cookie");
        }
        match &self.scheme {
            Some(_) if self.header.is_none() => {
                errors.conflict("scheme", "only a header has a scheme");
            }
            Some(scheme) if !is_plain_name(scheme) => {
                errors.push("scheme", "must be one word, such as Bearer");
            }
            _ => {}
        }
    }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
