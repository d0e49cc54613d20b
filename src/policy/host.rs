//! Hosts: of requests, and as rules name them.

use std::borrow::Cow;

/// One name, or all names below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    Exact(Box<str>),
    /// `*.example.com`, without the asterisk and its dot.
    Below(Box<str>),
}

impl HostPattern {
    /// Reads `shop.example.com` or `*.example.com`.
    ///
    /// # Errors
    /// Why no request can have such a host, as the end of a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (is_below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err("may have an asterisk only as its first label, as in *.example.com");
        }
        if !text.is_ascii() {
            return Err("must be written in ASCII, as xn--…");
        }
        match plain(name) {
            Some(own) if own.len() + usize::from(name.ends_with('.')) == name.len() => {
                let own = own.into_owned().into();
                Ok(if is_below {
                    Self::Below(own)
                } else {
                    Self::Exact(own)
                })
            }
            Some(_) => Err("must have no port: a rule holds for all ports of a host"),
            None => Err("is not the name of a host"),
        }
    }

    /// Returns whether it matches every host that the other one matches.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(own), Self::Exact(host)) => own == host,
            (Self::Exact(_), Self::Below(_)) => false,
            (Self::Below(own), Self::Exact(host)) => is_below(host, own),
            (Self::Below(own), Self::Below(host)) => own == host || is_below(host, own),
        }
    }

    pub(super) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(own) => **own == *host,
            Self::Below(own) => is_below(host, own),
        }
    }
}

fn is_below(host: &str, suffix: &str) -> bool {
    let label = host.strip_suffix(suffix);
    label.is_some_and(|label| label.len() > 1 && label.ends_with('.'))
}

/// Returns a host as all servers read it: in lower case, without port, without one dot at the end.
/// Returns `None` for what they may read differently, such as two hosts, user information or bytes outside
/// the letters of names.
pub(super) fn plain(host: &str) -> Option<Cow<'_, str>> {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(is_digit) => name,
        Some((_, port)) if !port.ends_with(']') => return None,
        _ => host,
    };
    let is_address = name.starts_with('[') && name.ends_with(']');
    let sound = if is_address {
        name[1..name.len() - 1]
            .parse::<std::net::Ipv6Addr>()
            .is_ok()
    } else {
        is_name(name.strip_suffix('.').unwrap_or(name))
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let folded = || {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        }
    };
    sound.then(folded)
}

/// Returns whether the text is labels of letters, digits, `-` and `_`.
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_letter);
    name.len() <= 253 && name.split('.').all(is_label)
}
