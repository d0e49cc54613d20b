//! Where a server is: `redis.example.com:6379`, `[::1]:6379` or `unix:/run/redis/redis.sock`.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The address of one server. A port that is left out is 6379.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

const DEFAULT_PORT: u16 = 6379;

impl Server {
    /// # Errors
    /// A sentence that says what an address looks like.
    fn parse(text: &str) -> Result<Self, String> {
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

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
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

impl Serialize for Server {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Server {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RedisServer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "examples": ["redis.example.com:6379", "unix:/run/redis/redis.sock"],
        })
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
    fn what_is_no_address_is_refused() {
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
