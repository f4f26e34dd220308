//! What is shown of rules.

use serde::{Deserialize, Serialize};

use crate::record::WallMs;

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
