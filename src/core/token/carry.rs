//! Taking a token out of the request on its way to the upstream.

use smallvec::SmallVec;

use super::places::{COOKIE, PROTOCOLS, Place, piece, protocols, split_pair};
use super::{Several, Sources};
use crate::core::request::{Headers, Request};

/// Which places of a request hold its token, and which hold another. Places count by their order in
/// the configuration.
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

/// What has to change in a request so that the upstream does not see a token.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stripped<'s> {
    /// Headers to be removed.
    pub remove: SmallVec<[&'s str; 1]>,
    /// Headers to be replaced by what is left of them.
    pub replace: SmallVec<[(&'static str, Vec<u8>); 1]>,
    /// Query parameters to be removed.
    pub query: SmallVec<[&'s str; 1]>,
}

impl Sources {
    /// Whether tokens are ever to be taken out. `all` is the setting for those that were verified.
    #[must_use]
    pub fn strips(&self, all: bool) -> bool {
        all || self.several == Several::First
    }

    /// Returns how to take the tokens out: all of them, or only those that were not verified.
    #[must_use]
    pub fn strip(&self, carriers: Carriers, all: bool, request: &Request<'_>) -> Stripped<'_> {
        let drop = carriers.losers | if all { carriers.token } else { 0 };
        let mut stripped = Stripped::default();
        if drop == 0 {
            return stripped;
        }
        let dropped = |(index, place): (usize, _)| (drop >> index & 1 == 1).then_some(place);
        let places = || self.places.iter().enumerate().filter_map(dropped);
        for place in places() {
            match place {
                Place::Header { name, .. } => stripped.remove.push(name),
                Place::Query(name) => stripped.query.push(name),
                Place::Cookie(_) | Place::Protocol(_) => {}
            }
        }
        let cookies = places().filter_map(|place| match place {
            Place::Cookie(name) => Some(name.as_str()),
            _ => None,
        });
        let cookies: SmallVec<[&str; 2]> = cookies.collect();
        if !cookies.is_empty() {
            stripped.leave(COOKIE, cookies_without(&request.headers, &cookies));
        }
        let markers = places().filter_map(|place| match place {
            Place::Protocol(marker) => Some(marker.as_str()),
            _ => None,
        });
        let markers: SmallVec<[&str; 2]> = markers.collect();
        if !markers.is_empty() {
            stripped.leave(PROTOCOLS, protocols_without(&request.headers, &markers));
        }
        stripped
    }
}

impl Stripped<'_> {
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

/// Cookies that hold no token stay as they are, commas included: some applications have them in
/// values. Only where a proxy joined one with the token's cookie, the comma separates.
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

/// A marker that stands alone stays: the server has to choose one of the protocols that the browser
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
