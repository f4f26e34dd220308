//! What the core shows of events, tasks and rules: the shapes of `--json`.
//!
//! Events, tasks, dead letters and approvals themselves are read from `state.db`, which has them
//! before anybody is told of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::Seq;
use crate::record::{TaskState, WallMs};

/// A pool and its queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Tasks at once.
    pub concurrency: u32,
    /// Tasks that are kept, by state. Their sum is `total`.
    pub tasks: BTreeMap<TaskState, u64>,
    /// All tasks that are kept.
    pub total: u64,
    /// When the oldest task that is queued was submitted.
    pub oldest_ms: Option<WallMs>,
    /// Why no task begins; `None`: nothing forbids it.
    pub waits: Option<String>,
    /// A person paused it.
    pub paused: bool,
    /// It rests until then.
    pub rests_until_ms: Option<WallMs>,
    /// Made for a handler.
    pub implicit: bool,
}

/// A subscription and how far it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionView {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Patterns of types.
    pub on: Vec<String>,
    /// Its filter.
    pub filter: Option<String>,
    /// What its handler is, in words: `job reindex`, `webhook http://…`.
    pub handler: String,
    /// Events up to here were looked at.
    pub cursor: Seq,
    /// Events after that.
    pub behind: u64,
    /// Deliveries that go on now.
    pub delivering: u64,
    /// Deliveries that wait: for their turn, or for the next try.
    pub waiting: u64,
    /// What the delivery that waits longest was told last.
    pub last_error: Option<String>,
    /// Delivered so far.
    pub delivered_total: u64,
    /// Dead letters so far.
    pub dead_total: u64,
    /// Events for which the filter could not be evaluated.
    pub filter_errors: u64,
    /// The last such error.
    pub filter_error: Option<String>,
    /// A person paused it.
    pub paused: bool,
    /// It was made at run time.
    pub at_run_time: bool,
}

/// The bus as a whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BusView {
    /// The oldest event that is kept; 0: none is.
    pub first_seq: Seq,
    /// The newest event ever; 0: there was none.
    pub last_seq: Seq,
    /// Dead letters that wait for somebody.
    pub dead_letters: u64,
    /// Subscriptions by name.
    pub subscriptions: Vec<SubscriptionView>,
    /// Channels by name.
    pub channels: Vec<ChannelView>,
}

/// A channel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelView {
    /// Its name.
    pub name: String,
    /// `desktop`, `exec`, `webhook`, `email`.
    pub via: String,
    /// Messages that wait.
    pub waiting: u64,
    /// What the one that waits longest was told last.
    pub last_error: Option<String>,
    /// It is quiet until then.
    pub quiet_until_ms: Option<WallMs>,
    /// Sent so far.
    pub sent_total: u64,
    /// Dropped so far: too mild, or a repetition.
    pub dropped_total: u64,
}

/// A rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// What it waits for, in words.
    pub on: String,
    /// Its condition.
    pub when: Option<String>,
    /// What it does, in words, in order.
    pub then: Vec<String>,
    /// It is in force.
    pub enabled: bool,
    /// Why it is not, if a person or its limit disabled it.
    pub why_disabled: Option<String>,
    /// Times it acted.
    pub fired_total: u64,
    /// Events that it let pass: cooldown, once per key, depth.
    pub passed_total: u64,
    /// When it acted last.
    pub last_fired_ms: Option<WallMs>,
    /// Keys for which it is about to act, with the time.
    pub waits: Vec<(String, WallMs)>,
    /// Approvals that wait.
    pub approvals: u64,
    /// Errors of its expressions, templates and actions.
    pub errors_total: u64,
    /// The last one.
    pub last_error: Option<String>,
}

/// What a rule would do about an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleTrial {
    /// The rule.
    pub rule: String,
    /// It would act now.
    pub acts: bool,
    /// What was looked at, in order: `on: daemon.exited matches daemon.*`, `when: false`.
    pub steps: Vec<String>,
    /// What it would do, in words, templates filled in.
    pub then: Vec<String>,
}
