use super::super::signed::testing::{Vector, vectors};
use super::*;

const VECTORS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/signatures/hmac.json"
));

#[test]
fn only_fitting_signatures_are_admitted_and_signed_times_must_be_fresh() {
    for vector in vectors::<Config>(VECTORS) {
        let Vector { name, holds, .. } = &vector;
        let scheme = vector.config.build().unwrap();
        let checked = scheme.check(&vector.headers, vector.body.as_bytes(), vector.now);
        assert_eq!(checked.is_ok(), *holds, "{name}: {checked:?}");
    }
}

#[test]
fn a_duplicate_header_is_refused() {
    let mut vector = vectors::<Config>(VECTORS).remove(0);
    let value = vector.headers["X-Hub-Signature-256"].clone();
    vector.headers.append("X-Hub-Signature-256", value);
    let scheme = vector.config.build().unwrap();
    let checked = scheme.check(&vector.headers, vector.body.as_bytes(), vector.now);
    assert!(checked.is_err());
}

#[test]
fn invalid_settings_are_refused_with_a_reason() {
    for (yaml, expected) in [
        ("{ header: x }", "secret: secret or secret_file is missing"),
        (
            "{ header: a b, secret: x }",
            "header: \"a b\" is no header name",
        ),
        (
            "{ header: [x, ''], secret: x }",
            "header: \"\" is no header name",
        ),
        (
            "{ header: x, secret: '?', secret_encoding: base64 }",
            "secret: the secret is not base64",
        ),
        (
            "{ header: x, secret: x, timestamp: s, prefix: v1= }",
            "prefix: with timestamp",
        ),
        (
            "{ header: x, secret: x, tolerance: 0s }",
            "tolerance: must be",
        ),
    ] {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        let mut errors = ConfigErrors::new();
        config.check(&mut errors);
        let found: Vec<_> = errors.into_vec().iter().map(ToString::to_string).collect();
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{yaml}: {found:?}"
        );
    }
}
