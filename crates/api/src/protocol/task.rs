//! Parameters and results of the methods of tasks and pools.

use std::collections::BTreeMap;

use eud_core::record::{RunId, TaskId, TaskRow, TaskSpec, TaskState, WallMs};
use serde::{Deserialize, Serialize};

/// Most tasks that are submitted at once.
pub const TASKS_PER_CALL_MAX: usize = 1_000;

/// Longest prompt or standard input of a task, in bytes.
pub const TASK_TEXT_BYTES_MAX: usize = 4 << 20;

/// Longest key or token of a task, in bytes.
pub const TASK_NAME_BYTES_MAX: usize = 256;

/// Tasks that `task.list` gives when no limit is asked for.
pub const TASKS_DEFAULT: u32 = 50;

/// Most tasks that `task.list` gives at once.
pub const TASKS_MAX: u32 = 1_000;

/// Parameters of `task.submit`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitParams {
    /// The tasks: all of them are queued, or none. At least one, at most [`TASKS_PER_CALL_MAX`].
    pub tasks: Vec<Submission>,
}

/// A task to be queued.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Submission {
    /// Name of the pool.
    pub pool: String,
    /// Arguments: each stays one, whatever it contains.
    pub args: Vec<String>,
    /// The prompt; the pool says how it gets to the command.
    pub prompt: Option<String>,
    /// What the command reads on standard input.
    pub stdin: Option<String>,
    /// Variables over the pool's.
    pub env: BTreeMap<String, String>,
    /// Working folder, absolute; the pool's when absent.
    pub cwd: Option<String>,
    /// Higher goes first. Default 0.
    pub priority: i32,
    /// Tasks of the same key in a pool run one after the other.
    pub key: Option<String>,
    /// A submission with a token that is known already is the same task.
    pub token: Option<String>,
    /// It does not begin before, in milliseconds since the Unix epoch.
    pub not_before_ms: Option<WallMs>,
    /// It begins when these have succeeded.
    pub after: Vec<TaskId>,
    /// Longest time of one try, in milliseconds; the pool's when absent.
    pub timeout_ms: Option<u64>,
}

/// Parameters of `task.cancel`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CancelParams {
    /// These.
    pub ids: Vec<TaskId>,
    /// Instead: all that are not over.
    pub all: bool,
    /// Who wants it, in words. Default `a client`.
    pub by: Option<String>,
}

/// Parameters of `task.retry`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryParams {
    /// These.
    pub ids: Vec<TaskId>,
    /// Instead: all that are over and did not succeed.
    pub all: bool,
}

/// Parameters of `task.list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListParams {
    /// Of this pool only.
    pub pool: Option<String>,
    /// In one of these states; empty: in any.
    pub states: Vec<TaskState>,
    /// With this key only.
    pub key: Option<String>,
    /// Older than this one: to go on where a list ended.
    pub before: Option<TaskId>,
    /// How many; [`TASKS_DEFAULT`] when absent, at most [`TASKS_MAX`].
    pub limit: Option<u32>,
}

/// Parameters of `task.show`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdParams {
    /// The task.
    pub id: TaskId,
}

/// Answer to `task.show`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownTask {
    /// What is known of it.
    pub task: TaskRow,
    /// What it is to do.
    pub spec: TaskSpec,
    /// Its unit, as its runs and its log are named.
    pub unit: String,
    /// Its present or last run.
    pub run: Option<RunId>,
    /// Absolute path of that run's folder.
    pub run_dir: Option<String>,
    /// Absolute path of the log that is being written.
    pub log: String,
    /// Absolute path of its own working folder, if there is one now.
    pub work_dir: Option<String>,
}

/// Parameters of `pool.pause`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseParams {
    /// The pool.
    pub name: String,
    /// Why; shown until it is resumed.
    #[serde(default)]
    pub reason: String,
}

/// Parameters of `pool.resume`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolParams {
    /// The pool.
    pub name: String,
}
