//! Addresses that can be trusted with keys.

use std::net::IpAddr;

use url::{Host, Url};

/// Reads an address that keys may come from: https, or http where nobody can listen in.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(crate) fn safe_url(text: &str, insecure: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    if url.host().is_none() || !url.username().is_empty() || url.password().is_some() {
        return Err("must have a host and no user name or password".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if insecure || is_loopback(&url) => Ok(url),
        "http" => Err("must be https; insecure: true lifts this".to_owned()),
        _ => Err("must be https".to_owned()),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// The query may hold an API key.
pub(crate) fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}
