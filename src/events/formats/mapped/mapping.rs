//! From what rules read of an event to the records that it leaves.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aws_lc_rs::digest;

use super::config::{Config, CutOff, LONGEST, Origin as ValueOrigin, Rule, Value, Word, is_short};
use super::extract::{self, Found, Wanted};
use super::moment::Moment;
use super::path::Path;
use crate::core::clock::UnixMillis;
use crate::core::network::{self, CLIENT_IP};
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::Origin;
use crate::events::outcome::{Outcome, Rejection};
use crate::revocation::{Action, Draft, Target};

/// The most events that one body may hold.
const MOST_EVENTS: usize = 10_000;

/// Said of a body of which a part is recorded. Refusing it would lose that part.
const INCOMPLETE: &str = "an event of this body could not be understood and left no record; give the \
                          body to `portcullis try-event`";

/// Maps the events of a body. One that cannot be understood does not keep the others from being
/// recorded.
pub(super) fn map(
    config: &Config,
    delivery: &Delivery<Verified>,
    origin: Origin<'_>,
) -> Result<Outcome, Rejection> {
    let events = extract::events(delivery.body(), config.events.as_ref(), &wanted(config))?;
    if events.len() > MOST_EVENTS {
        let message = format!("expected at most {MOST_EVENTS} events at once");
        return Err(rejection("", message));
    }
    let (mut drafts, mut names, mut refused, mut id) = (Vec::new(), Vec::new(), None, None);
    for (index, found) in events.iter().enumerate() {
        let event = Event {
            config,
            found,
            origin,
            received_at: delivery.received_at(),
        };
        match event.read(|| delivery_id(delivery, config, index)) {
            Ok((name, own_id, draft)) => {
                names.push(name);
                drafts.extend(draft);
                id = own_id.filter(|_| config.events.is_none());
            }
            Err(rejection) => refused = Some(in_list(config, index, rejection)),
        }
    }
    Outcome::of_several(names, id, drafts, refused, INCOMPLETE)
}

/// Writes the path of a rejection as it is in the whole body.
fn in_list(config: &Config, index: usize, rejection: Rejection) -> Rejection {
    let path = match &config.events {
        Some(list) => format!("{}[{index}].{}", list.as_str(), rejection.path),
        None => rejection.path,
    };
    Rejection { path, ..rejection }
}

/// Returns every path that the configuration names.
fn wanted(config: &Config) -> Wanted<'_> {
    let mut wanted = Wanted::default();
    let time = config.time.as_ref().map(|time| &time.path);
    let of_event = [config.kind.as_ref(), config.id.as_ref(), time];
    for path in of_event.into_iter().flatten() {
        wanted.add(path);
    }
    for rule in &config.rules {
        let conditions = rule.when.keys().chain(&rule.present);
        let values = rule.target.values().filter_map(path_of);
        let cut_off = match &rule.cut_off {
            Some(CutOff::More(moment)) => Some(&moment.path),
            _ => None,
        };
        for path in conditions.chain(values).chain(cut_off) {
            wanted.add(path);
        }
    }
    wanted
}

fn path_of(value: &Value) -> Option<&Path> {
    match value {
        Value::Text(path) => Some(path),
        Value::More(ValueOrigin::Part(part)) => Some(&part.path),
        Value::More(ValueOrigin::Value(_)) => None,
    }
}

/// Returns an id for an event that has none: the one that its signature covers, or one made of its
/// bytes and the time of receipt. The bytes alone would not do, because the same may happen twice.
fn delivery_id(delivery: &Delivery<Verified>, config: &Config, index: usize) -> String {
    let digest = || {
        let digest = digest::digest(&digest::SHA256, delivery.body());
        let head = digest.as_ref().first_chunk().copied().unwrap_or_default();
        format!(
            "{}-{:016x}",
            delivery.received_at().0,
            u64::from_be_bytes(head)
        )
    };
    let id = delivery.id().map_or_else(digest, str::to_owned);
    match config.events {
        Some(_) => format!("{id}/{index}"),
        None => id,
    }
}

fn rejection(path: &str, message: impl Into<String>) -> Rejection {
    Rejection {
        path: path.to_owned(),
        message: message.into(),
    }
}

/// The name of an event, its own id, and the record that it leaves.
type Understood = (Cow<'static, str>, Option<String>, Option<Draft>);

/// One event, and what is known about it.
struct Event<'a> {
    config: &'a Config,
    found: &'a Found<'a>,
    origin: Origin<'a>,
    received_at: UnixMillis,
}

impl<'a> Event<'a> {
    /// Returns what happened, the event's own id, and the record that it leaves.
    fn read(&self, other_id: impl FnOnce() -> String) -> Result<Understood, Rejection> {
        let kind = self.config.kind.as_ref();
        let kind = kind
            .map(|path| self.one(path, "the type of the event"))
            .transpose()?;
        let known = self.config.known(kind);
        let known = known.map(|kind| Cow::Owned(kind.to_owned()));
        let mut rules = self.config.rules.iter();
        let Some(rule) = rules.find(|rule| self.fits(rule)) else {
            return Ok((known.unwrap_or(Cow::Borrowed("other")), None, None));
        };
        let id = self.config.id.as_ref();
        let id = id
            .map(|path| self.one(path, "the id of the event"))
            .transpose()?;
        let id = id.map(str::to_owned);
        let record_id = id.clone().unwrap_or_else(other_id);
        let cause = rule.cause.as_deref().or(kind);
        let cause = cause.unwrap_or_default().to_owned();
        let time = self.config.time.as_ref();
        let time = time.map(|time| self.moment(time)).transpose()?;
        let cut_off = match &rule.cut_off {
            Some(CutOff::Text(Word::None)) => None,
            Some(CutOff::Text(Word::Receipt)) => Some(self.received_at),
            Some(CutOff::More(moment)) => Some(self.moment(moment)?),
            None => Some(time.unwrap_or(self.received_at)),
        };
        let cut_off = cut_off.filter(|_| !rule.lift);
        let draft = Draft {
            id: format!("{}/{record_id}", self.origin.source),
            target: Target {
                issuer: self.origin.issuer.to_owned(),
                matches: self.matches(rule)?,
            },
            action: if rule.lift {
                Action::Lift
            } else {
                Action::Revoke
            },
            issued_at_or_before: cut_off.map(|at| at.plus(self.config.grace.0)),
            expires_at_or_before: None,
            occurred_at: time.or(cut_off).unwrap_or(self.received_at),
            source: self.origin.source.to_owned(),
            cause: cause.clone(),
        };
        Ok((known.unwrap_or(Cow::Owned(cause)), id, Some(draft)))
    }

    fn fits(&self, rule: &Rule) -> bool {
        let mut conditions = rule.when.iter();
        let mut present = rule.present.iter();
        conditions.all(|(path, values)| {
            let mut found = self.found.all(path).iter();
            found.any(|value| values.0.contains(value))
        }) && present.all(|path| !self.found.all(path).is_empty())
    }

    fn matches(&self, rule: &Rule) -> Result<BTreeMap<String, String>, Rejection> {
        let value = |(claim, from): (&String, &Value)| {
            let what = || format!("a value for the claim {claim}");
            let value = match from {
                Value::Text(path) => self.one(path, &what())?,
                Value::More(ValueOrigin::Value(text)) => text,
                Value::More(ValueOrigin::Part(part)) => {
                    let whole = self.one(&part.path, &what())?;
                    let found = part.pattern.0.captures(whole);
                    let found = found.and_then(|found| found.get(1));
                    let found = found
                        .map(|part| part.as_str())
                        .filter(|part| is_short(part));
                    let message = || format!("expected {}, found no such part of the text", what());
                    found.ok_or_else(|| rejection(part.path.as_str(), message()))?
                }
            };
            if claim == CLIENT_IP
                && let Err(why) = network::canonical(value)
            {
                let path = path_of(from).map_or("", Path::as_str);
                return Err(rejection(path, format!("expected {}: it {why}", what())));
            }
            Ok((claim.clone(), value.to_owned()))
        };
        rule.target.iter().map(value).collect()
    }

    fn moment(&self, moment: &Moment) -> Result<UnixMillis, Rejection> {
        let expected = moment.unit.expected();
        let read = moment.unit.read(self.one(&moment.path, expected)?);
        let message = || format!("expected {expected}, found something else: is the unit right?");
        read.ok_or_else(|| rejection(moment.path.as_str(), message()))
    }

    /// Returns the only value at a path, which must be there.
    fn one(&self, path: &Path, expected: &str) -> Result<&'a str, Rejection> {
        let message = match self.found.all(path) {
            [one] if is_short(one) => return Ok(one),
            [] => format!("expected {expected}, found nothing"),
            [_] => format!("expected {expected} of 1 to {LONGEST} characters"),
            several => format!("expected {expected}, found {} of them", several.len()),
        };
        Err(rejection(path.as_str(), message))
    }
}
