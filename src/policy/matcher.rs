//! Whether a rule matches a request, for all servers or only for some.

use std::borrow::Cow;

use super::host::{self, HostPattern};
use super::path;
use super::pattern::{Match, Pattern};
use super::reading::Reading;
use crate::core::request::Request;

/// What a request asks for, read once for all rules.
pub(super) struct Asked<'r, 'm> {
    /// In lower case, without port and dot at the end; `None` when it is not known.
    pub(super) host: Option<Cow<'r, str>>,
    method: &'r str,
    pub(super) path: Reading<'r>,
    /// Whether a header or a parameter of the query is read as the method by some framework.
    renamed: bool,
    request: &'r Request<'m>,
}

impl<'r, 'm> Asked<'r, 'm> {
    pub(super) fn of(request: &'r Request<'m>) -> Self {
        Self {
            host: host::plain(request.host),
            method: request.method,
            path: Reading::of(request),
            renamed: path::method_renamed(request),
            request,
        }
    }
}

/// What a rule matches.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    /// Empty: every host.
    pub(super) hosts: Box<[HostPattern]>,
    /// Empty: every method.
    pub(super) methods: Box<[Box<str>]>,
    pub(super) path: Pattern,
}

impl Matcher {
    /// Returns whether the rule matches. `is_lax` says that it lets requests pass without a token: then
    /// the path must have one reading only, and nothing may hint at another method.
    pub(super) fn matches(&self, asked: &Asked<'_, '_>, is_lax: bool) -> Match {
        let path = match self.path.matches(&asked.path) {
            Match::No => return Match::No,
            Match::Yes if is_lax && !asked.path.is_plain && !self.path.is_everything() => {
                Match::Maybe
            }
            path => path,
        };
        path.min(self.matches_method(asked, is_lax))
            .min(self.matches_host(asked))
    }

    fn matches_method(&self, asked: &Asked<'_, '_>, is_lax: bool) -> Match {
        if self.methods.is_empty() {
            return Match::Yes;
        }
        let is_unclear = asked.renamed
            || asked.method.is_empty()
            || is_lax && path::method_hinted(asked.request);
        if is_unclear {
            return Match::Maybe;
        }
        let has = |method: &str| self.methods.iter().any(|own| **own == *method);
        let mut methods = self.methods.iter();
        if has(asked.method) {
            Match::Yes
        } else if methods.any(|own| own.eq_ignore_ascii_case(asked.method))
            || asked.method == "HEAD" && has("GET")
        {
            // Some servers read methods without case, and most route HEAD as GET.
            Match::Maybe
        } else {
            Match::No
        }
    }

    /// The index has judged a host that is known.
    fn matches_host(&self, asked: &Asked<'_, '_>) -> Match {
        match &asked.host {
            None if !self.hosts.is_empty() => Match::Maybe,
            _ => Match::Yes,
        }
    }

    /// Returns whether it matches every request that the other one matches for certain.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let hosts = self.hosts.is_empty()
            || !other.hosts.is_empty()
                && other
                    .hosts
                    .iter()
                    .all(|host| self.hosts.iter().any(|own| own.covers(host)));
        let methods = self.methods.is_empty()
            || !other.methods.is_empty()
                && other
                    .methods
                    .iter()
                    .all(|method| self.methods.contains(method));
        hosts && methods && self.path.covers(&other.path)
    }
}
