//! `eud rule`: what rules did and would do.

use std::io::Read;
use std::path::Path;

use eud_core::event::DATA_BYTES_MAX;
use eud_core::io::Refusal;
use eud_core::view::{RuleTrial, RuleView};
use serde_json::{Value, json};

use super::pool::change;
use crate::args::{RuleCommand, RuleNameArgs};
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::rules;

/// Longest file with an event, in bytes: the payload, and room for the rest.
const EVENT_BYTES_MAX: u64 = DATA_BYTES_MAX as u64 + 65_536;

/// `eud rule`
///
/// # Errors
/// As the client's; usage, when the event is none.
pub(crate) fn run(context: &Context, command: &RuleCommand) -> Result<u8, Error> {
    let enable = |name: &str, enabled: bool| {
        let params = json!({ "name": name, "enabled": enabled });
        let said = match enabled {
            true => format!("enabled rule {name}\n"),
            false => format!("disabled rule {name}\n"),
        };
        change(context, "rule.enable", &params, &said)
    };
    match command {
        RuleCommand::List => list(context),
        RuleCommand::Show(RuleNameArgs { name }) => show(context, name),
        RuleCommand::Enable(RuleNameArgs { name }) => enable(name, true),
        RuleCommand::Disable(RuleNameArgs { name }) => enable(name, false),
        RuleCommand::Reset(RuleNameArgs { name }) => {
            let said = format!("rule {name} begins anew\n");
            change(context, "rule.reset", &json!({ "name": name }), &said)
        }
        RuleCommand::Test { name, event } => test(context, name, event),
    }
}

fn all(context: &Context) -> Result<Vec<RuleView>, Error> {
    Ok(context.client()?.call("rule.list", &json!({}))?)
}

fn list(context: &Context) -> Result<u8, Error> {
    let found = all(context)?;
    if context.common.json {
        context::print_json(&found)?;
    } else if found.is_empty() {
        context::print("no rules yet: declare one as `[[rules]]`\n")?;
    } else {
        context::print(&rules::list(&found, &context.screen()))?;
    }
    Ok(code::OK)
}

fn show(context: &Context, name: &str) -> Result<u8, Error> {
    let found = all(context)?.into_iter().find(|rule| rule.name == name);
    let rule = found.ok_or_else(|| {
        Error::Refused(Refusal::Unknown {
            what: "rule".to_owned(),
            name: name.to_owned(),
        })
    })?;
    if context.common.json {
        context::print_json(&rule)?;
    } else {
        context::print(&rules::show(&rule, &context.screen()))?;
    }
    Ok(code::OK)
}

fn test(context: &Context, name: &str, path: &Path) -> Result<u8, Error> {
    let event = event(path)?;
    let params = json!({ "name": name, "event": event });
    let trial: RuleTrial = context.client()?.call("rule.test", &params)?;
    if context.common.json {
        context::print_json(&trial)?;
    } else {
        context::print(&rules::trial(&trial, &context.screen()))?;
    }
    Ok(if trial.acts {
        code::OK
    } else {
        code::NOT_AS_ASKED
    })
}

/// An event as a person wrote it, or as `eud events --json` did.
fn event(path: &Path) -> Result<Value, Error> {
    let failed = |e| Error::file("read", path, e);
    let mut text = String::new();
    let room = EVENT_BYTES_MAX + 1;
    if path == Path::new("-") {
        std::io::stdin().take(room).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(room).read_to_string(&mut text)
    }
    .map_err(failed)?;
    let usage = |what: String| Error::Usage {
        what,
        help: "`eud events --json -n 1` prints one".into(),
    };
    if text.len() as u64 > EVENT_BYTES_MAX {
        let why = format!("the event is longer than {EVENT_BYTES_MAX} bytes");
        return Err(usage(why));
    }
    let mut event: Value =
        serde_json::from_str(&text).map_err(|e| usage(format!("the event is no JSON: {e}")))?;
    let Some(attributes) = event.as_object_mut() else {
        return Err(usage("the event is no JSON object".into()));
    };
    // What only matters once it is published.
    for (name, value) in [("specversion", "1.0"), ("id", "test"), ("source", "test")] {
        let attribute = attributes.entry(name);
        attribute.or_insert_with(|| json!(value));
    }
    Ok(event)
}
