//! Where a server is: `redis.example.com:6379`, `[::1]:6379` or `unix:/run/redis/redis.sock`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The address of one server. A port that is left out is 6379.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(
    with = "String",
    inline,
    extend("examples" = ["redis.example.com:6379", "unix:/run/redis/redis.sock"])
)]
pub enum Server {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

const DEFAULT_PORT: u16 = 6379;

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is neither host:port, such as redis.example.com:6379, nor unix:/path")
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let is_absolute = path.starts_with('/');
            return is_absolute
                .then(|| Self::Unix(path.into()))
                .ok_or_else(wrong);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(wrong)?,
            None => text
                .find(':')
                .map_or((text, ""), |colon| text.split_at(colon)),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| wrong())?,
            None if port.is_empty() => DEFAULT_PORT,
            None => return Err(wrong()),
        };
        let plain = |c: char| c.is_ascii_graphic() && !"/@[]?#".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(wrong());
        }
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Server> for String {
    fn from(server: Server) -> Self {
        server.to_string()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back() {
        for text in [
            "redis.example.com:6380",
            "[::1]:6379",
            "unix:/run/redis.sock",
        ] {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), text);
        }
        assert_eq!("cache".parse::<Server>().unwrap().to_string(), "cache:6379");
    }

    #[test]
    fn a_text_that_is_no_address_is_refused() {
        for text in [
            "",
            ":6379",
            "host:",
            "host:port",
            "host:70000",
            "::1",
            "[::1",
            "[::1]6379",
            "unix:",
            "unix:relative.sock",
            "redis://host:6379",
            "user@host:6379",
        ] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }
}
