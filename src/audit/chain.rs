//! The chain: each line carries a number, the hash of the line before it and its own hash, so that a line
//! that was removed, changed, added or moved shows.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde_json::Value;

use crate::core::hex::hex;

/// Stands before the hash of a line, which covers all bytes before it.
const HASH: &str = ",\"hash\":\"";
/// Stands before the hash of the line before.
const PREV: &str = ",\"prev\":\"";
/// Stands at the beginning of a line.
const SEQ: &str = "{\"seq\":";

/// A place in the chain: the number of a line and its SHA-256. The default stands before the first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub seq: u64,
    pub hash: [u8; SHA256_OUTPUT_LEN],
}

/// What a line says about its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Linked {
    /// The line itself.
    pub(super) link: Link,
    /// The hash of the line before.
    pub(super) prev: [u8; SHA256_OUTPUT_LEN],
}

impl Link {
    /// Returns the line that follows, with its end, and its place. `body` is an object, whose members stand
    /// in the line.
    pub(super) fn next(&self, time: &str, kind: &str, body: &Value) -> (String, Self) {
        let seq = self.seq.saturating_add(1);
        let members = body.to_string();
        let members = members.strip_prefix('{').unwrap_or_default();
        let members = members.strip_suffix('}').unwrap_or_default();
        let comma = if members.is_empty() { "" } else { "," };
        let prev = hex(&self.hash);
        let mut line = format!(
            "{SEQ}{seq},\"time\":\"{time}\",\"kind\":\"{kind}\"{comma}{members}{PREV}{prev}\""
        );
        let hash = sha256(line.as_bytes());
        line.push_str(HASH);
        line.push_str(&hex(&hash));
        line.push_str("\"}\n");
        (line, Self { seq, hash })
    }
}

impl Linked {
    /// Reads a line without its end; `None` unless its hash is that of its bytes.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let at = line.len().checked_sub(HASH.len() + 64 + 2)?;
        let (covered, rest) = line.split_at(at);
        let own = rest.strip_prefix(HASH.as_bytes())?.strip_suffix(b"\"}")?;
        let hash = unhex(own)?;
        if sha256(covered) != hash {
            return None;
        }
        let before = covered.strip_suffix(b"\"")?;
        let (head, prev) = before.split_at(before.len().checked_sub(64)?);
        head.strip_suffix(PREV.as_bytes())?;
        let number = covered.strip_prefix(SEQ.as_bytes())?;
        let end = number.iter().position(|byte| *byte == b',')?;
        let seq = std::str::from_utf8(&number[..end]).ok()?.parse().ok()?;
        Some(Self {
            link: Link { seq, hash },
            prev: unhex(prev)?,
        })
    }

    /// Returns whether the line stands directly behind `before`.
    pub(super) fn follows(&self, before: &Link) -> bool {
        Some(self.link.seq) == before.seq.checked_add(1) && self.prev == before.hash
    }
}

/// The number and the hash in hexadecimal, joined by a colon.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex(&self.hash))
    }
}

impl FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (seq, hash) = text.split_once(':')?;
            let (seq, hash) = (seq.parse().ok()?, unhex(hash.as_bytes())?);
            Some(Self { seq, hash })
        };
        read().ok_or_else(|| "write SEQ:HASH, as `portcullis status` shows it".to_owned())
    }
}

fn sha256(bytes: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// Reads the 64 lower-case digits of a hash.
fn unhex(text: &[u8]) -> Option<[u8; SHA256_OUTPUT_LEN]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut hash = [0; SHA256_OUTPUT_LEN];
    if text.len() != hash.len() * 2 {
        return None;
    }
    for (place, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *place = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_json_and_reads_back() {
        let start = Link::default();
        let body = json!({ "why": "a \"quoted\" text,\"hash\":\"", "n": { "a": {} } });
        let (line, next) = start.next("2026-11-27T08:00:00.000Z", "admin", &body);
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["seq"], 1);
        assert_eq!(read["why"], body["why"]);
        assert_eq!(read["n"], body["n"]);
        let linked = Linked::read(line.trim_end().as_bytes()).unwrap();
        assert_eq!(linked.link, next);
        assert!(linked.follows(&start) && !linked.follows(&next));
        let (line, _) = next.next("2026-11-27T08:00:00.000Z", "started", &json!({}));
        assert!(
            Linked::read(line.trim_end().as_bytes())
                .unwrap()
                .follows(&next)
        );
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
        assert_eq!(next.to_string().parse(), Ok(next));
    }
}
