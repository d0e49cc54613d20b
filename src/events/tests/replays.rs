//! Events that come again, and senders that nobody knows yet.

use super::*;

#[tokio::test]
async fn a_repeated_event_is_acknowledged_and_recorded_once() {
    let door = open_door();
    for _delivery in 0..3 {
        assert_eq!(door.status(request(DEACTIVATE)).await, StatusCode::OK);
    }
    assert_eq!(door.recorded(), 1);
    door.counts("events_total{source=\"fusionauth\",result=\"accepted\"} 1");
    door.counts("events_total{source=\"fusionauth\",result=\"duplicate\"} 2");
    let text = String::from_utf8(DEACTIVATE.to_vec()).unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    let user = body["event"]["user"]["id"].as_str().unwrap();
    let (of_another_type, of_another_user) = (
        text.replace("user.deactivate", "user.delete"),
        text.replace(user, "another-user"),
    );
    for body in [of_another_type, of_another_user] {
        assert_eq!(door.status(request(body)).await, StatusCode::OK);
    }
    assert_eq!(door.recorded(), 3, "its id alone makes no duplicate");
}

#[tokio::test]
async fn an_event_that_comes_again_after_the_log_began_anew_is_recorded_again() {
    let door = open_door();
    assert_eq!(door.status(request(DEACTIVATE)).await, StatusCode::OK);
    door.record.history.fetch_add(1, Ordering::Relaxed);
    for _delivery in 0..2 {
        assert_eq!(door.status(request(DEACTIVATE)).await, StatusCode::OK);
    }
    assert_eq!(door.recorded(), 2, "the new history does not have it");
}

/// Whoever can send a form takes no place from senders that are known.
#[tokio::test]
async fn unauthenticated_senders_have_a_share_of_the_limit() {
    use super::provider::door_of;
    let config = serde_json::json!({
        "name": "logout",
        "format": { "oidc-backchannel-logout": { "clients": ["web"] } },
        "issuer": ISSUER,
    });
    let door = door_of(&config);
    let stalled = || {
        let never = futures_util::stream::pending::<Result<Bytes, String>>();
        Request::post("/events/logout")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from_stream(never))
            .unwrap()
    };
    let mut waiting = Vec::new();
    // A quarter of the 512 places.
    for _stranger in 0..128 {
        let router = service(door.current.clone(), axum::Router::new());
        let mut answer = Box::pin(router.oneshot(stalled()));
        assert!(futures_util::poll!(&mut answer).is_pending());
        waiting.push(answer);
    }
    tokio::task::yield_now().await;
    let response = door.send(stalled()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    door.counts("events_total{source=\"logout\",result=\"busy\"} 1");
}

#[tokio::test]
async fn a_polled_event_that_the_log_never_takes_is_not_asked_for_again() {
    let door = open_door();
    let receiver = door.current.load_full();
    let source = receiver.sources().next().unwrap();
    for (answer, comes_again) in [
        (AppendError::Rejected("no".to_owned()), false),
        (AppendError::Full("no room".to_owned()), true),
        (AppendError::Unknown("no answer".to_owned()), true),
    ] {
        door.record.answers.lock().unwrap().push_back(answer);
        let taken = receiver.take(source, Bytes::from_static(DEACTIVATE)).await;
        let failure = taken.unwrap_err();
        assert_eq!(failure.passes(), comes_again, "{failure:?}");
    }
    let taken = receiver.take(source, Bytes::from_static(DEACTIVATE)).await;
    assert!(taken.is_ok());
}
