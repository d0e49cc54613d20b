//! `bypass:` — routes that need no token.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::found;
use super::matcher::Matcher;
use super::path::plain_method;
use super::pattern::Pattern;
use super::rule::{Rule, Token};
use crate::core::config_error::ConfigErrors;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tokens {
    /// It is ignored. The upstream gets no identity headers.
    #[default]
    Ignored,
    /// It is verified. A good one names the user to the upstream; any other is refused.
    Optional,
}

impl Bypass {
    /// Builds the rule and reports everything that is wrong with the entry.
    pub(super) fn build(&self, errors: &mut ConfigErrors) -> Option<Rule> {
        let path = match (&self.exact, &self.prefix) {
            (Some(exact), None) => found("exact", exact, Pattern::whole(exact, false), errors),
            (None, Some(prefix)) if prefix == "/" && self.is_preflight() => {
                Some(Pattern::everything())
            }
            (None, Some(prefix)) if matches!(prefix.as_str(), "" | "/") => {
                let message = "this prefix exempts every path, so no request would need a token; \
                               only `prefix: /` with `methods: [OPTIONS]` is safe";
                errors.conflict("prefix", message);
                None
            }
            (None, Some(prefix)) => found("prefix", prefix, Pattern::prefix(prefix, false), errors),
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
        let methods = methods.unwrap_or_default();
        for method in methods {
            plain_method(method, errors);
        }
        let route = self.exact.as_ref().or(self.prefix.as_ref());
        Some(Rule {
            name: format!("bypass {}", route.map_or("", String::as_str)).into(),
            matcher: Some(Matcher {
                hosts: Box::default(),
                methods: methods.iter().map(|name| name.as_str().into()).collect(),
                path: path?,
            }),
            token: match self.token {
                Tokens::Ignored => Token::Ignored,
                Tokens::Optional => Token::Optional,
            },
            demands: None,
            ..Rule::default()
        })
    }

    /// Returns whether the entry covers OPTIONS alone, a method that changes nothing.
    fn is_preflight(&self) -> bool {
        let methods = self.methods.as_deref();
        methods.is_some_and(|methods| !methods.is_empty() && methods.iter().all(|m| m == "OPTIONS"))
    }
}
