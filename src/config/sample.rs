//! Samples that fit the schema. They stand in for values that are missing or wrong, so that the rest
//! of the file can be checked.

use serde_json::Value as Json;

use super::tree::{Mark, Node, Scalar, Value, join_index, join_key};

/// A JSON Schema as schemars writes it.
#[derive(Clone, Copy)]
pub(super) struct Samples<'s>(pub &'s Json);

impl<'s> Samples<'s> {
    /// Returns a sample for the value at `path`, which need not exist: `missing` is its key then.
    pub(super) fn at(self, root: &Node, path: &str, missing: Option<&str>) -> Option<Node> {
        let (mut node, mut schemas) = (root, vec![self.0]);
        while let Some(index) = node.child_towards(path) {
            node = &node.children()[index];
            schemas = self.inside(&schemas, node.key.as_deref());
        }
        let mut path = node.path.clone();
        if let Some(key) = missing {
            schemas = self.inside(&schemas, Some(key));
            path = join_key(&path, key);
        }
        Some(self.sample(schemas.first()?, path, node.mark))
    }

    /// Returns what the schemas say about the value of `key`, or about the items of a list.
    pub(super) fn inside(self, schemas: &[&'s Json], key: Option<&str>) -> Vec<&'s Json> {
        let leaves = schemas.iter().flat_map(|schema| self.leaves(schema));
        let below = |leaf: &'s Json| match key {
            None => leaf.get("items"),
            Some(key) => {
                let property = leaf.get("properties").and_then(|all| all.get(key));
                property.or_else(|| leaf.get("additionalProperties"))
            }
        };
        leaves
            .filter_map(below)
            .filter(|schema| schema.is_object())
            .collect()
    }

    /// Returns the branches of `anyOf`, `oneOf` and `allOf`, with references followed.
    pub(super) fn leaves(self, schema: &'s Json) -> Vec<&'s Json> {
        if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
            let target = self.0.pointer(reference.trim_start_matches('#'));
            return target.map_or_else(Vec::new, |target| self.leaves(target));
        }
        let branches = ["anyOf", "oneOf", "allOf"]
            .iter()
            .find_map(|kind| schema.get(kind));
        match branches.and_then(Json::as_array) {
            Some(branches) => branches
                .iter()
                .flat_map(|branch| self.leaves(branch))
                .collect(),
            None => vec![schema],
        }
    }

    /// Returns a value that fits `schema`, as small as can be.
    fn sample(self, schema: &'s Json, path: String, mark: Mark) -> Node {
        let leaves = self.leaves(schema);
        let leaf = leaves.first().copied().unwrap_or(&Json::Null);
        let is = |kind: &str| match leaf.get("type") {
            Some(Json::Array(several)) => several.iter().any(|one| one == kind),
            one => one.is_some_and(|one| one == kind),
        };
        let first = |keyword: &str| leaf.get(keyword)?.as_array()?.first()?.as_str();
        let named = leaf.get("const").and_then(Json::as_str);
        let value = if is("object") {
            let required = leaf.get("required").and_then(Json::as_array);
            let keys = required.into_iter().flatten().filter_map(Json::as_str);
            let entry = |key: &str| {
                let schema = leaf.get("properties")?.get(key)?;
                let mut entry = self.sample(schema, join_key(&path, key), mark);
                entry.key = Some(key.to_owned());
                Some(entry)
            };
            Value::Map(keys.filter_map(entry).collect())
        } else if is("array") {
            let needs_one = leaf.get("minItems").is_some_and(|least| *least != 0);
            let item = leaf.get("items").filter(|_| needs_one);
            let item = item.map(|schema| self.sample(schema, join_index(&path, 0), mark));
            Value::List(item.into_iter().collect())
        } else if let Some(text) = named
            .or_else(|| first("enum"))
            .or_else(|| first("examples"))
        {
            scalar(text, false)
        } else if is("boolean") {
            scalar("false", true)
        } else if is("integer") {
            let least = leaf.get("minimum").and_then(Json::as_i64).unwrap_or(1);
            scalar(&least.to_string(), true)
        } else {
            scalar("sample", false)
        };
        Node {
            sample: true,
            ..Node::new(path, mark, value)
        }
    }
}

fn scalar(text: &str, plain: bool) -> Value {
    Value::Scalar(Scalar {
        text: text.to_owned(),
        plain,
        from_env: false,
    })
}
