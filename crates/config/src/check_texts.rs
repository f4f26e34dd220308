//! Checks of texts that have a language of their own: patterns of event types, CEL expressions,
//! templates, and tables that are JSON.
//!
//! Invariants: what is accepted here parses again in the core, with the same limits; what came from
//! a variable is never shown.

use std::ops::Range;

use eud_core::event::parse_glob;
use eud_core::expr::{Fault, Program};
use eud_core::template::{EVENT, Known, TASK, Template};
use serde_json::{Map, Number, Value as Json};

use crate::check::{Checker, Text};
use crate::diagnostic::Code;
use crate::document::{Node, Value};
use crate::source::{At, Draft, quoted};

/// What templates of rules may name, too.
pub(crate) const RULE: Known = Known {
    name: "rule",
    parts: Some(&["name", "key", "description"]),
};

/// Variables of expressions.
pub(crate) const EXPRESSION_VARIABLES: [&str; 1] = ["event"];

impl Checker<'_> {
    pub(crate) fn event_pattern(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        let Err(why) = parse_glob(&text.text) else {
            return Some(text.text);
        };
        let message = format!("{} is not a valid pattern of event types", quoted(key));
        let label = shown(&text, why);
        self.error(Code::BadPattern, node.at, message, label);
        None
    }

    /// An expression. `${VAR}` is not expanded: a value could be anything.
    pub(crate) fn cel(&mut self, key: &str, node: &Node) -> Option<String> {
        let Value::Text(source) = &node.value else {
            return None;
        };
        let fault = match Program::compile(source, &EXPRESSION_VARIABLES) {
            Ok(_) => return Some(source.clone()),
            Err(fault) => fault,
        };
        let place = self.sources.within(node.at, source, span(source, &fault));
        let message = format!("{} is not a valid expression", quoted(key));
        self.error(Code::BadExpression, place, message, fault.why);
        None
    }

    /// A template over `event`; within a rule, over `rule` too.
    pub(crate) fn event_text(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        let known: &[Known] = if self.rule { &[EVENT, RULE] } else { &[EVENT] };
        let good = self.template(key, node.at, &text, known);
        good.then_some(text.text)
    }

    /// A template over `event`.
    pub(crate) fn message_text(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        let good = self.template(key, node.at, &text, &[EVENT]);
        good.then_some(text.text)
    }

    /// A name or a selector, or a template that gives one.
    pub(crate) fn named_text(&mut self, key: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) if is_template(text) => self.event_text(key, node),
            _ => self.line(key, node),
        }
    }

    /// A table as JSON, whose texts are templates. Nothing is expanded.
    pub(crate) fn json_texts(&mut self, key: &str, node: &Node) -> Option<Json> {
        let json = self.json(key, node)?;
        self.templates_within(key, node).then_some(json)
    }

    fn templates_within(&mut self, key: &str, node: &Node) -> bool {
        match &node.value {
            Value::Text(text) => {
                let text = Text {
                    text: text.clone(),
                    expanded: false,
                };
                self.template(key, node.at, &text, &[EVENT, RULE])
            }
            Value::Array(items) => {
                let mut good = true;
                for item in items {
                    good &= self.templates_within(key, item);
                }
                good
            }
            Value::Table(table) => {
                let mut good = true;
                for entry in &table.entries {
                    good &= self.templates_within(key, &entry.node);
                }
                good
            }
            _ => true,
        }
    }

    /// A template over `task`. Integers and booleans are taken as their texts.
    pub(crate) fn task_text(&mut self, key: &str, node: &Node) -> Option<String> {
        if !matches!(node.value, Value::Text(_)) {
            return self.env_text(key, node);
        }
        let text = self.text(key, node)?;
        self.template(key, node.at, &text, &[TASK])
            .then(|| self.env_text(key, node))?
    }

    /// A path, absolute unless a template gives its beginning.
    pub(crate) fn task_path(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        if !self.template(key, node.at, &text, &[TASK]) {
            return None;
        }
        match begins_with_template(&text.text) {
            true => Some(text.text),
            false => self.path(key, node),
        }
    }

    /// Whether a word of a command is a template over `task`; what is wrong has been reported.
    pub(crate) fn task_word(&mut self, key: &str, at: At, text: &Text) -> bool {
        self.template(key, at, text, &[TASK])
    }

    fn template(&mut self, key: &str, at: At, text: &Text, known: &[Known]) -> bool {
        let parsed = Template::parse(&text.text);
        let Err(fault) = parsed.and_then(|template| template.check(known)) else {
            return true;
        };
        let place = self
            .sources
            .within(at, &text.text, span(&text.text, &fault));
        let message = format!("{} is not a valid template", quoted(key));
        let label = shown(text, fault.why);
        self.error(Code::BadTemplate, place, message, label);
        false
    }

    /// A table as JSON. Nothing is expanded.
    pub(crate) fn json(&mut self, key: &str, node: &Node) -> Option<Json> {
        let bad = |at: At, what: &str, checker: &mut Self| {
            let message = format!("{} is taken as JSON, which has no {what}", quoted(key));
            checker.error(Code::WrongType, at, message, "not JSON");
            None
        };
        match &node.value {
            Value::Text(text) => Some(Json::String(text.clone())),
            Value::Bool(value) => Some(Json::Bool(*value)),
            Value::Integer { value, .. } => match value {
                Some(value) => Some(Json::from(*value)),
                None => bad(node.at, "integers of this size", self),
            },
            Value::Float(value) => match Number::from_f64(*value) {
                Some(number) => Some(Json::Number(number)),
                None => bad(node.at, "infinite numbers", self),
            },
            Value::Datetime => bad(node.at, "dates", self),
            Value::Array(items) => {
                let items: Vec<Option<Json>> =
                    items.iter().map(|item| self.json(key, item)).collect();
                items.into_iter().collect::<Option<_>>().map(Json::Array)
            }
            Value::Table(table) => {
                let mut object = Map::new();
                let mut good = true;
                for entry in &table.entries {
                    match self.json(key, &entry.node) {
                        Some(value) => drop(object.insert(entry.key.clone(), value)),
                        None => good = false,
                    }
                }
                good.then_some(Json::Object(object))
            }
        }
    }

    /// A JSON Schema, as the core compiles it.
    pub(crate) fn json_schema(&mut self, key: &str, node: &Node) -> Option<Json> {
        let schema = self.json(key, node)?;
        let Err(fault) = compile_schema(&schema) else {
            return Some(schema);
        };
        let place = at_pointer(node, &fault.pointer);
        let message = format!("{} is not a valid JSON Schema", quoted(key));
        let draft = Draft::error(Code::BadSchema, place, message);
        self.report.push(draft.label(fault.why));
        None
    }
}

/// Why a JSON value is no JSON Schema, and where.
pub(crate) struct SchemaFault {
    /// JSON pointer.
    pub(crate) pointer: String,
    pub(crate) why: String,
}

/// Compiles a JSON Schema.
pub(crate) fn compile_schema(schema: &Json) -> Result<(), SchemaFault> {
    let compiled = jsonschema::validator_for(schema);
    compiled.map(drop).map_err(|error| {
        let said = error.to_string();
        let elsewhere = "a schema that is elsewhere is not fetched; put it into `$defs`";
        let why: String = match said.contains("not present in a registry") {
            true => elsewhere.to_owned(),
            false => said.chars().take(200).collect(),
        };
        SchemaFault {
            pointer: error.instance_path().to_string(),
            why: why.chars().map(crate::source::printable).collect(),
        }
    })
}

/// Place of a part of a value; of the nearest part around it that was written.
fn at_pointer(node: &Node, pointer: &str) -> At {
    let mut node = node;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let inner = match &node.value {
            Value::Table(table) => table.get(&step).map(|entry| &entry.node),
            Value::Array(items) => step.parse().ok().and_then(|at: usize| items.get(at)),
            _ => None,
        };
        match inner {
            Some(inner) => node = inner,
            None => break,
        }
    }
    node.at
}

/// Whether something in it is to be filled in.
pub(crate) fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|open| text.contains(open))
}

/// Whether nothing stands before the first template.
pub(crate) fn begins_with_template(text: &str) -> bool {
    text.starts_with("{{") || text.starts_with("{%")
}

/// The word that a fault is about.
fn span(source: &str, fault: &Fault) -> Range<usize> {
    let rest = source.get(fault.offset..).unwrap_or_default();
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    let length = match word {
        0 => rest.chars().next().map_or(0, char::len_utf8),
        word => word,
    };
    match length {
        // At the end: the whole text.
        0 => 0..source.len(),
        length => fault.offset..fault.offset + length,
    }
}

/// A reason, which may repeat a part of the text.
fn shown(text: &Text, why: String) -> String {
    match text.expanded {
        true => "after its variables are filled in".to_owned(),
        false => why.chars().map(crate::source::printable).collect(),
    }
}
