//! The parts together.

mod agreement;
mod process;
mod stage;
mod trouble;

use std::collections::BTreeMap;

use super::log::{AppendError, Feed, Records};
use super::*;
pub(super) use process::Process;
use stage::{Stage, at};

pub(super) const ISSUER: &str = "https://id.example.com";
pub(super) const NOW: UnixMillis = UnixMillis::from_seconds(1_800_000_000);

fn draft(issuer: &str, claim: &str) -> Draft {
    Draft {
        id: "1".to_owned(),
        target: Target {
            issuer: issuer.to_owned(),
            matches: BTreeMap::from([(claim.to_owned(), "a".to_owned())]),
        },
        action: Action::Revoke,
        issued_at_or_before: Some(NOW),
        expires_at_or_before: None,
        occurred_at: NOW,
        source: "test".to_owned(),
        cause: "lock".to_owned(),
    }
}

fn record(claim: &str) -> Arc<Revocation> {
    let terms = Terms {
        longest_life: Duration::from_hours(1),
        leeway: Duration::ZERO,
        not_before: UnixMillis(0),
    };
    Arc::new(draft(ISSUER, claim).receive(NOW, &terms))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_clear_before_the_replay_is_over() {
    let mut stage = Stage::new(WhenStale::Deny);
    assert!(matches!(stage.standing(), Standing::NotReady));
    stage
        .play(Feed::Records(vec![record("other")].into(), at(1)))
        .await;
    assert!(matches!(stage.standing(), Standing::NotReady));
    assert!(!stage.readiness.state().is_ready());
    stage.in_sync(1).await;
    stage.readiness.reached().await;
    assert!(matches!(stage.standing(), Standing::Clear(_)));
}

/// Before that it might judge by bounds that no other replica will ever hear of.
#[tokio::test(start_paused = true)]
async fn nothing_is_judged_before_the_log_knows_of_our_bounds() {
    let mut stage = Stage::with(WhenStale::Deny, Duration::from_hours(2));
    stage.in_sync(0).await;
    let bounds = stage.appended.recv().await.unwrap();
    assert_eq!(bounds.len(), 1);
    assert!(matches!(stage.standing(), Standing::NotReady));
    stage.play(Feed::Records(bounds.into(), at(1))).await;
    stage.in_sync(2).await;
    assert!(matches!(stage.standing(), Standing::Clear(_)));

    // A log that is out of reach cannot be told, and what is known of it serves.
    let stage = Stage::with(WhenStale::Deny, Duration::from_hours(2));
    stage.feed.send(Feed::Restored(NOW)).await.unwrap();
    stage.readiness.reached().await;
    assert!(matches!(stage.standing(), Standing::Clear(_)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_feed_denies_and_what_is_revoked_stays_so() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(0).await;
    stage.clock.advance(Duration::from_secs(30));
    assert!(matches!(stage.standing(), Standing::Clear(_)));
    stage.clock.advance(Duration::from_millis(1));
    assert!(matches!(stage.standing(), Standing::Stale));
    stage
        .play(Feed::Records(vec![record("sub")].into(), at(1)))
        .await;
    assert!(matches!(stage.standing(), Standing::Revoked(_)));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_confirms_the_feed() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(0).await;
    stage.clock.advance(Duration::from_mins(1));
    assert!(matches!(stage.standing(), Standing::Stale));
    stage.in_sync(1).await;
    assert!(matches!(stage.standing(), Standing::Clear(_)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_dated_by_its_question() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(0).await;
    let asked = stage.clock.moment();
    stage.clock.advance(Duration::from_secs(31));
    stage.play(Feed::InSync(at(1), asked)).await;
    assert!(matches!(stage.standing(), Standing::Stale));
    stage.in_sync(2).await;
    // One that was asked before and answered after takes nothing back.
    stage.play(Feed::InSync(at(3), asked)).await;
    assert!(matches!(stage.standing(), Standing::Clear(_)));
}

#[tokio::test(start_paused = true)]
async fn what_was_restored_is_as_old_as_it_says_unless_the_clock_was_set_back() {
    let cases = [
        (NOW.minus(Duration::from_secs(30)), false),
        (NOW.minus(Duration::from_secs(31)), true),
        (NOW.plus(Duration::from_hours(1)), true),
    ];
    for (known, is_stale) in cases {
        let mut stage = Stage::new(WhenStale::Deny);
        stage.feed.send(Feed::Restored(known)).await.unwrap();
        stage
            .play(Feed::Records(vec![record("other")].into(), at(1)))
            .await;
        let standing = stage.standing();
        assert_eq!(matches!(standing, Standing::Stale), is_stale, "{known:?}");
        assert_eq!(matches!(standing, Standing::Clear(_)), !is_stale);
    }
}

/// Neither moves the monotonic clock: the process knows nothing of the time that passed.
#[tokio::test(start_paused = true)]
async fn a_feed_is_stale_after_a_suspend_and_after_a_restored_snapshot() {
    let suspend = |clock: &Clock| clock.advance(Duration::from_mins(1));
    let restore = |clock: &Clock| clock.set(NOW.plus(Duration::from_mins(1)));
    for gap in [suspend as fn(&Clock), restore] {
        let mut stage = Stage::new(WhenStale::Deny);
        stage.in_sync(0).await;
        let asked = stage.clock.moment();
        assert!(matches!(stage.standing(), Standing::Clear(_)));
        gap(&stage.clock);
        assert!(matches!(stage.standing(), Standing::Stale));
        // An answer that was under way during the gap tells nothing of what came in it.
        stage.play(Feed::InSync(at(1), asked)).await;
        assert!(matches!(stage.standing(), Standing::Stale));
        stage.in_sync(2).await;
        assert!(matches!(stage.standing(), Standing::Clear(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_feed_is_tolerated_where_that_is_configured() {
    let mut stage = Stage::new(WhenStale::Allow);
    stage.in_sync(0).await;
    stage.clock.advance(Duration::from_hours(1));
    assert!(matches!(stage.standing(), Standing::Clear(_)));
}

#[tokio::test(start_paused = true)]
async fn a_policy_decides_about_a_silent_feed_before_its_issuer() {
    let cases = [
        (WhenStale::Deny, WhenStale::Allow, true),
        (WhenStale::Allow, WhenStale::Deny, false),
    ];
    for (of_issuer, of_policy, passes) in cases {
        let mut stage = Stage::new(of_issuer);
        stage.in_sync(0).await;
        stage.clock.advance(Duration::from_mins(1));
        let standing = stage.standing_where(Some(of_policy));
        assert_eq!(matches!(standing, Standing::Clear(_)), passes);
        assert_eq!(matches!(standing, Standing::Stale), !passes);
        stage
            .play(Feed::Records(vec![record("sub")].into(), at(1)))
            .await;
        let standing = stage.standing_where(Some(of_policy));
        assert!(matches!(standing, Standing::Revoked(_)), "it is known");
    }
}

#[tokio::test(start_paused = true)]
async fn proxies_are_sent_elsewhere_only_while_everybody_is_refused() {
    for (when_stale, offered) in [(WhenStale::Deny, false), (WhenStale::Allow, true)] {
        let mut stage = Stage::new(when_stale);
        stage.in_sync(0).await;
        stage.readiness.reached().await;
        assert!(stage.readiness.state().is_ready());
        stage.clock.advance(Duration::from_secs(31));
        // The follower looks at the age every tenth of a second; time flies here.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(stage.readiness.state().is_ready(), offered);
        assert!(stage.readiness.knows(), "it still answers those who ask");
        stage.in_sync(1).await;
        assert!(stage.readiness.state().is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_by_another_log_drops_no_revocation() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage
        .play(Feed::Records(vec![record("sub")].into(), at(1)))
        .await;
    stage.in_sync(1).await;
    stage.feed.send(Feed::Lost("cut".to_owned())).await.unwrap();
    assert_eq!(stage.writer.history(), 0);
    stage.feed.send(Feed::Reset(at(0))).await.unwrap();
    stage.in_sync(5).await;
    assert_eq!(
        stage.writer.history(),
        1,
        "who remembers what was written forgets it"
    );
    assert!(matches!(stage.standing(), Standing::Revoked(_)));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_feed_is_an_error_and_shutdown_is_none() {
    let stage = Stage::new(WhenStale::Deny);
    drop(stage.feed);
    assert_eq!(
        stage.follower.await.unwrap(),
        Err("the tape broke".to_owned())
    );
    let stage = Stage::new(WhenStale::Deny);
    stage.shutdown.cancel();
    assert_eq!(stage.follower.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_not_configured_is_rejected() {
    let stage = Stage::new(WhenStale::Deny);
    let other = "https://other.example.com";
    let drafts = vec![draft(ISSUER, "sub"), draft(other, "sub")];
    let rejected = stage.writer.record(drafts).await;
    assert!(matches!(rejected, Err(AppendError::Rejected(_))));
}

#[tokio::test(start_paused = true)]
async fn too_many_shapes_and_too_long_records_are_rejected() {
    let mut stage = Stage::new(WhenStale::Deny);
    let crowd: Vec<_> = (0..128).map(|i| record(&format!("claim-{i}"))).collect();
    stage.play(Feed::Records(crowd.into(), at(1))).await;
    assert_eq!(stage.index.live().len(), 128);
    let known = stage.writer.record(vec![draft(ISSUER, "claim-5")]).await;
    assert_eq!(known, Ok(1));
    let one_more = stage.writer.record(vec![draft(ISSUER, "claim-128")]).await;
    assert!(matches!(one_more, Err(AppendError::Rejected(_))));
    let mut long = draft(ISSUER, "claim-5");
    long.id = "x".repeat(70_000);
    let long = stage.writer.record(vec![long]).await;
    assert!(matches!(long, Err(AppendError::Rejected(_))));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_waits_for_enforcement_but_not_for_ever() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(0).await;
    let before = tokio::time::Instant::now();
    // The log took it, but the feed is silent.
    let recorded = stage.writer.record(vec![draft(ISSUER, "sub")]).await;
    assert_eq!(recorded, Ok(1));
    let patience = super::Config::default().sync_timeout.0;
    assert_eq!(before.elapsed(), patience);
    let writer = stage.writer.clone();
    let sender = tokio::spawn(async move { writer.record(vec![draft(ISSUER, "sub")]).await });
    tokio::task::yield_now().await;
    assert!(!sender.is_finished());
    stage
        .play(Feed::Records(vec![record("sub")].into(), at(1)))
        .await;
    assert_eq!(sender.await.unwrap(), Ok(1));
    assert!(before.elapsed() < 2 * patience);
}

#[tokio::test(start_paused = true)]
async fn a_replay_reserves_room_for_live_records_only() {
    const SEEN: usize = 40_000;
    const TO_COME: usize = 960_000;
    let one_entry = vec![record("sub"); SEEN];
    let of_another = |number: usize| {
        let mut record = (*record("sub")).clone();
        record
            .target
            .matches
            .insert("sub".to_owned(), number.to_string());
        Arc::new(record)
    };
    let many_entries: Vec<_> = (0..SEEN).map(of_another).collect();
    for (records, room) in [
        (one_entry, 0..500_000),
        (many_entries, 40_000_000..100_000_000),
    ] {
        let mut stage = Stage::new(WhenStale::Deny);
        let mut records = Records::from(records);
        records.to_come = TO_COME;
        stage.play(Feed::Records(records, at(1))).await;
        let memory = stage.index.memory();
        assert!(room.contains(&memory), "{memory} bytes");
    }
}
