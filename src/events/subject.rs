//! Subject identifiers (RFC 9493, and the complex ones of Shared Signals), and the claims of access
//! tokens that they stand for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outcome::Rejection;
use super::payload::{Id, Object};
use crate::core::config_error::ConfigErrors;
use crate::verify::claims::ClaimPath;

/// Declares the parts with the names that configurations and subjects give them.
macro_rules! parts {
    ($($(#[$doc:meta])* $variant:ident = $name:literal => $claim:expr,)+) => {
        /// What a subject may name: a subject format, or a member of a complex subject.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
        )]
        pub enum Part {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Part {
            const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            const fn usual_claim(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => $claim,)+
                }
            }
        }
    };
}

parts! {
    /// `acct:` URIs.
    Account = "account" => None,
    /// The application of a complex subject.
    Application = "application" => None,
    /// The device of a complex subject.
    Device = "device" => None,
    Did = "did" => None,
    Email = "email" => Some("email"),
    /// The group of a complex subject.
    Group = "group" => None,
    /// `sub` at an issuer.
    IssSub = "iss_sub" => Some("sub"),
    /// One token by its `jti`.
    JwtId = "jwt_id" => Some("jti"),
    Opaque = "opaque" => Some("sub"),
    /// The organizational unit of a complex subject.
    OrgUnit = "org_unit" => None,
    PhoneNumber = "phone_number" => Some("phone_number"),
    /// The session of a complex subject.
    Session = "session" => Some("sid"),
    /// The tenant of a complex subject.
    Tenant = "tenant" => None,
    Uri = "uri" => None,
    /// The user of a complex subject, whose own format says where to look.
    User = "user" => None,
}

/// The claims of access tokens that hold what subjects name, where they are not the usual ones.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Subjects(BTreeMap<Part, String>);

impl Subjects {
    /// Reports what is wrong, with `subjects` as the current place.
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        for (part, claim) in &self.0 {
            if *part == Part::User {
                let message = "name the format in which the user comes instead, such as iss_sub";
                errors.push(part.as_str(), message);
            } else if let Err(why) = ClaimPath::parse(claim) {
                errors.push(part.as_str(), why.to_string());
            }
        }
    }

    fn claim(&self, part: Part) -> Option<&str> {
        let configured = self.0.get(&part).map(String::as_str);
        configured.or(part.usual_claim())
    }
}

/// A subject as a message has it. Which members count depends on its format.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Subject {
    format: Option<Id>,
    /// The format, as drafts of RFC 9493 called it.
    #[serde(rename = "subject_type")]
    older_format: Option<Id>,
    iss: Option<Id>,
    sub: Option<Id>,
    id: Option<Id>,
    email: Option<Id>,
    phone_number: Option<Id>,
    uri: Option<Id>,
    url: Option<Id>,
    jti: Option<Id>,
    identifiers: Option<Vec<Object<Subject>>>,
    user: Option<Box<Object<Subject>>>,
    device: Option<Box<Object<Subject>>>,
    session: Option<Box<Object<Subject>>>,
    application: Option<Box<Object<Subject>>>,
    tenant: Option<Box<Object<Subject>>>,
    org_unit: Option<Box<Object<Subject>>>,
    group: Option<Box<Object<Subject>>>,
}

/// What an event is about, if its subject names a user and a session of that user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    User,
    Session,
}

/// The claims that a token must all have.
pub(super) type Matches = BTreeMap<String, String>;

/// Finds the claims for subjects.
pub(super) struct Resolver<'a> {
    pub(super) subjects: &'a Subjects,
    /// The issuers whose users and tokens may be meant.
    pub(super) issuers: &'a [&'a str],
    /// Members of complex subjects that must not be passed over.
    pub(super) critical: &'a [Part],
}

/// What Keycloak writes in place of a session for all sessions of a user.
const ALL_SESSIONS: &str = "ALL";

impl Resolver<'_> {
    /// Returns the tokens that a subject at `path` means, as alternatives; at least one.
    ///
    /// # Errors
    /// When no token could be found by this subject.
    pub(super) fn resolve(
        &self,
        subject: &Subject,
        about: About,
        path: &str,
    ) -> Result<Vec<Matches>, Rejection> {
        if subject.format().as_deref() != Some("complex") {
            return self.simple(subject, path);
        }
        for (part, member) in subject.narrower() {
            if member.is_some() && self.critical.contains(&part) {
                self.claim(part, "", &format!("{path}.{}", part.as_str()))?;
            }
        }
        let session = subject.session.as_deref().map(|session| &session.0);
        let session = session.filter(|session| session.value() != Some(ALL_SESSIONS));
        if let Some(session) = session
            && (about == About::Session || subject.user.is_none())
        {
            // An issuer gives one name to one session only.
            let value = value_of(session, &format!("{path}.session"))?;
            return Ok(vec![self.claim(Part::Session, value, path)?]);
        }
        let mut found = match &subject.user {
            Some(user) => self.simple(&user.0, &format!("{path}.user"))?,
            None => vec![Matches::new()],
        };
        for (part, member) in subject.narrower() {
            let Some(member) = member else { continue };
            let path = format!("{path}.{}", part.as_str());
            if self.subjects.claim(part).is_none() {
                // Without it the subject is wider, so nobody is missed.
                continue;
            }
            let narrowed = self.claim(part, value_of(&member.0, &path)?, &path)?;
            for matches in &mut found {
                matches.extend(narrowed.clone());
            }
        }
        if found.iter().any(BTreeMap::is_empty) {
            let message = "names nobody whom a claim of access tokens could hold";
            return Err(rejection(path, message));
        }
        Ok(found)
    }

    fn simple(&self, subject: &Subject, path: &str) -> Result<Vec<Matches>, Rejection> {
        let format = subject.format();
        let part = match format.as_deref() {
            Some("aliases") => {
                let identifiers = subject.identifiers.iter().flatten();
                let resolved = identifiers.filter(|one| one.0.identifiers.is_none());
                let resolved = resolved.filter_map(|one| self.simple(&one.0, path).ok());
                let all: Vec<Matches> = resolved.flatten().collect();
                return if all.is_empty() {
                    let message = "none of these identifiers can be found in access tokens";
                    Err(rejection(&format!("{path}.identifiers"), message))
                } else {
                    Ok(all)
                };
            }
            Some("account") => Part::Account,
            Some("did") => Part::Did,
            Some("email") => Part::Email,
            Some("iss_sub") => Part::IssSub,
            Some("jwt_id") => Part::JwtId,
            Some("opaque") => Part::Opaque,
            Some("phone_number") => Part::PhoneNumber,
            Some("uri") => Part::Uri,
            _ => {
                let message = "a subject of this format cannot be found in access tokens";
                return Err(rejection(&format!("{path}.format"), message));
            }
        };
        if matches!(part, Part::IssSub | Part::JwtId) {
            let issuer = subject.iss.as_deref().unwrap_or_default();
            if !self.issuers.contains(&issuer) {
                let expected = format!("expected {}", self.issuers.join(" or "));
                return Err(rejection(&format!("{path}.iss"), &expected));
            }
        }
        Ok(vec![self.claim(part, value_of(subject, path)?, path)?])
    }

    fn claim(&self, part: Part, value: &str, path: &str) -> Result<Matches, Rejection> {
        let claim = self.subjects.claim(part);
        let claim = claim.ok_or_else(|| {
            let part = part.as_str();
            let message =
                format!("no claim of access tokens is configured for this: set subjects.{part}");
            rejection(path, &message)
        })?;
        Ok(BTreeMap::from([(claim.to_owned(), value.to_owned())]))
    }
}

impl Subject {
    /// Returns the format, also of a subject that does not name it.
    fn format(&self) -> Option<String> {
        let named = self.format.as_ref().or(self.older_format.as_ref());
        let by_members = || {
            let is_complex = self.user.is_some() || self.session.is_some();
            let is_complex = is_complex || self.narrower().iter().any(|(_, one)| one.is_some());
            let found = [
                ("complex", is_complex),
                ("aliases", self.identifiers.is_some()),
                ("jwt_id", self.iss.is_some() && self.jti.is_some()),
                ("iss_sub", self.iss.is_some() && self.sub.is_some()),
                ("email", self.email.is_some()),
                ("phone_number", self.phone_number.is_some()),
                ("opaque", self.id.is_some()),
            ];
            let found = found.into_iter().find(|(_, is_it)| *is_it);
            found.map(|(format, _)| format.to_owned())
        };
        let named = named.map(|format| format.replace('-', "_"));
        match named.as_deref() {
            // The name in RISC before 1.0.
            Some("id_token_claims") => Some("iss_sub".to_owned()),
            _ => named.or_else(by_members),
        }
    }

    /// Returns the text that identifies a simple subject.
    fn value(&self) -> Option<&str> {
        let value = match self.format()?.as_str() {
            "iss_sub" => &self.sub,
            "opaque" => &self.id,
            "email" => &self.email,
            "phone_number" => &self.phone_number,
            "account" | "uri" => &self.uri,
            "did" => &self.url,
            "jwt_id" => &self.jti,
            _ => return None,
        };
        value.as_deref()
    }

    fn narrower(&self) -> [(Part, Option<&Object<Self>>); 5] {
        [
            (Part::Device, self.device.as_deref()),
            (Part::Application, self.application.as_deref()),
            (Part::Tenant, self.tenant.as_deref()),
            (Part::OrgUnit, self.org_unit.as_deref()),
            (Part::Group, self.group.as_deref()),
        ]
    }
}

fn value_of<'s>(subject: &'s Subject, path: &str) -> Result<&'s str, Rejection> {
    let value = subject.value();
    value.ok_or_else(|| rejection(path, "the member that the format needs is missing"))
}

fn rejection(path: &str, message: &str) -> Rejection {
    Rejection {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}
