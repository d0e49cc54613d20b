//! Mistakes in a configuration, collected so that an operator sees all of them at once.

use std::fmt;
use std::ops::RangeInclusive;

/// One mistake and the field that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field's path in the file, such as `issuers[0].jwks.uri`.
    pub path: String,
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Collects mistakes below the current path.
///
/// A configuration that was only read in part is checked too. Values that could not be read were
/// replaced by samples, and errors about those are dropped.
#[derive(Debug, Default)]
pub struct ConfigErrors {
    path: String,
    found: Vec<ConfigError>,
    replaced: Vec<String>,
}

impl ConfigErrors {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a collector for a configuration whose values at the paths `replaced` are samples.
    #[must_use]
    pub fn without(replaced: Vec<String>) -> Self {
        Self {
            replaced,
            ..Self::default()
        }
    }

    /// Adds a mistake in `field`, whatever the other fields hold. An empty field means the value at
    /// the current path.
    pub fn push(&mut self, field: &str, message: impl Into<String>) {
        let path = join(&self.path, field);
        if !self.is_replaced(&path) {
            let message = message.into();
            self.found.push(ConfigError { path, message });
        }
    }

    /// Adds a mistake in `field` that depends on other fields at the current path.
    pub fn conflict(&mut self, field: &str, message: impl Into<String>) {
        if !self.is_replaced(&self.path) {
            self.push(field, message);
        }
    }

    /// Returns whether the value at `path`, one inside it or one around it is a sample.
    #[must_use]
    pub fn is_replaced(&self, path: &str) -> bool {
        let mut replaced = self.replaced.iter();
        replaced.any(|sample| is_within(sample, path) || is_within(path, sample))
    }

    /// Reports `field` unless its value is within `bounds`.
    pub fn range<T: PartialOrd + fmt::Display + Copy>(
        &mut self,
        field: &str,
        value: T,
        bounds: RangeInclusive<T>,
    ) {
        if !bounds.contains(&value) {
            let (least, most) = bounds.into_inner();
            self.push(field, format!("must be between {least} and {most}"));
        }
    }

    /// Reports `field` unless `name` can stand in paths, metrics and records. Returns whether it can.
    pub fn name(&mut self, field: &str, name: &str) -> bool {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_allowed);
        if !is_name {
            self.push(field, "must have 1 to 64 characters of a-z, 0-9 and -");
        }
        is_name
    }

    /// Runs `check` with `field` added to the current path.
    pub fn within<T>(&mut self, field: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        let inner = join(&self.path, field);
        let outer = std::mem::replace(&mut self.path, inner);
        let result = check(self);
        self.path = outer;
        result
    }

    /// Runs `check` on each item of the list `field`, with `field[i]` added to the current path.
    pub fn each<T>(&mut self, field: &str, items: &[T], mut check: impl FnMut(&mut Self, &T)) {
        for (i, item) in items.iter().enumerate() {
            self.within(&format!("{field}[{i}]"), |errors| check(errors, item));
        }
    }

    /// Runs `build` and returns what it built, unless it reported a mistake.
    pub fn build<T>(&mut self, build: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.found.len();
        build(self).filter(|_| self.found.len() == before)
    }

    /// Builds each item of the list `field`, like [`Self::each`]. Returns `None` if any was not
    /// built.
    pub fn build_each<T, B>(
        &mut self,
        field: &str,
        items: &[T],
        build: impl Fn(&mut Self, &T) -> Option<B>,
    ) -> Option<Vec<B>> {
        let mut all = Vec::new();
        self.each(field, items, |errors, item| all.push(build(errors, item)));
        all.into_iter().collect()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns each mistake with its path, for people.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.found.iter().map(ToString::to_string).collect()
    }

    #[must_use]
    pub fn into_vec(self) -> Vec<ConfigError> {
        self.found
    }
}

fn join(path: &str, field: &str) -> String {
    match (path, field) {
        ("", _) => field.to_owned(),
        (_, "") => path.to_owned(),
        _ => format!("{path}.{field}"),
    }
}

/// Returns whether `path` is `around`, or the path of a value inside it.
#[must_use]
pub fn is_within(path: &str, around: &str) -> bool {
    let rest = path.strip_prefix(around);
    around.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Returns a key as a path shows it: odd ones in quotes, long ones cut, so that neither can garble
/// the output.
#[must_use]
pub fn shown_key(key: &str) -> String {
    const LONGEST: usize = 64;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:|@#".contains(c);
    if key.chars().count() > LONGEST {
        let start: String = key.chars().take(LONGEST).collect();
        format!("{start:?}…")
    } else if key.is_empty() || !key.chars().all(plain) {
        format!("{key:?}")
    } else {
        key.to_owned()
    }
}
