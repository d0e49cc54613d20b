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
    hostile! {
        UnknownIssuer:
            "iss missing" => saying(&without("iss")),
            "iss unknown" => saying(&with("iss", "https://evil.example.com")),
            "iss with a slash" => saying(&with("iss", format!("{ISSUER}/"))),
            "iss in another case" => saying(&with("iss", "https://ID.example.com")),
            "iss with a space" => saying(&with("iss", format!("{ISSUER} "))),
            "iss longer" => saying(&with("iss", format!("{ISSUER}.evil.example.com"))),
            "iss list" => saying(&with("iss", json!([ISSUER]))),
            "iss object" => saying(&with("iss", json!({"a": ISSUER}))),
            "iss number" => saying(&with("iss", 1)),
            "iss null" => saying(&with("iss", Value::Null)),
            "iss empty" => saying(&with("iss", "")),
    }
}

pub(super) fn payloads() -> Vec<Case> {
    let deep = format!("\"x\":{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_objects = format!("\"x\":{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    hostile! {
        TokenTooLarge:
            "payload deep lists" => and(&deep),
            "payload deep objects" => and(&deep_objects),
            "payload of many values" => and(&format!("\"x\":[{}0]", "0,".repeat(3_000))),
        MalformedToken:
            "payload twice sub" => and(r#""sub":"mallory""#),
            "payload twice iss" => and(&format!("\"iss\":\"{ISSUER}\"")),
            "payload escaped duplicate" => and(r#""\u0073ub":"mallory""#),
            "payload nested duplicate" => and(r#""x":{"roles":[],"roles":["admin"]}"#),
            "payload duplicate in a list" => and(r#""x":[{"a":1,"a":2}]"#),
            "payload is a list" => raw("[]"),
            "payload is text" => raw("\"x\""),
            "payload is null" => raw("null"),
            "payload is no JSON" => raw("iss=me"),
            "payload unfinished" => raw("{\"iss\":\"https://id.example.com\""),
            "payload with trailing text" => raw(format!("{}x", claims())),
            "payload twice" => raw(format!("{}{}", claims(), claims())),
            "payload with trailing NUL" => raw(format!("{}\0", claims())),
            "payload with a BOM" => raw(format!("\u{feff}{}", claims())),
            "payload in UTF-16" => {
                let text = claims().to_string();
                raw(text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())
            },
            "payload not UTF-8" =>
                raw(b"{\"iss\":\"https://id.example.com\",\"sub\":\"\xc0\xaf\"}"),
            "payload lone surrogate" => and(r#""x":"\ud800""#),
            "payload control character" => and("\"x\":\"\u{1}\""),
            "payload with a comment" => and("/* */\"x\":1"),
            "payload with a comma too many" => and("\"x\":1,"),
            "payload compressed" => raw([0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]),
    }
}

pub(super) fn times() -> Vec<Case> {
    let without_iat = |exp: u64| {
        let mut claims = without("iat");
        claims["exp"] = exp.into();
        saying(&claims)
    };
    hostile! {
        MissingClaim:
            "exp missing" => saying(&without("exp")),
            "exp text" => saying(&with("exp", (NOW + 600).to_string())),
            "exp null" => saying(&with("exp", Value::Null)),
            "exp list" => saying(&with("exp", json!([NOW + 600]))),
            "exp true" => saying(&with("exp", true)),
        Expired:
            "exp past" => saying(&with("exp", NOW - 40)),
            "exp and leeway are now" => saying(&with("exp", NOW - 30)),
            "exp and leeway are now, with a fraction" =>
                literally("exp", &format!("{}.99", NOW - 30)),
            "exp zero" => {
                let mut claims = without("iat");
                claims["exp"] = 0.into();
                saying(&claims)
            },
        MalformedToken:
            "exp negative" => saying(&with("exp", -1)),
            "exp a little negative" => literally("exp", "-0.001"),
            "exp 1e400" => literally("exp", "1e400"),
            "exp 1e308" => literally("exp", "1e308"),
            "exp 2^63" => literally("exp", "9223372036854775808"),
            "exp 2^64" => literally("exp", "18446744073709551616"),
            "exp after 9999" => literally("exp", "253402300800"),
            "exp NaN" => literally("exp", "NaN"),
            "exp Infinity" => literally("exp", "Infinity"),
            "exp hexadecimal" => literally("exp", "0x7fffffff"),
            "exp in milliseconds" => saying(&with("exp", NOW * 1000)),
            "exp before iat" => saying(&with("exp", NOW - 61)),
            "nbf text" => saying(&with("nbf", "0")),
            "nbf negative" => saying(&with("nbf", -5)),
            "nbf huge" => literally("nbf", "1e300"),
            "iat text" => saying(&with("iat", NOW.to_string())),
            "iat object" => saying(&with("iat", json!({}))),
            "iat negative" => saying(&with("iat", -1)),
        NotYetValid:
            "nbf in the future" => saying(&with("nbf", NOW + 31)),
            "nbf a fraction in the future" => literally("nbf", &format!("{}.001", NOW + 30)),
        ClockDisagreement:
            "iat in the future" => saying(&with("iat", NOW + 31)),
        LifetimeExceeded:
            "lives a second too long" => saying(&with("exp", NOW - 60 + 3631)),
            "lives for ever" => saying(&with("exp", 253_402_300_799_u64)),
            "iat zero" => saying(&with("iat", 0)),
            "lives too long, without iat" => without_iat(NOW + 3661),
    }
}

pub(super) fn people() -> Vec<Case> {
    hostile! {
        WrongAudience:
            "aud missing" => saying(&without("aud")),
            "aud wrong" => saying(&with("aud", "other-api")),
            "aud in another case" => saying(&with("aud", "API")),
            "aud empty" => saying(&with("aud", "")),
            "aud empty list" => saying(&with("aud", json!([]))),
            "aud list of others" => saying(&with("aud", json!(["a", "b"]))),
            "aud list with a number" => saying(&with("aud", json!(["api", 1]))),
            "aud list in a list" => saying(&with("aud", json!([["api"]]))),
            "aud number" => saying(&with("aud", 1)),
            "aud null" => saying(&with("aud", Value::Null)),
            "aud object" => saying(&with("aud", json!({"api": true}))),
            "aud separated by spaces" => saying(&with("aud", "api other")),
        MalformedToken:
            "sub fraction" => literally("sub", "5.5"),
            "sub exponent" => literally("sub", "1e3"),
            "sub boolean" => saying(&with("sub", true)),
            "sub object" => saying(&with("sub", json!({"id": "alice"}))),
            "sub list" => saying(&with("sub", json!(["alice"]))),
            "sub empty" => saying(&with("sub", "")),
            "jti fraction" => literally("jti", "5.0"),
            "jti empty" => saying(&with("jti", "")),
            "client boolean" => saying(&with("client_id", false)),
            "client empty" => saying(&with("client_id", "")),
            "client list" => saying(&with("client_id", json!(["web"]))),
        MissingClaim:
            "required claim missing" => saying(&without("tenant")),
            "required claim null" => saying(&with("tenant", Value::Null)),
        Forbidden:
            "client not allowed" => saying(&with("client_id", "rogue")),
            "client missing" => saying(&without("client_id")),
            "another claim names an allowed client" => {
                let mut claims = with("client_id", "rogue");
                claims["azp"] = "web".into();
                saying(&claims)
            },
    }
}
