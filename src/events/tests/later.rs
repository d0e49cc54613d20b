use tokio_util::sync::CancellationToken;

use super::*;
use crate::core::kv::{KeyValueStore, Kind};
use crate::core::units::Span;
use crate::revocation::Action;

const REACTIVATE: &[u8] = include_bytes!("../formats/fusionauth/payloads/user.reactivate.json");

fn lifting_source() -> SourceConfig {
    let mut source = basic_source();
    let format = "{ fusionauth: { lift_grace: 30s, on: { user.reactivate: true } } }";
    let format = format!(
        "name: x\nformat: {format}\nissuer: x\nauth: {{ basic: {{ username: x, password: x }} }}"
    );
    source.format = serde_saphyr::from_str::<SourceConfig>(&format)
        .unwrap()
        .format;
    source
}

/// Lets the task of delayed lifts look around a few times.
async fn look(door: &Door, later: &Arc<Later>) -> usize {
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(later).run(shutdown.clone()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    shutdown.cancel();
    running.await.unwrap();
    door.recorded()
}

#[tokio::test]
async fn a_reactivation_takes_nothing_back_unless_it_is_switched_on() {
    let door = open_door();
    assert_eq!(door.status(request(REACTIVATE)).await, StatusCode::OK);
    door.counts("events_total{source=\"fusionauth\",result=\"ignored\"} 1");
    assert!(door.keep_is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lift_waits_for_its_time_and_survives_a_crash() {
    let door = door(
        &lifting_source(),
        ListenerConfig::default(),
        FakeRecord::default(),
    );
    for _delivery in 0..3 {
        assert_eq!(door.status(request(REACTIVATE)).await, StatusCode::OK);
    }
    assert_eq!(look(&door, &door.later).await, 0, "it is not due");
    // Nothing is left but what was kept.
    let open = || Later::open(door.keep.clone(), door.record.clone(), door.clock.clone());
    let after_a_crash = Arc::new(open());
    door.clock.advance(Duration::from_millis(29_999));
    assert_eq!(look(&door, &after_a_crash).await, 0);
    door.clock.advance(Duration::from_millis(1));
    assert_eq!(
        look(&door, &after_a_crash).await,
        1,
        "once, however often it came"
    );
    let lift = door.record.recorded.lock().unwrap()[0].clone();
    assert_eq!(lift.action, Action::Lift);
    let occurred_at = lift.occurred_at;
    assert!(
        occurred_at < door.clock.now().minus(Duration::from_secs(30)),
        "when it happened"
    );
    assert!(door.keep_is_empty(), "it is crossed off");
    assert_eq!(look(&door, &Arc::new(open())).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lift_that_cannot_be_recorded_goes_on_waiting() {
    let record = FakeRecord {
        answers: Mutex::new([AppendError::Unavailable("gone".to_owned())].into()),
        ..FakeRecord::default()
    };
    let door = door(&lifting_source(), ListenerConfig::default(), record);
    assert_eq!(door.status(request(REACTIVATE)).await, StatusCode::OK);
    door.clock.advance(Span::secs(30).0);
    assert_eq!(look(&door, &door.later).await, 1);
}

/// Two lifts that are due, of different users.
async fn two_due(answers: Vec<AppendError>) -> Door {
    let record = FakeRecord {
        answers: Mutex::new(answers.into()),
        ..FakeRecord::default()
    };
    let door = door(&lifting_source(), ListenerConfig::default(), record);
    let text = std::str::from_utf8(REACTIVATE).unwrap();
    let sent: Value = serde_json::from_str(text).unwrap();
    let user = sent["event"]["user"]["id"].as_str().unwrap();
    for body in [text.to_owned(), text.replace(user, "another-user")] {
        assert_eq!(door.status(request(body)).await, StatusCode::OK);
    }
    door.clock.advance(Span::secs(30).0);
    door
}

#[tokio::test]
async fn a_rejected_lift_is_given_up_and_the_next_one_takes_effect() {
    let door = two_due(vec![AppendError::Rejected("no such issuer".to_owned())]).await;
    door.later.record_due().await;
    assert_eq!(door.recorded(), 1);
    assert!(door.keep_is_empty(), "both are crossed off");
    door.later.record_due().await;
    assert_eq!(door.recorded(), 1);
}

#[tokio::test]
async fn one_failed_append_ends_the_round() {
    for error in [
        AppendError::Unavailable("gone".to_owned()),
        AppendError::Full("no room".to_owned()),
        AppendError::Unknown("lost".to_owned()),
    ] {
        let door = two_due(vec![error]).await;
        door.later.record_due().await;
        assert_eq!(*door.record.asked.lock().unwrap(), 1);
        assert_eq!(door.recorded(), 0);
        assert!(!door.keep_is_empty(), "both wait");
        door.later.record_due().await;
        assert_eq!(door.recorded(), 2);
        assert!(door.keep_is_empty());
    }
}

#[tokio::test]
async fn damaged_lifts_are_set_aside_and_lifts_go_on() {
    let door = door(
        &lifting_source(),
        ListenerConfig::default(),
        FakeRecord::default(),
    );
    for (name, damaged) in [("", &b"[{"[..]), ("2", b"{}")] {
        door.keep.save(Kind::Lifts, name, damaged).unwrap();
    }
    let open = || Later::open(door.keep.clone(), door.record.clone(), door.clock.clone());
    let draft = Draft {
        id: "a".to_owned(),
        target: crate::revocation::Target {
            issuer: ISSUER.to_owned(),
            matches: std::collections::BTreeMap::new(),
        },
        action: Action::Lift,
        issued_at_or_before: None,
        expires_at_or_before: None,
        occurred_at: door.clock.now(),
        source: "hooks".to_owned(),
        cause: "user.deactivate".to_owned(),
    };
    open().add(vec![draft], door.clock.now()).await.unwrap();
    open().record_due().await;
    assert_eq!(door.recorded(), 1);
    for (name, kept) in [("", &b"[{"[..]), ("2", b"{}"), ("3", b"[]")] {
        assert_eq!(door.keep.load(Kind::Lifts, name).unwrap().unwrap(), kept);
    }
}

impl Door {
    fn keep_is_empty(&self) -> bool {
        let kept = self.keep.load(Kind::Lifts, "").unwrap();
        kept.is_none_or(|kept| kept == b"[]")
    }
}
