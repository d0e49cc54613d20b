//! The configuration changes while the follower runs.

use super::*;

const NEW: &str = "https://new.example.com";

fn issuer(name: &str, hours: u64) -> Issuer {
    Issuer {
        issuer: name.to_owned(),
        max_token_lifetime: Duration::from_hours(hours),
        leeway: Duration::from_mins(1),
    }
}

/// Asks for a changed configuration, and returns what the follower then asks the log to append.
async fn ask(
    stage: &mut Stage,
    issuer: Issuer,
) -> (
    tokio::task::JoinHandle<Result<(), String>>,
    Vec<Arc<Revocation>>,
) {
    let agree = stage.agree.clone();
    let current = provisional(&issuer);
    let asked = tokio::spawn(async move { agree.on(vec![(issuer, current)]).await });
    for position in 2.. {
        tokio::task::yield_now().await;
        stage.in_sync(position).await;
        if let Ok(batch) = stage.appended.try_recv() {
            return (asked, batch);
        }
    }
    unreachable!("it goes on until then")
}

fn terms(stage: &Stage, issuer: &str) -> Option<Duration> {
    let draft = draft(issuer, "sub");
    let terms = stage.writer.retention.terms(&draft.target.issuer);
    terms.map(|terms| terms.longest_life)
}

#[tokio::test(start_paused = true)]
async fn a_new_issuer_counts_once_the_log_has_its_bounds() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(1).await;
    let (asked, bounds) = ask(&mut stage, issuer(NEW, 2)).await;
    assert_eq!(bounds.len(), 1);
    assert_eq!(bounds[0].target.issuer, NEW);
    assert!(!asked.is_finished(), "the log has not said so yet");
    stage.play(Feed::Records(bounds.into(), at(1000))).await;
    assert_eq!(asked.await.unwrap(), Ok(()));
    assert_eq!(terms(&stage, NEW), Some(Duration::from_mins(121)));
    assert!(
        matches!(stage.standing(), Standing::Clear(_)),
        "it served on"
    );
}

#[tokio::test(start_paused = true)]
async fn without_the_log_nothing_changes() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(1).await;
    let before = terms(&stage, ISSUER);
    for wanted in [issuer(NEW, 2), issuer(ISSUER, 5)] {
        // The log never delivers what it was asked to append.
        let (asked, _) = ask(&mut stage, wanted).await;
        let why = asked.await.unwrap().unwrap_err();
        assert!(
            why.contains("the log of revocations cannot be reached"),
            "{why}"
        );
        // By the next tick.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(terms(&stage, NEW), None);
        assert_eq!(terms(&stage, ISSUER), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_raise_lengthens_what_the_index_holds_already() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(1).await;
    let revoked = Feed::Records(vec![record("sub")].into(), at(1));
    stage.play(revoked).await;
    let (asked, bounds) = ask(&mut stage, issuer(ISSUER, 5)).await;
    stage.play(Feed::Records(bounds.into(), at(1000))).await;
    assert_eq!(asked.await.unwrap(), Ok(()));
    // Beyond the hour that it was to be kept for.
    stage.clock.advance(Duration::from_hours(4));
    let whole = Duration::from_mins(2);
    tokio::time::sleep(whole).await;
    assert_eq!(stage.index.len(), 1, "it was swept");
    stage.clock.advance(Duration::from_hours(2));
    tokio::time::sleep(whole).await;
    assert_eq!(stage.index.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_learned_before_its_issuer_is_not_written_again() {
    use crate::core::lifetime::{Bounds, Change};
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(1).await;
    // Another replica has it already.
    let (minutes, leeway) = (Duration::from_mins(121), Duration::from_mins(1));
    let bounds = Bounds::new(minutes, leeway);
    let change = history::record(NEW, Change { at: NOW, bounds });
    stage.play(Feed::Records(vec![change].into(), at(2))).await;
    assert_eq!(terms(&stage, NEW), None, "it is not configured here");
    let agree = stage.agree.clone();
    let wanted = issuer(NEW, 2);
    let current = provisional(&wanted);
    let asked = tokio::spawn(async move { agree.on(vec![(wanted, current)]).await });
    let mut position = 3;
    while !asked.is_finished() {
        tokio::task::yield_now().await;
        stage.in_sync(position).await;
        position += 1;
    }
    assert_eq!(asked.await.unwrap(), Ok(()));
    assert!(stage.appended.try_recv().is_err(), "nothing was appended");
}
