//! What is remembered of subscriptions, deliveries, dead letters, rules and approvals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::WallMs;
use crate::event::Seq;
use crate::fleet::{Severity, Subscription};

/// Names something that deliveries go to: `subscription.<name>`, `rule.<rule>.<n>` for the webhook
/// of a rule, `channel.<name>`.
pub type Outlet = String;

/// Durable memory of one subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionRow {
    /// Name of the subscription.
    pub name: String,
    /// Events up to here were looked at: each is delivered, a [`DeliveryRow`], a
    /// [`DeadLetterRow`], or not wanted.
    pub cursor: Seq,
    /// Delivered so far.
    pub delivered_total: u64,
    /// Dead letters so far.
    pub dead_total: u64,
    /// Events for which the filter could not be evaluated.
    pub filter_errors: u64,
    /// The last such error.
    pub filter_error: Option<String>,
    /// Its definition, if it was made at run time.
    pub definition: Option<Box<Subscription>>,
    /// A person paused it.
    pub paused: bool,
}

/// A delivery that is not over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// Where it goes.
    pub outlet: Outlet,
    /// The event; of a message on a channel, the event it is about.
    pub seq: Seq,
    /// Tells deliveries of the same event to the same outlet apart. 0, but for channels, where
    /// it counts.
    pub number: u64,
    /// Deliveries with the same key keep their order.
    pub key: Option<String>,
    /// Tries so far.
    pub attempts: u32,
    /// When the next try is due.
    pub next_ms: Option<WallMs>,
    /// What went wrong, oldest first; the last ones.
    pub errors: Vec<AttemptError>,
    /// When it was taken on.
    pub taken_ms: WallMs,
    /// The task that is doing it.
    pub task: Option<u64>,
    /// The message, of a channel.
    pub message: Option<Message>,
}

/// A try that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// When.
    pub at_ms: WallMs,
    /// Why, in words.
    pub why: String,
}

/// A message for people, ready to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// One line.
    pub title: String,
    /// Further lines.
    pub body: String,
    /// How bad it is.
    pub severity: Severity,
    /// Messages of the same key are one.
    pub key: String,
    /// When it came about.
    pub at_ms: WallMs,
}

/// A delivery that was given up. It keeps its event from being pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRow {
    /// Counts all dead letters of the state directory.
    pub id: u64,
    /// The delivery, with its whole story.
    pub delivery: DeliveryRow,
    /// When it was given up.
    pub at_ms: WallMs,
    /// Automatic retries so far.
    pub retries: u32,
    /// When it is tried again by itself.
    pub retry_ms: Option<WallMs>,
    /// It is not tried again by itself any more.
    pub abandoned: bool,
}

/// Durable memory of one channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRow {
    /// Its name.
    pub name: String,
    /// When a message of a key was sent or dropped last; bounded.
    pub seen: BTreeMap<String, WallMs>,
    /// Sent so far.
    pub sent_total: u64,
    /// Dropped so far: too mild, or a repetition.
    pub dropped_total: u64,
    /// Number of its next delivery.
    pub next_number: u64,
}

/// Durable memory of one rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleRow {
    /// Its name.
    pub name: String,
    /// A person, or its limit, enabled or disabled it; `None`: as in the fleet file.
    pub enabled: Option<bool>,
    /// Why it was disabled.
    pub why_disabled: Option<String>,
    /// Times it acted.
    pub fired_total: u64,
    /// Events that it let pass: cooldown, once per key, depth.
    pub passed_total: u64,
    /// When it acted last.
    pub last_fired_ms: Option<WallMs>,
    /// Errors of its expressions, templates and actions.
    pub errors_total: u64,
    /// The last one.
    pub last_error: Option<String>,
    /// By key; the oldest are forgotten beyond a bound.
    pub keys: BTreeMap<String, RuleKey>,
    /// When it acted, within the window of its limit.
    pub recent_ms: Vec<WallMs>,
}

/// What a rule remembers of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleKey {
    /// When events came that count.
    pub hits_ms: Vec<WallMs>,
    /// How far the sequence is, and when it began.
    pub step: u32,
    /// When the sequence began.
    pub step_ms: Option<WallMs>,
    /// It acts then, for this event, unless called off.
    pub waits: Option<(WallMs, Seq)>,
    /// When it acted last.
    pub fired_ms: Option<WallMs>,
    /// Rung of the ladder that was used last, from 0, how often, and when.
    pub rung: Option<(u32, u32, WallMs)>,
    /// When it was touched last.
    pub touched_ms: WallMs,
}

/// Something that waits for a person's agreement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// Counts all approvals of the state directory.
    pub id: u64,
    /// The rule.
    pub rule: String,
    /// The key.
    pub key: String,
    /// The event. It is kept as long as the approval waits.
    pub seq: Seq,
    /// Rung of the rule's ladder, if it has one.
    pub rung: Option<u32>,
    /// What would be done, in words.
    pub what: Vec<String>,
    /// When it was asked for.
    pub at_ms: WallMs,
    /// When it is over.
    pub expires_ms: WallMs,
    /// What became of it; `None`: it waits.
    pub outcome: Option<Verdict>,
    /// Who decided, and when.
    pub by: Option<(String, WallMs)>,
}

/// What became of a request for approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was done.
    Granted,
    /// It was not done.
    Denied,
    /// Nobody decided in time.
    Expired,
}
