//! The options of the format `mapped`.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::handshake::Handshake;
use super::moment::Moment;
use super::path::Path;
use crate::core::config_error::ConfigErrors;
use crate::core::shorthand::{OneOrMany, TextOr};
use crate::core::units::Span;
use crate::verify::claims::ClaimPath;

/// The options of the format `mapped`: how any JSON webhook is read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the type of an event stands. An event without one is refused.
    #[serde(default, rename = "type")]
    pub kind: Option<Path>,
    /// Where the event's own id stands, which is the same when the sender tries again. Default: the id
    /// that the signature covers, such as `webhook-id`.
    #[serde(default)]
    pub id: Option<Path>,
    /// When the event happened. It orders revocations and lifts, and is the cut-off of rules without
    /// one of their own. Default: the time of receipt.
    #[serde(default)]
    pub time: Option<Moment>,
    /// Where the list of events stands, if a body holds several. Every other path begins at an item
    /// of it.
    #[serde(default)]
    pub events: Option<Path>,
    /// How the sender checks the address before its first event. Default: not at all.
    #[serde(default)]
    pub handshake: Option<Handshake>,
    /// Added to every cut-off, for senders that announce a change before they commit it. At most 5m.
    #[serde(default = "no_grace")]
    pub grace: Span,
    /// The first rule whose conditions hold counts. An event that fits none is ignored.
    #[schemars(length(min = 1))]
    pub rules: Vec<Rule>,
    /// Types of events that are known and ignored: metrics count them by name, and all others that
    /// fit no rule as `other`.
    #[serde(default)]
    pub ignore: Vec<String>,
}

/// Which events mean which tokens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The values that must stand at these paths: one, or a list of which one must. Numbers, `true`
    /// and `false` are compared as text.
    #[serde(default)]
    pub when: BTreeMap<Path, OneOrMany<String>>,
    /// Paths at which a value must stand.
    #[serde(default)]
    pub present: Vec<Path>,
    /// The claims of the tokens that are meant, each with the path of its value in the event, or more
    /// than a path. All must match. `{}` means every token of the issuer.
    pub target: BTreeMap<String, Value>,
    /// Tokens issued up to then are meant: a time in the event, `receipt`, or `none` for all tokens
    /// whenever they were issued, which suits the end of a session. Default: `time` of the format.
    #[serde(default)]
    pub cut_off: Option<CutOff>,
    /// What happened, for records, logs and metrics. Default: the type of the event. A lift takes back
    /// the revocations of its cause.
    #[serde(default)]
    pub cause: Option<String>,
    /// The rule takes back earlier revocations of the same target and cause.
    #[serde(default)]
    pub lift: bool,
}

/// Where the value of a claim comes from: a path, or `{ path, pattern }`, or `{ value }`.
pub type Value = TextOr<Path, Origin>;

/// More than a path.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// This very text.
    Value(String),
    /// A part of the text at a path.
    Part(Part),
}

/// A part of the text at a path.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Where the text stands.
    pub path: Path,
    /// A regular expression that fits the whole text; its one group is the part.
    pub pattern: Pattern,
}

/// A regular expression with one group.
#[derive(Clone, Debug)]
pub struct Pattern(pub(super) Regex);

/// The latest issue of the tokens that a rule means.
pub type CutOff = TextOr<Word, Moment>;

/// A cut-off that is no time in the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// The time of receipt.
    Receipt,
    /// All tokens, whenever they were issued.
    None,
}

/// The longest id, cause or value of a claim.
pub(super) const LONGEST: usize = 256;

const fn no_grace() -> Span {
    Span::secs(0)
}

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.grace > Span::secs(300) {
            let message = "must be at most 5m: new log-ins would be refused for that long";
            errors.push("grace", message);
        }
        let has_alternatives = |list: &Path| list.alternatives().count() > 1;
        if self.events.as_ref().is_some_and(has_alternatives) {
            errors.push("events", "must be one path, without `|`");
        }
        if self.rules.is_empty() {
            errors.push("rules", "give at least one rule");
        }
        if !self.ignore.is_empty() && self.kind.is_none() {
            errors.conflict("ignore", "say in `type` where the type of an event stands");
        }
        errors.each("rules", &self.rules, |errors, rule| {
            rule.check(self.kind.as_ref(), errors);
            if rule.lift && !self.rules.iter().any(|other| other.is_lifted_by(rule)) {
                let message = "no other rule has this cause and the same claims in its target, so \
                               there is nothing that this one could take back";
                errors.conflict("lift", message);
            }
        });
    }

    /// Returns whether every event has an id and a time in its body, from which its records are made.
    pub(super) fn is_idempotent(&self) -> bool {
        let of_event = |rule: &Rule| !matches!(rule.cut_off, Some(CutOff::Text(Word::Receipt)));
        self.id.is_some() && self.time.is_some() && self.rules.iter().all(of_event)
    }

    /// Returns the configured name of a type, so that metrics have a bounded set of them.
    pub(super) fn known<'t>(&self, kind: Option<&'t str>) -> Option<&'t str> {
        let of_rules = self
            .rules
            .iter()
            .flat_map(|rule| rule.kinds(self.kind.as_ref()));
        let known: BTreeSet<&String> = of_rules.chain(&self.ignore).collect();
        kind.filter(|kind| known.iter().any(|known| known == kind))
    }
}

impl Rule {
    fn check(&self, kind: Option<&Path>, errors: &mut ConfigErrors) {
        if self.target.is_empty() && self.when.is_empty() && self.present.is_empty() {
            let message = "means every token of the issuer, for every event: give a condition in \
                           `when` or `present`";
            errors.conflict("target", message);
        }
        errors.within("target", |errors| {
            for (claim, value) in &self.target {
                if let Err(error) = ClaimPath::parse(claim) {
                    errors.push(claim, format!("the claim {claim:?} {error}"));
                }
                if let Value::More(Origin::Value(text)) = value
                    && !is_short(text)
                {
                    errors.push(claim, "must be a text of 1 to 256 characters");
                }
            }
        });
        match &self.cause {
            Some(cause) if !is_short(cause) => {
                errors.push("cause", "must be a text of 1 to 256 characters");
            }
            None if self.lift => {
                errors.conflict("cause", "name the cause of the revocations to take back");
            }
            None if self.kinds(kind).is_empty() => {
                errors.conflict("cause", "is missing, and `when` names no type of event");
            }
            _ => {}
        }
        if self.lift && self.cut_off.is_some() {
            errors.conflict("cut_off", "a lift has no cut-off");
        }
    }

    /// Returns the types of events that the conditions name.
    fn kinds(&self, kind: Option<&Path>) -> &[String] {
        let kinds = kind.and_then(|kind| self.when.get(kind));
        kinds.map_or(&[], |kinds| &kinds.0)
    }

    fn is_lifted_by(&self, lift: &Self) -> bool {
        !self.lift && self.cause == lift.cause && self.target.keys().eq(lift.target.keys())
    }
}

pub(super) fn is_short(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(regex) if regex.captures_len() == 2 => Ok(Self(regex)),
            Ok(_) => Err(de::Error::custom("the pattern must have exactly one group")),
            Err(error) => {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default();
                Err(de::Error::custom(format!(
                    "the pattern cannot be read: {why}"
                )))
            }
        }
    }
}

impl JsonSchema for Pattern {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "regex", "examples": ["users/([^/]+)"] })
    }
}
