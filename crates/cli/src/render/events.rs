//! `eud events`: a line for each event, and the catalogue.

use std::collections::BTreeMap;

use eud_core::event::{Event, catalogue};
use eud_core::fleet::EventType;
use jiff::Timestamp;
use serde_json::Value;

use super::Screen;
use super::ink::Ink;
use super::layout::{cut_end, cut_middle, one_line, width};

/// Columns of the type and of the subject. Events come one by one, so that no table can be made.
const KIND: usize = 20;
const SUBJECT: usize = 16;

/// Fields that only programs want.
const DULL: [&str; 10] = [
    "run",
    "generation",
    "unit",
    "job",
    "gauge",
    "gate",
    "daemon",
    "from",
    "pool",
    "task",
];

/// One event, as a line.
pub(crate) fn line(event: &Event, screen: &Screen) -> String {
    let at = Timestamp::from_millisecond(event.time_ms).unwrap_or_default();
    let time = match screen.verbose {
        true => format!("{:>6} {}", event.seq, screen.clock.absolute(at)),
        false => screen.clock.time_of_day(at),
    };
    let subject = one_line(event.subject.as_deref().unwrap_or(""));
    let room = screen
        .width
        .saturating_sub(width(&time) + KIND + SUBJECT + 7);
    let line = format!(
        " {}  {}{}  {}{}  {}",
        Ink::Dim.paint(screen.color, &time),
        ink(&event.kind).paint(screen.color, &cut_middle(&event.kind, KIND)),
        " ".repeat(KIND.saturating_sub(width(&event.kind))),
        cut_middle(&subject, SUBJECT),
        " ".repeat(SUBJECT.saturating_sub(width(&subject))),
        cut_end(&summary(&event.data), room),
    );
    format!("{}\n", line.trim_end())
}

/// Colour carries state only: it is that of what the type says.
fn ink(kind: &str) -> Ink {
    let last = kind.rsplit('.').next().unwrap_or("");
    match last {
        "failed" | "crash-looping" | "unknown" | "broken" | "over" | "lost" | "timed-out"
        | "overdue" => Ink::Red,
        "degraded" | "backing-off" | "warn" | "under" | "frozen" | "missed" | "problem"
        | "stalling" | "retrying" => Ink::Yellow,
        "held" | "paused" | "closed" => Ink::Magenta,
        "ready" | "ok" | "succeeded" | "kept" | "opened" | "restored" => Ink::Green,
        _ => Ink::Plain,
    }
}

/// A payload in few words: what is said in words first, then the rest.
fn summary(data: &Value) -> String {
    let Value::Object(fields) = data else {
        return match data {
            Value::Null => String::new(),
            Value::String(text) => one_line(text),
            other => one_line(&other.to_string()),
        };
    };
    let spoken = ["reason", "why", "how", "cause", "message", "problem"];
    let words = spoken
        .iter()
        .filter_map(|name| fields.get(*name)?.as_str())
        .map(one_line);
    let rest = fields
        .iter()
        .filter(|(name, value)| {
            let is_spoken = spoken.contains(&name.as_str()) && value.is_string();
            !value.is_null() && !is_spoken && !DULL.contains(&name.as_str())
        })
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={}", one_line(text)),
            other => format!("{name}={}", one_line(&other.to_string())),
        });
    words.chain(rest).collect::<Vec<String>>().join("  ")
}

/// Every type that is wanted, with the fields of its payload.
pub(crate) fn types(
    declared: &BTreeMap<String, EventType>,
    is_wanted: impl Fn(&str) -> bool,
    screen: &Screen,
) -> String {
    let mut text = String::new();
    for found in catalogue::TYPES.iter().filter(|f| is_wanted(f.name)) {
        text.push_str(&heading(found.name, found.doc, screen));
        for field in found.fields {
            let optional = if field.required { "" } else { "?" };
            let name = format!("{}{optional}", field.name);
            let doc = Ink::Dim.paint(screen.color, field.doc);
            text.push_str(&format!("   {name:<18}  {doc}\n"));
        }
    }
    for (name, found) in declared.iter().filter(|(name, _)| is_wanted(name)) {
        let doc = found
            .description
            .as_deref()
            .unwrap_or("declared in the fleet file");
        text.push_str(&heading(name, doc, screen));
        if let Some(schema) = &found.schema {
            text.push_str(&format!(
                "   {}\n",
                cut_end(&schema.to_string(), screen.width - 3)
            ));
        }
    }
    text
}

fn heading(name: &str, doc: &str, screen: &Screen) -> String {
    let room = screen.width.saturating_sub(width(name) + 3);
    let name = Ink::Bold.paint(screen.color, name);
    format!(" {name}  {}\n", cut_end(doc, room))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, subject: Option<&str>, data: Value) -> Event {
        Event {
            seq: 7,
            kind: kind.into(),
            subject: subject.map(Into::into),
            time_ms: 1_795_442_520_250,
            data,
            ..Event::default()
        }
    }

    #[test]
    fn a_line_says_when_what_of_whom_and_why() {
        let exited = json!({"run": "r", "generation": 1, "reason": "exited", "code": 1,
            "signal": null, "class": "failure"});
        let long = json!({"text": "a\nb", "n": [1, 2], "rest": "x".repeat(80)});
        let lines = [
            event("daemon.exited", Some("web"), exited),
            event("manager.started", None, Value::Null),
            event(
                "model.promoted.to.production",
                Some("llama-3-8b-instruct-q4"),
                long,
            ),
            event("note", None, json!("hello")),
        ]
        .map(|event| line(&event, &Screen::fixed(80)))
        .concat();
        assert_eq!(
            lines,
            " 14:02:00  daemon.exited         web               exited  class=failure  code=1\n \
             14:02:00  manager.started\n \
             14:02:00  model.prom…roduction  llama-3-…ruct-q4  n=[1,2]  rest=xxxxxxxxxxxxxx…\n \
             14:02:00  note                                    hello\n"
        );
        assert!(lines.lines().all(|line| width(line) <= 80), "{lines}");
    }

    #[test]
    fn the_catalogue_says_every_field() {
        let text = types(
            &BTreeMap::new(),
            |name| name == "gate.opened",
            &Screen::fixed(80),
        );
        assert_eq!(
            text,
            " gate.opened  Its members go on.\n   gate                name of the gate\n   \
             closed_for_ms       how long it was closed, in milliseconds\n"
        );
    }
}
