//! Reads conditions when the configuration is loaded: what they may name, and how much they may cost.

use std::sync::Arc;
use std::thread::Builder;

use cel::ParseErrors;
use cel::common::ast::{ComprehensionExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::parser::Expression;

use super::{Condition, FUNCTIONS};
use crate::core::config_error::ConfigErrors;

/// Bytes of a condition, at most.
const LONGEST: usize = 1024;

/// How deep calls may nest.
const DEEPEST: u16 = 48;

/// Bytes of the parser's stack: enough for [`LONGEST`] brackets.
const STACK: usize = 64 * 1024 * 1024;

/// How many values a token has at most, and so how often a macro such as `all` runs.
const MOST_VALUES: u32 = 2048;

/// What the evaluation may cost at most, in calls and look-ups. Some milliseconds for a token that was
/// made for that, below a microsecond for others.
const MOST: u32 = 100_000;

/// What a condition can read.
const VARIABLES: [&str; 3] = ["request", "claims", "now"];

/// The members of `request`.
const REQUEST: [&str; 4] = ["method", "host", "path", "headers"];

/// The names of functions, whether they are called on a value, and with how many others.
const CALLS: [(&str, bool, usize); 10] = [
    ("size", false, 1),
    ("size", true, 0),
    ("contains", true, 1),
    ("startsWith", true, 1),
    ("endsWith", true, 1),
    ("bool", false, 1),
    ("int", false, 1),
    ("double", false, 1),
    ("string", false, 1),
    ("uint", false, 1),
];

/// Operators and functions whose result is a boolean or an error.
const BOOLEAN: [&str; 14] = [
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    operators::IN,
    "contains",
    "startsWith",
    "endsWith",
    "bool",
];

/// Operators whose result may be anything.
const OTHERS: [&str; 9] = [
    operators::CONDITIONAL,
    operators::INDEX,
    operators::ADD,
    operators::SUBSTRACT,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::NEGATE,
    operators::NOT_STRICTLY_FALSE,
];

impl Condition {
    /// Compiles a condition, or reports everything that is wrong with it.
    pub(in crate::policy) fn compile(text: &str, errors: &mut ConfigErrors) -> Option<Self> {
        if text.len() > LONGEST {
            errors.push("", format!("is longer than {LONGEST} bytes"));
            return None;
        }
        let (compiled, source) = match parse(text) {
            None => {
                errors.push("", "cannot be read");
                return None;
            }
            Some(Ok(parsed)) => parsed,
            Some(Err(found)) => {
                for error in found.errors {
                    let (line, column) = error.pos;
                    let place = format!("line {line}, column {column}");
                    errors.push("", format!("{place}: is no CEL: {}", error.msg));
                }
                return None;
            }
        };
        let mut reading = Reading {
            source: &source,
            own: Vec::new(),
            cost: 0,
            errors,
            is_sound: true,
        };
        reading.read(&compiled, 1, 0);
        if !may_be_boolean(&compiled) {
            reading.refuse(&compiled, "the result is no boolean");
        }
        let (cost, is_sound) = (reading.cost, reading.is_sound);
        if is_sound && cost > MOST {
            let message = format!(
                "may take {cost} steps for a token with many values, and {MOST} are allowed: read \
                 `claims` outside of all, exists, exists_one, filter and map, or use `roles` and `claims`"
            );
            errors.push("", message);
            return None;
        }
        is_sound.then(|| Self {
            text: text.into(),
            compiled: Arc::new(compiled),
        })
    }
}

/// Parses on a thread of its own: the parser calls itself for each bracket before it finds that there are too many.
fn parse(text: &str) -> Option<Result<(Expression, SourceInfo), ParseErrors>> {
    let parse = || {
        let parser = FUNCTIONS.parser().enable_optional_syntax(false);
        parser
            .max_recursion_depth(DEEPEST)
            .parse_with_source_info(text)
    };
    std::thread::scope(|scope| {
        let thread = Builder::new().stack_size(STACK);
        thread.spawn_scoped(scope, parse).ok()?.join().ok()
    })
}

struct Reading<'e> {
    source: &'e SourceInfo,
    /// The variables that macros declare.
    own: Vec<&'e str>,
    cost: u32,
    errors: &'e mut ConfigErrors,
    is_sound: bool,
}

impl<'e> Reading<'e> {
    fn refuse(&mut self, at: &Expression, message: impl std::fmt::Display) {
        self.is_sound = false;
        let place = self.source.offset_for(at.id).map(|(start, _)| {
            let before = self.source.source.chars().take(start as usize);
            let (mut line, mut column) = (1, 1);
            for letter in before {
                (line, column) = if letter == '\n' {
                    (line + 1, 1)
                } else {
                    (line, column + 1)
                };
            }
            format!("line {line}, column {column}: ")
        });
        self.errors
            .push("", format!("{}{message}", place.unwrap_or_default()));
    }

    /// Reads a node that is evaluated so many times.
    fn read(&mut self, node: &'e Expression, times: u32, depth: u16) {
        if depth > DEEPEST {
            return self.refuse(node, "is nested too deeply");
        }
        self.cost = self.cost.saturating_add(times);
        match &node.expr {
            Expr::Literal(_) => {}
            Expr::Ident(name) => self.read_name(node, name, times),
            Expr::Select(select) => {
                if matches!(&select.operand.expr, Expr::Ident(name) if name == "request")
                    && !REQUEST.contains(&select.field.as_str())
                {
                    let known = REQUEST.join(", ");
                    let message = format!("request has no {}, only {known}", select.field);
                    self.refuse(node, message);
                }
                self.read(&select.operand, times, depth + 1);
            }
            Expr::List(list) => {
                for element in &list.elements {
                    self.read(element, times, depth + 1);
                }
            }
            Expr::Call(call) => {
                let (name, on_value, count) = (
                    call.func_name.as_str(),
                    call.target.is_some(),
                    call.args.len(),
                );
                let is_operator = BOOLEAN[..10].contains(&name) || OTHERS.contains(&name);
                if !is_operator && !CALLS.contains(&(name, on_value, count)) {
                    self.refuse(node, unknown_call(name, on_value, count));
                }
                for part in call.target.as_deref().into_iter().chain(&call.args) {
                    self.read(part, times, depth + 1);
                }
            }
            Expr::Comprehension(macros) if times == 1 => self.read_macro(macros, depth),
            Expr::Comprehension(_) => {
                self.refuse(
                    node,
                    "a macro such as all and exists must not stand in another one",
                );
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.refuse(node, "maps and structures cannot be written here");
            }
        }
    }

    fn read_name(&mut self, node: &'e Expression, name: &'e str, times: u32) {
        let each = match name {
            _ if self.own.contains(&name) => 0,
            "claims" => MOST_VALUES,
            // Texts of the request may be long.
            "request" => 8,
            "now" => 0,
            _ => {
                let known = VARIABLES.join(", ");
                let message = format!("{name} is unknown; there are {known}");
                return self.refuse(node, message);
            }
        };
        self.cost = self.cost.saturating_add(times.saturating_mul(each));
    }

    /// Reads what a macro such as `all` became. It may run over a list of a token.
    fn read_macro(&mut self, macros: &'e ComprehensionExpr, depth: u16) {
        self.read(&macros.iter_range, 1, depth + 1);
        self.read(&macros.accu_init, 1, depth + 1);
        let declared = [
            Some(&macros.accu_var),
            Some(&macros.iter_var),
            macros.iter_var2.as_ref(),
        ];
        let before = self.own.len();
        for name in declared.into_iter().flatten() {
            if VARIABLES.contains(&name.as_str()) {
                self.refuse(
                    &macros.iter_range,
                    format!("{name} must not be declared again"),
                );
            }
            self.own.push(name);
        }
        for step in [&macros.loop_cond, &macros.loop_step] {
            self.read(step, MOST_VALUES, depth + 1);
        }
        self.read(&macros.result, 1, depth + 1);
        self.own.truncate(before);
    }
}

fn unknown_call(name: &str, on_value: bool, count: usize) -> String {
    let known = CALLS.iter().find(|(known, ..)| *known == name);
    match known {
        Some((_, true, wanted)) => format!("{name} is called on a value, with {wanted} others"),
        Some((_, false, wanted)) if on_value || count != *wanted => {
            format!("{name} is called with {wanted} value")
        }
        _ => {
            let mut known: Vec<&str> = CALLS.iter().map(|(known, ..)| *known).collect();
            known.dedup();
            format!("{name} is no function here; there are {}", known.join(", "))
        }
    }
}

/// Returns whether the result may be a boolean, as far as can be seen without claims.
fn may_be_boolean(node: &Expression) -> bool {
    match &node.expr {
        Expr::Literal(literal) => matches!(literal, LiteralValue::Boolean(_)),
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => {
            call.args.iter().skip(1).all(may_be_boolean)
        }
        Expr::Call(call) => {
            call.func_name == operators::INDEX || BOOLEAN.contains(&call.func_name.as_str())
        }
        Expr::Select(select) => {
            select.test
                || !REQUEST.contains(&select.field.as_str())
                || !matches!(&select.operand.expr, Expr::Ident(name) if name == "request")
        }
        // `filter` and `map` make lists.
        Expr::Comprehension(macros) => !matches!(macros.accu_init.expr, Expr::List(_)),
        _ => false,
    }
}
