//! The directory of a source: which users of tokens an event means that names an e-mail address, a phone
//! number or an id of the provider.
//!
//! It only ever adds revocations. Tokens that carry what the event names are refused in any case, so a
//! wrong entry refuses too much and lets nobody in.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Failure;
use super::outcome::{Effect, Rejection};
use crate::core::config_error::ConfigErrors;
use crate::revocation::{Action, Draft};
use crate::verify::claims::ClaimPath;

/// Finds the users of tokens whose events name something else, such as an e-mail address.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A JSON file with the users by claim and value: `{"email": {"alice@example.com": ["u1", "u2"]}}`.
    /// Case does not count. It is read again when it changes; replace it as a whole.
    pub file: PathBuf,
    /// The claim of access tokens that holds the users of the file.
    #[serde(default = "sub")]
    #[schemars(default = "sub")]
    pub claim: ClaimPath,
    /// What becomes of an event about somebody who is not in the file. Tokens that carry what it names
    /// are refused in any case.
    #[serde(default)]
    pub unknown: Unknown,
}

/// What becomes of an event about somebody who is not in the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// The sender is told that it failed, as its format wants to be told: 400 for most.
    #[default]
    Refuse,
    /// The sender gets 503, so that it tries again: for a file that follows the provider late.
    Retry,
    /// The sender is told that it succeeded, and the log says that it may have reached nobody.
    Accept,
}

fn sub() -> ClaimPath {
    ClaimPath::parse("sub").expect("it is the name of a claim")
}

impl Config {
    /// Reports what is wrong, with `directory` as the current place.
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.file.as_os_str().is_empty() {
            errors.push("file", "names no file");
        }
    }

    /// Reads the file.
    pub(super) fn build(&self) -> Result<Directory, String> {
        let directory = Directory {
            config: self.clone(),
            read: Mutex::new(None),
        };
        directory.users()?;
        Ok(directory)
    }
}

/// A directory with its file at hand.
#[derive(Debug)]
pub(super) struct Directory {
    config: Config,
    read: Mutex<Option<(Version, Arc<Users>)>>,
}

/// The users by claim and by value in lower case.
type Users = HashMap<String, HashMap<String, Entry>>;

/// A value as the file spells it, and its users. People are in it, so it is not for logs.
#[derive(Default)]
struct Entry {
    spellings: BTreeSet<String>,
    users: BTreeSet<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} users", self.users.len())
    }
}

/// Differs when the file was changed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version(u64, u64, i64, i64);

impl Version {
    fn of(file: &Metadata) -> Self {
        Self(file.ino(), file.len(), file.mtime(), file.mtime_nsec())
    }
}

/// Room for about half a million users.
const LONGEST_FILE: u64 = 64 << 20;

/// More users of one value are a mistake, and each becomes a record.
const MOST_USERS: usize = 256;

/// What is said of an event whose sender must not hear of a failure.
const MISSED: &str = "the directory does not know whom the event is about: only tokens that carry what it \
                      names are refused; add the user to directory.file";

/// Adds what an effect has to do for the users that its targets mean. Also returns what becomes of the
/// event once that is done: a failure or a notice if it is about somebody who is not in the directory.
///
/// # Errors
/// When the directory cannot be read now.
pub(super) async fn resolve(
    directory: Option<&Arc<Directory>>,
    effect: Effect,
) -> Result<(Effect, Result<Option<&'static str>, Failure>), Failure> {
    let Some(directory) = directory else {
        return Ok((effect, Ok(None)));
    };
    let resolved = directory.resolve(effect).await;
    let (effect, unknown) = resolved.map_err(Failure::Unavailable)?;
    let missed = match (unknown, directory.config.unknown) {
        (None, _) => Ok(None),
        (Some(_), Unknown::Accept) => Ok(Some(MISSED)),
        (Some(why), Unknown::Refuse) => Err(Failure::Unresolved(why)),
        (Some(why), Unknown::Retry) => Err(Failure::UnresolvedYet(why)),
    };
    Ok((effect, missed))
}

impl Directory {
    /// Adds what an effect has to do for the users that its targets mean. Also returns what to say if a
    /// revocation means nobody in the file.
    ///
    /// # Errors
    /// When the file cannot be read now. Nothing may be acknowledged then.
    async fn resolve(
        self: &Arc<Self>,
        effect: Effect,
    ) -> Result<(Effect, Option<Rejection>), String> {
        let (mut drafts, delay) = match effect {
            Effect::Record(drafts) => (drafts, None),
            Effect::RecordLater(drafts, delay) => (drafts, Some(delay)),
            other => return Ok((other, None)),
        };
        let directory = Arc::clone(self);
        let users = tokio::task::spawn_blocking(move || directory.users());
        let users = users.await.map_err(|died| died.to_string())??;
        let mut unknown = None;
        for (claim, known) in &*users {
            let mut found = Vec::new();
            for draft in drafts {
                unknown = self.found(claim, known, draft, &mut found).or(unknown);
            }
            drafts = found;
        }
        let effect = match delay {
            None => Effect::Record(drafts),
            Some(delay) => Effect::RecordLater(drafts, delay),
        };
        Ok((effect, unknown))
    }

    /// Adds to `found` a draft, and its copies for all spellings and users of the value of `claim`.
    fn found(
        &self,
        claim: &str,
        known: &HashMap<String, Entry>,
        draft: Draft,
        found: &mut Vec<Draft>,
    ) -> Option<Rejection> {
        let user = self.config.claim.as_str();
        let Some(value) = draft.target.matches.get(claim).cloned() else {
            found.push(draft);
            return None;
        };
        let folded = value.to_lowercase();
        let entry = known.get(&folded);
        let mut spellings = entry.map_or_else(BTreeSet::new, |entry| entry.spellings.clone());
        spellings.extend([folded, value]);
        for spelling in spellings {
            let mut draft = draft.clone();
            draft.target.matches.insert(claim.to_owned(), spelling);
            found.push(draft);
        }
        // A target that names the user already needs no other.
        let is_named = draft.target.matches.contains_key(user);
        for name in entry.iter().flat_map(|entry| &entry.users) {
            if !is_named {
                let mut draft = draft.clone();
                draft.target.matches.remove(claim);
                draft.target.matches.insert(user.to_owned(), name.clone());
                found.push(draft);
            }
        }
        let is_missed = entry.is_none() && !is_named && draft.action == Action::Revoke;
        is_missed.then(|| Rejection {
            path: claim.to_owned(),
            message:
                "the directory of this source has no user with this value: tokens that do not \
                      carry the value itself are not refused"
                    .to_owned(),
        })
    }

    /// Returns what the file says now. Blocks on the disk.
    fn users(&self) -> Result<Arc<Users>, String> {
        let path = &self.config.file;
        let cannot = |why: &dyn std::fmt::Display| {
            let path = path.display();
            format!("directory.file: {path}: {why}")
        };
        let version = fs::metadata(path).map_err(|error| cannot(&error))?;
        if version.len() > LONGEST_FILE {
            return Err(cannot(&"has more than 64 MiB"));
        }
        let version = Version::of(&version);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, users)) = &*read
            && *known == version
        {
            return Ok(Arc::clone(users));
        }
        let users = Arc::new(parse(path).map_err(|why| cannot(&why))?);
        *read = Some((version, Arc::clone(&users)));
        Ok(users)
    }
}

/// Reads a whole file. The reasons quote no value, because values are about people.
fn parse(path: &Path) -> Result<Users, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let read = serde_json::from_slice::<HashMap<String, HashMap<String, Vec<String>>>>(&text);
    let read = read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!(
            "line {line}, column {column}: expected claims with values with lists of users, as in \
             {{\"email\": {{\"alice@example.com\": [\"u1\"]}}}}"
        )
    })?;
    let mut all = Users::new();
    for (claim, values) in read {
        ClaimPath::parse(&claim).map_err(|why| format!("the claim {claim:?} {why}"))?;
        let known = all.entry(claim.clone()).or_default();
        for (value, users) in values {
            let entry = known.entry(value.to_lowercase()).or_default();
            entry.spellings.insert(value);
            entry.users.extend(users);
        }
        let counts = known.values().map(|entry| entry.users.len());
        let are_names = |entry: &Entry| entry.users.iter().all(|user| is_name(user));
        if counts.clone().any(|count| count == 0 || count > MOST_USERS) {
            return Err(format!(
                "{claim}: every value needs 1 to {MOST_USERS} users"
            ));
        }
        if !known.values().all(are_names) || known.contains_key("") {
            return Err(format!(
                "{claim}: values and users must not be empty, and users have at most 256 bytes and no \
                 control characters"
            ));
        }
    }
    Ok(all)
}

fn is_name(user: &str) -> bool {
    (1..=256).contains(&user.len()) && !user.chars().any(char::is_control)
}
