//! Hostile tokens: each is refused for its own reason, before and after good tokens of the same
//! keys are in the cache.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;

/// What it is, the token, and why it is refused.
pub(super) type Case = (&'static str, String, Reason);

/// Three issuers: one with every kind of key, good and bad; one that uses the same names for
/// other keys; one with a shared secret.
fn issuers() -> [Value; 3] {
    let changed = |mut jwk: Value, member: &str, value: Value| {
        jwk[member] = value;
        jwk
    };
    let weak = json!({"kty": "RSA", "kid": "weak", "n": base64(&[0xC5; 128]), "e": "AQAB"});
    let keys = [
        RSA.jwk("rsa"),
        changed(RSA.jwk("rs256"), "alg", json!("RS256")),
        changed(RSA.jwk("enc"), "use", json!("enc")),
        changed(RSA.jwk("sign-only"), "key_ops", json!(["sign"])),
        changed(RSA.jwk("oaep"), "alg", json!("RSA-OAEP")),
        P256.jwk("p256"),
        P384.jwk("p384"),
        ED.jwk("ed"),
        HMAC.jwk("oct"),
        weak,
    ];
    let mut first = issuer(&keys);
    first["required_claims"] = json!(["tenant"]);
    first["allowed_clients"] = json!(["web", "mobile"]);
    let mut second = issuer(&[RSA_2.jwk("rsa"), P256_2.jwk("p256"), RSA_2.jwk("theirs")]);
    second["issuer"] = json!(OTHER);
    second["algorithms"] = json!(["RS256", "ES256"]);
    let third = json!({
        "issuer": SHARED_SECRET,
        "audiences": ["api"],
        "secret": {"value": SECRET, "kid": "shared"},
        "algorithms": ["HS256"],
    });
    [first, second, third]
}

/// Tokens that pass, one for each key.
fn good() -> Vec<String> {
    let other = with("iss", OTHER);
    let shared = with("iss", SHARED_SECRET);
    vec![
        RSA.token("RS256", "rsa", &claims()),
        RSA.token("PS256", "rsa", &claims()),
        RSA.token("RS256", "rs256", &claims()),
        P256.token("ES256", "p256", &claims()),
        P384.token("ES384", "p384", &claims()),
        ED.token("EdDSA", "ed", &claims()),
        RSA_2.token("RS256", "rsa", &other),
        P256_2.token("ES256", "p256", &other),
        HMAC.token("HS256", "shared", &shared),
    ]
}

#[test]
fn every_hostile_token_is_refused_also_beside_cached_good_ones() {
    let cases = cases();
    assert!(cases.len() >= 80, "only {} kinds", cases.len());
    let verifier = World::new().verifier(&issuers());
    let judge = |when: &str| {
        for (name, token, reason) in &cases {
            assert_eq!(refusal(&verifier, token), Some(*reason), "{name} ({when})");
        }
    };
    judge("cold");
    for _seen_before in [false, true] {
        for token in good() {
            assert_eq!(refusal(&verifier, &token), None, "{token}");
        }
    }
    judge("beside cached tokens");
    judge("again");
}

#[test]
fn no_two_cases_are_alike() {
    let mut names: Vec<_> = cases().into_iter().map(|(name, ..)| name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

fn cases() -> Vec<Case> {
    [
        shapes(),
        encodings(),
        algorithms(),
        headers(),
        kids(),
        signatures(),
        super::hostile_claims::issuers(),
        super::hostile_claims::payloads(),
        super::hostile_claims::times(),
        super::hostile_claims::people(),
    ]
    .concat()
}

static GOOD: LazyLock<String> = LazyLock::new(|| RSA.token("RS256", "rsa", &claims()));

fn parts() -> [&'static str; 3] {
    let mut parts = GOOD.split('.');
    [(); 3].map(|()| parts.next().unwrap())
}

/// Signed for real under a header of its own.
fn headed(header: &str) -> String {
    RSA.seal("RS256", header.as_bytes(), claims().to_string().as_bytes())
}

/// The good header with one member more, or another value for one.
fn header_with(name: &str, value: impl Into<Value>) -> String {
    let mut header = json!({"alg": "RS256", "typ": "JWT", "kid": "rsa"});
    header[name] = value.into();
    headed(&header.to_string())
}

fn shapes() -> Vec<Case> {
    let [header, payload, signature] = parts();
    let good = GOOD.as_str();
    let bad = Reason::MalformedToken;
    let nested = RSA.seal(
        "RS256",
        br#"{"alg":"RS256","kid":"rsa","cty":"JWT"}"#,
        good.as_bytes(),
    );
    vec![
        ("empty", String::new(), bad),
        ("one dot", ".".to_owned(), bad),
        ("two dots", "..".to_owned(), bad),
        ("garbage", "garbage".to_owned(), bad),
        ("one part", header.to_owned(), bad),
        ("two parts", format!("{header}.{payload}"), bad),
        ("four parts", format!("{good}.{signature}"), bad),
        (
            "five parts as in JWE",
            format!("{good}.{signature}.{signature}"),
            bad,
        ),
        ("leading dot", format!(".{good}"), bad),
        ("trailing dot", format!("{good}."), bad),
        ("empty header", format!(".{payload}.{signature}"), bad),
        ("empty payload", format!("{header}..{signature}"), bad),
        (
            "no signature",
            format!("{header}.{payload}."),
            Reason::BadSignature,
        ),
        ("two tokens", format!("{good} {good}"), bad),
        (
            "JSON serialisation",
            format!("{{\"payload\":\"{payload}\"}}"),
            bad,
        ),
        ("token within a token", nested, bad),
        ("huge", format!("{good}{}", "A".repeat(100_000)), bad),
        ("not even ASCII", "ä.ö.ü".to_owned(), bad),
    ]
}

fn encodings() -> Vec<Case> {
    let [header, payload, signature] = parts();
    let bad = Reason::MalformedToken;
    // 256 bytes of signature leave 4 unused bits in the last letter; the next letter sets one.
    let last = signature.as_bytes()[signature.len() - 1];
    let trailing = format!(
        "{}{}",
        &signature[..signature.len() - 1],
        char::from(last + 1)
    );
    let standard = |text: &str| text.replace('-', "+").replace('_', "/");
    let swapped = standard(signature);
    assert_ne!(
        swapped, signature,
        "this signature should have one of these letters"
    );
    vec![
        (
            "padded header",
            format!("{header}=.{payload}.{signature}"),
            bad,
        ),
        (
            "padded payload",
            format!("{header}.{payload}==.{signature}"),
            bad,
        ),
        (
            "padded signature",
            format!("{header}.{payload}.{signature}=="),
            bad,
        ),
        (
            "space in front",
            format!(" {header}.{payload}.{signature}"),
            bad,
        ),
        (
            "line break at the end",
            format!("{header}.{payload}.{signature}\n"),
            bad,
        ),
        (
            "line break within",
            format!("{header}.{payload}\r\n.{signature}"),
            bad,
        ),
        (
            "NUL at the end",
            format!("{header}.{payload}.{signature}\0"),
            bad,
        ),
        (
            "standard alphabet",
            format!("{header}.{payload}.{swapped}"),
            bad,
        ),
        (
            "unused bits set",
            format!("{header}.{payload}.{trailing}"),
            bad,
        ),
        (
            "a lone letter more",
            format!("{header}.{payload}.{signature}AAA"),
            bad,
        ),
        (
            "percent escape",
            format!("{header}%2E{payload}.{signature}"),
            bad,
        ),
    ]
}

fn algorithms() -> Vec<Case> {
    let unsupported = Reason::UnsupportedAlgorithm;
    let payload = claims().to_string();
    let none = |alg: &str| {
        let header = json!({"alg": alg, "typ": "JWT", "kid": "rsa"}).to_string();
        format!(
            "{}.{}.",
            base64(header.as_bytes()),
            base64(payload.as_bytes())
        )
    };
    // The public key in every shape it is known in, used as if it were a secret.
    let confused = |secret: &[u8]| Signer::hmac(secret).token("HS256", "rsa", &claims());
    let der = RSA.public_der();
    let pem = {
        let text = base64::engine::Engine::encode(&base64::prelude::BASE64_STANDARD, &der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    };
    let to_shared =
        |signer: &Signer, alg: &str| signer.token(alg, "shared", &with("iss", SHARED_SECRET));
    vec![
        ("alg none", none("none"), unsupported),
        ("alg None", none("None"), unsupported),
        ("alg NONE", none("NONE"), unsupported),
        ("alg nOnE", none("nOnE"), unsupported),
        ("alg empty", none(""), unsupported),
        (
            "alg none with a signature",
            header_with("alg", "none"),
            unsupported,
        ),
        (
            "alg with a space",
            header_with("alg", "RS256 "),
            unsupported,
        ),
        (
            "alg in lower case",
            header_with("alg", "rs256"),
            unsupported,
        ),
        ("alg ES512", header_with("alg", "ES512"), unsupported),
        ("alg RSA-OAEP", header_with("alg", "RSA-OAEP"), unsupported),
        (
            "alg as number",
            header_with("alg", 256),
            Reason::MalformedToken,
        ),
        (
            "alg as list",
            header_with("alg", json!(["RS256"])),
            Reason::MalformedToken,
        ),
        (
            "alg null",
            header_with("alg", Value::Null),
            Reason::MalformedToken,
        ),
        (
            "alg missing",
            headed(r#"{"kid":"rsa"}"#),
            Reason::MalformedToken,
        ),
        (
            "HS256 with the public PEM",
            confused(pem.as_bytes()),
            unsupported,
        ),
        (
            "HS256 with the trimmed PEM",
            confused(pem.trim_end().as_bytes()),
            unsupported,
        ),
        ("HS256 with the public DER", confused(&der), unsupported),
        (
            "HS256 with the JWK",
            confused(RSA.jwk("rsa").to_string().as_bytes()),
            unsupported,
        ),
        ("HS256 with an empty secret", confused(b""), unsupported),
        (
            "HS256 with a published secret",
            HMAC.token("HS256", "oct", &claims()),
            unsupported,
        ),
        (
            "RS256 where a secret is shared",
            to_shared(&RSA, "RS256"),
            unsupported,
        ),
        (
            "HS512 where HS256 is listed",
            to_shared(&HMAC, "HS512"),
            unsupported,
        ),
        (
            "another secret",
            to_shared(&Signer::hmac(&[7; 32]), "HS256"),
            Reason::BadSignature,
        ),
        (
            "ES256 with an RSA key's name",
            P256.token("ES256", "rsa", &claims()),
            unsupported,
        ),
        (
            "EdDSA with an RSA key's name",
            ED.token("EdDSA", "rsa", &claims()),
            unsupported,
        ),
        (
            "ES256 with a P-384 key's name",
            P384.token("ES256", "p384", &claims()),
            unsupported,
        ),
        (
            "ES384 with a P-256 key's name",
            P256.token("ES384", "p256", &claims()),
            unsupported,
        ),
        (
            "RS384 where the JWK says RS256",
            RSA.token("RS384", "rs256", &claims()),
            unsupported,
        ),
        (
            "PS256 where the JWK says RS256",
            RSA.token("PS256", "rs256", &claims()),
            unsupported,
        ),
        (
            "PS256 signature under RS256",
            {
                let header = br#"{"alg":"RS256","kid":"rsa"}"#;
                RSA.seal("PS256", header, payload.as_bytes())
            },
            Reason::BadSignature,
        ),
        (
            "an algorithm this issuer does not list",
            { RSA_2.token("PS256", "rsa", &with("iss", OTHER)) },
            unsupported,
        ),
    ]
}

fn headers() -> Vec<Case> {
    let bad = Reason::MalformedToken;
    let wrong = Reason::WrongType;
    let own_key = |name: &str, value: Value| {
        let header = json!({"alg": "RS256", "kid": "rsa", name: value}).to_string();
        RSA_2.seal("RS256", header.as_bytes(), claims().to_string().as_bytes())
    };
    vec![
        ("brings its own jwk", own_key("jwk", RSA_2.jwk("rsa")), bad),
        (
            "jwk of the true key",
            header_with("jwk", RSA.jwk("rsa")),
            bad,
        ),
        (
            "points to its own jku",
            own_key("jku", json!("https://evil.example.com/keys")),
            Reason::BadSignature,
        ),
        (
            "points to its own x5u",
            own_key("x5u", json!("https://evil.example.com/x")),
            Reason::BadSignature,
        ),
        (
            "brings its own x5c",
            own_key("x5c", json!(["MIIB"])),
            Reason::BadSignature,
        ),
        ("crit", header_with("crit", json!(["exp"])), bad),
        ("crit empty", header_with("crit", json!([])), bad),
        ("b64 false", header_with("b64", false), bad),
        (
            "b64 false and crit",
            headed(r#"{"alg":"RS256","kid":"rsa","b64":false,"crit":["b64"]}"#),
            bad,
        ),
        ("zip", header_with("zip", "DEF"), bad),
        ("enc", header_with("enc", "A256GCM"), bad),
        ("cty JWT", header_with("cty", "application/jwt"), bad),
        ("cty as number", header_with("cty", 1), bad),
        ("typ logout+jwt", header_with("typ", "logout+jwt"), wrong),
        (
            "typ secevent+jwt",
            header_with("typ", "application/secevent+jwt"),
            wrong,
        ),
        ("typ dpop+jwt", header_with("typ", "dpop+jwt"), wrong),
        (
            "typ id_token+jwt",
            header_with("typ", "id_token+jwt"),
            wrong,
        ),
        ("typ rt+jwt", header_with("typ", "rt+jwt"), wrong),
        ("typ JOSE", header_with("typ", "JOSE"), wrong),
        ("typ empty", header_with("typ", ""), wrong),
        (
            "typ under another tree",
            header_with("typ", "application/x/jwt"),
            wrong,
        ),
        ("typ as number", header_with("typ", 1), bad),
        ("typ null", header_with("typ", Value::Null), bad),
        (
            "header twice alg",
            headed(r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#),
            bad,
        ),
        (
            "header escaped duplicate",
            headed(r#"{"alg":"RS256","kid":"rsa","\u0061lg":"RS256"}"#),
            bad,
        ),
        (
            "header nested duplicate",
            headed(r#"{"alg":"RS256","kid":"rsa","x":{"y":1,"y":1}}"#),
            bad,
        ),
        ("header is a list", headed("[]"), bad),
        ("header is text", headed("\"RS256\""), bad),
        (
            "header with trailing text",
            headed(r#"{"alg":"RS256","kid":"rsa"}x"#),
            bad,
        ),
        (
            "header with a comment",
            headed(r#"{"alg":"RS256",/**/"kid":"rsa"}"#),
            bad,
        ),
        (
            "header with a BOM",
            headed("\u{feff}{\"alg\":\"RS256\",\"kid\":\"rsa\"}"),
            bad,
        ),
        (
            "header not UTF-8",
            {
                RSA.seal(
                    "RS256",
                    b"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x\":\"\xff\"}",
                    b"{}",
                )
            },
            bad,
        ),
    ]
}

fn kids() -> Vec<Case> {
    let unknown = Reason::UnknownKey;
    let bad = Reason::MalformedToken;
    let headless = |signer: &Signer, alg: &str| {
        let header = json!({"alg": alg}).to_string();
        signer.seal(alg, header.as_bytes(), claims().to_string().as_bytes())
    };
    vec![
        ("kid unknown", header_with("kid", "nobody"), unknown),
        ("kid empty", header_with("kid", ""), unknown),
        (
            "kid is a path",
            header_with("kid", "../../../../dev/null"),
            unknown,
        ),
        (
            "kid is SQL",
            header_with("kid", "rsa' UNION SELECT 'x"),
            unknown,
        ),
        (
            "kid is a URL",
            header_with("kid", "https://evil.example.com/key"),
            unknown,
        ),
        ("kid in another case", header_with("kid", "RSA"), unknown),
        ("kid with NUL", header_with("kid", "rsa\0"), unknown),
        ("kid with a space", header_with("kid", "rsa "), unknown),
        (
            "kid with a command",
            header_with("kid", "rsa|whoami"),
            unknown,
        ),
        ("kid as number", header_with("kid", 1), bad),
        ("kid as list", header_with("kid", json!(["rsa"])), bad),
        ("kid as object", header_with("kid", json!({"rsa": 1})), bad),
        ("kid null", header_with("kid", Value::Null), bad),
        ("kid very long", header_with("kid", "k".repeat(10_000)), bad),
        (
            "kid of another issuer",
            RSA_2.token("RS256", "theirs", &claims()),
            unknown,
        ),
        (
            "same kid, another issuer's key",
            RSA_2.token("RS256", "rsa", &claims()),
            Reason::BadSignature,
        ),
        (
            "same kid, the other way",
            { RSA.token("RS256", "rsa", &with("iss", OTHER)) },
            Reason::BadSignature,
        ),
        (
            "kid of an encryption key",
            RSA.token("RS256", "enc", &claims()),
            unknown,
        ),
        (
            "kid of a signing-only key",
            RSA.token("RS256", "sign-only", &claims()),
            unknown,
        ),
        (
            "kid of an OAEP key",
            RSA.token("RS256", "oaep", &claims()),
            unknown,
        ),
        (
            "kid of a weak RSA key",
            RSA.token("RS256", "weak", &claims()),
            unknown,
        ),
        (
            "kid of a symmetric key",
            RSA.token("RS256", "oct", &claims()),
            unknown,
        ),
        (
            "kid of the secret is another",
            { HMAC.token("HS256", "other", &with("iss", SHARED_SECRET)) },
            unknown,
        ),
        (
            "no kid where two keys fit",
            headless(&RSA, "RS256"),
            unknown,
        ),
        (
            "no kid and the wrong key",
            headless(&P256_2, "ES256"),
            Reason::BadSignature,
        ),
    ]
}

fn signatures() -> Vec<Case> {
    let bad = Reason::BadSignature;
    let [header, payload, _] = parts();
    let signed = |alg: &str, kid: &str, signature: &[u8]| {
        let header = json!({"alg": alg, "kid": kid}).to_string();
        let payload = claims().to_string();
        let text = format!(
            "{}.{}",
            base64(header.as_bytes()),
            base64(payload.as_bytes())
        );
        format!("{text}.{}", base64(signature))
    };
    let es256 = br#"{"alg":"ES256","kid":"p256"}"#;
    let cut = |token: &str| {
        let (text, signature) = token.rsplit_once('.').unwrap();
        // Whole groups of letters, so that the rest is canonical.
        format!("{text}.{}", &signature[..signature.len() / 4 * 4 - 4])
    };
    let tampered = base64(with("sub", "mallory").to_string().as_bytes());
    let signature = parts()[2];
    let other = RSA.token("RS256", "rs256", &claims());
    let foreign = other.rsplit_once('.').unwrap().1;
    vec![
        (
            "another payload",
            format!("{header}.{tampered}.{signature}"),
            bad,
        ),
        (
            "another token's signature",
            format!("{header}.{payload}.{foreign}"),
            bad,
        ),
        (
            "another RSA key",
            RSA_2.token("RS256", "rsa", &with("sub", "mallory")),
            bad,
        ),
        (
            "another EC key",
            P256_2.token("ES256", "p256", &claims()),
            bad,
        ),
        ("ES256 of zeros", signed("ES256", "p256", &[0; 64]), bad),
        ("ES384 of zeros", signed("ES384", "p384", &[0; 96]), bad),
        ("ES256 of ones", signed("ES256", "p256", &[0xff; 64]), bad),
        (
            "ES256 in DER",
            P256.seal("DER", es256, claims().to_string().as_bytes()),
            bad,
        ),
        (
            "ES256 cut short",
            cut(&P256.token("ES256", "p256", &claims())),
            bad,
        ),
        (
            "RS256 cut short",
            cut(&RSA.token("RS256", "rsa", &claims())),
            bad,
        ),
        ("EdDSA of zeros", signed("EdDSA", "ed", &[0; 64]), bad),
        (
            "EdDSA cut short",
            cut(&ED.token("EdDSA", "ed", &claims())),
            bad,
        ),
        ("RS256 of zeros", signed("RS256", "rsa", &[0; 256]), bad),
        ("RS256 of one byte", signed("RS256", "rsa", &[1]), bad),
        (
            "RS256 with a byte in front",
            signed("RS256", "rsa", &[0; 257]),
            bad,
        ),
    ]
}
