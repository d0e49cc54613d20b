//! Hostile payloads: signed for real, so that nothing but the named flaw is wrong.

use serde_json::{Value, json};

use super::hostile::Case;
use super::*;

fn saying(payload: &Value) -> String {
    RSA.token("RS256", "rsa", payload)
}

/// A payload word for word.
fn raw(payload: impl AsRef<[u8]>) -> String {
    RSA.seal("RS256", br#"{"alg":"RS256","kid":"rsa"}"#, payload.as_ref())
}

/// The good payload with more text at its end.
fn and(more: &str) -> String {
    let text = claims().to_string();
    raw(format!("{},{more}}}", &text[..text.len() - 1]))
}

/// The good payload with a claim whose value only raw text can say.
fn literally(name: &str, value: &str) -> String {
    let text = without(name).to_string();
    raw(format!("{},\"{name}\":{value}}}", &text[..text.len() - 1]))
}

pub(super) fn issuers() -> Vec<Case> {
    let unknown = Reason::UnknownIssuer;
    vec![
        ("iss missing", saying(&without("iss")), unknown),
        (
            "iss unknown",
            saying(&with("iss", "https://evil.example.com")),
            unknown,
        ),
        (
            "iss with a slash",
            saying(&with("iss", format!("{ISSUER}/"))),
            unknown,
        ),
        (
            "iss in another case",
            saying(&with("iss", "https://ID.example.com")),
            unknown,
        ),
        (
            "iss with a space",
            saying(&with("iss", format!("{ISSUER} "))),
            unknown,
        ),
        (
            "iss longer",
            saying(&with("iss", format!("{ISSUER}.evil.example.com"))),
            unknown,
        ),
        ("iss list", saying(&with("iss", json!([ISSUER]))), unknown),
        (
            "iss object",
            saying(&with("iss", json!({"a": ISSUER}))),
            unknown,
        ),
        ("iss number", saying(&with("iss", 1)), unknown),
        ("iss null", saying(&with("iss", Value::Null)), unknown),
        ("iss empty", saying(&with("iss", "")), unknown),
    ]
}

pub(super) fn payloads() -> Vec<Case> {
    let bad = Reason::MalformedToken;
    let deep = format!("\"x\":{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_objects = format!("\"x\":{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    vec![
        ("payload twice sub", and(r#""sub":"mallory""#), bad),
        (
            "payload twice iss",
            and(&format!("\"iss\":\"{ISSUER}\"")),
            bad,
        ),
        (
            "payload escaped duplicate",
            and(r#""\u0073ub":"mallory""#),
            bad,
        ),
        (
            "payload nested duplicate",
            and(r#""x":{"roles":[],"roles":["admin"]}"#),
            bad,
        ),
        (
            "payload duplicate in a list",
            and(r#""x":[{"a":1,"a":2}]"#),
            bad,
        ),
        ("payload deep lists", and(&deep), bad),
        ("payload deep objects", and(&deep_objects), bad),
        ("payload is a list", raw("[]"), bad),
        ("payload is text", raw("\"x\""), bad),
        ("payload is null", raw("null"), bad),
        ("payload is no JSON", raw("iss=me"), bad),
        (
            "payload unfinished",
            raw("{\"iss\":\"https://id.example.com\""),
            bad,
        ),
        (
            "payload with trailing text",
            raw(format!("{}x", claims())),
            bad,
        ),
        (
            "payload twice",
            raw(format!("{}{}", claims(), claims())),
            bad,
        ),
        (
            "payload with trailing NUL",
            raw(format!("{}\0", claims())),
            bad,
        ),
        (
            "payload with a BOM",
            raw(format!("\u{feff}{}", claims())),
            bad,
        ),
        (
            "payload in UTF-16",
            {
                let text = claims().to_string();
                raw(text
                    .encode_utf16()
                    .flat_map(u16::to_le_bytes)
                    .collect::<Vec<_>>())
            },
            bad,
        ),
        (
            "payload not UTF-8",
            raw(b"{\"iss\":\"https://id.example.com\",\"sub\":\"\xc0\xaf\"}"),
            bad,
        ),
        ("payload lone surrogate", and(r#""x":"\ud800""#), bad),
        ("payload control character", and("\"x\":\"\u{1}\""), bad),
        ("payload with a comment", and("/* */\"x\":1"), bad),
        ("payload with a comma too many", and("\"x\":1,"), bad),
        (
            "payload compressed",
            raw([0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]),
            bad,
        ),
    ]
}

pub(super) fn times() -> Vec<Case> {
    let bad = Reason::MalformedToken;
    let missing = Reason::MissingClaim;
    let without_iat = |exp: u64| {
        let mut claims = without("iat");
        claims["exp"] = exp.into();
        saying(&claims)
    };
    vec![
        ("exp missing", saying(&without("exp")), missing),
        (
            "exp text",
            saying(&with("exp", (NOW + 600).to_string())),
            missing,
        ),
        ("exp null", saying(&with("exp", Value::Null)), missing),
        (
            "exp list",
            saying(&with("exp", json!([NOW + 600]))),
            missing,
        ),
        ("exp true", saying(&with("exp", true)), missing),
        ("exp past", saying(&with("exp", NOW - 40)), Reason::Expired),
        (
            "exp and leeway are now",
            saying(&with("exp", NOW - 30)),
            Reason::Expired,
        ),
        (
            "exp and leeway are now, with a fraction",
            literally("exp", &format!("{}.99", NOW - 30)),
            Reason::Expired,
        ),
        (
            "exp zero",
            {
                let mut claims = without("iat");
                claims["exp"] = 0.into();
                saying(&claims)
            },
            Reason::Expired,
        ),
        ("exp negative", saying(&with("exp", -1)), bad),
        ("exp a little negative", literally("exp", "-0.001"), bad),
        ("exp 1e400", literally("exp", "1e400"), bad),
        ("exp 1e308", literally("exp", "1e308"), bad),
        ("exp 2^63", literally("exp", "9223372036854775808"), bad),
        ("exp 2^64", literally("exp", "18446744073709551616"), bad),
        ("exp after 9999", literally("exp", "253402300800"), bad),
        ("exp NaN", literally("exp", "NaN"), bad),
        ("exp Infinity", literally("exp", "Infinity"), bad),
        ("exp hexadecimal", literally("exp", "0x7fffffff"), bad),
        ("exp in milliseconds", saying(&with("exp", NOW * 1000)), bad),
        ("exp before iat", saying(&with("exp", NOW - 61)), bad),
        (
            "nbf in the future",
            saying(&with("nbf", NOW + 31)),
            Reason::NotYetValid,
        ),
        (
            "nbf a fraction in the future",
            literally("nbf", &format!("{}.001", NOW + 30)),
            Reason::NotYetValid,
        ),
        ("nbf text", saying(&with("nbf", "0")), bad),
        ("nbf null", saying(&with("nbf", Value::Null)), bad),
        ("nbf negative", saying(&with("nbf", -5)), bad),
        ("nbf huge", literally("nbf", "1e300"), bad),
        (
            "iat in the future",
            saying(&with("iat", NOW + 31)),
            Reason::NotYetValid,
        ),
        ("iat text", saying(&with("iat", NOW.to_string())), bad),
        ("iat null", saying(&with("iat", Value::Null)), bad),
        ("iat object", saying(&with("iat", json!({}))), bad),
        ("iat negative", saying(&with("iat", -1)), bad),
        (
            "lives a second too long",
            saying(&with("exp", NOW - 60 + 3601)),
            Reason::LifetimeExceeded,
        ),
        (
            "lives for ever",
            saying(&with("exp", 253_402_300_799_u64)),
            Reason::LifetimeExceeded,
        ),
        (
            "iat zero",
            saying(&with("iat", 0)),
            Reason::LifetimeExceeded,
        ),
        (
            "lives too long, without iat",
            without_iat(NOW + 3631),
            Reason::LifetimeExceeded,
        ),
    ]
}

pub(super) fn people() -> Vec<Case> {
    let bad = Reason::MalformedToken;
    let audience = Reason::WrongAudience;
    vec![
        ("aud missing", saying(&without("aud")), audience),
        ("aud wrong", saying(&with("aud", "other-api")), audience),
        ("aud in another case", saying(&with("aud", "API")), audience),
        ("aud empty", saying(&with("aud", "")), audience),
        ("aud empty list", saying(&with("aud", json!([]))), audience),
        (
            "aud list of others",
            saying(&with("aud", json!(["a", "b"]))),
            audience,
        ),
        (
            "aud list with a number",
            saying(&with("aud", json!(["api", 1]))),
            audience,
        ),
        (
            "aud list in a list",
            saying(&with("aud", json!([["api"]]))),
            audience,
        ),
        ("aud number", saying(&with("aud", 1)), audience),
        ("aud null", saying(&with("aud", Value::Null)), audience),
        (
            "aud object",
            saying(&with("aud", json!({"api": true}))),
            audience,
        ),
        (
            "aud separated by spaces",
            saying(&with("aud", "api other")),
            audience,
        ),
        ("sub number", saying(&with("sub", 5)), bad),
        ("sub list", saying(&with("sub", json!(["alice"]))), bad),
        ("sub null", saying(&with("sub", Value::Null)), bad),
        ("sub empty", saying(&with("sub", "")), bad),
        ("jti number", saying(&with("jti", 5)), bad),
        ("jti empty", saying(&with("jti", "")), bad),
        (
            "required claim missing",
            saying(&without("tenant")),
            Reason::MissingClaim,
        ),
        (
            "required claim null",
            saying(&with("tenant", Value::Null)),
            Reason::MissingClaim,
        ),
        (
            "client not allowed",
            saying(&with("client_id", "rogue")),
            Reason::Forbidden,
        ),
        (
            "client missing",
            saying(&without("client_id")),
            Reason::Forbidden,
        ),
        ("client number", saying(&with("client_id", 1)), bad),
        ("client empty", saying(&with("client_id", "")), bad),
        (
            "client list",
            saying(&with("client_id", json!(["web"]))),
            bad,
        ),
        (
            "another claim names an allowed client",
            {
                let mut claims = with("client_id", "rogue");
                claims["azp"] = "web".into();
                saying(&claims)
            },
            Reason::Forbidden,
        ),
    ]
}
