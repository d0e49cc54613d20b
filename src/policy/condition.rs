//! Conditions in CEL, the Common Expression Language: for what lists of values cannot say.

mod compile;
mod values;

use std::sync::{Arc, LazyLock};

use cel::common::types::CelBool;
use cel::parser::Expression;
use cel::{Context, Env, ExecutionError, Value};

use crate::core::reason::Reason;
use values::UNCLEAR;
pub(super) use values::{Read, Values};

/// The functions that conditions may call, and no variables.
static FUNCTIONS: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A condition that was compiled and whose cost is bounded.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    text: Arc<str>,
    compiled: Arc<Expression>,
}

impl Condition {
    /// Returns nothing if the condition holds.
    ///
    /// # Errors
    /// Why the request is refused, and what to tell operators beside the condition. The messages of the
    /// interpreter hold values of the request, so they are dropped.
    pub(super) fn check(&self, values: &Values<'_, '_, '_>) -> Result<(), (Reason, &'static str)> {
        let mut context = Context::with_env(Arc::clone(&FUNCTIONS));
        context.set_variable_resolver(values);
        let found = match Value::resolve_val(&self.compiled, &context) {
            Ok(found) => found,
            Err(ExecutionError::NoSuchKey(_)) => {
                return Err((
                    Reason::Forbidden,
                    "a claim or a header that it reads is absent",
                ));
            }
            Err(ExecutionError::FunctionError { function, .. }) if function == UNCLEAR => {
                let found =
                    "the method, the path, the host or a header can be read in several ways";
                return Err((Reason::AmbiguousRequest, found));
            }
            Err(_) => {
                let found = "a value of another type than it expects, or no result";
                return Err((Reason::ConditionFailed, found));
            }
        };
        match found.downcast_ref::<CelBool>().map(|flag| *flag.inner()) {
            Some(true) => Ok(()),
            Some(false) => Err((Reason::Forbidden, "it does not hold")),
            None => Err((Reason::ConditionFailed, "its result is no boolean")),
        }
    }
}

/// Writes it as the configuration does.
impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
