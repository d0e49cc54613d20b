//! What conditions can read: the request, the claims and the time. Values are looked up when a condition
//! asks for them, and borrowed where they lie.

use std::borrow::Cow;
use std::sync::OnceLock;

use cel::common::traits::{Container, Indexer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelString, CelUInt, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{ExecutionError, Value};

use crate::core::clock::UnixMillis;
use crate::core::request::{Request, as_cgi};
use crate::policy::host;
use crate::policy::path;
use crate::policy::reading::Reading;
use crate::verify::claims::{Claims, Members, Typed};

/// The error of a request that can be read in several ways: no function has this name.
pub(super) const UNCLEAR: &str = "unclear";

/// What conditions asked of a request and how it was read: once, however often they ask.
#[derive(Default)]
pub(in crate::policy) struct Read<'r> {
    host: OnceLock<Option<Cow<'r, str>>>,
    has_plain_method: OnceLock<bool>,
    has_plain_path: OnceLock<bool>,
}

/// The variables of conditions.
pub(in crate::policy) struct Values<'r, 'm, 'c> {
    request: Map<Asked<'r, 'm, 'c>>,
    claims: Map<Members<'r>>,
    now: CelInt,
}

impl<'r, 'm, 'c> Values<'r, 'm, 'c> {
    pub(in crate::policy) fn of(
        (request, read): (&'r Request<'m>, &'c Read<'r>),
        claims: &'r Claims,
        now: UnixMillis,
    ) -> Self {
        let now = i64::try_from(now.seconds()).unwrap_or(i64::MAX);
        Self {
            request: Map(Asked { request, read }),
            claims: Map(claims.members()),
            now: now.into(),
        }
    }
}

impl VariableResolver for Values<'_, '_, '_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        Some(match variable {
            "request" => CowVal::Borrowed(&self.request),
            "claims" => CowVal::Borrowed(&self.claims),
            "now" => CowVal::Borrowed(&self.now),
            _ => return None,
        })
    }
}

type Found<'v> = Result<Box<dyn Val + 'v>, ExecutionError>;

/// Values by name.
trait Names: Copy + Send + Sync {
    fn find<'v>(&self, name: &str) -> Found<'v>
    where
        Self: 'v;
}

/// A map of CEL.
#[derive(Clone, Copy)]
struct Map<T>(T);

impl<T: Names> Map<T> {
    fn find<'v>(&self, key: &dyn Val) -> Found<'v>
    where
        T: 'v,
    {
        match key.downcast_ref::<CelString<'_>>() {
            Some(name) => self.0.find(name.inner()),
            None => Err(ExecutionError::unsupported_key_type(Value::Null)),
        }
    }
}

/// Nothing: it may hold secrets.
impl<T> std::fmt::Debug for Map<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Map")
    }
}

impl<T: Names> Val for Map<T> {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        CelMap::cel_type()
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl<T: Names> Container for Map<T> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        match self.find(key) {
            Ok(_) => Ok(true),
            Err(ExecutionError::NoSuchKey(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl<T: Names> Indexer for Map<T> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.find(key).map(CowVal::Owned)
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Found<'v>
    where
        Self: 'v,
    {
        self.find(key)
    }
}

impl Names for Members<'_> {
    fn find<'v>(&self, name: &str) -> Found<'v>
    where
        Self: 'v,
    {
        self.get(name).map_or_else(|| absent(name), value)
    }
}

fn value(typed: Typed<'_>) -> Found<'_> {
    Ok(match typed {
        Typed::Text(text) => Box::new(CelString::from(text)),
        Typed::Number(digits) => return number(digits),
        Typed::Bool(flag) => Box::new(CelBool::from(flag)),
        Typed::List(items) => {
            let items: Result<Vec<_>, _> = items.into_iter().map(value).collect();
            Box::new(CelList::from(items?))
        }
        Typed::Object(members) => Box::new(Map(members)),
        Typed::Mixed => {
            let message = "the list holds objects, lists or null";
            return Err(ExecutionError::function_error("list", message));
        }
    })
}

fn number<'v>(digits: &str) -> Found<'v> {
    if let Ok(number) = digits.parse::<i64>() {
        return Ok(Box::new(CelInt::from(number)));
    }
    if let Ok(number) = digits.parse::<u64>() {
        return Ok(Box::new(CelUInt::from(number)));
    }
    // A longer integer would lose its last digits.
    match digits.parse::<f64>() {
        Ok(number) if digits.contains(['.', 'e', 'E']) => Ok(Box::new(CelDouble::from(number))),
        _ => Err(ExecutionError::function_error("number", "it is too long")),
    }
}

/// The members of `request`; [`compile`](super::compile) knows them too.
#[derive(Clone, Copy)]
struct Asked<'r, 'm, 'c> {
    request: &'r Request<'m>,
    read: &'c Read<'r>,
}

impl<'r> Names for Asked<'r, '_, '_> {
    fn find<'v>(&self, name: &str) -> Found<'v>
    where
        Self: 'v,
    {
        let Self { request, read } = *self;
        let plain = |is_plain: bool, text: &'r str| {
            if is_plain {
                Ok(text_of(text))
            } else {
                unclear()
            }
        };
        match name {
            "headers" => Ok(Box::new(Map(Sent(request)))),
            "host" => match read.host.get_or_init(|| host::plain(request.host)) {
                Some(host) => Ok(text_of(host)),
                None => unclear(),
            },
            "method" => {
                let is_plain = || !request.method.is_empty() && !path::method_renamed(request);
                plain(*read.has_plain_method.get_or_init(is_plain), request.method)
            }
            "path" => {
                let is_plain = || Reading::of(request).is_plain;
                plain(*read.has_plain_path.get_or_init(is_plain), request.path())
            }
            _ => absent(name),
        }
    }
}

/// The members of `request.headers`.
#[derive(Clone, Copy)]
struct Sent<'r, 'm>(&'r Request<'m>);

impl Names for Sent<'_, '_> {
    fn find<'v>(&self, name: &str) -> Found<'v>
    where
        Self: 'v,
    {
        let alike = |held: &[u8]| {
            held.len() == name.len()
                && held
                    .iter()
                    .zip(name.bytes())
                    .all(|(one, other)| as_cgi(*one) == as_cgi(other))
        };
        let mut found = self.0.headers.iter().filter(|(held, _)| alike(held));
        match (found.next(), found.next()) {
            (None, _) => absent(name),
            (Some((held, value)), None) if held.eq_ignore_ascii_case(name.as_bytes()) => {
                match std::str::from_utf8(value) {
                    Ok(text) => Ok(Box::new(CelString::from(text))),
                    Err(_) => unclear(),
                }
            }
            // Repeated, or in a spelling that some servers take for this name.
            _ => unclear(),
        }
    }
}

fn text_of(text: &str) -> Box<dyn Val + '_> {
    Box::new(CelString::from(text))
}

fn absent<'v>(name: &str) -> Found<'v> {
    Err(ExecutionError::no_such_key(name))
}

fn unclear<'v>() -> Found<'v> {
    Err(ExecutionError::function_error(UNCLEAR, ""))
}
