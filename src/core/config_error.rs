//! What is wrong with a configuration, collected rather than thrown, so that an operator sees
//! everything at once.

use std::fmt;

/// One mistake and where it stands. The path is the field's place in the file, such as
/// `issuers[0].jwks.uri`; `config` turns it into a line number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub path: String,
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Collects errors below a place in the file.
#[derive(Debug, Default)]
pub struct ConfigErrors {
    place: String,
    found: Vec<ConfigError>,
}

impl ConfigErrors {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a mistake in `field` of the current place; an empty field means the place itself.
    pub fn push(&mut self, field: &str, message: impl Into<String>) {
        let path = self.join(field);
        self.found.push(ConfigError {
            path,
            message: message.into(),
        });
    }

    /// Runs `check` with `field` as the current place.
    pub fn within<T>(&mut self, field: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        let inner = self.join(field);
        let outer = std::mem::replace(&mut self.place, inner);
        let result = check(self);
        self.place = outer;
        result
    }

    /// Runs `check` on each item of the list `field`, with `field[i]` as the current place.
    pub fn each<T>(&mut self, field: &str, items: &[T], mut check: impl FnMut(&mut Self, &T)) {
        for (i, item) in items.iter().enumerate() {
            self.within(&format!("{field}[{i}]"), |errors| check(errors, item));
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    #[must_use]
    pub fn into_vec(self) -> Vec<ConfigError> {
        self.found
    }

    fn join(&self, field: &str) -> String {
        match (self.place.is_empty(), field.is_empty()) {
            (true, _) => field.to_owned(),
            (_, true) => self.place.clone(),
            _ => format!("{}.{field}", self.place),
        }
    }
}
