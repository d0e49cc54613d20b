//! An entry of the stream: one batch, and the name of the entry before it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use redis::Value;

use crate::core::clock::UnixMillis;
use crate::revocation::record::Revocation;

/// The id of an entry: milliseconds of the server's clock, and a number within them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryId {
    milliseconds: u64,
    number: u64,
}

impl EntryId {
    /// Before every entry.
    pub(super) const START: Self = Self {
        milliseconds: 0,
        number: 0,
    };

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (milliseconds, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            milliseconds: milliseconds.parse().ok()?,
            number: number.parse().ok()?,
        })
    }

    pub(super) fn position(self) -> u128 {
        (u128::from(self.milliseconds) << 64) | u128::from(self.number)
    }

    pub(super) fn at(position: u128) -> Self {
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        Self {
            milliseconds: half(position >> 64),
            number: half(position),
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.number)
    }
}

/// An entry as it was read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    /// The entry that was the newest when this one was written.
    pub(super) before: EntryId,
    pub(super) records: Vec<Arc<Revocation>>,
}

/// An entry that cannot be acted on, and so cannot be passed.
#[derive(Debug, thiserror::Error)]
#[error("entry {id} of the log cannot be read: {why}")]
pub(super) struct Unreadable {
    pub(super) id: String,
    pub(super) why: String,
}

impl Entry {
    /// Reads `[id, [name, value, …]]`.
    pub(super) fn read(value: &Value) -> Result<Self, Unreadable> {
        let parts = match value {
            Value::Array(parts) => parts.as_slice(),
            _ => &[],
        };
        let [Value::BulkString(id), Value::Array(fields)] = parts else {
            return Err(unreadable(b"?", "it has no id and no fields"));
        };
        let foreign = || unreadable(id, "it was not written by Portcullis; XDEL removes it");
        let before = field(fields, b"p")
            .and_then(EntryId::parse)
            .ok_or_else(foreign)?;
        let framed = field(fields, b"r").ok_or_else(foreign)?;
        Ok(Self {
            id: EntryId::parse(id).ok_or_else(foreign)?,
            before,
            records: unframe(framed).map_err(|why| unreadable(id, &why))?,
        })
    }
}

fn unreadable(id: &[u8], why: &str) -> Unreadable {
    Unreadable {
        id: String::from_utf8_lossy(id).into_owned(),
        why: why.to_owned(),
    }
}

fn field<'a>(fields: &'a [Value], name: &[u8]) -> Option<&'a [u8]> {
    fields.chunks_exact(2).find_map(|pair| match pair {
        [Value::BulkString(key), Value::BulkString(value)] if key == name => Some(value.as_slice()),
        _ => None,
    })
}

/// Field 1, length-delimited: records framed like this and joined are a protobuf message that
/// repeats them.
const FRAME: u8 = 0x0a;

/// One record as a part of an entry.
pub(super) fn frame(record: &Revocation) -> Vec<u8> {
    let bytes = record.encode();
    let mut framed = Vec::with_capacity(bytes.len() + 6);
    framed.push(FRAME);
    prost::encoding::encode_varint(bytes.len() as u64, &mut framed);
    framed.extend_from_slice(&bytes);
    framed
}

fn unframe(mut rest: &[u8]) -> Result<Vec<Arc<Revocation>>, String> {
    let mut records = Vec::with_capacity(1);
    while let Some((tag, after)) = rest.split_first() {
        if *tag != FRAME {
            return Err(format!("field tag {tag:#x} is not known to this version"));
        }
        rest = after;
        let length = prost::encoding::decode_varint(&mut rest).map_err(|e| e.to_string())?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (bytes, after) = rest.split_at_checked(length).ok_or("it is cut off")?;
        rest = after;
        let record = Revocation::decode(bytes).map_err(|error| error.to_string())?;
        records.push(Arc::new(record));
    }
    Ok(records)
}

/// What makes two records the same although they were received at different times.
pub(super) fn fingerprint(record: &Revocation) -> String {
    let timeless = Revocation {
        received_at: UnixMillis::default(),
        forget_after: UnixMillis::default(),
        ..record.clone()
    };
    let whole = digest::digest(&digest::SHA256, &timeless.encode());
    let (half, _) = whole.as_ref().split_at(16);
    to_hex(half)
}

fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string never fails");
            hex
        })
}

/// An epoch is 32 hexadecimal digits in the server.
pub(super) fn epoch_from_hex(hex: &str) -> Option<[u8; 16]> {
    let well_formed = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let number = well_formed.then(|| u128::from_str_radix(hex, 16).ok())?;
    number.map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::revocation::record::{Action, Target};

    fn record(received_at: u64) -> Revocation {
        Revocation {
            id: "event".to_owned(),
            target: Target {
                issuer: "https://id.example.com".to_owned(),
                matches: BTreeMap::from([("sub".to_owned(), "ana".to_owned())]),
            },
            action: Action::Revoke,
            issued_at_or_before: None,
            expires_at_or_before: None,
            occurred_at: UnixMillis(1),
            forget_after: UnixMillis(received_at + 1),
            source: "test".to_owned(),
            cause: "user.deactivate".to_owned(),
            received_at: UnixMillis(received_at),
            bounds: None,
            original: None,
        }
    }

    #[test]
    fn what_is_framed_comes_back() {
        let batch = [frame(&record(1)), frame(&record(2))].concat();
        let read = unframe(&batch).unwrap();
        assert_eq!(read, [Arc::new(record(1)), Arc::new(record(2))]);
        assert!(unframe(&batch[..batch.len() - 1]).is_err());
        assert!(unframe(b"\x12\x00").is_err());
        assert!(unframe(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_err());
    }

    #[test]
    fn only_the_receipt_does_not_matter_for_being_the_same() {
        assert_eq!(fingerprint(&record(1)), fingerprint(&record(2)));
        let mut other = record(1);
        other.occurred_at = UnixMillis(2);
        assert_ne!(fingerprint(&record(1)), fingerprint(&other));
    }

    #[test]
    fn ids_are_ordered_like_positions() {
        let id = |text: &str| EntryId::parse(text.as_bytes()).unwrap();
        assert!(id("9-10").position() < id("10-9").position());
        assert!(id("10-9").position() < id("10-10").position());
        assert_eq!(EntryId::at(id("10-9").position()), id("10-9"));
        assert_eq!(EntryId::parse(b"10"), None);
        assert_eq!(EntryId::parse(b"10-x"), None);
    }

    #[test]
    fn an_epoch_has_32_digits() {
        assert_eq!(epoch_from_hex(&"0f".repeat(16)), Some([15; 16]));
        assert_eq!(epoch_from_hex("0f"), None);
        assert_eq!(epoch_from_hex(&"+f".repeat(16)), None);
    }
}
