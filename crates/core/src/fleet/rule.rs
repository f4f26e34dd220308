//! Rules.

use serde::{Deserialize, Serialize};

use super::{Notice, Origin, Rate, TaskTemplate};

/// Does something when something happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Unique among rules.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Patterns of event types. Empty only with `sequence`.
    pub on: Vec<String>,
    /// Patterns that must be met one after the other, for the same key and within `within_ms`.
    pub sequence: Vec<String>,
    /// CEL expression over `event`; absent: all events. An error is not "true": it is counted and
    /// shown.
    pub when: Option<String>,
    /// CEL expression: events for which it gives the same text are counted together. Default: the
    /// subject.
    pub key: Option<String>,
    /// So many events of one key within `within_ms`. Default 1.
    pub count: u32,
    /// Window of `count` and `sequence`.
    pub within_ms: Option<u64>,
    /// It acts this long after the event, unless an event of `unless` came for the same key.
    pub for_ms: Option<u64>,
    /// Patterns of event types that call off what waits for `for_ms`, and begin counts and
    /// sequences anew.
    pub unless: Vec<String>,
    /// What it does, in order.
    pub then: Vec<Action>,
    /// Instead of `then`: what it does the first, the second, … time.
    pub ladder: Option<Ladder>,
    /// It does nothing more for the same key this long. Default 0.
    pub cooldown_ms: u64,
    /// It acts once for each key, until the rule is reset.
    pub once_per_key: bool,
    /// Too many actions disable it, and somebody is told. Default 60 in a minute.
    pub limit: Rate,
    /// A person must agree first.
    pub approve: bool,
    /// An approval nobody gave is over after this. Default 1 day.
    pub approve_within_ms: u64,
    /// It is in force. A person may change that at run time.
    pub enabled: bool,
    /// Where it was declared.
    pub origin: Origin,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: None,
            on: Vec::new(),
            sequence: Vec::new(),
            when: None,
            key: None,
            count: 1,
            within_ms: None,
            for_ms: None,
            unless: Vec::new(),
            then: Vec::new(),
            ladder: None,
            cooldown_ms: 0,
            once_per_key: false,
            limit: Rate {
                count: 60,
                per_ms: 60_000,
            },
            approve: false,
            approve_within_ms: 86_400_000,
            enabled: true,
            origin: Origin::default(),
        }
    }
}

/// Something a rule does. Texts are templates over `event` and `rule`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Action {
    /// Start by hand.
    Start {
        /// Selectors.
        names: Vec<String>,
    },
    /// Stop by hand.
    Stop {
        /// Selectors.
        names: Vec<String>,
    },
    /// Restart, with the running daemons that need them.
    Restart {
        /// Selectors.
        names: Vec<String>,
    },
    /// Hold.
    Hold {
        /// Selectors.
        names: Vec<String>,
        /// Why.
        reason: String,
    },
    /// Release.
    Release {
        /// Selectors.
        names: Vec<String>,
    },
    /// Fire jobs.
    Trigger {
        /// Selectors.
        names: Vec<String>,
    },
    /// Submit a task.
    Task(TaskTemplate),
    /// Publish an event.
    Emit {
        /// Its type; must not be one of the manager's own.
        #[serde(rename = "type")]
        kind: String,
        /// Its subject.
        subject: Option<String>,
        /// Its payload: JSON whose texts are templates.
        data: serde_json::Value,
    },
    /// An HTTP request with the event.
    Webhook {
        /// Name of the implicit outlet, `rule.<rule>.<n>`, which `eud-config` makes.
        outlet: String,
    },
    /// A command with the event on its standard input, as a task of the pool `rule.<rule>.<n>`,
    /// which `eud-config` makes.
    Exec {
        /// Name of that pool.
        pool: String,
    },
    /// A message.
    Notify(Notice),
    /// Close a gate, until it is opened.
    CloseGate {
        /// Its name.
        gate: String,
        /// Why.
        reason: String,
    },
    /// Open a gate that was closed by an action.
    OpenGate {
        /// Its name.
        gate: String,
    },
}

/// Remedies, from the mildest to the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    /// The rungs, at least one.
    pub rungs: Vec<Rung>,
    /// Patterns of event types that say that the target is well; for the same key. The ladder is
    /// begun anew then.
    pub healthy: Vec<String>,
    /// It is also begun anew when nothing happened for this long. Default 1 h.
    pub reset_ms: u64,
}

/// One remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// What is done.
    pub then: Vec<Action>,
    /// What happens this soon after it is put down to what was before: nothing is done.
    pub cooldown_ms: u64,
    /// It is used so many times before the next one. Default 1.
    pub times: u32,
}
