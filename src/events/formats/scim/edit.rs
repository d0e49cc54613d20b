//! From the body of a request to the attributes that are kept.

use http::StatusCode;

use super::attribute::{Attribute, below};
use super::node::Node;
use super::path::{Equality, Path};
use super::user::{Item, MOST_VALUES, User};
use crate::events::answer::Failure;
use crate::events::payload::Id;

/// The most values of a user who becomes inactive. Each is recorded, also those that are too many to be kept.
const MOST_REVOKED: usize = 1024;

/// More operations in one request are a mistake.
const MOST_OPERATIONS: usize = 256;

const ACTIVE: &str = "active";

/// What an operation does to an attribute.
#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Add,
    Remove,
    Replace,
}

/// A user who is being changed.
pub(super) struct Edit<'a> {
    kept: &'a [Attribute],
    pub(super) user: User,
    /// Whether the request says that the user is active.
    pub(super) active: Option<bool>,
}

impl<'a> Edit<'a> {
    pub(super) const fn of(user: User, kept: &'a [Attribute]) -> Self {
        Self {
            kept,
            user,
            active: None,
        }
    }

    /// Takes the attributes of a whole resource in place of those that the user had.
    pub(super) fn become_like(&mut self, resource: &Node) -> Result<(), Failure> {
        self.user.values.clear();
        self.take_members(Operation::Replace, "", resource)?;
        self.check()
    }

    /// Does what a PATCH request says (RFC 7644 §3.5.2).
    pub(super) fn patch(&mut self, request: &Node) -> Result<(), Failure> {
        let Some(Node::List(operations)) = request.get("operations") else {
            return Err(syntax("Operations must be a list"));
        };
        if operations.is_empty() || operations.len() > MOST_OPERATIONS {
            return Err(syntax("Operations must have 1 to 256 entries"));
        }
        for operation in operations {
            let name = operation.get("op").and_then(Node::text).unwrap_or_default();
            let kind = match name.to_lowercase().as_str() {
                "add" => Operation::Add,
                "remove" => Operation::Remove,
                "replace" => Operation::Replace,
                _ => return Err(syntax("op must be add, remove or replace")),
            };
            let value = operation.get("value");
            match (operation.get("path"), value) {
                (None | Some(Node::Other), None) => {
                    return Err(told("noTarget", "an operation needs a path or a value"));
                }
                (None | Some(Node::Other), Some(value)) => self.take_members(kind, "", value)?,
                (Some(path), value) => {
                    let path = path.text().and_then(Path::parse);
                    let path = path.ok_or_else(|| told("invalidPath", NOT_UNDERSTOOD))?;
                    self.apply(kind, &path, value)?;
                }
            }
        }
        self.check()
    }

    /// Applies every member of an object, below the attribute `above`. The names may be paths themselves.
    fn take_members(&mut self, kind: Operation, above: &str, value: &Node) -> Result<(), Failure> {
        let Node::Object(members) = value else {
            return Err(told(
                "invalidValue",
                "the value must be an object of attributes",
            ));
        };
        for (name, value) in members {
            let name = match above {
                "" => name.clone(),
                _ => format!("{above}.{name}"),
            };
            // Attributes with other names are not kept.
            if let Some(path) = Path::parse(&name) {
                self.apply(kind, &path, Some(value))?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, kind: Operation, path: &Path, value: Option<&Node>) -> Result<(), Failure> {
        if path.name == ACTIVE {
            let active = value.and_then(Node::truth);
            let active = active.filter(|_| kind != Operation::Remove);
            let why = "active must be true or false";
            self.active = Some(active.ok_or_else(|| told("invalidValue", why))?);
            return Ok(());
        }
        for attribute in self.kept {
            let name = attribute.folded();
            if name == path.name {
                self.change(kind, attribute, path, value);
            } else if below(&path.name, name) == Some("value") {
                // `emails.value` is every value.
                self.change(kind, attribute, path, value);
            } else if let Some(rest) = below(name, &path.name) {
                // `name` has `name.givenName` in its value. A value that is replaced and lacks it leaves it.
                let inner = value.and_then(|value| within(value, rest));
                match (kind, inner) {
                    (Operation::Remove, _) => drop(self.user.values.remove(name)),
                    (_, Some(inner)) => self.change(kind, attribute, path, Some(inner)),
                    (_, None) => {}
                }
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        kind: Operation,
        attribute: &Attribute,
        path: &Path,
        value: Option<&Node>,
    ) {
        let values = self.user.values.entry(attribute.folded().to_owned());
        let values = values.or_default();
        let given = value.map(items).unwrap_or_default();
        match (kind, &path.only) {
            (Operation::Remove, Some(only)) => values.retain(|item| !only.picks(item)),
            (Operation::Remove, None) if given.is_empty() => values.clear(),
            (Operation::Remove, None) => {
                let is_given = |item: &Item| given.iter().any(|one| one.value == item.value);
                values.retain(|item| !is_given(item));
            }
            (_, Some(only)) => {
                let is_value = path.part.as_deref().is_none_or(|part| part == "value");
                if let Some(new) = given.into_iter().next().filter(|_| is_value) {
                    only.set(values, new);
                }
            }
            (Operation::Add, None) if attribute.is_plural() => {
                for one in given {
                    values.retain(|item| item.value != one.value);
                    values.push(one);
                }
            }
            (_, None) => *values = given,
        }
        if values.is_empty() {
            self.user.values.remove(attribute.folded());
        }
    }

    /// Checks what a user must have, and what no user has.
    fn check(&self) -> Result<(), Failure> {
        let user_name = Attribute::USER_NAME.to_lowercase();
        if self.user.items(&user_name).len() != 1 {
            return Err(told("invalidValue", "userName must have one value"));
        }
        let most = match self.active {
            Some(false) => MOST_REVOKED,
            _ => MOST_VALUES,
        };
        if self.user.all().count() > most {
            return Err(told("tooMany", "a user may have 32 values that are kept"));
        }
        if self.user.all().any(|(_, value)| Id::of(value).is_none()) {
            let why = "a value has 1 to 256 bytes and no control characters";
            return Err(told("invalidValue", why));
        }
        Ok(())
    }
}

impl Equality {
    pub(super) fn picks(&self, item: &Item) -> bool {
        let text = self.value.text();
        match self.name.as_str() {
            "type" => item
                .kind
                .as_deref()
                .zip(text)
                .is_some_and(|(kind, text)| kind.eq_ignore_ascii_case(text)),
            "value" => text.is_some_and(|text| item.value.to_lowercase() == text.to_lowercase()),
            "primary" => self.value.truth() == Some(item.primary),
            _ => false,
        }
    }

    /// Puts a value in place of those that are picked, or beside the others if none is: clients take that for
    /// granted.
    fn set(&self, values: &mut Vec<Item>, new: Item) {
        let mut new = new;
        new.kind = new.kind.or_else(|| match self.name.as_str() {
            "type" => self.value.text().map(str::to_owned),
            _ => None,
        });
        new.primary |= self.name == "primary" && self.value.truth() == Some(true);
        if let Some(old) = values.iter().find(|item| self.picks(item)) {
            new.primary |= old.primary;
            new.kind = new.kind.or_else(|| old.kind.clone());
        }
        values.retain(|item| !self.picks(item));
        values.push(new);
    }
}

/// Returns the values that a JSON value holds.
fn items(value: &Node) -> Vec<Item> {
    match value {
        Node::List(list) => list.iter().flat_map(items).collect(),
        Node::Text(text) => vec![Item {
            value: text.clone(),
            ..Item::default()
        }],
        Node::Object(_) => {
            let Some(text) = value.get("value").and_then(Node::text) else {
                return Vec::new();
            };
            vec![Item {
                value: text.to_owned(),
                kind: value.get("type").and_then(Node::text).map(str::to_owned),
                primary: value.get("primary").and_then(Node::truth) == Some(true),
            }]
        }
        Node::Other | Node::Bool(_) => Vec::new(),
    }
}

/// Returns what stands at a path within a value.
fn within<'n>(value: &'n Node, path: &str) -> Option<&'n Node> {
    if let Some(found) = value.get(path) {
        return Some(found);
    }
    let (first, rest) = path.split_once(['.', ':'])?;
    within(value.get(first)?, rest)
}

const NOT_UNDERSTOOD: &str =
    "this path is not understood; write an attribute, or attribute[type eq \"…\"].value";

fn syntax(why: &'static str) -> Failure {
    told("invalidSyntax", why)
}

pub(super) const fn told(code: &'static str, why: &'static str) -> Failure {
    Failure::Told(StatusCode::BAD_REQUEST, code, why)
}
