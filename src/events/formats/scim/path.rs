//! Paths of PATCH operations and filters (RFC 7644 §3.4.2.2, §3.5.2), as far as clients that deprovision users write
//! them: one comparison with `eq`.

use super::node::Node;

/// An attribute, perhaps those of its values that a condition picks, perhaps a part of these.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    /// In lower case and without the schema of users.
    pub(super) name: String,
    pub(super) only: Option<Equality>,
    /// The name behind a condition, in lower case.
    pub(super) part: Option<String>,
}

/// `attribute eq value`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Equality {
    pub(super) name: String,
    pub(super) value: Node,
}

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:user:";

impl Path {
    /// Reads a whole path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (path, rest) = Self::begin(text.trim())?;
        rest.is_empty().then_some(path)
    }

    /// Reads a path and returns it with what stands behind it.
    fn begin(text: &str) -> Option<(Self, &str)> {
        let end = text.find(|c: char| c == '[' || c.is_whitespace());
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        let name = name.to_lowercase();
        let name = name.strip_prefix(USER).unwrap_or(&name).to_owned();
        if name.is_empty() || name.contains(['"', ']']) {
            return None;
        }
        let Some(rest) = rest.strip_prefix('[') else {
            let path = Self {
                name,
                only: None,
                part: None,
            };
            return Some((path, rest));
        };
        let end = closing(rest)?;
        let only = Some(Equality::parse(&rest[..end])?);
        let rest = &rest[end + 1..];
        let (part, rest) = match rest.strip_prefix('.') {
            None => (None, rest),
            Some(rest) => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let (part, rest) = rest.split_at(end);
                (Some(part.to_lowercase()), rest)
            }
        };
        Some((Self { name, only, part }, rest))
    }
}

impl Equality {
    fn parse(text: &str) -> Option<Self> {
        let (path, value) = comparison(text)?;
        let name = path.name;
        (path.only.is_none()).then_some(Self { name, value })
    }
}

/// Reads `path eq value`, a filter of a list.
pub(super) fn comparison(text: &str) -> Option<(Path, Node)> {
    let (path, rest) = Path::begin(text.trim())?;
    let (operator, value) = rest.trim_start().split_once(char::is_whitespace)?;
    let value: Node = serde_json::from_str(value.trim()).ok()?;
    let is_plain = matches!(value, Node::Text(_) | Node::Bool(_));
    (operator.eq_ignore_ascii_case("eq") && is_plain).then_some((path, value))
}

/// Returns where the bracket that is open closes, outside of quotes.
fn closing(text: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.bytes().position(|byte| {
        let ends = byte == b']' && !is_quoted;
        is_quoted ^= byte == b'"' && !is_escaped;
        is_escaped = is_quoted && byte == b'\\' && !is_escaped;
        ends
    })
}
