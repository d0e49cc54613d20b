//! What `GET /v1/revocations` asks for.

use super::refused::Refused;
use crate::revocation::Revocation;

/// The most revocations in one answer.
const MOST: usize = 1000;

/// Filters, all of which a revocation has to pass.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) limit: usize,
    issuer: Option<String>,
    claim: Option<String>,
    value: Option<String>,
    source: Option<String>,
    cause: Option<String>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        let mut query = Self {
            limit: 100,
            issuer: None,
            claim: None,
            value: None,
            source: None,
            cause: None,
        };
        let mut limit = None;
        for (name, given) in url::form_urlencoded::parse(text.as_bytes()) {
            let parameter = match &*name {
                "issuer" => &mut query.issuer,
                "claim" => &mut query.claim,
                "value" => &mut query.value,
                "source" => &mut query.source,
                "cause" => &mut query.cause,
                "limit" => &mut limit,
                _ => {
                    let name: String = name.chars().take(64).collect();
                    return Err(Refused::bad_request(format!(
                        "unknown parameter {name:?}, expected one of issuer, claim, value, source, \
                         cause, limit"
                    )));
                }
            };
            if parameter.replace(given.into_owned()).is_some() {
                return Err(Refused::bad_request(format!("{name} stands twice")));
            }
        }
        if let Some(limit) = limit {
            let number = limit.parse().ok();
            let number = number.filter(|number| (1..=MOST).contains(number));
            let why = || Refused::bad_request(format!("limit must be from 1 to {MOST}"));
            query.limit = number.ok_or_else(why)?;
        }
        Ok(query)
    }

    pub(super) fn filter(self) -> impl FnMut(&Revocation) -> bool + Send + 'static {
        let is = |wanted: &Option<String>, text: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == text)
        };
        move |record| {
            let wants_match = self.claim.is_some() || self.value.is_some();
            let mut matches = record.target.matches.iter();
            is(&self.issuer, &record.target.issuer)
                && is(&self.source, &record.source)
                && is(&self.cause, &record.cause)
                && (!wants_match
                    || matches
                        .any(|(claim, value)| is(&self.claim, claim) && is(&self.value, value)))
        }
    }
}
