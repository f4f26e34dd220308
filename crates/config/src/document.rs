//! A TOML document with the place of every key and value.
//!
//! Purpose: one owned tree for all files, so that tables of different files can be merged and every
//! problem still points to where it was written.
//! Invariants: entries are in the order of the file; keys of a table are unique; nesting is bounded
//! by the TOML parser (80 levels).

use std::collections::HashSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Code;
use crate::source::{At, Draft, Report, Sources, quoted};

/// Syntax errors reported for one file; later ones tend to follow from the first.
const SYNTAX_ERRORS_MAX: usize = 5;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

/// A value as written, `${VAR}` not yet expanded.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Integer {
        /// `None` when it does not fit.
        value: Option<i64>,
        radix: u32,
    },
    Float(f64),
    Bool(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Table),
}

/// A table: its entries in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: At,
    pub(crate) node: Node,
}

impl Value {
    /// What it is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer { .. } => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "a boolean",
            Self::Datetime => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Bytes that a copy takes, roughly.
    pub(crate) fn weight(&self) -> usize {
        fn of(node: &Node) -> usize {
            let inner = match &node.value {
                Value::Text(text) => text.len(),
                Value::Array(items) => items.iter().map(of).sum(),
                Value::Table(table) => table.weight(),
                _ => 0,
            };
            inner + size_of::<Node>()
        }
        self.entries
            .iter()
            .map(|entry| of(&entry.node) + entry.key.len())
            .sum()
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }
}

/// Parses a file that is already among the sources. `None` when its text is not TOML; a key given
/// twice is reported and the rest is still returned, so that its other errors are found too.
pub(crate) fn parse(sources: &Sources, file: usize, report: &mut Report) -> Option<Table> {
    let whole = At {
        file,
        start: 0,
        end: 0,
    };
    let text = sources.text(sources.path(file)).unwrap_or_default();
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut lines = HashSet::new();
    let mut fatal = 0;
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let at = At {
            start: span.start,
            end: span.end,
            ..whole
        };
        if error.message() == "duplicate key" {
            report.push(duplicate(sources, text, at));
            continue;
        }
        fatal += 1;
        if fatal <= SYNTAX_ERRORS_MAX && lines.insert(sources.line(at)) {
            report.push(syntax(at, text, error.message()));
        }
    }
    (fatal == 0).then(|| table(root.into_inner(), file))
}

fn syntax(at: At, text: &str, message: &str) -> Draft {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let draft = Draft::error(Code::Syntax, at, format!("this is not TOML: {what}"));
    let draft = match expected {
        "" => draft,
        expected => draft.label(format!("expected {expected}")),
    };
    let found = text.get(at.start..at.end).unwrap_or_default();
    match (what, found.trim()) {
        ("string values must be quoted", "") => {
            Draft::error(Code::Syntax, at, "this is not TOML: a value is missing")
                .label("write one after the `=`")
        }
        ("string values must be quoted", found) => draft.label(format!("write \"{found}\"")),
        _ => draft,
    }
}

/// The TOML parser says where a key is repeated; where it was given first is found in the text.
fn duplicate(sources: &Sources, text: &str, at: At) -> Draft {
    let key = sources.slice(at);
    let draft = Draft::error(
        Code::DuplicateKey,
        at,
        format!("{} is given twice", quoted(key)),
    );
    let line_start = text
        .get(..at.start)
        .and_then(|t| t.rfind('\n'))
        .map_or(0, |i| i + 1);
    let header = text.get(line_start..).unwrap_or_default().starts_with('[');
    let this = statement(
        text.get(line_start..).unwrap_or_default().lines().next(),
        header,
    );
    let mut end = line_start;
    for line in text
        .get(..line_start)
        .unwrap_or_default()
        .split_inclusive('\n')
        .rev()
    {
        let start = end - line.len();
        if statement(Some(line), header) == this {
            let at = At {
                start,
                end: start + line.trim_end().len(),
                ..at
            };
            return draft.label("here again").also(at, "first given here");
        }
        if !header && line.starts_with('[') {
            break;
        }
        end = start;
    }
    draft.label("given before, in another form")
}

/// The part of a line that says which key it is about.
fn statement(line: Option<&str>, header: bool) -> Option<&str> {
    let line = line?.trim();
    let end = if header {
        line.find(']')
    } else {
        line.find('=')
    };
    line.get(..end?).map(str::trim)
}

fn table(parsed: DeTable<'_>, file: usize) -> Table {
    let mut entries: Vec<Entry> = parsed
        .into_iter()
        .map(|(key, value)| Entry {
            key_at: place(&key, file),
            key: key.into_inner().into_owned(),
            node: node(value, file),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_at);
    Table { entries }
}

fn node(parsed: Spanned<DeValue<'_>>, file: usize) -> Node {
    let at = place(&parsed, file);
    let value = match parsed.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(n) => Value::Integer {
            value: i64::from_str_radix(n.as_str(), n.radix()).ok(),
            radix: n.radix(),
        },
        DeValue::Float(n) => Value::Float(n.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => Value::Bool(b),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => {
            Value::Array(items.into_iter().map(|item| node(item, file)).collect())
        }
        DeValue::Table(entries) => Value::Table(table(entries, file)),
    };
    Node { at, value }
}

fn place<T>(spanned: &Spanned<T>, file: usize) -> At {
    let span = spanned.span();
    At {
        file,
        start: span.start,
        end: span.end,
    }
}
