//! Issuer patterns: tokens of several tenants, by the keys and the settings of one entry.

use serde_json::{Value, json};

use super::*;

const PATTERN: &str = "https://login.example.com/{tenant}/v2.0";

fn of(tenant: &str) -> String {
    PATTERN.replace("{tenant}", tenant)
}

fn entry(tenants: Value, keys: &[Value]) -> Value {
    let mut entry = issuer(keys);
    entry["issuer"] = json!(PATTERN);
    entry["tenants"] = tenants;
    entry
}

/// The refusal of a good token that says it is from this issuer.
fn refused(verifier: &Verifier, issuer: &str) -> Option<Reason> {
    refusal(verifier, &P256.token("ES256", "p256", &with("iss", issuer)))
}

fn mistakes(issuers: &[Value]) -> Vec<(String, String)> {
    let issuers: Vec<_> = issuers.iter().map(read).collect();
    let mut errors = ConfigErrors::new();
    check_issuers(&issuers, &mut errors);
    let errors = errors.into_vec().into_iter();
    errors.map(|error| (error.path, error.message)).collect()
}

#[test]
fn listed_tenants_pass_and_no_other() {
    let verifier = World::new().verifier(&[entry(json!(["acme", "globex"]), &[P256.jwk("p256")])]);
    for tenant in ["acme", "globex"] {
        assert_eq!(refused(&verifier, &of(tenant)), None, "{tenant}");
    }
    for tenant in [
        "initech",
        "Acme",
        "acme ",
        "%61cme",
        "acme/",
        "x/../acme",
        "",
        "{tenant}",
        ".",
    ] {
        assert_eq!(
            refused(&verifier, &of(tenant)),
            Some(Reason::UnknownIssuer),
            "{tenant}"
        );
    }
    let no_text = with("iss", json!([of("acme")]));
    let token = P256.token("ES256", "p256", &no_text);
    assert_eq!(refusal(&verifier, &token), Some(Reason::UnknownIssuer));
}

#[test]
fn any_tenant_is_one_plain_segment() {
    let verifier = World::new().verifier(&[entry(json!("any"), &[P256.jwk("p256")])]);
    for tenant in ["acme", "72f988bf-86f1-41af-91ab-2d7cd011db47", "a.b_c~"] {
        let token = P256.token("ES256", "p256", &with("iss", of(tenant)));
        let passed = verify(&verifier, &token).unwrap();
        assert_eq!(&*passed.claims.issuer, of(tenant));
    }
    let long = "a".repeat(129);
    for tenant in [
        "", ".", "..", "a/b", "%2e", "a%00", "a?b", "a#", "a b", "é", "{tenant}", &long,
    ] {
        assert_eq!(
            refused(&verifier, &of(tenant)),
            Some(Reason::UnknownIssuer),
            "{tenant}"
        );
    }
    for issuer in [
        "https://login.example.com/acme/v2.0/",
        "https://login.example.com/acme/v1.0",
        "https://LOGIN.example.com/acme/v2.0",
        "https://login.example.com.evil.example/acme/v2.0",
        "https://login.example.com@evil.example/acme/v2.0",
    ] {
        assert_eq!(
            refused(&verifier, issuer),
            Some(Reason::UnknownIssuer),
            "{issuer}"
        );
    }
}

/// However many tenants a stranger invents, the keys are asked for within one budget, and no metric
/// names any of them.
#[test]
fn invented_tenants_leave_no_trace() {
    let mut world = World::new();
    let verifier = world.verifier(&[entry(json!("any"), &[P256.jwk("p256")])]);
    for number in 0..100 {
        let claims = with("iss", of(&format!("invented-{number}")));
        let token = P256_2.token("ES256", "p256", &claims);
        assert_eq!(refusal(&verifier, &token), Some(Reason::BadSignature));
    }
    assert_eq!(verifier.entries.len(), 1);
    assert_eq!(verifier.issuers.values().count(), 1);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &world.registry).unwrap();
    assert!(!text.contains("invented"), "{text}");
    assert!(
        text.contains(&format!("keys_usable{{issuer=\"{PATTERN}\"}} 1")),
        "{text}"
    );
}

#[test]
fn each_tenant_has_the_history_of_its_own_name() {
    let tenants = json!(["acme", "globex"]);
    let config = read(&entry(tenants, &[P256.jwk("p256")]));
    assert_eq!(config.names(), [of("acme"), of("globex")]);
    let any = read(&entry(json!("any"), &[P256.jwk("p256")]));
    assert_eq!(any.names(), [PATTERN]);
}

/// Entra publishes keys of one tenant among those of all, in one set.
#[test]
fn a_key_with_an_issuer_signs_for_that_issuer_only() {
    let keys = |issuer: Value| {
        let mut key = P256.jwk("p256");
        key["issuer"] = issuer;
        [RSA.jwk("rsa"), key]
    };
    let verifier = |issuer: Value| World::new().verifier(&[entry(json!("any"), &keys(issuer))]);
    for issuer in [Value::Null, json!(PATTERN), json!(of("{tenantid}"))] {
        assert_eq!(
            refused(&verifier(issuer.clone()), &of("acme")),
            None,
            "{issuer}"
        );
    }
    let acme_only = verifier(json!(of("acme")));
    assert_eq!(refused(&acme_only, &of("acme")), None);
    assert_eq!(refused(&acme_only, &of("globex")), Some(Reason::UnknownKey));
    let elsewhere = "https://sts.example.com/{tenantid}/";
    for issuer in [
        json!(elsewhere),
        json!(of("{tenantid}x")),
        json!(7),
        json!({}),
        json!(""),
    ] {
        let refused = refused(&verifier(issuer.clone()), &of("acme"));
        assert_eq!(refused, Some(Reason::UnknownKey), "{issuer}");
    }
    let listed = World::new().verifier(&[entry(json!(["globex"]), &keys(json!(of("acme"))))]);
    assert_eq!(refused(&listed, &of("globex")), Some(Reason::UnknownKey));
}

#[test]
fn a_key_whose_issuer_changes_is_another_key() {
    let mut key = P256.jwk("p256");
    key["issuer"] = json!(of("{tenantid}"));
    let set = |key: &Value| json!({ "keys": [key] }).to_string();
    let terms = key::Terms {
        algorithms: Algorithm::ALL.into_iter().collect(),
        jwt_svid: false,
    };
    let keyring = keyring::Keyring::new(terms, vec![PATTERN.to_owned()]);
    keyring
        .replace(set(&key).as_bytes(), UnixMillis::MAX)
        .unwrap();
    let find = |tenant: &str| {
        let now = UnixMillis::from_seconds(NOW);
        let found = keyring.find(&of(tenant), Some("p256"), Algorithm::ES256, now);
        found.unwrap().map(|found| Arc::clone(&found[0]))
    };
    let before = find("acme").unwrap();
    keyring
        .replace(set(&key).as_bytes(), UnixMillis::MAX)
        .unwrap();
    assert!(Arc::ptr_eq(&before, &find("acme").unwrap()));
    key["issuer"] = json!(of("globex"));
    keyring
        .replace(set(&key).as_bytes(), UnixMillis::MAX)
        .unwrap();
    assert!(
        !before.is_good(UnixMillis::from_seconds(NOW)),
        "what it verified is no longer good"
    );
    assert!(find("acme").is_err());
    assert!(find("globex").is_ok());
}

#[test]
fn a_set_without_a_key_for_the_issuer_says_why() {
    let mut key = P256.jwk("p256");
    key["issuer"] = json!("https://sts.example.com/{tenantid}/");
    let errors = World::new()
        .build(&[issuer(&[key])])
        .unwrap_err()
        .into_vec();
    assert_eq!(errors[0].path, "issuers[0].jwks");
    assert!(
        errors[0]
            .message
            .contains("1 skipped: it is for another issuer"),
        "{errors:?}"
    );
}

#[test]
fn a_pattern_and_its_tenants_belong_together() {
    let key = || vec![P256.jwk("p256")];
    let found = |issuer: &str, tenants: Value| {
        let mut entry = entry(tenants, &key());
        entry["issuer"] = json!(issuer);
        let mistakes = mistakes(&[entry]).into_iter();
        mistakes.map(|(path, _)| path).collect::<Vec<_>>()
    };
    assert!(found(PATTERN, json!("any")).is_empty());
    assert!(found(PATTERN, json!(["acme", "globex"])).is_empty());
    assert_eq!(found(PATTERN, Value::Null), ["issuers[0].issuer"]);
    assert_eq!(found(ISSUER, json!("any")), ["issuers[0].tenants"]);
    assert_eq!(found(PATTERN, json!([])), ["issuers[0].tenants"]);
    for tenant in ["", ".", "..", "a/b", "a%2fb", "{tenant}", "a b", "*"] {
        let found = found(PATTERN, json!(["acme", tenant]));
        assert_eq!(found, ["issuers[0].tenants[1]"], "{tenant}");
    }
    assert_eq!(
        found(PATTERN, json!(["acme", "acme"])),
        ["issuers[0].tenants[1]"]
    );
    for pattern in [
        "https://{tenant}/v2.0",
        "https://a/x{tenant}",
        "https://a/{tenantid}",
        "{tenant}",
    ] {
        assert_eq!(
            found(pattern, json!("any")),
            ["issuers[0].issuer"],
            "{pattern}"
        );
    }
    let mut discovery = entry(json!("any"), &key());
    discovery["jwks"] = json!({ "discovery": true });
    assert_eq!(mistakes(&[discovery])[0].0, "issuers[0].jwks.discovery");
}

#[test]
fn two_entries_never_accept_the_same_issuer() {
    let key = || vec![P256.jwk("p256")];
    let exact = |name: &str| {
        let mut exact = issuer(&key());
        exact["issuer"] = json!(name);
        exact
    };
    let listed = entry(json!(["acme", "globex"]), &key());
    let any = entry(json!("any"), &key());
    assert!(mistakes(&[listed.clone(), exact(&of("initech"))]).is_empty());
    assert!(mistakes(&[any.clone(), exact("https://login.example.com/acme")]).is_empty());
    for [one, other] in [
        [&listed, &exact(&of("acme"))],
        [&any, &exact(&of("acme"))],
        [&any, &listed],
        [&any, &any],
        [&listed, &listed],
    ] {
        for pair in [[one, other], [other, one]] {
            let found = mistakes(&pair.map(Clone::clone));
            assert_eq!(found.len(), 1, "{pair:?}");
            assert_eq!(found[0].0, "issuers[1].issuer");
            assert!(found[0].1.starts_with("duplicate issuer"), "{found:?}");
        }
    }
}
