//! What is remembered of tasks and pools.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{RunId, WallMs};
use crate::event::Seq;
use crate::fleet::Delivery;

/// Identity of a task in its state directory; counts from 1.
pub type TaskId = u64;

/// What a task is. Exactly one at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// It begins when its turn comes.
    #[default]
    Queued,
    /// It waits for a time.
    Delayed,
    /// It waits for another task.
    Blocked,
    /// It has a run.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly, for the last time.
    Failed,
    /// It took too long, for the last time.
    TimedOut,
    /// Somebody called it off.
    Cancelled,
    /// Nobody knows how it ended, and it may not be tried again.
    Lost,
}

impl TaskState {
    /// Every one, in the order of a summary.
    pub const ALL: [Self; 9] = [
        Self::Running,
        Self::Queued,
        Self::Delayed,
        Self::Blocked,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Lost,
    ];

    /// Name as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delayed => "delayed",
            Self::Blocked => "blocked",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }

    /// Whether it will not change by itself any more.
    pub fn is_over(self) -> bool {
        !matches!(
            self,
            Self::Queued | Self::Delayed | Self::Blocked | Self::Running
        )
    }
}

/// A task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskRow {
    /// Its identity.
    pub id: TaskId,
    /// Name of its pool.
    pub pool: String,
    /// What it is.
    pub state: TaskState,
    /// Why, in words.
    pub reason: Option<String>,
    /// One line for people: the beginning of its prompt, or its arguments.
    pub title: String,
    /// Higher goes first. Default 0.
    pub priority: i32,
    /// Tasks of the same key in a pool run one after the other.
    pub key: Option<String>,
    /// A submission with a token that is known already is the same task.
    pub token: Option<String>,
    /// When it was submitted.
    pub submitted_ms: WallMs,
    /// It does not begin before.
    pub not_before_ms: Option<WallMs>,
    /// It begins when these have succeeded; if one of them does not, it is cancelled.
    pub after: Vec<TaskId>,
    /// Longest time of one try, in milliseconds; the pool's when absent.
    pub timeout_ms: Option<u64>,
    /// Tries that were begun.
    pub attempts: u32,
    /// Tries that count against the pool's limit.
    pub failures: u32,
    /// What is done when nobody knows how its try ended: as its pool had it when the try began.
    pub delivery: Delivery,
    /// Where it comes from.
    pub origin: TaskOrigin,
    /// Its present or last run.
    pub run: Option<RunId>,
    /// When its last try began.
    pub started_ms: Option<WallMs>,
    /// When it was over.
    pub ended_ms: Option<WallMs>,
    /// Exit code of its last try.
    pub code: Option<i32>,
    /// Somebody wants it cancelled; by whom, in words.
    pub cancel: Option<String>,
    /// What it said of its progress last.
    pub progress: TaskProgress,
}

/// Where a task comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum TaskOrigin {
    /// A person or a program.
    #[default]
    Hand,
    /// A delivery that waits for its end.
    Delivery {
        /// Its outlet.
        outlet: String,
        /// Its event.
        seq: Seq,
        /// Its number.
        number: u64,
    },
    /// A subscription, which does not wait for its end.
    Subscription {
        /// Name of the subscription.
        name: String,
        /// The event.
        seq: Seq,
        /// How many handlers led to it, one after the other.
        depth: u32,
    },
}

/// What a task said of its progress.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskProgress {
    /// When it made progress last.
    pub at_ms: Option<WallMs>,
    /// Lines of output, or messages of an agent, so far.
    pub steps: u64,
    /// What it is doing, one line.
    pub text: Option<String>,
    /// Tokens that went in.
    pub tokens_in: Option<u64>,
    /// Tokens that came out.
    pub tokens_out: Option<u64>,
    /// What it cost, in millionths of a US dollar.
    pub cost_micros: Option<u64>,
    /// The agent's result, its beginning.
    pub result: Option<String>,
    /// Processes it left behind that its keeper ended.
    pub leftovers: Option<u32>,
}

/// What a task is to do: what its pool's templates are filled in with. Kept beside the row, and
/// read at launch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskSpec {
    /// Arguments: they stand where the pool's command has `{{ task.args }}` alone in an argument,
    /// else at its end.
    pub args: Vec<String>,
    /// The prompt.
    pub prompt: Option<String>,
    /// What its command reads on standard input, when the prompt does not go there.
    pub stdin: Option<String>,
    /// Variables over the pool's.
    pub env: BTreeMap<String, String>,
    /// The event that it reads on standard input, as a CloudEvent in JSON, instead of `stdin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Seq>,
    /// Working folder, absolute; the pool's when absent.
    pub cwd: Option<String>,
}

/// A task that somebody submits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTask {
    /// Name of the pool.
    pub pool: String,
    /// Higher goes first.
    pub priority: i32,
    /// Tasks of the same key run one after the other.
    pub key: Option<String>,
    /// A submission with a token that is known already is the same task.
    pub token: Option<String>,
    /// It does not begin before.
    pub not_before_ms: Option<WallMs>,
    /// It begins when these have succeeded.
    pub after: Vec<TaskId>,
    /// Longest time of one try.
    pub timeout_ms: Option<u64>,
    /// At most one such task is queued for the same key.
    pub once: bool,
    /// Where it comes from.
    pub origin: TaskOrigin,
    /// What it is to do.
    pub spec: TaskSpec,
}

/// Durable memory of one pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolRow {
    /// Its name.
    pub name: String,
    /// Why no task of it begins, until it is resumed; `None`: they do.
    pub paused: Option<String>,
    /// It rests until then, after failures in a row; then one task is tried.
    pub rests_until_ms: Option<WallMs>,
    /// Tasks that failed, one after the other.
    pub failures: u32,
    /// When tasks began, within the time of its rate.
    pub recent_ms: Vec<WallMs>,
}
