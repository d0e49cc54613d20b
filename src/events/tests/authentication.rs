use super::*;

/// A body that must not be read.
fn untouchable() -> Body {
    let touched =
        futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, String>>> {
            panic!("the body was read before the sender was known")
        });
    Body::from_stream(touched)
}

fn header_source() -> SourceConfig {
    source(CredentialsConfig {
        basic: Some(basic()),
        header: Some(HeaderConfig {
            name: "X-Webhook-Secret".to_owned(),
            value: Some(Secret::new("s3cret value").into()),
            value_file: None,
        }),
        ..CredentialsConfig::default()
    })
}

#[tokio::test]
async fn strangers_are_refused_before_their_body_is_read() {
    let door = open_door();
    let right = authorization(PASSWORD);
    let encoded = right.strip_prefix("Basic ").unwrap();
    for wrong in [
        String::new(),
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic %%%".to_owned(),
        format!("Bearer {encoded}"),
        format!("Basic{encoded}"),
        format!("Basic {encoded}x"),
        format!("Basic {encoded},Basic {encoded}"),
        format!("Basic {}", STANDARD.encode("hooks")),
        format!("Basic {}", STANDARD.encode("hooks:")),
        format!("Basic {}", STANDARD.encode(format!("Hooks:{PASSWORD}"))),
        format!("Basic {}", STANDARD.encode(format!("hooks:{PASSWORD}\0"))),
        format!("Basic {}", STANDARD.encode(PASSWORD)),
        authorization(&PASSWORD[1..]),
        authorization(&PASSWORD.to_uppercase()),
        authorization(&format!("{PASSWORD} ")),
    ] {
        let request = Request::post("/events/fusionauth")
            .header("authorization", &wrong)
            .header("content-type", "application/json")
            .body(untouchable())
            .unwrap();
        let response = door.send(request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{wrong}");
        assert_eq!(
            response.headers()["www-authenticate"],
            "Basic realm=\"events\""
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
    let bare = Request::post("/events/fusionauth")
        .body(untouchable())
        .unwrap();
    assert_eq!(door.status(bare).await, StatusCode::UNAUTHORIZED);
    door.counts("events_total{source=\"fusionauth\",result=\"unauthenticated\"} 17");
    assert_eq!(door.recorded(), 0);
}

#[tokio::test]
async fn duplicate_credentials_are_refused() {
    let door = open_door();
    let mut twice = request(DEACTIVATE);
    let value = twice.headers()["authorization"].clone();
    twice.headers_mut().append("authorization", value);
    assert_eq!(door.status(twice).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn several_proofs_must_all_hold() {
    let door = door(
        &header_source(),
        ListenerConfig::default(),
        FakeRecord::default(),
    );
    for (password, secret, expected) in [
        (Some(PASSWORD), None, 401),
        (None, Some("s3cret value"), 401),
        (Some("wrong"), Some("s3cret value"), 401),
        (Some(PASSWORD), Some("S3cret value"), 401),
        (Some(PASSWORD), Some("s3cret value2"), 401),
        (Some(PASSWORD), Some(""), 401),
        (Some(PASSWORD), Some("s3cret value"), 200),
    ] {
        let mut builder =
            Request::post("/events/fusionauth").header("content-type", "application/json");
        if let Some(password) = password {
            builder = builder.header("authorization", authorization(password));
        }
        if let Some(secret) = secret {
            builder = builder.header("x-webhook-secret", secret);
        }
        let response = door
            .send(builder.body(Body::from(DEACTIVATE)).unwrap())
            .await;
        assert_eq!(response.status(), expected, "{password:?} {secret:?}");
    }
    assert_eq!(door.recorded(), 1);
}

#[tokio::test]
async fn the_scheme_is_compared_without_case() {
    let door = open_door();
    let mut lower = request(DEACTIVATE);
    let value = authorization(PASSWORD).replace("Basic ", "bAsIc   ");
    lower
        .headers_mut()
        .insert("authorization", value.parse().unwrap());
    assert_eq!(door.status(lower).await, StatusCode::OK);
}

#[tokio::test]
async fn nothing_but_the_configured_header_counts() {
    let auth = CredentialsConfig {
        header: header_source().auth.header,
        ..CredentialsConfig::default()
    };
    let door = door(
        &source(auth),
        ListenerConfig::default(),
        FakeRecord::default(),
    );
    assert_eq!(
        door.status(request(DEACTIVATE)).await,
        StatusCode::UNAUTHORIZED
    );
}

#[test]
fn secrets_do_not_show() {
    let door = open_door();
    let shown = format!("{:?} {:?}", door.current.load(), header_source());
    assert!(
        !shown.contains(PASSWORD) && !shown.contains("s3cret"),
        "{shown}"
    );
    let headers = request(DEACTIVATE).headers().clone();
    let delivery = Delivery::new(
        super::auth::Admitted::for_test(),
        headers,
        Bytes::from_static(DEACTIVATE),
        UnixMillis(0),
    );
    let shown = format!("{delivery:?}");
    assert!(
        !shown.contains("Basic") && !shown.contains("deactivate"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_header_value_that_cannot_be_sent_does_not_replace_a_good_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("value");
    let write = |value: &str| {
        let next = file.with_extension("next");
        std::fs::write(&next, value).unwrap();
        std::fs::rename(next, &file).unwrap();
    };
    write("first");
    let mut source = header_source();
    source.auth.basic = None;
    let header = source.auth.header.as_mut().unwrap();
    (header.value, header.value_file) = (None, Some(file.clone()));
    let door = door(&source, ListenerConfig::default(), FakeRecord::default());
    let status = async |value: &str| {
        let mut request = request(DEACTIVATE);
        let value = value.parse().unwrap();
        request.headers_mut().insert("x-webhook-secret", value);
        door.status(request).await
    };
    assert_eq!(status("first").await, StatusCode::OK);
    for unusable in ["two\nlines", " space", "bell\u{7}"] {
        write(unusable);
        assert_eq!(status("first").await, StatusCode::OK, "{unusable:?}");
    }
    write("second");
    assert_eq!(status("first").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status("second").await, StatusCode::OK);
}

#[tokio::test]
async fn secrets_come_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let mut source = basic_source();
    source.auth.basic = Some(BasicConfig {
        password: None,
        password_file: Some(file.clone()),
        ..basic()
    });
    let door = door(&source, ListenerConfig::default(), FakeRecord::default());
    assert_eq!(door.status(request(DEACTIVATE)).await, StatusCode::OK);
    std::fs::write(&file, "").unwrap();
    let error = Source::build(&source).unwrap_err();
    assert!(
        error.contains("event source fusionauth") && error.contains("missing or empty"),
        "{error}"
    );
}
