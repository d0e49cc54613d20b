//! What providers write into key sets that is no danger, and Ed25519 points that are one.

use serde_json::{Value, json};

use super::*;

fn verifier(keys: &[Value]) -> Arc<Verifier> {
    World::new().verifier(&[issuer(keys)])
}

/// A key written in another way serves the tokens that it signed.
fn serves(signer: &Signer, algorithm: &str, jwk: &Value) {
    let verifier = verifier(std::slice::from_ref(jwk));
    let token = signer.token(algorithm, "k", &claims());
    assert_eq!(refusal(&verifier, &token), None, "{jwk}");
}

fn changed(signer: &Signer, member: &str, value: Value) -> Value {
    let mut jwk = signer.jwk("k");
    jwk[member] = value;
    jwk
}

#[test]
fn absent_members_may_be_written_as_null_or_empty() {
    for member in ["use", "key_ops", "alg", "d", "k", "x5c", "kid", "n"] {
        serves(&P256, "ES256", &changed(&P256, member, Value::Null));
    }
    serves(&P256, "ES256", &changed(&P256, "key_ops", json!([])));
    serves(&P256, "ES256", &changed(&P256, "kid", json!("")));
}

#[test]
fn coordinates_may_lack_zeros_or_have_too_many() {
    let bytes = |jwk: &Value, name: &str| jws::decode(jwk[name].as_str().unwrap()).unwrap();
    let short = loop {
        let signer = Signer::p256();
        if bytes(&signer.jwk("k"), "x")[0] == 0 {
            break signer;
        }
    };
    let cut = bytes(&short.jwk("k"), "x").split_off(1);
    serves(&short, "ES256", &changed(&short, "x", json!(base64(&cut))));
    for signer in [&*P256, &short] {
        let long = [&[0, 0][..], &bytes(&signer.jwk("k"), "y")].concat();
        serves(signer, "ES256", &changed(signer, "y", json!(base64(&long))));
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let mut config = issuer(&[]);
    let text = json!({"keys": [P256.jwk("k")]}).to_string();
    config["jwks"] = json!({"inline": format!("\u{feff}{text}")});
    let verifier = World::new().verifier(&[config]);
    let token = P256.token("ES256", "k", &claims());
    assert_eq!(refusal(&verifier, &token), None);
}

#[test]
fn eddsa_and_ed25519_name_one_algorithm() {
    for alg in ["EdDSA", "Ed25519"] {
        for listed in ["EdDSA", "Ed25519"] {
            let mut config = issuer(&[changed(&ED, "alg", json!(alg))]);
            config["algorithms"] = json!([listed]);
            let verifier = World::new().verifier(&[config]);
            for header in ["EdDSA", "Ed25519"] {
                let token = ED.token(header, "k", &claims());
                assert_eq!(refusal(&verifier, &token), None, "{alg} {listed} {header}");
            }
        }
    }
}

#[test]
fn es512_is_verified() {
    serves(&P521, "ES512", &P521.jwk("k"));
    let verifier = verifier(&[P521.jwk("k")]);
    let crossed = P256.token("ES512", "k", &claims());
    assert_eq!(refusal(&verifier, &crossed), Some(Reason::BadSignature));
}

#[test]
fn svid_keys_are_used_where_that_is_switched_on() {
    let mut config = issuer(&[changed(&P256, "use", json!("jwt-svid")), RSA.jwk("rsa")]);
    let token = P256.token("ES256", "k", &claims());
    let verifier = World::new().verifier(&[config.clone()]);
    assert_eq!(refusal(&verifier, &token), Some(Reason::UnknownKey));
    config["jwks"]["jwt_svid"] = json!(true);
    assert_eq!(refusal(&World::new().verifier(&[config]), &token), None);
}

#[test]
fn a_single_key_without_kid_verifies_tokens_with_kid() {
    serves(&P256, "ES256", &changed(&P256, "kid", Value::Null));
    let two = verifier(&[changed(&P256, "kid", Value::Null), RSA.jwk("rsa")]);
    let token = P256.token("ES256", "k", &claims());
    assert_eq!(refusal(&two, &token), Some(Reason::UnknownKey));
}

/// A self-signed certificate of the key, as openssl makes it.
fn certificate(signer: &Signer) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.der");
    std::fs::write(&key, signer.private_der()).unwrap();
    let output = std::process::Command::new("openssl")
        .args(["req", "-x509", "-subj", "/CN=x", "-outform", "DER"])
        .args(["-keyform", "DER", "-key"])
        .arg(&key)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn keys_that_come_only_as_certificates_are_read() {
    use base64::engine::general_purpose::STANDARD;
    for (signer, algorithm, kty) in [
        (&*RSA, "RS256", "RSA"),
        (&P256, "ES256", "EC"),
        (&P384, "ES384", "EC"),
        (&P521, "ES512", "EC"),
        (&ED, "EdDSA", "OKP"),
    ] {
        let der = certificate(signer);
        let x5c = json!([base64::Engine::encode(&STANDARD, &der), "another"]);
        serves(
            signer,
            algorithm,
            &json!({"kty": kty, "kid": "k", "x5c": x5c}),
        );
        serves(signer, algorithm, &json!({"kid": "k", "x5c": x5c}));
        let other = if kty == "EC" { "RSA" } else { "EC" };
        let keys = [
            json!({"kty": other, "kid": "k", "x5c": x5c}),
            P256_2.jwk("other"),
        ];
        let token = signer.token(algorithm, "k", &claims());
        assert_eq!(refusal(&verifier(&keys), &token), Some(Reason::UnknownKey));
        for end in 0..der.len() {
            let _ = certificate::public_key(&der[..end]);
        }
    }
}

#[test]
fn keys_for_other_purposes_are_no_reason_to_complain() {
    let terms = key::Terms {
        algorithms: Algorithm::ALL.into_iter().collect(),
        jwt_svid: false,
    };
    let complaint = |jwk: Value| {
        let text = json!({"keys": [jwk, P256.jwk("good")]}).to_string();
        let set = jwks::KeySet::parse(text.as_bytes(), terms, &[], &key::Lease::none()).unwrap();
        assert_eq!(set.len(), 1);
        set.complaint()
    };
    for jwk in [
        changed(&RSA, "use", json!("enc")),
        changed(&RSA, "alg", json!("RSA-OAEP-256")),
        changed(&RSA, "key_ops", json!(["wrapKey"])),
        json!({"kty": "OKP", "crv": "X25519", "x": base64(&[9; 32])}),
    ] {
        assert_eq!(complaint(jwk.clone()), None, "{jwk}");
    }
    assert!(complaint(changed(&RSA, "alg", json!("RS1"))).is_some());
}

/// The encodings of the eight points of small order, and others of the same points that are not
/// canonical: with y plus the field's prime, or with a sign on x = 0.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// y = 2 and y = 7 are on no point of the curve; y = p + 3 is another text of y = 3.
const NO_POINTS: [&str; 3] = [
    "0200000000000000000000000000000000000000000000000000000000000000",
    "0700000000000000000000000000000000000000000000000000000000000000",
    "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[test]
fn ed25519_points_that_anyone_can_sign_for_are_skipped() {
    for hex in SMALL_ORDER.into_iter().chain(NO_POINTS) {
        let digits = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
        let x: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
        let keys = [changed(&ED, "x", json!(base64(&x))), P256.jwk("good")];
        let verifier = verifier(&keys);
        // With R the identity and S = 0, the equation of RFC 8032 §5.1.7 holds for the identity as
        // a key, whatever the message.
        let header = json!({"alg": "EdDSA", "kid": "k"}).to_string();
        let token = ED.seal("EdDSA", header.as_bytes(), claims().to_string().as_bytes());
        let signed = &token[..token.rfind('.').unwrap()];
        let mut signature = [0; 64];
        signature[0] = 1;
        let forged = format!("{signed}.{}", base64(&signature));
        assert_eq!(
            refusal(&verifier, &forged),
            Some(Reason::UnknownKey),
            "{hex}"
        );
    }
    serves(&ED, "EdDSA", &ED.jwk("k"));
}
