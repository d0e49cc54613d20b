//! Samples that fit the schema: stand-ins for required values that are missing or wrong, so that
//! the rest of the file can be judged.

use serde_json::Value as Json;

use super::schema::{Reader, admits, example, names, properties, required};
use super::tree::{Entry, Mark, Node, Scalar, Value};

/// A value that fits `schema`, as small as can be.
pub(super) fn sample(reader: Reader<'_>, schema: &Json, mark: Mark) -> Node {
    let leaves = reader.alternatives(schema);
    let value = match leaves.first() {
        Some(leaf) => of_leaf(reader, leaf, mark),
        None => Value::Map(Vec::new()),
    };
    Node { mark, value }
}

fn of_leaf(reader: Reader<'_>, leaf: &Json, mark: Mark) -> Value {
    if admits(leaf, "object") {
        let entry = |key: &str| {
            let (_, schema) = properties(leaf).find(|(name, _)| *name == key)?;
            Some(Entry {
                key: key.to_owned(),
                key_mark: mark,
                value: sample(reader, schema, mark),
            })
        };
        return Value::Map(required(leaf).filter_map(entry).collect());
    }
    if admits(leaf, "array") {
        let least = leaf.get("minItems").and_then(Json::as_u64).unwrap_or(0);
        let item = || leaf.get("items").map(|schema| sample(reader, schema, mark));
        return Value::List((0..least.min(8)).filter_map(|_| item()).collect());
    }
    let listed = names(leaf).first().copied();
    let (text, plain) = match listed.or_else(|| example(leaf)) {
        Some(text) => (text.to_owned(), false),
        None if admits(leaf, "string") => ("sample".to_owned(), false),
        None if admits(leaf, "boolean") => ("false".to_owned(), true),
        None => {
            let least = leaf.get("minimum").and_then(Json::as_i64).unwrap_or(1);
            (least.to_string(), true)
        }
    };
    let mut scalar = Scalar::text(text);
    scalar.plain = plain;
    Value::Scalar(scalar)
}
