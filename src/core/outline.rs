//! The settings of a configuration as a tree that may leave the process: secrets are known by digests.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::hmac;
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use serde_json::{Map, Value, json};

use super::hex::hex;
use super::secret::Secret;

/// The member of a hidden value that holds its digest.
pub const DIGEST: &str = "$digest";

/// The member of a hidden value that holds what may be shown of it.
pub const SHOWN: &str = "$shown";

/// A reader of the digests could try short secrets, so each attempt is dear.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99_999);

const LONGEST_SALT: usize = 64;

/// One setting, or a group of them.
#[derive(Clone, Debug)]
pub enum Item {
    /// Text, a number or a truth value.
    Plain(Value),
    /// What nobody may read, and what may be shown of it.
    Hidden(Secret, String),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

impl Item {
    fn to_json(&self, digest: &dyn Fn(&[u8]) -> String) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Hidden(secret, shown) => {
                json!({ (DIGEST): digest(secret.expose()), (SHOWN): shown })
            }
            Self::List(items) => items.iter().map(|item| item.to_json(digest)).collect(),
            Self::Map(entries) => {
                let entries = entries.iter();
                let entries = entries.map(|(key, item)| (key.clone(), item.to_json(digest)));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

/// All settings of one configuration, with defaults filled in. Clones share it.
#[derive(Clone)]
pub struct Outline(Arc<Parts>);

struct Parts {
    root: Item,
    published: OnceLock<Published>,
}

/// The settings as they may be read by somebody who must not learn the secrets.
#[derive(Clone, Debug)]
pub struct Published {
    /// In hexadecimal.
    pub salt: String,
    pub settings: Value,
}

impl Default for Outline {
    fn default() -> Self {
        Self::new(Item::Map(BTreeMap::new()))
    }
}

impl fmt::Debug for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outline").finish_non_exhaustive()
    }
}

impl Outline {
    #[must_use]
    pub fn new(root: Item) -> Self {
        let published = OnceLock::new();
        Self(Arc::new(Parts { root, published }))
    }

    /// Returns the settings with slow digests of the secrets, which take some ten milliseconds each at the
    /// first call.
    #[must_use]
    pub fn published(&self) -> &Published {
        self.0.published.get_or_init(|| {
            let salt = hex(&rand::random::<[u8; 16]>());
            let settings = self.0.root.to_json(&|secret| slow(&salt, secret));
            Published { salt, settings }
        })
    }

    /// Returns the settings with the digests that another process made with `salt`; `None` if the salt is too
    /// long.
    #[must_use]
    pub fn salted(&self, salt: &str) -> Option<Value> {
        let is_short = salt.len() <= LONGEST_SALT;
        is_short.then(|| self.0.root.to_json(&|secret| slow(salt, secret)))
    }

    /// Returns the settings of two configurations, whose digests compare with each other alone.
    #[must_use]
    pub fn side_by_side(&self, other: &Self) -> [Value; 2] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        let digest = |secret: &[u8]| hex(hmac::sign(&key, secret).as_ref());
        [self, other].map(|outline| outline.0.root.to_json(&digest))
    }
}

fn slow(salt: &str, secret: &[u8]) -> String {
    let mut digest = [0; 32];
    pbkdf2::derive(
        PBKDF2_HMAC_SHA256,
        ROUNDS,
        salt.as_bytes(),
        secret,
        &mut digest,
    );
    hex(&digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: &str) -> Outline {
        let hidden = Item::Hidden(Secret::new(secret), "***".to_owned());
        Outline::new(Item::Map(BTreeMap::from([("secret".to_owned(), hidden)])))
    }

    #[test]
    fn equal_secrets_have_equal_digests_and_no_outline_shows_one() {
        let (one, same, other) = (of("hunter2"), of("hunter2"), of("hunter3"));
        let Published { salt, settings } = one.published();
        assert_eq!(same.salted(salt).as_ref(), Some(settings));
        assert_ne!(other.salted(salt).as_ref(), Some(settings));
        assert_ne!(
            same.published().settings,
            *settings,
            "each has its own salt"
        );
        let [left, right] = one.side_by_side(&same);
        assert_eq!(left, right);
        let [left, right] = one.side_by_side(&other);
        assert_ne!(left, right);
        for text in [settings.to_string(), left.to_string(), format!("{one:?}")] {
            assert!(!text.contains("hunter"), "{text}");
        }
        assert_eq!(one.salted(&"0".repeat(1000)), None);
    }
}
