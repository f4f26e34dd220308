//! What agent programs say in the JSON lines they write.
//!
//! Purpose: `claude -p --output-format stream-json`, `codex exec --json`, and any program that
//! writes objects with `text`, `message`, `progress`, `tokens_in`, `tokens_out`, `cost_usd` or
//! `result`.
//! Invariants: a line that is no JSON object says nothing; an object of unknown form counts as a
//! step and no more; no number is taken that is negative, not finite or too large.
//!
//! | line | means |
//! |---|---|
//! | `{"type":"assistant","message":{"id","content":[…],"usage"}}` | a message, of which several lines may tell |
//! | `{"type":"result","result","usage","total_cost_usd"}` | the end; its numbers are of the whole run |
//! | `{"type":"item.completed","item":{"type","text" or "command"}}` | a message or a deed |
//! | `{"type":"turn.completed","usage"}` | a turn; its numbers are of the whole run |
//! | `{"type":"error","message"}`, `{"type":"turn.failed","error":{"message"}}` | what went wrong |

use serde_json::{Map, Value};

/// Largest count of tokens that is believed.
const TOKENS_MAX: u64 = 1 << 53;

/// Largest cost that is believed, in millionths.
const COST_MICROS_MAX: f64 = 1e15;

/// Fields of a tool's input that say what it is used for, best first.
const SUBJECTS: [&str; 8] = [
    "command",
    "file_path",
    "path",
    "pattern",
    "query",
    "url",
    "description",
    "prompt",
];

/// Tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) tokens_in: Option<u64>,
    pub(super) tokens_out: Option<u64>,
}

impl Usage {
    pub(super) fn plus(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        Self {
            tokens_in: sum(self.tokens_in, other.tokens_in),
            tokens_out: sum(self.tokens_out, other.tokens_out),
        }
    }

    pub(super) fn max(self, other: Self) -> Self {
        Self {
            tokens_in: self.tokens_in.max(other.tokens_in),
            tokens_out: self.tokens_out.max(other.tokens_out),
        }
    }
}

/// Something that a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// What it is doing, or has to say.
    Text(String),
    /// What came of it.
    Result(String),
    /// What one message used.
    Message { id: String, usage: Usage },
    /// What the whole run used, when an agent sums up.
    Total(Usage),
    /// What a program says it has used by now.
    Now(Usage),
    /// What it cost by now, in millionths of a US dollar.
    Cost(u64),
}

/// Reads one line; `None` when it is no JSON object.
pub(super) fn read(line: &[u8]) -> Option<Vec<Said>> {
    let text = String::from_utf8_lossy(line);
    let object: Map<String, Value> = serde_json::from_str(&text).ok()?;
    let mut said = Vec::new();
    match object.get("type").and_then(Value::as_str) {
        Some("assistant") => assistant(&object, &mut said),
        // What tools answer, and how a session begins.
        Some("user" | "system") => {}
        Some("result") => result(&object, &mut said),
        Some("item.completed" | "item.started" | "item.updated") => item(&object, &mut said),
        Some("turn.completed") => {
            // Its input counts what was read from the cache already.
            said.extend(
                object
                    .get("usage")
                    .map(|usage| Said::Total(tokens(usage, &[]))),
            );
        }
        Some("turn.failed") => {
            let message = object.get("error").and_then(|error| error.get("message"));
            said.extend(message.and_then(text_of).map(Said::Text));
        }
        _ => generic(&object, &mut said),
    }
    Some(said)
}

fn text_of(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.trim().is_empty())
        .map(str::to_owned)
}

fn assistant(object: &Map<String, Value>, said: &mut Vec<Said>) {
    let Some(message) = object.get("message") else {
        return;
    };
    let parts = message.get("content").and_then(Value::as_array);
    for part in parts.into_iter().flatten() {
        let text = match part.get("type").and_then(Value::as_str) {
            Some("text") => part.get("text").and_then(text_of),
            Some("tool_use") => tool(part),
            _ => None,
        };
        said.extend(text.map(Said::Text));
    }
    let id = message.get("id").and_then(Value::as_str);
    if let (Some(id), Some(usage)) = (id, message.get("usage")) {
        said.push(Said::Message {
            id: id.to_owned(),
            usage: tokens(usage, &CACHE),
        });
    }
}

/// `Bash: cargo test`.
fn tool(part: &Value) -> Option<String> {
    let name = part.get("name").and_then(Value::as_str)?;
    let input = part.get("input");
    let subject = SUBJECTS
        .iter()
        .find_map(|field| input?.get(field).and_then(text_of));
    Some(match subject {
        // A script's first line says more than its last.
        Some(subject) => format!(
            "{name}: {}",
            subject.trim().lines().next().unwrap_or_default()
        ),
        None => name.to_owned(),
    })
}

fn result(object: &Map<String, Value>, said: &mut Vec<Said>) {
    said.extend(object.get("result").and_then(text_of).map(Said::Result));
    if let Some(usage) = object.get("usage") {
        said.push(Said::Total(tokens(usage, &CACHE)));
    }
    said.extend(cost(object.get("total_cost_usd")));
}

fn item(object: &Map<String, Value>, said: &mut Vec<Said>) {
    let Some(item) = object.get("item") else {
        return;
    };
    let kind = item.get("type").or_else(|| item.get("item_type"));
    let text = ["text", "command", "query", "message"]
        .iter()
        .find_map(|field| item.get(field).and_then(text_of));
    let Some(text) = text else { return };
    let is_answer = matches!(
        kind.and_then(Value::as_str),
        Some("agent_message" | "assistant_message")
    );
    let is_done = object.get("type").and_then(Value::as_str) == Some("item.completed");
    if is_answer && is_done {
        // The last one is what came of it.
        said.push(Said::Result(text.clone()));
    }
    said.push(Said::Text(text));
}

fn generic(object: &Map<String, Value>, said: &mut Vec<Said>) {
    let words = ["text", "message"]
        .iter()
        .find_map(|field| object.get(*field).and_then(text_of));
    let progress = object.get("progress").and_then(|progress| match progress {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    let text = match (progress, words) {
        (Some(progress), Some(words)) => Some(format!("{progress}: {words}")),
        (progress, words) => progress.or(words),
    };
    said.extend(text.map(Said::Text));
    said.extend(object.get("result").and_then(text_of).map(Said::Result));
    let usage = Usage {
        tokens_in: count(object.get("tokens_in")),
        tokens_out: count(object.get("tokens_out")),
    };
    said.push(Said::Now(usage));
    said.extend(cost(object.get("cost_usd")));
}

/// What a message read from a cache or wrote to it went in, too.
const CACHE: [&str; 2] = ["cache_creation_input_tokens", "cache_read_input_tokens"];

fn tokens(usage: &Value, also_in: &[&str]) -> Usage {
    let fields = ["input_tokens"].iter().chain(also_in);
    let counts: Vec<u64> = fields.filter_map(|field| count(usage.get(field))).collect();
    Usage {
        tokens_in: (!counts.is_empty())
            .then(|| counts.iter().fold(0, |sum: u64, n| sum.saturating_add(*n))),
        tokens_out: count(usage.get("output_tokens")),
    }
}

fn count(value: Option<&Value>) -> Option<u64> {
    value?.as_u64().filter(|count| *count <= TOKENS_MAX)
}

fn cost(value: Option<&Value>) -> Option<Said> {
    let micros = (value?.as_f64()? * 1e6).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and within bounds"
    )]
    (0.0..=COST_MICROS_MAX)
        .contains(&micros)
        .then_some(Said::Cost(micros as u64))
}
