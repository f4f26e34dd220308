//! The types of the manager's own events, and the shapes of their payloads.
//!
//! Purpose: one table from which `eud events --types`, its schemas and the documentation are made,
//! and against which the simulator checks every event.
//! Invariants: a type's shape only grows; a change that breaks readers gets a new type.

use serde_json::{Map, Value, json};

/// What a field of a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A time: milliseconds since the Unix epoch.
    Time,
    /// An array of texts.
    Texts,
}

/// One field of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub shape: Shape,
    /// It is always there, and not `null`.
    pub required: bool,
    /// For people.
    pub doc: &'static str,
}

/// One type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type {
    /// Its name.
    pub name: &'static str,
    /// What happened, for people.
    pub doc: &'static str,
    /// What the subject is; empty: there is none.
    pub subject: &'static str,
    /// Its payload.
    pub fields: &'static [Field],
}

const fn must(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field {
        name,
        shape,
        required: true,
        doc,
    }
}

const fn may(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field {
        name,
        shape,
        required: false,
        doc,
    }
}

const fn kind(
    name: &'static str,
    subject: &'static str,
    doc: &'static str,
    fields: &'static [Field],
) -> Type {
    Type {
        name,
        doc,
        subject,
        fields,
    }
}

use Shape::{Flag, Integer, Number, Text, Texts, Time};

const STATE: &[Field] = &[
    must("from", Text, "state before"),
    may("reason", Text, "why, in words"),
    may("run", Text, "the run"),
];
const LEVEL: &[Field] = &[
    must("gauge", Text, "name of the gauge"),
    must("from", Text, "level before"),
    must("to", Text, "level now"),
    may("value", Number, "the value, if it is known"),
    may("why", Text, "in words"),
];
const GUARD: &[Field] = &[
    must("unit", Text, "the unit"),
    must("guard", Text, "name of the guard"),
    must("broken", Flag, "its limit is broken"),
    must("why", Text, "in words"),
];
const TASK: &[Field] = &[
    must("unit", Text, "the task's unit: pool and number"),
    must("pool", Text, "name of the pool"),
    must("task", Integer, "its number"),
    must("attempt", Integer, "tries that were begun"),
    may("key", Text, "its key"),
    may("reason", Text, "why, in words"),
    may("code", Integer, "exit code of its last try"),
];
const APPROVAL: &[Field] = &[
    must("approval", Integer, "its number"),
    must("rule", Text, "name of the rule"),
    must("key", Text, "what the rule keeps apart"),
    may("by", Text, "who decided"),
];
const WATCH: &[Field] = &[
    must("daemon", Text, "name of the daemon"),
    may("problem", Text, "what is not as it should be"),
];

/// Every type, by name.
pub const TYPES: &[Type] = &[
    kind(
        "approval.asked",
        "rule",
        "A rule waits for a person to agree.",
        &[
            must("approval", Integer, "its number"),
            must("rule", Text, "name of the rule"),
            must("key", Text, "what the rule keeps apart"),
            must("event", Integer, "number of the event"),
            must("actions", Texts, "what would be done, in words"),
            must("expires_ms", Time, "when it is over"),
        ],
    ),
    kind(
        "approval.denied",
        "rule",
        "A person did not agree: nothing is done.",
        APPROVAL,
    ),
    kind(
        "approval.expired",
        "rule",
        "Nobody decided in time: nothing is done.",
        APPROVAL,
    ),
    kind("approval.granted", "rule", "A person agreed.", APPROVAL),
    kind(
        "channel.failed",
        "channel",
        "Messages could not be sent, and are not tried any more by themselves.",
        &[
            must("channel", Text, "name of the channel"),
            must("messages", Integer, "how many"),
            must("first", Integer, "number of the first of them"),
            must("title", Text, "its title"),
            must("attempts", Integer, "tries"),
            must("why", Text, "what the last one was told"),
        ],
    ),
    kind(
        "channel.full",
        "channel",
        "Too many messages wait for the channel; further ones are dropped and counted.",
        &[
            must("channel", Text, "name of the channel"),
            must("waiting", Integer, "how many wait"),
        ],
    ),
    kind(
        "daemon.backing-off",
        "unit",
        "It waits before its next restart.",
        STATE,
    ),
    kind(
        "daemon.crash-looping",
        "unit",
        "It restarted too often and rests.",
        STATE,
    ),
    kind("daemon.degraded", "unit", "It runs, but not well.", STATE),
    kind(
        "daemon.done",
        "unit",
        "It ended well and is not restarted.",
        STATE,
    ),
    kind(
        "daemon.exited",
        "unit",
        "A run ended, with its whole tree.",
        &[
            must("run", Text, "the run"),
            must("generation", Integer, "its generation"),
            must("reason", Text, "how it ended: exited, killed, lost …"),
            may("code", Integer, "exit code; absent: nobody saw it"),
            may(
                "signal",
                Integer,
                "number of the signal that killed the command",
            ),
            may("message", Text, "what went wrong, for people"),
            may("class", Text, "success, alarm, failure or stopped"),
        ],
    ),
    kind(
        "daemon.failed",
        "unit",
        "It ended badly and is not restarted.",
        STATE,
    ),
    kind("daemon.held", "unit", "It is stopped and kept down.", STATE),
    kind(
        "daemon.paused",
        "unit",
        "A gate that is closed keeps it down.",
        STATE,
    ),
    kind("daemon.ready", "unit", "Its readiness probe passed.", STATE),
    kind("daemon.started", "unit", "Its command executes.", STATE),
    kind(
        "daemon.starting",
        "unit",
        "A run is about to begin.",
        &[
            must("run", Text, "the run"),
            must("generation", Integer, "its generation"),
            must("cause", Text, "what brought it about, in words"),
        ],
    ),
    kind("daemon.stopped", "unit", "It is down, as asked.", STATE),
    kind(
        "daemon.unknown",
        "unit",
        "Its keeper does not answer; nobody knows.",
        STATE,
    ),
    kind(
        "gate.closed",
        "gate",
        "Its members are paused.",
        &[
            must("gate", Text, "name of the gate"),
            must("why", Text, "in words"),
        ],
    ),
    kind(
        "gate.opened",
        "gate",
        "Its members go on.",
        &[
            must("gate", Text, "name of the gate"),
            must(
                "closed_for_ms",
                Integer,
                "how long it was closed, in milliseconds",
            ),
        ],
    ),
    kind(
        "gauge.frozen",
        "gauge",
        "Its value stopped changing.",
        LEVEL,
    ),
    kind("gauge.ok", "gauge", "Its value is as it should be.", LEVEL),
    kind(
        "gauge.over",
        "gauge",
        "Its value is above its limit.",
        LEVEL,
    ),
    kind(
        "gauge.under",
        "gauge",
        "Its value is below its limit.",
        LEVEL,
    ),
    kind("gauge.unknown", "gauge", "It cannot be read.", LEVEL),
    kind(
        "gauge.warn",
        "gauge",
        "Its value comes near its limit.",
        LEVEL,
    ),
    kind(
        "guard.broken",
        "unit",
        "A run does more than it may.",
        GUARD,
    ),
    kind(
        "guard.kept",
        "unit",
        "A run keeps to its limit again.",
        GUARD,
    ),
    kind(
        "job.ended",
        "job",
        "A fire came to its end.",
        &[
            must("job", Text, "name of the job"),
            must("due_ms", Time, "when the fire was due"),
            must("succeeded", Flag, "it succeeded"),
            must("tries", Integer, "tries that it took"),
            must("how", Text, "how the last one ended, in words"),
        ],
    ),
    kind(
        "job.fired",
        "job",
        "A job fired.",
        &[
            must("job", Text, "name of the job"),
            must("trigger", Text, "what brought it about"),
            must("due_ms", Time, "when it was due"),
        ],
    ),
    kind(
        "job.missed",
        "job",
        "Times of a job passed unnoticed.",
        &[
            must("job", Text, "name of the job"),
            must("count", Integer, "how many; a bound, if very many"),
            must("last_ms", Time, "the last of them"),
            must("fires", Integer, "how many fires make up for them"),
        ],
    ),
    kind(
        "job.overdue",
        "job",
        "A job did not succeed in time.",
        &[
            must("job", Text, "name of the job"),
            may("last_success_ms", Time, "its last success"),
        ],
    ),
    kind(
        "job.paused",
        "job",
        "A job fires no more until it is released.",
        &[
            must("job", Text, "name of the job"),
            must("why", Text, "in words"),
        ],
    ),
    kind(
        "job.skipped",
        "job",
        "A fire led to no run.",
        &[
            must("job", Text, "name of the job"),
            must("due_ms", Time, "when it was due"),
            must("why", Text, "in words"),
        ],
    ),
    kind(
        "manager.reloaded",
        "",
        "The fleet file was read anew.",
        &[
            must("added", Texts, "units newly declared"),
            must("removed", Texts, "units no longer declared"),
            must("restarted", Texts, "units that restart"),
        ],
    ),
    kind("manager.started", "", "A manager began its work.", &[]),
    kind(
        "manager.stopping",
        "",
        "The manager was asked to end.",
        &[must("keep_daemons", Flag, "the daemons go on")],
    ),
    kind(
        "pool.rests",
        "pool",
        "No task of it begins for a time.",
        &[
            must("pool", Text, "name of the pool"),
            must("why", Text, "in words"),
            may("until_ms", Time, "until when; absent: until it is resumed"),
        ],
    ),
    kind(
        "pool.resumed",
        "pool",
        "Its tasks begin again.",
        &[
            must("pool", Text, "name of the pool"),
            must("why", Text, "in words"),
        ],
    ),
    kind(
        "rule.disabled",
        "rule",
        "A person, or its limit, put it out of force.",
        &[
            must("rule", Text, "name of the rule"),
            must("why", Text, "in words"),
        ],
    ),
    kind(
        "rule.exhausted",
        "rule",
        "No rung of its ladder is left.",
        &[
            must("rule", Text, "name of the rule"),
            must("key", Text, "what the rule keeps apart"),
            must("event", Integer, "number of the event"),
            must("rungs", Integer, "how many there are"),
        ],
    ),
    kind(
        "rule.failed",
        "rule",
        "An action of it could not be done.",
        &[
            must("rule", Text, "name of the rule"),
            must("key", Text, "what the rule keeps apart"),
            must("event", Integer, "number of the event"),
            must("action", Text, "the action, in words"),
            must("why", Text, "why it could not be done"),
        ],
    ),
    kind(
        "rule.fired",
        "rule",
        "It acts.",
        &[
            must("rule", Text, "name of the rule"),
            must("key", Text, "what the rule keeps apart"),
            must("event", Integer, "number of the event"),
            must("actions", Texts, "what is done, in words"),
            may("rung", Integer, "rung of its ladder, from 0"),
            may("approval", Integer, "number of the approval"),
        ],
    ),
    kind(
        "subscription.dead",
        "subscription",
        "An event could not be delivered, and is a dead letter now.",
        &[
            must("subscription", Text, "name of the subscription"),
            must("event", Integer, "number of the event"),
            must("dead_letter", Integer, "number of the dead letter"),
            must("attempts", Integer, "tries"),
            must("why", Text, "what the last one was told"),
        ],
    ),
    kind("task.cancelled", "unit", "It was called off.", TASK),
    kind(
        "task.failed",
        "unit",
        "It ended badly, for the last time.",
        TASK,
    ),
    kind("task.lost", "unit", "Nobody knows how it ended.", TASK),
    kind(
        "task.queued",
        "unit",
        "It was accepted, or is to be done again.",
        TASK,
    ),
    kind(
        "task.retrying",
        "unit",
        "A try failed, and there is another one.",
        TASK,
    ),
    kind("task.stalling", "unit", "Its run makes no progress.", TASK),
    kind("task.started", "unit", "It has a run.", TASK),
    kind("task.succeeded", "unit", "It ended well.", TASK),
    kind(
        "task.timed-out",
        "unit",
        "It took too long, for the last time.",
        TASK,
    ),
    kind(
        "watch.problem",
        "daemon",
        "Paths are not watched as they should be.",
        WATCH,
    ),
    kind(
        "watch.restored",
        "daemon",
        "Paths are watched again.",
        WATCH,
    ),
];

/// A type by its name.
pub fn find(name: &str) -> Option<&'static Type> {
    let at = TYPES.binary_search_by_key(&name, |found| found.name).ok()?;
    TYPES.get(at)
}

impl Type {
    /// JSON Schema (2020-12) of its payload.
    pub fn schema(&self) -> Value {
        let mut properties = Map::new();
        for field in self.fields {
            let mut property = match field.shape {
                Text => json!({ "type": "string" }),
                Integer | Time => json!({ "type": "integer" }),
                Number => json!({ "type": "number" }),
                Flag => json!({ "type": "boolean" }),
                Texts => json!({ "type": "array", "items": { "type": "string" } }),
            };
            if !field.required {
                property["type"] = json!([property["type"], "null"]);
            }
            property["description"] = json!(field.doc);
            properties.insert(field.name.to_owned(), property);
        }
        let required: Vec<&str> = self
            .fields
            .iter()
            .filter(|field| field.required)
            .map(|field| field.name)
            .collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": self.name,
            "description": self.doc,
            "type": if self.fields.is_empty() { json!(["object", "null"]) } else { json!("object") },
            "properties": properties,
            "required": required,
        })
    }

    /// Whether a payload is as the table says, with nothing beside it.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self, data: &Value) -> Result<(), String> {
        let empty = Map::new();
        let data = match data {
            Value::Object(data) => data,
            Value::Null if self.fields.is_empty() => &empty,
            _ => return Err(format!("{}: the payload is no object", self.name)),
        };
        for field in self.fields {
            let fits = match (data.get(field.name), field.shape) {
                (None | Some(Value::Null), _) => !field.required,
                (Some(value), Text) => value.is_string(),
                (Some(value), Integer | Time) => value.is_i64() || value.is_u64(),
                (Some(value), Number) => value.is_number(),
                (Some(value), Flag) => value.is_boolean(),
                (Some(value), Texts) => value
                    .as_array()
                    .is_some_and(|texts| texts.iter().all(Value::is_string)),
            };
            if !fits {
                return Err(format!(
                    "{}: `{}` is not as it must be",
                    self.name, field.name
                ));
            }
        }
        let known = |name: &String| self.fields.iter().any(|field| field.name == name);
        match data.keys().find(|name| !known(name)) {
            Some(name) => Err(format!("{}: `{name}` is not in the catalogue", self.name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_its_schemas_say_what_it_checks() {
        assert!(TYPES.is_sorted_by_key(|found| found.name));
        for found in TYPES {
            assert_eq!(find(found.name), Some(found));
            let validator = jsonschema::validator_for(&found.schema()).unwrap();
            let mut data = Map::new();
            for field in found.fields.iter().filter(|field| field.required) {
                assert!(found.check(&Value::Object(data.clone())).is_err());
                assert!(!validator.is_valid(&Value::Object(data.clone())));
                let value = match field.shape {
                    Text => json!("a"),
                    Integer | Time => json!(1),
                    Number => json!(1.5),
                    Flag => json!(true),
                    Texts => json!(["a"]),
                };
                data.insert(field.name.to_owned(), value);
            }
            let data = Value::Object(data);
            assert_eq!(found.check(&data), Ok(()));
            assert!(validator.is_valid(&data), "{}", found.name);
        }
        assert!(
            find("daemon.exited")
                .unwrap()
                .check(&json!({"x": 1}))
                .is_err()
        );
    }
}
