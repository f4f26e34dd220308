//! What goes into the core and what comes out of it.
//!
//! Purpose: the whole interface between decisions and the world.
//! Invariants: the shell commits every [`Effect::Persist`] of a batch durably before it carries out
//! any other effect of that batch or shows its replies; every effect on a run names its generation,
//! and every answer carries it back; the core ignores answers to generations it has left behind.
//! Deliberately absent: anything asynchronous, any handle, any clock.

mod bus;
mod channel;
mod rule;
mod task;

use std::sync::Arc;

use crate::event::{Event, NewEvent, Receipt};
use crate::fleet::{Fleet, Guard, Probe, Source, Unit, Watch};
use crate::happened::Happened;
use crate::record::{
    Book, ExitClass, ExitRecord, Fire, GateRow, Generation, Intent, Ledger, RunId, RunRow, TaskId,
    WallMs,
};
use crate::view::{State, Transition};

pub use bus::{BusCommand, BusEffect, BusNews, BusPersist, BusRecovery, DeliveryRef, Known};
pub use channel::{
    ChannelCommand, ChannelEffect, ChannelNews, ChannelPersist, ChannelRecovery, SendRef,
};
pub use rule::{RuleCommand, RulePersist, RuleRecovery};
pub use task::{Numbers, TaskCommand, TaskEffect, TaskNews, TaskOver, TaskPersist, TaskRecovery};

/// The time, as the shell sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds, counting suspended time too (`CLOCK_BOOTTIME`). Deadlines use this.
    pub mono_ms: u64,
    /// Wall clock, for records and people. May jump.
    pub wall_ms: WallMs,
}

/// Names a command whose answer is awaited. Chosen by the shell.
pub type Ticket = u64;

/// Everything the core is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// The fleet as it now reads. First input ever, then at each reload.
    Load {
        /// Checked fleet.
        fleet: Box<Fleet>,
        /// Who awaits the answer.
        ticket: Option<Ticket>,
    },
    /// What the journal and the inventory of live keepers say. Second input ever.
    Recover(Box<Recovery>),
    /// A person or a program wants something.
    Command {
        /// Who awaits the answer.
        ticket: Ticket,
        /// What is wanted.
        command: Command,
    },
    /// News of a run.
    Run {
        /// The unit.
        unit: Unit,
        /// Generation the news belongs to.
        generation: Generation,
        /// The news.
        event: RunEvent,
    },
    /// Answer to [`Effect::Probe`].
    Probed {
        /// The unit.
        unit: Unit,
        /// Generation that was tested.
        generation: Generation,
        /// Which probe.
        which: Which,
        /// `Err` says why in words.
        outcome: Result<(), String>,
    },
    /// Watched paths of a daemon changed.
    Changed {
        /// Name of the daemon.
        daemon: String,
        /// The changes.
        batch: Batch,
    },
    /// How the paths of a daemon are watched by now; `None`: with the system's help, as it should.
    Watching {
        /// Name of the daemon.
        daemon: String,
        /// What is not as it should be, in words: `polling every 5s: …`, `/x does not exist`.
        problem: Option<String>,
    },
    /// Answer to [`Effect::Sample`].
    Sampled {
        /// Name of the gauge.
        gauge: String,
        /// Which question is answered.
        number: u64,
        /// Never NaN. `Err` says in words why it is unknown.
        outcome: Result<f64, String>,
    },
    /// Answer to [`Effect::Measure`].
    Measured {
        /// The unit.
        unit: Unit,
        /// Generation that was measured.
        generation: Generation,
        /// What was found.
        usage: Usage,
    },
    /// News for the bus.
    Bus(BusNews),
    /// News of channels.
    Channel(ChannelNews),
    /// A task made progress.
    Task(TaskNews),
    /// Time has passed, or the wall clock was set; see [`crate::Core::next_timeout`].
    Tick,
}

/// What a command asks for. Units are already resolved from selectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start the profile and what it needs; leave what was stopped by hand.
    Up {
        /// Profile; the fleet's own when absent.
        profile: Option<String>,
    },
    /// Start these by hand.
    Start(Vec<Unit>),
    /// Stop these by hand, and first what needs them.
    Stop(Vec<Unit>),
    /// Stop and start these and the running daemons that need them.
    Restart(Vec<Unit>),
    /// Send a signal to the command's process.
    Signal(Vec<Unit>, String),
    /// Stop these and refuse to start them until released.
    Hold(Vec<Unit>, String),
    /// End a hold, or the pause of a job.
    Release(Vec<Unit>),
    /// Fire these jobs now.
    Trigger(Vec<Unit>),
    /// Publish events, all or none.
    Emit(Vec<NewEvent>),
    /// Something about subscriptions and dead letters.
    Bus(BusCommand),
    /// Something about channels and their messages.
    Channel(ChannelCommand),
    /// Something about rules.
    Rule(RuleCommand),
    /// Something about tasks.
    Task(TaskCommand),
    /// End the manager, in good order.
    Shutdown {
        /// Leave the daemons running under their keepers.
        keep_daemons: bool,
    },
}

/// Changes of watched paths, put together. The paths themselves stay with the shell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Names it. Never used twice for a daemon; one that is told again changes nothing.
    pub id: String,
    /// How many paths.
    pub count: u64,
    /// One of them, for people.
    pub example: String,
    /// When the first change was seen.
    pub first_ms: WallMs,
    /// When the last change was seen.
    pub last_ms: WallMs,
}

/// What a run uses. `None`: not asked for. `Err` says in words why it is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory of its tree.
    pub memory_bytes: Option<Result<u64, String>>,
    /// CPU time of its tree since its start, in milliseconds.
    pub cpu_ms: Option<Result<u64, String>>,
    /// Bytes of output since the start of the run.
    pub log_bytes: Option<Result<u64, String>>,
    /// Time since its last output, or its start, in milliseconds.
    pub silent_ms: Option<Result<u64, String>>,
    /// Age of its heartbeat file in milliseconds.
    pub heartbeat_age_ms: Option<Result<u64, String>>,
    /// How memory is limited or measured, in words: `cgroup`, `polling`.
    pub how: Option<String>,
}

/// News of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// The command is executing.
    Started {
        /// Its process id.
        pid: u32,
        /// When.
        at_ms: WallMs,
    },
    /// The run ended and its whole tree is gone. Also for a failed launch and a lost keeper, whose
    /// record the shell wrote.
    Ended(ExitRecord),
    /// An sd_notify(3) message, one item.
    Notify(Notify),
    /// A line matched the `log` readiness probe.
    LogMatched,
    /// The log cannot be written; output is held back. `None`: it can be written again.
    LogBlocked(Option<String>),
    /// The keeper holds its lock but does not answer. `None`: it answers again.
    Unreachable(Option<String>),
}

/// One item of an sd_notify(3) message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    /// `READY=1`
    Ready,
    /// `WATCHDOG=1`
    Watchdog,
    /// `STATUS=…`
    Status(String),
    /// `STOPPING=1`
    Stopping,
    /// `RELOADING=1`
    Reloading,
}

/// Which of a daemon's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// Readiness.
    Ready,
    /// Liveness.
    Live,
}

/// What is known at the manager's start.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Durable intents.
    pub intents: Vec<Intent>,
    /// Durable restart memory.
    pub ledgers: Vec<Ledger>,
    /// Last profile brought up.
    pub profile: Option<String>,
    /// Smallest generation not yet used.
    pub next_generation: Generation,
    /// Last ended run of each unit.
    pub last_runs: Vec<RunRow>,
    /// Runs that the journal has as open or that a folder shows, with what became of them.
    pub runs: Vec<RecoveredRun>,
    /// Durable memory of jobs.
    pub books: Vec<Book>,
    /// Durable memory of gates.
    pub gates: Vec<GateRow>,
    /// Identity of this boot of the machine; empty if unknown.
    pub boot_id: String,
    /// Durable memory of events.
    pub bus: BusRecovery,
    /// Durable memory of channels.
    pub channels: ChannelRecovery,
    /// Durable memory of rules.
    pub rules: RuleRecovery,
    /// Durable memory of tasks.
    pub tasks: TaskRecovery,
}

/// A run found at the manager's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredRun {
    /// The run.
    pub run: RunId,
    /// Its unit, which may no longer be declared.
    pub unit: Unit,
    /// Its generation.
    pub generation: Generation,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a run while no manager looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Its keeper answers.
    Live {
        /// Process id of the command; `None` when it is not executing yet.
        pid: Option<u32>,
        /// When the command started.
        started_at_ms: WallMs,
        /// `READY=1` or a matching line was already seen.
        ready_seen: bool,
        /// Fields that changed in the fleet file since it was started.
        changed: Vec<String>,
    },
    /// It ended; the keeper, or the shell in its place, wrote the record.
    Ended(ExitRecord),
    /// Its keeper holds the lock but does not answer.
    Unreachable(String),
}

/// Everything the core wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make durable before anything that follows.
    Persist(Persist),
    /// Create the run's folder and start a keeper in it.
    Launch {
        /// The unit.
        unit: Unit,
        /// Fresh generation.
        generation: Generation,
        /// Fresh run.
        run: RunId,
        /// Number of the replica from 1; 0 when there is only one.
        replica: u32,
        /// The fire it is a run of, if it is a job's.
        fire: Option<Fire>,
    },
    /// Ask the keeper to stop the run: signal, grace, kill of the whole tree.
    Stop {
        /// The unit.
        unit: Unit,
        /// The run's generation.
        generation: Generation,
    },
    /// The keeper has not answered a stop: kill it, sweep its tree, write the record.
    KillKeeper {
        /// The unit.
        unit: Unit,
        /// The run's generation.
        generation: Generation,
    },
    /// Send a signal to the command.
    Signal {
        /// The unit.
        unit: Unit,
        /// The run's generation.
        generation: Generation,
        /// Signal name without `SIG`.
        signal: String,
    },
    /// Test once and answer with [`Input::Probed`].
    Probe {
        /// The unit.
        unit: Unit,
        /// The run's generation.
        generation: Generation,
        /// Which probe it is.
        which: Which,
        /// The test.
        probe: Probe,
        /// Time it may take.
        timeout_ms: u64,
    },
    /// Watch the output for the regular expression and answer with [`RunEvent::LogMatched`].
    WatchLog {
        /// The unit.
        unit: Unit,
        /// The run's generation.
        generation: Generation,
        /// Regular expression.
        pattern: String,
    },
    /// Sample a gauge once and answer with [`Input::Sampled`].
    Sample {
        /// Name of the gauge.
        gauge: String,
        /// To be given back.
        number: u64,
        /// Where it is read.
        source: Source,
        /// Time it may take.
        timeout_ms: u64,
    },
    /// Measure a run once and answer with [`Input::Measured`].
    Measure {
        /// The unit.
        unit: Unit,
        /// The run's generation.
        generation: Generation,
        /// What is to be measured.
        guards: Vec<Guard>,
    },
    /// Watch paths from now on, instead of what was watched for the daemon before; `None`: watch
    /// nothing for it any more. Each batch leads to [`Input::Changed`].
    Watch {
        /// Name of the daemon.
        daemon: String,
        /// What to watch.
        watch: Option<Watch>,
        /// Changes that the core knows of and whose paths must be kept.
        keep: Vec<String>,
    },
    /// Nobody will ask for the paths of these batches again.
    DropBatches {
        /// Name of the daemon.
        daemon: String,
        /// Their names.
        batches: Vec<String>,
    },
    /// Something about deliveries.
    Bus(BusEffect),
    /// Something about channels.
    Channel(ChannelEffect),
    /// Something about a task.
    Task(TaskEffect),
    /// An event was stored; for those who listen.
    Stored(Arc<Event>),
    /// Something happened that a person or a program may want to know.
    Happened(Happened),
    /// Answer a command.
    Reply {
        /// Whose.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
    /// A state changed; for subscribers and the manager's log.
    Transition(Transition),
    /// Everything is down, or is to be left running: the manager may exit.
    Exit,
}

/// Something to make durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Persist {
    /// Desired state and hold.
    Intent(Intent),
    /// The unit is no longer declared.
    Forget(Unit),
    /// Restart memory.
    Ledger(Ledger),
    /// A run is about to start.
    RunIntent(RunRow),
    /// A run's command is executing.
    RunStarted {
        /// The run.
        run: RunId,
        /// Process id of the command.
        pid: u32,
    },
    /// A run ended.
    RunEnded {
        /// Its record.
        record: ExitRecord,
        /// What it means; `None` when the unit is no longer declared.
        class: Option<ExitClass>,
    },
    /// Profile brought up last.
    Profile(Option<String>),
    /// Memory of a job.
    Book(Book),
    /// The job is no longer declared.
    ForgetBook(String),
    /// Memory of a gate.
    Gate(GateRow),
    /// The gate is no longer declared.
    ForgetGate(String),
    /// Something about events.
    Bus(BusPersist),
    /// Something about channels.
    Channel(ChannelPersist),
    /// Something about rules.
    Rule(RulePersist),
    /// Something about tasks.
    Task(TaskPersist),
}

/// Answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Recorded durably; the work goes on.
    Accepted(Accepted),
    /// Nothing was done.
    Refused(Refusal),
}

/// What a command set in motion.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Accepted {
    /// Units that will change.
    pub affected: Vec<Unit>,
    /// Units that stay as they are, and why: `stopped by hand`, `already ready`.
    pub unchanged: Vec<(Unit, String)>,
    /// Reload only: units that restart and the changed fields.
    pub restarted: Vec<(Unit, Vec<String>)>,
    /// Reload only: units no longer declared.
    pub removed: Vec<Unit>,
    /// Reload only: units newly declared.
    pub added: Vec<Unit>,
    /// Things a person should know.
    pub warnings: Vec<String>,
    /// Events that were published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Receipt>,
    /// Tasks that were submitted, or that change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskId>,
    /// How many dead letters, subscriptions or messages change.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub count: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Refusal {
    /// No such unit.
    UnknownUnit {
        /// As given.
        unit: String,
    },
    /// No such profile.
    UnknownProfile {
        /// As given.
        profile: String,
    },
    /// It is held.
    Held {
        /// The unit.
        unit: Unit,
        /// Reason given at the hold.
        reason: String,
    },
    /// `enabled = false`.
    Disabled {
        /// The unit.
        unit: Unit,
    },
    /// It conflicts with one that is running or wanted.
    Conflict {
        /// The unit.
        unit: Unit,
        /// The other one.
        with: Unit,
    },
    /// A signal can only be sent to a running command.
    NotRunning {
        /// The unit.
        unit: Unit,
        /// What it is instead.
        state: State,
    },
    /// Only jobs can be triggered.
    NotAJob {
        /// The unit.
        unit: Unit,
    },
    /// There is no such thing.
    Unknown {
        /// What it would be: `task`, `pool`, `subscription`, `dead letter`.
        what: String,
        /// As given.
        name: String,
    },
    /// It is not as it must be, or not possible now.
    Invalid {
        /// In words: what, and what to do.
        why: String,
    },
    /// There is no room.
    Full {
        /// In words: what is full, how full, and what to do.
        why: String,
    },
    /// The manager is shutting down.
    ShuttingDown,
    /// An event is not as it must be. None of those published with it was stored.
    BadEvent {
        /// Which of them, from 0.
        index: usize,
        /// In words: which attribute, and why.
        why: String,
    },
}
