//! `client_ip:` — which address a request comes from, as the proxy says.

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::config_error::ConfigErrors;
use super::request::Headers;

/// Where the proxy says which address a request comes from, for revocations of networks
/// ([admin.md](admin.md#by-address)). Without this setting no address is known, and a revocation of a network
/// refuses every token of its issuer with 503.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientIp {
    /// The header to which the proxy appends the address of its client. What a client sends in it stands
    /// before that, and is never read. Print the configuration of the proxy again when this changes.
    pub header: String,
    /// How many proxies of yours stand in front of the one that asks. Each appends the address of its
    /// client, so that many addresses at the end are those of proxies.
    pub trusted_hops: usize,
}

impl Default for ClientIp {
    fn default() -> Self {
        Self {
            header: "x-forwarded-for".to_owned(),
            trusted_hops: 0,
        }
    }
}

impl ClientIp {
    /// Reports what is wrong, with `client_ip` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let is_header = HeaderName::from_bytes(self.header.as_bytes()).is_ok();
        if !is_header || !self.header.starts_with("x-") || !self.header.bytes().all(is_plain) {
            errors.push(
                "header",
                "must be the name of a header that begins with x-, in lower case",
            );
        }
        errors.range("trusted_hops", self.trusted_hops, 0..=16);
    }

    /// Returns the address; `None` if the header does not have it.
    #[must_use]
    pub fn of(&self, headers: &Headers<'_>) -> Option<IpAddr> {
        let lines: Vec<&[u8]> = headers.all(&self.header).collect();
        let mut entries = lines
            .iter()
            .rev()
            .flat_map(|line| line.rsplit(|byte| *byte == b','));
        let entry = entries.nth(self.trusted_hops)?;
        let text = std::str::from_utf8(entry).ok()?.trim();
        let address = text.parse().ok();
        let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|both| both.ip()));
        address.map(|address: IpAddr| address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(trusted_hops: usize, lines: &[&str]) -> Option<String> {
        let mut headers = Headers::new();
        headers.push("x-real-ip", b"192.0.2.99");
        for line in lines {
            headers.push("X-Forwarded-For", line.as_bytes());
        }
        let config = ClientIp {
            trusted_hops,
            ..ClientIp::default()
        };
        config.of(&headers).map(|address| address.to_string())
    }

    #[test]
    fn what_a_client_writes_before_the_proxys_address_is_never_read() {
        for (hops, lines, expected) in [
            (0, &["192.0.2.1"][..], Some("192.0.2.1")),
            (0, &["203.0.113.9, 192.0.2.1"], Some("192.0.2.1")),
            (0, &["203.0.113.9", "192.0.2.1"], Some("192.0.2.1")),
            (0, &["192.0.2.1, 203.0.113.9,10.0.0.1"], Some("10.0.0.1")),
            (1, &["203.0.113.9, 192.0.2.1, 10.0.0.1"], Some("192.0.2.1")),
            (
                1,
                &["203.0.113.9, 192.0.2.1", "10.0.0.1"],
                Some("192.0.2.1"),
            ),
            (0, &[" 192.0.2.1 "], Some("192.0.2.1")),
            (0, &["192.0.2.1:4711"], Some("192.0.2.1")),
            (0, &["[2001:db8::1]:4711"], Some("2001:db8::1")),
            (0, &["2001:db8::1"], Some("2001:db8::1")),
            (0, &["::ffff:192.0.2.1"], Some("192.0.2.1")),
            // Nothing is guessed.
            (1, &["192.0.2.1"], None),
            (0, &[], None),
            (0, &[""], None),
            (0, &["192.0.2.1,"], None),
            (0, &["192.0.2.1, unknown"], None),
            (0, &["192.0.2.1, 192.0.2"], None),
        ] {
            assert_eq!(of(hops, lines).as_deref(), expected, "{hops} {lines:?}");
        }
    }
}
