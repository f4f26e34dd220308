//! Records: what is written about runs, and what is remembered about daemons.
//!
//! Purpose: the durable vocabulary shared by keeper (writes `exit.json`), store (rows) and core.
//! Invariants: a run has exactly one [`ExitRecord`]; an exit code that nobody saw is `None`, never
//! a guess.

mod bus;
mod channel;
mod rule;
mod task;

pub use bus::{AttemptError, DeadLetterRow, DeliveryRow, Outlet, SubscriptionRow};
pub use channel::{ChannelRow, Message, MessageId, MessageRow};
pub use rule::{ApprovalRow, RuleKey, RuleRow, Verdict};
pub use task::{NewTask, PoolRow, TaskId, TaskOrigin, TaskProgress, TaskRow, TaskSpec, TaskState};

use serde::{Deserialize, Serialize};

use crate::fleet::Unit;

/// Identity of a run: a UUIDv7 (RFC 9562) as text.
pub type RunId = String;

/// Counts starts of all daemons of one state directory; never used twice.
pub type Generation = u64;

/// Milliseconds since the Unix epoch.
pub type WallMs = i64;

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The command exited or was killed by a signal nobody here sent.
    Exited,
    /// It was asked to stop, and did.
    Stopped,
    /// It was asked to stop, did not within its grace, and was killed.
    StopKilled,
    /// It ran longer than its timeout.
    Timeout,
    /// It could not be executed: see `message`.
    SpawnFailed,
    /// Its keeper died. The tree was killed; the code is unknown.
    KeeperLost,
    /// The intent to start was recorded, but no process was ever started.
    NeverStarted,
    /// The exit record cannot be read; the code is unknown.
    RecordCorrupt,
}

/// The end of a run: `exit.json` in the run's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The run.
    pub run: RunId,
    /// The unit it belonged to.
    pub unit: Unit,
    /// Generation of the start.
    pub generation: Generation,
    /// Why it ended.
    pub reason: EndReason,
    /// Exit code, when it exited and somebody saw it.
    #[serde(default)]
    pub code: Option<i32>,
    /// Number of the signal that killed it.
    #[serde(default)]
    pub signal: Option<i32>,
    /// Whether a core was dumped.
    #[serde(default)]
    pub core: bool,
    /// What went wrong, for people: `bin/x.sh: No such file or directory`.
    #[serde(default)]
    pub message: Option<String>,
    /// Process id of the command, 0 if there never was one.
    #[serde(default)]
    pub pid: u32,
    /// When the command was started.
    #[serde(default)]
    pub started_at_ms: WallMs,
    /// When the last of its tree was gone.
    pub ended_at_ms: WallMs,
    /// Largest resident set of the command, in kB.
    #[serde(default)]
    pub max_rss_kb: u64,
    /// User CPU time of the tree, in µs.
    #[serde(default)]
    pub cpu_user_us: u64,
    /// System CPU time of the tree, in µs.
    #[serde(default)]
    pub cpu_system_us: u64,
}

/// What an exit means under the daemon's policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitClass {
    /// An exit code in `success_exits`.
    Success,
    /// An exit code in `alarm_exits`.
    Alarm,
    /// Anything else that nobody asked for.
    Failure,
    /// It was asked to end.
    Stopped,
}

/// What the operator or the profile wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Desired {
    /// It shall not run.
    #[default]
    Down,
    /// It shall run.
    Up,
}

/// Durable intent for one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The unit.
    pub unit: Unit,
    /// What is wanted.
    pub desired: Desired,
    /// Set by a person for this unit, not by a profile. A manual `down` outlives everything but a
    /// manual start.
    pub manual: bool,
    /// Reason for a hold. `None`: not held.
    pub hold: Option<String>,
    /// When it was set.
    pub at_ms: WallMs,
}

/// Durable memory of restarts of one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The unit.
    pub unit: Unit,
    /// Restarts since the last healthy stretch; decides the next delay.
    pub attempt: u32,
    /// Restarts nobody asked for, since the daemon was first started by this state directory.
    pub restarts_total: u64,
    /// Times of restarts within the limit's window, oldest first.
    pub recent_ms: Vec<WallMs>,
    /// When the next try is due.
    pub next_try_ms: Option<WallMs>,
    /// The wait is a cool-down, not a back-off.
    pub cooling: bool,
    /// Ended well or for good: neither a crash nor a reload starts it again.
    pub settled: Option<Settled>,
}

/// How a unit came to rest by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settled {
    /// Ended well, not to be restarted.
    Done,
    /// Failed, not to be restarted.
    Failed,
}

/// A run as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// Its unit.
    pub unit: Unit,
    /// Its generation.
    pub generation: Generation,
    /// When the intent to start it was recorded.
    pub intent_at_ms: WallMs,
    /// Process id of the command, once known.
    pub pid: Option<u32>,
    /// Why it was started: `start`, `restart: exit 1`, …
    pub cause: String,
    /// How it ended.
    pub exit: Option<ExitRecord>,
    /// What the end means.
    pub class: Option<ExitClass>,
}

/// One occasion on which a job runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fire {
    /// When it was due; for other triggers than the clock, when it came about.
    pub due_ms: WallMs,
    /// What brought it about.
    pub trigger: Trigger,
    /// Tries that failed before.
    pub attempt: u32,
    /// When the next try is due.
    pub retry_at_ms: Option<WallMs>,
    /// Batches of changed paths that it is about, as the shell named them.
    pub batches: Vec<String>,
    /// Events that it is about, by their place in the order of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<u64>,
    /// How many handlers led to it, one after the other.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub depth: u32,
    /// A person stopped the job since: what a hand brought about does not go on either.
    #[serde(default)]
    pub revoked: bool,
}

impl Fire {
    /// Neither changed paths nor events would be lost with it.
    pub fn is_about_nothing(&self) -> bool {
        self.batches.is_empty() && self.events.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What brought a fire about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A person or a program.
    #[default]
    Hand,
    /// The clock, in time.
    Schedule,
    /// The clock, too late: the time was missed.
    Missed,
    /// It was brought up, or the machine was.
    Start,
    /// A watched path changed.
    Watch,
    /// A gauge came to a level.
    Gauge,
    /// An event came, by a subscription.
    Event,
}

impl Trigger {
    /// Name as in JSON and in `EUD_TRIGGER`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hand => "hand",
            Self::Schedule => "schedule",
            Self::Missed => "missed",
            Self::Start => "start",
            Self::Watch => "watch",
            Self::Gauge => "gauge",
            Self::Event => "event",
        }
    }
}

/// Durable memory of one job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Book {
    /// Name of the daemon.
    pub job: String,
    /// Since when it is brought up; `None`: it is not. Times before count for nothing.
    pub armed_ms: Option<WallMs>,
    /// Times up to here were decided upon.
    pub cursor_ms: Option<WallMs>,
    /// Boot in which `after_boot` fired last.
    pub boot_id: Option<String>,
    /// `after_up` has fired since it was brought up.
    pub up_fired: bool,
    /// It succeeded since it was brought up.
    pub up_done: bool,
    /// Fires that have not begun, oldest first.
    pub pending: Vec<Fire>,
    /// Fires whose run has begun, or is to be tried again, by unit.
    pub active: std::collections::BTreeMap<Unit, Fire>,
    /// End of its last success.
    pub last_success_ms: Option<WallMs>,
    /// End of its last run of any outcome.
    pub last_end_ms: Option<WallMs>,
    /// Fires that ended in failure, in a row.
    pub failures: u32,
    /// Fires so far.
    pub fires_total: u64,
    /// Fires skipped because it still ran or was paused.
    pub skipped_total: u64,
    /// Fires in a row that it brought about itself.
    pub loops: u32,
    /// Why it fires no more until released. `None`: it does.
    pub paused: Option<String>,
    /// That it is overdue was told, for its last success.
    pub overdue_told: bool,
    /// Batches that were dealt with last, oldest first: the shell may tell of them again.
    pub handled: Vec<String>,
}

/// Durable memory of one gate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRow {
    /// Name of the gate.
    pub gate: String,
    /// Since when it is closed; `None`: open.
    pub closed_ms: Option<WallMs>,
    /// Why it was closed, in words.
    pub reason: Option<String>,
    /// Since when a rule keeps it closed, whatever its gauge says; `None`: none does.
    pub held_ms: Option<WallMs>,
    /// Why it does, in words.
    pub held_reason: Option<String>,
}
