//! Hostile tokens: each is refused for its own reason, before and after good tokens of the same
//! keys are in the cache.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;

/// What it is, the token, and why it is refused.
pub(super) type Case = (&'static str, String, Reason);

/// Three issuers: one with every kind of key, good and bad; one that uses the same names for
/// other keys; one that also shares a secret.
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
        "jwks": {"inline": {"keys": [RSA.jwk("rsa")]}},
        "algorithms": ["HS256", "RS256"],
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
        RSA.token("RS256", "rsa", &shared),
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
fn every_case_has_its_own_name() {
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
    let nested = RSA.seal(
        "RS256",
        br#"{"alg":"RS256","kid":"rsa","cty":"JWT"}"#,
        good.as_bytes(),
    );
    hostile! {
        MalformedToken:
            "empty" => String::new(),
            "one dot" => ".".to_owned(),
            "two dots" => "..".to_owned(),
            "garbage" => "garbage".to_owned(),
            "one part" => header.to_owned(),
            "two parts" => format!("{header}.{payload}"),
            "four parts" => format!("{good}.{signature}"),
            "five parts as in JWE" => format!("{good}.{signature}.{signature}"),
            "leading dot" => format!(".{good}"),
            "trailing dot" => format!("{good}."),
            "empty header" => format!(".{payload}.{signature}"),
            "empty payload" => format!("{header}..{signature}"),
            "two tokens" => format!("{good} {good}"),
            "JSON serialisation" => format!("{{\"payload\":\"{payload}\"}}"),
            "token within a token" => nested,
            "not even ASCII" => "ä.ö.ü".to_owned(),
        TokenTooLarge:
            "huge" => format!("{good}{}", "A".repeat(100_000)),
        BadSignature:
            "no signature" => format!("{header}.{payload}."),
    }
}

fn encodings() -> Vec<Case> {
    let [header, payload, signature] = parts();
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
    hostile! {
        MalformedToken:
            "padded header" => format!("{header}=.{payload}.{signature}"),
            "padded payload" => format!("{header}.{payload}==.{signature}"),
            "padded signature" => format!("{header}.{payload}.{signature}=="),
            "space in front" => format!(" {header}.{payload}.{signature}"),
            "line break at the end" => format!("{header}.{payload}.{signature}\n"),
            "line break within" => format!("{header}.{payload}\r\n.{signature}"),
            "NUL at the end" => format!("{header}.{payload}.{signature}\0"),
            "standard alphabet" => format!("{header}.{payload}.{swapped}"),
            "unused bits set" => format!("{header}.{payload}.{trailing}"),
            "a lone letter more" => format!("{header}.{payload}.{signature}AAA"),
            "percent escape" => format!("{header}%2E{payload}.{signature}"),
    }
}

fn algorithms() -> Vec<Case> {
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
    hostile! {
        UnsupportedAlgorithm:
            "alg none" => none("none"),
            "alg None" => none("None"),
            "alg NONE" => none("NONE"),
            "alg nOnE" => none("nOnE"),
            "alg empty" => none(""),
            "alg none with a signature" => header_with("alg", "none"),
            "alg with a space" => header_with("alg", "RS256 "),
            "alg in lower case" => header_with("alg", "rs256"),
            "alg ES512" => header_with("alg", "ES512"),
            "alg RSA-OAEP" => header_with("alg", "RSA-OAEP"),
            "HS256 with the public PEM" => confused(pem.as_bytes()),
            "HS256 with the trimmed PEM" => confused(pem.trim_end().as_bytes()),
            "HS256 with the public DER" => confused(&der),
            "HS256 with the JWK" => confused(RSA.jwk("rsa").to_string().as_bytes()),
            "HS256 with an empty secret" => confused(b""),
            "HS256 with a published secret" => HMAC.token("HS256", "oct", &claims()),
            "HS512 where HS256 is listed" => to_shared(&HMAC, "HS512"),
            "ES256 with an RSA key's name" => P256.token("ES256", "rsa", &claims()),
            "EdDSA with an RSA key's name" => ED.token("EdDSA", "rsa", &claims()),
            "ES256 with a P-384 key's name" => P384.token("ES256", "p384", &claims()),
            "ES384 with a P-256 key's name" => P256.token("ES384", "p256", &claims()),
            "RS384 where the JWK says RS256" => RSA.token("RS384", "rs256", &claims()),
            "PS256 where the JWK says RS256" => RSA.token("PS256", "rs256", &claims()),
            "an algorithm this issuer does not list" =>
                RSA_2.token("PS256", "rsa", &with("iss", OTHER)),
        MalformedToken:
            "alg as number" => header_with("alg", 256),
            "alg as list" => header_with("alg", json!(["RS256"])),
            "alg null" => header_with("alg", Value::Null),
            "alg missing" => headed(r#"{"kid":"rsa"}"#),
        UnknownKey:
            "RS256 with the secret's name" => to_shared(&RSA, "RS256"),
            "HS256 with a public key's name" =>
                HMAC.token("HS256", "rsa", &with("iss", SHARED_SECRET)),
        BadSignature:
            "HS256 with the public PEM, to the secret's name" =>
                to_shared(&Signer::hmac(pem.as_bytes()), "HS256"),
            "HS256 with the public DER, to the secret's name" =>
                to_shared(&Signer::hmac(&der), "HS256"),
            "another secret" => to_shared(&Signer::hmac(&[7; 32]), "HS256"),
            "PS256 signature under RS256" => {
                let header = br#"{"alg":"RS256","kid":"rsa"}"#;
                RSA.seal("PS256", header, payload.as_bytes())
            },
    }
}

fn headers() -> Vec<Case> {
    let own_key = |name: &str, value: Value| {
        let header = json!({"alg": "RS256", "kid": "rsa", name: value}).to_string();
        RSA_2.seal("RS256", header.as_bytes(), claims().to_string().as_bytes())
    };
    hostile! {
        MalformedToken:
            "brings its own jwk" => own_key("jwk", RSA_2.jwk("rsa")),
            "jwk of the true key" => header_with("jwk", RSA.jwk("rsa")),
            "crit" => header_with("crit", json!(["exp"])),
            "crit empty" => header_with("crit", json!([])),
            "b64 false" => header_with("b64", false),
            "b64 false and crit" =>
                headed(r#"{"alg":"RS256","kid":"rsa","b64":false,"crit":["b64"]}"#),
            "zip" => header_with("zip", "DEF"),
            "enc" => header_with("enc", "A256GCM"),
            "cty JWT" => header_with("cty", "application/jwt"),
            "cty as number" => header_with("cty", 1),
            "typ as number" => header_with("typ", 1),
            "typ null" => header_with("typ", Value::Null),
            "header twice alg" => headed(r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#),
            "header escaped duplicate" =>
                headed(r#"{"alg":"RS256","kid":"rsa","\u0061lg":"RS256"}"#),
            "header nested duplicate" => headed(r#"{"alg":"RS256","kid":"rsa","x":{"y":1,"y":1}}"#),
            "header is a list" => headed("[]"),
            "header is text" => headed("\"RS256\""),
            "header with trailing text" => headed(r#"{"alg":"RS256","kid":"rsa"}x"#),
            "header with a comment" => headed(r#"{"alg":"RS256",/**/"kid":"rsa"}"#),
            "header with a BOM" => headed("\u{feff}{\"alg\":\"RS256\",\"kid\":\"rsa\"}"),
            "header not UTF-8" =>
                RSA.seal("RS256", b"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x\":\"\xff\"}", b"{}"),
        BadSignature:
            "points to its own jku" => own_key("jku", json!("https://evil.example.com/keys")),
            "points to its own x5u" => own_key("x5u", json!("https://evil.example.com/x")),
            "brings its own x5c" => own_key("x5c", json!(["MIIB"])),
        WrongType:
            "typ logout+jwt" => header_with("typ", "logout+jwt"),
            "typ secevent+jwt" => header_with("typ", "application/secevent+jwt"),
            "typ dpop+jwt" => header_with("typ", "dpop+jwt"),
            "typ id_token+jwt" => header_with("typ", "id_token+jwt"),
            "typ rt+jwt" => header_with("typ", "rt+jwt"),
            "typ JOSE" => header_with("typ", "JOSE"),
            "typ empty" => header_with("typ", ""),
            "typ under another tree" => header_with("typ", "application/x/jwt"),
    }
}

fn kids() -> Vec<Case> {
    let headless = |signer: &Signer, alg: &str| {
        let header = json!({"alg": alg}).to_string();
        signer.seal(alg, header.as_bytes(), claims().to_string().as_bytes())
    };
    hostile! {
        UnknownKey:
            "kid unknown" => header_with("kid", "nobody"),
            "kid is a path" => header_with("kid", "../../../../dev/null"),
            "kid is SQL" => header_with("kid", "rsa' UNION SELECT 'x"),
            "kid is a URL" => header_with("kid", "https://evil.example.com/key"),
            "kid in another case" => header_with("kid", "RSA"),
            "kid with NUL" => header_with("kid", "rsa\0"),
            "kid with a space" => header_with("kid", "rsa "),
            "kid with a command" => header_with("kid", "rsa|whoami"),
            "kid of another issuer" => RSA_2.token("RS256", "theirs", &claims()),
            "kid of an encryption key" => RSA.token("RS256", "enc", &claims()),
            "kid of a signing-only key" => RSA.token("RS256", "sign-only", &claims()),
            "kid of an OAEP key" => RSA.token("RS256", "oaep", &claims()),
            "kid of a weak RSA key" => RSA.token("RS256", "weak", &claims()),
            "kid of a symmetric key" => RSA.token("RS256", "oct", &claims()),
            "kid of the secret is another" =>
                HMAC.token("HS256", "other", &with("iss", SHARED_SECRET)),
        MalformedToken:
            "kid as number" => header_with("kid", 1),
            "kid as list" => header_with("kid", json!(["rsa"])),
            "kid as object" => header_with("kid", json!({"rsa": 1})),
            "kid null" => header_with("kid", Value::Null),
        TokenTooLarge:
            "kid very long" => header_with("kid", "k".repeat(10_000)),
        BadSignature:
            "same kid, another issuer's key" => RSA_2.token("RS256", "rsa", &claims()),
            "same kid, the other way" => RSA.token("RS256", "rsa", &with("iss", OTHER)),
            "no kid and the wrong key" => headless(&P256_2, "ES256"),
    }
}

fn signatures() -> Vec<Case> {
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
    hostile! {
        BadSignature:
            "another payload" => format!("{header}.{tampered}.{signature}"),
            "another token's signature" => format!("{header}.{payload}.{foreign}"),
            "another RSA key" => RSA_2.token("RS256", "rsa", &with("sub", "mallory")),
            "another EC key" => P256_2.token("ES256", "p256", &claims()),
            "ES256 of zeros" => signed("ES256", "p256", &[0; 64]),
            "ES384 of zeros" => signed("ES384", "p384", &[0; 96]),
            "ES256 of ones" => signed("ES256", "p256", &[0xff; 64]),
            "ES256 in DER" => P256.seal("DER", es256, claims().to_string().as_bytes()),
            "ES256 cut short" => cut(&P256.token("ES256", "p256", &claims())),
            "RS256 cut short" => cut(&RSA.token("RS256", "rsa", &claims())),
            "EdDSA of zeros" => signed("EdDSA", "ed", &[0; 64]),
            "EdDSA cut short" => cut(&ED.token("EdDSA", "ed", &claims())),
            "RS256 of zeros" => signed("RS256", "rsa", &[0; 256]),
            "RS256 of one byte" => signed("RS256", "rsa", &[1]),
            "RS256 with a byte in front" => signed("RS256", "rsa", &[0; 257]),
    }
}
