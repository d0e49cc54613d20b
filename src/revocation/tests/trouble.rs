//! Trouble that is told while checks go on: clocks that disagree, a log that takes nothing.

use super::*;

async fn degraded(stage: &Stage, name: &str, is: bool) {
    let mut health = stage.readiness.watch();
    let told = health.wait_for(|health| health.degraded.contains_key(name) == is);
    told.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn disagreeing_clocks_and_an_unwritable_log_are_reported_and_recover() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(1).await;
    *stage.trouble.apart.lock().unwrap() = Some(-86_400_000);
    degraded(&stage, "clocks", true).await;
    stage.shows("revocations_clock_disagreement_seconds 86400.0");
    *stage.trouble.apart.lock().unwrap() = None;
    degraded(&stage, "clocks", false).await;
    stage.shows("revocations_clock_disagreement_seconds 0.0");
    stage.shows("revocations_writable 1");
    *stage.trouble.unwritable.lock().unwrap() = Some("may not publish".to_owned());
    degraded(&stage, "revocations_write", true).await;
    stage.shows("revocations_writable 0");
    assert!(
        matches!(stage.standing(), Standing::Clear(_)),
        "checks go on"
    );
    *stage.trouble.unwritable.lock().unwrap() = None;
    degraded(&stage, "revocations_write", false).await;
    stage.shows("revocations_writable 1");
}

#[tokio::test(start_paused = true)]
async fn what_is_live_is_not_forgotten_while_the_clock_is_a_day_ahead() {
    let mut stage = Stage::new(WhenStale::Allow);
    let record = record("sub");
    let forget_after = stage.writer.retention.forget_after(&record);
    stage.play(Feed::Records(vec![record].into(), at(1))).await;
    stage.in_sync(1).await;
    stage.clock.set(NOW.plus(Duration::from_hours(24)));
    degraded(&stage, "clocks", true).await;
    // Longer than a round of the sweep takes.
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(
        (stage.index.len(), stage.index.horizon()),
        (1, UnixMillis(0))
    );
    stage.clock.set(NOW);
    degraded(&stage, "clocks", false).await;
    stage
        .clock
        .advance(forget_after.since(NOW) + Duration::from_secs(2));
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(stage.index.len(), 0);
    assert!(stage.index.horizon() <= stage.clock.now());
}
