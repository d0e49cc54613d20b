//! The name of a claim, as configurations and revocations write it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A token whose payload nests deeper is refused.
const DEEPEST: usize = 32;

/// Registered claims that verification accepts as text, number or list only (RFC 7519 §4.1).
const SCALARS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Names a claim: a member of the payload (`sub`), a member of an object in it
/// (`realm_access.roles`), or several of these joined by `|`, of which the first that a token has
/// counts.
///
/// `\.`, `\|` and `\\` stand for the characters themselves: `https://example\.com/roles` names one
/// member. A path steps into objects, and into every object of an array; the values of all of them
/// count. It does not step into arrays within arrays.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(
    with = "String",
    inline,
    description = "",
    extend(
        "minLength" = 1,
        "examples" = ["sub", "realm_access.roles", r"https://example\.com/roles"]
    )
)]
pub struct ClaimPath {
    text: Box<str>,
    pub(super) steps: Steps,
}

/// Almost every claim is a plain member, and is looked up on every check.
#[derive(Clone)]
pub(super) enum Steps {
    Member(Box<str>),
    FirstOf(Box<[Path]>),
}

/// The names of the members to step into, outermost first; never empty.
pub(super) type Path = Box<[Box<str>]>;

/// Why a text is not the name of a claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("names no claim")]
    Empty,
    #[error("has an empty part; a dot separates members, and a dot in a name is written `\\.`")]
    EmptyPart,
    #[error("has a stray `\\`; it may only precede `.`, `|` or `\\`")]
    StrayEscape,
    #[error(
        "looks like a URL whose dots separate members; write each dot of a name as `\\.`, as in \
         https://example\\.com/roles"
    )]
    Url,
    #[error("can never exist: `{0}` has no members")]
    Scalar(String),
    #[error("can never exist: tokens that nest deeper than {DEEPEST} members are refused")]
    TooDeep,
}

impl ClaimPath {
    /// Reads a name as an operator writes it.
    ///
    /// # Errors
    /// When no token can have such a claim.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        if text.is_empty() {
            return Err(BadPath::Empty);
        }
        let alternatives = alternatives(text)?;
        alternatives.iter().try_for_each(|path| check(path))?;
        Ok(Self::of_steps(text, alternatives))
    }

    /// Reads a path into JSON that is no token, with the same syntax.
    ///
    /// # Errors
    /// When it is no path.
    pub(crate) fn of_json(text: &str) -> Result<Self, BadPath> {
        if text.is_empty() {
            return Err(BadPath::Empty);
        }
        let alternatives = alternatives(text)?;
        if alternatives.iter().any(|path| path.len() > DEEPEST) {
            return Err(BadPath::TooDeep);
        }
        Ok(Self::of_steps(text, alternatives))
    }

    fn of_steps(text: &str, mut alternatives: Vec<Path>) -> Self {
        let steps = match &mut alternatives[..] {
            [path] if path.len() == 1 => Steps::Member(std::mem::take(&mut path[0])),
            _ => Steps::FirstOf(alternatives.into()),
        };
        Self {
            text: text.into(),
            steps,
        }
    }

    /// Reads the name of a claim in a revocation record. It never fails, because a revocation that
    /// cannot be read is not enforced: text that is no path is the name of a member. A member called
    /// `a.b` goes before the path `a.b`, because records of earlier versions have no paths.
    #[must_use]
    pub fn of_record(text: &str) -> Self {
        let steps = match Self::parse(text).map(|read| read.steps) {
            Ok(Steps::FirstOf(paths)) => Steps::FirstOf(paths.iter().flat_map(as_once).collect()),
            Ok(member) => member,
            Err(_) => Steps::Member(text.into()),
        };
        Self {
            text: text.into(),
            steps,
        }
    }

    /// Returns the name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the members to step into, for each alternative.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &[Box<str>]> {
        let (member, paths) = match &self.steps {
            Steps::Member(name) => (Some(std::slice::from_ref(name)), &[][..]),
            Steps::FirstOf(paths) => (None, &paths[..]),
        };
        member.into_iter().chain(paths.iter().map(AsRef::as_ref))
    }
}

fn as_once(path: &Path) -> impl Iterator<Item = Path> + use<> {
    let member: Option<Path> = (path.len() > 1).then(|| Box::new([path.join(".").into()]) as _);
    member.into_iter().chain([path.clone()])
}

/// Splits at `|` and at dots, and resolves the escapes.
fn alternatives(text: &str) -> Result<Vec<Path>, BadPath> {
    let (mut all, mut path, mut part) = (Vec::new(), Vec::new(), String::new());
    let mut letters = text.chars();
    loop {
        let next = letters.next();
        match next {
            Some('\\') => match letters.next() {
                Some(escaped @ ('.' | '|' | '\\')) => part.push(escaped),
                _ => return Err(BadPath::StrayEscape),
            },
            Some(plain) if !matches!(plain, '.' | '|') => part.push(plain),
            _ if part.is_empty() => return Err(BadPath::EmptyPart),
            _ => path.push(std::mem::take(&mut part).into_boxed_str()),
        }
        if matches!(next, None | Some('|')) {
            all.push(std::mem::take(&mut path).into_boxed_slice());
        }
        if next.is_none() {
            return Ok(all);
        }
    }
}

fn check(path: &[Box<str>]) -> Result<(), BadPath> {
    let [first, _, ..] = path else { return Ok(()) };
    let host = first.split_once("://").map(|(_, host)| host);
    if host.is_some_and(|host| !host.contains(['.', '/'])) {
        return Err(BadPath::Url);
    }
    if SCALARS.contains(&&**first) {
        return Err(BadPath::Scalar(first.to_string()));
    }
    (path.len() <= DEEPEST)
        .then_some(())
        .ok_or(BadPath::TooDeep)
}

impl PartialEq for ClaimPath {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ClaimPath {}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for ClaimPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl TryFrom<String> for ClaimPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|error| format!("the claim {text:?} {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<Vec<String>> {
        let path = ClaimPath::parse(text).unwrap();
        let own = |path: &[Box<str>]| path.iter().map(ToString::to_string).collect();
        path.paths().map(own).collect()
    }

    #[test]
    fn dots_separate_members_and_escapes_do_not() {
        assert_eq!(steps("sub"), [["sub"]]);
        assert_eq!(steps("realm_access.roles"), [["realm_access", "roles"]]);
        assert_eq!(
            steps(r"https://example\.com/roles"),
            [["https://example.com/roles"]]
        );
        assert_eq!(
            steps(r"https://my\.example\.com/x.roles"),
            [["https://my.example.com/x", "roles"]]
        );
        assert_eq!(steps(r"a\\.b"), [["a\\", "b"]]);
        assert_eq!(steps(r"a\|b"), [["a|b"]]);
        assert_eq!(steps("applicationId|aud"), [["applicationId"], ["aud"]]);
        assert_eq!(steps("a.b|c"), [vec!["a", "b"], vec!["c"]]);
        assert_eq!(steps("cognito:groups"), [["cognito:groups"]]);
        assert_eq!(steps("urn:x:roles.admin"), [["urn:x:roles", "admin"]]);
    }

    #[test]
    fn a_name_that_can_never_exist_is_an_error() {
        let deep = vec!["a"; DEEPEST + 1].join(".");
        for (text, error) in [
            ("", BadPath::Empty),
            (".", BadPath::EmptyPart),
            ("a.", BadPath::EmptyPart),
            (".a", BadPath::EmptyPart),
            ("a..b", BadPath::EmptyPart),
            ("a||b", BadPath::EmptyPart),
            ("a|", BadPath::EmptyPart),
            (r"a\b", BadPath::StrayEscape),
            ("a\\", BadPath::StrayEscape),
            ("https://example.com/roles", BadPath::Url),
            ("sub|https://example.com/roles", BadPath::Url),
            ("sub.name", BadPath::Scalar("sub".to_owned())),
            ("aud.0", BadPath::Scalar("aud".to_owned())),
            ("tenant|exp.x", BadPath::Scalar("exp".to_owned())),
            (&deep, BadPath::TooDeep),
        ] {
            assert_eq!(ClaimPath::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_record_always_names_something() {
        let of = |text| {
            let path = ClaimPath::of_record(text);
            let paths: Vec<String> = path.paths().map(|path| path.join("/")).collect();
            paths
        };
        assert_eq!(of("sub"), ["sub"]);
        assert_eq!(of(""), [""]);
        assert_eq!(of("a..b"), ["a..b"]);
        assert_eq!(of("https://example.com/x"), ["https://example.com/x"]);
        assert_eq!(of("applicationId|aud"), ["applicationId", "aud"]);
        assert_eq!(of("a.b|c"), ["a.b", "a/b", "c"]);
    }
}
