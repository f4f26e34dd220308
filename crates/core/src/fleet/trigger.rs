//! What makes a job run: schedules, watched paths, gauges; and what happens when that goes wrong.
//!
//! Invariants: expressions and zones were parsed once by `eud-config`, so they parse again; `at`
//! times are in order.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::gauge::{Level, Value};

/// How a job is triggered, and its policies. One *fire* is one occasion to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Each of them fires it. Empty: only a watch, a gauge or a hand does.
    pub schedules: Vec<When>,
    /// A fire by the clock comes up to this much later, by an amount that is fixed for each job and
    /// time. Default 0.
    pub jitter_ms: u64,
    /// What is done about times that passed while no manager ran or the machine slept.
    pub missed: Missed,
    /// What happens when it is due while it still runs.
    pub overlap: Overlap,
    /// It is overdue this long after it should have succeeded. Default: once more the time from one
    /// fire to the next, from 1 minute to 1 day; a job without a schedule is never overdue then.
    pub overdue_ms: Option<u64>,
    /// A fire that could not begin this long after its time is given up.
    pub start_within_ms: Option<u64>,
    /// Tries after a failure, within one fire.
    pub retry: Retry,
    /// Gauges that fire it.
    pub gauges: Vec<GaugeTrigger>,
    /// It begins only while all of these hold; a fire waits for them.
    pub only_when: Vec<Condition>,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            schedules: Vec::new(),
            jitter_ms: 0,
            missed: Missed::RunOnce,
            overlap: Overlap::Skip,
            overdue_ms: None,
            start_within_ms: None,
            retry: Retry::default(),
            gauges: Vec::new(),
            only_when: Vec::new(),
        }
    }
}

/// Times at which a job fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// A cron expression; see [`crate::schedule`].
    Cron {
        /// Five or six fields, or a nickname.
        expr: String,
        /// IANA name; UTC when absent.
        zone: Option<String>,
    },
    /// A calendar expression; see [`crate::schedule`].
    Calendar {
        /// As in `OnCalendar=`.
        expr: String,
        /// IANA name; UTC when absent.
        zone: Option<String>,
    },
    /// Again and again.
    Every {
        /// From one fire to the next.
        every_ms: u64,
        /// What the time is counted from.
        from: Anchor,
    },
    /// Once, at this time.
    At {
        /// Milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// Once in each boot of the machine, this long after it.
    AfterBoot {
        /// Milliseconds.
        delay_ms: u64,
    },
    /// Once each time it is brought up, this long after it; then it is `done`.
    AfterUp {
        /// Milliseconds.
        delay_ms: u64,
    },
}

/// What an interval is counted from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// The clock: multiples of the interval since the Unix epoch.
    Clock,
    /// When it was first brought up.
    #[default]
    Start,
    /// The end of the run before.
    End,
}

/// What is done about missed times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// One fire for all of them.
    #[default]
    RunOnce,
    /// A fire for each, the latest ones at most.
    RunAll {
        /// How many at most.
        max: u32,
    },
    /// None.
    Skip,
}

/// What happens when a job is due while it still runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// The fire is skipped, and counted.
    #[default]
    Skip,
    /// One fire waits; further ones become part of it.
    QueueOne,
    /// The oldest run is stopped, and then it begins.
    KillOld,
    /// As many run at once as there are replicas; beyond that fires are skipped.
    Allow,
}

/// Tries after a failure, within one fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How many. Default 0.
    pub limit: u32,
    /// Delay before the first. Default 10 s.
    pub backoff_initial_ms: u64,
    /// Each further delay is this many percent of the one before. Default 200.
    pub backoff_factor_percent: u32,
    /// Longest delay. Default 5 min.
    pub backoff_max_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            limit: 0,
            backoff_initial_ms: 10_000,
            backoff_factor_percent: 200,
            backoff_max_ms: 300_000,
        }
    }
}

/// A gauge that fires a job when it comes to a level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GaugeTrigger {
    /// Name of the gauge.
    pub gauge: String,
    /// The level.
    pub level: Level,
    /// Fires again this long after the fire before, while the level lasts. Absent: once.
    pub again_ms: Option<u64>,
}

/// A condition on a gauge. One that is unknown does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Name of the gauge.
    pub gauge: String,
    /// The value must be below.
    pub below: Option<Value>,
    /// The value must be above.
    pub above: Option<Value>,
}

/// Paths that are watched for a daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Roots, absolute: folders with all that is in them, or files. They need not exist.
    pub paths: Vec<String>,
    /// Changes that count. Default: all.
    pub events: BTreeSet<WatchEvent>,
    /// Patterns of paths that do not count, written as in gitignore(5), relative to each root.
    pub ignore: Vec<String>,
    /// Heed the `.gitignore` files under each root. Default false.
    pub gitignore: bool,
    /// File name extensions that count, without the dot. Empty: all.
    pub extensions: BTreeSet<String>,
    /// A batch is complete when nothing was changed for this long. Default 500 ms.
    pub debounce_ms: u64,
    /// A batch is complete at the latest this long after its first change. Default 10 s.
    pub debounce_max_ms: u64,
    /// A file counts when it has not been written for this long. Default 0.
    pub settle_ms: u64,
    /// Time between two looks where the system cannot tell of changes. Default 5 s.
    pub poll_ms: u64,
    /// What a batch leads to.
    pub action: WatchAction,
    /// This many fires in a row that a job brought about itself pause it. Default 5; 0: never.
    pub loop_limit: u32,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            events: WatchEvent::ALL.into(),
            ignore: Vec::new(),
            gitignore: false,
            extensions: BTreeSet::new(),
            debounce_ms: 500,
            debounce_max_ms: 10_000,
            settle_ms: 0,
            poll_ms: 5_000,
            action: WatchAction::default(),
            loop_limit: 5,
        }
    }
}

/// A change of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchEvent {
    /// It is new.
    Create,
    /// Its contents changed.
    Modify,
    /// It is gone.
    Delete,
    /// It got another name; both names are told.
    Rename,
}

impl WatchEvent {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Create, Self::Modify, Self::Delete, Self::Rename];
}

/// What a batch of changes leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchAction {
    /// The job fires.
    #[default]
    Trigger,
    /// The service restarts.
    Restart,
}
