//! Taking a token out of the request on its way to the upstream.

use smallvec::SmallVec;

use super::Sources;
use super::places::{COOKIE, PROTOCOLS, Place, piece, split_pair};
use crate::request::{Headers, Request};

/// Which places of a request hold its token, and which hold another. Places count by their order in
/// the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carriers {
    token: u32,
    losers: u32,
}

impl Carriers {
    pub(super) const fn first(index: usize) -> Self {
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
    pub replace: SmallVec<[(&'static str, String); 1]>,
    /// Query parameters to be removed.
    pub query: SmallVec<[&'s str; 1]>,
}

impl Sources {
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
            stripped.leave(COOKIE, &cookies_without(&request.headers, &cookies));
        }
        let markers = places().filter_map(|place| match place {
            Place::Protocol(marker) => Some(marker.as_str()),
            _ => None,
        });
        let markers: SmallVec<[&str; 2]> = markers.collect();
        if !markers.is_empty() {
            stripped.leave(PROTOCOLS, &protocols_without(&request.headers, &markers));
        }
        stripped
    }
}

impl Stripped<'_> {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.replace.is_empty() && self.query.is_empty()
    }

    fn leave(&mut self, header: &'static str, rest: &str) {
        if rest.is_empty() {
            self.remove.push(header);
        } else {
            self.replace.push((header, rest.to_owned()));
        }
    }
}

/// Cookies that hold no token stay as they are, commas included: some applications have them in
/// values. Only where a proxy joined one with the token's cookie, the comma separates.
fn cookies_without(headers: &Headers<'_>, names: &[&str]) -> String {
    let holds = |pair: &[u8]| {
        let held = split_pair(pair).map(|(held, _)| held);
        held.is_some_and(|held| names.iter().any(|name| piece(held, name).is_some()))
    };
    let mut rest: Vec<String> = Vec::new();
    let values = headers.all(COOKIE);
    for cookie in values.flat_map(|header| header.split(|byte| *byte == b';')) {
        let pairs = || cookie.split(|byte| *byte == b',');
        let kept = if pairs().any(holds) {
            let kept = pairs().filter(|pair| !holds(pair));
            kept.map(String::from_utf8_lossy)
                .collect::<Vec<_>>()
                .join(",")
        } else {
            String::from_utf8_lossy(cookie).into_owned()
        };
        let kept = kept.trim();
        if !kept.is_empty() {
            rest.push(kept.to_owned());
        }
    }
    rest.join("; ")
}

fn protocols_without(headers: &Headers<'_>, markers: &[&str]) -> String {
    let values = headers.all(PROTOCOLS);
    let items = values.flat_map(|header| header.split(|byte| *byte == b','));
    let mut items = items.map(<[u8]>::trim_ascii);
    let mut rest: Vec<String> = Vec::new();
    while let Some(item) = items.next() {
        let behind = markers
            .iter()
            .find_map(|marker| item.strip_prefix(marker.as_bytes()));
        match behind {
            Some(b"") => drop(items.next()),
            Some([b'.', ..]) => {}
            _ => rest.push(String::from_utf8_lossy(item).into_owned()),
        }
    }
    rest.join(", ")
}
