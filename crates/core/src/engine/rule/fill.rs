//! Actions with their templates filled in, and in words.
//!
//! Invariants: every text is parsed once, when the rule is loaded; a name that a template gives is
//! never a pattern, so that an event cannot make an action reach further than was written.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::engine::bus::take::Variables;
use crate::event::Event;
use crate::fleet::{Action, Rule, TaskTemplate};
use crate::template::Template;

/// Signs by which a selector means more than one name.
const PATTERN: &str = "*?[]{}!";

/// The parsed texts of a rule's actions, by their source.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts(BTreeMap<String, Template>);

impl Texts {
    pub(super) fn of(rule: &Rule) -> Result<Self, String> {
        let mut texts = Self::default();
        let rungs = rule.ladder.iter().flat_map(|ladder| &ladder.rungs);
        let climbed = rungs.flat_map(|rung| &rung.then);
        for action in rule.then.iter().chain(climbed) {
            for text in sources(action) {
                let parsed = Template::parse(text).map_err(|fault| fault.why)?;
                texts.0.insert(text.to_owned(), parsed);
            }
        }
        Ok(texts)
    }

    fn text(&self, source: &str, variables: &Value) -> Result<String, String> {
        match self.0.get(source) {
            Some(template) => template.fill(variables),
            None => Ok(source.to_owned()),
        }
    }

    fn maybe(&self, source: Option<&String>, variables: &Value) -> Result<Option<String>, String> {
        source.map(|text| self.text(text, variables)).transpose()
    }

    fn names(&self, sources: &[String], variables: &Value) -> Result<Vec<String>, String> {
        let name = |source: &String| {
            let name = self.text(source, variables)?;
            if name != *source && name.contains(|c| PATTERN.contains(c)) {
                return Err(format!(
                    "`{source}` is `{name}` here: what a template gives must be a name, not a \
                     pattern"
                ));
            }
            Ok(name)
        };
        sources.iter().map(name).collect()
    }

    fn json(&self, value: &Value, variables: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.text(text, variables)?),
            Value::Array(items) => {
                let filled = items.iter().map(|item| self.json(item, variables));
                Value::Array(filled.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let filled = fields
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.json(value, variables)?)));
                Value::Object(filled.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    /// The action with nothing left to fill in.
    pub(super) fn fill(&self, action: &Action, variables: &Value) -> Result<Action, String> {
        let names = |names: &[String]| self.names(names, variables);
        let text = |text: &String| self.text(text, variables);
        Ok(match action {
            Action::Start { names: all } => Action::Start { names: names(all)? },
            Action::Stop { names: all } => Action::Stop { names: names(all)? },
            Action::Restart { names: all } => Action::Restart { names: names(all)? },
            Action::Release { names: all } => Action::Release { names: names(all)? },
            Action::Trigger { names: all } => Action::Trigger { names: names(all)? },
            Action::Hold { names: all, reason } => Action::Hold {
                names: names(all)?,
                reason: text(reason)?,
            },
            Action::Task(task) => Action::Task(TaskTemplate {
                args: task.args.iter().map(text).collect::<Result<_, _>>()?,
                prompt: self.maybe(task.prompt.as_ref(), variables)?,
                key: self.maybe(task.key.as_ref(), variables)?,
                ..task.clone()
            }),
            Action::Emit {
                kind,
                subject,
                data,
            } => Action::Emit {
                kind: text(kind)?,
                subject: self.maybe(subject.as_ref(), variables)?,
                data: self.json(data, variables)?,
            },
            Action::CloseGate { gate, reason } => Action::CloseGate {
                gate: gate.clone(),
                reason: text(reason)?,
            },
            // A channel fills in its own texts.
            Action::Webhook { .. }
            | Action::Exec { .. }
            | Action::Notify(_)
            | Action::OpenGate { .. } => action.clone(),
        })
    }
}

/// The texts of an action that are templates.
fn sources(action: &Action) -> Vec<&str> {
    match action {
        Action::Start { names }
        | Action::Stop { names }
        | Action::Restart { names }
        | Action::Release { names }
        | Action::Trigger { names } => plain_of(names),
        Action::Hold { names, reason } => {
            let mut all = plain_of(names);
            all.push(reason);
            all
        }
        Action::Task(task) => {
            let mut all = plain_of(&task.args);
            all.extend(task.prompt.as_deref());
            all.extend(task.key.as_deref());
            all
        }
        Action::Emit {
            kind,
            subject,
            data,
        } => {
            let mut all = vec![kind.as_str()];
            all.extend(subject.as_deref());
            texts_of(data, &mut all);
            all
        }
        Action::CloseGate { reason, .. } => vec![reason],
        Action::Webhook { .. }
        | Action::Exec { .. }
        | Action::Notify(_)
        | Action::OpenGate { .. } => Vec::new(),
    }
}

fn plain_of(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn texts_of<'v>(value: &'v Value, all: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => all.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, all)),
        Value::Object(fields) => fields.values().for_each(|value| texts_of(value, all)),
        _ => {}
    }
}

/// What templates of a rule may name: `event` and `rule`.
pub(super) fn variables(rule: &Rule, key: &str, event: &Event) -> Value {
    let mut variables = Variables::of(event).0;
    let told = json!({ "name": rule.name, "key": key, "description": rule.description });
    variables.insert("rule".to_owned(), told);
    Value::Object(variables)
}

/// An action in words: `restart api, db`.
pub(super) fn words(action: &Action) -> String {
    match action {
        Action::Start { names } => format!("start {}", names.join(", ")),
        Action::Stop { names } => format!("stop {}", names.join(", ")),
        Action::Restart { names } => format!("restart {}", names.join(", ")),
        Action::Release { names } => format!("release {}", names.join(", ")),
        Action::Trigger { names } => format!("trigger {}", names.join(", ")),
        Action::Hold { names, reason } => format!("hold {}: {reason}", names.join(", ")),
        Action::Task(task) => match task.prompt.as_ref().and_then(|text| text.lines().next()) {
            Some(prompt) => format!("task in pool {}: {prompt}", task.pool),
            None if task.args.is_empty() => format!("task in pool {}", task.pool),
            None => format!("task in pool {}: {}", task.pool, task.args.join(" ")),
        },
        Action::Emit {
            kind,
            subject: Some(subject),
            ..
        } => format!("emit {kind} about {subject}"),
        Action::Emit { kind, .. } => format!("emit {kind}"),
        Action::Webhook { outlet } => format!("webhook {outlet}"),
        Action::Exec { pool } => format!("command of {pool}"),
        Action::Notify(notice) => format!("notify {}", notice.channel),
        Action::CloseGate { gate, reason } => format!("close gate {gate}: {reason}"),
        Action::OpenGate { gate } => format!("open gate {gate}"),
    }
}
