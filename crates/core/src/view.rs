//! What the core shows of itself.
//!
//! Purpose: the documented shape of `eud status --json` and of transitions; one vocabulary for
//! every client.
//! Invariants: each unit is in exactly one [`State`], so the counts of a [`Summary`] sum to its
//! total.

mod bus;
mod channel;
mod rule;
mod task;

use std::collections::BTreeMap;

pub use bus::{BusView, SubscriptionView};
pub use channel::{ChannelView, MessageState, MessageView};
pub use rule::{RuleTrial, RuleView};
pub use task::PoolView;

use serde::{Deserialize, Serialize};

use crate::fleet::{Kind, Level, Unit};
use crate::record::{Desired, EndReason, ExitClass, RunId, WallMs};

/// What a unit is. `crate::engine` tells the whole story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not wanted, not running.
    Stopped,
    /// Wanted; something must happen first.
    Waiting,
    /// Being started; its command is not executing yet.
    Starting,
    /// Executing, with no proof that it can serve, or none asked for.
    Up,
    /// Proved that it can serve.
    Ready,
    /// Executing, but something it should do or have is missing.
    Degraded,
    /// Ended; the next try has a time.
    Backoff,
    /// Ended too often; the next try has a time.
    CoolDown,
    /// Asked to end, or about to be.
    Stopping,
    /// A job at work.
    Running,
    /// A job that waits for its next time; it did well before, or never ran.
    Scheduled,
    /// A job that should have succeeded by now.
    Overdue,
    /// Kept from running by a gate, or a job by its loop guard.
    Paused,
    /// Ended well, not to be restarted.
    Done,
    /// Kept down until released.
    Held,
    /// Ended badly, not to be restarted; of a job: its last fire failed.
    Failed,
    /// We cannot tell.
    Unknown,
}

impl State {
    /// Every state, in the order of a summary.
    pub const ALL: [Self; 17] = [
        Self::Ready,
        Self::Up,
        Self::Running,
        Self::Scheduled,
        Self::Degraded,
        Self::Starting,
        Self::Waiting,
        Self::Stopping,
        Self::Backoff,
        Self::CoolDown,
        Self::Failed,
        Self::Overdue,
        Self::Unknown,
        Self::Paused,
        Self::Held,
        Self::Done,
        Self::Stopped,
    ];

    /// Name as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Backoff => "backoff",
            Self::CoolDown => "cool-down",
            Self::Stopping => "stopping",
            Self::Running => "running",
            Self::Scheduled => "scheduled",
            Self::Overdue => "overdue",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a process of it may be alive.
    pub fn may_be_alive(self) -> bool {
        matches!(
            self,
            Self::Starting
                | Self::Up
                | Self::Ready
                | Self::Running
                | Self::Degraded
                | Self::Stopping
                | Self::Unknown
        )
    }

    /// Whether it is on its way to another state without anybody's help, soon.
    pub fn in_motion(self) -> bool {
        matches!(self, Self::Starting | Self::Waiting | Self::Stopping)
    }

    /// Whether it is trouble that a person should see first.
    pub fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::Degraded
                | Self::Backoff
                | Self::CoolDown
                | Self::Failed
                | Self::Overdue
                | Self::Unknown
        )
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// `eud status --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the fleet.
    pub fleet: String,
    /// Profile brought up last.
    pub profile: Option<String>,
    /// RFC 3339, UTC.
    pub generated_at: String,
    /// The deciding process; `None` when none is running.
    pub manager: Option<ManagerView>,
    /// Counts.
    pub summary: Summary,
    /// Every unit, by name.
    pub daemons: Vec<DaemonView>,
    /// Gauges, by name.
    #[serde(default)]
    pub gauges: Vec<GaugeView>,
    /// Gates, by name.
    #[serde(default)]
    pub gates: Vec<GateView>,
    /// Things that concern the manager as a whole: a full disk, an unread fleet file.
    pub problems: Vec<String>,
}

/// The manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerView {
    /// Process id.
    pub pid: u32,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Version of the program.
    pub version: String,
}

/// Counts by state. The parts sum to `total`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// All units.
    pub total: usize,
    /// One count per state, zero ones too; keys as in [`State::as_str`].
    #[serde(flatten)]
    pub counts: BTreeMap<String, usize>,
}

/// One unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaemonView {
    /// Name of the unit.
    pub name: Unit,
    /// Kind of the daemon.
    pub kind: Kind,
    /// Category of the daemon.
    pub category: Option<String>,
    /// What is wanted.
    pub desired: Desired,
    /// What is.
    pub state: State,
    /// Why, in words; empty only when there is nothing to say.
    pub reason: Option<String>,
    /// Process id of the command, while it lives.
    pub pid: Option<u32>,
    /// Run now in progress.
    pub run: Option<RunId>,
    /// RFC 3339, UTC: start of the present run.
    pub started_at: Option<String>,
    /// Seconds since `started_at`.
    pub uptime_s: Option<f64>,
    /// RFC 3339, UTC: when it entered `state`.
    pub since: Option<String>,
    /// Restarts nobody asked for.
    pub restarts: u64,
    /// End of the run before.
    pub last_exit: Option<LastExit>,
    /// Whether readiness is proven; `None` when no proof is asked for.
    pub ready: Option<bool>,
    /// RFC 3339, UTC: when the next try is due.
    pub next_try_at: Option<String>,
    /// Its own words (`STATUS=`).
    pub status_text: Option<String>,
    /// Units it waits for or misses, by name.
    #[serde(default)]
    pub blocked_on: Vec<Unit>,
    /// What only jobs have.
    #[serde(default)]
    pub job: Option<JobView>,
    /// Guards whose limit is broken, in words.
    #[serde(default)]
    pub guards: Vec<String>,
    /// How its guards on resources work, in words: `cgroup`, `polling`; `None` without such guards.
    #[serde(default)]
    pub guarded_by: Option<String>,
    /// What is not as it should be with the watching of its paths.
    #[serde(default)]
    pub watch_problem: Option<String>,
}

/// What only jobs have. Of a job whose runs may overlap, every replica shows the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// RFC 3339, UTC: the next time by the clock, jitter not counted.
    pub next_fire_at: Option<String>,
    /// RFC 3339, UTC: end of its last success.
    pub last_success_at: Option<String>,
    /// RFC 3339, UTC: from when on it is or will be overdue.
    pub overdue_at: Option<String>,
    /// What fired the present run.
    pub trigger: Option<String>,
    /// Tries of the present fire that failed.
    pub attempt: u32,
    /// Fires that wait.
    pub pending: usize,
    /// Fires in a row that ended in failure.
    pub failures: u32,
    /// Fires so far.
    pub fires: u64,
    /// Fires that were skipped.
    pub skipped: u64,
}

/// One gauge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GaugeView {
    /// Its name.
    pub name: String,
    /// Last value; `None` while it is unknown.
    pub value: Option<f64>,
    /// What it is.
    pub level: Level,
    /// Why it is at this level, in words; empty for `ok`.
    pub reason: Option<String>,
    /// RFC 3339, UTC: since when.
    pub since: Option<String>,
    /// RFC 3339, UTC: the last sample.
    pub sampled_at: Option<String>,
    /// RFC 3339, UTC: when the value changed last.
    pub changed_at: Option<String>,
}

/// One gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateView {
    /// Its name.
    pub name: String,
    /// The gauge that closes it.
    pub gauge: String,
    /// Whether its members are paused.
    pub closed: bool,
    /// RFC 3339, UTC: since when it is closed.
    pub since: Option<String>,
    /// Why it is closed.
    pub reason: Option<String>,
    /// Names of its members.
    pub members: Vec<String>,
}

/// End of a run, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// The run.
    pub run: RunId,
    /// Exit code; `None` when killed by a signal or unknown.
    pub code: Option<i32>,
    /// Signal number.
    pub signal: Option<i32>,
    /// RFC 3339, UTC.
    pub at: String,
    /// What it means.
    pub class: ExitClass,
    /// Why it ended.
    pub reason: EndReason,
    /// In words, when there is more to say.
    pub message: Option<String>,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at_ms: WallMs,
    /// The unit.
    pub unit: Unit,
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
    /// Why.
    pub reason: Option<String>,
    /// Run concerned.
    pub run: Option<RunId>,
}

/// Why a unit is what it is: `eud why`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The unit asked about.
    pub unit: Unit,
    /// Sentences, the unit first, each cause after what it causes.
    pub sentences: Vec<String>,
    /// Units of the chain in the same order; the last is the root.
    pub chain: Vec<Unit>,
    /// Units whose last log lines are worth showing.
    pub show_log_of: Vec<Unit>,
    /// Unit to look at first; `None` when nothing is wrong.
    pub fix_first: Option<Unit>,
    /// Commands worth trying next.
    pub next: Vec<String>,
}
