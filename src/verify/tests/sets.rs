//! Key sets: what is taken from them, and how a key is chosen.

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::*;

fn verifier(keys: &[Value]) -> Arc<Verifier> {
    World::new().verifier(&[issuer(keys)])
}

/// A good key and one that differs from a good one: the second must be skipped, the first work.
fn skipped(change: impl FnOnce(&mut Value)) {
    let mut jwk = P256.jwk("changed");
    change(&mut jwk);
    let verifier = verifier(&[RSA.jwk("rsa"), jwk.clone()]);
    let good = RSA.token("RS256", "rsa", &claims());
    assert_eq!(refusal(&verifier, &good), None, "{jwk}");
    let token = P256.token("ES256", "changed", &claims());
    assert_eq!(
        refusal(&verifier, &token),
        Some(Reason::UnknownKey),
        "{jwk}"
    );
}

#[test]
fn unusable_keys_are_skipped_and_harm_no_other() {
    let off_curve = base64(&[7; 32]);
    let other_curve = P384.jwk("x")["x"].clone();
    let changes: [(&str, Value); 16] = [
        ("kty", json!("RSA")),
        ("kty", json!("ec")),
        ("kty", json!(7)),
        ("kty", Value::Null),
        ("crv", json!("P-384")),
        ("crv", json!("secp256k1")),
        ("x", json!(off_curve)),
        ("x", other_curve),
        ("x", json!("")),
        ("y", json!("****")),
        ("y", Value::Null),
        ("alg", json!("ES384")),
        ("alg", json!("none")),
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("d", json!("secret")),
    ];
    for (member, value) in changes {
        skipped(|jwk| jwk[member] = value);
    }
    skipped(|jwk| *jwk = json!("text"));
    skipped(|jwk| *jwk = json!({}));
    skipped(|jwk| *jwk = Value::Null);
    skipped(|jwk| jwk["kid"] = json!(["changed"]));
}

#[test]
fn weak_and_odd_rsa_keys_are_skipped() {
    let rsa = |n: &[u8], e: &str| json!({"kty": "RSA", "kid": "changed", "n": base64(n), "e": e});
    let mut leading = vec![0; 200];
    leading.extend([0xC5; 100]);
    let huge = vec![0xC5; 1025];
    for jwk in [
        rsa(&[0xC5; 128], "AQAB"),
        rsa(&[0xC5; 255], "AQAB"),
        rsa(&[&[0x7f][..], &[0xC5; 255]].concat(), "AQAB"),
        rsa(&leading, "AQAB"),
        rsa(&huge, "AQAB"),
        rsa(&[0xC4; 256], "AQAB"),
        rsa(&[0xC5; 256], "AQ"),
        rsa(&[0xC5; 256], "AQAAAAE"),
        rsa(&[0xC5; 256], "Ag"),
        rsa(&[0xC5; 256], ""),
        rsa(&[], "AQAB"),
    ] {
        skipped(|changed| *changed = jwk);
    }
}

#[test]
fn a_set_with_doubtful_text_is_refused_as_a_whole() {
    let jwk = RSA.jwk("rsa").to_string();
    for text in [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        json!({"keys": {}}).to_string(),
        format!("{{\"keys\":[{jwk}],\"keys\":[{jwk}]}}"),
        format!("{{\"keys\":[{jwk}]}} x"),
        format!(
            "{{\"keys\":[{}]}}",
            jwk.replacen('{', "{\"kid\":\"other\",", 1)
        ),
    ] {
        let mut config = issuer(&[]);
        config["jwks"] = json!({"inline": text});
        assert!(World::new().build(&[config]).is_err(), "{text}");
    }
    let mut config = issuer(&[]);
    config["jwks"] = json!({"inline": format!("{{\"keys\":[{jwk}],\"more\":1}}")});
    assert!(World::new().build(&[config]).is_ok());
}

#[test]
fn keys_of_one_name_are_each_tried_up_to_a_bound() {
    let same = |signer: &Signer| signer.jwk("same");
    let both = verifier(&[same(&P256), same(&RSA), same(&P256_2), same(&RSA_2)]);
    for signer in [&*P256, &*P256_2] {
        let token = signer.token("ES256", "same", &claims());
        assert_eq!(refusal(&both, &token), None);
    }
    let third = Signer::p256().token("ES256", "same", &claims());
    assert_eq!(refusal(&both, &third), Some(Reason::BadSignature));
    let mut many: Vec<_> = (0..4).map(|_| same(&Signer::p256())).collect();
    many.push(same(&P256));
    let token = P256.token("ES256", "same", &claims());
    // Nobody tried the fifth key, so nobody knows.
    assert_eq!(
        refusal(&verifier(&many), &token),
        Some(Reason::KeysUnavailable)
    );
}

#[test]
fn a_token_without_a_name_is_tried_with_up_to_four_keys_that_fit() {
    let header = br#"{"alg":"ES256"}"#;
    let token = P256.seal("ES256", header, claims().to_string().as_bytes());
    let nameless = |mut jwk: Value| {
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let fits = verifier(&[RSA.jwk("rsa"), P256.jwk("p256"), P384.jwk("p384")]);
    assert_eq!(refusal(&fits, &token), None);
    let without_names = verifier(&[nameless(P256.jwk("")), nameless(RSA.jwk(""))]);
    assert_eq!(refusal(&without_names, &token), None);
    let several: Vec<_> = (0..3)
        .map(|i| Signer::p256().jwk(&format!("{i}")))
        .collect();
    let four = verifier(&[&several[..], &[P256.jwk("a")]].concat());
    assert_eq!(refusal(&four, &token), None);
    let empty_name = P256.token("ES256", "", &claims());
    assert_eq!(refusal(&four, &empty_name), None);
    let wrong = verifier(&several);
    assert_eq!(refusal(&wrong, &token), Some(Reason::BadSignature));
    let five = verifier(&[&several[..], &[P256_2.jwk("b"), P256.jwk("a")]].concat());
    let known = five.examine(Token::new(&token));
    let refused = known.now_or_never().expect("inline keys need no fetch");
    let refused = refused.unwrap_err();
    assert_eq!(refused.reason, Reason::KeysUnavailable);
    let detail = refused
        .detail
        .expect("the operator has to know what to change");
    assert!(detail.expected().contains("a kid of its own"), "{detail:?}");
    let none = verifier(&[RSA.jwk("rsa")]);
    assert_eq!(refusal(&none, &token), Some(Reason::UnknownKey));
}

/// Cached claims are judged anew by clock and horizon, whichever way the clock moves.
#[test]
fn a_cached_token_ends_and_begins_on_time() {
    let mut world = World::new();
    let verifier = world.verifier(&[issuer(&[RSA.jwk("rsa")])]);
    let token = RSA.token("RS256", "rsa", &with("nbf", NOW));
    assert_eq!(refusal(&verifier, &token), None);
    let at = |seconds: u64| {
        world.clock.set(UnixMillis::from_seconds(seconds));
        // Another machine's clock confirms it: there is no doubt.
        world.clock.heard(world.clock.now());
        refusal(&verifier, &token)
    };
    assert_eq!(at(NOW + 629), None);
    assert_eq!(at(NOW + 630), Some(Reason::Expired));
    assert_eq!(at(NOW - 31), Some(Reason::NotYetValid));
    assert_eq!(at(NOW), None);
    world.horizon.raise(UnixMillis((NOW + 630) * 1000));
    assert_eq!(at(NOW), None);
    world.horizon.raise(UnixMillis((NOW + 630) * 1000 + 1));
    assert_eq!(at(NOW), Some(Reason::ClockDisagreement));
    assert_eq!(at(NOW + 630), Some(Reason::Expired));
    assert_eq!(at(NOW), Some(Reason::ClockDisagreement));
    let fresh = P256.token("ES256", "p256", &claims());
    let other = world.verifier(&[issuer(&[P256.jwk("p256")])]);
    assert_eq!(refusal(&other, &fresh), Some(Reason::ClockDisagreement));
}

/// What is refused by the new time only, or by the old time only, may be good. Other faults stay.
#[test]
fn a_jump_of_the_clock_is_not_blamed_on_tokens() {
    use Reason::{ClockDisagreement, Expired, LifetimeExceeded, NotYetValid, WrongAudience};
    let without_iat = |exp: u64| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove("iat");
        claims["exp"] = exp.into();
        claims
    };
    let good = claims();
    let elsewhere = with("aud", "elsewhere");
    let postdated = with("nbf", NOW + 31);
    let old = with("exp", NOW - 31);
    let latest = without_iat(NOW + 3600);
    let day = 86_400;
    for (jump, claims, before, during) in [
        (day, &good, None, Some(ClockDisagreement)),
        (day, &latest, None, Some(ClockDisagreement)),
        (day, &old, Some(Expired), Some(Expired)),
        (day, &elsewhere, Some(WrongAudience), Some(WrongAudience)),
        (day, &postdated, Some(NotYetValid), Some(ClockDisagreement)),
        (-day, &good, None, Some(ClockDisagreement)),
        (-day, &latest, None, Some(ClockDisagreement)),
        (
            -day,
            &without_iat(NOW + 4000),
            Some(LifetimeExceeded),
            Some(LifetimeExceeded),
        ),
        (-day, &postdated, Some(NotYetValid), Some(ClockDisagreement)),
    ] {
        for is_cached in [true, false] {
            let mut world = World::new();
            let verifier = world.verifier(&[issuer(&[RSA.jwk("rsa")])]);
            let token = RSA.token("RS256", "rsa", claims);
            if is_cached {
                assert_eq!(refusal(&verifier, &token), before, "{claims}");
            }
            let jumped = NOW.saturating_add_signed(jump);
            world.clock.set(UnixMillis::from_seconds(jumped));
            assert_eq!(refusal(&verifier, &token), during, "{jump} {claims}");
            assert_eq!(refusal(&verifier, &token), during, "again: {jump} {claims}");
            world.clock.set(UnixMillis::from_seconds(NOW));
            assert_eq!(refusal(&verifier, &token), before, "back: {jump} {claims}");
        }
    }
}

/// A machine that started with a slow clock: the first token from a new login ends the doubt.
#[test]
fn a_corrected_clock_is_trusted_at_the_next_new_token() {
    let mut world = World::new();
    let verifier = world.verifier(&[issuer(&[RSA.jwk("rsa")])]);
    let old = RSA.token("RS256", "rsa", &claims());
    assert_eq!(refusal(&verifier, &old), None);
    let now = NOW + 86_400;
    world.clock.set(UnixMillis::from_seconds(now));
    assert_eq!(refusal(&verifier, &old), Some(Reason::ClockDisagreement));
    let mut fresh = claims();
    (fresh["iat"], fresh["exp"]) = (now.into(), (now + 600).into());
    let fresh = RSA.token("RS256", "rsa", &fresh);
    assert_eq!(refusal(&verifier, &fresh), None);
    assert_eq!(refusal(&verifier, &old), Some(Reason::Expired));
}

#[test]
fn a_repeat_token_is_the_very_same_and_counted_as_a_hit() {
    let mut world = World::new();
    let verifier = world.verifier(&[issuer(&[RSA.jwk("rsa")])]);
    let token = RSA.token("RS256", "rsa", &claims());
    let first = verify(&verifier, &token).unwrap();
    let second = verify(&verifier, &token).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(verifier.shared.parts.metrics.hits.get(), 1);
    assert_eq!(verifier.shared.parts.metrics.misses.get(), 1);
}

#[test]
fn without_a_cache_everything_is_verified_each_time() {
    let mut world = World::new();
    world.cache.max_size = crate::core::units::Bytes(0);
    let verifier = world.verifier(&[issuer(&[RSA.jwk("rsa")])]);
    let token = RSA.token("RS256", "rsa", &claims());
    let first = verify(&verifier, &token).unwrap();
    let second = verify(&verifier, &token).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
}
