//! Several Portcullis processes around one real engine: what one is told, all enforce, and each
//! knows when it does not know.

mod checker;
mod cut;
mod elections;
mod history;
mod lag;
mod moving;
mod operators;
mod outage;
mod redis;
mod site;
mod slow;
mod torn;
mod wire;

use site::{Replica, cluster, early_token, locked, on_nats};

use crate::support::Idp;

#[tokio::test]
async fn an_event_that_one_replica_took_is_refused_by_all() {
    let idp = Idp::start();
    let cluster = cluster();
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::start(&idp, on_nats(&cluster.urls(), 3)).await);
    }
    let bob = early_token(&idp, "bob");
    for replica in &replicas {
        replica.portcullis.ready().await;
        assert_eq!(replica.status(&bob).await, 200);
    }
    for (number, told) in replicas.iter().enumerate() {
        let subject = format!("alice-{number}");
        let alice = early_token(&idp, &subject);
        assert_eq!(told.status(&alice).await, 200);
        told.doors().insist(&locked(&subject)).await;
        assert_eq!(told.status(&alice).await, 401, "it took the event itself");
        for replica in &replicas {
            replica.says("another replica", &alice, 401).await;
            assert_eq!(replica.status(&bob).await, 200);
        }
    }
    // One that joins later knows all of it from its first answer on.
    let late = Replica::start(&idp, on_nats(&cluster.urls(), 3)).await;
    late.portcullis.ready().await;
    for number in 0..3 {
        let alice = early_token(&idp, &format!("alice-{number}"));
        assert_eq!(late.status(&alice).await, 401);
    }
    assert_eq!(late.status(&bob).await, 200);
}
