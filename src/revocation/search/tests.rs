//! What a search finds, held against a naive model and against the index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::core::readiness::Readiness;
use crate::revocation::{self, Draft, Issuer, Metrics, Parts, Standing, Target};

const NOW: UnixMillis = UnixMillis::from_seconds(1_800_000_000);
const ISSUERS: [&str; 2] = ["https://a.example.com", "https://b.example.com"];

fn open(directory: &tempfile::TempDir, clock: &Clock) -> Parts {
    let config = json!({ "store": { "embedded": { "path": directory.path() } } });
    let config: revocation::Config = serde_saphyr::from_str(&config.to_string()).unwrap();
    let issuers = ISSUERS.map(|issuer| Issuer {
        issuer: issuer.to_owned(),
        max_token_lifetime: Duration::from_hours(1),
        leeway: Duration::from_secs(30),
    });
    let metrics = Arc::new(Metrics::register(&mut Registry::default()));
    revocation::open(&config, &issuers, clock, &Readiness::default(), metrics).unwrap()
}

fn claims(issuer: &str, issued_at: u64, all: &serde_json::Value) -> Claims {
    Claims {
        issuer: issuer.into(),
        subject: None,
        client: None,
        token_id: None,
        issued_at: Some(issued_at),
        counts_as_issued_at: issued_at,
        expires_at: issued_at + 3600,
        all: all.as_object().unwrap().into(),
    }
}

/// A sender's clock is up to twenty seconds off, so lifts and revocations overtake each other.
fn draft() -> impl Strategy<Value = Draft> {
    let matches = prop_oneof![
        Just(BTreeMap::new()),
        "[ab]".prop_map(|sub| BTreeMap::from([("sub".to_owned(), sub)])),
        ("[ab]", "[xy]").prop_map(|(sub, role)| {
            BTreeMap::from([("sub".to_owned(), sub), ("roles".to_owned(), role)])
        }),
    ];
    let times = (0..40_u64, option::of(0..40_u64));
    let texts = (0..2_usize, "[12]", "[st]", "[cd]", any::<bool>());
    (matches, times, texts).prop_map(
        |(matches, (at, cut_off), (issuer, id, source, cause, is_lift))| Draft {
            id,
            target: Target {
                issuer: ISSUERS[issuer].to_owned(),
                matches,
            },
            action: if is_lift {
                Action::Lift
            } else {
                Action::Revoke
            },
            issued_at_or_before: cut_off.map(second).filter(|_| !is_lift),
            expires_at_or_before: None,
            occurred_at: second(at),
            source,
            cause,
        },
    )
}

/// From twenty seconds ago to twenty seconds ahead.
fn second(at: u64) -> UnixMillis {
    UnixMillis::from_seconds(NOW.seconds() - 20 + at)
}

/// Every revocation that no lift takes back.
fn model(records: &[Arc<Revocation>]) -> BTreeSet<String> {
    let takes_back = |lift: &Revocation, revoked: &Revocation| {
        lift.action == Action::Lift
            && lift.occurred_at >= revoked.occurred_at
            && (&lift.source, &lift.cause, &lift.target)
                == (&revoked.source, &revoked.cause, &revoked.target)
    };
    let revoked = records
        .iter()
        .filter(|record| record.action == Action::Revoke);
    let live = revoked.filter(|revoked| !records.iter().any(|lift| takes_back(lift, revoked)));
    live.map(|record| format!("{record:?}")).collect()
}

fn shown(results: &Results) -> BTreeSet<String> {
    let found = results.found.iter();
    found.map(|found| format!("{:?}", found.record)).collect()
}

async fn agrees(drafts: Vec<Draft>) {
    let directory = tempfile::tempdir().unwrap();
    let parts = open(&directory, &Clock::manual(NOW));
    let shutdown = CancellationToken::new();
    let follower = tokio::spawn(parts.follower.run(shutdown.clone()));
    let everything = claims(ISSUERS[0], NOW.seconds(), &json!({}));
    while matches!(parts.reader.standing(&everything), Standing::NotReady) {
        tokio::task::yield_now().await;
    }
    let mut records = Vec::new();
    for some in drafts.chunks(5) {
        records.append(&mut parts.writer.record_whole(some.to_vec()).await.unwrap());
        let all = parts.search.find(Scope::Live, 1000, |_| true).await;
        assert_eq!(shown(&all.unwrap()), model(&records));
        same_without_catalogue(&parts.search).await;
    }
    for (issuer, sub, roles) in [
        (0, json!("a"), json!(["x", "y"])),
        (0, json!("b"), json!("y")),
        (1, json!(["a", "b"]), json!([])),
        (1, json!("c"), json!("x")),
    ] {
        for issued_at in [0, 10, 20, 30, 41].map(|at| second(at).seconds()) {
            let all = json!({ "sub": sub, "roles": roles });
            let token = claims(ISSUERS[issuer], issued_at, &all);
            let is_revoked = matches!(parts.reader.standing(&token), Standing::Revoked(_));
            let refusing = parts
                .search
                .find(Scope::Live, 1000, that_refuse(token, None));
            let refusing = refusing.await.unwrap();
            assert_eq!(!refusing.found.is_empty(), is_revoked, "{refusing:?}");
        }
    }
    shutdown.cancel();
    follower.await.unwrap().unwrap();
}

/// The catalogue changes what a search costs and not what it finds.
async fn same_without_catalogue(search: &Search) {
    let slow = search.clone().with_catalogue(false);
    for scope in [Scope::Live, Scope::LiftedToo] {
        let all = slow.find(scope, 1000, |_| true).await.unwrap();
        assert_eq!(search.find(scope, 1000, |_| true).await.unwrap(), all);
        for limit in [1, 3] {
            let some = search.find(scope, limit, |_| true).await.unwrap();
            assert_eq!(some.found, all.found[..limit.min(all.found.len())]);
            assert_eq!(some.more, all.found.len() > limit);
        }
        for text in ["a", "b", "x", "1", "2", ISSUERS[0], "absent"] {
            let has = |record: &Revocation, name: &Name| match name {
                Name::Id(id) => record.id == *id,
                Name::Value(value) => record.target.matches.values().any(|own| own == value),
                Name::Whole(issuer) => {
                    record.target.matches.is_empty() && record.target.issuer == *issuer
                }
            };
            for kind in [Name::Id, Name::Value, Name::Whole] {
                let name = kind(text.to_owned());
                let wanted = name.clone();
                let expected = slow.find(scope, 1000, move |record| has(record, &wanted));
                let expected = expected.await.unwrap();
                let names = vec![name.clone(), Name::Id("absent".to_owned())];
                let wanted = name.clone();
                let found =
                    search.find_named(scope, 1000, names, move |record| has(record, &wanted));
                assert_eq!(found.await.unwrap(), expected, "{name:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn what_is_live_is_what_the_model_and_the_index_say(drafts in vec(draft(), 1..24)) {
        tokio::runtime::Runtime::new().unwrap().block_on(agrees(drafts));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_come_first_up_to_the_limit_and_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let parts = open(&directory, &clock);
    let shutdown = CancellationToken::new();
    let follower = tokio::spawn(parts.follower.run(shutdown.clone()));
    let everything = claims(ISSUERS[0], NOW.seconds(), &json!({}));
    while matches!(parts.reader.standing(&everything), Standing::NotReady) {
        tokio::task::yield_now().await;
    }
    let revocation = |id: usize| Draft {
        id: id.to_string(),
        target: Target {
            issuer: ISSUERS[0].to_owned(),
            matches: BTreeMap::from([("sub".to_owned(), id.to_string())]),
        },
        action: Action::Revoke,
        issued_at_or_before: Some(NOW),
        expires_at_or_before: None,
        occurred_at: NOW,
        source: "test".to_owned(),
        cause: "lock".to_owned(),
    };
    for id in [0, 1, 2, 1, 3, 0] {
        parts.writer.record(vec![revocation(id)]).await.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    let find = async |limit| {
        let results = parts.search.find(Scope::Live, limit, |_| true).await;
        let results = results.unwrap();
        let ids = results
            .found
            .into_iter()
            .map(|found| found.record.id.clone());
        (ids.collect::<Vec<_>>().join(","), results.more)
    };
    assert_eq!(find(10).await, ("3,2,1,0".to_owned(), false));
    same_without_catalogue(&parts.search).await;
    assert_eq!(find(4).await, ("3,2,1,0".to_owned(), false));
    assert!(find(2).await.1);
    // No token of theirs can be valid any more.
    clock.advance(Duration::from_hours(2));
    assert_eq!(find(10).await, (String::new(), false));
    same_without_catalogue(&parts.search).await;
    shutdown.cancel();
    follower.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_search_runs_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let parts = open(&directory, &Clock::manual(NOW));
    let place = Arc::clone(&parts.search.place).try_acquire_owned().unwrap();
    let other = parts.search.clone();
    let refused = other.find(Scope::Live, 1, |_| true).await;
    assert_eq!(refused, Err(SearchError::Busy));
    drop(place);
    assert!(other.find(Scope::Live, 1, |_| true).await.is_ok());
}
