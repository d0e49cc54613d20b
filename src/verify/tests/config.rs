//! What an operator may and may not write.

use base64::Engine as _;
use serde_json::{Value, json};

use super::*;

/// The paths of the mistakes in one issuer that differs from a good one.
fn mistakes(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut config = json!({
        "issuer": ISSUER,
        "audiences": ["api"],
        "jwks": {"uri": "https://id.example.com/keys"},
    });
    change(&mut config);
    let mut errors = ConfigErrors::new();
    check_issuers(&[read(&config)], &mut errors);
    let paths = errors.into_vec().into_iter().map(|error| error.path);
    paths
        .map(|path| path.trim_start_matches("issuers[0].").to_owned())
        .collect()
}

fn set(field: &str, value: impl Into<Value>) -> Vec<String> {
    mistakes(|config| config[field] = value.into())
}

#[test]
fn the_smallest_configuration_is_accepted() {
    assert!(mistakes(|_| {}).is_empty());
}

#[test]
fn every_mistake_is_found_where_it_stands() {
    assert_eq!(set("audiences", json!([])), ["audiences"]);
    assert_eq!(set("any_audience", true), ["any_audience"]);
    assert_eq!(set("leeway", "11m"), ["leeway"]);
    for lifetime in ["0s", "500ms", "367d", "100000years"] {
        assert_eq!(set("max_token_lifetime", lifetime), ["max_token_lifetime"]);
    }
    assert_eq!(set("algorithms", json!([])), ["algorithms"]);
    assert_eq!(set("algorithms", json!(["RS256", "HS256"])), ["algorithms"]);
    assert_eq!(set("jwks", Value::Null), ["jwks"]);
    assert_eq!(
        mistakes(|config| {
            config["types"] = json!([]);
            config["allow_untyped"] = json!(false);
        }),
        ["types"]
    );
}

#[test]
fn keys_come_from_one_safe_place() {
    let one_place = [
        json!({}),
        json!({"discovery": false}),
        json!({"uri": "https://id.example.com/keys", "discovery": true}),
        json!({"file": "/keys.json", "inline": "{}"}),
    ];
    for jwks in one_place {
        assert_eq!(set("jwks", jwks.clone()), ["jwks"], "{jwks}");
    }
    for uri in [
        "http://id.example.com/keys",
        "ftp://id.example.com/keys",
        "file:///keys.json",
        "data:,x",
        "/keys",
        "https://user:password@id.example.com/keys",
        "http://127.0.0.1.example.com/keys",
        "http://localhost.example.com/keys",
    ] {
        assert_eq!(set("jwks", json!({"uri": uri})), ["jwks.uri"], "{uri}");
    }
    for uri in [
        "http://localhost:8080/k",
        "http://127.0.0.1/k",
        "http://[::1]:1/k",
    ] {
        assert!(set("jwks", json!({"uri": uri})).is_empty(), "{uri}");
    }
    let plain = json!({"uri": "http://id.example.com/keys", "insecure": true});
    assert!(set("jwks", plain).is_empty());
}

#[test]
fn a_secret_is_as_long_as_its_hash() {
    let with_secret = |length: usize, algorithms: Value| {
        mistakes(|config| {
            config["jwks"] = Value::Null;
            config["secret"] = json!({"value": &SECRET[..length]});
            config["algorithms"] = algorithms;
        })
    };
    assert_eq!(with_secret(31, json!(["HS256"])), ["secret.value"]);
    assert_eq!(with_secret(47, json!(["HS384"])), ["secret.value"]);
    assert_eq!(with_secret(63, json!(["HS256", "HS512"])), ["secret.value"]);
    assert_eq!(with_secret(64, json!(["RS256"])), ["algorithms"]);
    assert!(with_secret(64, json!(["HS256", "HS512"])).is_empty());
    let both = json!({"value": SECRET, "value_file": "/secret"});
    assert_eq!(set("secret", both), ["secret.value"]);
    assert_eq!(set("secret", json!({})), ["secret.value"]);
    let one_is_short = json!({"value": [SECRET, {"file": "/secret"}, &SECRET[..31]]});
    assert_eq!(set("secret", one_is_short), ["secret.value"]);
}

#[test]
fn without_a_list_a_short_secret_serves_the_short_hashes_only() {
    let config = json!({
        "issuer": ISSUER, "audiences": ["api"], "secret": {"value": &SECRET[..40]},
    });
    let verifier = World::new().verifier(&[config]);
    let signer = Signer::hmac(&SECRET.as_bytes()[..40]);
    let token = |algorithm| signer.token(algorithm, "x", &claims());
    assert_eq!(refusal(&verifier, &token("HS256")), None);
    assert_eq!(
        refusal(&verifier, &token("HS384")),
        Some(Reason::UnsupportedAlgorithm)
    );
}

#[test]
fn a_secret_may_come_from_a_file_and_a_short_one_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let of = |secret: Value| json!({ "issuer": ISSUER, "audiences": ["api"], "secret": secret });
    for secret in [
        json!({ "value_file": path }),
        json!({ "value": { "file": path } }),
    ] {
        std::fs::write(&path, format!("{SECRET}\n")).unwrap();
        let verifier = World::new().verifier(&[of(secret.clone())]);
        let token = HMAC.token("HS512", "x", &claims());
        assert_eq!(refusal(&verifier, &token), None);
        std::fs::write(&path, "short").unwrap();
        let errors = World::new().build(&[of(secret)]).unwrap_err().into_vec();
        assert_eq!(errors[0].path, "issuers[0].secret");
        let message = &errors[0].message;
        assert!(!message.contains("short\""), "{message}");
    }
    let absent = of(json!({ "value": { "env": "PORTCULLIS_NO_SUCH_VARIABLE" } }));
    let errors = World::new().build(&[absent]).unwrap_err().into_vec();
    assert_eq!(
        errors[0].message,
        "the environment variable PORTCULLIS_NO_SUCH_VARIABLE is empty or not set"
    );
}

#[test]
fn each_secret_of_a_list_serves_the_hashes_it_is_long_enough_for() {
    let config = json!({
        "issuer": ISSUER, "audiences": ["api"], "secret": {"value": [SECRET, &SECRET[..40]]},
    });
    let verifier = World::new().verifier(&[config]);
    let [long, short] = [SECRET, &SECRET[..40]].map(|secret| Signer::hmac(secret.as_bytes()));
    let refused = |signer: &Signer, algorithm| {
        let token = signer.token(algorithm, "x", &claims());
        refusal(&verifier, &token)
    };
    for algorithm in ["HS256", "HS384", "HS512"] {
        assert_eq!(refused(&long, algorithm), None, "{algorithm}");
    }
    assert_eq!(refused(&short, "HS256"), None);
    assert_eq!(refused(&short, "HS384"), Some(Reason::BadSignature));
}

#[test]
fn a_replaced_secret_stops_verifying_also_from_the_cache() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, SECRET).unwrap();
    let secret = json!({ "value": { "file": path }, "kid": "shared" });
    let config = json!({ "issuer": ISSUER, "audiences": ["api"], "secret": secret });
    let verifier = World::new().verifier(&[config]);
    let refused = |signer: &Signer, subject: &str| {
        let claims = with("sub", subject);
        refusal(&verifier, &signer.token("HS256", "shared", &claims))
    };
    let next = Signer::hmac(&[7; 32]);
    for _seen_before in [false, true] {
        assert_eq!(refused(&HMAC, "alice"), None);
    }
    assert_eq!(refused(&next, "alice"), Some(Reason::BadSignature));
    std::fs::write(&path, [7; 32]).unwrap();
    assert_eq!(refused(&next, "bob"), None);
    assert_eq!(refused(&HMAC, "alice"), Some(Reason::BadSignature));
    std::fs::write(&path, "short").unwrap();
    assert_eq!(refused(&next, "carol"), None);
}

#[test]
fn a_secret_may_be_base64_and_binary_bytes_are_all_its_own() {
    // It ends like a text file, and is none.
    let bytes = [&[0xff; 30][..], b"\r\n"].concat();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, &bytes).unwrap();
    let of = |secret: Value| json!({ "issuer": ISSUER, "audiences": ["api"], "secret": secret });
    let token = Signer::hmac(&bytes).token("HS256", "x", &claims());
    for secret in [
        json!({ "value": encoded, "encoding": "base64" }),
        json!({ "value_file": path }),
    ] {
        let verifier = World::new().verifier(&[of(secret.clone())]);
        assert_eq!(refusal(&verifier, &token), None, "{secret}");
    }
    let verifier = World::new().verifier(&[of(json!({ "value": encoded }))]);
    assert_eq!(refusal(&verifier, &token), Some(Reason::BadSignature));
    // 31 bytes are too short, however long their base64 is.
    let short = base64::engine::general_purpose::STANDARD.encode(&bytes[1..]);
    let found = mistakes(|config| {
        config["jwks"] = Value::Null;
        config["secret"] = json!({ "value": short, "encoding": "base64" });
        config["algorithms"] = json!(["HS256"]);
    });
    assert_eq!(found, ["secret.value"]);
}

#[test]
fn an_inline_set_without_a_usable_key_stops_the_start() {
    for keys in [vec![], vec![HMAC.jwk("oct")]] {
        let errors = World::new().build(&[issuer(&keys)]).unwrap_err().into_vec();
        assert_eq!(errors[0].path, "issuers[0].jwks");
    }
}

#[test]
fn duplicate_issuers_are_errors() {
    let config = read(&issuer(&[RSA.jwk("rsa")]));
    let mut errors = ConfigErrors::new();
    check_issuers(&[config.clone(), config], &mut errors);
    assert_eq!(errors.into_vec()[0].path, "issuers[1].issuer");
}

#[test]
fn invalid_settings_of_fetching_are_named() {
    let keys: KeysConfig = serde_saphyr::from_str(
        "{refresh: 0s, cooldown: 1ms, timeout: 1ms, min_refresh: 2h, max_refresh: 1h, \
         max_stale: 2m, max_size: 1B}",
    )
    .unwrap();
    let mut errors = ConfigErrors::new();
    keys.check(&mut errors);
    let paths: Vec<_> = errors.into_vec().into_iter().map(|one| one.path).collect();
    let expected = [
        "refresh",
        "cooldown",
        "timeout",
        "max_refresh",
        "max_stale",
        "max_size",
    ];
    assert_eq!(paths, expected);
    let mut errors = ConfigErrors::new();
    KeysConfig::default().check(&mut errors);
    assert!(errors.is_empty());
}

#[test]
fn secrets_do_not_show() {
    let config = read(&json!({"issuer": ISSUER, "secret": {"value": SECRET}}));
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn the_files_of_an_access_are_for_keys_that_are_fetched_and_come_in_pairs() {
    let jwks = |access: Value| {
        mistakes(|config| {
            let jwks = config["jwks"].as_object_mut().unwrap();
            jwks.extend(access.as_object().unwrap().clone());
            if access.get("file").is_some() {
                jwks.remove("uri");
            }
        })
    };
    let pair = json!({"client_cert_file": "/c", "client_key_file": "/k", "ca_file": "/a"});
    assert!(jwks(pair).is_empty());
    let alone = |name: &str| jwks(json!({ name: "/x" }));
    assert_eq!(alone("client_cert_file"), ["jwks.client_key_file"]);
    assert_eq!(alone("client_key_file"), ["jwks.client_cert_file"]);
    let file = |name: &str| jwks(json!({"file": "/keys.json", name: "/x"}));
    for name in ["ca_file", "bearer_token_file"] {
        assert_eq!(file(name), [format!("jwks.{name}")]);
    }
}
