//! Makes the outline of a configuration: every setting in one spelling, with defaults filled in as the
//! schema has them, so that two outlines differ only where the effect does.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use url::Url;

use super::sample::Samples;
use super::tree::{Mark, Node, Scalar, Value};
use crate::core::outline::Item;
use crate::core::secret::Secret;
use crate::core::units::{Bytes, Span};

/// What is shown of a value that came from the environment.
const FROM_ENV: &str = "(from the environment)";

/// Keys whose values are shown also if they come from the environment: refusals, logs and metrics name
/// them anyway.
const PUBLIC: [&str; 3] = ["address", "issuer", "name"];

/// Returns the settings of a file that was checked.
pub(super) fn outline(root: &Node, schema: &Json) -> Item {
    let item = Reader(Samples(schema)).item(&[schema], root);
    item.unwrap_or_else(|| Item::Map(BTreeMap::new()))
}

struct Reader<'s>(Samples<'s>);

impl<'s> Reader<'s> {
    /// Returns the setting that a node is; `None` for null.
    fn item(&self, schemas: &[&'s Json], node: &Node) -> Option<Item> {
        let leaves: Vec<_> = schemas
            .iter()
            .flat_map(|schema| self.0.leaves(schema))
            .collect();
        let item = match &node.value {
            _ if node.key.as_deref() == Some("inline") => {
                Item::Hidden(Secret::new(node.to_json().to_string()), "***".to_owned())
            }
            Value::Scalar(scalar) => self.scalar(&leaves, node, scalar)?,
            Value::Map(entries) => self.map(schemas, &leaves, entries),
            Value::List(items) => {
                let inside = self.0.inside(schemas, None);
                let items = items.iter();
                return Some(Item::List(
                    items.filter_map(|item| self.item(&inside, item)).collect(),
                ));
            }
        };
        // A list of one may be written without brackets.
        let may_be_list = leaves.iter().any(|leaf| is(leaf, "array"));
        Some(if may_be_list {
            Item::List(vec![item])
        } else {
            item
        })
    }

    fn map(&self, schemas: &[&'s Json], leaves: &[&'s Json], entries: &[Node]) -> Item {
        let mut items = BTreeMap::new();
        for entry in entries {
            let key = entry.key.clone().unwrap_or_default();
            let inside = self.0.inside(schemas, Some(&key));
            items.extend(self.item(&inside, entry).map(|item| (key, item)));
        }
        let fits = |leaf: &&&'s Json| {
            let properties = leaf.get("properties");
            let has = |key: &str| properties.is_some_and(|all| all.get(key).is_some());
            entries
                .iter()
                .all(|entry| entry.key.as_deref().is_some_and(has))
        };
        let properties = leaves
            .iter()
            .find(fits)
            .and_then(|leaf| leaf.get("properties"));
        for (key, schema) in properties.and_then(Json::as_object).into_iter().flatten() {
            if !entries.iter().any(|entry| entry.key.as_ref() == Some(key)) {
                items.extend(self.default_of(schema).map(|item| (key.clone(), item)));
            }
        }
        Item::Map(items)
    }

    /// Returns what the absence of a value comes to.
    fn default_of(&self, schema: &'s Json) -> Option<Item> {
        if let Some(default) = schema.get("default") {
            return self.item(&[schema], &node_of(default));
        }
        // A group that may be left out has the defaults of its members; one that may be null has none.
        let leaves = self.0.leaves(schema);
        let [leaf] = leaves[..] else { return None };
        let is_group = is(leaf, "object") && leaf.get("required").is_none();
        let empty = || node_of(&Json::Object(serde_json::Map::new()));
        is_group.then(|| self.item(&[schema], &empty())).flatten()
    }

    fn scalar(&self, leaves: &[&'s Json], node: &Node, scalar: &Scalar) -> Option<Item> {
        if scalar.is_null() {
            return None;
        }
        let text = &scalar.text;
        let hidden = |shown: &str| Some(Item::Hidden(Secret::new(text.clone()), shown.to_owned()));
        if leaves.iter().any(|leaf| leaf.get("writeOnly").is_some()) {
            return hidden("***");
        }
        let key = node.key.as_deref().unwrap_or_default();
        if scalar.from_env && !PUBLIC.contains(&key) && !node.path.starts_with("listen.") {
            return hidden(FROM_ENV);
        }
        if let Some(shown) = without_secrets(text) {
            return hidden(&shown);
        }
        // The short spellings of an address, and of a format without options.
        for leaf in leaves {
            let only = leaf.get("required").and_then(Json::as_array);
            let only = only.and_then(|keys| <&[Json; 1]>::try_from(&keys[..]).ok());
            match only.and_then(|[only]| only.as_str()) {
                Some("address") => {
                    let address = Node {
                        key: Some("address".to_owned()),
                        ..node.clone()
                    };
                    return Some(self.map(&[leaf], &[leaf], &[address]));
                }
                Some(only) if only == text => {
                    let inside = self.0.inside(&[leaf], Some(only));
                    let options = self.map(&inside, &self.all_leaves(&inside), &[]);
                    return Some(Item::Map(BTreeMap::from([(only.to_owned(), options)])));
                }
                _ => {}
            }
        }
        Some(Item::Plain(canonical(leaves, node, text)))
    }

    fn all_leaves(&self, schemas: &[&'s Json]) -> Vec<&'s Json> {
        let leaves = schemas.iter().flat_map(|schema| self.0.leaves(schema));
        leaves.collect()
    }
}

fn is(leaf: &Json, kind: &str) -> bool {
    match leaf.get("type") {
        Some(Json::Array(several)) => several.iter().any(|one| one == kind),
        one => one.is_some_and(|one| one == kind),
    }
}

/// Returns a value in the one spelling that its type prints.
fn canonical(leaves: &[&Json], node: &Node, text: &str) -> Json {
    let has = |keyword: &str, end: &str| {
        let mut values = leaves.iter().filter_map(|leaf| leaf.get(keyword)?.as_str());
        values.any(|value| value.ends_with(end))
    };
    let span = || Span::try_from(text.to_owned()).ok();
    let bytes = || Bytes::try_from(text.to_owned()).ok();
    if has("format", "duration") {
        span().map(|span| span.to_string().into())
    } else if has("pattern", "GiB)\\s*$") {
        bytes().map(|bytes| bytes.to_string().into())
    } else {
        None
    }
    .unwrap_or_else(|| node.to_json())
}

/// Returns a URL without the parts that may hold secrets; `None` if it has none.
fn without_secrets(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok().filter(Url::has_host)?;
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !has_user && url.query().is_none() {
        return None;
    }
    url.set_query(None);
    let _ = (url.set_username(""), url.set_password(None));
    Some(format!("{url} (more of it is hidden)"))
}

/// Returns the node that a default is.
fn node_of(json: &Json) -> Node {
    let value = match json {
        Json::Array(items) => Value::List(items.iter().map(node_of).collect()),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| Node {
                key: Some(key.clone()),
                ..node_of(value)
            });
            Value::Map(entries.collect())
        }
        scalar => Value::Scalar(Scalar {
            text: scalar
                .as_str()
                .map_or_else(|| scalar.to_string(), str::to_owned),
            plain: !scalar.is_string(),
            from_env: false,
        }),
    };
    Node::new(String::new(), Mark::default(), value)
}
