//! The JSON Schema of the configuration: the one source for validation, for the reference and for
//! editors.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// The schema, JSON Schema draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>();
    schema.insert(
        "title".to_owned(),
        "Configuration of Portcullis".to_owned().into(),
    );
    schema.to_value()
}

/// Reads JSON Schema: the few keywords that schemars writes.
#[derive(Clone, Copy)]
pub(super) struct Reader<'s> {
    root: &'s Value,
}

impl<'s> Reader<'s> {
    pub(super) fn new(root: &'s Value) -> Self {
        Self { root }
    }

    /// Follows `$ref`.
    pub(super) fn resolve(self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        while let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = target.trim_start_matches('#');
            match self.root.pointer(pointer) {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// What a value may be: the leaves of `anyOf` and `oneOf`, references followed. An object
    /// with properties of its own is a leaf, whatever else it says; see [`variants`].
    pub(super) fn alternatives(self, schema: &'s Value) -> Vec<&'s Value> {
        let schema = self.resolve(schema);
        if schema.get("properties").is_some() {
            return vec![schema];
        }
        match variants(schema).or_else(|| schema.get("allOf").and_then(Value::as_array)) {
            Some(branches) => branches
                .iter()
                .flat_map(|branch| self.alternatives(branch))
                .collect(),
            None => vec![schema],
        }
    }
}

/// The branches of `oneOf` or `anyOf`.
pub(super) fn variants(schema: &Value) -> Option<&Vec<Value>> {
    let branches = schema.get("oneOf").or_else(|| schema.get("anyOf"))?;
    branches.as_array()
}

/// Whether a leaf admits this JSON type. One that names no type admits every type.
pub(super) fn admits(leaf: &Value, kind: &str) -> bool {
    match leaf.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ if leaf.get("const").is_some() || leaf.get("enum").is_some() => {
            names(leaf).is_empty() != (kind == "string")
        }
        _ => true,
    }
}

/// The texts of `const` and `enum`.
pub(super) fn names(leaf: &Value) -> Vec<&str> {
    let only = leaf.get("const").and_then(Value::as_str);
    let listed = leaf.get("enum").and_then(Value::as_array);
    let listed = listed.into_iter().flatten().filter_map(Value::as_str);
    only.into_iter().chain(listed).collect()
}

/// Whether a leaf says nothing about its values.
pub(super) fn is_anything(leaf: &Value) -> bool {
    ["type", "const", "enum"]
        .iter()
        .all(|keyword| leaf.get(keyword).is_none())
}

/// Whether a leaf admits texts that it does not list.
pub(super) fn is_free_text(leaf: &Value) -> bool {
    admits(leaf, "string") && leaf.get("const").is_none() && leaf.get("enum").is_none()
}

/// The first of `examples` that is text.
pub(super) fn example(leaf: &Value) -> Option<&str> {
    leaf.get("examples")?.as_array()?.first()?.as_str()
}

/// The properties of an object, in the order of the type.
pub(super) fn properties(leaf: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let object = leaf.get("properties").and_then(Value::as_object);
    object
        .into_iter()
        .flatten()
        .map(|(key, schema)| (key.as_str(), schema))
}

/// The keys that an object must have.
pub(super) fn required(leaf: &Value) -> impl Iterator<Item = &str> {
    let list = leaf.get("required").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}
