//! The reader on every shape of type that a module's configuration may have.

#![expect(
    dead_code,
    reason = "some fields are there to be read into, not to be read"
)]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::read::document;
use super::report::Redactions;
use super::{Config, schema};
use crate::core::secret::Secret;
use crate::core::shorthand::OneOrMany;
use crate::core::units::{Bytes, Span};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Shapes {
    number: Option<u8>,
    signed: Option<i64>,
    names: BTreeMap<String, Span>,
    nested: BTreeMap<String, Inner>,
    choice: Option<Choice>,
    any: Option<serde_json::Value>,
    secret: Option<Secret>,
    size: Option<Bytes>,
    wrapped: Option<Wrapped>,
    some: Option<OneOrMany<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Inner {
    path: String,
    #[serde(default)]
    flag: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Choice {
    Embedded(Inner),
    Nats {
        servers: Vec<String>,
        #[serde(default)]
        tls: bool,
    },
    Off,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Wrapped(Inner);

fn read<T: DeserializeOwned>(text: &[u8], schema: &serde_json::Value) -> (Vec<String>, Option<T>) {
    let env = |_: &str| Some("8080".into());
    let (findings, value) = match document(text, &env, schema, &mut Redactions::default()) {
        Ok(mut document) => {
            let value = document.decode::<T>();
            (document.findings, value)
        }
        Err(findings) => (findings, None),
    };
    let lines = findings
        .iter()
        .map(|one| format!("{}: {}", one.path, one.message));
    (lines.collect(), value)
}

fn shapes(text: &str) -> (Vec<String>, Option<Shapes>) {
    read(text.as_bytes(), &schemars::schema_for!(Shapes).to_value())
}

#[track_caller]
fn good(text: &str) -> Shapes {
    let (findings, value) = shapes(text);
    assert_eq!(findings, Vec::<String>::new(), "{text}");
    value.expect(text)
}

#[track_caller]
fn bad(text: &str, expected: &[&str]) {
    let (findings, value) = shapes(text);
    assert_eq!(findings, expected, "{text}");
    assert!(value.is_some(), "could not be read in spite of it: {text}");
}

#[test]
fn numbers_keep_their_bounds() {
    assert_eq!(good("number: 255").number, Some(255));
    assert_eq!(good("number: 0xff").number, Some(255));
    assert_eq!(good("number: null").number, None);
    assert_eq!(good("signed: -9223372036854775808").signed, Some(i64::MIN));
    bad("number: 256", &["number: must be at most 255"]);
    bad("number: -1", &["number: must be at least 0"]);
    bad(
        "number: '5'",
        &["number: expected a whole number, found text"],
    );
    bad(
        "number: 1e9",
        &["number: expected a whole number, found a number"],
    );
    bad(
        "number: [1]",
        &["number: expected a whole number, found a list"],
    );
    bad(
        "signed: 99999999999999999999",
        &["signed: must be at most 9223372036854775807"],
    );
    for word in [".inf", ".nan", "inf", "nan", "1_000"] {
        bad(
            &format!("number: {word}"),
            &["number: expected a whole number, found text"],
        );
    }
}

#[test]
fn maps_of_anything_name_the_entry() {
    assert_eq!(good("names: { a.b: 1s, c: 2m }").names.len(), 2);
    let (findings, _) = shapes("names: { a.b: 1s, c: 2 }");
    assert!(
        findings[0].starts_with("names.c: \"2\" is not a duration"),
        "{findings:?}"
    );
    bad(
        "nested: { x: { path: a, flg: true }, y: {} }",
        &[
            "nested.x.flg: unknown key; did you mean \"flag\"?",
            "nested.y: \"path\" is missing",
        ],
    );
}

#[test]
fn variants_are_chosen_by_key() {
    assert!(matches!(good("choice: off").choice, Some(Choice::Off)));
    let embedded = good("choice: { embedded: { path: ~user } }").choice;
    assert!(matches!(embedded, Some(Choice::Embedded(inner)) if inner.path == "~user"));
    let nats = good("choice: { nats: { servers: [a, '1'], tls: true } }").choice;
    assert!(matches!(nats, Some(Choice::Nats { servers, tls: true }) if servers == ["a", "1"]));
    bad(
        "choice: of",
        &["choice: \"of\" is unknown; did you mean \"off\"?"],
    );
    bad(
        "choice: embedded",
        &["choice: expected a mapping, found text"],
    );
    bad(
        "choice: { redis: {} }",
        &["choice.redis: unknown key; known here: embedded, nats, off"],
    );
    bad("choice: {}", &["choice: give one of embedded, nats, off"]);
    bad(
        "choice: { nats: { servers: [] }, embedded: { path: x } }",
        &["choice: give exactly one of embedded, nats, off"],
    );
    bad(
        "choice: { nats: { server: [] } }",
        &["choice.nats.server: unknown key; did you mean \"servers\"?"],
    );
    bad(
        "choice: [off]",
        &["choice: expected one of embedded, nats, off, found a list"],
    );
}

#[test]
fn a_value_without_a_type_is_read_as_text_lists_and_mappings() {
    let any = good("any: { a: [1, true, null, '2', x], b: { c: -3 } }").any;
    let expected = serde_json::json!({ "a": ["1", "true", null, "2", "x"], "b": { "c": "-3" } });
    assert_eq!(any, Some(expected));
}

#[test]
fn the_environment_gives_what_the_field_wants() {
    assert_eq!(good("signed: ${PORT}").signed, Some(8080));
    assert_eq!(good("any: ${PORT}").any, Some("8080".into()));
    bad("number: ${PORT}", &["number: must be at most 255"]);
    bad(
        "size: ${PORT}",
        &["size: the value from the environment does not fit"],
    );
    bad(
        "choice: '${PORT}'",
        &["choice: the value from the environment is none of embedded, nats, off"],
    );
}

#[test]
fn wrappers_and_lists_of_one_work() {
    assert_eq!(good("wrapped: { path: a }").wrapped.unwrap().0.path, "a");
    assert_eq!(good("some: 5").some.unwrap().0, ["5"]);
    assert_eq!(good("some: [5, 1.10]").some.unwrap().0, ["5", "1.10"]);
    bad("some: []", &["some: the list must not be empty"]);
    bad("some: [[a]]", &["some[0]: expected text, found a list"]);
    assert!(good("secret: 0123").secret.unwrap().matches(b"0123"));
    assert_eq!(good("size: 64MiB").size, Some(Bytes::mib(64)));
}

#[test]
fn every_type_takes_its_sample() {
    let schema = schema();
    for text in [
        "{ x: 1 }",
        "issuers: [{}, x, { jwks: x, secret: x }]",
        "events: [{}, x, { auth: { basic: {}, header: {}, signature: {} } }]",
        "events: [{ auth: { basic: x, header: x, signature: x }, format: { fusionauth: x } }]",
        "revocations: { store: { nats: {} }, issuers: [{}, x] }",
        "revocations: { store: { redis: { sentinel: {}, server: [], tls: x } }, local: x }",
        "revocations: { store: { embedded: {} } }",
        "token: { sources: [{}, x] }\nbypass: [{}, x]\nanswer: { headers: { x-a: [] } }",
    ] {
        let (findings, config) = read::<Config>(text.as_bytes(), &schema);
        assert!(config.is_some(), "{text}: {findings:#?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
        let schema = schemars::schema_for!(Shapes).to_value();
        let _ = read::<Shapes>(&bytes, &schema);
    }

    #[test]
    fn no_yaml_makes_the_reader_panic(
        text in r"((number|any|some|choice|nats|names|x)?[:\-\[\]{},&*!?|>'$ \n]{1,4}[a1~]?){0,30}"
    ) {
        let (findings, value) = shapes(&text);
        // Nothing that is wrong goes unsaid.
        proptest::prop_assert!(value.is_some() || !findings.is_empty());
    }
}
