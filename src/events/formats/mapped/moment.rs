//! When an event happened, by what stands in it.

use std::time::{Duration, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::path::Path;
use crate::core::clock::UnixMillis;

/// A time in the body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Where it stands.
    pub path: Path,
    /// How it is written.
    pub unit: Unit,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Seconds since the Unix epoch.
    S,
    /// Milliseconds since the Unix epoch.
    Ms,
    /// As text by RFC 3339.
    Rfc3339,
}

/// From 2001 to 2286: outside of these the unit is wrong.
const SENSIBLE: std::ops::Range<u64> = 1_000_000_000_000..10_000_000_000_000;

impl Unit {
    pub(in crate::events) const fn expected(self) -> &'static str {
        match self {
            Self::S => "a time in seconds since 1970",
            Self::Ms => "a time in milliseconds since 1970",
            Self::Rfc3339 => "a time by RFC 3339",
        }
    }

    /// Reads a time, or returns `None` if it is none in this unit.
    pub(in crate::events) fn read(self, text: &str) -> Option<UnixMillis> {
        let millis = match self {
            Self::S => {
                let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
                number(seconds)?.checked_mul(1000)? + fraction_millis(fraction)?
            }
            Self::Ms => number(text)?,
            Self::Rfc3339 => rfc3339(text)?,
        };
        SENSIBLE.contains(&millis).then_some(UnixMillis(millis))
    }
}

fn number(digits: &str) -> Option<u64> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// Returns the milliseconds of a decimal fraction, rounded down.
fn fraction_millis(digits: &str) -> Option<u64> {
    let padded = format!("{digits:0<3}");
    number(digits)?;
    number(padded.get(..3)?)
}

/// Reads a `date-time` of RFC 3339 §5.6.
fn rfc3339(text: &str) -> Option<u64> {
    let (local, rest) = text.split_at_checked(19)?;
    let is_separated = matches!(local.as_bytes()[10], b'T' | b't' | b' ');
    let (date, time) = (local.get(..10)?, local.get(11..)?);
    let local = humantime::parse_rfc3339(&format!("{date}T{time}Z")).ok();
    let local = local.filter(|_| is_separated)?;
    let millis = local.duration_since(UNIX_EPOCH).ok()?.as_millis();
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone);
    let fraction = match fraction.strip_prefix('.') {
        Some(digits) => fraction_millis(digits)?,
        None => fraction.is_empty().then_some(0)?,
    };
    let utc = u64::try_from(millis).ok()? + fraction;
    let (sign, offset) = zone.split_at(1);
    let offset = match (sign, offset) {
        ("Z" | "z", "") => 0,
        ("+" | "-", offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let is_short = hours.len() == 2 && minutes.len() == 2;
            number(hours).filter(|hours| is_short && *hours < 24)? * 60
                + number(minutes).filter(|minutes| *minutes < 60)?
        }
        _ => return None,
    };
    let offset = Duration::from_mins(offset);
    let utc = UnixMillis(utc);
    Some(
        if sign == "-" {
            utc.plus(offset)
        } else {
            utc.minus(offset)
        }
        .0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_configured_unit_only() {
        for (unit, text, millis) in [
            (Unit::S, "1700000000", Some(1_700_000_000_000)),
            (Unit::S, "1700000000.5", Some(1_700_000_000_500)),
            (Unit::S, "1700000000.123456", Some(1_700_000_000_123)),
            (Unit::S, "1700000000000", None),
            (Unit::S, "1700000000.", None),
            (Unit::S, "18446744073709551615", None),
            (Unit::Ms, "1700000000123", Some(1_700_000_000_123)),
            (Unit::Ms, "1700000000", None),
            (Unit::Ms, "1700000000123.5", None),
            (Unit::Ms, "-1700000000123", None),
            (Unit::Ms, "", None),
            (
                Unit::Rfc3339,
                "2023-11-14T22:13:20Z",
                Some(1_700_000_000_000),
            ),
            (
                Unit::Rfc3339,
                "2023-11-14t22:13:20.1234567z",
                Some(1_700_000_000_123),
            ),
            (
                Unit::Rfc3339,
                "2023-11-15 00:13:20+02:00",
                Some(1_700_000_000_000),
            ),
            (
                Unit::Rfc3339,
                "2023-11-14T16:43:20.5-05:30",
                Some(1_700_000_000_500),
            ),
            (Unit::Rfc3339, "2023-11-14T22:13:20", None),
            (Unit::Rfc3339, "2023-11-14T22:13:20.Z", None),
            (Unit::Rfc3339, "2023-11-14T22:13:20+2:00", None),
            (Unit::Rfc3339, "2023-11-14T22:13:20+25:00", None),
            (Unit::Rfc3339, "2023-11-14T22:13:20Z+01:00", None),
            (Unit::Rfc3339, "2023-02-30T22:13:20Z", None),
            (Unit::Rfc3339, "2023-11-14X22:13:20Z", None),
            (Unit::Rfc3339, "2023-11-14", None),
            (Unit::Rfc3339, "ääääääääääääääääää", None),
            (Unit::Rfc3339, "0001-01-01T00:00:00Z", None),
        ] {
            assert_eq!(unit.read(text), millis.map(UnixMillis), "{text}");
        }
    }
}
