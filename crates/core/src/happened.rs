//! What happened, for people and programs that want to know.
//!
//! Purpose: a typed account of what is not a change of a unit's state: fires, gauges, gates,
//! guards. Transitions tell the rest.
//! Invariants: told once, by the core, when it decides; nothing is decided by who hears of it.

use serde::{Deserialize, Serialize};

use crate::fleet::{Level, Unit};
use crate::record::{TaskId, Trigger, WallMs};
use crate::words;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Happened {
    /// When.
    pub at_ms: WallMs,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum What {
    /// A job fired.
    JobFired {
        /// Name of the job.
        job: String,
        /// What brought it about.
        trigger: Trigger,
        /// When it was due.
        due_ms: WallMs,
        /// How many handlers led to it, one after the other.
        #[serde(skip)]
        depth: u32,
    },
    /// A fire led to no run.
    JobSkipped {
        /// Name of the job.
        job: String,
        /// When it was due.
        due_ms: WallMs,
        /// Why.
        why: String,
    },
    /// Times passed unnoticed.
    JobMissed {
        /// Name of the job.
        job: String,
        /// How many; a bound, if there were very many.
        count: u32,
        /// The last of them.
        last_ms: WallMs,
        /// How many fires make up for them.
        fires: u32,
    },
    /// A job did not succeed in time.
    JobOverdue {
        /// Name of the job.
        job: String,
        /// Its last success.
        last_success_ms: Option<WallMs>,
    },
    /// A fire came to its end.
    JobEnded {
        /// Name of the job.
        job: String,
        /// When the fire was due.
        due_ms: WallMs,
        /// It succeeded.
        succeeded: bool,
        /// Tries that it took.
        tries: u32,
        /// How the last one ended, in words.
        how: String,
        /// How many handlers led to it, one after the other.
        #[serde(skip)]
        depth: u32,
    },
    /// A job fires no more until it is released.
    JobPaused {
        /// Name of the job.
        job: String,
        /// Why.
        why: String,
    },
    /// A gauge came to another level.
    GaugeLevel {
        /// Name of the gauge.
        gauge: String,
        /// What it was.
        from: Level,
        /// What it is.
        to: Level,
        /// The value, if it is known.
        value: Option<f64>,
        /// In words.
        why: Option<String>,
    },
    /// A gate was closed.
    GateClosed {
        /// Name of the gate.
        gate: String,
        /// Why.
        why: String,
    },
    /// A gate was opened.
    GateOpened {
        /// Name of the gate.
        gate: String,
        /// How long it was closed, in milliseconds.
        closed_for_ms: u64,
    },
    /// A guard's limit was broken, or is kept again.
    Guard {
        /// The unit.
        unit: Unit,
        /// Name of the guard.
        guard: String,
        /// It is broken.
        broken: bool,
        /// In words.
        why: String,
    },
    /// A task took a step.
    Task {
        /// Which.
        step: TaskStep,
        /// Its unit.
        unit: Unit,
        /// Name of its pool.
        pool: String,
        /// Its identity.
        task: TaskId,
        /// Its key.
        key: Option<String>,
        /// Tries that were begun.
        attempt: u32,
        /// Why, in words.
        reason: Option<String>,
        /// Exit code of its last try.
        code: Option<i32>,
        /// How many handlers led to it, one after the other.
        #[serde(skip)]
        depth: u32,
    },
    /// No task of a pool begins for a time.
    PoolRests {
        /// Name of the pool.
        pool: String,
        /// Why.
        why: String,
        /// Until when; `None`: until somebody resumes it.
        until_ms: Option<WallMs>,
    },
    /// Tasks of a pool begin again.
    PoolResumed {
        /// Name of the pool.
        pool: String,
        /// Why.
        why: String,
    },
    /// The paths of a daemon are watched in another way than before.
    Watching {
        /// Name of the daemon.
        daemon: String,
        /// What is not as it should be; `None`: nothing.
        problem: Option<String>,
    },
}

/// A step of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskStep {
    /// It was accepted, or is to be done again.
    Queued,
    /// It has a run.
    Started,
    /// Its try failed, and there is another one.
    Retrying,
    /// Its run makes no progress.
    Stalling,
    /// It ended well.
    Succeeded,
    /// It ended badly, for the last time.
    Failed,
    /// It took too long, for the last time.
    TimedOut,
    /// It was called off.
    Cancelled,
    /// Nobody knows how it ended, and it may not be tried again.
    Lost,
}

impl TaskStep {
    /// Name as in the type of its event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Started => "started",
            Self::Retrying => "retrying",
            Self::Stalling => "stalling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

fn overdue(job: &str, last_success_ms: Option<WallMs>) -> String {
    let last = last_success_ms.map_or_else(|| "never".to_owned(), words::rfc3339);
    format!("{job} is overdue; last success: {last}")
}

fn watching(daemon: &str, problem: Option<&str>) -> String {
    match problem {
        Some(problem) => format!("{daemon}: watching its paths: {problem}"),
        None => format!("{daemon}: its paths are watched"),
    }
}

fn guarded(unit: &str, guard: &str, broken: bool, why: &str) -> String {
    let kept = if broken { "broken" } else { "kept again" };
    format!("{unit}: guard {guard} {kept}: {why}")
}

/// What happened, in one sentence without a full stop.
pub fn words(what: &What) -> String {
    use words::rfc3339 as at;
    let because = |why: &Option<String>| why.as_deref().map_or(String::new(), |w| format!(": {w}"));
    match what {
        What::JobFired {
            job,
            trigger,
            due_ms,
            ..
        } => {
            format!("{job} fired ({}), due {}", trigger.as_str(), at(*due_ms))
        }
        What::JobSkipped { job, due_ms, why } => {
            format!("{job} skipped {}: {why}", at(*due_ms))
        }
        What::JobMissed {
            job,
            count,
            last_ms,
            fires,
        } => {
            let last = at(*last_ms);
            format!("{job} missed {count} times, last {last}; made up for by {fires}")
        }
        What::JobOverdue {
            job,
            last_success_ms,
        } => overdue(job, *last_success_ms),
        What::JobEnded {
            job,
            succeeded,
            tries,
            how,
            ..
        } => {
            let outcome = if *succeeded { "succeeded" } else { "failed" };
            format!("{job} {outcome}, tries {tries}: it {how}")
        }
        What::JobPaused { job, why } => format!("{job} is paused: {why}"),
        What::GaugeLevel {
            gauge,
            from,
            to,
            why,
            ..
        } => format!("gauge {gauge} {from} -> {to}{}", because(why)),
        What::GateClosed { gate, why } => format!("gate {gate} closed: {why}"),
        What::GateOpened {
            gate,
            closed_for_ms,
        } => format!(
            "gate {gate} opened after {}",
            words::duration(*closed_for_ms)
        ),
        What::Guard {
            unit,
            guard,
            broken,
            why,
        } => guarded(unit, guard, *broken, why),
        What::Task {
            step, unit, reason, ..
        } => format!("task {unit} {}{}", step.as_str(), because(reason)),
        What::PoolRests { pool, why, .. } => format!("pool {pool} rests: {why}"),
        What::PoolResumed { pool, why } => format!("pool {pool} goes on: {why}"),
        What::Watching { daemon, problem } => watching(daemon, problem.as_deref()),
    }
}
