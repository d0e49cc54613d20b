//! Durations and sizes as the configuration writes them: `90s`, `1h 30m`, `16KiB`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A duration, written `500ms`, `30s`, `5m`, `1h 30m`, `2d`. A bare number is refused, because it
/// could mean seconds or milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(
    with = "String",
    inline,
    description = "",
    extend(
        "format" = "duration",
        "pattern" = r"^\s*([0-9]+\s*[A-Za-z]+\s*)+$",
        "examples" = ["500ms", "30s", "1h"]
    )
)]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|_| format!("{text:?} is not a duration; write it like 500ms, 30s or 1h 30m"))
    }
}

impl Span {
    #[must_use]
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

/// Writes days and smaller units, as in `366d` and `1h 30m`, because months differ in length.
impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const DAY: u64 = 24 * 3600;
        let days = self.0.as_secs() / DAY;
        let rest = self.0.saturating_sub(Duration::from_secs(days * DAY));
        if days == 0 {
            return humantime::format_duration(rest).fmt(f);
        }
        write!(f, "{days}d")?;
        if rest.is_zero() {
            return Ok(());
        }
        write!(f, " {}", humantime::format_duration(rest))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A size in bytes, written `512B`, `16KiB`, `64MiB`, `1GiB` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(
    with = "String",
    inline,
    description = "",
    extend(
        "pattern" = r"^\s*[0-9]+\s*(B|KiB|MiB|GiB)\s*$",
        "examples" = ["16KiB", "64MiB"]
    )
)]
pub struct Bytes(pub u64);

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
            .ok_or_else(|| format!("{text:?} is not a size; write it like 512B, 16KiB or 64MiB"))
    }
}

const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Bytes {
    #[must_use]
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    #[must_use]
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// Returns the size as a length in memory. Sizes beyond the address space saturate.
    #[must_use]
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (unit, factor) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
        let digits = text.strip_suffix(unit)?.trim_end();
        let count: u64 = digits.parse().ok()?;
        count.checked_mul(*factor).map(Self)
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = UNITS
            .iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = whole.unwrap_or(&UNITS[3]);
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back_as_written() {
        for text in ["0B", "1B", "1023B", "16KiB", "3MiB", "2GiB"] {
            assert_eq!(Bytes::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn invalid_sizes_are_refused() {
        for text in [
            "",
            "16",
            "KiB",
            "-1B",
            "1.5MiB",
            "16kb",
            "99999999999999999999B",
            "17179869184GiB",
        ] {
            assert_eq!(Bytes::parse(text), None, "{text}");
        }
    }

    #[test]
    fn durations_read_back_as_written() {
        for text in ["0s", "500ms", "1h 30m", "1d", "366d", "2d 1h 1m 1s"] {
            let span: Span = serde_json::from_str(&format!("{text:?}")).unwrap();
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn a_bare_number_is_not_a_duration() {
        let error = serde_json::from_str::<Span>("\"30\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("not a duration"), "{error}");
    }
}
