//! Expressions: CEL, the Common Expression Language (<https://cel.dev>).
//!
//! Purpose: the conditions of subscriptions and rules, over variables that are JSON.
//! Invariants: nothing that a person wrote or that an event holds makes it panic, and its work is
//! bounded beforehand; the same variables give the same value, since the keys of an object come in
//! their order; an error is an error, never `true`; unknown variables and functions are found when
//! it is compiled, not when it is evaluated.
//! Deliberately absent: time, regular expressions, and everything else that is not in CEL's
//! standard library without options.

mod check;
mod error;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::parser::PrattParser;
use cel::{Context, Env, IdedExpr};
use serde_json::{Map, Value};

use check::Shape;

/// Longest expression, in bytes.
pub const SOURCE_BYTES_MAX: usize = 4_096;
/// Expressions may be this deep: `a + b + c` is 3. Each level takes some 40 kB of stack in a build
/// for tests, and a worker's stack is 2 MB.
pub const DEPTH_MAX: usize = 24;
/// Brackets within brackets.
const BRACKETS_MAX: u16 = 48;
/// An evaluation may take this many steps, as far as can be told beforehand.
pub const STEPS_MAX: u64 = 10_000_000;

static ENV: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// Why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes from the beginning of the text; at a character's beginning.
    pub offset: usize,
    /// Why, in words.
    pub why: String,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Program {
    inner: Arc<IdedExpr>,
    shape: Shape,
}

/// Variables, made ready once for any number of programs.
pub struct Scope<'v> {
    context: Context<'v, 'v>,
    measure: value::Measure,
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Scope")
            .field("measure", &self.measure)
            .finish_non_exhaustive()
    }
}

impl<'v> Scope<'v> {
    /// These variables.
    pub fn new(variables: &'v Map<String, Value>) -> Self {
        let mut context = Context::with_env(Arc::clone(&ENV));
        let mut measure = value::Measure::default();
        for (name, value) in variables {
            context.add_variable_as_val(name.as_str(), value::borrowed(value, &mut measure));
        }
        Self { context, measure }
    }
}

impl Program {
    /// Compiles an expression over these variables.
    ///
    /// # Errors
    /// Where it is wrong, and why.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, Fault> {
        if source.trim().is_empty() {
            return Err(fault(0, "it is empty"));
        }
        if source.len() > SOURCE_BYTES_MAX {
            let why = format!("it is longer than {SOURCE_BYTES_MAX} bytes");
            return Err(fault(0, why));
        }
        // Not the parser that the crate takes by itself, which needs 150 kB of stack a bracket.
        let parser = PrattParser::new().max_recursion_depth(BRACKETS_MAX);
        let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse(source)));
        let parsed = parsed.map_err(|_| fault(0, "it cannot be parsed"))?;
        let inner = parsed.map_err(|errors| check::first(source, &errors))?;
        let shape = check::shape(&inner, source, variables)?;
        Ok(Self {
            inner: Arc::new(inner),
            shape,
        })
    }

    /// Its value.
    ///
    /// # Errors
    /// In words: why there is none.
    pub fn eval(&self, variables: &Map<String, Value>) -> Result<Value, String> {
        self.eval_in(&Scope::new(variables))
    }

    /// The same, for many programs over the same variables.
    ///
    /// # Errors
    /// In words: why there is none.
    pub fn eval_in(&self, scope: &Scope<'_>) -> Result<Value, String> {
        let steps = self.shape.steps(&scope.measure);
        if steps > STEPS_MAX {
            return Err(format!(
                "it may take {steps} steps with this much data, more than {STEPS_MAX}"
            ));
        }
        let resolve = || {
            let found = cel::Value::resolve_val(&self.inner, &scope.context);
            let found = found.map_err(|error| error::words(&error))?;
            value::to_json(found.as_ref())
        };
        catch_unwind(AssertUnwindSafe(resolve))
            .unwrap_or_else(|_| Err("the evaluation broke off".to_owned()))
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// In words: why nobody can tell, also when its value is neither `true` nor `false`.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, String> {
        match self.eval_in(scope)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(format!(
                "it is {}, neither true nor false",
                value::noun(&other)
            )),
        }
    }

    /// Its value as text: a text is itself, `null` is nothing, anything else is JSON.
    ///
    /// # Errors
    /// In words: why there is none.
    pub fn text(&self, scope: &Scope<'_>) -> Result<Option<String>, String> {
        Ok(match self.eval_in(scope)? {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        })
    }
}

fn fault(offset: usize, why: impl Into<String>) -> Fault {
    let why = why.into();
    Fault { offset, why }
}

/// Messages of the evaluator quote the values, which may be long.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = chars.by_ref().take(CHARS_MAX).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
