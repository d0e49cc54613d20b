//! Event bodies as a tree of only those members that a format reads.
//!
//! What a format does not name is checked for syntax and dropped: a user who may edit custom data
//! in their own profile must not be able to spoil the event that locks them out, be it by huge
//! numbers, deep nesting or odd text. What is kept may not stand twice, because two readers would
//! disagree about which one counts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

use super::outcome::Rejection;

/// Which members are read.
pub(super) enum Wanted {
    /// The value, whatever it is.
    Whole,
    /// These members of an object, or of every object in a list.
    Members(&'static [(&'static str, Wanted)]),
}

pub(super) enum Node {
    Null,
    Boolean(bool),
    /// An integer from zero up.
    Unsigned(u64),
    /// A negative number or one with a fraction.
    Number,
    Text(String),
    List(Vec<Node>),
    Object(BTreeMap<String, Node>),
    /// Nobody asked for it.
    Skipped,
}

/// Reads a whole body.
///
/// # Errors
/// Where the body stops to be JSON, or which member stands twice.
pub(super) fn parse(bytes: &[u8], wanted: &'static Wanted) -> Result<Node, Rejection> {
    let broken_at = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed {
        wanted,
        path: &Path::Root,
        broken_at: &broken_at,
    };
    let read = seed.deserialize(&mut deserializer);
    let whole = read.and_then(|node| deserializer.end().map(|()| node));
    whole.map_err(|error| Rejection {
        path: broken_at.take().unwrap_or_default(),
        message: format!("not understood as JSON: {error}"),
    })
}

/// Where the parser is, so that an error can say so.
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(parent, name) => f.write_str(&member_path(&parent.to_string(), name)),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// `a.b` for plain names, `a["odd name"]`, cut short, for others.
fn member_path(parent: &str, name: &str) -> String {
    const SHOWN: usize = 64;
    let is_plain = !name.is_empty()
        && name.len() <= SHOWN
        && (name.bytes()).all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match (is_plain, parent.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{parent}.{name}"),
        (false, _) => {
            let shown: String = name.chars().take(SHOWN).collect();
            format!("{parent}[{shown:?}]")
        }
    }
}

struct Seed<'a> {
    wanted: &'static Wanted,
    path: &'a Path<'a>,
    /// The innermost place at which reading failed.
    broken_at: &'a RefCell<Option<String>>,
}

impl<'a> Seed<'a> {
    fn below(&self, wanted: &'static Wanted, path: &'a Path<'a>) -> Self {
        Self {
            wanted,
            path,
            broken_at: self.broken_at,
        }
    }

    fn note<T, E>(&self, path: &Path<'_>, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            let mut broken_at = self.broken_at.borrow_mut();
            broken_at.get_or_insert_with(|| path.to_string());
        }
        result
    }

    fn member(&self, name: &str) -> Option<&'static Wanted> {
        match self.wanted {
            Wanted::Whole => Some(&Wanted::Whole),
            Wanted::Members(members) => {
                let mut members = members.iter();
                members
                    .find(|(known, _)| *known == name)
                    .map(|(_, wanted)| wanted)
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Boolean(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(u64::try_from(value).map_or(Node::Number, Node::Unsigned))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        loop {
            let path = Path::Item(self.path, items.len());
            let item = list.next_element_seed(self.below(self.wanted, &path));
            match self.note(&path, item)? {
                Some(item) => items.push(item),
                None => return Ok(Node::List(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = self.note(self.path, map.next_key::<String>())? {
            let path = Path::Member(self.path, &name);
            if members.contains_key(&name) {
                return self.note(&path, Err(A::Error::custom("the member stands twice")));
            }
            let value = match self.member(&name) {
                Some(wanted) => map.next_value_seed(self.below(wanted, &path)),
                None => map.next_value::<IgnoredAny>().map(|_| Node::Skipped),
            };
            let value = self.note(&path, value)?;
            members.insert(name, value);
        }
        Ok(Node::Object(members))
    }
}

/// A place in the tree, present or not, that knows its path.
pub(super) struct Place<'a> {
    node: Option<&'a Node>,
    /// It is spelled out only for an error.
    path: SmallVec<[Step<'a>; 4]>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Member(&'a str),
    Item(usize),
}

impl<'a> Place<'a> {
    pub(super) const fn root(node: &'a Node) -> Self {
        Self {
            node: Some(node),
            path: SmallVec::new_const(),
        }
    }

    pub(super) const fn is_absent(&self) -> bool {
        matches!(self.node, None | Some(Node::Null))
    }

    /// The place itself unless it is absent. `null` counts as absent.
    pub(super) fn given(self) -> Option<Self> {
        (!self.is_absent()).then_some(self)
    }

    /// A member of an object; of something absent, something absent.
    ///
    /// # Errors
    /// When this is there and no object.
    pub(super) fn member(&self, name: &'a str) -> Result<Self, Rejection> {
        let node = match self.node {
            None | Some(Node::Null) => None,
            Some(Node::Object(members)) => members.get(name),
            Some(_) => return Err(self.wrong("an object")),
        };
        Ok(self.at(node, Step::Member(name)))
    }

    fn at(&self, node: Option<&'a Node>, step: Step<'a>) -> Self {
        let mut path = self.path.clone();
        path.push(step);
        Self { node, path }
    }

    pub(super) fn items(&self) -> Result<Vec<Self>, Rejection> {
        let Some(Node::List(items)) = self.node else {
            return Err(self.wrong("a list"));
        };
        let place = |(index, node)| self.at(Some(node), Step::Item(index));
        Ok(items.iter().enumerate().map(place).collect())
    }

    /// The members of an object, in the order of their names.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Self)>, Rejection> {
        let Some(Node::Object(members)) = self.node else {
            return Err(self.wrong("an object"));
        };
        let place = |(name, node): (&'a String, &'a Node)| {
            (name.as_str(), self.at(Some(node), Step::Member(name)))
        };
        Ok(members.iter().map(place).collect())
    }

    pub(super) fn text(&self, expected: &str) -> Result<&'a str, Rejection> {
        match self.node {
            Some(Node::Text(text)) => Ok(text),
            _ => Err(self.wrong(expected)),
        }
    }

    /// Something that names a user, an application, an event: short and without control
    /// characters, so that it can stand in a claim, a log line and a record.
    pub(super) fn id(&self) -> Result<&'a str, Rejection> {
        const LONGEST: usize = 256;
        match self.node {
            Some(Node::Text(text)) if is_id(text, LONGEST) => Ok(text),
            _ => Err(self.wrong("an id of 1 to 256 characters")),
        }
    }

    /// The id, or nothing when it is absent.
    pub(super) fn optional_id(self) -> Result<Option<&'a str>, Rejection> {
        self.given().map(|place| place.id()).transpose()
    }

    pub(super) fn boolean(&self) -> Result<bool, Rejection> {
        match self.node {
            Some(Node::Boolean(value)) => Ok(*value),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// An integer within a range; `expected` says what it means.
    pub(super) fn unsigned(
        &self,
        range: std::ops::RangeInclusive<u64>,
        expected: &str,
    ) -> Result<u64, Rejection> {
        match self.node {
            Some(Node::Unsigned(value)) if range.contains(value) => Ok(*value),
            _ => Err(self.wrong(expected)),
        }
    }

    fn path(&self) -> String {
        let spell = |path: String, step: &Step<'_>| match step {
            Step::Member(name) => member_path(&path, name),
            Step::Item(index) => format!("{path}[{index}]"),
        };
        self.path.iter().fold(String::new(), spell)
    }

    /// What is wrong here. Values are not repeated: they are about people.
    pub(super) fn wrong(&self, expected: &str) -> Rejection {
        let found = match self.node {
            None => "nothing",
            Some(Node::Null) => "null",
            Some(Node::Boolean(_)) => "a boolean",
            Some(Node::Unsigned(_) | Node::Number) => "another number",
            Some(Node::Text(_)) => "a string",
            Some(Node::List(_)) => "a list",
            Some(Node::Object(_)) => "an object",
            Some(Node::Skipped) => "something else",
        };
        Rejection {
            path: self.path(),
            message: format!("expected {expected}, found {found}"),
        }
    }
}

fn is_id(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control)
}
