use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

/// The same value as `serde_json` holds it.
fn plain(value: &Json<'_>) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => Value::Number(number.clone()),
        Json::Digits(digits) => digits.parse::<f64>().unwrap().into(),
        Json::Text(text) => Value::String(text.clone().into_owned()),
        Json::List(items) => items.iter().map(plain).collect(),
        Json::Object(object) => Value::Object(members(object)),
    }
}

fn members(object: &Object<'_>) -> Map<String, Value> {
    let members = object.iter();
    members
        .map(|(name, value)| (name.to_owned(), plain(value)))
        .collect()
}

#[test]
fn duplicates_are_refused_at_any_depth() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":{"b":1,"b":2}}"#,
        r#"{"a":[{"b":1,"b":2}]}"#,
        r#"{"sub":1,"\u0073ub":2}"#,
        r#"{"":1,"":2}"#,
    ] {
        assert_eq!(object(text.as_bytes()), Err(Malformed::Duplicate), "{text}");
    }
}

#[test]
fn duplicates_are_refused_among_many_too() {
    for count in [31, 32, 33, 10_000] {
        let names: Vec<_> = (0..count).map(|i| format!("\"name-{i}\":{i}")).collect();
        let read = |names: &[String]| {
            let text = format!("{{{}}}", names.join(","));
            object_within(text.as_bytes(), usize::MAX).is_ok()
        };
        assert!(read(&names), "{count}");
        for twice in [0, count / 2, count - 1] {
            let mut names = names.clone();
            names.push(names[twice].clone());
            assert!(!read(&names), "{count}, {twice}");
        }
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
        assert!(object(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(Malformed::NotUtf8));
    assert!(object(b"{}\0").is_err());
}

#[test]
fn each_fault_is_named() {
    let fault = |text: &str| object(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(fault("\u{feff}{}"), "not JSON (line 1, column 1)");
    assert_eq!(fault("{\n<"), "not JSON (line 2, column 1)");
    assert_eq!(fault("[1]"), "JSON, but not an object");
    let deep = format!("{{\"a\":{}", "[".repeat(DEEPEST));
    assert_eq!(fault(&deep), "JSON that is nested too deeply");
    assert_eq!(without_mark("\u{feff}{}".as_bytes()), b"{}");
}

#[test]
fn the_number_of_values_is_bounded() {
    for (text, values) in [
        ("{}", 1),
        (r#"{"a":1}"#, 2),
        (r#"{"a":[1,2,3]}"#, 5),
        (r#"{"a":{"b":{}},"c":[[],{}]}"#, 6),
    ] {
        assert!(object_within(text.as_bytes(), values).is_ok(), "{text}");
        let one_too_many = object_within(text.as_bytes(), values - 1);
        assert_eq!(one_too_many, Err(Malformed::TooMany), "{text}");
    }
}

#[test]
fn deep_nesting_is_refused_without_a_stack_overflow() {
    let nested = |depth| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        object(format!("{{\"a\":{open}{close}}}").as_bytes()).is_ok()
    };
    assert!(nested(DEEPEST - 1));
    assert!(!nested(DEEPEST));
    assert!(!nested(100_000));
}

#[test]
fn plain_objects_read_as_serde_json_reads_them() {
    let text = r#" {"a":[1,-2,3.5,true,null,"\u00e9"],"b":{"a":{}},"c":18446744073709551615} "#;
    let expected: Map<String, Value> = serde_json::from_str(text).unwrap();
    assert_eq!(members(&object(text.as_bytes()).unwrap()), expected);
}

#[test]
fn integers_keep_every_digit() {
    let text = r#"{"a":18446744073709551616,"\"1\\":["2\\\"3",-9223372036854775809,{"b":
        123456789012345678901234567890}],"c":1.5,"d":1e20,"e":18446744073709551615,"f":"4","g":-0}"#;
    let read = object(text.as_bytes()).unwrap();
    let Some(Json::List(list)) = read.get("\"1\\") else {
        panic!("{read:?}");
    };
    assert_eq!(read.get("a"), Some(&Json::Digits("18446744073709551616")));
    assert_eq!(list[0], Json::Text("2\\\"3".into()));
    assert_eq!(list[1], Json::Digits("-9223372036854775809"));
    let Json::Object(inner) = &list[2] else {
        panic!("{list:?}");
    };
    let digits = Json::Digits("123456789012345678901234567890");
    assert_eq!(inner.get("b"), Some(&digits));
    for (name, float) in [("c", 1.5), ("d", 1e20)] {
        let number = Number::from_f64(float).unwrap();
        assert_eq!(read.get(name), Some(&Json::Number(number)), "{name}");
    }
    assert_eq!(read.get("e"), Some(&Json::Number(u64::MAX.into())));
    assert_eq!(read.get("f"), Some(&Json::Text("4".into())));
    assert_eq!(read.get("g"), Some(&Json::Digits("-0")));
}

#[test]
fn a_string_without_escapes_is_borrowed() {
    let read = object(br#"{"plain":"\u0061","\u0062":"text"}"#).unwrap();
    let [(plain, Json::Text(escaped)), (name, Json::Text(text))] = &read.0[..] else {
        panic!("{read:?}");
    };
    assert!(matches!(
        (plain, text),
        (Cow::Borrowed(_), Cow::Borrowed("text"))
    ));
    assert_eq!((&**escaped, &**name), ("a", "b"));
}

/// Values as they are written into a text, and what strictness has to make of that text.
mod model {
    use std::fmt::Write as _;

    use super::*;

    /// A value whose objects may name members twice.
    #[derive(Clone, Debug)]
    pub(super) enum Draft {
        Scalar(Value),
        List(Vec<Draft>),
        Object(Vec<(String, Draft)>),
    }

    impl Draft {
        pub(super) fn write(&self, text: &mut String) {
            match self {
                Self::Scalar(value) => write!(text, "{value}").unwrap(),
                Self::List(items) => {
                    for (i, item) in items.iter().enumerate() {
                        text.push(if i == 0 { '[' } else { ',' });
                        item.write(text);
                    }
                    text.push_str(if items.is_empty() { "[]" } else { "]" });
                }
                Self::Object(members) => {
                    for (i, (name, value)) in members.iter().enumerate() {
                        text.push(if i == 0 { '{' } else { ',' });
                        write!(text, " {} : ", Value::from(name.as_str())).unwrap();
                        value.write(text);
                    }
                    text.push_str(if members.is_empty() { "{}" } else { "}" });
                }
            }
        }

        /// `None` for one that strictness refuses.
        pub(super) fn value(&self) -> Option<Value> {
            match self {
                Self::Scalar(value) => Some(value.clone()),
                Self::List(items) => items.iter().map(Self::value).collect(),
                Self::Object(members) => {
                    let mut map = Map::new();
                    for (name, value) in members {
                        if map.insert(name.clone(), value.value()?).is_some() {
                            return None;
                        }
                    }
                    Some(Value::Object(map))
                }
            }
        }
    }

    pub(super) fn draft() -> impl Strategy<Value = Draft> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[a-z\"\\\\\n\u{e9}\u{1f600}]{0,6}".prop_map(Value::from),
        ];
        let name = prop_oneof![8 => "[a-d]{0,2}", 2 => any::<String>()];
        let scalar = scalar.prop_map(Draft::Scalar);
        scalar.prop_recursive(4, 48, 8, move |inner| {
            let member = (name.clone(), inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(Draft::List),
                prop::collection::vec(member, 0..8).prop_map(Draft::Object),
            ]
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn an_object_reads_as_it_was_written_or_is_refused_for_its_duplicates(
        draft in prop::collection::vec(("[a-e]{1,2}", model::draft()), 0..6)
    ) {
        let draft = model::Draft::Object(draft);
        let mut text = String::new();
        draft.write(&mut text);
        let read = object(text.as_bytes()).ok().map(|object| Value::Object(members(&object)));
        prop_assert_eq!(read, draft.value());
    }

    /// Any text at all, and texts that nearly are JSON: what is read is what `serde_json` reads,
    /// and what that refuses is refused.
    #[test]
    fn no_text_reads_other_than_serde_json_reads_it(
        text in "\\{(\"[a-c\\\\un06]{0,3}\":[0-9eE.+\\-]{1,5},?|[\\[\\]{}\",:0-9a-ctrufalsn\\\\ \\-.eE]){0,12}\\}",
    ) {
        let plainly = serde_json::from_slice::<Value>(text.as_bytes());
        match (object(text.as_bytes()), plainly) {
            (Ok(object), plainly) => {
                prop_assert_eq!(Value::Object(members(&object)), plainly.unwrap());
            }
            (Err(_), Ok(Value::Object(map))) => {
                // Only a duplicate is a reason: the map then holds fewer members than the text.
                let names = text.matches(':').count();
                prop_assert!(map.len() < names, "{text}");
            }
            (Err(_), _) => {}
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in any::<Vec<u8>>()) {
        let _ = object(&bytes);
    }
}
