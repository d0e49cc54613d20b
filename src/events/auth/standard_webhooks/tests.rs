use super::super::signed::testing::{Vector, vectors};
use super::*;

const VECTORS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/signatures/standard_webhooks.json"
));

#[test]
fn only_deliveries_with_a_fresh_and_fitting_signature_are_admitted() {
    for vector in vectors::<Config>(VECTORS) {
        let Vector { name, holds, .. } = &vector;
        let scheme = vector.config.build().unwrap();
        let id = scheme.check(&vector.headers, vector.body.as_bytes(), vector.now);
        assert_eq!(id.is_ok(), *holds, "{name}: {id:?}");
        if let Ok(id) = id {
            assert_eq!(id, "msg_p5jXN8AQM9LWM0D4loKWxJek", "{name}");
        }
    }
}

#[test]
fn a_duplicate_header_is_refused() {
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut vector = vectors::<Config>(VECTORS).remove(0);
        let value = vector.headers[name].clone();
        vector.headers.append(name, value);
        let scheme = vector.config.build().unwrap();
        let checked = scheme.check(&vector.headers, vector.body.as_bytes(), vector.now);
        assert!(checked.is_err(), "{name}");
    }
}

#[test]
fn invalid_settings_are_refused_with_a_reason() {
    for (yaml, expected) in [
        ("{}", ": give secret, secret_file or public_key"),
        (
            "{ secret: whsec_AAAA }",
            "secret: the secret is shorter than 24 bytes",
        ),
        ("{ secret: 'whsec_?' }", "secret: the secret is not base64"),
        (
            "{ secret: MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, secret_file: x }",
            "secret: give secret or",
        ),
        (
            "{ public_key: whpk_AAAA }",
            "public_key: is no Ed25519 public key",
        ),
        (
            "{ public_key: 'whsec_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=' }",
            "public_key: is no",
        ),
        (
            "{ secret: MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, tolerance: 2h }",
            "tolerance: must be greater than zero and at most 1h",
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
    assert!(Config::default().build().is_err());
}
