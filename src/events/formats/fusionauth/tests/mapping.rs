use super::*;

/// Every recorded payload, the type that it counts as, and what it comes to.
const EXPECTED: &[(&str, &str, &[&str])] = &[
    (
        "jwt.refresh-token.revoke.one-token",
        "jwt.refresh-token.revoke",
        &[
            "revoke applicationId|aud=21a8893c sub=dfdbae16 iat+0 exp+600000 jwt.refresh-token.revoke",
        ],
    ),
    (
        "jwt.refresh-token.revoke.single-sign-on-token",
        "jwt.refresh-token.revoke",
        &[
            "revoke applicationId|aud=21a8893c sub=dfdbae16 iat+0 exp+600000 jwt.refresh-token.revoke",
            "revoke applicationId|aud=9f2c1f6e sub=dfdbae16 iat+0 exp+1200000 jwt.refresh-token.revoke",
        ],
    ),
    (
        "jwt.refresh-token.revoke.user-in-application",
        "jwt.refresh-token.revoke",
        &[
            "revoke applicationId|aud=21a8893c sub=dfdbae16 iat+0 exp+600000 jwt.refresh-token.revoke",
        ],
    ),
    (
        "jwt.refresh-token.revoke.user-everywhere",
        "jwt.refresh-token.revoke",
        &[
            "revoke applicationId|aud=21a8893c sub=dfdbae16 iat+0 exp+600000 jwt.refresh-token.revoke",
            "revoke applicationId|aud=9f2c1f6e sub=dfdbae16 iat+0 exp+1200000 jwt.refresh-token.revoke",
            "revoke applicationId|aud=d23e7a10 sub=dfdbae16 iat+0 exp+3600000 jwt.refresh-token.revoke",
        ],
    ),
    (
        "jwt.refresh-token.revoke.everyone-in-application",
        "jwt.refresh-token.revoke",
        &["revoke applicationId|aud=21a8893c iat+0 exp+600000 jwt.refresh-token.revoke"],
    ),
    (
        "user.deactivate",
        "user.deactivate",
        &["revoke sub=dfdbae16 iat+0 exp- user.deactivate"],
    ),
    (
        "user.reactivate",
        "user.reactivate",
        &["lift sub=dfdbae16 iat- exp- user.deactivate"],
    ),
    (
        "user.delete",
        "user.delete",
        &["revoke sub=dfdbae16 iat+0 exp- user.delete"],
    ),
    (
        "user.delete.complete",
        "user.delete",
        &["revoke sub=dfdbae16 iat+0 exp- user.delete"],
    ),
    (
        "user.password.update",
        "user.password.update",
        &["revoke sub=dfdbae16 iat+0 exp- user.password.update"],
    ),
    (
        "user.password.reset.success",
        "user.password.reset.success",
        &["revoke sub=dfdbae16 iat+0 exp- user.password.reset.success"],
    ),
    (
        "user.two-factor.method.add",
        "user.two-factor.method.add",
        &["revoke sub=dfdbae16 iat+0 exp- user.two-factor.method.add"],
    ),
    (
        "user.two-factor.method.remove",
        "user.two-factor.method.remove",
        &["revoke sub=dfdbae16 iat+0 exp- user.two-factor.method.remove"],
    ),
    (
        "user.update.deactivated",
        "user.update",
        &["revoke sub=dfdbae16 iat+0 exp- user.deactivate"],
    ),
    (
        "user.update.complete.deactivated",
        "user.update",
        &["revoke sub=dfdbae16 iat+0 exp- user.deactivate"],
    ),
    ("user.update.renamed", "user.update", &[]),
    (
        "user.registration.delete",
        "user.registration.delete",
        &["revoke applicationId|aud=21a8893c sub=dfdbae16 iat+0 exp- user.registration.delete"],
    ),
    (
        "user.registration.delete.complete",
        "user.registration.delete",
        &["revoke applicationId|aud=21a8893c sub=dfdbae16 iat+0 exp- user.registration.delete"],
    ),
    (
        "user.registration.update.roles",
        "user.registration.update",
        &["revoke applicationId|aud=21a8893c sub=dfdbae16 iat+0 exp- user.registration.update"],
    ),
    (
        "user.registration.update.complete.roles",
        "user.registration.update",
        &["revoke applicationId|aud=21a8893c sub=dfdbae16 iat+0 exp- user.registration.update"],
    ),
    (
        "user.registration.update.data",
        "user.registration.update",
        &[],
    ),
    (
        "group.member.remove",
        "group.member.remove",
        &[
            "revoke sub=7b6c0c9a iat+0 exp- group.member.remove",
            "revoke sub=dfdbae16 iat+0 exp- group.member.remove",
        ],
    ),
    (
        "group.member.remove.complete",
        "group.member.remove",
        &[
            "revoke sub=7b6c0c9a iat+0 exp- group.member.remove",
            "revoke sub=dfdbae16 iat+0 exp- group.member.remove",
        ],
    ),
    (
        "user.action.start",
        "user.action",
        &["revoke applicationId|aud=21a8893c sub=dfdbae16 iat+0 exp- user.action"],
    ),
    (
        "user.action.start.as-in-sample",
        "user.action",
        &["revoke sub=dfdbae16 iat+0 exp- user.action"],
    ),
    ("user.action.end", "user.action", &[]),
    ("user.email.update", "user.email.update", &[]),
    ("user.login.suspicious", "user.login.suspicious", &[]),
    ("user.password.breach", "user.password.breach", &[]),
    (
        "user.identity-provider.unlink",
        "user.identity-provider.unlink",
        &[],
    ),
    ("user.identity.update", "user.identity.update", &[]),
    ("jwt.public-key.update", "jwt.public-key.update", &[]),
    ("test", "test", &[]),
    ("jwt.refresh", "other", &[]),
    ("user.create", "other", &[]),
];

#[test]
fn payloads_map_to_these_records() {
    for (name, event, expected) in EXPECTED {
        let outcome = map(&config(), payload(name)).unwrap();
        assert_eq!(outcome.event, *event, "{name}");
        assert_eq!(lines(outcome), *expected, "{name}");
    }
}

fn payload_files() -> Vec<std::path::PathBuf> {
    let here = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/events/formats/fusionauth/payloads"
    );
    let files = std::fs::read_dir(here).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn every_payload_is_in_the_table_above() {
    for path in payload_files() {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(EXPECTED.iter().any(|(name, ..)| *name == stem), "{stem}");
    }
}

#[test]
fn public_keys_are_fetched_again() {
    let outcome = map(&config(), payload("jwt.public-key.update")).unwrap();
    assert_eq!(outcome.effect, Effect::RefetchKeys);
}

#[test]
fn every_type_can_be_switched() {
    for kind in Kind::ALL {
        let name = format!("\"type\": \"{}\"", kind.as_str());
        let mut bodies = payload_files()
            .into_iter()
            .map(|path| std::fs::read_to_string(path).unwrap());
        let sample = bodies.find(|text| {
            text.contains(&name) && map(&all(true), text.clone()).unwrap().effect != Effect::Nothing
        });
        let sample = sample.unwrap_or_else(|| panic!("no payload of {kind:?} does anything"));
        assert_eq!(
            map(&all(false), sample).unwrap().effect,
            Effect::Nothing,
            "{kind:?}"
        );
    }
}

fn all(on: bool) -> Config {
    Config {
        on: Kind::ALL.into_iter().map(|kind| (kind, on)).collect(),
        ..config()
    }
}

#[test]
fn kinds_are_read_from_configuration_as_they_are_written() {
    for kind in Kind::ALL {
        let quoted = format!("{:?}", kind.as_str());
        assert_eq!(serde_json::from_str::<Kind>(&quoted).unwrap(), kind);
    }
    let unknown = serde_json::from_str::<Config>(r#"{"on": {"user.deactivated": true}}"#);
    let message = unknown.unwrap_err().to_string();
    assert!(message.contains("user.deactivated") && message.contains("`user.deactivate`"));
}

#[test]
fn ids_carry_the_source_and_count_up() {
    let outcome = map(
        &config(),
        payload("jwt.refresh-token.revoke.user-everywhere"),
    )
    .unwrap();
    let ids: Vec<_> = drafts(outcome).into_iter().map(|draft| draft.id).collect();
    let id = "hooks/e502168a-b469-45a1-af31-000000000004";
    assert_eq!(ids, [id.to_owned(), format!("{id}/1"), format!("{id}/2")]);
}

#[test]
fn a_second_delivery_makes_the_same_records() {
    let body = payload("jwt.refresh-token.revoke.user-everywhere");
    assert_eq!(map(&config(), body.clone()), map(&config(), body));
}

#[test]
fn grace_moves_both_cut_offs_but_not_the_event() {
    let config = Config {
        grace: Span::secs(3),
        ..config()
    };
    let outcome = map(&config, payload("jwt.refresh-token.revoke.one-token")).unwrap();
    let expected = "revoke applicationId|aud=21a8893c sub=dfdbae16 iat+3000 exp+603000 jwt.refresh-token.revoke";
    assert_eq!(lines(outcome), [expected]);
}

#[test]
fn session_scope_narrows_only_the_events_of_one_token() {
    let config = Config {
        session_scope: SessionScope::Session,
        ..config()
    };
    let one = map(&config, payload("jwt.refresh-token.revoke.one-token")).unwrap();
    assert_eq!(
        lines(one),
        ["revoke sid=c0f7b3a2 iat- exp- jwt.refresh-token.revoke"]
    );
    let user = map(
        &config,
        payload("jwt.refresh-token.revoke.user-in-application"),
    )
    .unwrap();
    assert!(lines(user)[0].starts_with("revoke applicationId|aud=21a8893c sub=dfdbae16"));
}

#[test]
fn an_event_that_names_no_application_reaches_the_whole_user() {
    for map_of_lives in [json!(null), json!({})] {
        let mut body = payload_value("jwt.refresh-token.revoke.user-everywhere");
        body["event"]["applicationTimeToLiveInSeconds"] = map_of_lives;
        let outcome = map_value(&config(), &body).unwrap();
        assert_eq!(
            lines(outcome),
            ["revoke sub=dfdbae16 iat+0 exp- jwt.refresh-token.revoke"]
        );
    }
}

#[test]
fn an_application_without_a_lifetime_uses_that_of_the_issuer() {
    for name in [
        "one-token",
        "user-in-application",
        "everyone-in-application",
    ] {
        let mut body = payload_value(&format!("jwt.refresh-token.revoke.{name}"));
        body["event"]["applicationTimeToLiveInSeconds"] = json!({ "another": 60 });
        let outcome = map_value(&config(), &body).unwrap();
        let lines = lines(outcome);
        assert!(
            lines.len() == 1 && lines[0].contains(" iat+0 exp- "),
            "{lines:?}"
        );
    }
}

#[test]
fn more_applications_than_can_be_told_apart_reach_the_whole_user() {
    let mut body = payload_value("jwt.refresh-token.revoke.user-everywhere");
    let lives = (0..=10_000).map(|n| (format!("application-{n}"), json!(60)));
    body["event"]["applicationTimeToLiveInSeconds"] = Value::Object(lives.collect());
    let outcome = map_value(&config(), &body).unwrap();
    assert_eq!(
        lines(outcome),
        ["revoke sub=dfdbae16 iat+0 exp- jwt.refresh-token.revoke"]
    );
}

#[test]
fn another_tenant_is_ignored_and_no_tenant_is_not() {
    let config = Config {
        tenant: Some("00000000-0000-0000-0000-000000000001".to_owned()),
        ..config()
    };
    let mut body = payload_value("user.deactivate");
    let ignored = map_value(&config, &body).unwrap();
    assert_eq!(
        (&*ignored.event, ignored.effect),
        ("user.deactivate", Effect::Nothing)
    );
    body["event"]["tenantId"] = Value::Null;
    assert_eq!(lines(map_value(&config, &body).unwrap()).len(), 1);
}

#[test]
fn members_that_an_update_leaves_out_count_as_changed() {
    let mut body = payload_value("user.update.deactivated");
    body["event"]["original"] = Value::Null;
    assert_eq!(lines(map_value(&config(), &body).unwrap()).len(), 1);
    body["event"]["original"] = json!({ "active": false });
    assert_eq!(lines(map_value(&config(), &body).unwrap()).len(), 0);
    let mut body = payload_value("user.registration.update.data");
    body["event"]["original"] = Value::Null;
    assert_eq!(lines(map_value(&config(), &body).unwrap()).len(), 1);
    body["event"]["original"] = json!({});
    assert_eq!(lines(map_value(&config(), &body).unwrap()).len(), 1);
}

#[test]
fn actions_that_are_not_configured_mean_nothing() {
    let body = payload("user.action.start");
    assert_eq!(
        map(&Config::default(), body).unwrap().effect,
        Effect::Nothing
    );
    let mut body = payload_value("user.action.start");
    body["event"]["actionId"] = json!("00000000-0000-0000-0000-000000000009");
    assert_eq!(map_value(&config(), &body).unwrap().effect, Effect::Nothing);
}

#[test]
fn contradictory_options_are_refused() {
    let mut errors = ConfigErrors::new();
    let config = Config {
        grace: Span::secs(301),
        user_actions: vec![],
        tenant: Some(String::new()),
        on: [(Kind::UserAction, true)].into(),
        ..config()
    };
    config.check(&mut errors);
    let paths: Vec<_> = errors
        .into_vec()
        .into_iter()
        .map(|problem| problem.path)
        .collect();
    assert_eq!(paths, ["grace", "tenant", "user_actions"]);
}
