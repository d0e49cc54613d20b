//! A replica is cut off from the engine while the others are not.

use serde_json::json;

use super::site::{Replica, cluster, early_token, locked, on_nats};
use super::wire::Flow;
use crate::support::Idp;

#[tokio::test]
async fn a_replica_that_is_cut_off_does_what_it_was_told_and_heals_without_a_gap() {
    let idp = Idp::start();
    let cluster = cluster();
    let mut store = on_nats(&cluster.urls(), 3);
    store["max_staleness"] = json!("3s");
    let open = Replica::start(&idp, store.clone()).await;
    let denying = Replica::start_behind_wires(&idp, &cluster, store.clone()).await;
    store["when_stale"] = json!("allow");
    let allowing = Replica::start_behind_wires(&idp, &cluster, store).await;
    let bob = early_token(&idp, "bob");
    for replica in [&open, &denying, &allowing] {
        replica.healthy().await;
        assert_eq!(replica.status(&bob).await, 200);
    }
    for (round, flow) in [Flow::Cut, Flow::Silent].into_iter().enumerate() {
        denying.wires().set(flow);
        allowing.wires().set(flow);
        let subjects: Vec<_> = (0..50).map(|user| format!("user-{round}-{user}")).collect();
        for subject in &subjects {
            open.doors().insist(&locked(subject)).await;
        }
        let last = early_token(&idp, &subjects[49]);
        assert_eq!(open.status(&last).await, 401);
        denying.says("past max_staleness", &bob, 503).await;
        denying
            .says("also what it never heard of", &last, 503)
            .await;
        assert_eq!(allowing.status(&last).await, 200, "{flow:?}: not cut off?");
        assert_eq!(open.status(&bob).await, 200, "the others go on");

        denying.wires().set(Flow::Open);
        allowing.wires().set(Flow::Open);
        for replica in [&denying, &allowing] {
            // The first answer after the cut is not given before everything is known.
            replica.says("nothing is missing", &last, 401).await;
            replica.healthy().await;
            for subject in &subjects {
                let token = early_token(&idp, subject);
                assert_eq!(replica.status(&token).await, 401, "{flow:?} {subject}");
            }
            replica.says("healed", &bob, 200).await;
        }
    }
}
