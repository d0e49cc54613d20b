//! The reader on every shape of type that a module's configuration may have.

#![expect(
    dead_code,
    reason = "some fields are there to be read into, not to be read"
)]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::read::fit;
use crate::core::secret::Secret;
use crate::core::units::{Bytes, Span};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Shapes {
    number: Option<u8>,
    signed: Option<i64>,
    float: Option<f64>,
    pair: Option<(String, u16)>,
    names: BTreeMap<String, Span>,
    nested: BTreeMap<String, Inner>,
    external: Option<External>,
    internal: Vec<Internal>,
    flat: Option<Flat>,
    any: Option<serde_json::Value>,
    secret: Option<Secret>,
    size: Option<Bytes>,
    wrapped: Option<Wrapped>,
    untagged: Option<OneOrMany>,
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
enum External {
    /// Nothing.
    Off,
    /// A directory.
    Embedded(Inner),
    Nats {
        servers: Vec<String>,
        #[serde(default)]
        tls: bool,
    },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "format", rename_all = "snake_case", deny_unknown_fields)]
enum Internal {
    Fusionauth { name: String, age: Option<Span> },
    Keycloak { name: String, realm: String },
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Flat {
    name: String,
    #[serde(flatten)]
    format: Internal2,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "format", rename_all = "snake_case")]
enum Internal2 {
    Svix { app: String },
    Okta,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Wrapped(Inner);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn read(text: &str) -> (Vec<String>, Option<Shapes>) {
    let schema = schemars::schema_for!(Shapes).to_value();
    let (fitted, value) = fit::<Shapes>(text.as_bytes(), &|_| Some("8080".into()), &schema);
    let findings = fitted.walk.findings.iter();
    let lines = findings.map(|one| format!("{}: {}", one.path, one.message));
    (lines.collect(), value)
}

#[track_caller]
fn good(text: &str) -> Shapes {
    let (findings, value) = read(text);
    assert_eq!(findings, Vec::<String>::new(), "{text}");
    value.expect(text)
}

#[track_caller]
fn bad(text: &str, expected: &[&str]) {
    let (findings, value) = read(text);
    assert_eq!(findings, expected, "{text}");
    assert!(value.is_some(), "was not mended: {text}");
}

#[test]
fn numbers_keep_their_bounds() {
    assert_eq!(good("number: 255").number, Some(255));
    assert_eq!(good("number: 0xff").number, Some(255));
    assert_eq!(good("number: null").number, None);
    assert_eq!(good("signed: -9223372036854775808").signed, Some(i64::MIN));
    assert_eq!(good("float: 1e3").float, Some(1000.0));
    assert_eq!(good("float: 1").float, Some(1.0));
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
    for word in [".inf", ".nan", "inf", "nan", "infinity", "1_000"] {
        bad(
            &format!("float: {word}"),
            &["float: expected a number, found text"],
        );
    }
    let (findings, value) = read("signed: 99999999999999999999");
    assert!(findings.len() == 1 && value.is_none(), "{findings:?}");
}

#[test]
fn maps_of_anything_name_the_entry() {
    assert_eq!(good("names: { a.b: 1s, c: 2m }").names.len(), 2);
    bad(
        "names: { a.b: 1s, c: 2 }",
        &["names.c: \"2\" is not of the right form; write it like 500ms, 30s or 1h"],
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
fn external_variants_are_chosen_by_key() {
    assert!(matches!(
        good("external: off").external,
        Some(External::Off)
    ));
    let embedded = good("external: { embedded: { path: ~user } }").external;
    assert!(matches!(embedded, Some(External::Embedded(inner)) if inner.path == "~user"));
    let nats = good("external: { nats: { servers: [a, '1'], tls: true } }").external;
    assert!(matches!(nats, Some(External::Nats { servers, tls: true }) if servers == ["a", "1"]));
    bad(
        "external: of",
        &["external: \"of\" is unknown; did you mean \"off\"?"],
    );
    bad(
        "external: { redis: {} }",
        &["external.redis: unknown key; known here: embedded, nats"],
    );
    bad("external: {}", &["external: give one of embedded, nats"]);
    bad(
        "external: { nats: { servers: [] }, embedded: { path: x } }",
        &["external: give exactly one of embedded, nats"],
    );
    bad(
        "external: { nats: { server: [] } }",
        &["external.nats.server: unknown key; did you mean \"servers\"?"],
    );
    bad(
        "external: [off]",
        &["external: expected one of off, or a mapping, found a list"],
    );
}

#[test]
fn internal_variants_are_chosen_by_their_tag() {
    let both = "internal: [{ format: fusionauth, name: 1, age: 1s }, { format: keycloak, name: a, \
                realm: '2' }]";
    let internal = good(both).internal;
    assert!(matches!(&internal[0], Internal::Fusionauth { name, age: Some(_) } if name == "1"));
    assert!(matches!(&internal[1], Internal::Keycloak { realm, .. } if realm == "2"));
    bad(
        "internal: [{ name: a }]",
        &["internal[0]: \"format\" is missing"],
    );
    bad(
        "internal: [{ format: keycloack, name: a }]",
        &["internal[0].format: \"keycloack\" is unknown; did you mean \"keycloak\"?"],
    );
    bad(
        "internal: [{ format: fusionauth, name: a, realm: b }]",
        &["internal[0].realm: unknown key; known here: age, format, name"],
    );
}

#[test]
fn a_flattened_variant_joins_the_keys_around_it() {
    let flat = good("flat: { name: a, format: svix, app: b }")
        .flat
        .unwrap();
    assert!(flat.name == "a" && matches!(flat.format, Internal2::Svix { app } if app == "b"));
    bad("flat: { format: okta }", &["flat: \"name\" is missing"]);
    bad(
        "flat: { name: a, format: svix }",
        &["flat: \"app\" is missing"],
    );
    bad(
        "flat: { name: a, format: octa }",
        &["flat.format: \"octa\" is unknown; did you mean \"okta\"?"],
    );
}

#[test]
fn a_free_value_is_what_it_looks_like() {
    let any = good("any: { a: [1, true, null, 1.5, '2', x], b: { c: -3 } }").any;
    let expected = serde_json::json!({ "a": [1, true, null, 1.5, "2", "x"], "b": { "c": -3 } });
    assert_eq!(any, Some(expected));
    assert_eq!(good("any: ${PORT}").any, Some("8080".into()));
}

#[test]
fn the_environment_gives_what_the_field_wants() {
    assert_eq!(good("signed: ${PORT}").signed, Some(8080));
    assert_eq!(
        good("pair: ['${PORT}', \"${PORT}\"]").pair,
        Some(("8080".to_owned(), 8080))
    );
    bad("number: ${PORT}", &["number: must be at most 255"]);
    bad(
        "flat: { name: a, format: '${PORT}' }",
        &["flat.format: the value from the environment is none of svix, okta"],
    );
}

#[test]
fn wrappers_and_untagged_enums_work() {
    assert_eq!(good("wrapped: { path: a }").wrapped.unwrap().0.path, "a");
    assert!(matches!(good("untagged: 5").untagged, Some(OneOrMany::One(one)) if one == "5"));
    assert!(matches!(good("untagged: [5]").untagged, Some(OneOrMany::Many(many)) if many == ["5"]));
    assert!(good("secret: 0123").secret.unwrap().matches(b"0123"));
    assert_eq!(good("size: 64MiB").size, Some(Bytes::mib(64)));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
        let schema = schemars::schema_for!(Shapes).to_value();
        let _ = fit::<Shapes>(&bytes, &|_| None, &schema);
    }

    #[test]
    fn no_yaml_makes_the_reader_panic(
        text in r"((number|any|flat|internal|external|names|x)?[:\-\[\]{},&*!?|>'$ \n]{1,4}[a1~]?){0,30}"
    ) {
        let schema = schemars::schema_for!(Shapes).to_value();
        let (fitted, value) = fit::<Shapes>(text.as_bytes(), &|_| None, &schema);
        // Nothing that was wrong goes unsaid.
        proptest::prop_assert!(value.is_some() || !fitted.walk.findings.is_empty());
    }
}
