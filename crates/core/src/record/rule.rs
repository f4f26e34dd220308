//! What is remembered of rules and approvals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::WallMs;
use crate::event::{Event, Seq};

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
    /// By key; the oldest are forgotten beyond a bound. Recorded one by one, beside the row.
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
    /// That event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<Event>>,
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
    /// That event, as long as the approval waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<Event>>,
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
