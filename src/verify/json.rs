//! Strict JSON: one object and nothing after it, no member named twice at any depth, no deep
//! nesting. Two parsers that disagree about a duplicate member disagree about who the user is.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep objects and arrays may nest, the outermost included. Real tokens stay below 6.
const DEEPEST: usize = 32;

/// Reads one JSON object.
///
/// # Errors
/// What is wrong, without a word of the text itself.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>, Malformed> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict(DEEPEST)
        .deserialize(&mut deserializer)
        .map_err(|_| Malformed)?;
    deserializer.end().map_err(|_| Malformed)?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Malformed),
    }
}

/// Not one strict JSON object. serde's own message may quote the text, so it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one JSON object without duplicate members")]
pub(super) struct Malformed;

/// How many more levels may follow.
#[derive(Clone, Copy)]
struct Strict(usize);

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let left = self.0.checked_sub(1);
        left.map(Self).ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not finite"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if let Some(_first) = map.insert(name, value) {
                return Err(A::Error::custom("a member is named twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_refused_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
            r#"{"sub":1,"\u0073ub":2}"#,
            r#"{"":1,"":2}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for text in [
            "",
            " ",
            "1",
            "[]",
            "\"\"",
            "null",
            "{",
            "{}x",
            "{} {}",
            "{},",
            "\u{feff}{}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":NaN}",
            "{\"a\":Infinity}",
            "{\"a\":1e400}",
            "{\"a\":1,}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\t\"}",
            "/**/{}",
        ] {
            assert_eq!(object(text.as_bytes()), Err(Malformed), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(Malformed));
        assert_eq!(object(b"{}\0"), Err(Malformed));
    }

    #[test]
    fn deep_nesting_is_refused_without_using_up_the_stack() {
        let nested = |depth| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            object(format!("{{\"a\":{open}{close}}}").as_bytes())
        };
        assert!(nested(DEEPEST - 1).is_ok());
        assert!(nested(DEEPEST).is_err());
        assert!(nested(100_000).is_err());
    }

    #[test]
    fn plain_objects_read_as_serde_json_reads_them() {
        let text = r#" {"a":[1,-2,3.5,true,null,"\u00e9"],"b":{"a":{}},"c":18446744073709551615} "#;
        let expected: Map<String, Value> = serde_json::from_str(text).unwrap();
        assert_eq!(object(text.as_bytes()), Ok(expected));
    }
}
