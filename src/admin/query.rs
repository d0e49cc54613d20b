//! Which revocations are asked for, and how parameters are read.

use super::refused::Refused;
use crate::revocation::Revocation;

/// The most results in one answer.
const MOST: usize = 1000;

/// How many revocations are wanted, and which.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) limit: usize,
    pub(super) filter: Filter,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        let (filter, limit) = Filter::parse(text, "limit")?;
        let limit = limit_of(limit)?;
        Ok(Self { limit, filter })
    }
}

/// Filters, all of which a revocation has to pass.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) issuer: Option<String>,
    pub(super) claim: Option<String>,
    pub(super) value: Option<String>,
    pub(super) source: Option<String>,
    pub(super) cause: Option<String>,
}

impl Filter {
    /// Reads the filters and one more parameter.
    pub(super) fn parse(text: &str, more: &str) -> Result<(Self, Option<String>), Refused> {
        let names = ["issuer", "claim", "value", "source", "cause", more];
        let [issuer, claim, value, source, cause, more] = parameters(text, names)?;
        let filter = Self {
            issuer,
            claim,
            value,
            source,
            cause,
        };
        Ok((filter, more))
    }

    pub(super) fn accepts(&self, record: &Revocation) -> bool {
        let is = |wanted: &Option<String>, text: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == text)
        };
        let wants_match = self.claim.is_some() || self.value.is_some();
        let mut matches = record.target.matches.iter();
        is(&self.issuer, &record.target.issuer)
            && is(&self.source, &record.source)
            && is(&self.cause, &record.cause)
            && (!wants_match
                || matches.any(|(claim, value)| is(&self.claim, claim) && is(&self.value, value)))
    }
}

/// Reads the parameters with these names. Any other name, or one that stands twice, is an error.
pub(super) fn parameters<const N: usize>(
    text: &str,
    names: [&str; N],
) -> Result<[Option<String>; N], Refused> {
    let mut values = [const { None }; N];
    for (name, given) in url::form_urlencoded::parse(text.as_bytes()) {
        let Some(place) = names.iter().position(|known| *known == name) else {
            let (name, known) = (name.chars().take(64).collect::<String>(), names.join(", "));
            let why = format!("unknown parameter {name:?}, expected one of {known}");
            return Err(Refused::bad_request(why));
        };
        if values[place].replace(given.into_owned()).is_some() {
            return Err(Refused::bad_request(format!("{name} stands twice")));
        }
    }
    Ok(values)
}

/// Reads how many results are wanted; 100 if nothing is said.
pub(super) fn limit_of(text: Option<String>) -> Result<usize, Refused> {
    let Some(text) = text else { return Ok(100) };
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| Refused::bad_request(format!("limit must be from 1 to {MOST}")))
}
