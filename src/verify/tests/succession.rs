//! A verifier takes over from the one of the configuration before.

use super::*;

fn succeed(before: &Verifier, issuers: &[Value], keep_tokens: bool) -> Verifier {
    let issuers: Vec<_> = issuers.iter().map(read).collect();
    let next = before.succeed(&issuers, &before.shared.parts.lifetimes, keep_tokens);
    next.unwrap_or_else(|errors| panic!("{}", errors.messages().join("; ")))
}

fn misses(verifier: &Verifier) -> u64 {
    verifier.shared.parts.metrics.misses.get()
}

#[test]
fn tokens_of_unchanged_issuers_stay_verified() {
    let entry = issuer(&[P256.jwk("a")]);
    let first = World::new().verifier(std::slice::from_ref(&entry));
    let token = P256.token("ES256", "a", &claims());
    verify(&first, &token).unwrap();
    let second = succeed(&first, std::slice::from_ref(&entry), true);
    verify(&second, &token).unwrap();
    assert_eq!(misses(&second), 1);
    let third = succeed(&second, &[entry], false);
    verify(&third, &token).unwrap();
    assert_eq!(misses(&third), 2, "a door may have kept an answer");
}

#[test]
fn each_configuration_judges_by_its_own_rules_also_what_another_one_judged_before() {
    let entry = issuer(&[P256.jwk("a")]);
    let first = World::new().verifier(std::slice::from_ref(&entry));
    let mut stricter = entry;
    stricter["audiences"] = json!(["another"]);
    let second = succeed(&first, &[stricter], true);
    let own = P256.token("ES256", "a", &claims());
    let others = P256.token("ES256", "a", &with("aud", "another"));
    // In turns, as while requests of the configuration before are under way.
    for _ in 0..3 {
        assert_eq!(refusal(&first, &own), None);
        assert_eq!(refusal(&second, &own), Some(Reason::WrongAudience));
        assert_eq!(refusal(&second, &others), None);
        assert_eq!(refusal(&first, &others), Some(Reason::WrongAudience));
    }
}

#[test]
fn an_issuer_and_a_key_that_are_gone_verify_nothing() {
    let entry = issuer(&[P256.jwk("a")]);
    let mut other = issuer(&[ED.jwk("a")]);
    other["issuer"] = OTHER.into();
    let first = World::new().verifier(&[entry, other.clone()]);
    let (old, new) = [&P256, &P256_2]
        .map(|key| key.token("ES256", "a", &claims()))
        .into();
    verify(&first, &old).unwrap();
    let second = succeed(&first, std::slice::from_ref(&other), true);
    assert_eq!(refusal(&second, &old), Some(Reason::UnknownIssuer));
    let third = succeed(&second, &[issuer(&[P256_2.jwk("a")]), other], true);
    assert_eq!(refusal(&third, &old), Some(Reason::BadSignature));
    assert_eq!(refusal(&third, &new), None);
}
