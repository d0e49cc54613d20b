//! Whatever arrives, the verifier answers; and no change to a good token makes another good one.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static VERIFIER: LazyLock<Arc<Verifier>> = LazyLock::new(|| {
    World::new().verifier(&[issuer(&[RSA.jwk("rsa"), P256.jwk("p256"), ED.jwk("ed")])])
});

static GOOD: LazyLock<[String; 3]> = LazyLock::new(|| {
    [
        RSA.token("RS256", "rsa", &claims()),
        P256.token("ES256", "p256", &claims()),
        ED.token("EdDSA", "ed", &claims()),
    ]
});

/// One thing that happens to a text, at a place between 0 and 1.
#[derive(Clone, Debug)]
enum Change {
    Replace(f64, char),
    Insert(f64, char),
    Remove(f64, usize),
    Repeat(f64, usize),
    Swap(f64, f64),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let letter = prop_oneof![
        9 => prop::char::ranges(vec!['A'..='Z', 'a'..='z', '0'..='9', '-'..='.', '_'..='_'].into()),
        1 => any::<char>(),
    ];
    let place = || 0.0..1.0_f64;
    let change = prop_oneof![
        (place(), letter.clone()).prop_map(|(at, letter)| Change::Replace(at, letter)),
        (place(), letter).prop_map(|(at, letter)| Change::Insert(at, letter)),
        (place(), 1..9_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        (place(), 1..9_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        (place(), place()).prop_map(|(one, other)| Change::Swap(one, other)),
    ];
    prop::collection::vec(change, 1..4)
}

fn apply(token: &str, changes: &[Change]) -> String {
    let mut text: Vec<char> = token.chars().collect();
    for change in changes {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place between 0 and the length"
        )]
        let place = |at: f64, text: &[char]| (at * text.len() as f64) as usize;
        match *change {
            Change::Replace(at, letter) => {
                let at = place(at, &text);
                text.splice(at..(at + 1).min(text.len()), [letter]);
            }
            Change::Insert(at, letter) => text.insert(place(at, &text), letter),
            Change::Remove(at, count) => {
                let at = place(at, &text);
                text.drain(at..(at + count).min(text.len()));
            }
            Change::Repeat(at, count) => {
                let at = place(at, &text);
                let piece = text[at..(at + count).min(text.len())].to_vec();
                text.splice(at..at, piece);
            }
            Change::Swap(one, other) if !text.is_empty() => {
                let (one, other) = (place(one, &text), place(other, &text));
                text.swap(one, other);
            }
            Change::Swap(..) => {}
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// An ECDSA signature has a twin that anyone can make, for the same signed text. That text is
    /// all that counts, so the twin may pass and the claims are the same.
    #[test]
    fn a_changed_token_does_not_verify(which in 0..3_usize, changes in changes()) {
        let good = &GOOD[which];
        let changed = apply(good, &changes);
        let signed = |token: &str| token.rsplit_once('.').map(|(text, _)| text.to_owned());
        if changed != *good && verify(&VERIFIER, &changed).is_ok() {
            prop_assert_eq!(signed(&changed), signed(good));
            prop_assert_eq!(which, 1, "only ECDSA is malleable");
        }
    }

    /// Cached tokens do not make their changed copies good.
    #[test]
    fn a_changed_token_does_not_verify_after_its_original_was_cached(which in 0..3_usize, changes in changes()) {
        let good = &GOOD[which];
        prop_assert!(verify(&VERIFIER, good).is_ok());
        let changed = apply(good, &changes);
        prop_assert!(changed == *good || which == 1 || verify(&VERIFIER, &changed).is_err());
    }

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        prop_assert!(verify(&VERIFIER, &text).is_err());
    }

    #[test]
    fn any_three_parts_are_answered(
        header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), signature in any::<Vec<u8>>(),
    ) {
        let text = [header, payload, signature].map(|part| base64(&part)).join(".");
        prop_assert!(verify(&VERIFIER, &text).is_err());
    }

    /// Signed payloads of any shape: the rules answer, and never panic over a number.
    #[test]
    fn any_signed_payload_is_answered(
        name in "iss|sub|aud|exp|nbf|iat|jti|client_id|azp",
        value in json_value(),
    ) {
        let payload = with(&name, value);
        let verified = verify(&VERIFIER, &ED.token("EdDSA", "ed", &payload));
        if let Ok(verified) = verified {
            prop_assert_eq!(&*verified.claims.issuer, ISSUER);
            prop_assert!(verified.claims.expires_at + 30 > NOW);
            prop_assert!(verified.claims.counts_as_issued_at <= NOW + 30);
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (NOW - 4000..NOW + 4000).prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::from("api")),
        Just(Value::from(ISSUER)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
