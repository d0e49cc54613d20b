//! Claims that were verified: the JWT's payload (RFC 7519 §4) as the rest of the program reads it.

mod path;

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Number, Value};
use smallvec::SmallVec;

use path::Steps;
pub use path::{BadPath, ClaimPath};

/// The claims of one token. A value of this type exists only after every check of `verify` passed.
#[derive(Clone)]
pub struct Claims {
    /// `iss`, exactly as configured.
    pub issuer: Arc<str>,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// The first that the token has of the issuer's `client_claims`.
    pub client: Option<Box<str>>,
    /// `jti`.
    pub token_id: Option<Box<str>>,
    /// `iat` in whole seconds since the epoch, rounded down; `None` when the token has none.
    pub issued_at: Option<u64>,
    /// `iat`; for a token without one, the earliest second in which it may have been issued, which
    /// is `exp − max_token_lifetime − leeway` unless those were raised since. Seconds.
    pub counts_as_issued_at: u64,
    /// `exp` in whole seconds since the epoch, rounded down.
    pub expires_at: u64,
    /// The whole payload.
    pub all: Payload,
}

/// The texts that a revocation compares with: one for a scalar claim, one per scalar item of an
/// array.
pub type Values<'a> = SmallVec<[&'a str; 4]>;

impl Claims {
    /// Returns the values of a claim. A claim that is `null` counts as absent; an object has no
    /// values of its own.
    #[must_use]
    pub fn values(&self, claim: &ClaimPath) -> Values<'_> {
        match &claim.steps {
            Steps::Member(name) => {
                let values = self.all.member(name);
                values.map_or_else(Values::new, Iterator::collect)
            }
            Steps::FirstOf(paths) => {
                let mut present = paths.iter().filter_map(|path| self.all.at(path));
                present.next().unwrap_or_default()
            }
        }
    }

    /// How many bytes it takes besides itself.
    pub(crate) fn footprint(&self) -> usize {
        let texts = [&self.subject, &self.client, &self.token_id];
        let texts = texts.into_iter().flatten().map(|text| text.len());
        let texts = texts.sum::<usize>() + self.issuer.len();
        texts + self.all.text.len() + size_of_val(&*self.all.pieces)
    }
}

/// A token's payload, for comparing: its members' names, each followed by its values as texts. A
/// number or a boolean is its text, an array its scalar items; `null` is left out.
///
/// The members of the payload come first. Behind them stand the objects among them, each as its
/// name and the members of the object, which carry their depth. So a look-up of a plain member
/// reads no more than if there were no objects.
///
/// It lies in two blocks of memory, because a look-up reads it on every check, and of a hundred
/// thousand tokens most are in no processor cache.
#[derive(Clone)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct Payload {
    /// All texts, one behind the other.
    text: Box<str>,
    pieces: Box<[Piece]>,
    /// How many of the pieces are the payload's own members.
    own: u32,
}

/// Where a text ends that begins where the one before it ended; whether it is a name, and how many
/// objects it lies in.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Debug, PartialEq))]
struct Piece(u32);

impl Piece {
    const NAME: u32 = 1 << 31;
    const DEPTH: u32 = 25;
    const END: u32 = (1 << Self::DEPTH) - 1;

    const fn end(self) -> usize {
        (self.0 & Self::END) as usize
    }

    const fn is_name(self) -> bool {
        self.0 & Self::NAME != 0
    }

    const fn depth(self) -> usize {
        ((self.0 & !Self::NAME) >> Self::DEPTH) as usize
    }
}

impl Payload {
    /// The values of a member; `None` when there is no such member.
    fn member(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        let own = &self.pieces[..self.own as usize];
        let mut start = 0;
        let place = own.iter().position(|piece| {
            let text = start..piece.end();
            start = piece.end();
            // Few names are of the right length, so few texts are looked at.
            piece.is_name() && text.len() == name.len() && &self.text[text] == name
        })?;
        let behind = own[place + 1..].iter();
        let values = behind.take_while(|piece| !piece.is_name());
        Some(values.map(move |piece| {
            let text = start..piece.end();
            start = piece.end();
            &self.text[text]
        }))
    }

    /// The values at a path, in all objects that it leads to; `None` when it leads nowhere.
    fn at(&self, path: &[Box<str>]) -> Option<Values<'_>> {
        if let [name] = path {
            return self.member(name).map(Iterator::collect);
        }
        let (own, nested) = self.pieces.split_at(self.own as usize);
        let mut start = own.last().map_or(0, |piece| piece.end());
        let (mut found, mut stepped, mut here) = (None::<Values<'_>>, 0, false);
        for piece in nested {
            let text = &self.text[start..piece.end()];
            start = piece.end();
            if piece.is_name() {
                // A name ends every object that lies as deep as it or deeper.
                stepped = stepped.min(piece.depth());
                let steps = stepped == piece.depth()
                    && path.get(stepped).is_some_and(|name| **name == *text);
                stepped += usize::from(steps);
                here = steps && stepped == path.len();
                found = found.or_else(|| here.then(Values::new));
            } else if here && let Some(found) = &mut found {
                found.push(text);
            }
        }
        found
    }
}

/// A JSON value, whatever type holds it.
pub(super) trait Tree: Sized {
    fn node(&self) -> Node<'_, Self>;
    /// The members of an object; none of another value.
    fn members(&self) -> impl Iterator<Item = (&str, &Self)>;
}

/// What a JSON value is.
pub(super) enum Node<'a, T> {
    Null,
    Flag(bool),
    Number(&'a Number),
    /// A string, or the digits of a number.
    Text(&'a str),
    List(&'a [T]),
    Object,
}

impl Payload {
    /// Flattens the members of a payload.
    pub(super) fn of<'t, T: Tree + 't>(
        members: impl Iterator<Item = (&'t str, &'t T)> + Clone,
    ) -> Self {
        let mut room = Room {
            bytes: 0,
            pieces: 0,
        };
        members
            .clone()
            .for_each(|(name, value)| room.add(name, value));
        let mut writing = Writing {
            text: String::with_capacity(room.bytes),
            pieces: Vec::with_capacity(room.pieces),
        };
        for (name, value) in members.clone() {
            writing.member(name, value, 0);
        }
        let own = writing.pieces.len();
        for (name, value) in members {
            writing.objects(name, value, 0);
        }
        Self {
            text: writing.text.into(),
            pieces: writing.pieces.into(),
            own: u32::try_from(own).expect("a token is far below 4 GiB"),
        }
    }
}

/// How much there is to write, so that nothing is moved.
struct Room {
    bytes: usize,
    pieces: usize,
}

impl Room {
    fn add<T: Tree>(&mut self, name: &str, value: &T) {
        self.bytes += name.len();
        self.pieces += 1;
        self.value(name, value);
    }

    fn value<T: Tree>(&mut self, name: &str, value: &T) {
        self.pieces += 1;
        match value.node() {
            Node::Null | Node::Flag(_) => self.bytes += 5,
            // A guess: most are dates.
            Node::Number(_) => self.bytes += 10,
            Node::Text(text) => self.bytes += text.len(),
            Node::List(items) => items.iter().for_each(|item| self.value(name, item)),
            Node::Object => {
                self.bytes += name.len();
                value
                    .members()
                    .for_each(|(name, value)| self.add(name, value));
            }
        }
    }
}

/// A payload that is being written.
struct Writing {
    text: String,
    pieces: Vec<Piece>,
}

impl Writing {
    /// Writes a member and its values, but not the members of its objects.
    fn member<T: Tree>(&mut self, name: &str, value: &T, depth: u32) {
        match value.node() {
            Node::Null => {}
            Node::List(items) => {
                self.name(name, depth);
                for item in items {
                    self.scalar(item);
                }
            }
            _ => {
                self.name(name, depth);
                self.scalar(value);
            }
        }
    }

    /// Writes the objects of a member.
    fn objects<T: Tree>(&mut self, name: &str, value: &T, depth: u32) {
        match value.node() {
            Node::Object => {
                self.name(name, depth);
                for (inner, value) in value.members() {
                    if !matches!(value.node(), Node::Object) {
                        self.member(inner, value, depth + 1);
                    }
                    self.objects(inner, value, depth + 1);
                }
            }
            Node::List(items) => {
                let objects = items
                    .iter()
                    .filter(|item| matches!(item.node(), Node::Object));
                objects.for_each(|object| self.objects(name, object, depth));
            }
            _ => {}
        }
    }

    fn name(&mut self, name: &str, depth: u32) {
        self.text.push_str(name);
        self.end_piece(Piece::NAME | (depth << Piece::DEPTH));
    }

    /// Writes a scalar as text: `5` and `"5"` are the same tenant to an operator.
    fn scalar<T: Tree>(&mut self, value: &T) {
        match value.node() {
            Node::Text(text) => self.text.push_str(text),
            Node::Number(number) => drop(write!(self.text, "{number}")),
            Node::Flag(flag) => self.text.push_str(if flag { "true" } else { "false" }),
            Node::Null | Node::List(_) | Node::Object => return,
        }
        self.end_piece(0);
    }

    fn end_piece(&mut self, flags: u32) {
        let end = u32::try_from(self.text.len()).ok();
        let end = end.filter(|end| *end <= Piece::END);
        self.pieces
            .push(Piece(end.expect("a token is far below 32 MiB") | flags));
    }
}

impl Tree for Value {
    fn node(&self) -> Node<'_, Self> {
        match self {
            Self::Null => Node::Null,
            Self::Bool(flag) => Node::Flag(*flag),
            Self::Number(number) => Node::Number(number),
            Self::String(text) => Node::Text(text),
            Self::Array(items) => Node::List(items),
            Self::Object(_) => Node::Object,
        }
    }

    fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members = self.as_object().into_iter().flatten();
        members.map(|(name, value)| (name.as_str(), value))
    }
}

/// For claims that come from no token.
impl From<&Map<String, Value>> for Payload {
    fn from(members: &Map<String, Value>) -> Self {
        Self::of(members.iter().map(|(name, value)| (name.as_str(), value)))
    }
}

/// The issuer only: claims are about people.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Claims {
    /// For tests of what looks at nothing but the payload.
    pub(super) fn with_payload(payload: &Value) -> Self {
        Self {
            issuer: "https://id.example.com".into(),
            subject: None,
            client: None,
            token_id: None,
            issued_at: None,
            counts_as_issued_at: 0,
            expires_at: 0,
            all: payload.as_object().unwrap().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(claims: &Claims, path: &str) -> Vec<String> {
        let path = ClaimPath::parse(path).unwrap();
        let values = claims.values(&path);
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_kind_of_claim_has_the_values_that_it_should() {
        let claims = Claims::with_payload(&json!({
            "array": ["a", 5, true, null, "", ["nested"], {"b": "c"}, "ü"],
            "boolean": false,
            "empty": "",
            "float": 1.5,
            "negative": -7,
            "none": [],
            "null": null,
            "number": 18_446_744_073_709_551_615_u64,
            "object": {"array": "no", "text": "no"},
            "text": "array",
        }));
        let values = |path| values(&claims, path);
        assert_eq!(values("array"), ["a", "5", "true", "", "ü"]);
        assert_eq!(values("boolean"), ["false"]);
        assert_eq!(values("empty"), [""]);
        assert_eq!(values("float"), ["1.5"]);
        assert_eq!(values("negative"), ["-7"]);
        assert_eq!(values("number"), ["18446744073709551615"]);
        assert_eq!(values("text"), ["array"]);
        for nothing in ["none", "null", "object", "absent", "a", "no", "b"] {
            assert!(values(nothing).is_empty(), "{nothing}");
        }
        // The first that is there counts, also when it has no values.
        assert_eq!(values("absent|null|text"), ["array"]);
        assert!(values("none|text").is_empty());
        assert!(values("object|text").is_empty());
        let nameless = Claims::with_payload(&json!({"": "empty name"}));
        assert_eq!(
            nameless.values(&ClaimPath::of_record("")).as_slice(),
            ["empty name"]
        );
    }

    #[test]
    fn a_path_steps_into_objects_and_into_the_objects_of_arrays() {
        let claims = Claims::with_payload(&json!({
            "roles": ["plain"],
            "realm_access": {"roles": ["user", "admin"], "verify": {"level": 2}, "empty": {}},
            "resource_access": {
                "account": {"roles": ["view"]},
                "shop": {"roles": ["buy", "sell"], "account": {"roles": ["no"]}},
            },
            "groups": [{"id": 1, "tags": ["x", "y"]}, "plain", {"id": "two"}, [{"id": "no"}], {"id": null}],
            "https://example.com/app": {"a.b": "dotted", "a": {"b": "nested"}},
            "last": "scalar",
        }));
        for (path, expected) in [
            ("roles", &["plain"][..]),
            ("realm_access.roles", &["user", "admin"]),
            ("realm_access.verify.level", &["2"]),
            ("resource_access.account.roles", &["view"]),
            ("resource_access.shop.roles", &["buy", "sell"]),
            ("resource_access.shop.account.roles", &["no"]),
            ("groups", &["plain"]),
            ("groups.id", &["1", "two"]),
            ("groups.tags", &["x", "y"]),
            (r"https://example\.com/app.a\.b", &["dotted"]),
            (r"https://example\.com/app.a.b", &["nested"]),
            ("absent.roles|realm_access.roles", &["user", "admin"]),
            ("realm_access.empty|realm_access.roles", &[]),
            ("realm_access", &[]),
            ("realm_access.verify", &[]),
            ("realm_access.level", &[]),
            ("realm_access.roles.x", &[]),
            ("roles.roles", &[]),
            ("verify.level", &[]),
            ("account.roles", &[]),
            ("resource_access.roles", &[]),
            ("last.x", &[]),
        ] {
            assert_eq!(values(&claims, path), expected, "{path}");
        }
    }

    #[test]
    fn objects_cost_a_look_up_of_plain_members_nothing() {
        let claims = Claims::with_payload(&json!({
            "a": {"b": {"c": "d"}}, "list": [{"x": 1}], "last": 1,
        }));
        let names = claims.all.pieces.iter().filter(|piece| piece.is_name());
        let depths: Vec<usize> = names.map(|piece| piece.depth()).collect();
        assert_eq!(depths, [0, 0, 0, 0, 1, 2, 0, 1]);
        assert_eq!(claims.all.own, 4);
    }
}
