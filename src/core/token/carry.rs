//! Removes a token from the request on its way to the upstream.

use smallvec::SmallVec;

use super::location::{COOKIE, Location, PROTOCOLS, piece, protocols, split_pair};
use crate::core::request::Headers;

/// Which configured locations of a request hold its token, and which hold another token. One bit for
/// each, in the order of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carriers {
    token: u32,
    losers: u32,
}

impl Carriers {
    pub(crate) const fn first(index: usize) -> Self {
        Self {
            token: 1 << index,
            losers: 0,
        }
    }

    pub(super) const fn add(&mut self, index: usize) {
        self.token |= 1 << index;
    }

    pub(super) const fn add_loser(&mut self, index: usize) {
        self.losers |= 1 << index;
    }
}

/// The changes to a request that hide a token from the upstream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stripped<'s> {
    /// Headers to remove.
    pub remove: SmallVec<[&'s str; 1]>,
    /// Headers to replace, with their new values.
    pub replace: SmallVec<[(&'static str, Vec<u8>); 1]>,
    /// Query parameters to remove.
    pub query: SmallVec<[&'s str; 1]>,
}

impl<'s> Stripped<'s> {
    /// Removes all tokens, or only those that were not verified.
    pub(super) fn of(
        locations: &'s [Location],
        carriers: Carriers,
        all: bool,
        headers: &Headers<'_>,
    ) -> Self {
        let drop = carriers.losers | if all { carriers.token } else { 0 };
        let mut stripped = Stripped::default();
        if drop == 0 {
            return stripped;
        }
        let is_dropped =
            |(index, location): (usize, _)| (drop >> index & 1 == 1).then_some(location);
        let dropped = || locations.iter().enumerate().filter_map(is_dropped);
        for location in dropped() {
            match location {
                Location::Header { name, .. } => stripped.remove.push(name),
                Location::Query(name) => stripped.query.push(name),
                Location::Cookie(_) | Location::Protocol(_) => {}
            }
        }
        let cookies = dropped().filter_map(|location| match location {
            Location::Cookie(name) => Some(name.as_str()),
            _ => None,
        });
        let cookies: SmallVec<[&str; 2]> = cookies.collect();
        if !cookies.is_empty() {
            stripped.leave(COOKIE, cookies_without(headers, &cookies));
        }
        let markers = dropped().filter_map(|location| match location {
            Location::Protocol(marker) => Some(marker.as_str()),
            _ => None,
        });
        let markers: SmallVec<[&str; 2]> = markers.collect();
        if !markers.is_empty() {
            stripped.leave(PROTOCOLS, protocols_without(headers, &markers));
        }
        stripped
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.replace.is_empty() && self.query.is_empty()
    }

    fn leave(&mut self, header: &'static str, rest: Vec<u8>) {
        if rest.is_empty() {
            self.remove.push(header);
        } else {
            self.replace.push((header, rest));
        }
    }
}

/// Leaves other cookies as they are, with their commas, because some applications have commas in
/// values. Splits at a comma only where a proxy joined another cookie to the token's.
fn cookies_without(headers: &Headers<'_>, names: &[&str]) -> Vec<u8> {
    let holds = |pair: &[u8]| {
        let held = split_pair(pair).map(|(held, _)| held);
        held.is_some_and(|held| names.iter().any(|name| piece(held, name).is_some()))
    };
    let cookies = headers
        .all(COOKIE)
        .flat_map(|header| header.split(|byte| *byte == b';'));
    let kept = cookies.map(|cookie| {
        let pairs = || cookie.split(|byte| *byte == b',');
        if pairs().any(holds) {
            let kept: Vec<&[u8]> = pairs().filter(|pair| !holds(pair)).collect();
            kept.join(&b","[..])
        } else {
            cookie.to_vec()
        }
    });
    let kept = kept.map(|cookie| cookie.trim_ascii().to_vec());
    let kept: Vec<Vec<u8>> = kept.filter(|cookie| !cookie.is_empty()).collect();
    kept.join(&b"; "[..])
}

/// Keeps a marker without a token: the server must choose one of the protocols that the browser
/// offered.
fn protocols_without(headers: &Headers<'_>, markers: &[&str]) -> Vec<u8> {
    let mut items = protocols(headers);
    let mut rest: Vec<&[u8]> = Vec::new();
    while let Some(item) = items.next() {
        let behind = markers
            .iter()
            .find_map(|marker| item.strip_prefix(marker.as_bytes()));
        match behind {
            Some([b'.', ..]) => {}
            Some(b"") => {
                rest.push(item);
                items.next();
            }
            _ => rest.push(item),
        }
    }
    rest.join(&b", "[..])
}
