//! Bodies that are broken below the level of members.

use proptest::prelude::*;

use super::*;

#[test]
fn a_duplicate_member_is_refused_in_every_spelling() {
    let sound = r#""type":"user.deactivate","id":"1","createInstant":1505762615056"#;
    for (body, path) in [
        (
            format!(r#"{{"event":{{{sound},"user":{{"id":"a","id":"b"}}}}}}"#),
            "event.user.id",
        ),
        (
            format!(r#"{{"event":{{{sound},"user":{{"id":"a","\u0069d":"b"}}}}}}"#),
            "event.user.id",
        ),
        (
            format!(r#"{{"event":{{{sound},"user":{{"id":"a"}},"user":{{"id":"b"}}}}}}"#),
            "event.user",
        ),
        (
            format!(r#"{{"event":{{{sound},"type":"user.delete","user":{{"id":"a"}}}}}}"#),
            "event.type",
        ),
        (
            format!(r#"{{"event":{{{sound},"user":{{"id":"a"}}}},"\u0065vent":{{}}}}"#),
            "event",
        ),
    ] {
        let rejection = map(&config(), body.clone()).unwrap_err();
        assert_eq!(rejection.path, path, "{body}");
        assert!(
            rejection.message.contains("duplicate member"),
            "{rejection}"
        );
    }
}

#[test]
fn invalid_json_is_refused_with_line_and_column() {
    for (body, path) in [
        (&b""[..], ""),
        (b"null", "event.type"),
        (b"[]", ""),
        (b"{}", "event.type"),
        (b"\xef\xbb\xbf{}", ""),
        (b"{} {}", ""),
        (b"{\"event\":", "event"),
        (b"{\"event\":{\"type\":\"user.dea", "event.type"),
        (b"{\"event\":{\"type\":\"user.deactivate\"", "event"),
        (
            b"{\"event\":{\"type\":\"user.delete\",\"id\":\"\xff\"}}",
            "event.id",
        ),
        (
            b"{\"event\":{\"type\":\"user.delete\",\"id\":\"\\ud800\"}}",
            "event.id",
        ),
        (
            b"{\"event\":{\"type\":\"user.delete\",\"id\":\"1\",\"createInstant\":1e999}}",
            "event.createInstant",
        ),
        (b"{\"event\":{\"createInstant\":01}}", "event.createInstant"),
        (
            b"{\"event\":{\"createInstant\":NaN}}",
            "event.createInstant",
        ),
        (b"{'event':{}}", ""),
    ] {
        let text = String::from_utf8_lossy(body).into_owned();
        let rejection = map(&config(), body).unwrap_err();
        assert_eq!(rejection.path, path, "{text}: {rejection}");
    }
}

#[test]
fn deeply_nested_configuration_is_refused() {
    for place in [
        "id",
        "createInstant",
        "user",
        "members",
        "applicationTimeToLiveInSeconds",
    ] {
        for (open, close) in [("[", "]"), ("{\"id\":", "}")] {
            let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
            let body = format!("{{\"event\":{{\"type\":\"user.delete\",\"{place}\":{deep}}}}}");
            let rejection = map(&config(), body).unwrap_err();
            assert!(rejection.path.starts_with("event."), "{rejection:.80}");
        }
    }
}

/// People may edit their own custom data. Nothing in it may keep them from being locked out.
#[test]
fn nobody_can_spoil_the_event_that_locks_them_out() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for data in [
        "1e999",
        "-0.0e-9999",
        r#""\ud800""#,
        r#"{"a":1,"a":2}"#,
        &deep,
        "[{}]",
    ] {
        let user = format!(r#"{{"data":{data},"id":"{USER}","active":false}}"#);
        let body = format!(
            r#"{{"event":{{"type":"user.deactivate","id":"1","createInstant":{CREATED},"user":{user},"info":{data}}}}}"#
        );
        let outcome = map(&config(), body).unwrap();
        assert_eq!(
            lines(outcome),
            ["revoke sub=dfdbae16 iat+0 exp- user.deactivate"]
        );
    }
}

proptest! {
    /// A sound payload with some bytes replaced or cut off: never a panic, and never a record for
    /// another issuer or without a target.
    #[test]
    fn corrupted_bodies_are_read_or_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut body = payload("jwt.refresh-token.revoke.one-token");
        for (place, byte) in edits {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        if let Ok(outcome) = map(&config(), body) {
            for draft in drafts(outcome) {
                prop_assert_eq!(&draft.target.issuer, ORIGIN.issuer);
                prop_assert!(!draft.target.matches.is_empty());
            }
        }
    }
}
