//! Where secrets come from, and secrets that follow their files.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Encoding, Secret};

/// A secret: the text itself, or where it stands. During a rotation a list of the new one and the
/// old one; each of them counts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Sources {
    One(Source),
    Several(Vec<Source>),
}

/// One secret.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Source {
    Inline(Secret),
    Elsewhere(Elsewhere),
}

/// Where a secret stands.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Elsewhere {
    /// A file that holds it; one line break at its end is dropped. It is read again when it
    /// changes.
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
            (None, Some(path)) => vec![Source::Elsewhere(Elsewhere::File(path.clone()))],
            (Some(Self::One(one)), None) => vec![one.clone()],
            (Some(Self::Several(several)), None) => several.clone(),
        };
        if !(1..=MOST).contains(&sources.len()) {
            return Err(format!("give {name} from one to {MOST} values"));
        }
        if sources.iter().any(Source::is_empty) {
            return Err(format!("{name} is empty"));
        }
        Ok(sources)
    }

    /// Returns the secrets that stand in the configuration itself.
    pub fn inline(&self) -> impl Iterator<Item = &Secret> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        };
        all.iter().filter_map(|source| match source {
            Source::Inline(secret) => Some(secret),
            Source::Elsewhere(_) => None,
        })
    }
}

impl From<Secret> for Sources {
    fn from(secret: Secret) -> Self {
        Self::One(Source::Inline(secret))
    }
}

impl Source {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Inline(secret) if secret.expose().is_empty())
    }
}

/// Secrets at hand, each of which counts. One from a file is read again when the file changes,
/// which is looked at with every use.
pub struct Live {
    secrets: Vec<Watched>,
    encoding: Encoding,
    shortest: usize,
}

enum Watched {
    Fixed(Secret),
    File(PathBuf, Mutex<(Stamp, Secret)>),
}

/// What differs between two versions of a file: device, inode, length, time of change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Live {
    /// Reads the secrets. Each must have `shortest` bytes once it is decoded.
    ///
    /// # Errors
    /// When one cannot be read or is too short, for people.
    pub fn read(sources: Vec<Source>, encoding: Encoding, shortest: usize) -> Result<Self, String> {
        let mut live = Self {
            secrets: Vec::new(),
            encoding,
            shortest,
        };
        for source in sources {
            let watched = match source {
                Source::Inline(secret) => Watched::Fixed(live.sound(secret)?),
                Source::Elsewhere(Elsewhere::Env(name)) => {
                    let value = std::env::var(&name).unwrap_or_default();
                    if value.is_empty() {
                        return Err(format!(
                            "the environment variable {name} is empty or not set"
                        ));
                    }
                    Watched::Fixed(live.sound(Secret::new(value))?)
                }
                Source::Elsewhere(Elsewhere::File(path)) => {
                    let stamp = stamp(&path);
                    let secret = live.sound(Secret::from_file(&path)?)?;
                    Watched::File(path, Mutex::new((stamp, secret)))
                }
            };
            live.secrets.push(watched);
        }
        Ok(live)
    }

    /// Returns the secrets of this moment.
    pub fn now(&self) -> impl Iterator<Item = Secret> {
        self.secrets.iter().map(|watched| match watched {
            Watched::Fixed(secret) => secret.clone(),
            Watched::File(path, held) => self.follow(path, held),
        })
    }

    /// Compares with each of them, in a time that depends on the lengths alone.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.now()
            .fold(false, |any, secret| any | secret.matches(presented))
    }

    /// A file that cannot be used leaves the secret that was: it may be half written.
    fn follow(&self, path: &PathBuf, held: &Mutex<(Stamp, Secret)>) -> Secret {
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = stamp(path);
        if seen != held.0 {
            held.0 = seen;
            match Secret::from_file(path).and_then(|secret| self.sound(secret)) {
                Ok(secret) => {
                    held.1 = secret;
                    tracing::info!(file = %path.display(), "a secret was read again");
                }
                Err(error) => tracing::warn!(error, "a changed secret is not used; the old one is"),
            }
        }
        held.1.clone()
    }

    fn sound(&self, written: Secret) -> Result<Secret, String> {
        let secret = self.encoding.decode(written)?;
        if secret.expose().len() < self.shortest {
            return Err(format!(
                "the secret is shorter than {} bytes, the length of the algorithm's hash",
                self.shortest
            ));
        }
        Ok(secret)
    }
}

fn stamp(path: &PathBuf) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((
        meta.dev(),
        meta.ino(),
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec(),
    ))
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn live(yaml: &str) -> Result<Live, String> {
        let sources: Sources = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        Live::read(Sources::of("x", Some(&sources), None)?, Encoding::Plain, 0)
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
    fn a_secret_that_became_too_short_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "bG9uZw==").unwrap();
        let file = vec![Source::Elsewhere(Elsewhere::File(path.clone()))];
        assert!(Live::read(file.clone(), Encoding::Base64, 5).is_err());
        let live = Live::read(file, Encoding::Base64, 4).unwrap();
        assert!(live.matches(b"long"));
        replace(&path, "bG9u");
        assert!(live.matches(b"long") && !live.matches(b"lon"));
    }
}
