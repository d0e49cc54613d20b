//! Requests about users.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use http::StatusCode;
use serde_json::Value;
use url::form_urlencoded;

use super::attribute::Attribute;
use super::catalog::{PAGE, list};
use super::config::Config;
use super::edit::{Edit, told};
use super::node::Node;
use super::path::{Path, comparison};
use super::targets::{Drafting, INACTIVE, REMOVED, former};
use super::user::{MOST_FORMER, User, named};
use crate::events::answer::Failure;
use crate::events::dialect::Origin;
use crate::events::payload;
use crate::events::resources::{Asked, Plan, Shelf};
use crate::revocation::notes::{Change, KEPT};
use crate::revocation::record::Note;

/// How long a client waits that changed a user too often.
const TOO_OFTEN: Duration = Duration::from_mins(1);

/// The request, and what there is to answer it from.
pub(super) struct Users<'a> {
    pub(super) config: &'a Config,
    pub(super) kept: Vec<Attribute>,
    pub(super) asked: &'a Asked,
    pub(super) shelf: Shelf<'a>,
    pub(super) origin: Origin<'a>,
}

impl Users<'_> {
    pub(super) fn create(&self) -> Result<Plan, Failure> {
        let mut edit = Edit::of(User::default(), &self.kept);
        edit.become_like(&self.body()?)?;
        let user_name = self.free_name(&edit.user, "")?;
        if self.shelf.notes.page(self.origin.source, 0, 0).0 >= self.most() {
            let why = "max_users of this source is reached; remove users, or raise it";
            return Err(Failure::Unavailable(why.to_owned()));
        }
        // The same on every replica, so of two requests at once only one makes the user.
        let mut keys = (0_u32..).map(|number| self.key(&user_name, number));
        let key = keys.find(|key| self.shelf.notes.version(self.origin.source, key) == 0);
        let key = key.unwrap_or_default();
        edit.user.created = self.asked.received_at;
        edit.user.active = true;
        let mut plan = self.save(&key, 0, edit, None)?;
        plan.status = StatusCode::CREATED;
        plan.location = Some(self.location(&key));
        Ok(plan)
    }

    pub(super) fn replace(&self, key: &str) -> Result<Plan, Failure> {
        let (note, before) = self.known(key)?;
        let mut edit = Edit::of(before.clone(), &self.kept);
        edit.become_like(&self.body()?)?;
        self.change(key, &note, edit, &before)
    }

    pub(super) fn patch(&self, key: &str) -> Result<Plan, Failure> {
        let (note, before) = self.known(key)?;
        let mut edit = Edit::of(before.clone(), &self.kept);
        edit.patch(&self.body()?)?;
        self.change(key, &note, edit, &before)
    }

    fn change(
        &self,
        key: &str,
        note: &Note,
        edit: Edit<'_>,
        before: &User,
    ) -> Result<Plan, Failure> {
        // No mistake of the directory keeps a user active.
        if edit.active != Some(false) {
            self.free_name(&edit.user, key)?;
        }
        self.save(key, note.version, edit, Some(before))
    }

    pub(super) fn remove(&self, key: &str) -> Result<Plan, Failure> {
        let (note, mut user) = self.known(key)?;
        user.former
            .retain(|former| former.until >= self.shelf.earliest);
        let drafts = self
            .drafting(key, note.version, &user)
            .revoke(&user, REMOVED);
        let note = Note {
            key: key.to_owned(),
            version: note.version + 1,
            names: Vec::new(),
            text: None,
        };
        Ok(Plan {
            change: Some((drafts, Change { note, keep: KEPT })),
            ..plan(REMOVED, StatusCode::NO_CONTENT, None)
        })
    }

    pub(super) fn read(&self, key: &str) -> Option<Plan> {
        let (_, user) = self.known(key).ok()?;
        let resource = user.resource(key, &self.kept, &self.location(key));
        Some(plan("read", StatusCode::OK, Some(resource)))
    }

    /// Returns the users that a filter finds, or all, page by page.
    pub(super) fn list(&self) -> Result<Plan, Failure> {
        let (mut filter, mut start, mut count) = (None, 1, PAGE);
        for (name, value) in form_urlencoded::parse(self.asked.query.as_bytes()) {
            let number = || {
                value
                    .parse::<i64>()
                    .map(|number| usize::try_from(number).unwrap_or(0))
            };
            match &*name {
                "filter" => filter = Some(value.into_owned()),
                "startIndex" => start = number().unwrap_or(1).max(1),
                "count" => count = number().unwrap_or(PAGE).min(PAGE),
                _ => {}
            }
        }
        let skip = start - 1;
        let (total, notes) = match filter {
            None => self.shelf.notes.page(self.origin.source, skip, count),
            Some(filter) => {
                let found = self.filtered(&filter)?;
                let total = found.len();
                (total, found.into_iter().skip(skip).take(count).collect())
            }
        };
        let resources = notes.iter().filter_map(|note| {
            let user = User::of(note)?;
            Some(user.resource(&note.key, &self.kept, &self.location(&note.key)))
        });
        let resources: Vec<Value> = resources.collect();
        let body = list(total, start, &resources);
        Ok(plan("read", StatusCode::OK, Some(body)))
    }

    fn filtered(&self, filter: &str) -> Result<Vec<Arc<Note>>, Failure> {
        let why = "only one comparison is understood, such as userName eq \"alice@example.com\"";
        let invalid = || told("invalidFilter", why);
        let (Path { name, only, part }, value) = comparison(filter).ok_or_else(invalid)?;
        let value = value.text().ok_or_else(invalid)?;
        if part.is_some_and(|part| part != "value") {
            return Err(invalid());
        }
        if name == "id" {
            let note = self.shelf.notes.get(self.origin.source, value);
            return Ok(note.into_iter().collect());
        }
        let name = name.strip_suffix(".value").unwrap_or(&name);
        if !self.kept.iter().any(|attribute| attribute.folded() == name) {
            let why = "this attribute is not kept; name it in claims or keep of the source";
            return Err(told("invalidFilter", why));
        }
        let is_exact = name == Attribute::EXTERNAL_ID.to_lowercase();
        let mut notes = self
            .shelf
            .notes
            .named(self.origin.source, &named(name, value));
        notes.retain(|note| {
            User::of(note).is_some_and(|user| {
                let mut items = user.items(name).iter();
                items.any(|item| {
                    let is_it = !is_exact || item.value == value;
                    is_it && only.as_ref().is_none_or(|only| only.picks(item))
                })
            })
        });
        Ok(notes)
    }

    /// Completes a change: the former values, what has to be recorded, and the answer.
    fn save(
        &self,
        key: &str,
        version: u64,
        edit: Edit<'_>,
        before: Option<&User>,
    ) -> Result<Plan, Failure> {
        let (said, mut user) = (edit.active, edit.user);
        let was_active = before.is_none_or(|before| before.active);
        user.active = said.unwrap_or(user.active);
        let mapped =
            |(attribute, _): (&str, &str)| self.config.claims_of(attribute).next().is_some();
        if !user.all().any(mapped) {
            let why = "the user has none of the attributes that claims of this source names, so no token \
                       could be told to be this user's";
            return Err(told("invalidValue", why));
        }
        if let Some(before) = before {
            if *before == user && (user.active || said.is_none()) {
                return Ok(self.saved(key, "user.update", &user));
            }
            let now = self.asked.received_at;
            // Of a user who is active, later tokens with these values are somebody else's.
            let leeway = (!user.active).then_some(self.shelf.leeway);
            let until = now.plus(leeway.unwrap_or_default());
            user.former = former(self.config, before, &user, (self.shelf.earliest, until));
        }
        if user.active && user.former.len() > MOST_FORMER {
            return Err(Failure::TooMany(TOO_OFTEN));
        }
        let drafting = self.drafting(key, version, &user);
        user.changed = drafting.at;
        let (event, drafts) = match (was_active, user.active) {
            (_, false) => (INACTIVE, drafting.revoke(&user, INACTIVE)),
            (false, true) => ("user.reactivate", drafting.lift(&user, self.shelf.notes)),
            (true, true) if before.is_none() => ("user.create", Vec::new()),
            (true, true) => ("user.update", Vec::new()),
        };
        user.shorten();
        let note = user.note(key, version + 1);
        let mut plan = self.saved(key, event, &user);
        plan.change = Some((drafts, Change { note, keep: KEPT }));
        Ok(plan)
    }

    fn saved(&self, key: &str, event: &'static str, user: &User) -> Plan {
        let resource = user.resource(key, &self.kept, &self.location(key));
        plan(event, StatusCode::OK, Some(resource))
    }

    fn drafting<'s>(&'s self, key: &'s str, version: u64, user: &User) -> Drafting<'s> {
        let now = self.asked.received_at;
        Drafting {
            config: self.config,
            origin: self.origin,
            key,
            version: version + 1,
            until: now.plus(self.shelf.leeway),
            at: now.max(user.changed.plus(Duration::from_millis(1))),
        }
    }

    fn body(&self) -> Result<Node, Failure> {
        let read = payload::read_with(&self.asked.body, PhantomData::<Node>);
        read.map_err(Failure::Malformed)
    }

    fn known(&self, key: &str) -> Result<(Arc<Note>, User), Failure> {
        let note = self.shelf.notes.get(self.origin.source, key);
        let known = note.and_then(|note| User::of(&note).map(|user| (note, user)));
        known.ok_or(Failure::Told(StatusCode::NOT_FOUND, "", NO_USER))
    }

    /// Returns the user's name, which nobody but the user `key` may have.
    fn free_name(&self, user: &User, key: &str) -> Result<String, Failure> {
        let attribute = Attribute::USER_NAME.to_lowercase();
        let name = user.items(&attribute).first();
        let name = name
            .map(|item| item.value.to_lowercase())
            .unwrap_or_default();
        let users = self
            .shelf
            .notes
            .named(self.origin.source, &named(&attribute, &name));
        if users.iter().any(|user| user.key != key) {
            let why = "another user has this userName";
            return Err(Failure::Told(StatusCode::CONFLICT, "uniqueness", why));
        }
        Ok(name)
    }

    fn key(&self, user_name: &str, number: u32) -> String {
        let text = format!("{}\n{user_name}\n{number}", self.origin.source);
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let half = digest.as_ref().first_chunk().copied().unwrap_or_default();
        format!("{:032x}", u128::from_be_bytes(half))
    }

    fn location(&self, key: &str) -> String {
        format!("{}/Users/{key}", self.asked.base)
    }

    fn most(&self) -> usize {
        usize::try_from(self.config.max_users).unwrap_or(usize::MAX)
    }
}

fn plan(event: &'static str, status: StatusCode, body: Option<Value>) -> Plan {
    Plan {
        event,
        change: None,
        status,
        body,
        location: None,
    }
}

pub(super) const NO_USER: &str = "there is no such user";
