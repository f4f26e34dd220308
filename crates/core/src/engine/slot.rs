//! What the core remembers of one unit, and of its present run.
//!
//! Invariants: `run` is `Some` from the moment a launch is decided until the run's end is known, so
//! a second launch cannot be decided; a run's generation never changes.

use std::sync::Arc;

use crate::fleet::{Daemon, Kind, Probe};
use crate::record::{Fire, Generation, Intent, Ledger, RunId, RunRow, WallMs};
use crate::view::State;

/// One unit.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// The definition as the fleet file has it now.
    pub(crate) daemon: Arc<Daemon>,
    /// Number of the replica from 1; 0 when there is only one.
    pub(crate) replica: u32,
    pub(crate) intent: Intent,
    pub(crate) ledger: Ledger,
    /// The present run.
    pub(crate) run: Option<Run>,
    /// The run before.
    pub(crate) last: Option<RunRow>,
    /// The fire that its present or next run belongs to, if it is a lane of a job.
    pub(crate) fire: Option<Fire>,
    /// A newer fire of the job takes the place of the present run.
    pub(crate) superseded: bool,
    /// Asked to restart, and why; cleared at the end of the run.
    pub(crate) bounce: Option<String>,
    /// No longer declared: goes away when down.
    pub(crate) removed: bool,
    /// Why the next start happens.
    pub(crate) cause: String,
    /// The next start is a restart that nobody asked for.
    pub(crate) is_restart: bool,
    /// Monotonic time of the next try; the ledger has the same in wall time.
    pub(crate) next_try_mono: Option<u64>,
    /// Since when it waits for others.
    pub(crate) waiting_since: Option<u64>,
    /// It has waited long enough for what it merely wants.
    pub(crate) impatient: bool,
    /// Deadline registered in the core's timers.
    pub(crate) timer: Option<u64>,
    /// State last told.
    pub(crate) shown: State,
    pub(crate) since_ms: Option<WallMs>,
}

impl Slot {
    pub(crate) fn new(unit: &str, daemon: Arc<Daemon>, replica: u32) -> Self {
        Self {
            daemon,
            replica,
            intent: Intent {
                unit: unit.to_owned(),
                ..Intent::default()
            },
            ledger: Ledger {
                unit: unit.to_owned(),
                ..Ledger::default()
            },
            run: None,
            last: None,
            fire: None,
            superseded: false,
            bounce: None,
            removed: false,
            cause: "start".to_owned(),
            is_restart: false,
            next_try_mono: None,
            waiting_since: None,
            impatient: false,
            timer: None,
            shown: State::Stopped,
            since_ms: None,
        }
    }
}

impl Slot {
    /// The unit of a task, which is no daemon.
    pub(crate) fn is_task(&self) -> bool {
        self.daemon.kind == Kind::Task
    }
}

/// A run that has not ended.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) run: RunId,
    pub(crate) generation: Generation,
    pub(crate) cause: String,
    pub(crate) intent_ms: WallMs,
    pub(crate) pid: Option<u32>,
    pub(crate) started_ms: Option<WallMs>,
    pub(crate) started_mono: Option<u64>,
    pub(crate) readiness: Readiness,
    pub(crate) ready: Checking,
    pub(crate) live: Checking,
    /// When the next `WATCHDOG=1` must have come.
    pub(crate) watchdog_due: Option<u64>,
    pub(crate) status_text: Option<String>,
    pub(crate) log_blocked: Option<String>,
    pub(crate) unreachable: Option<String>,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) launch_due: Option<u64>,
}

impl Run {
    pub(crate) fn new(run: RunId, generation: Generation, now: crate::io::Now) -> Self {
        Self {
            run,
            generation,
            cause: String::new(),
            intent_ms: now.wall_ms,
            pid: None,
            started_ms: None,
            started_mono: None,
            readiness: Readiness::NotAsked,
            ready: Checking::default(),
            live: Checking::default(),
            watchdog_due: None,
            status_text: None,
            log_blocked: None,
            unreachable: None,
            stopping: None,
            launch_due: None,
        }
    }

    /// Whether others may rely on it.
    pub(crate) fn serves(&self) -> bool {
        self.pid.is_some()
            && self.stopping.is_none()
            && self.unreachable.is_none()
            && match self.readiness {
                Readiness::NotAsked | Readiness::Proven => true,
                Readiness::Pending | Readiness::Lost => false,
            }
    }
}

/// Proof of readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// The daemon has no readiness probe.
    NotAsked,
    /// Not yet.
    Pending,
    /// The probe passed.
    Proven,
    /// It passed once, and now fails.
    Lost,
}

/// One probe at work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checking {
    /// When to test next, or when an answer is overdue.
    pub(crate) due: Option<u64>,
    /// A test is under way.
    pub(crate) asked: bool,
    /// Tests so far without success; decides how soon the next early one comes.
    pub(crate) tries: u32,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// What the last failure said.
    pub(crate) error: Option<String>,
}

/// A stop in progress.
#[derive(Debug, Clone)]
pub(crate) struct Stopping {
    /// Why, for people.
    pub(crate) why: String,
    /// The end counts as a failure: a probe failed or a deadline passed.
    pub(crate) failed: bool,
    /// The keeper was asked.
    pub(crate) sent: bool,
    /// When to stop hoping that the keeper obeys.
    pub(crate) escalate_at: Option<u64>,
}

/// Whether a probe is asked at intervals, as opposed to telling by itself.
pub(crate) fn is_polled(probe: &Probe) -> bool {
    match probe {
        Probe::Http(_) | Probe::Tcp(_) | Probe::Exec(_) | Probe::File { .. } => true,
        Probe::Log(_) | Probe::Notify { .. } => false,
    }
}
