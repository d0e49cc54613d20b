use super::*;

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_durable() {
    let errors = [
        AppendError::Rejected("no".to_owned()),
        AppendError::Full("no room".to_owned()),
        AppendError::Unavailable("gone".to_owned()),
        AppendError::Unknown("lost".to_owned()),
    ];
    let record = FakeRecord {
        answers: Mutex::new(errors.into()),
        ..FakeRecord::default()
    };
    let door = door(&basic_source(), ListenerConfig::default(), record);
    for _ in 0..4 {
        let response = door.send(request(DEACTIVATE)).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
        let problem = json(response).await;
        let expected = "the event could not be made durable; send it again";
        assert_eq!(problem["detail"], expected);
    }
    assert_eq!(door.recorded(), 0);
    assert_eq!(door.status(request(DEACTIVATE)).await, StatusCode::OK);
    assert_eq!(door.recorded(), 1);
    door.counts("events_total{source=\"fusionauth\",result=\"unavailable\"} 4");
    door.counts("events_total{source=\"fusionauth\",result=\"accepted\"} 1");
    door.counts("event_revocations_total{source=\"fusionauth\"} 1");
    door.counts("events_by_type_total{source=\"fusionauth\",type=\"user.deactivate\"} 1");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_store_times_out() {
    let record = FakeRecord {
        hangs: true,
        ..FakeRecord::default()
    };
    let door = door(&basic_source(), ListenerConfig::default(), record);
    let status = door.status(request(DEACTIVATE)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_times_out() {
    let door = open_door();
    let stalled = Body::from_stream(futures_util::stream::pending::<Result<Bytes, String>>());
    let response = door.send(request(stalled)).await;
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(response.headers()["connection"], "close");
    door.counts("events_total{source=\"fusionauth\",result=\"slow\"} 1");
}

#[tokio::test]
async fn a_truncated_body_is_no_event() {
    let door = open_door();
    let chunks = [Ok(Bytes::from_static(b"{\"event\"")), Err("reset")];
    let broken = Body::from_stream(futures_util::stream::iter(chunks));
    assert_eq!(door.status(request(broken)).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn more_events_than_can_be_handled_are_sent_away_and_strangers_take_no_place() {
    let limits = ListenerConfig {
        max_in_flight: 1,
        ..ListenerConfig::default()
    };
    let release = Arc::new(Notify::new());
    let record = FakeRecord {
        waits: Some(Arc::clone(&release)),
        ..FakeRecord::default()
    };
    let door = door(&basic_source(), limits, record);
    let router = service(door.current.clone(), axum::Router::new());
    let mut first = boxed(router.oneshot(request(DEACTIVATE)));
    assert!(futures_util::poll!(&mut first).is_pending());
    while *door.record.asked.lock().unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let response = door.send(request(DEACTIVATE)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    door.counts("events_total{source=\"fusionauth\",result=\"busy\"} 1");
    let mut stranger = request(DEACTIVATE);
    stranger.headers_mut().remove("authorization");
    assert_eq!(door.status(stranger).await, StatusCode::UNAUTHORIZED);
    // A sender that hangs up gives its place back when its event is recorded, and not before.
    drop(first);
    door.counts("events_total{source=\"fusionauth\",result=\"sender_gone\"} 1");
    let response = door.send(request(DEACTIVATE)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(door.recorded(), 0);
    release.notify_one();
    while door.recorded() == 0 {
        tokio::task::yield_now().await;
    }
    release.notify_one();
    let text = std::str::from_utf8(DEACTIVATE).unwrap();
    let another = text.replace("user.deactivate", "user.delete");
    assert_eq!(door.status(request(another)).await, StatusCode::OK);
    assert_eq!(door.recorded(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_answer_comes_before_the_sender_gives_up_and_the_event_is_recorded_later() {
    let slow_source = || SourceConfig {
        record_timeout: Some(crate::core::units::Span::secs(20)),
        ..basic_source()
    };
    let slow_listener = || ListenerConfig {
        record_timeout: Some(crate::core::units::Span::secs(4)),
        ..ListenerConfig::default()
    };
    for (source, limits, expected) in [
        (basic_source(), ListenerConfig::default(), 1500),
        (basic_source(), slow_listener(), 4000),
        (slow_source(), slow_listener(), 20_000),
    ] {
        let release = Arc::new(Notify::new());
        let record = FakeRecord {
            waits: Some(Arc::clone(&release)),
            ..FakeRecord::default()
        };
        let door = door(&source, limits, record);
        // Virtual time, which moves only when everything waits.
        let asked = tokio::time::Instant::now();
        let status = door.status(request(DEACTIVATE)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(asked.elapsed(), Duration::from_millis(expected));
        let within = *door.record.within.lock().unwrap();
        assert_eq!(within, Some(Duration::from_millis(expected * 3 / 4)));
        release.notify_one();
        while door.recorded() == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn boxed<F: Future>(future: F) -> std::pin::Pin<Box<F>> {
    Box::pin(future)
}

#[tokio::test]
async fn bodies_past_the_limit_are_refused_announced_or_not() {
    let limits = ListenerConfig {
        body_limit: crate::core::units::Bytes::kib(4),
        ..ListenerConfig::default()
    };
    let door = door(&basic_source(), limits, FakeRecord::default());
    let mut announced = request(Body::empty());
    announced
        .headers_mut()
        .insert("content-length", 4097.into());
    let unannounced =
        futures_util::stream::repeat(Ok::<_, String>(Bytes::from_static(&[b' '; 100])));
    for large in [
        announced,
        request(vec![b' '; 4097]),
        request(Body::from_stream(unannounced)),
    ] {
        assert_eq!(door.status(large).await, StatusCode::PAYLOAD_TOO_LARGE);
    }
    door.counts("events_total{source=\"fusionauth\",result=\"too_large\"} 3");
    let mut padded = DEACTIVATE.to_vec();
    padded.resize(4096, b' ');
    assert_eq!(door.status(request(padded)).await, StatusCode::OK);
}

#[tokio::test]
async fn only_uncompressed_json_is_read() {
    let door = open_door();
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-type", "application/jsonx"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-type", ""),
        ("content-encoding", "gzip"),
    ] {
        let mut wrong = request(DEACTIVATE);
        wrong.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(
            door.status(wrong).await,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{name}: {value}"
        );
    }
    let mut absent = request(DEACTIVATE);
    absent.headers_mut().remove("content-type");
    assert_eq!(
        door.status(absent).await,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    let mut fine = request(DEACTIVATE);
    let value = "Application/JSON; charset=UTF-8".parse().unwrap();
    fine.headers_mut().insert("content-type", value);
    assert_eq!(door.status(fine).await, StatusCode::OK);
}

#[tokio::test]
async fn an_invalid_member_is_named_by_its_path() {
    let door = open_door();
    let text = String::from_utf8(DEACTIVATE.to_vec()).unwrap();
    let wrong = text.replace("1505762615056", "\"yesterday\"");
    let response = door.send(request(wrong)).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem = json(response).await;
    let expected = "event.createInstant: expected milliseconds since the epoch, found a string";
    assert_eq!(problem["detail"], expected);
    assert_eq!(problem["status"], 400);
    assert_eq!(problem["title"], "Bad Request");
    door.counts("events_total{source=\"fusionauth\",result=\"malformed\"} 1");
}

#[tokio::test]
async fn other_paths_and_methods_lead_nowhere_and_name_nothing() {
    let door = open_door();
    for path in [
        "/",
        "/events",
        "/events/",
        "/events/other",
        "/events/fusionauth/x",
        "/events/%ff",
        "/events/FusionAuth",
        "//events/fusionauth",
    ] {
        let mut request = request(DEACTIVATE);
        *request.uri_mut() = path.parse().unwrap();
        let response = door.send(request).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(!json(response).await.to_string().contains("fusionauth"));
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let mut request = request(DEACTIVATE);
        *request.method_mut() = method.parse().unwrap();
        let response = door.send(request).await;
        assert_eq!(
            response.status(),
            StatusCode::METHOD_NOT_ALLOWED,
            "{method}"
        );
        assert_eq!(response.headers()["allow"], "POST");
    }
    door.counts("events_total{source=\"\",result=\"unknown_source\"} 4");
    assert_eq!(door.recorded(), 0);
}

#[tokio::test]
async fn unknown_types_are_acknowledged_and_counted_without_their_name() {
    let door = open_door();
    let unknown = r#"{"event":{"type":"attacker.chosen.label"}}"#;
    let response = door.send(request(unknown)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    door.counts("events_total{source=\"fusionauth\",result=\"ignored\"} 1");
    door.counts("events_by_type_total{source=\"fusionauth\",type=\"other\"} 1");
    assert!(!door.metrics().contains("attacker"));
}

#[tokio::test]
async fn changed_keys_are_fetched_again() {
    let door = open_door();
    let body = include_bytes!("../formats/fusionauth/payloads/jwt.public-key.update.json");
    assert_eq!(door.status(request(&body[..])).await, StatusCode::OK);
    assert_eq!(*door.keys.refetched.lock().unwrap(), [ISSUER]);
}

#[tokio::test]
async fn a_new_receiver_takes_over_with_the_next_request() {
    let door = open_door();
    let router = service(door.current.clone(), axum::Router::new());
    let mut renamed = basic_source();
    renamed.name = "renamed".to_owned();
    let other = super::door(&renamed, ListenerConfig::default(), FakeRecord::default());
    door.current.store(other.current.load_full());
    let response = router.oneshot(request(DEACTIVATE)).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}
