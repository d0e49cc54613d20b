//! Tells access tokens from ID tokens, logout tokens and other kinds that the same keys sign
//! (RFC 8725 §3.11–3.12, RFC 9068 §4).

use super::super::claims::ClaimPath;
use super::super::claims::Requirement;
use super::super::json::{Json, Object};
use super::super::jws::same_type;
use super::{Rules, Shown, at, optional};
use crate::core::reason::{Reason, Rejection};

/// Claims of ID tokens (OpenID Connect Core §3.3.2.11, FAPI 1 §5.1.1) and of security event tokens
/// (RFC 8417 §2.2), which include logout tokens.
const MARKS: [&str; 4] = ["at_hash", "c_hash", "s_hash", "events"];

impl Rules {
    pub(super) fn check_kind(
        &self,
        typ: Option<&str>,
        payload: &Object<'_>,
    ) -> Result<(), Rejection> {
        self.check_type(typ)?;
        if !self.config.allow_id_tokens
            && let Some(mark) = MARKS.iter().find(|mark| optional(payload, mark).is_some())
        {
            return Err(Rejection::found(
                Reason::WrongType,
                "an access token, without at_hash, c_hash, s_hash and events",
                mark,
            ));
        }
        self.form
            .forbid
            .iter()
            .try_for_each(|rule| forbid(rule, payload))?;
        self.form
            .require
            .iter()
            .try_for_each(|rule| require(rule, payload))
    }

    fn check_type(&self, typ: Option<&str>) -> Result<(), Rejection> {
        let types = &self.form.types;
        let wanted = match typ {
            None => self.form.allow_untyped,
            Some(typ) => types.iter().any(|listed| same_type(listed, typ)),
        };
        if wanted {
            return Ok(());
        }
        let or_none = if self.form.allow_untyped {
            " or none"
        } else {
            ""
        };
        let expected = format!("typ: {}{or_none}", types.join(" or "));
        let found = format!("typ: {}", typ.unwrap_or("absent"));
        Err(Rejection::found(Reason::WrongType, expected, found))
    }
}

fn require(rule: &Requirement, payload: &Object<'_>) -> Result<(), Rejection> {
    let Some(held) = value(&rule.claim, payload) else {
        return Err(Rejection::found(Reason::MissingClaim, rule, "absent"));
    };
    if rule.is.is_empty() || has_any(held, &rule.is) {
        return Ok(());
    }
    let found = format!("{} = {}", rule.claim, Shown(Some(held)));
    Err(Rejection::found(Reason::WrongType, rule, found))
}

fn forbid(rule: &Requirement, payload: &Object<'_>) -> Result<(), Rejection> {
    match value(&rule.claim, payload) {
        Some(held) if rule.is.is_empty() || has_any(held, &rule.is) => {
            let expected = format!("no {rule}");
            Err(Rejection::found(Reason::WrongType, expected, &rule.claim))
        }
        _ => Ok(()),
    }
}

fn value<'m, 'a>(claim: &ClaimPath, payload: &'m Object<'a>) -> Option<&'m Json<'a>> {
    claim.paths().find_map(|path| at(payload, path))
}

/// Returns whether the value, or an item of the array, is one of these, as text.
fn has_any(held: &Json<'_>, values: &[String]) -> bool {
    match held {
        Json::List(items) => items.iter().any(|item| {
            let is_scalar = !matches!(item, Json::List(_) | Json::Object(_) | Json::Null);
            is_scalar && has_any(item, values)
        }),
        Json::Object(_) | Json::Null => false,
        Json::Text(text) => values.iter().any(|value| value == text),
        scalar => {
            let text = Shown(Some(scalar)).to_string();
            values.contains(&text)
        }
    }
}
