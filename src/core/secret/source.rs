//! Where secrets come from, and secrets that follow their files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Encoding, Secret, gone};
use crate::core::config_error::ConfigErrors;
use crate::core::shorthand::{OneOrMany, TextOr};
use crate::core::stamp::Stamp;

/// A secret: the text itself, or where it stands. During a rotation a list of the new one and the
/// old one; each of them counts.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Sources(OneOrMany<Source>);

/// One secret.
pub type Source = TextOr<Secret, Elsewhere>;

impl Source {
    /// Reads the secret.
    ///
    /// # Errors
    /// When it is empty or cannot be read, for people.
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Text(secret) if secret.expose().is_empty() => Err("the secret is empty".into()),
            Self::Text(secret) => Ok(secret.clone()),
            Self::More(Elsewhere::File(path)) => Secret::from_file(path),
            Self::More(Elsewhere::Env(name)) => match std::env::var(name) {
                Ok(value) if !value.is_empty() => Ok(Secret::new(value)),
                _ => Err(format!(
                    "the environment variable {name} is empty or not set"
                )),
            },
        }
    }
}

/// Where a secret stands.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Elsewhere {
    /// A file that holds it; one line break at its end is dropped. It is read again when it
    /// changes. In a list, a missing or empty file retires its secret at once, unless it is the last
    /// one.
    File(PathBuf),
    /// An environment variable that holds it.
    Env(String),
}

/// The old and the new one, and one more for a rotation that was never finished.
const MOST: usize = 3;

impl Sources {
    /// Joins the fields `x` and `x_file`, of which exactly one is given. Nothing is read.
    ///
    /// # Errors
    /// When both or neither is given, or a secret is empty, for people.
    pub fn of(
        name: &str,
        given: Option<&Self>,
        file: Option<&PathBuf>,
    ) -> Result<Vec<Source>, String> {
        let sources = match (given, file) {
            (Some(_), Some(_)) => return Err(format!("give {name} or {name}_file, not both")),
            (None, None) => return Err(format!("{name} or {name}_file is missing")),
            (None, Some(path)) => vec![Source::More(Elsewhere::File(path.clone()))],
            (Some(given), None) => given.0.0.clone(),
        };
        if sources.len() > MOST {
            return Err(format!("give {name} at most {MOST} values"));
        }
        let is_empty =
            |source: &Source| matches!(source, Source::Text(secret) if secret.expose().is_empty());
        if sources.iter().any(is_empty) {
            return Err(format!("{name} is empty"));
        }
        Ok(sources)
    }

    /// Reports a pair of fields `x` and `x_file` of which not exactly one is given. Files are left
    /// unread: the configuration may be checked on another machine.
    pub fn check(
        name: &str,
        given: Option<&Self>,
        file: Option<&PathBuf>,
        errors: &mut ConfigErrors,
    ) {
        if let Err(message) = Self::of(name, given, file) {
            errors.conflict(name, message);
        }
    }

    /// Returns the secrets that stand in the configuration itself.
    pub fn inline(&self) -> impl Iterator<Item = &Secret> {
        self.0.0.iter().filter_map(|source| match source {
            Source::Text(secret) => Some(secret),
            Source::More(_) => None,
        })
    }
}

impl From<Secret> for Sources {
    fn from(secret: Secret) -> Self {
        Self(OneOrMany(vec![Source::Text(secret)]))
    }
}

/// Returns what is wrong with a secret once it is decoded, for people.
pub type Check = Box<dyn Fn(&Secret) -> Result<(), String> + Send + Sync>;

/// Returns the bytes of a secret as it was written, or what is wrong with it, for people.
pub type Decode = Box<dyn Fn(Secret) -> Result<Secret, String> + Send + Sync>;

/// Secrets in use, each of which counts. Every use looks at the files and reads those that changed.
///
/// A file that is missing or empty retires its secret at once, unless it is the last one: then the
/// secret stays, because a mistake must not lock the sender out. A file that fails its check, or
/// cannot be read, leaves the secret that was. A secret is decoded when it is read, not when it is used.
pub struct Live {
    secrets: Mutex<Vec<Watched>>,
    decode: Decode,
}

/// One secret and, if it came from a file, what was seen of the file.
#[derive(Default)]
struct Watched {
    file: Option<PathBuf>,
    stamp: Stamp,
    is_gone: bool,
    /// `None`: retired.
    secret: Option<Secret>,
}

impl Live {
    /// Reads the secrets. `check` judges each of them, now and whenever its file changes.
    ///
    /// # Errors
    /// When one cannot be read or fails the check, or all files are missing or empty, for people.
    pub fn read(sources: Vec<Source>, encoding: Encoding, check: Check) -> Result<Self, String> {
        let decode = move |written| {
            let secret = encoding.decode(written)?;
            check(&secret)?;
            Ok(secret)
        };
        Self::decoded(sources, Box::new(decode))
    }

    /// Does the same for secrets that are written in a way of their own.
    ///
    /// # Errors
    /// Those of [`Live::read`].
    pub fn decoded(sources: Vec<Source>, decode: Decode) -> Result<Self, String> {
        let live = Self {
            secrets: Mutex::default(),
            decode,
        };
        let mut secrets = Vec::new();
        let mut missing = None;
        for source in sources {
            let mut watched = Watched::default();
            match source {
                Source::More(Elsewhere::File(path)) => {
                    watched.stamp = Stamp::of(&path);
                    let read = Secret::read(&path)?;
                    watched.is_gone = read.is_none();
                    match read {
                        Some(secret) => watched.secret = Some((live.decode)(secret)?),
                        None => missing = Some(gone(&path)),
                    }
                    watched.file = Some(path);
                }
                fixed => watched.secret = Some((live.decode)(fixed.read()?)?),
            }
            secrets.push(watched);
        }
        if let Some(message) = missing {
            if secrets.iter().all(|watched| watched.secret.is_none()) {
                return Err(message);
            }
            tracing::warn!("{message}; the others of its list are used");
        }
        *live.lock() = secrets;
        Ok(live)
    }

    /// Returns the secrets of this moment, at least one.
    pub fn now(&self) -> Vec<Secret> {
        let mut secrets = self.lock();
        for watched in secrets.iter_mut() {
            self.look(watched);
        }
        // From the back: if all files are gone, the first secret of the list stays.
        for last in (0..secrets.len()).rev() {
            let in_use = secrets.iter().filter(|watched| watched.secret.is_some());
            let is_spare = in_use.count() > 1;
            let watched = &mut secrets[last];
            if is_spare && watched.is_gone && watched.secret.take().is_some() {
                let file = watched.file.as_deref().map(Path::display);
                tracing::info!(
                    file = file.map(tracing::field::display),
                    "a secret is retired"
                );
            }
        }
        let in_use = secrets.iter().filter_map(|watched| watched.secret.clone());
        in_use.collect()
    }

    /// Compares with each of them, in a time that depends on the lengths alone.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        let secrets = self.now();
        let all = secrets.iter();
        all.fold(false, |any, secret| any | secret.matches(presented))
    }

    /// Reads a file again if it changed.
    fn look(&self, watched: &mut Watched) {
        let Some(path) = &watched.file else { return };
        let seen = Stamp::of(path);
        if seen == watched.stamp {
            return;
        }
        watched.stamp = seen;
        let read = Secret::read(path).and_then(|read| read.map(&self.decode).transpose());
        watched.is_gone = matches!(read, Ok(None));
        match read {
            Ok(Some(secret)) => {
                watched.secret = Some(secret);
                tracing::info!(file = %path.display(), "a secret was read again");
            }
            Ok(None) => tracing::warn!("{}", gone(path)),
            Err(error) => tracing::warn!(
                file = %path.display(), error,
                "a changed secret cannot be used; the old one stays in use"
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(yaml: &str) -> Result<Live, String> {
        let sources: Sources = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        let sources = Sources::of("x", Some(&sources), None)?;
        Live::read(sources, Encoding::Plain, Box::new(|_| Ok(())))
    }

    fn replace(path: &Path, content: &str) {
        let next = path.with_extension("next");
        std::fs::write(&next, content).unwrap();
        std::fs::rename(next, path).unwrap();
    }

    #[test]
    fn a_secret_is_text_a_file_a_variable_or_a_list_of_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "from a file\n").unwrap();
        let file = format!("{{ file: {} }}", path.display());
        // One that is always set.
        let path_variable = std::env::var("PATH").unwrap();
        let all = live(&format!("[inline, {file}, {{ env: PATH }}]")).unwrap();
        for secret in ["inline", "from a file", &path_variable] {
            assert!(all.matches(secret.as_bytes()), "{secret}");
        }
        assert!(!all.matches(b"inlin") && !all.matches(b""));
        assert!(live("inline").unwrap().matches(b"inline"));
        assert!(live(&file).unwrap().matches(b"from a file"));
        for wrong in [
            "[]",
            "''",
            "[a, '']",
            "[a, b, c, d]",
            "{ file: /nowhere }",
            "{ env: PORTCULLIS_NO_SUCH_VARIABLE }",
            "{ path: /nowhere }",
        ] {
            assert!(live(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_followed_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "first").unwrap();
        let live = live(&format!("{{ file: {} }}", path.display())).unwrap();
        assert!(live.matches(b"first"));
        replace(&path, "second");
        assert!(live.matches(b"second") && !live.matches(b"first"));
        replace(&path, "");
        assert!(live.matches(b"second"), "an empty file is half written");
        std::fs::remove_file(&path).unwrap();
        assert!(live.matches(b"second"), "a file that is gone may come back");
        replace(&path, "third");
        assert!(live.matches(b"third") && !live.matches(b"second"));
        assert_eq!(format!("{live:?}"), "***");
    }

    #[test]
    fn a_missing_or_empty_file_retires_its_secret_if_another_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
        let list = format!(
            "[{{ file: {} }}, {{ file: {} }}]",
            first.display(),
            second.display()
        );
        replace(&first, "new");
        replace(&second, "leaked");
        let live = self::live(&list).unwrap();
        let counts = |new, leaked| {
            assert_eq!(live.matches(b"new"), new);
            assert_eq!(live.matches(b"leaked"), leaked);
        };
        counts(true, true);
        replace(&second, "\n");
        counts(true, false);
        std::fs::remove_file(&second).unwrap();
        counts(true, false);
        replace(&first, "");
        counts(true, false);
        replace(&second, "leaked");
        counts(false, true);
        std::fs::remove_file(&first).unwrap();
        std::fs::remove_file(&second).unwrap();
        counts(false, true);
        assert!(self::live(&list).is_err(), "nothing is left to start with");
        replace(&first, "new");
        counts(true, false);
        assert!(self::live(&list).unwrap().matches(b"new"));
    }

    #[test]
    fn a_secret_that_became_too_short_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "bG9uZw==").unwrap();
        let file = vec![Source::More(Elsewhere::File(path.clone()))];
        let read = |shortest: usize| {
            let check = move |secret: &Secret| {
                let is_long = secret.expose().len() >= shortest;
                is_long.then_some(()).ok_or_else(|| "too short".to_owned())
            };
            Live::read(file.clone(), Encoding::Base64, Box::new(check))
        };
        assert!(read(5).is_err());
        let live = read(4).unwrap();
        assert!(live.matches(b"long"));
        replace(&path, "bG9u");
        assert!(live.matches(b"long") && !live.matches(b"lon"));
    }
}
