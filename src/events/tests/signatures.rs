use aws_lc_rs::{digest, hmac};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::core::secret::Encoding;
use crate::verify::Algorithm;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn signed_source(algorithms: &[Algorithm], secret: Option<&str>) -> SourceConfig {
    source(CredentialsConfig {
        basic: Some(basic()),
        signature: Some(SignatureConfig {
            algorithms: algorithms.to_vec(),
            secret: secret.map(|secret| Secret::new(secret).into()),
            secret_file: None,
            encoding: Encoding::Plain,
        }),
        ..CredentialsConfig::default()
    })
}

fn hmac_door() -> Door {
    let source = signed_source(&[Algorithm::HS256], Some(SECRET));
    door(&source, ListenerConfig::default(), FakeRecord::default())
}

fn hash(body: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, body).as_ref().to_vec()
}

fn payload(body: &[u8]) -> Value {
    json!({ "request_body_sha256": STANDARD.encode(hash(body)) })
}

fn unsigned(header: &str, payload: &str) -> String {
    let encode = |text| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}", encode(header), encode(payload))
}

fn sign(header: &str, payload: &str, secret: &str) -> String {
    let text = unsigned(header, payload);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn signed_request(jws: &str) -> Request<Body> {
    let mut request = request(DEACTIVATE);
    let value = jws.parse().unwrap();
    request
        .headers_mut()
        .insert("x-fusionauth-signature-jwt", value);
    request
}

const HEADER: &str = r#"{"alg":"HS256","kid":"a","typ":"JWT"}"#;

#[tokio::test]
async fn a_good_signature_is_accepted() {
    let door = hmac_door();
    let jws = sign(HEADER, &payload(DEACTIVATE).to_string(), SECRET);
    assert_eq!(door.status(signed_request(&jws)).await, StatusCode::OK);
    assert_eq!(door.recorded(), 1);
}

#[tokio::test]
async fn a_shared_secret_may_be_base64_and_be_rotated_in_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let other = "another secret, which is as long.";
    std::fs::write(&path, STANDARD.encode(SECRET) + "\n").unwrap();
    let mut source = signed_source(&[Algorithm::HS256], None);
    let signature = format!(
        "{{ algorithms: [HS256], encoding: base64, secret: [{{ file: {} }}, {}] }}",
        path.display(),
        STANDARD.encode([0xff; 32])
    );
    source.auth.signature = Some(serde_saphyr::from_str(&signature).unwrap());
    let door = door(&source, ListenerConfig::default(), FakeRecord::default());
    let payload = payload(DEACTIVATE).to_string();
    let status = async |secret: &str| {
        let jws = sign(HEADER, &payload, secret);
        door.status(signed_request(&jws)).await.as_u16()
    };
    assert_eq!((status(SECRET).await, status(other).await), (200, 401));
    assert_eq!(status(&STANDARD.encode(SECRET)).await, 401, "it is decoded");
    let next = path.with_extension("next");
    std::fs::write(&next, STANDARD.encode(other)).unwrap();
    std::fs::rename(next, &path).unwrap();
    assert_eq!((status(SECRET).await, status(other).await), (401, 200));
}

#[tokio::test]
async fn a_good_signature_without_the_password_is_refused() {
    let door = hmac_door();
    let jws = sign(HEADER, &payload(DEACTIVATE).to_string(), SECRET);
    let mut request = signed_request(&jws);
    request.headers_mut().remove("authorization");
    assert_eq!(door.status(request).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn forged_headers_are_refused() {
    let door = hmac_door();
    let sound = payload(DEACTIVATE).to_string();
    for header in [
        r#"{"alg":"none","typ":"JWT"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":7}"#,
        r#"["HS256"]"#,
        "HS256",
        "",
    ] {
        let jws = sign(header, &sound, SECRET);
        let status = door.status(signed_request(&jws)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{header}");
    }
    assert_eq!(door.recorded(), 0);
}

#[tokio::test]
async fn forged_signatures_are_refused() {
    let door = hmac_door();
    let sound = payload(DEACTIVATE).to_string();
    let good = sign(HEADER, &sound, SECRET);
    let (signed, tag) = good.rsplit_once('.').unwrap();
    let other = sign(HEADER, &sound, "another secret of the same length");
    for jws in [
        String::new(),
        "..".to_owned(),
        "x".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!("{signed}.{tag}."),
        format!(".{signed}.{tag}"),
        format!("{signed}.{tag}="),
        format!("{signed}.{}", &tag[..20]),
        format!("{signed}.{tag}{tag}"),
        format!("{good}.x.y"),
        unsigned(r#"{"alg":"none"}"#, &sound) + ".",
        other,
    ] {
        let status = door.status(signed_request(&jws)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{jws}");
    }
    assert_eq!(
        door.status(request(DEACTIVATE)).await,
        StatusCode::UNAUTHORIZED
    );
    let mut twice = signed_request(&good);
    let value = good.parse().unwrap();
    twice
        .headers_mut()
        .append("x-fusionauth-signature-jwt", value);
    assert_eq!(door.status(twice).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_signature_must_be_about_this_very_body() {
    use std::fmt::Write as _;
    let door = hmac_door();
    let hash = hash(DEACTIVATE);
    let hex = hash.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let standard = STANDARD.encode(&hash);
    let name = "request_body_sha256";
    for payload in [
        json!({}).to_string(),
        json!({ "sub": "a token of the same key", "exp": 4_000_000_000_u64 }).to_string(),
        json!({ name: null }).to_string(),
        json!({ name: 7 }).to_string(),
        json!({ name: "" }).to_string(),
        json!({ name: [standard] }).to_string(),
        json!({ name: hex }).to_string(),
        json!({ name: standard.trim_end_matches('=') }).to_string(),
        json!({ name: URL_SAFE_NO_PAD.encode(&hash) }).to_string(),
        json!({ name: format!("{standard} ") }).to_string(),
        json!({ "Request_Body_Sha256": standard }).to_string(),
        super::signatures::payload(b"another body").to_string(),
        format!(r#"{{"{name}":"{standard}","{name}":"{standard}"}}"#),
        format!(r#"{{"{name}":"{standard}""#),
        format!(r#"["{standard}"]"#),
        standard.clone(),
    ] {
        let jws = sign(HEADER, &payload, SECRET);
        let status = door.status(signed_request(&jws)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{payload}");
    }
    assert_eq!(door.recorded(), 0);
}

fn keys_door(answer: Option<Result<Bytes, SignatureError>>) -> Door {
    let source = signed_source(&[Algorithm::EdDSA, Algorithm::ES256], None);
    let door = door(&source, ListenerConfig::default(), FakeRecord::default());
    *door.keys.opens.lock().unwrap() = answer;
    door
}

#[tokio::test]
async fn the_issuers_keys_are_asked_only_about_pinned_algorithms() {
    let sound = payload(DEACTIVATE).to_string();
    // Signed with what everybody can read: the issuer's public key as an HMAC secret.
    let confused = sign(HEADER, &sound, "-----BEGIN PUBLIC KEY-----");
    for jws in [
        confused,
        unsigned(r#"{"alg":"none"}"#, &sound) + ".x",
        unsigned(r#"{"alg":"RS256"}"#, &sound) + ".x",
    ] {
        // The fake panics when it is asked.
        let status = keys_door(None).status(signed_request(&jws)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{jws}");
    }
}

#[tokio::test]
async fn the_issuers_keys_decide() {
    let sound = payload(DEACTIVATE).to_string();
    let jws = unsigned(r#"{"alg":"EdDSA","kid":"a"}"#, &sound) + ".c2lnbmF0dXJl";
    let unavailable = SignatureError::Unavailable("no keys yet".to_owned());
    for (answer, expected) in [
        (Ok(Bytes::from(sound)), StatusCode::OK),
        (
            Ok(Bytes::from(payload(b"x").to_string())),
            StatusCode::UNAUTHORIZED,
        ),
        (Err(SignatureError::Bad), StatusCode::UNAUTHORIZED),
        // Not the sender's fault: it has to come back.
        (Err(unavailable), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let door = keys_door(Some(answer));
        assert_eq!(door.status(signed_request(&jws)).await, expected);
    }
}
