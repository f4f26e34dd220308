//! Pools of tasks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Daemon, Origin, Retry};

/// Runs tasks, a few at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Unique among pools.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// What a task's command is: kind `task`, named as the pool. Its `argv`, `cwd` and `env` are
    /// templates over `task` (`id`, `pool`, `attempt`, `args`, `prompt`, `prompt_file`, `key`,
    /// `dir`), filled in at launch. Its `timeout_ms` is that of a task without its own.
    pub template: Daemon,
    /// Tasks at once. Default 1.
    pub concurrency: u32,
    /// Waiting this long counts like one more priority. Default 1 min; 0: waiting does not count.
    pub ageing_ms: u64,
    /// At most this many tasks begin in a time.
    pub rate: Option<Rate>,
    /// Tries after a failure. Default none.
    pub retry: Retry,
    /// Exit codes after which a task is tried again. Absent: every failure.
    pub retry_exits: Option<BTreeSet<i32>>,
    /// What is done with a task of which nobody knows how it ended.
    pub delivery: Delivery,
    /// The working folder of a task.
    pub work_dir: WorkDir,
    /// How a task's prompt gets to its command.
    pub prompt: PromptVia,
    /// What counts as progress.
    pub progress: ProgressFrom,
    /// A task without progress for this long is stopped, and has failed; at half of it somebody is
    /// told. Absent: never.
    pub stall_ms: Option<u64>,
    /// Rests after failures in a row.
    pub breaker: Option<Breaker>,
    /// Tasks begin only while all of these gates are open.
    pub gates: BTreeSet<String>,
    /// Reserved for tasks in a window of tmux: it does nothing yet.
    pub interactive: bool,
    /// More tasks than this are refused. Default 1,000,000.
    pub queue_max: u64,
    /// Tasks that are over are kept this long, with their logs. Default 7 days.
    pub keep_ms: u64,
    /// At most this many tasks that are over are kept. Default 10,000.
    pub keep_max: u64,
    /// Made for a handler; not shown among the pools unless asked for.
    pub implicit: bool,
    /// Where it was declared.
    pub origin: Origin,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: None,
            template: Daemon::default(),
            concurrency: 1,
            ageing_ms: 60_000,
            rate: None,
            retry: Retry::default(),
            retry_exits: None,
            delivery: Delivery::default(),
            work_dir: WorkDir::default(),
            prompt: PromptVia::default(),
            progress: ProgressFrom::default(),
            stall_ms: None,
            breaker: None,
            gates: BTreeSet::new(),
            interactive: false,
            queue_max: 1_000_000,
            keep_ms: 7 * 86_400_000,
            keep_max: 10_000,
            implicit: false,
            origin: Origin::default(),
        }
    }
}

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In milliseconds.
    pub per_ms: u64,
}

/// What is done with a task of which nobody knows how it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// It is tried again, as after a failure, even when no tries are asked for.
    #[default]
    AtLeastOnce,
    /// It is `lost`, and not tried again. Nor is a task that was stopped with the manager.
    AtMostOnce,
}

/// The working folder of a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkDir {
    /// The pool's `cwd`, for all.
    #[default]
    Shared,
    /// A fresh folder for each task (`task.dir`), the same for all its tries.
    Own {
        /// What becomes of it.
        keep: Keep,
    },
}

/// What becomes of a task's own folder when the task is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// It is deleted after a success, and kept as long as the task after anything else.
    #[default]
    Failed,
    /// It is kept as long as the task.
    Always,
    /// It is deleted.
    Never,
}

/// How a task's prompt gets to its command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptVia {
    /// In the arguments, where `{{ task.prompt }}` stands; through standard input when it is longer
    /// than an argument may be and no argument asks for it.
    #[default]
    Argv,
    /// Standard input.
    Stdin,
    /// A file, `{{ task.prompt_file }}`.
    File,
}

/// What counts as progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgressFrom {
    /// Any line of output.
    #[default]
    Output,
    /// Lines that are JSON objects, as agent programs write them; tokens and cost are read from
    /// them.
    Json,
}

/// Rests after failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// So many tasks that failed, one after the other.
    pub failures: u32,
    /// The rest. Then one task is tried. 0: until a person resumes the pool.
    pub rest_ms: u64,
}
