//! The hostile tokens. Nothing but the named flaw is wrong with each.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::NAME;
use crate::support::{Idp, Kind, Mint, SigningKey};

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    pub(super) token: String,
}

/// A table: the reason, and under it what is refused for it.
macro_rules! table {
    ($($reason:ident: $($name:literal => $token:expr,)*)*) => {
        vec![$($(Case { name: $name, reason: stringify!($reason), token: $token },)*)*]
    };
}

/// What signs beside the provider's first key, `key-1` (ES256).
pub(super) struct Keys {
    rsa: Arc<SigningKey>,
    ed: Arc<SigningKey>,
    p384: Arc<SigningKey>,
    /// In the set, but for encryption.
    enc: Arc<SigningKey>,
    /// Called like the provider's first one, and not in the set.
    other: Arc<SigningKey>,
    other_rsa: Arc<SigningKey>,
}

impl Keys {
    pub(super) fn new() -> Self {
        let key = |kind, kid| Arc::new(SigningKey::new(kind, kid));
        Self {
            rsa: key(Kind::Rs256, "rsa"),
            ed: key(Kind::EdDsa, "ed"),
            p384: key(Kind::Es384, "p384"),
            enc: key(Kind::Es256, "enc"),
            other: key(Kind::Es256, "key-1"),
            other_rsa: key(Kind::Rs256, "rsa"),
        }
    }

    pub(super) fn published(&self) -> Vec<Value> {
        let mut enc = self.enc.jwk();
        enc["use"] = json!("enc");
        let weak = base64url(&[0xC5; 128]);
        vec![
            self.rsa.jwk(),
            self.ed.jwk(),
            self.p384.jwk(),
            enc,
            json!({ "kty": "oct", "kid": "oct", "k": base64url(&[7; 32]) }),
            json!({ "kty": "RSA", "kid": "weak", "n": weak, "e": "AQAB" }),
        ]
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn good(idp: &Idp, keys: &Keys) -> Vec<String> {
    let with = |key: &Arc<SigningKey>| idp.token("alice").key(Arc::clone(key)).sign();
    vec![
        idp.token("alice").sign(),
        with(&keys.rsa),
        with(&keys.ed),
        with(&keys.p384),
    ]
}

pub(super) fn hostile(idp: &Idp, keys: &Keys) -> Vec<Case> {
    // Issued before the keys were last asked for, so that a bad signature is known to be bad however
    // many there were before.
    let mint = idp.token(NAME).shifted(-120);
    let mut all = shapes(&mint);
    all.extend(headers(&mint, keys));
    all.extend(algorithms(&mint, keys));
    all.extend(kids(&mint, keys));
    all.extend(signatures(&mint, keys));
    all.extend(payloads(&mint));
    all.extend(times(&mint));
    all.extend(people(&mint));
    all
}

fn shapes(mint: &Mint) -> Vec<Case> {
    let good = mint.sign();
    let [header, payload, signature] = parts(&good);
    let last = signature.as_bytes()[signature.len() - 1];
    // 64 bytes leave 4 unused bits in the last letter; its neighbour sets one.
    let unused = format!(
        "{}{}",
        &signature[..signature.len() - 1],
        char::from(last + 1)
    );
    table! {
        token_too_large:
            "huge" => format!("{good}{}", "A".repeat(20_000)),
        malformed_token:
            "garbage" => "garbage".to_owned(),
            "one dot" => ".".to_owned(),
            "two dots" => "..".to_owned(),
            "two parts" => format!("{header}.{payload}"),
            "four parts" => format!("{good}.{signature}"),
            "five parts as in JWE" => format!("{good}.{signature}.{signature}"),
            "leading dot" => format!(".{good}"),
            "trailing dot" => format!("{good}."),
            "empty header" => format!(".{payload}.{signature}"),
            "empty payload" => format!("{header}..{signature}"),
            "JSON serialisation" => format!("{{\"payload\":\"{payload}\"}}"),
            "padded header" => format!("{header}=.{payload}.{signature}"),
            "padded signature" => format!("{good}=="),
            "standard alphabet" => format!("{header}.{payload}.+/{}", &signature[2..]),
            "unused bits set" => format!("{header}.{payload}.{unused}"),
            "a lone letter more" => format!("{good}AAA"),
            "percent escape" => format!("{header}%2E{payload}.{signature}"),
            "quoted" => format!("\"{good}\""),
            "two tokens" => format!("{good} {good}"),
        bad_signature:
            "no signature" => format!("{header}.{payload}."),
    }
}

fn parts(token: &str) -> [&str; 3] {
    let mut parts = token.split('.');
    [(); 3].map(|()| parts.next().unwrap())
}

fn headers(mint: &Mint, keys: &Keys) -> Vec<Case> {
    let with = |name: &str, value: Value| mint.clone().header(name, value).sign();
    let payload = mint.payload_text();
    let headed = |header: &str| mint.sign_texts(header, &payload);
    let own = |name: &str, value: Value| {
        let mint = mint.clone().header(name, value);
        mint.forged_with(Arc::clone(&keys.other)).sign()
    };
    table! {
        malformed_token:
            "brings its own jwk" => own("jwk", keys.other.jwk()),
            "crit" => with("crit", json!(["exp"])),
            "crit empty" => with("crit", json!([])),
            "b64 false" => with("b64", json!(false)),
            "zip" => with("zip", json!("DEF")),
            "enc" => with("enc", json!("A256GCM")),
            "cty JWT" => with("cty", json!("JWT")),
            "typ as number" => with("typ", json!(1)),
            "typ null" => with("typ", Value::Null),
            "header twice alg" =>
                headed(r#"{"alg":"none","alg":"ES256","kid":"key-1"}"#),
            "header escaped duplicate" =>
                headed(r#"{"alg":"ES256","kid":"key-1","\u0061lg":"ES256"}"#),
            "header is a list" => headed("[]"),
            "header is text" => headed("\"ES256\""),
            "header with trailing text" => headed(r#"{"alg":"ES256","kid":"key-1"}x"#),
            "header with a BOM" => headed("\u{feff}{\"alg\":\"ES256\",\"kid\":\"key-1\"}"),
            "alg missing" => headed(r#"{"kid":"key-1"}"#),
            "alg as number" => with("alg", json!(256)),
            "alg as list" => with("alg", json!(["ES256"])),
        bad_signature:
            "points to its own jku" => own("jku", json!("https://evil.example.com/keys")),
            "points to its own x5u" => own("x5u", json!("https://evil.example.com/x")),
            "brings its own x5c" => own("x5c", json!(["MIIB"])),
        wrong_type:
            "a logout token" => with("typ", json!("logout+jwt")),
            "a security event" => with("typ", json!("application/secevent+jwt")),
            "a proof of possession" => with("typ", json!("dpop+jwt")),
            "an ID token" => with("typ", json!("id_token+jwt")),
            "a refresh token" => with("typ", json!("rt+jwt")),
            "typ empty" => with("typ", json!("")),
            "typ under another tree" => with("typ", json!("application/x/jwt")),
    }
}

fn algorithms(mint: &Mint, keys: &Keys) -> Vec<Case> {
    let alg = |alg: &str| mint.clone().header("alg", alg).sign();
    let unsigned = |alg: &str| {
        let token = mint.clone().header("alg", alg).sign();
        token[..=token.rfind('.').unwrap()].to_owned()
    };
    let confused = |kid: &str, secret: &[u8]| {
        let key = SigningKey::hs256(secret, kid);
        mint.clone().key(Arc::new(key)).sign()
    };
    let public = keys.rsa.jwk();
    let modulus = public["n"].as_str().unwrap();
    let as_key_of = |key: &Arc<SigningKey>, kid: &str| {
        let mint = mint.clone().key(Arc::clone(key));
        mint.header("kid", kid).sign()
    };
    table! {
        unsupported_algorithm:
            "alg none, unsigned" => unsigned("none"),
            "alg None, unsigned" => unsigned("None"),
            "alg NONE, unsigned" => unsigned("NONE"),
            "alg nOnE, unsigned" => unsigned("nOnE"),
            "alg none, signed" => alg("none"),
            "alg empty" => alg(""),
            "alg in lower case" => alg("es256"),
            "alg with a space" => alg("ES256 "),
            "alg ES512" => alg("ES512"),
            "alg ES256K" => alg("ES256K"),
            "alg RSA-OAEP" => alg("RSA-OAEP"),
            "HS256 with the public JWK" => confused("rsa", public.to_string().as_bytes()),
            "HS256 with the modulus" => confused("rsa", modulus.as_bytes()),
            "HS256 with nothing" => confused("rsa", b""),
            "HS256 with a published secret" => confused("oct", &[7; 32]),
            "ES256 with an RSA key's name" => as_key_of(&keys.other, "rsa"),
            "EdDSA with an RSA key's name" => as_key_of(&keys.ed, "rsa"),
            "RS256 with an EC key's name" => as_key_of(&keys.rsa, "key-1"),
            "ES384 with a P-256 key's name" => as_key_of(&keys.p384, "key-1"),
            "ES256 with a P-384 key's name" => as_key_of(&keys.other, "p384"),
            "PS256 where the JWK says RS256" =>
                mint.clone().key(Arc::clone(&keys.rsa)).header("alg", "PS256").sign(),
    }
}

fn kids(mint: &Mint, keys: &Keys) -> Vec<Case> {
    let kid = |kid: Value| mint.clone().header("kid", kid).sign();
    let signed_by = |key: &Arc<SigningKey>| mint.clone().key(Arc::clone(key)).sign();
    table! {
        unknown_key:
            "kid unknown" => kid(json!("nobody")),
            "kid is a path" => kid(json!("../../../../dev/null")),
            "kid is SQL" => kid(json!("key-1' UNION SELECT 'x")),
            "kid is a URL" => kid(json!("https://evil.example.com/key")),
            "kid in another case" => kid(json!("KEY-1")),
            "kid with NUL" => kid(json!("key-1\u{0}")),
            "kid with a space" => kid(json!("key-1 ")),
            "kid of an encryption key" => signed_by(&keys.enc),
            "kid of a weak RSA key" =>
                mint.clone().key(Arc::clone(&keys.rsa)).header("kid", "weak").sign(),
            "kid of a symmetric key" => kid(json!("oct")),
        malformed_token:
            "kid as number" => kid(json!(1)),
            "kid as list" => kid(json!(["key-1"])),
            "kid null" => kid(Value::Null),
        token_too_large:
            "kid very long" => kid(json!("k".repeat(5_000))),
        bad_signature:
            "another key of the same name" => signed_by(&keys.other),
            "another RSA key of the same name" => signed_by(&keys.other_rsa),
    }
}

fn signatures(mint: &Mint, keys: &Keys) -> Vec<Case> {
    let good = mint.sign();
    let [header, payload, signature] = parts(&good);
    let other = mint.clone().claim("jti", "another").sign();
    let [_, other_payload, other_signature] = parts(&other);
    let signed = |signature: &[u8]| format!("{header}.{payload}.{}", base64url(signature));
    let rsa = mint.clone().key(Arc::clone(&keys.rsa)).sign();
    let rsa_text = &rsa[..rsa.rfind('.').unwrap()];
    let ed = mint.clone().key(Arc::clone(&keys.ed)).sign();
    let ed_text = &ed[..ed.rfind('.').unwrap()];
    let n = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let swapped = [&n[32..], &n[..32]].concat();
    table! {
        bad_signature:
            "another payload" => format!("{header}.{other_payload}.{signature}"),
            "another token's signature" => format!("{header}.{payload}.{other_signature}"),
            "ES256 of zeros" => signed(&[0; 64]),
            "ES256 of ones" => signed(&[0xff; 64]),
            "ES256 of one byte" => signed(&[1]),
            "ES256 cut short" => signed(&n[..63]),
            "ES256 too long" => signed(&[&n[..], &[0]].concat()),
            "ES256 with r and s swapped" => signed(&swapped),
            "RS256 of zeros" => format!("{rsa_text}.{}", base64url(&[0; 256])),
            "RS256 of one byte" => format!("{rsa_text}.{}", base64url(&[1])),
            "EdDSA of zeros" => format!("{ed_text}.{}", base64url(&[0; 64])),
    }
}

fn payloads(mint: &Mint) -> Vec<Case> {
    let (header, good) = (mint.header_text(), mint.payload_text());
    let raw = |payload: &str| mint.sign_texts(&header, payload);
    let and = |more: &str| raw(&format!("{},{more}}}", &good[..good.len() - 1]));
    let deep = format!("\"x\":{}{}", "[".repeat(4_000), "]".repeat(4_000));
    let wide = format!("\"x\":{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let issuer = |value: Value| mint.clone().claim("iss", value).sign();
    let own = mint.value("iss").as_str().unwrap();
    table! {
        token_too_large:
            "deep lists" => and(&deep),
            "deep objects" => and(&wide),
            "many values" => and(&format!("\"x\":[{}0]", "0,".repeat(3_000))),
        malformed_token:
            "sub twice" => and(r#""sub":"root""#),
            "iss twice" => and(&format!("\"iss\":\"{own}\"")),
            "an escaped duplicate" => and(r#""\u0073ub":"root""#),
            "a nested duplicate" => and(r#""x":{"roles":[],"roles":["admin"]}"#),
            "payload is a list" => raw("[]"),
            "payload is null" => raw("null"),
            "payload is no JSON" => raw("iss=me"),
            "payload unfinished" => raw(&good[..good.len() - 1]),
            "payload with trailing text" => raw(&format!("{good}x")),
            "payload twice" => raw(&format!("{good}{good}")),
            "payload with a BOM" => raw(&format!("\u{feff}{good}")),
            "a lone surrogate" => and(r#""x":"\ud800""#),
            "a control character" => and("\"x\":\"\u{1}\""),
            "a comment" => and("/* */\"x\":1"),
        unknown_issuer:
            "iss missing" => mint.clone().without("iss").sign(),
            "iss unknown" => issuer(json!("https://evil.example.com")),
            "iss with a slash" => issuer(json!(format!("{own}/"))),
            "iss longer" => issuer(json!(format!("{own}.evil.example.com"))),
            "iss as list" => issuer(json!([own])),
            "iss null" => issuer(Value::Null),
    }
}

fn times(mint: &Mint) -> Vec<Case> {
    let now = mint.value("iat").as_u64().unwrap();
    let with = |name: &str, value: Value| mint.clone().claim(name, value).sign();
    let literally = |name: &str, value: &str| {
        let text = mint.clone().without(name).payload_text();
        let payload = format!("{},\"{name}\":{value}}}", &text[..text.len() - 1]);
        mint.sign_texts(&mint.header_text(), &payload)
    };
    let timeless = mint.clone().without("iat");
    table! {
        missing_claim:
            "exp missing" => mint.clone().without("exp").sign(),
            "exp as text" => with("exp", json!((now + 300).to_string())),
            "exp null" => with("exp", Value::Null),
        expired:
            "expired" => mint.clone().shifted(-400).sign(),
            "exp zero" => timeless.clone().claim("exp", 0).sign(),
        malformed_token:
            "exp negative" => with("exp", json!(-1)),
            "exp 1e400" => literally("exp", "1e400"),
            "exp 1e308" => literally("exp", "1e308"),
            "exp 2^63" => literally("exp", "9223372036854775808"),
            "exp 2^64" => literally("exp", "18446744073709551616"),
            "exp NaN" => literally("exp", "NaN"),
            "exp in milliseconds" => with("exp", json!(now * 1000)),
            "exp before iat" => with("exp", json!(now - 1)),
            "nbf as text" => with("nbf", json!("0")),
            "nbf list" => with("nbf", json!([0])),
            "iat as text" => with("iat", json!(now.to_string())),
            "iat negative" => with("iat", json!(-1)),
        not_yet_valid:
            "nbf in the future" => with("nbf", json!(now + 280)),
            "nbf after exp" => with("nbf", json!(now + 7200)),
        lifetime_exceeded:
            "lives too long" => with("exp", json!(now + 3631)),
            "lives for ever" => with("exp", json!(253_402_300_799_u64)),
            "iat zero" => with("iat", json!(0)),
            "lives too long, without iat" => timeless.claim("exp", now + 7200).sign(),
    }
}

fn people(mint: &Mint) -> Vec<Case> {
    let with = |name: &str, value: Value| mint.clone().claim(name, value).sign();
    table! {
        wrong_audience:
            "aud missing" => mint.clone().without("aud").sign(),
            "aud wrong" => with("aud", json!("bank-api")),
            "aud in another case" => with("aud", json!("SHOP-API")),
            "aud empty list" => with("aud", json!([])),
            "aud of others" => with("aud", json!(["a", "b"])),
            "aud with a number" => with("aud", json!(["shop-api", 1])),
            "aud as object" => with("aud", json!({ "shop-api": true })),
            "aud separated by spaces" => with("aud", json!("shop-api other")),
        malformed_token:
            "sub as fraction" => with("sub", json!(5.5)),
            "sub as list" => with("sub", json!([NAME])),
            "sub empty" => with("sub", json!("")),
            "jti as boolean" => with("jti", json!(true)),
            "client as list" => with("client_id", json!(["web"])),
    }
}
