//! Decides which routes need no token.
//!
//! A route is exempt only if every server reads its path alike. Proxies, frameworks and old servers
//! disagree about `..`, `//`, `;`, `\` and percent-encoding. An attacker who finds a spelling that is
//! public here and private at the back end is in. So nothing is decoded or resolved here: a path with
//! any such character is never exempt.

mod path;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::request::Request;

/// One route that needs no token. Give `exact` or `prefix`. The first entry that matches a request
/// counts.
///
/// Paths are compared byte by byte, with case. A request whose path holds a percent sign, a
/// semicolon, a backslash, an empty or all-dots segment or a byte outside printable ASCII is
/// never exempt.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bypass {
    /// This path only: `/healthz` is not `/healthz/`.
    pub exact: Option<String>,
    /// Everything below this path. `/public/` covers what is below it, without `/public` itself;
    /// `/public` covers that path and everything below it. Neither covers `/publicity`. `/` with
    /// `methods: [OPTIONS]` exempts CORS preflight requests, whatever their paths.
    pub prefix: Option<String>,
    /// The methods that need no token, such as `[GET, HEAD]`. Default: every method. A request that
    /// names another method in a header, or in its query by name or by value (`?_method=…`,
    /// `?action=DELETE`), is not exempt. A method in the body of a form cannot be seen here: exempt
    /// no method of a back end that looks there.
    pub methods: Option<Vec<String>>,
    /// What happens to a token on this route.
    #[serde(default)]
    pub token: Tokens,
}

/// What happens to a token on a route that needs none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tokens {
    /// It is ignored. The upstream gets no identity headers.
    #[default]
    Ignored,
    /// It is verified. A good one names the user to the upstream; any other is refused.
    Optional,
}

impl Bypass {
    /// Builds the route and reports everything that is wrong with the entry.
    fn build(&self, errors: &mut ConfigErrors) -> Option<Route> {
        let pattern = match (&self.exact, &self.prefix) {
            (Some(exact), None) => plain("exact", exact, errors).map(Pattern::Exact),
            (None, Some(prefix)) if prefix == "/" && self.is_preflight() => Some(Pattern::Any),
            (None, Some(prefix)) if matches!(prefix.as_str(), "" | "/") => {
                let message = "this prefix exempts every path, so no request would need a token; \
                               only `prefix: /` with `methods: [OPTIONS]` is safe";
                errors.conflict("prefix", message);
                None
            }
            (None, Some(prefix)) => plain("prefix", prefix, errors).map(Pattern::Prefix),
            (Some(_), Some(_)) => {
                errors.push("", "give exact or prefix, not both");
                None
            }
            (None, None) => {
                errors.push("", "exact or prefix is missing");
                None
            }
        };
        let methods = self.methods.as_deref();
        if methods.is_some_and(<[String]>::is_empty) {
            errors.push("methods", "an empty list exempts nothing: remove the entry");
        }
        for method in methods.into_iter().flatten() {
            if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
                let message = format!("{method:?} is not a method such as GET");
                errors.push("methods", message);
            }
        }
        Some(Route {
            pattern: pattern?,
            token: self.token,
            methods: methods.map(|list| list.iter().map(|name| name.as_str().into()).collect()),
        })
    }

    /// Returns whether the entry covers OPTIONS alone, a method that changes nothing.
    fn is_preflight(&self) -> bool {
        let methods = self.methods.as_deref();
        methods.is_some_and(|methods| !methods.is_empty() && methods.iter().all(|m| m == "OPTIONS"))
    }
}

fn plain(field: &str, path: &str, errors: &mut ConfigErrors) -> Option<Box<str>> {
    let why = path::plain(path).err();
    if let Some(why) = why {
        errors.push(field, format!("{path:?} {why}, so no request can match it"));
    }
    why.is_none().then(|| path.into())
}

/// The exempt routes. The default exempts nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    routes: Box<[Route]>,
}

#[derive(Clone, Debug)]
struct Route {
    pattern: Pattern,
    token: Tokens,
    /// `None`: every method.
    methods: Option<Box<[Box<str>]>>,
}

#[derive(Clone, Debug)]
enum Pattern {
    /// Every path, however it is written.
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
}

impl Policy {
    /// Builds the routes of the list `bypass`, or reports everything that is wrong with them.
    pub fn build(bypasses: &[Bypass], errors: &mut ConfigErrors) -> Option<Self> {
        let routes = errors.build(|errors| {
            errors.build_each("bypass", bypasses, |errors, item| item.build(errors))
        });
        routes.map(|routes| Self {
            routes: routes.into(),
        })
    }

    /// Returns what happens to a token of this request, if it needs none.
    #[must_use]
    pub fn exempts(&self, request: &Request<'_>) -> Option<Tokens> {
        let mut routes = self.routes.iter();
        let route = routes.find(|route| route.covers(request))?;
        let sound = matches!(route.pattern, Pattern::Any)
            || path::plain(request.path()).is_ok()
                && request.query().bytes().all(|byte| byte.is_ascii_graphic())
                && !path::overridden(request);
        sound.then_some(route.token)
    }
}

impl Route {
    fn covers(&self, request: &Request<'_>) -> bool {
        self.pattern.covers(request.path()) && self.allows_method(request)
    }

    fn allows_method(&self, request: &Request<'_>) -> bool {
        let Some(methods) = &self.methods else {
            return true;
        };
        methods.iter().any(|name| **name == *request.method) && !path::method_overridden(request)
    }
}

impl Pattern {
    fn covers(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => path == &**exact,
            Self::Prefix(prefix) => match path.strip_prefix(&**prefix) {
                None => false,
                Some(rest) => prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
            },
        }
    }
}
