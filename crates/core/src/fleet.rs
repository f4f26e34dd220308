//! The fleet model: what the fleet file means once it is checked.
//!
//! Purpose: one plain-data description of every daemon, shared by the core, the shell and the
//! client.
//! Invariants: values are resolved (`${VAR}` expanded, defaults merged, paths absolute); durations
//! are milliseconds, sizes bytes; every name a daemon refers to exists; `needs`/`wants`/`after`
//! have no cycle. `eud-config` establishes these; nothing here checks them again.
//! Deliberately absent: secrets' values. A secret is a reference ([`EnvValue`]) until the moment of
//! launch.

mod bus;
mod channel;
mod gauge;
mod pool;
mod rule;
mod trigger;

use std::collections::{BTreeMap, BTreeSet};

pub use bus::{EventType, Events, From, Handler, Subscription, TaskTemplate, Webhook};
pub use channel::{Channel, Email, Notice, Quiet, Severity, Tls, Via};
pub use gauge::{
    FileMeasure, Gate, Gauge, Guard, GuardAction, Guarded, Level, Limit, Machine, Source, Value,
};
pub use pool::{Breaker, Delivery, Keep, Pool, ProgressFrom, PromptVia, Rate, WorkDir};
pub use rule::{Action, Ladder, Rule, Rung};
pub use trigger::{
    Anchor, Condition, GaugeTrigger, Job, Missed, Overlap, Retry, Watch, WatchAction, WatchEvent,
    When,
};

use serde::{Deserialize, Serialize};

/// All daemons declared in a fleet file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// Name of the fleet; the folder's name when the file gives none.
    pub name: String,
    /// Profile that `eud up` uses when none is asked for. `None` means every daemon but the
    /// deprecated.
    pub profile: Option<String>,
    /// Terms of each profile, as written; `crate::select` resolves them.
    pub profiles: BTreeMap<String, Vec<String>>,
    /// Daemons by name.
    pub daemons: BTreeMap<String, Daemon>,
    /// Gauges by name.
    #[serde(default)]
    pub gauges: BTreeMap<String, Gauge>,
    /// Gates by name.
    #[serde(default)]
    pub gates: BTreeMap<String, Gate>,
    /// How events are kept.
    #[serde(default)]
    pub events: Events,
    /// Subscriptions by name.
    #[serde(default)]
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Webhooks of rules, by the names that their actions use.
    #[serde(default)]
    pub outlets: BTreeMap<String, Subscription>,
    /// Rules, in the order of the file, which is the order in which they see an event.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Channels by name.
    #[serde(default)]
    pub channels: BTreeMap<String, Channel>,
    /// Pools of tasks by name.
    #[serde(default)]
    pub pools: BTreeMap<String, Pool>,
}

/// What sort of unit a daemon is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Kept alive.
    #[default]
    Service,
    /// Runs to completion when it is triggered.
    Job,
    /// A task of a pool: it is no daemon, and never declared. See [`Pool`].
    Task,
}

/// One declared unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Unique in the fleet. `[A-Za-z0-9._-]`, at most 64 bytes, never `@`.
    pub name: String,
    /// One line for people.
    pub description: Option<String>,
    /// Service or job.
    pub kind: Kind,
    /// For `category:` selectors and the dashboard.
    pub category: Option<String>,
    /// For `tag:` selectors.
    pub tags: BTreeSet<String>,
    /// Kept out of `*`; selecting it warns.
    pub deprecated: Option<Deprecated>,
    /// `false` keeps it out of every profile and refuses a start.
    pub enabled: bool,
    /// How many replicas run at once; with more than one they are called `name@1` and so on. Of a
    /// job: how many of its runs may overlap.
    pub replicas: u32,
    /// What is executed, and in which surroundings.
    pub exec: Exec,
    /// What happens after an exit.
    pub restart: Restart,
    /// How it is asked to stop.
    pub stop: Stop,
    /// Proof that it can serve.
    pub ready: Option<Ready>,
    /// Proof that it still works; failing it restarts the daemon.
    pub live: Option<Live>,
    /// Daemons that must be ready first; stopping or restarting them stops or restarts this one.
    pub needs: Vec<String>,
    /// Daemons to start too and wait for, if they can be had.
    pub wants: Vec<String>,
    /// Daemons to wait for if they are going to run anyway.
    pub after: Vec<String>,
    /// Daemons that never run at the same time as this one.
    pub conflicts: Vec<String>,
    /// What happens when a needed daemon dies on its own.
    pub on_need_lost: OnNeedLost,
    /// TCP ports it listens on.
    pub ports: Vec<u16>,
    /// Resources it reads, such as `queue:ingest`.
    pub reads: Vec<String>,
    /// Resources it writes.
    pub writes: Vec<String>,
    /// Longest time one run may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Where its output goes and how much of it is kept.
    pub log: Log,
    /// What makes it run, if it is a job.
    #[serde(default)]
    pub job: Option<Job>,
    /// Paths that are watched for it.
    #[serde(default)]
    pub watch: Option<Watch>,
    /// Limits on what a run may do.
    #[serde(default)]
    pub guards: Vec<Guard>,
    /// Where it was declared.
    pub origin: Origin,
}

/// Marks a daemon as deprecated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deprecated {
    /// What to use instead.
    #[serde(rename = "use")]
    pub use_instead: Option<String>,
}

/// Place of a declaration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Path of the file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

/// What is executed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Program and arguments. `shell = "…"` has become `["/bin/sh", "-c", …]`.
    pub argv: Vec<String>,
    /// Working directory, absolute.
    pub cwd: String,
    /// Variables to set, over those of `env_files`.
    pub env: BTreeMap<String, EnvValue>,
    /// Files of `KEY=value` lines, absolute, read at launch, in order. A leading `?` makes one
    /// optional.
    pub env_files: Vec<String>,
    /// Start from an empty environment instead of the manager's.
    pub clear_env: bool,
    /// User to run as; the manager's when absent.
    pub user: Option<String>,
    /// Group to run as; the user's primary group when absent.
    pub group: Option<String>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Scheduling priority, -20 to 19.
    pub nice: Option<i32>,
    /// Resource limits by name as in `ulimit` (`nofile`, `core`, `as`, …).
    pub rlimits: BTreeMap<String, Rlimit>,
}

/// Value of an environment variable. Only `Plain` is ever shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvValue {
    /// Written in the fleet file.
    Plain(String),
    /// Secret: value of a variable of the manager's environment.
    Env(String),
    /// Secret: contents of a file, without the trailing newline.
    File(String),
    /// Secret: standard output of a command, without the trailing newline.
    Command(Vec<String>),
}

/// Soft and hard limit; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Limit that applies.
    pub soft: Option<u64>,
    /// Highest value the soft limit may be raised to.
    pub hard: Option<u64>,
}

/// When an exit is followed by a new start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartMode {
    /// After every exit that nobody asked for.
    #[default]
    Always,
    /// After failures.
    OnFailure,
    /// Never.
    Never,
}

/// Restart policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Which exits are followed by a new start.
    pub mode: RestartMode,
    /// Exit codes that mean success. Default `[0]`.
    pub success_exits: BTreeSet<i32>,
    /// Exit codes that are a report, not a failure.
    pub alarm_exits: BTreeSet<i32>,
    /// Delay before the second restart; the first is immediate. Default 1 s.
    pub backoff_initial_ms: u64,
    /// Each further delay is this many percent of the one before. Default 200.
    pub backoff_factor_percent: u32,
    /// Longest delay. Default 60 s.
    pub backoff_max_ms: u64,
    /// Delays vary by up to this many percent either way. Default 10.
    pub backoff_jitter_percent: u32,
    /// A run at least this long starts the sequence anew. Default 60 s.
    pub reset_ms: u64,
    /// This many restarts within `limit_window_ms` are too many. Default 10; 0 means no limit.
    pub limit: u32,
    /// Window of `limit`. Default 10 min.
    pub limit_window_ms: u64,
    /// What too many restarts lead to.
    pub limit_action: LimitAction,
    /// How long a cool-down lasts. Default 5 min.
    pub cool_down_ms: u64,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            mode: RestartMode::Always,
            success_exits: BTreeSet::from([0]),
            alarm_exits: BTreeSet::new(),
            backoff_initial_ms: 1_000,
            backoff_factor_percent: 200,
            backoff_max_ms: 60_000,
            backoff_jitter_percent: 10,
            reset_ms: 60_000,
            limit: 10,
            limit_window_ms: 600_000,
            limit_action: LimitAction::CoolDown,
            cool_down_ms: 300_000,
        }
    }
}

/// What too many restarts lead to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitAction {
    /// Wait `cool_down_ms`, showing when the next try is, then try again.
    #[default]
    CoolDown,
    /// Hold until a person releases it.
    Hold,
}

/// How a run is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Signal name without `SIG`. Default `TERM`.
    pub signal: String,
    /// Time between the signal and `KILL` of the whole tree. Default 10 s.
    pub grace_ms: u64,
    /// Command to run instead of sending the signal; it gets `EUD_PID`.
    pub command: Option<Vec<String>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            signal: "TERM".into(),
            grace_ms: 10_000,
            command: None,
        }
    }
}

/// How something is tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// GET answers with a status from 200 to 399.
    Http(String),
    /// A TCP connection to `host:port` is accepted.
    Tcp(String),
    /// The command exits 0. Same user, environment and directory as the daemon.
    Exec(Vec<String>),
    /// A line of its output matches this regular expression. Readiness only.
    Log(String),
    /// The file exists. As liveness: its modification time is no older than `max_age_ms`.
    File {
        /// Absolute path.
        path: String,
        /// Oldest acceptable modification time.
        max_age_ms: Option<u64>,
    },
    /// The daemon says so itself: `READY=1`, and `WATCHDOG=1` at least every `watchdog_ms` as
    /// liveness. Protocol: sd_notify(3).
    Notify {
        /// Longest time between two `WATCHDOG=1`.
        watchdog_ms: Option<u64>,
    },
}

/// Readiness probe. Asked often until it passes, then every `every_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The test.
    pub probe: Probe,
    /// Time between two tests once ready. Default 10 s.
    pub every_ms: u64,
    /// Time one test may take. Default 2 s.
    pub timeout_ms: u64,
    /// Failures in a row, once ready, that make it `degraded`. Default 3.
    pub failures: u32,
    /// Restart it when it is not ready this long after its start. Default: wait for ever, and say
    /// so.
    pub within_ms: Option<u64>,
}

/// Liveness probe. Begins when the daemon is ready (or up, if it has no readiness probe).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// The test.
    pub probe: Probe,
    /// Time between two tests. Default 10 s.
    pub every_ms: u64,
    /// Time one test may take. Default 2 s.
    pub timeout_ms: u64,
    /// Failures in a row that restart it. Default 3.
    pub failures: u32,
}

/// What happens to a running daemon when one it needs dies on its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNeedLost {
    /// It goes on, `degraded`, and says why.
    #[default]
    Keep,
    /// It is stopped and waits for the needed daemon.
    Restart,
}

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// A log file is rotated when it reaches this many bytes. Default 50 MB.
    pub max_size: u64,
    /// Rotated files kept. Default 5.
    pub keep: u32,
    /// Compress rotated files with zstd. Default false.
    pub compress: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            max_size: 50_000_000,
            keep: 5,
            compress: false,
        }
    }
}

/// Name of one replica: `name`, or `name@2` when the daemon has more than one.
pub type Unit = String;

impl Daemon {
    /// Names of its replicas, in order.
    pub fn units(&self) -> Vec<Unit> {
        match self.replicas {
            0 | 1 => vec![self.name.clone()],
            n => (1..=n).map(|k| format!("{}@{k}", self.name)).collect(),
        }
    }

    /// Fields that differ in `new` and that a running process cannot take over without a restart.
    /// Names as in the fleet file. None of a job: its run goes on, and the next is by the new
    /// definition.
    pub fn changes_needing_restart(&self, new: &Self) -> Vec<&'static str> {
        let mut changed = Vec::new();
        if (self.kind, new.kind) == (Kind::Job, Kind::Job) {
            return changed;
        }
        let (a, b) = (&self.exec, &new.exec);
        let mut note = |differs: bool, name: &'static str| {
            if differs {
                changed.push(name);
            }
        };
        note(self.kind != new.kind, "kind");
        note(a.argv != b.argv, "command");
        note(a.cwd != b.cwd, "cwd");
        note(a.env != b.env, "env");
        note(a.env_files != b.env_files, "env_file");
        note(a.clear_env != b.clear_env, "clear_env");
        note(a.user != b.user, "user");
        note(a.group != b.group, "group");
        note(a.umask != b.umask, "umask");
        note(a.nice != b.nice, "nice");
        note(a.rlimits != b.rlimits, "rlimits");
        note(self.stop != new.stop, "stop");
        note(self.timeout_ms != new.timeout_ms, "timeout");
        note(self.log != new.log, "log");
        note(self.wants_notify() != new.wants_notify(), "notify");
        changed
    }

    /// Whether it speaks sd_notify.
    pub fn wants_notify(&self) -> bool {
        let is = |p: &Probe| matches!(p, Probe::Notify { .. });
        self.ready.as_ref().is_some_and(|r| is(&r.probe))
            || self.live.as_ref().is_some_and(|l| is(&l.probe))
    }

    /// Longest time between two `WATCHDOG=1`, if it must send them.
    pub fn watchdog_ms(&self) -> Option<u64> {
        let of = |p: &Probe| match p {
            Probe::Notify { watchdog_ms } => *watchdog_ms,
            _ => None,
        };
        self.live
            .as_ref()
            .and_then(|l| of(&l.probe))
            .or_else(|| self.ready.as_ref().and_then(|r| of(&r.probe)))
    }
}

/// Name of the daemon a unit belongs to. A task's unit belongs to itself.
pub fn daemon_of(unit: &str) -> &str {
    unit.split_once('@').map_or(unit, |(name, _)| name)
}

/// The unit of a task: `<pool>#<id>`. It exists while the task runs.
pub fn task_unit(pool: &str, id: u64) -> Unit {
    format!("{pool}#{id}")
}

/// Pool and id of a task's unit; `None` for the unit of a daemon.
pub fn task_of(unit: &str) -> Option<(&str, u64)> {
    let (pool, id) = unit.split_once('#')?;
    Some((pool, id.parse().ok()?))
}
