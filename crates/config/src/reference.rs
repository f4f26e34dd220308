//! The reference of the fleet file, for people.
//!
//! Invariants: generated from the table of keys, every table and every key once.

use std::fmt::Write;

use crate::keys::TableSpec;
use crate::tables::TABLES;

/// All tables and keys as Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Keys of the fleet file\n\n\
         Durations: `30s`, `1h30m`, `500ms`. Sizes: `50MB` (10⁶ bytes), `64KiB` (2¹⁰). Paths are \
         relative to the file that gives them; `~/` is the home folder. `${VAR}` and \
         `${VAR:-default}` are filled in from the environment, except in `shell`, in regular \
         expressions and between single quotes of a command; `$${` is a literal `${`. Where an \
         array is possible, one value may stand alone.\n",
    );
    for spec in TABLES {
        table(&mut out, spec);
    }
    out
}

fn table(out: &mut String, spec: &TableSpec) {
    let heading = match spec.name {
        "the top level" => "Top level".to_owned(),
        "a daemon" => "`[daemons.<name>]` and `[defaults]`".to_owned(),
        "a secret" => "Secrets in `env`".to_owned(),
        "a gauge" => "`[gauges.<name>]`".to_owned(),
        "a limit" => "`warn`, `over` and `under` of a gauge".to_owned(),
        "a gate" => "`[gates.<name>]`".to_owned(),
        "[events]" => "`[events]`".to_owned(),
        "an event type" => "`[events.types.\"<type>\"]`".to_owned(),
        "a subscription" => "`[subscriptions.<name>]`".to_owned(),
        "a pool" => "`[pools.<name>]`".to_owned(),
        "task" => "`task` of a subscription or an action".to_owned(),
        "webhook" => "`webhook` of a subscription, an action or a channel".to_owned(),
        "notify" => "`ready.notify` and `live.notify`".to_owned(),
        "rate" => "`rate` of a pool, `limit` of a rule".to_owned(),
        part @ ("work_dir" | "breaker") => format!("`{part}` of a pool"),
        "a rule" => "`[[rules]]`".to_owned(),
        "an action" => "An action in `then` of a rule or a rung".to_owned(),
        "a rung" => "A rung in `rungs` of a ladder".to_owned(),
        part @ ("ladder" | "approve") => format!("`{part}` of a rule"),
        "a channel" => "`[channels.<name>]`".to_owned(),
        part @ ("quiet" | "email") => format!("`{part}` of a channel"),
        "a message" => "`notify` of a subscription or an action".to_owned(),
        guard @ ("memory" | "cpu" | "silent_for" | "heartbeat" | "log_rate") => {
            format!("`guards.{guard}`")
        }
        part @ ("launchd" | "missed" | "overlap") => format!("`schedule.{part}`"),
        name => format!("`{name}`"),
    };
    // Writing to a string cannot fail.
    let _ = write!(out, "\n## {heading}\n\n{}", spec.doc);
    if !spec.one_of.is_empty() {
        let names: Vec<String> = spec.one_of.iter().map(|key| format!("`{key}`")).collect();
        let _ = write!(out, " Exactly one of {}.", names.join(", "));
    }
    if !spec.required.is_empty() {
        let names: Vec<String> = spec.required.iter().map(|key| format!("`{key}`")).collect();
        let _ = write!(out, " Required: {}.", names.join(", "));
    }
    out.push_str("\n\n| key | value | default | example | meaning |\n|---|---|---|---|---|\n");
    for key in spec.keys {
        let default = if key.default.is_empty() {
            ""
        } else {
            &format!("`{}`", key.default)
        };
        let own = if key.inherited {
            ""
        } else {
            " Not in `[defaults]`."
        };
        let kind = key.ty.describe();
        // A bar would end the cell, even within code.
        let (name, example) = (key.name, key.example.replace('|', "\\|"));
        let _ = writeln!(
            out,
            "| `{name}` | {kind} | {default} | `{example}` | {}{own} |",
            key.doc
        );
    }
}
