//! Issuers by name: exact ones, and those of a multi-tenant provider by a pattern.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Stands for the tenant in a pattern.
pub const TENANT: &str = "{tenant}";

const LONGEST_TENANT: usize = 128;

/// The issuers of all tenants of a provider: `https://login.example.com/{tenant}/v2.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerPattern {
    before: Box<str>,
    after: Box<str>,
}

impl IssuerPattern {
    /// Reads the name of an issuer. `None` for the name of a single one.
    ///
    /// # Errors
    /// Why it is no pattern although it has braces.
    pub fn parse(name: &str) -> Result<Option<Self>, &'static str> {
        let Some((before, after)) = name.split_once(TENANT) else {
            let is_plain = !name.contains(['{', '}']);
            let error = "has braces: the only placeholder is {tenant}";
            return is_plain.then_some(None).ok_or(error);
        };
        if after.contains(TENANT) {
            return Err("has {tenant} twice");
        }
        if before.contains(['{', '}']) || after.contains(['{', '}']) {
            return Err("has braces: the only placeholder is {tenant}");
        }
        let path = before
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/'));
        let is_segment = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
        if path.is_none_or(|host_ends| host_ends == 0) || !is_segment {
            return Err("must have {tenant} as a whole segment of the path of a URL");
        }
        Ok(Some(Self {
            before: before.into(),
            after: after.into(),
        }))
    }

    /// Returns whether `issuer` is that of a tenant.
    #[must_use]
    pub fn matches(&self, issuer: &str) -> bool {
        let rest = issuer.strip_prefix(&*self.before);
        let tenant = rest.and_then(|rest| rest.strip_suffix(&*self.after));
        tenant.is_some_and(is_tenant)
    }

    /// Returns the issuer of a tenant.
    #[must_use]
    pub fn issuer_of(&self, tenant: &str) -> String {
        [&self.before, tenant, &self.after].concat()
    }
}

/// Returns whether the text can fill a segment of a path and means itself there: unreserved
/// characters (RFC 3986 §2.3), and not `.` or `..`, which lead elsewhere.
#[must_use]
pub fn is_tenant(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (1..=LONGEST_TENANT).contains(&text.len())
        && text.bytes().all(is_plain)
        && text.bytes().any(|byte| byte != b'.')
}

/// Returns whether any issuer goes by both names, each of which may be a pattern.
#[must_use]
pub fn overlap(one: &str, other: &str) -> bool {
    let (mut left, mut right) = (one.split('/'), other.split('/'));
    loop {
        return match (left.next(), right.next()) {
            (None, None) => true,
            (Some(a), Some(b)) if a == b => continue,
            (Some(TENANT), Some(tenant)) | (Some(tenant), Some(TENANT)) if is_tenant(tenant) => {
                continue;
            }
            _ => false,
        };
    }
}

/// Values by the name of an issuer, which may be a pattern. An exact name goes first.
#[derive(Clone, Debug, PartialEq)]
pub struct ByIssuer<T> {
    exact: BTreeMap<Arc<str>, T>,
    /// Few: an operator writes each.
    patterns: Vec<(IssuerPattern, T)>,
}

impl<T> Default for ByIssuer<T> {
    fn default() -> Self {
        Self {
            exact: BTreeMap::new(),
            patterns: Vec::new(),
        }
    }
}

impl<T> ByIssuer<T> {
    pub fn insert(&mut self, name: &str, value: T) {
        match IssuerPattern::parse(name) {
            Ok(Some(pattern)) => self.patterns.push((pattern, value)),
            _ => drop(self.exact.insert(name.into(), value)),
        }
    }

    /// Returns the value of an exact issuer.
    #[must_use]
    pub fn get(&self, issuer: &str) -> Option<&T> {
        self.exact.get(issuer).or_else(|| {
            let mut patterns = self.patterns.iter();
            let found = patterns.find(|(pattern, _)| pattern.matches(issuer));
            found.map(|(_, value)| value)
        })
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        let patterns = self.patterns.iter().map(|(_, value)| value);
        self.exact.values().chain(patterns)
    }
}

impl<N: AsRef<str>, T> FromIterator<(N, T)> for ByIssuer<T> {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(named: I) -> Self {
        let mut all = Self::default();
        for (name, value) in named {
            all.insert(name.as_ref(), value);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERN: &str = "https://login.example.com/{tenant}/v2.0";

    #[test]
    fn only_a_plain_segment_is_a_tenant() {
        let pattern = IssuerPattern::parse(PATTERN).unwrap().unwrap();
        let long = "a".repeat(LONGEST_TENANT);
        for tenant in ["acme", "72f988bf-86f1", "a.b", "..a", "A_~", &long] {
            let issuer = pattern.issuer_of(tenant);
            assert!(
                pattern.matches(&issuer) && overlap(PATTERN, &issuer),
                "{issuer}"
            );
        }
        let too_long = format!("{long}a");
        for tenant in [
            "",
            ".",
            "..",
            "...",
            "/",
            "a/b",
            "a/",
            "/a",
            "%61",
            "a%2fb",
            "a b",
            "a\\b",
            "a?b",
            "a#b",
            "a;b",
            "a:b",
            "a@b",
            "é",
            "a\0",
            "{tenant}",
            "{tenantid}",
            "*",
            &too_long,
        ] {
            let issuer = pattern.issuer_of(tenant);
            assert!(!pattern.matches(&issuer), "{issuer}");
            assert!(tenant == TENANT || !overlap(PATTERN, &issuer), "{issuer}");
        }
        for issuer in [
            "https://login.example.com/acme/v2.0/",
            "https://login.example.com/acme/v2.0/v2.0",
            "https://login.example.com/acme",
            "https://login.example.com//v2.0",
            "https://login.example.com/v2.0",
            "https://LOGIN.example.com/acme/v2.0",
            "https://login.example.com:443/acme/v2.0",
            "http://login.example.com/acme/v2.0",
            " https://login.example.com/acme/v2.0",
        ] {
            assert!(!pattern.matches(issuer), "{issuer}");
        }
    }

    #[test]
    fn a_pattern_has_one_placeholder_that_fills_a_segment_of_the_path() {
        for name in [
            "https://id.example.com",
            "acme",
            "",
            "https://id.example.com/tenant/",
        ] {
            assert_eq!(IssuerPattern::parse(name), Ok(None), "{name}");
        }
        for name in [
            PATTERN,
            "https://a/{tenant}",
            "https://a/{tenant}/",
            "https://a/b/{tenant}/c",
        ] {
            assert!(IssuerPattern::parse(name).unwrap().is_some(), "{name}");
        }
        for name in [
            "https://{tenant}/v2.0",
            "https://{tenant}.example.com/v2.0",
            "https://a/x-{tenant}/v2.0",
            "https://a/{tenant}.b/v2.0",
            "https://a/{tenant}/{tenant}",
            "https://a/{tenantid}/v2.0",
            "https://a/{tenant}/{x}",
            "https://a/{x}/{tenant}",
            "https:///{tenant}/",
            "{tenant}",
            "/{tenant}/",
            "acme/{tenant}",
        ] {
            assert!(IssuerPattern::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn names_overlap_if_one_issuer_could_go_by_both() {
        for (one, other, expected) in [
            ("https://a/b", "https://a/b", true),
            ("https://a/b", "https://a/b/", false),
            ("https://a/{tenant}", "https://a/b", true),
            ("https://a/{tenant}", "https://a/b/c", false),
            ("https://a/{tenant}/b", "https://a/c/{tenant}", true),
            ("https://a/{tenant}/b", "https://b/c/{tenant}", false),
            ("https://a/{tenant}", "https://a/{tenant}", true),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn an_exact_name_goes_before_a_pattern() {
        let all: ByIssuer<u8> = [(PATTERN, 1), ("https://login.example.com/acme/v2.0", 2)]
            .into_iter()
            .collect();
        let get = |tenant: &str| all.get(&PATTERN.replace(TENANT, tenant)).copied();
        assert_eq!(get("acme"), Some(2));
        assert_eq!(get("globex"), Some(1));
        assert_eq!(get(TENANT), None, "a pattern is no issuer");
        assert_eq!(get(".."), None);
        assert_eq!(all.values().count(), 2);
    }
}
