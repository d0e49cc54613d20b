//! A fixed secret in the body, for senders that sign nothing, such as Microsoft Graph.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::proven::Unproven;
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Encoding, Live, Secret, Sources};
use crate::verify::claims::ClaimPath;

/// A fixed secret in a JSON body. Give `secret` or `secret_file`; during a rotation give `secret` a list
/// of the new one and the old one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the secret stands, such as `value.clientState`. A path that leads through a list means every
    /// item of it: each must have the secret, and an empty list is refused.
    #[schemars(length(min = 1))]
    pub path: String,
    /// The secret.
    #[serde(default)]
    pub secret: Option<Sources>,
    /// Another spelling of `secret: { file: … }`.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct BodySecret {
    path: ClaimPath,
    secret: Live,
}

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if let Err(message) = self.path() {
            errors.push("path", message);
        }
        let (given, file) = (self.secret.as_ref(), self.secret_file.as_ref());
        Sources::check("secret", given, file, errors);
    }

    pub(super) fn build(&self) -> Result<BodySecret, String> {
        let path = self.path()?;
        let (given, file) = (self.secret.as_ref(), self.secret_file.as_ref());
        let sources = Sources::of("secret", given, file)?;
        let secret = Live::read(sources, Encoding::Plain, Box::new(|_| Ok(())))?;
        Ok(BodySecret { path, secret })
    }

    fn path(&self) -> Result<ClaimPath, String> {
        match ClaimPath::of_json(&self.path) {
            Ok(path) if path.paths().count() == 1 => Ok(path),
            Ok(_) => Err("must be one path, without `|`".to_owned()),
            Err(error) => Err(format!("the path {:?} {error}", self.path)),
        }
    }
}

impl BodySecret {
    /// Checks the secret at every place of the body to which the path leads.
    ///
    /// # Errors
    /// When it is absent or wrong at one of them, or there is none.
    pub(super) fn check(&self, body: &[u8]) -> Result<(), Unproven> {
        let secrets = self.secret.now();
        let place = Place {
            steps: self.path.paths().next().unwrap_or_default(),
            is_item: false,
            secrets: &secrets,
        };
        let mut json = serde_json::Deserializer::from_slice(body);
        let held = place.deserialize(&mut json).and_then(|()| json.end());
        held.map_err(|_| Unproven::Forged("the secret in the body is absent or wrong"))
    }
}

/// A value of the body, and the members to step into below it, outermost first. Whoever sends a wrong
/// body is told nothing, so its errors have no words.
#[derive(Clone, Copy)]
struct Place<'a> {
    steps: &'a [Box<str>],
    /// An item of a list. A list within a list has no members.
    is_item: bool,
    secrets: &'a [Secret],
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the secret")
    }

    fn visit_str<E: Error>(self, presented: &str) -> Result<(), E> {
        let secrets = self.secrets.iter();
        let matches = |found, secret: &Secret| found | secret.matches(presented.as_bytes());
        held(self.steps.is_empty() & secrets.fold(false, matches))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((step, steps)) = self.steps.split_first() else {
            return held(false);
        };
        let mut is_there = false;
        while let Some(name) = map.next_key::<String>()? {
            if *name != **step {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            // Two readers would disagree about which of two members counts.
            held(!is_there)?;
            is_there = true;
            map.next_value_seed(Self {
                steps,
                is_item: false,
                ..self
            })?;
        }
        held(is_there)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        held(!self.is_item && !self.steps.is_empty())?;
        let item = Self {
            is_item: true,
            ..self
        };
        let mut has_any = false;
        while items.next_element_seed(item)?.is_some() {
            has_any = true;
        }
        held(has_any)
    }
}

fn held<E: Error>(holds: bool) -> Result<(), E> {
    holds.then_some(()).ok_or_else(|| E::custom(""))
}
