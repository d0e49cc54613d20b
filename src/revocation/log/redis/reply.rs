//! What the server answers about the stream, as far as the follower reads it.

use redis::Value;

use super::entry::{EntryId, epoch_from_hex};
use super::session::Head;

/// The name that `head.lua` gives the group that marks the head.
const GROUP: &str = "portcullis:";

/// The entries in the answer to `XREAD` of one stream: `[[key, [entry, …]]]`.
pub(super) fn page_of(reply: &Value) -> &[Value] {
    let Value::Array(streams) = reply else {
        return &[];
    };
    match streams.as_slice() {
        [Value::Array(stream)] => match stream.as_slice() {
            [_key, Value::Array(entries)] => entries,
            _ => &[],
        },
        _ => &[],
    }
}

/// The answer to `XINFO GROUPS`: a flat list of names and values for each group.
pub(super) fn head_among(groups: &Value) -> Option<Head> {
    let Value::Array(groups) = groups else {
        return None;
    };
    groups.iter().find_map(|group| {
        let Value::Array(fields) = group else {
            return None;
        };
        let name = std::str::from_utf8(text_of(fields, b"name")?).ok()?;
        let last = text_of(fields, b"last-delivered-id")?;
        Some(Head {
            epoch: epoch_from_hex(name.strip_prefix(GROUP)?)?,
            last: EntryId::parse(last)?,
        })
    })
}

/// A number in the answer to `XINFO STREAM`, a flat list of names and values.
pub(super) fn number_among(stream: &Value, name: &[u8]) -> Option<u64> {
    let Value::Array(fields) = stream else {
        return None;
    };
    fields.chunks_exact(2).find_map(|pair| match pair {
        [Value::BulkString(key), Value::Int(value)] if key == name => u64::try_from(*value).ok(),
        _ => None,
    })
}

fn text_of<'a>(fields: &'a [Value], name: &[u8]) -> Option<&'a [u8]> {
    fields.chunks_exact(2).find_map(|pair| match pair {
        [Value::BulkString(key), Value::BulkString(value)] if key == name => Some(value.as_slice()),
        _ => None,
    })
}
