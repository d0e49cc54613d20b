//! Claims with the types that they have in JSON, for conditions. Everything else compares texts.

use super::payload::Payload;

/// A claim, as far as it is kept with its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed<'a> {
    Text(&'a str),
    /// As JSON writes it.
    Number(&'a str),
    Bool(bool),
    /// Scalars only.
    List(Vec<Self>),
    Object(Members<'a>),
    /// A list that holds objects, lists or `null`. What it holds cannot be said.
    Mixed,
}

/// The members of the payload, or of an object in it.
#[derive(Clone, Copy)]
pub struct Members<'a> {
    payload: &'a Payload,
    /// The piece that names the object; `None` for the payload itself.
    object: Option<usize>,
}

impl<'a> Members<'a> {
    pub(super) const fn of(payload: &'a Payload) -> Self {
        Self {
            payload,
            object: None,
        }
    }

    /// Returns a member. One that is `null` counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Typed<'a>> {
        let own = self.payload.own as usize;
        let found = match self.object {
            None => self.payload.named(0..own, 0, name)?,
            Some(object) => {
                let depth = self.payload.pieces[object].depth() + 1;
                self.payload.named(object + 1..usize::MAX, depth, name)?
            }
        };
        Some(match (self.payload.pieces[found], self.object) {
            (piece, _) if piece.is_mixed() => Typed::Mixed,
            (piece, None) if piece.is_object() => {
                let object = self.payload.named(own..usize::MAX, 0, name)?;
                Typed::Object(Self {
                    object: Some(object),
                    ..*self
                })
            }
            (piece, Some(_)) if piece.is_object() => Typed::Object(Self {
                object: Some(found),
                ..*self
            }),
            _ => self.payload.value(found),
        })
    }
}

impl Payload {
    /// Returns the first piece of the range that is that name, before an object ends that lies less deep.
    fn named(&self, range: std::ops::Range<usize>, depth: usize, name: &str) -> Option<usize> {
        let end = range.end.min(self.pieces.len());
        for place in range.start..end {
            let piece = self.pieces[place];
            if !piece.is_name() {
                continue;
            }
            if piece.depth() < depth {
                return None;
            }
            if piece.depth() == depth && self.text_of(place) == name {
                return Some(place);
            }
        }
        None
    }

    /// Returns the scalar or the list behind a name.
    fn value(&self, name: usize) -> Typed<'_> {
        let behind = self.pieces[name + 1..].iter();
        let count = behind.take_while(|piece| !piece.is_name()).count();
        let mut values = (name + 1..name + 1 + count).map(|place| {
            let text = self.text_of(place);
            match self.pieces[place] {
                piece if piece.is_number() => Typed::Number(text),
                piece if piece.is_bool() => Typed::Bool(text == "true"),
                _ => Typed::Text(text),
            }
        });
        if count == 1 && !self.pieces[name + 1].is_item() {
            return values.next().unwrap_or(Typed::Mixed);
        }
        Typed::List(values.collect())
    }

    fn text_of(&self, place: usize) -> &str {
        let start = place
            .checked_sub(1)
            .map_or(0, |before| self.pieces[before].end());
        &self.text[start..self.pieces[place].end()]
    }
}

/// Nothing: claims are about people.
impl std::fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Members")
    }
}

impl PartialEq for Members<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.payload, other.payload) && self.object == other.object
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Number, Value, json};

    use super::super::Claims;
    use super::*;

    /// What a reader of the JSON itself would say.
    fn model(value: &Value) -> Option<Shown> {
        let is_scalar = |item: &Value| !item.is_null() && !item.is_array() && !item.is_object();
        Some(match value {
            Value::Null => return None,
            Value::Bool(flag) => Shown::Bool(*flag),
            Value::Number(number) => Shown::Number(number.to_string()),
            Value::String(text) => Shown::Text(text.clone()),
            Value::Array(items) if !items.iter().all(is_scalar) => Shown::Mixed,
            Value::Array(items) => Shown::List(items.iter().filter_map(model).collect()),
            Value::Object(members) => Shown::Object(
                members
                    .iter()
                    .map(|(name, value)| (name.clone(), model(value)))
                    .collect(),
            ),
        })
    }

    #[derive(Debug, PartialEq)]
    enum Shown {
        Bool(bool),
        Number(String),
        Text(String),
        Mixed,
        List(Vec<Shown>),
        Object(Vec<(String, Option<Shown>)>),
    }

    /// Reads every member that the model names.
    fn read(typed: Typed<'_>, original: &Value) -> Shown {
        match typed {
            Typed::Text(text) => Shown::Text(text.to_owned()),
            Typed::Number(text) => Shown::Number(text.to_owned()),
            Typed::Bool(flag) => Shown::Bool(flag),
            Typed::Mixed => Shown::Mixed,
            Typed::List(items) => Shown::List(
                items
                    .into_iter()
                    .map(|item| read(item, &Value::Null))
                    .collect(),
            ),
            Typed::Object(members) => Shown::Object(
                original
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| {
                        let found = members.get(name);
                        (name.clone(), found.map(|found| read(found, value)))
                    })
                    .collect(),
            ),
        }
    }

    fn agrees(payload: &Map<String, Value>) {
        let claims = Claims::with_payload(&Value::Object(payload.clone()));
        let typed = Typed::Object(claims.members());
        let original = Value::Object(payload.clone());
        assert_eq!(Some(read(typed, &original)), model(&original), "{original}");
        assert_eq!(claims.members().get("no such name"), None);
    }

    #[test]
    fn every_kind_of_claim_keeps_its_type() {
        let payload = json!({
            "text": "5", "number": 5, "float": 1.5, "negative": -7, "flag": false, "empty": "",
            "null": null, "none": [], "list": ["a", 5, true], "one": ["a"], "null_in": ["a", null],
            "nested_list": [["a"]], "objects": [{"id": 1, "none": []}, {"id": 2}],
            "object": {
                "text": "x", "object": {"a": [1], "objects": [{"a": 3}], "b": {}}, "a": {"b": 2},
                "objects": [{"after": true}], "after": false,
            },
            "after": {"after": [true]},
            "big": 18_446_744_073_709_551_615_u64,
        });
        agrees(payload.as_object().unwrap());
    }

    /// Few names, so that objects in lists and objects beside them share names.
    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(|number| Value::Number(Number::from(number))),
            "[ab5]{0,2}".prop_map(Value::from),
        ];
        scalar.prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn typed_claims_are_those_of_the_json(
            payload in prop::collection::btree_map("[abc]", values(), 0..4)
        ) {
            agrees(&payload.into_iter().collect());
        }
    }
}
