//! What follows from a change, for operators.

use std::cmp::Ordering;
use std::time::Duration;

use serde_json::Value;

use crate::core::units::Span;

/// Settings that a door's kept answers depend on.
const TOLD: [&str; 3] = ["answer", "token", "policies[].answer"];

/// Returns whether the order of a list counts.
pub(super) fn has_order(pattern: &str) -> bool {
    matches!(pattern, "policies" | "token.sources")
}

/// Returns whether a path or a pattern is that of the setting, or of a part of it.
pub(super) fn is_within(path: &str, setting: &str) -> bool {
    let rest = path.strip_prefix(setting);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Returns what follows from a change of the setting at `pattern`, such as `issuers[].audiences[]`.
pub(super) fn of(pattern: &str, from: Option<&Value>, to: Option<&Value>) -> Option<&'static str> {
    if pattern.ends_with(".insecure") && is(to, true) {
        return Some("secrets or keys cross the network in the clear");
    }
    let whole = match (from, to) {
        (None, _) => added(pattern),
        (_, None) => removed(pattern),
        _ => None,
    };
    whole
        .or_else(|| issuer(pattern, from, to))
        .or_else(|| other(pattern, from, to))
}

fn is(value: Option<&Value>, truth: bool) -> bool {
    value == Some(&Value::Bool(truth))
}

fn is_in_shadow(value: Option<&Value>) -> bool {
    is(value, true) || is(value.and_then(|exception| exception.get("shadow")), true)
}

fn says(value: Option<&Value>, text: &str) -> bool {
    value.and_then(Value::as_str) == Some(text)
}

fn span(value: Option<&Value>) -> Option<Duration> {
    let text = value?.as_str()?.to_owned();
    Span::try_from(text).ok().map(|span| span.0)
}

/// Returns whether a duration becomes longer or shorter.
fn course(from: Option<&Value>, to: Option<&Value>) -> Option<Ordering> {
    Some(span(to)?.cmp(&span(from)?))
}

fn added(pattern: &str) -> Option<&'static str> {
    Some(match pattern {
        "issuers[]" => "tokens of this issuer are accepted",
        "issuers[].audiences[]" => "tokens for this audience are accepted",
        "issuers[].allowed_clients[]" => {
            "tokens of this client are accepted; without any entry, of all"
        }
        "policies[]" => "requests that it is the first to match need what it says",
        "bypass[]" => "these requests pass without a token",
        "events[]" => "its sender is answered",
        "admin.credentials[]" => "its holder may use the admin API",
        "oauth.clients[]" => "this client may revoke tokens or introspect them",
        _ => return None,
    })
}

fn removed(pattern: &str) -> Option<&'static str> {
    Some(match pattern {
        "issuers[]" => "its tokens get 401; its revocations are kept",
        "issuers[].audiences[]" => "tokens for this audience alone get 401",
        "issuers[].allowed_clients[]" => "tokens of this client get 401, unless no entry is left",
        "policies[]" => "its requests fall to later policies, or need a token and nothing more",
        "bypass[]" => "these requests need a token",
        "events[]" => "its sender gets 404; what it revoked stays revoked",
        "admin.credentials[]" => "its holder gets 401",
        "oauth.clients[]" => "this client gets 401",
        _ => return None,
    })
}

fn issuer(pattern: &str, from: Option<&Value>, to: Option<&Value>) -> Option<&'static str> {
    let setting = pattern.strip_prefix("issuers[].")?;
    Some(match (setting, course(from, to)) {
        ("max_token_lifetime", Some(Ordering::Greater)) => {
            "tokens that are issued from now on may live longer, with NATS or Redis those issued a minute from \
             now; revocations are kept longer"
        }
        ("max_token_lifetime", Some(Ordering::Less)) => {
            "tokens that live longer get 401 at once; revocations are kept until the old ones have expired"
        }
        ("leeway", Some(Ordering::Greater)) => {
            "expired tokens are accepted for longer, but none that had expired before"
        }
        ("leeway", Some(Ordering::Less)) => {
            "expired tokens, and those from the future, get 401 sooner"
        }
        ("any_audience", _) if is(to, true) => {
            "tokens that were made for other services are accepted"
        }
        ("any_audience", _) => "tokens for other audiences get 401",
        ("allow_id_tokens", _) if is(to, true) => "tokens that only say who logged in are accepted",
        ("bound_tokens", _) if says(to, "ignore") => {
            "a stolen token that is bound to a key is accepted"
        }
        (session, Some(Ordering::Greater)) if session.starts_with("session.") => {
            "users stay logged in for longer"
        }
        (session, Some(Ordering::Less)) if session.starts_with("session.") => {
            "users have to log in again sooner"
        }
        (session, _) if session.starts_with("session") && to.is_none() => {
            "sessions last as long as their tokens"
        }
        ("session" | "session.idle_timeout" | "session.max_age", _) => "users have to log in again",
        ("profile" | "types[]" | "allow_untyped", _) => "other kinds of tokens are accepted",
        ("algorithms[]", _) => "tokens with other signatures are accepted",
        (keys, _) if keys.starts_with("jwks") => {
            "the keys are fetched anew before anything changes"
        }
        (secret, _) if secret.starts_with("secret") && to.is_none() => {
            "tokens of a secret that is gone get 401"
        }
        _ => return None,
    })
}

fn other(pattern: &str, from: Option<&Value>, to: Option<&Value>) -> Option<&'static str> {
    Some(match (pattern, course(from, to)) {
        ("policies", _) => "the first policy that matches counts",
        ("policies[].token", _) if says(to, "none") => "its requests pass without a token",
        ("policies[].token", _) if says(to, "optional") => "its requests also pass without a token",
        ("revocations.issuers[]" | "revocations.issuers[].shadow", _) if is_in_shadow(to) => {
            "revoked tokens of this issuer pass; what would be refused is counted"
        }
        ("revocations.issuers[]" | "revocations.issuers[].shadow", _) if is_in_shadow(from) => {
            "revoked tokens of this issuer get 401"
        }
        ("policies[].shadow", _) if is(to, true) => {
            "it refuses nothing; what it would refuse is counted"
        }
        ("policies[].shadow", _) => "it refuses what it counted until now",
        (setting, _) if is_within(setting, "client_ip") => {
            "revocations of networks match another address of a request"
        }
        ("revocations.when_stale" | "revocations.issuers[].when_stale", _) if says(to, "allow") => {
            "while no news arrive, tokens pass that may have been revoked meanwhile"
        }
        ("revocations.when_stale" | "revocations.issuers[].when_stale", _) => {
            "while no news arrive, tokens get 503"
        }
        (
            "revocations.max_staleness" | "revocations.issuers[].max_staleness",
            Some(Ordering::Greater),
        ) => "a revocation may be missed for longer while no news arrive",
        (
            "revocations.max_staleness" | "revocations.issuers[].max_staleness",
            Some(Ordering::Less),
        ) => "when_stale applies sooner while no news arrive",
        (setting, _) if TOLD.iter().any(|told| is_within(setting, told)) => {
            "tokens are verified again at their next request"
        }
        _ => return None,
    })
}
