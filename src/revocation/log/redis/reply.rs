//! What the server answers about the stream, as far as a session reads it.

use redis::Value;

use super::script::Head;

/// The name that `head.lua` gives the group that marks the head.
const GROUP: &str = "portcullis:";

/// Returns the entries in the answer to `XREAD` of one stream: `[[key, [entry, …]]]`.
pub(super) fn page_of(reply: &Value) -> &[Value] {
    if let Value::Array(streams) = reply
        && let [Value::Array(stream)] = streams.as_slice()
        && let [_key, Value::Array(entries)] = stream.as_slice()
    {
        entries
    } else {
        &[]
    }
}

/// Returns the head in the answer to `XINFO GROUPS`: a flat list of names and values for each group.
pub(super) fn head_among(groups: &Value) -> Option<Head> {
    let Value::Array(groups) = groups else {
        return None;
    };
    groups.iter().find_map(|group| {
        let name = std::str::from_utf8(text(group, b"name")?).ok()?;
        Head::read(
            name.strip_prefix(GROUP)?,
            text(group, b"last-delivered-id")?,
        )
    })
}

/// Returns a number in a flat list of names and values.
pub(super) fn number(fields: &Value, name: &[u8]) -> Option<u64> {
    match field(fields, name)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Returns a text in a flat list of names and values.
pub(super) fn text<'a>(fields: &'a Value, name: &[u8]) -> Option<&'a [u8]> {
    match field(fields, name)? {
        Value::BulkString(text) => Some(text),
        _ => None,
    }
}

fn field<'a>(fields: &'a Value, name: &[u8]) -> Option<&'a Value> {
    let Value::Array(fields) = fields else {
        return None;
    };
    let is_named = |key: &Value| matches!(key, Value::BulkString(key) if key == name);
    let mut pairs = fields.chunks_exact(2);
    pairs.find_map(|pair| is_named(&pair[0]).then_some(&pair[1]))
}
