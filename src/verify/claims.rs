//! Claims that were verified: the JWT's payload (RFC 7519 §4) as the rest of the program reads it.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Number, Value};
use smallvec::SmallVec;

/// The claims of one token. A value of this type exists only after every check of `verify` passed.
#[derive(Clone)]
pub struct Claims {
    /// `iss`, exactly as configured.
    pub issuer: Arc<str>,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// The first that the token has of the issuer's `client_claims`.
    pub client: Option<Box<str>>,
    /// `jti`.
    pub token_id: Option<Box<str>>,
    /// `iat` in whole seconds since the epoch, rounded down; `None` when the token has none.
    pub issued_at: Option<u64>,
    /// `iat`; for a token without one, the earliest second in which it may have been issued, which
    /// is `exp − max_token_lifetime` unless that was raised since. Seconds.
    pub counts_as_issued_at: u64,
    /// `exp` in whole seconds since the epoch, rounded down.
    pub expires_at: u64,
    /// The whole payload.
    pub all: Payload,
}

/// The texts that a revocation compares with: one for a scalar claim, one per scalar item of an
/// array.
pub type Values<'a> = SmallVec<[&'a str; 4]>;

impl Claims {
    /// The values of a claim, or of the first present one of several names joined by `|`. A claim
    /// that is `null` counts as absent; an object has no values.
    #[must_use]
    pub fn values(&self, name: &str) -> Values<'_> {
        // Nearly always it is one name, so a search for several is not even begun.
        let present = if name.bytes().any(|byte| byte == b'|') {
            name.split('|').find_map(|name| self.all.member(name))
        } else {
            self.all.member(name)
        };
        present.map_or_else(Values::new, Iterator::collect)
    }

    /// How many bytes it takes besides itself.
    pub(super) fn footprint(&self) -> usize {
        let texts = [&self.subject, &self.client, &self.token_id];
        let texts = texts.into_iter().flatten().map(|text| text.len());
        texts.sum::<usize>() + self.all.text.len() + size_of_val(&*self.all.pieces)
    }
}

/// A token's payload, for comparing: its members' names, each followed by its values as texts. A
/// number or a boolean is its text, an array its scalar items; `null` is left out.
///
/// It lies in two blocks of memory, because a look-up reads it on every check, and of a hundred
/// thousand tokens most are in no processor cache.
#[derive(Clone)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct Payload {
    /// All texts, one behind the other.
    text: Box<str>,
    pieces: Box<[Piece]>,
}

/// Where a text ends that begins where the one before it ended, and whether it is a name.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Debug, PartialEq))]
struct Piece(u32);

impl Piece {
    const NAME: u32 = 1 << 31;

    const fn end(self) -> usize {
        (self.0 & !Self::NAME) as usize
    }

    const fn is_name(self) -> bool {
        self.0 & Self::NAME != 0
    }
}

impl Payload {
    /// The values of a member; `None` when there is no such member.
    fn member(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        let mut start = 0;
        let place = self.pieces.iter().position(|piece| {
            let text = start..piece.end();
            start = piece.end();
            // Few names are of the right length, so few texts are looked at.
            piece.is_name() && text.len() == name.len() && &self.text[text] == name
        })?;
        let behind = self.pieces[place + 1..].iter();
        let values = behind.take_while(|piece| !piece.is_name());
        Some(values.map(move |piece| {
            let text = start..piece.end();
            start = piece.end();
            &self.text[text]
        }))
    }
}

/// A payload that is being written, member by member.
pub(super) struct Writing {
    text: String,
    pieces: Vec<Piece>,
}

impl Writing {
    /// Room for that many bytes of text and that many names and values, so that nothing is moved.
    pub(super) fn with_room(bytes: usize, pieces: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            pieces: Vec::with_capacity(pieces),
        }
    }

    /// Begins a member. Its values follow.
    pub(super) fn name(&mut self, name: &str) {
        self.piece(name, Piece::NAME);
    }

    pub(super) fn value(&mut self, text: &str) {
        self.piece(text, 0);
    }

    pub(super) fn number(&mut self, number: &Number) {
        let _ = write!(self.text, "{number}");
        self.end_piece(0);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.value(if flag { "true" } else { "false" });
    }

    pub(super) fn finish(self) -> Payload {
        Payload {
            text: self.text.into(),
            pieces: self.pieces.into(),
        }
    }

    fn piece(&mut self, text: &str, flag: u32) {
        self.text.push_str(text);
        self.end_piece(flag);
    }

    fn end_piece(&mut self, flag: u32) {
        let end = u32::try_from(self.text.len()).expect("a token is far below 2 GiB");
        self.pieces.push(Piece(end | flag));
    }

    /// A scalar as text: `5` and `"5"` are the same tenant to an operator.
    fn scalar(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.value(text),
            Value::Number(number) => self.number(number),
            Value::Bool(flag) => self.flag(*flag),
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }
}

/// For claims that come from no token.
impl From<&Map<String, Value>> for Payload {
    fn from(members: &Map<String, Value>) -> Self {
        let mut writing = Writing::with_room(32 * members.len(), 2 * members.len() + 2);
        for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            writing.name(name);
            match value {
                Value::Array(items) => items.iter().for_each(|item| writing.scalar(item)),
                value => writing.scalar(value),
            }
        }
        writing.finish()
    }
}

/// The issuer only: claims are about people.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Claims {
    /// For tests of what looks at nothing but the payload.
    pub(super) fn with_payload(payload: &Value) -> Self {
        Self {
            issuer: "https://id.example.com".into(),
            subject: None,
            client: None,
            token_id: None,
            issued_at: None,
            counts_as_issued_at: 0,
            expires_at: 0,
            all: payload.as_object().unwrap().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_claim_has_the_values_that_it_should() {
        let claims = Claims::with_payload(&json!({
            "": "empty name",
            "array": ["a", 5, true, null, "", ["nested"], {"b": "c"}, "ü"],
            "boolean": false,
            "empty": "",
            "float": 1.5,
            "negative": -7,
            "none": [],
            "null": null,
            "number": 18_446_744_073_709_551_615_u64,
            "object": {"array": "no", "text": "no"},
            "text": "array",
        }));
        let values = |name| claims.values(name).to_vec();
        assert_eq!(values(""), ["empty name"]);
        assert_eq!(values("array"), ["a", "5", "true", "", "ü"]);
        assert_eq!(values("boolean"), ["false"]);
        assert_eq!(values("empty"), [""]);
        assert_eq!(values("float"), ["1.5"]);
        assert_eq!(values("negative"), ["-7"]);
        assert_eq!(values("number"), ["18446744073709551615"]);
        assert_eq!(values("text"), ["array"]);
        for nothing in ["none", "null", "object", "absent", "a", "no"] {
            assert!(values(nothing).is_empty(), "{nothing}");
        }
        // The first that is there counts, also when it has no values.
        assert_eq!(values("absent|null|text"), ["array"]);
        assert!(values("none|text").is_empty());
        assert!(values("object|text").is_empty());
    }
}
