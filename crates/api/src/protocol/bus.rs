//! Parameters and results of the methods of subscriptions and dead letters.

use std::collections::BTreeMap;

use eud_core::event::Seq;
use eud_core::fleet::From;
use eud_core::record::DeadLetterRow;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most dead letters that `dlq.list` gives at once, and gives when no limit is asked for.
pub const DEAD_LETTERS_MAX: u32 = 1_000;

/// Parameters of `subscription.add`. Exactly one of `job`, `task` and `webhook` says where events
/// go. A subscription of this name that was made so before is changed, and goes on where it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddParams {
    /// Unique among subscriptions; those of the fleet file cannot be changed so.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Patterns of types, at least one.
    pub on: Vec<String>,
    /// CEL expression over `event`; all events when absent.
    pub filter: Option<String>,
    /// Name of a job that fires.
    pub job: Option<String>,
    /// A task that is submitted.
    pub task: Option<TaskParams>,
    /// An HTTP request.
    pub webhook: Option<WebhookParams>,
    /// CEL expression: events for which it gives the same text keep their order.
    pub ordered_by: Option<String>,
    /// Deliveries at once, 1 to 1,000. Default 1.
    pub concurrency: Option<u32>,
    /// A delivery may take this long, in milliseconds. Default 30,000.
    pub timeout_ms: Option<u64>,
    /// Tries after the first one. Default 5.
    pub retries: Option<u32>,
    /// A dead letter is tried again by itself this many times. Default 0.
    pub dead_retries: Option<u32>,
    /// Where it begins when it is new. Default `now`.
    pub from: From,
}

/// A task to be submitted for an event. Texts are templates over `event`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskParams {
    /// Name of the pool.
    pub pool: String,
    /// Arguments.
    pub args: Vec<String>,
    /// The prompt.
    pub prompt: Option<String>,
    /// Tasks of the same key run one after the other.
    pub key: Option<String>,
    /// Higher goes first. Default 0.
    pub priority: i32,
    /// At most one such task is queued for the same key.
    pub once: bool,
}

/// Where events are sent by HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookParams {
    /// `https://…` or `http://…`.
    pub url: String,
    /// Headers to send.
    pub headers: BTreeMap<String, ValueParam>,
    /// Signs the body; a reference, so that it is not remembered.
    pub secret: Option<ReferenceParam>,
}

/// A text, or where to find it when it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ValueParam {
    /// The text itself. It is shown to whoever asks.
    Plain(String),
    /// A secret.
    Reference(ReferenceParam),
}

/// Where a secret is found: `{"env": "TOKEN"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceParam {
    /// A variable of the manager's environment.
    Env(String),
    /// A file, by its absolute path; without the newline at its end.
    File(String),
    /// What a command writes, without the newline at its end.
    Command(Vec<String>),
}

/// Parameters of `subscription.remove`, `subscription.pause` and `subscription.resume`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionParams {
    /// The subscription.
    pub name: String,
}

/// Parameters of `subscription.replay`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayParams {
    /// The subscription.
    pub name: String,
    /// Events after this one are delivered, again if they were before; 0: all that are kept.
    pub after: Seq,
}

/// Parameters of `dlq.list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadListParams {
    /// Of this subscription only.
    pub subscription: Option<String>,
    /// Older than this one: to go on where a list ended.
    pub before: Option<u64>,
    /// How many; [`DEAD_LETTERS_MAX`] when absent, and at most.
    pub limit: Option<u32>,
}

/// Parameters of `dlq.show`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadParams {
    /// The dead letter.
    pub id: u64,
}

/// Parameters of `dlq.retry` and `dlq.drop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadNumbersParams {
    /// These.
    pub ids: Vec<u64>,
    /// Instead: all there are.
    pub all: bool,
}

/// Answer to `dlq.show`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownDeadLetter {
    /// The delivery and its story.
    pub dead_letter: DeadLetterRow,
    /// Its event, as a CloudEvent in JSON; absent when it is not kept.
    pub event: Option<Value>,
}
