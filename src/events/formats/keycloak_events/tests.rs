use serde_json::{Value, json};

use super::*;
use crate::core::clock::UnixMillis;
use crate::events::outcome::Effect;

const ORIGIN: Origin<'_> = Origin {
    source: "keycloak",
    issuer: "https://id.example.com/realms/acme",
};
const TIME: u64 = 1_795_794_410_961;

fn config(on: &Value) -> Config {
    let from = json!({ "endpoint": "https://id.example.com/admin/realms/acme" });
    let config = json!({ "from": from, "on": on });
    serde_saphyr::from_str(&config.to_string()).unwrap()
}

fn map(config: &Config, body: &Value) -> Result<Outcome, Rejection> {
    mapping::map(config, body.to_string().as_bytes(), ORIGIN)
}

/// An event as Keycloak 26.7 tells it, with what an administrator sent.
fn by_administrator(resource: &str, operation: &str, path: &str) -> Value {
    json!({
        "id": "715d1fd2-519e-43a1-8287-8e14151b87fb", "time": TIME, "realmId": "4fc112c6",
        "authDetails": { "realmId": "de8aecb9", "clientId": "af7509ce", "userId": "the-administrator",
                         "ipAddress": "127.0.0.1" },
        "operationType": operation, "resourceType": resource, "resourcePath": path,
    })
}

fn by_user(kind: &str) -> Value {
    json!({
        "id": "ae14de55-856f-49b6-874b-164a86ba7aa6", "time": TIME, "type": kind,
        "realmId": "4fc112c6", "clientId": "shop", "userId": "alice", "sessionId": "tcEJ8b489qi25hYU2jJ",
        "ipAddress": "127.0.0.1", "details": { "client_auth_method": "client-secret" },
    })
}

fn with(mut event: Value, member: &str, value: Value) -> Value {
    event[member] = value;
    event
}

/// An event, what it is called, and the claim of the tokens that it ends.
type Case = (Value, &'static str, &'static str);

fn done_by_administrators() -> Vec<Case> {
    let disabled = by_administrator("USER", "UPDATE", "users/alice");
    let disabled = with(disabled, "representation", json!("{\"enabled\":false}"));
    let user = |operation, path| by_administrator("USER", operation, path);
    vec![
        (disabled, "user.disable", "sub"),
        (user("DELETE", "users/alice"), "user.delete", "sub"),
        (user("ACTION", "users/alice/logout"), "user.logout", "sub"),
        (
            user("ACTION", "users/alice/reset-password"),
            "user.password.reset",
            "sub",
        ),
        (
            user("ACTION", "users/alice/credentials/949ae3c8"),
            "user.credential.remove",
            "sub",
        ),
        (
            user("ACTION", "users/alice/disable-credential-types"),
            "user.credential.remove",
            "sub",
        ),
        (
            user("ACTION", "users/alice/consents/shop"),
            "user.consent.revoke",
            "sub",
        ),
        (
            by_administrator(
                "REALM_ROLE_MAPPING",
                "DELETE",
                "users/alice/role-mappings/realm",
            ),
            "user.role.remove",
            "sub",
        ),
        (
            by_administrator(
                "CLIENT_ROLE_MAPPING",
                "DELETE",
                "users/alice/role-mappings/clients/c",
            ),
            "user.role.remove",
            "sub",
        ),
        (
            by_administrator("GROUP_MEMBERSHIP", "DELETE", "users/alice/groups/98c32b38"),
            "user.group.leave",
            "sub",
        ),
        (
            by_administrator("USER_SESSION", "DELETE", "sessions/tcEJ8b489qi25hYU2jJ"),
            "session.delete",
            "sid",
        ),
        (
            by_administrator("REALM", "ACTION", "logout-all"),
            "realm.logout",
            "",
        ),
    ]
}

fn done_by_users() -> Vec<Case> {
    let password = json!({ "credential_type": "password" });
    vec![
        (by_user("LOGOUT"), "LOGOUT", "sid"),
        (
            by_user("USER_SESSION_DELETED"),
            "USER_SESSION_DELETED",
            "sid",
        ),
        (by_user("REVOKE_GRANT"), "REVOKE_GRANT", "sid"),
        (
            with(by_user("REVOKE_GRANT"), "sessionId", Value::Null),
            "REVOKE_GRANT",
            "sub",
        ),
        (by_user("UPDATE_PASSWORD"), "UPDATE_PASSWORD", "sub"),
        (
            with(by_user("UPDATE_CREDENTIAL"), "details", password),
            "UPDATE_CREDENTIAL",
            "sub",
        ),
        (by_user("REMOVE_CREDENTIAL"), "REMOVE_CREDENTIAL", "sub"),
        (by_user("REMOVE_TOTP"), "REMOVE_TOTP", "sub"),
        (by_user("DELETE_ACCOUNT"), "DELETE_ACCOUNT", "sub"),
        (
            by_user("USER_DISABLED_BY_PERMANENT_LOCKOUT"),
            "USER_DISABLED_BY_PERMANENT_LOCKOUT",
            "sub",
        ),
    ]
}

#[test]
fn each_event_ends_the_tokens_of_whom_it_is_about_and_never_those_of_the_administrator() {
    let cases = done_by_administrators().into_iter().chain(done_by_users());
    for (event, kind, claim) in cases {
        let outcome = map(&config(&json!({})), &event).unwrap();
        let Effect::Record(drafts) = &outcome.effect else {
            panic!("{event}: {outcome:?}");
        };
        let [draft] = &drafts[..] else {
            panic!("{drafts:?}")
        };
        let value = match claim {
            "sub" => Some("alice"),
            "sid" => Some("tcEJ8b489qi25hYU2jJ"),
            _ => None,
        };
        let matches: Vec<_> = draft.target.matches.iter().collect();
        let expected = value.map(|value| (claim.to_owned(), value.to_owned()));
        let expected: Vec<_> = expected
            .iter()
            .map(|(claim, value)| (claim, value))
            .collect();
        assert_eq!(matches, expected, "{event}");
        let cut_off = Some(UnixMillis(TIME)).filter(|_| claim != "sid");
        assert_eq!(draft.issued_at_or_before, cut_off, "{event}");
        assert_eq!((&*draft.cause, &*outcome.event), (kind, kind), "{event}");
        assert_eq!(outcome.notice, None, "{event}");
    }
}

#[test]
fn what_ends_nothing_is_ignored() {
    let renamed = by_administrator("USER", "UPDATE", "users/alice");
    let renamed = with(
        renamed,
        "representation",
        json!("{\"firstName\":\"A\",\"enabled\":true}"),
    );
    let failed = by_administrator("USER", "DELETE", "users/alice");
    for (event, name) in [
        (renamed, "other"),
        (with(failed, "error", json!("not allowed")), "other"),
        (
            by_administrator(
                "REALM_ROLE_MAPPING",
                "CREATE",
                "users/alice/role-mappings/realm",
            ),
            "other",
        ),
        (
            by_administrator(
                "REALM_ROLE_MAPPING",
                "DELETE",
                "groups/g/role-mappings/realm",
            ),
            "other",
        ),
        (
            by_administrator("REALM", "ACTION", "push-revocation"),
            "other",
        ),
        (
            by_administrator("USER", "ACTION", "users/alice/credentials/c/moveToFirst"),
            "other",
        ),
        (by_administrator("USER", "DELETE", "groups/alice"), "other"),
        (by_user("LOGIN"), "other"),
        (by_user("LOGOUT_ERROR"), "other"),
        // The name of what an administrator did is no type of a user event.
        (by_user("user.delete"), "other"),
        (by_user("UPDATE_CREDENTIAL"), "other"),
        (
            by_user("USER_DISABLED_BY_TEMPORARY_LOCKOUT"),
            "USER_DISABLED_BY_TEMPORARY_LOCKOUT",
        ),
    ] {
        let outcome = map(&config(&json!({})), &event).unwrap();
        assert_eq!(
            (&*outcome.event, outcome.effect),
            (name, Effect::Nothing),
            "{event}"
        );
    }
    let off = config(&json!({ "LOGOUT": false, "user.role.remove": false }));
    let role = by_administrator(
        "CLIENT_ROLE_MAPPING",
        "DELETE",
        "users/alice/role-mappings/clients/c",
    );
    for event in [by_user("LOGOUT"), role] {
        assert_eq!(map(&off, &event).unwrap().effect, Effect::Nothing);
    }
}

#[test]
fn a_change_that_does_not_say_what_was_changed_counts_and_is_noted() {
    let event = by_administrator("USER", "UPDATE", "users/alice");
    let outcome = map(&config(&json!({})), &event).unwrap();
    assert!(matches!(outcome.effect, Effect::Record(_)));
    assert!(outcome.notice.unwrap().contains("Include representation"));
}

#[test]
fn an_event_without_what_it_needs_is_refused_by_name() {
    let update = |representation| {
        let event = by_administrator("USER", "UPDATE", "users/alice");
        with(event, "representation", representation)
    };
    for (event, path) in [
        (with(by_user("LOGOUT"), "id", Value::Null), "id"),
        (
            with(by_user("LOGOUT"), "time", json!(1_795_794_410)),
            "time",
        ),
        (with(by_user("LOGOUT"), "time", Value::Null), "time"),
        (
            with(by_user("UPDATE_PASSWORD"), "userId", Value::Null),
            "userId",
        ),
        (by_administrator("USER", "DELETE", "users/"), "resourcePath"),
        (
            with(
                by_administrator("USER", "DELETE", ""),
                "resourcePath",
                Value::Null,
            ),
            "resourcePath",
        ),
        (update(json!("[]")), "representation."),
        (
            update(json!("{\"enabled\":\"no\"}")),
            "representation.enabled",
        ),
        (update(json!(false)), "representation"),
        (json!([]), ""),
    ] {
        let rejection = map(&config(&json!({})), &event).unwrap_err();
        assert_eq!(rejection.path, path, "{event}: {rejection}");
    }
}
