//! What core and shell say to one another about tasks.

use crate::fleet::{ProgressFrom, Unit};
use crate::record::{
    Generation, NewTask, PoolRow, TaskId, TaskProgress, TaskRow, TaskSpec, TaskState, WallMs,
};

/// Things by their numbers, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbers {
    /// All there are.
    All,
    /// These.
    These(Vec<u64>),
}

/// What a person or a program wants of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskCommand {
    /// Queue these, all or none.
    Submit(Vec<NewTask>),
    /// Call tasks off.
    Cancel {
        /// Which; all: those that are not over.
        which: Numbers,
        /// Who wants it, in words.
        by: String,
    },
    /// Queue tasks again that are over and did not succeed.
    Retry(Numbers),
    /// Let no task of a pool begin, or go on.
    PausePool {
        /// Its name.
        name: String,
        /// Why; `None`: go on.
        pause: Option<String>,
    },
}

/// A task made progress. Told at most once a second for each run, and once at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskNews {
    /// The task's unit.
    pub unit: Unit,
    /// Generation of the run.
    pub generation: Generation,
    /// All that is known by now.
    pub progress: TaskProgress,
}

/// What the core wants done about tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEffect {
    /// Watch the output of a task's run, and tell with [`TaskNews`].
    WatchProgress {
        /// The task's unit.
        unit: Unit,
        /// Generation of the run.
        generation: Generation,
        /// What counts.
        from: ProgressFrom,
    },
    /// A task is over.
    Over {
        /// The task's unit.
        unit: Unit,
        /// Delete its own working folder.
        drop_dir: bool,
    },
    /// Nobody will ask for a task again: delete its folder, with its logs.
    Drop {
        /// The task's unit.
        unit: Unit,
    },
}

/// What is made durable about tasks.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskPersist {
    /// A task.
    Put {
        /// What is remembered of it.
        row: Box<TaskRow>,
        /// What it is to do; only with its first row.
        spec: Option<Box<TaskSpec>>,
    },
    /// The task is not kept any longer.
    Forget(TaskId),
    /// Memory of a pool.
    Pool(PoolRow),
    /// The pool is no longer declared.
    ForgetPool(String),
}

/// What is known of tasks at the manager's start.
#[derive(Debug, Clone, Default)]
pub struct TaskRecovery {
    /// Tasks that are not over, by id.
    pub tasks: Vec<TaskRow>,
    /// Tasks that are over and kept, by id.
    pub over: Vec<TaskOver>,
    /// Id of the last task ever; 0: there was none.
    pub last_task: TaskId,
    /// Pools.
    pub pools: Vec<PoolRow>,
}

/// What the core remembers of a task that is over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskOver {
    /// Its identity.
    pub id: TaskId,
    /// Name of its pool.
    pub pool: String,
    /// How it ended.
    pub state: TaskState,
    /// Its token.
    pub token: Option<String>,
    /// When it was over.
    pub ended_ms: WallMs,
    /// All of it, if it did not succeed: it may be queued again.
    pub row: Option<Box<TaskRow>>,
}
