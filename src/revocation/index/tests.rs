use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::*;

const ISSUER: &str = "https://id.example.com";
const FAR: UnixMillis = UnixMillis::from_seconds(10_000);

fn index() -> Index {
    Index::new(Horizon::default())
}

fn target<const N: usize>(matches: [(&str, &str); N]) -> Target {
    let text = |(claim, value): (&str, &str)| (claim.to_owned(), value.to_owned());
    Target {
        issuer: ISSUER.to_owned(),
        matches: matches.map(text).into(),
    }
}

/// Revokes what was issued by second 100, for the cause `lock`, at second 100.
fn revocation(target: Target) -> Revocation {
    let at = UnixMillis::from_seconds(100);
    Revocation {
        id: "1".to_owned(),
        target,
        action: Action::Revoke,
        issued_at_or_before: Some(at),
        expires_at_or_before: None,
        occurred_at: at,
        forget_after: FAR,
        source: "test".to_owned(),
        cause: "lock".to_owned(),
        received_at: at,
        bounds: None,
        turn: None,
        note: None,
        original: None,
    }
}

fn lift_at(target: Target, second: u64) -> Revocation {
    Revocation {
        action: Action::Lift,
        issued_at_or_before: None,
        occurred_at: UnixMillis::from_seconds(second),
        ..revocation(target)
    }
}

fn token(issued_at: u64, claims: Value) -> Claims {
    let Value::Object(all) = claims else {
        panic!("claims are an object")
    };
    Claims {
        issuer: ISSUER.into(),
        subject: None,
        client: None,
        token_id: None,
        issued_at: Some(issued_at),
        counts_as_issued_at: issued_at,
        expires_at: issued_at + 3600,
        all: (&all).into(),
    }
}

fn without_iat(expires_at: u64) -> Claims {
    Claims {
        issued_at: None,
        counts_as_issued_at: expires_at - 3600,
        expires_at,
        ..token(0, json!({"sub": "a"}))
    }
}

fn apply(index: &Index, record: &Revocation) {
    index.apply(record, record.forget_after).unwrap();
}

fn total(index: &Index) -> usize {
    index.len()
}

#[test]
fn the_cut_off_divides_whole_seconds() {
    let index = index();
    let mut record = revocation(target([("sub", "a")]));
    record.issued_at_or_before = Some(UnixMillis(100_999));
    apply(&index, &record);
    assert!(index.is_revoked(&token(100, json!({"sub": "a"}))));
    assert!(!index.is_revoked(&token(101, json!({"sub": "a"}))));
    assert!(!index.is_revoked(&token(100, json!({"sub": "b"}))));
}

#[test]
fn a_revocation_never_crosses_issuers() {
    let index = index();
    apply(&index, &revocation(target([])));
    let mut other = token(1, json!({}));
    assert!(index.is_revoked(&other));
    other.issuer = "https://other.example.com".into();
    assert!(!index.is_revoked(&other));
}

#[test]
fn every_claim_must_match() {
    let index = index();
    apply(&index, &revocation(target([("sub", "a"), ("azp", "x")])));
    assert!(index.is_revoked(&token(1, json!({"sub": "a", "azp": "x"}))));
    assert!(!index.is_revoked(&token(1, json!({"sub": "a", "azp": "y"}))));
    assert!(!index.is_revoked(&token(1, json!({"sub": "a"}))));
    assert!(!index.is_revoked(&token(1, json!({"sub": "x", "azp": "a"}))));
}

#[test]
fn an_array_matches_by_membership() {
    let index = index();
    apply(&index, &revocation(target([("sub", "a"), ("aud", "x")])));
    assert!(index.is_revoked(&token(1, json!({"sub": "a", "aud": ["w", "x"]}))));
    assert!(!index.is_revoked(&token(1, json!({"sub": "a", "aud": ["w", "y"]}))));
    assert!(!index.is_revoked(&token(1, json!({"sub": "a", "aud": []}))));
}

#[test]
fn a_network_is_matched_by_the_address_of_the_request_alone() {
    let index = index();
    let alice = token(1, json!({ "sub": "a", "client#ip": "203.0.113.0/24" }));
    let never = || -> Option<IpAddr> { panic!("no network is revoked") };
    apply(&index, &revocation(target([("sub", "b")])));
    let found = index.look_up_from(&alice, never).unwrap();
    assert!(found.enforced.is_none());

    let network = target([("sub", "a"), ("client#ip", "203.0.113.0/24")]);
    apply(&index, &revocation(network.clone()));
    let from = |token: &Claims, address: &str| {
        let found = index.look_up_from(token, || address.parse().ok());
        found.map(|found| found.enforced.is_some())
    };
    assert!(from(&alice, "203.0.113.255").unwrap());
    assert!(from(&alice, "::ffff:203.0.113.0").unwrap());
    assert!(!from(&alice, "203.0.114.0").unwrap());
    assert!(!from(&token(1, json!({ "sub": "c" })), "203.0.113.7").unwrap());
    assert!(!from(&token(101, json!({ "sub": "a" })), "203.0.113.7").unwrap());
    assert!(from(&alice, "nowhere").is_err());
    // What is known without an address needs none.
    assert!(from(&token(1, json!({ "sub": "b" })), "nowhere").unwrap());
    // A token alone comes from nowhere, whatever its claims say.
    assert!(!index.is_revoked(&alice));
    apply(&index, &lift_at(network, 101));
    assert!(!from(&alice, "203.0.113.7").unwrap());
}

#[test]
fn too_many_combinations_are_refused() {
    let index = index();
    apply(&index, &revocation(target([("a", "none"), ("b", "none")])));
    let many = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
    assert!(!index.is_revoked(&token(1, json!({"a": many(64), "b": many(64)}))));
    assert!(index.is_revoked(&token(1, json!({"a": many(65), "b": many(64)}))));
}

#[test]
fn the_first_claim_of_a_chain_that_is_there_counts() {
    let index = index();
    apply(&index, &revocation(target([("app|aud", "x")])));
    assert!(index.is_revoked(&token(1, json!({"aud": "x"}))));
    assert!(!index.is_revoked(&token(1, json!({"app": "y", "aud": "x"}))));
}

#[test]
fn a_path_matches_a_nested_claim() {
    let index = index();
    let admins = target([("sub", "a"), ("realm_access.roles", "admin")]);
    apply(&index, &revocation(admins));
    apply(&index, &revocation(target([("groups.id", "7")])));
    for (claims, revoked) in [
        (
            json!({"sub": "a", "realm_access": {"roles": ["user", "admin"]}}),
            true,
        ),
        (
            json!({"sub": "a", "realm_access": {"roles": ["user"]}}),
            false,
        ),
        (
            json!({"sub": "b", "realm_access": {"roles": ["admin"]}}),
            false,
        ),
        (json!({"sub": "a", "roles": ["admin"]}), false),
        (json!({"sub": "a", "realm_access.roles": "admin"}), true),
        (json!({"groups": [{"id": 6}, {"id": 7}]}), true),
        (json!({"groups": [{"id": 6}, {"name": "7"}]}), false),
    ] {
        assert_eq!(
            index.is_revoked(&token(1, claims.clone())),
            revoked,
            "{claims}"
        );
    }
}

/// A record that an earlier version wrote, or that a later one will, is never silent.
#[test]
fn a_claim_name_with_dots_matches_the_member_of_that_name() {
    let index = index();
    for name in ["https://example.com/tier", "a..b", "x\\y", "sub.id"] {
        apply(&index, &revocation(target([(name, "gold")])));
        assert!(index.is_revoked(&token(1, json!({name: "gold"}))), "{name}");
    }
    assert!(!index.is_revoked(&token(1, json!({"https://example": {"com/tier": "gold"}}))));
}

#[test]
fn values_that_concatenate_alike_differ() {
    let index = index();
    apply(&index, &revocation(target([("a", "bc"), ("d", "")])));
    assert!(!index.is_revoked(&token(1, json!({"a": "b", "d": "c"}))));
    assert!(index.is_revoked(&token(1, json!({"a": "bc", "d": ""}))));
}

#[test]
fn no_cut_off_means_every_token() {
    let index = index();
    let mut record = revocation(target([("sid", "s")]));
    record.issued_at_or_before = None;
    apply(&index, &record);
    assert!(index.is_revoked(&token(u64::MAX - 4000, json!({"sid": "s"}))));
}

#[test]
fn a_token_without_iat_is_judged_by_its_expiry_where_there_is_one_to_compare() {
    let by_issue = index();
    apply(&by_issue, &revocation(target([("sub", "a")])));
    assert!(by_issue.is_revoked(&without_iat(3700)));
    assert!(!by_issue.is_revoked(&without_iat(3701)));

    let by_expiry = index();
    let mut record = revocation(target([("sub", "a")]));
    record.expires_at_or_before = Some(UnixMillis(5_000_999));
    apply(&by_expiry, &record);
    assert!(by_expiry.is_revoked(&without_iat(5000)));
    assert!(!by_expiry.is_revoked(&without_iat(5001)));
    // A token with `iat` is still judged by it.
    assert!(!by_expiry.is_revoked(&token(101, json!({"sub": "a"}))));
}

#[test]
fn cut_offs_by_issue_and_by_expiry_do_not_replace_each_other() {
    let index = index();
    let mut by_expiry = revocation(target([("sub", "a")]));
    by_expiry.expires_at_or_before = Some(UnixMillis::from_seconds(3650));
    apply(&index, &revocation(target([("sub", "a")])));
    apply(&index, &by_expiry);
    assert!(index.is_revoked(&without_iat(3700)));
    assert_eq!(total(&index), 2);
}

#[test]
fn a_later_cut_off_replaces_an_earlier_one() {
    let index = index();
    let mut later = revocation(target([("sub", "a")]));
    later.issued_at_or_before = Some(UnixMillis::from_seconds(200));
    later.occurred_at = UnixMillis::from_seconds(200);
    for record in [&revocation(target([("sub", "a")])), &later, &later] {
        apply(&index, record);
    }
    apply(&index, &revocation(target([("sub", "a")])));
    assert_eq!(total(&index), 1);
    assert!(index.is_revoked(&token(200, json!({"sub": "a"}))));
}

#[test]
fn lifts_take_back_the_same_cause_up_to_their_time_in_any_order() {
    let user = || target([("sub", "a")]);
    let lift = lift_at(user(), 100);
    let orders = [[&revocation(user()), &lift], [&lift, &revocation(user())]];
    for order in orders {
        let index = index();
        for record in order {
            apply(&index, record);
        }
        assert!(!index.is_revoked(&token(1, json!({"sub": "a"}))));
        let mut again = revocation(user());
        again.occurred_at = UnixMillis(100_001);
        apply(&index, &again);
        assert!(index.is_revoked(&token(1, json!({"sub": "a"}))));
    }
}

#[test]
fn a_lift_leaves_other_causes_and_targets() {
    let index = index();
    let mut other_cause = revocation(target([("sub", "a")]));
    other_cause.cause = "password".to_owned();
    apply(&index, &other_cause);
    apply(&index, &revocation(target([("sub", "b")])));
    apply(&index, &lift_at(target([("sub", "a")]), 500));
    assert!(index.is_revoked(&token(1, json!({"sub": "a"}))));
    assert!(index.is_revoked(&token(1, json!({"sub": "b"}))));
}

#[test]
fn a_lift_takes_back_only_what_its_own_source_revoked() {
    let user = || target([("sub", "a")]);
    let by = |source: &str, mut record: Revocation| {
        source.clone_into(&mut record.source);
        record
    };
    let theirs = by("hr", revocation(user()));
    let ours = by("idp", revocation(user()));
    let lifts = [lift_at(user(), 500), lift_at(user(), 100)].map(|lift| by("idp", lift));
    let mut records = vec![&theirs, &ours, &lifts[0], &lifts[1]];
    for turn in 0..records.len() {
        records.rotate_left(1);
        for order in [records.clone(), records.iter().rev().copied().collect()] {
            let index = index();
            for record in order {
                apply(&index, record);
            }
            assert!(
                index.is_revoked(&token(1, json!({"sub": "a"}))),
                "turn {turn}"
            );
            apply(&index, &by("hr", lift_at(user(), 100)));
            assert!(!index.is_revoked(&token(1, json!({"sub": "a"}))));
        }
    }
}

#[test]
fn lifts_are_no_live_revocations() {
    let index = index();
    apply(&index, &revocation(target([("sub", "a")])));
    apply(&index, &lift_at(target([("sub", "b")]), 500));
    assert_eq!(index.live(), BTreeMap::from([("sub".to_owned(), 1)]));
    assert_eq!((index.len(), index.lifts()), (2, 1));
    apply(&index, &lift_at(target([("sub", "a")]), 500));
    assert_eq!((index.live().len(), index.lifts()), (0, 2));
    let mut after_it = revocation(target([("sub", "a")]));
    after_it.occurred_at = UnixMillis::from_seconds(600);
    apply(&index, &after_it);
    assert_eq!(index.live(), BTreeMap::from([("sub".to_owned(), 1)]));
    index.sweep(FAR.plus(Duration::from_secs(1)), usize::MAX);
    assert_eq!((index.len(), index.lifts()), (0, 0));
}

#[test]
fn an_earlier_lift_does_not_weaken_a_later_lift() {
    let index = index();
    apply(&index, &lift_at(target([("sub", "a")]), 500));
    apply(&index, &lift_at(target([("sub", "a")]), 50));
    apply(&index, &revocation(target([("sub", "a")])));
    assert!(!index.is_revoked(&token(1, json!({"sub": "a"}))));
}

#[test]
fn causes_without_a_number_are_enforced_and_cannot_be_lifted() {
    let index = index();
    for number in 0..u32::from(NAMELESS_CAUSE) {
        let cause = number.to_string();
        let mut record = revocation(target([("sub", &cause)]));
        record.cause = cause;
        apply(&index, &record);
    }
    let mut nameless = revocation(target([("sub", "a")]));
    nameless.cause = "one too many".to_owned();
    let mut lift = lift_at(target([("sub", "a")]), 500);
    lift.cause.clone_from(&nameless.cause);
    apply(&index, &nameless);
    apply(&index, &lift);
    assert!(index.is_revoked(&token(1, json!({"sub": "a"}))));
}

#[test]
fn sweeping_raises_the_horizon_and_forgets_no_moment_too_early() {
    let index = index();
    let mut record = revocation(target([("sub", "a")]));
    record.forget_after = UnixMillis(9_999_001);
    apply(&index, &record);
    index.sweep(UnixMillis::from_seconds(10_000), usize::MAX);
    assert_eq!((total(&index), index.horizon().0), (1, 0));
    let swept = index.sweep(UnixMillis::from_seconds(10_001), usize::MAX);
    assert_eq!((swept.forgotten, swept.round_is_over), (1, true));
    assert_eq!(index.horizon(), UnixMillis::from_seconds(10_000));
    assert!(index.live().is_empty());
    assert!(!index.is_revoked(&token(1, json!({"sub": "a"}))));
}

#[test]
fn a_forgotten_lift_does_not_change_the_horizon() {
    let index = index();
    apply(&index, &lift_at(target([("sub", "a")]), 500));
    index.sweep(FAR.plus(Duration::from_secs(1)), usize::MAX);
    assert_eq!((total(&index), index.horizon().0), (0, 0));
}

#[test]
fn merging_never_shortens_the_memory() {
    let index = index();
    let long = revocation(target([("sub", "a")]));
    let mut short = long.clone();
    short.issued_at_or_before = Some(UnixMillis::from_seconds(150));
    short.occurred_at = UnixMillis::from_seconds(150);
    short.forget_after = UnixMillis::from_seconds(200);
    apply(&index, &long);
    apply(&index, &short);
    index.sweep(UnixMillis::from_seconds(5000), usize::MAX);
    assert!(index.is_revoked(&token(150, json!({"sub": "a"}))));
}

#[test]
fn an_unused_shape_is_not_looked_up_and_can_return() {
    let index = index();
    for _ in 0..3 {
        apply(&index, &revocation(target([("sub", "a")])));
        assert_eq!(index.shapes_of(&target([("sub", "x")])), (1, true));
        index.sweep(FAR.plus(Duration::from_secs(1)), usize::MAX);
        assert_eq!(index.shapes_of(&target([("sub", "x")])), (0, false));
    }
}

#[test]
fn times_beyond_32_bits_deny() {
    let index = index();
    let mut record = revocation(target([("sub", "a")]));
    record.issued_at_or_before = Some(UnixMillis::MAX);
    record.expires_at_or_before = Some(UnixMillis::MAX);
    record.forget_after = UnixMillis::MAX;
    apply(&index, &record);
    index.sweep(UnixMillis::MAX, usize::MAX);
    assert!(index.is_revoked(&token(u64::from(u32::MAX) * 2, json!({"sub": "a"}))));
    assert!(index.is_revoked(&without_iat(u64::from(u32::MAX) * 2)));
}

#[test]
fn an_entry_takes_less_than_a_hundred_bytes_at_any_size() {
    let index = index();
    for count in 1..=120_000_u32 {
        apply(&index, &revocation(target([("sub", &count.to_string())])));
        if count.is_multiple_of(5000) && count >= 30_000 {
            let each = index.memory() / usize::try_from(count).unwrap();
            assert!(each <= 100, "{each} bytes at {count}");
        }
    }
    let empty_claims = Map::new();
    assert!(!index.is_revoked(&token(1, Value::Object(empty_claims))));
}

#[test]
fn reserved_room_is_enough() {
    let index = index();
    index.reserve(250_000);
    let before = index.memory();
    for count in 0..250_000_u32 {
        apply(&index, &revocation(target([("sub", &count.to_string())])));
    }
    assert_eq!(index.len(), 250_000);
    assert_eq!(index.memory(), before);
    assert!(before / 250_000 <= 100, "{before} bytes");
    index.reserve(100);
    assert_eq!(index.memory(), before);
}

fn records() -> impl proptest::strategy::Strategy<Value = Vec<Revocation>> {
    use proptest::prelude::*;
    let one = (any::<bool>(), any::<bool>(), 90_u64..110, 0_usize..4).prop_map(
        |(lifts, in_shadow, second, shape)| {
            let target = match shape {
                0 => target([("sub", "a")]),
                1 => target([("sub", "a"), ("azp", "x")]),
                2 => target([("client#ip", "203.0.113.0/24")]),
                _ => target([]),
            };
            let at = UnixMillis::from_seconds(second);
            let revoked = Revocation {
                occurred_at: at,
                issued_at_or_before: Some(at),
                ..revocation(target.clone())
            };
            let record = if lifts {
                lift_at(target, second)
            } else {
                revoked
            };
            let source = if in_shadow { "shadow/test" } else { "test" };
            Revocation {
                source: source.to_owned(),
                ..record
            }
        },
    );
    prop::collection::vec(one, 0..8)
}

fn index_of<'a>(records: impl Iterator<Item = &'a Revocation>) -> Index {
    let index = index();
    records.for_each(|record| apply(&index, record));
    index
}

proptest::proptest! {
    /// Whatever is in shadow, a token is refused as if it were not there, and what is in shadow is found as if nothing
    /// else were there.
    #[test]
    fn what_is_in_shadow_refuses_nothing_and_weakens_nothing(
        records in records(), issued_at in 85_u64..115,
    ) {
        let token = token(issued_at, json!({"sub": "a", "azp": "x"}));
        let enforced = index_of(records.iter().filter(|record| !record.is_in_shadow()));
        let in_shadow = index_of(records.iter().filter(|record| record.is_in_shadow()));
        let both = index_of(records.iter());
        for address in [None, Some("203.0.113.7"), Some("203.0.114.7")] {
            let refuses = |index: &Index| {
                let found = index.look_up_from(&token, || address.map(|text| text.parse().unwrap()));
                found.map(|found| found.enforced.is_some()).ok()
            };
            proptest::prop_assert_eq!(refuses(&both), refuses(&enforced));
            proptest::prop_assert_eq!(refuses(&in_shadow), Some(false));
        }
        let found = both.look_up(&token);
        proptest::prop_assert_eq!(found.enforced.is_some(), enforced.is_revoked(&token));
        if found.enforced.is_none() {
            let would = in_shadow.look_up(&token).in_shadow;
            proptest::prop_assert_eq!(found.in_shadow.is_some(), would.is_some());
        }
        proptest::prop_assert!(!in_shadow.is_revoked(&token));
    }
}

/// Such a token is refused where it cannot be looked up. Where nothing refuses, there is nothing to miss.
#[test]
fn a_token_with_too_many_values_is_not_refused_by_what_is_in_shadow() {
    let values: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    let many = token(1, json!({"sub": values, "azp": values, "sid": values}));
    let shape = target([("sub", "a"), ("azp", "b"), ("sid", "c")]);
    let mut record = revocation(shape);
    record.source = "shadow/test".to_owned();
    let index = index();
    apply(&index, &record);
    assert!(!index.is_revoked(&many));
    assert!(index.look_up(&many).in_shadow.is_some());
    record.source = "test".to_owned();
    apply(&index, &record);
    assert!(index.is_revoked(&many));
}

#[test]
fn what_is_remembered_for_longer_is_forgotten_later_for_that_issuer_alone() {
    let index = index();
    let ends = UnixMillis::from_seconds(200);
    let own = revocation(target([("sub", "a")]));
    let mut other = own.clone();
    other.target.issuer = "https://other.example.com".to_owned();
    for record in [&own, &other] {
        index.apply(record, ends).unwrap();
    }
    let hour = Duration::from_hours(1);
    index.remember_longer(|issuer| (issuer == ISSUER).then_some(hour));
    let swept_at = |second| {
        index
            .sweep(UnixMillis::from_seconds(second), SHARDS)
            .forgotten
    };
    assert_eq!([swept_at(201), total(&index)], [1, 1]);
    assert!(index.is_revoked(&token(50, json!({ "sub": "a" }))));
    assert_eq!([swept_at(3800), swept_at(3801)], [0, 1]);
}
