//! Templates: minijinja, which is Jinja (<https://docs.rs/minijinja>).
//!
//! Purpose: texts with `{{ … }}` over variables that are JSON: arguments and prompts of tasks.
//! Invariants: what is not defined is an error, never an empty text; nothing that a person wrote or
//! that an event holds makes it panic, and its work is bounded; the same variables give the same
//! text. `null` is an empty text, lists and maps are JSON.
//! Deliberately absent: includes, imports, macros, escaping for HTML, the clock, the environment.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::Value;

pub use crate::expr::Fault;

/// Longest template, in bytes.
pub const SOURCE_BYTES_MAX: usize = 131_072;
/// Longest text that a template gives, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// Steps that filling in may take: an instruction, or 64 bytes.
const FUEL: u64 = 1_000_000;
/// Words and signs between one pair of braces, at most: a chain of them is as deep as it is long.
const WORDS_MAX: usize = 120;
/// Brackets, or blocks, within each other.
const DEPTH_MAX: usize = 24;
/// The engine's own measure of depth, when it fills in.
const RECURSION_MAX: usize = 200;
const NAME: &str = "template";

/// A variable that templates may name.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What it has; `None`: nobody knows beforehand.
    pub parts: Option<&'static [&'static str]>,
}

/// What a pool's templates may name.
pub const TASK: Known = Known {
    name: "task",
    parts: Some(&[
        "id",
        "pool",
        "attempt",
        "args",
        "prompt",
        "prompt_file",
        "key",
        "dir",
    ]),
};

/// What templates of subscriptions may name. An event may have attributes of its own.
pub const EVENT: Known = Known {
    name: "event",
    parts: None,
};

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    source: Arc<str>,
    /// `None`: it is a plain text.
    environment: Option<Arc<Environment<'static>>>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// Where it is wrong, and why.
    pub fn parse(source: &str) -> Result<Self, Fault> {
        if source.len() > SOURCE_BYTES_MAX {
            let why = format!("it is longer than {SOURCE_BYTES_MAX} bytes");
            return Err(fault(0, why));
        }
        if !["{{", "{%", "{#"].iter().any(|open| source.contains(open)) {
            return Ok(Self {
                source: source.into(),
                environment: None,
            });
        }
        nesting(source)?;
        let parsed = catch_unwind(|| {
            let mut environment = surroundings()?;
            environment.add_template_owned(NAME, source.to_owned())?;
            Ok(environment)
        });
        let parsed = parsed.map_err(|_| fault(0, "it cannot be parsed"))?;
        let environment = parsed.map_err(|error| place(source, &error))?;
        Ok(Self {
            source: source.into(),
            environment: Some(Arc::new(environment)),
        })
    }

    /// The template as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether there is nothing to fill in.
    pub fn is_plain(&self) -> bool {
        self.environment.is_none()
    }

    /// Variables that it may look up: `task.prompt`, `event.data.size`.
    pub fn variables(&self) -> BTreeSet<String> {
        let template = self.environment.as_ref().map(|all| all.get_template(NAME));
        match template {
            Some(Ok(template)) => template.undeclared_variables(true).into_iter().collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Refuses variables, filters and functions that nobody knows.
    ///
    /// # Errors
    /// Where the first one is, and what was meant.
    pub fn check(&self, known: &[Known]) -> Result<(), Fault> {
        for path in self.variables() {
            let mut parts = path.split('.');
            let (root, part) = (parts.next().unwrap_or_default(), parts.next());
            if FUNCTIONS.contains(&root) {
                continue;
            }
            let Some(variable) = known.iter().find(|known| known.name == root) else {
                let names = known.iter().map(|known| known.name);
                return Err(self.unknown(root, "variable", names));
            };
            if let (Some(part), Some(all)) = (part, variable.parts)
                && !all.contains(&part)
            {
                let path = format!("{root}.{part}");
                let all: Vec<String> = all.iter().map(|part| format!("{root}.{part}")).collect();
                return Err(self.unknown(&path, "variable", all.iter().map(String::as_str)));
            }
        }
        // Filters are looked up when they are used.
        match self.render(&Value::Object(sample(known))) {
            Err(error) if is_unknown(&error) => Err(place(&self.source, &error)),
            _ => Ok(()),
        }
    }

    fn unknown<'n>(&self, name: &str, noun: &str, known: impl Iterator<Item = &'n str>) -> Fault {
        let offset = self.source.find(name).unwrap_or_default();
        let why = format!("there is no {noun} `{name}`");
        match crate::select::nearest(name, known) {
            Some(near) => fault(offset, format!("{why}; did you mean `{near}`?")),
            None => fault(offset, why),
        }
    }

    /// The text with its variables filled in.
    ///
    /// # Errors
    /// In words: what is not defined, or went wrong.
    pub fn fill(&self, variables: &Value) -> Result<String, String> {
        let text = self
            .render(variables)
            .map_err(|error| place(&self.source, &error).why)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("the text is longer than {TEXT_BYTES_MAX} bytes"));
        }
        Ok(text)
    }

    fn render(&self, variables: &Value) -> Result<String, Error> {
        let Some(environment) = &self.environment else {
            return Ok(self.source.to_string());
        };
        let render = || {
            let template = environment.get_template(NAME)?;
            template.render(Serde(variables))
        };
        let broken = || Error::new(ErrorKind::InvalidOperation, "filling in broke off");
        catch_unwind(AssertUnwindSafe(render)).unwrap_or_else(|_| Err(broken()))
    }
}

/// Functions that templates may call.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

fn surroundings() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    environment.set_syntax(syntax.keep_trailing_newline(true).build()?);
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.remove_global("debug");
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::None => Ok(()),
        ValueKind::Map | ValueKind::Seq => {
            let json = serde_json::to_string(value).map_err(|error| {
                Error::new(ErrorKind::BadSerialization, "it is no JSON").with_source(error)
            })?;
            out.write_str(&json).map_err(Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    Ok(environment)
}

fn is_unknown(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
    )
}

/// Something of each variable, to fill in.
fn sample(known: &[Known]) -> serde_json::Map<String, Value> {
    let of = |known: &Known| {
        let parts = known.parts.unwrap_or_default().iter();
        let parts = parts.map(|part| ((*part).to_owned(), Value::from("x")));
        (known.name.to_owned(), Value::Object(parts.collect()))
    };
    known.iter().map(of).collect()
}

fn fault(offset: usize, why: impl Into<String>) -> Fault {
    let why = why.into();
    Fault { offset, why }
}

/// Refuses what would be too deep for the parser: it goes down once more for each.
fn nesting(source: &str) -> Result<(), Fault> {
    let mut blocks = 0_usize;
    let mut at = 0;
    while let Some(found) = source.get(at..).and_then(|rest| rest.find(['{', '}'])) {
        let start = at + found;
        let rest = source.get(start..).unwrap_or_default();
        at = start + 1;
        let Some(inner) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("{%")) else {
            continue;
        };
        // To the next pair of braces: what is in quotes counts, which does no harm.
        let end = inner.find("}}").or_else(|| inner.find("%}"));
        let end = inner.find("%}").min(end).or(end).unwrap_or(inner.len());
        let inner = inner.get(..end).unwrap_or_default();
        words(inner).map_err(|why| fault(start, why))?;
        if rest.starts_with("{%") {
            let word = inner.trim_start_matches(['-', '+', ' ', '\t', '\r', '\n']);
            match word {
                word if word.starts_with("end") => blocks = blocks.saturating_sub(1),
                // An `elif` is an `if` within an `else`.
                word if word.starts_with("else") || word.starts_with("set ") => {}
                _ => blocks += 1,
            }
            if blocks > DEPTH_MAX {
                let why = format!("more than {DEPTH_MAX} blocks within each other");
                return Err(fault(start, why));
            }
        }
        at = start + 2 + end;
    }
    Ok(())
}

/// Counts words, signs and brackets.
fn words(inner: &str) -> Result<(), String> {
    let (mut words, mut depth, mut in_word) = (0_usize, 0_usize, false);
    for c in inner.chars() {
        let is_word = c.is_alphanumeric() || c == '_';
        words += usize::from(if is_word {
            !in_word
        } else {
            !c.is_whitespace()
        });
        in_word = is_word;
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} brackets within each other"));
        }
        if words > WORDS_MAX {
            return Err(format!(
                "more than {WORDS_MAX} words and signs in one pair of braces"
            ));
        }
    }
    Ok(())
}

/// An error with its place, and without the template around it.
fn place(source: &str, error: &Error) -> Fault {
    let offset = error.range().map_or(0, |range| range.start);
    let offset = (0..=offset.min(source.len()))
        .rev()
        .find(|at| source.is_char_boundary(*at));
    let offset = offset.unwrap_or_default();
    let part = error.range().and_then(|range| source.get(range));
    let part: Option<String> = part.map(|part| part.chars().take(60).collect());
    let why = match (error.kind(), part, error.detail()) {
        (ErrorKind::UndefinedError, Some(part), _) => format!("`{part}` is not defined"),
        (ErrorKind::OutOfFuel, ..) => "it takes too many steps".to_owned(),
        (_, _, Some(detail)) => detail.chars().take(200).collect(),
        (kind, ..) => kind.to_string(),
    };
    fault(offset, why)
}

#[cfg(test)]
mod tests;
