//! Which tokens a revocation would refuse, before it is made.

use super::record::Target;
use crate::core::clock::UnixMillis;
use crate::verify::claims::{ClaimPath, Claims};

/// Accepts the tokens that a revocation of `target` up to `cut_off` refuses.
pub fn refused_by(
    target: &Target,
    cut_off: Option<UnixMillis>,
) -> impl Fn(&Claims) -> bool + use<> {
    let issuer = target.issuer.clone();
    let matches = target.matches.iter();
    let matches: Vec<_> = matches
        .map(|(claim, value)| (ClaimPath::of_record(claim), value.clone()))
        .collect();
    move |token| {
        let has = |(claim, value): &(ClaimPath, String)| {
            token.values(claim).iter().any(|own| own == value)
        };
        *token.issuer == *issuer
            && cut_off.is_none_or(|at| token.counts_as_issued_at <= at.seconds())
            && matches.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::core::horizon::Horizon;
    use crate::revocation::{Action, Draft, Index, Terms};

    const ISSUER: &str = "https://id.example.com";

    fn token(issued_at: u64, claims: &serde_json::Value) -> Claims {
        Claims {
            issuer: ISSUER.into(),
            subject: None,
            client: None,
            token_id: None,
            issued_at: Some(issued_at),
            counts_as_issued_at: issued_at,
            expires_at: issued_at + 3600,
            all: claims.as_object().unwrap().into(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_accepts_what_the_index_refuses_afterwards(
            matches in proptest::collection::btree_map("[ab]|c\\.d", "[xy]", 0..3),
            cut_off in proptest::option::of(95_u64..105),
            issued_at in 95_u64..105,
            (a, b, d) in ("[xyz]", "[xyz]", "[xyz]"),
            is_known in any::<bool>(),
        ) {
            let issuer = if is_known { ISSUER } else { "https://other.example.com" };
            let matches: BTreeMap<_, _> = matches;
            let target = Target { issuer: issuer.to_owned(), matches };
            let cut_off = cut_off.map(UnixMillis::from_seconds);
            let token = token(issued_at, &json!({ "a": a, "b": [b, "y"], "c": { "d": d } }));
            let draft = Draft {
                id: "1".to_owned(),
                target: target.clone(),
                action: Action::Revoke,
                issued_at_or_before: cut_off,
                expires_at_or_before: None,
                occurred_at: UnixMillis::from_seconds(100),
                source: "test".to_owned(),
                cause: "test".to_owned(),
            };
            let terms = Terms {
                longest_life: Duration::from_hours(1),
                leeway: Duration::from_mins(1),
                not_before: UnixMillis::default(),
            };
            let record = draft.receive(UnixMillis::from_seconds(100), &terms);
            let index = Index::new(Horizon::default());
            index.apply_all([(&record, UnixMillis::MAX)].into_iter()).unwrap();
            prop_assert_eq!(refused_by(&target, cut_off)(&token), index.is_revoked(&token));
        }
    }
}
