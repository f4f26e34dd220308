//! The command line of tasks and pools.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use eud_core::record::{TaskId, TaskState};

use super::{Lines, parse_lines};
use crate::render::time::parse_duration;

/// `eud task`
#[derive(Debug, Clone, Args)]
pub(crate) struct TaskArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: TaskCommand,
}

/// What to do with tasks.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TaskCommand {
    /// Queue a task; prints its id
    #[command(after_help = "\
Exit codes with --wait: those of `eud task wait`.

Examples: eud task submit --pool scripts -- --in a.csv
          eud task submit --pool agents --prompt 'Fix the failing test' --wait
          git diff | eud task submit --pool agents --prompt-file - --key repo
          eud task submit --pool agents --after 12 --delay 5m --prompt 'Review'")]
    Submit(Box<SubmitArgs>),
    /// List tasks, newest first
    #[command(after_help = "\
States: running, queued, delayed, blocked, succeeded, failed, timed-out,
cancelled, lost.

Examples: eud task list
          eud task list failed timed-out --pool agents --json")]
    List(ListArgs),
    /// Show everything known of one task
    #[command(after_help = "Example: eud task show 12")]
    Show(TaskIdArgs),
    /// Show a task's output
    #[command(after_help = "\
Reads the files, so it works without a manager. With -f it ends with the task.

Example: eud task logs -f 12")]
    Logs(TaskLogsArgs),
    /// Attach to the window of a task that runs in tmux
    #[command(after_help = "\
For tasks of a pool with `interactive = \"tmux\"`. To leave the window and let the
task go on: Ctrl-b d.

Example: eud task attach 12")]
    Attach(TaskIdArgs),
    /// Call tasks off; those that run are stopped
    #[command(after_help = "\
Examples: eud task cancel 12 13
          eud task cancel --all")]
    Cancel(WhichArgs),
    /// Queue tasks again that are over and did not succeed
    #[command(after_help = "\
Examples: eud task retry 12
          eud task retry --all")]
    Retry(WhichArgs),
    /// Wait until tasks are over
    #[command(after_help = "\
Exit codes: 0 when every one succeeded, 1 when one did not, 5 when there is no
such task, 6 when the wait ran out.

Example: eud task wait 12 13 --timeout 10m")]
    Wait(TaskWaitArgs),
    /// Count tasks by pool and state
    #[command(after_help = "Example: eud task stats --json")]
    Stats,
}

/// `eud task submit`
#[derive(Debug, Clone, Args)]
pub(crate) struct SubmitArgs {
    /// Name of the pool.
    #[arg(long, short, value_name = "POOL")]
    pub(crate) pool: String,
    /// Higher goes first.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub(crate) priority: i32,
    /// Tasks of the same key run one after the other.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// It does not begin before this time has passed.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "at")]
    pub(crate) delay: Option<Duration>,
    /// It does not begin before: `18:00`, `2026-11-23`, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// It begins when this task has succeeded; may be given again.
    #[arg(long, value_name = "ID")]
    pub(crate) after: Vec<TaskId>,
    /// Longest time of one try; default: the pool's.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Submitting again with the same token is the same task.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// The prompt.
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_file")]
    pub(crate) prompt: Option<String>,
    /// The prompt, from a file; `-` is standard input.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) prompt_file: Option<PathBuf>,
    /// A variable for its command; may be given again.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Its working folder; default: the pool's.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) cwd: Option<PathBuf>,
    /// Wait until it is over; with =DURATION for so long at most.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "365d", value_parser = parse_duration)]
    pub(crate) wait: Option<Duration>,
    /// Arguments for its command.
    #[arg(value_name = "ARG", last = true)]
    pub(crate) args: Vec<String>,
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

/// `eud task list`
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// In these states only; default: in any.
    #[arg(value_name = "STATE", value_delimiter = ',', value_parser = parse_state)]
    pub(crate) states: Vec<TaskState>,
    /// Of this pool only.
    #[arg(long, short, value_name = "POOL")]
    pub(crate) pool: Option<String>,
    /// With this key only.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Older than this task.
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<TaskId>,
    /// At most this many.
    #[arg(short = 'n', long, value_name = "TASKS", default_value_t = 20)]
    pub(crate) limit: u32,
}

fn parse_state(text: &str) -> Result<TaskState, String> {
    let found = TaskState::ALL.into_iter().find(|s| s.as_str() == text);
    found.ok_or_else(|| {
        let all = TaskState::ALL.map(TaskState::as_str).join(", ");
        format!("`{text}` is no state; states are {all}")
    })
}

/// One task.
#[derive(Debug, Clone, Args)]
pub(crate) struct TaskIdArgs {
    /// Its id.
    #[arg(value_name = "ID")]
    pub(crate) id: TaskId,
}

/// `eud task logs`
#[derive(Debug, Clone, Args)]
pub(crate) struct TaskLogsArgs {
    /// The task.
    #[arg(value_name = "ID")]
    pub(crate) id: TaskId,
    /// Go on as lines come, until the task is over.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Last lines to show, or `all`.
    #[arg(short = 'n', long, value_name = "LINES", value_parser = parse_lines)]
    pub(crate) lines: Option<Lines>,
    /// Only lines that match this regular expression.
    #[arg(long, short, value_name = "REGEX")]
    pub(crate) grep: Option<String>,
    /// Only standard error.
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Only the text, without time.
    #[arg(long)]
    pub(crate) raw: bool,
}

/// `eud task cancel|retry`
#[derive(Debug, Clone, Args)]
pub(crate) struct WhichArgs {
    /// Ids of tasks.
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) ids: Vec<TaskId>,
    /// Every one that it can be done to.
    #[arg(long)]
    pub(crate) all: bool,
}

/// `eud task wait`
#[derive(Debug, Clone, Args)]
pub(crate) struct TaskWaitArgs {
    /// Ids of tasks.
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<TaskId>,
    /// How long to wait; default: for ever.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

/// `eud pool`
#[derive(Debug, Clone, Args)]
pub(crate) struct PoolArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: PoolCommand,
}

/// What to do with pools.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PoolCommand {
    /// Show pools and their queues
    #[command(after_help = "Example: eud pool list")]
    List {
        /// Also those that were made for subscriptions.
        #[arg(long, short)]
        all: bool,
    },
    /// Let no task of a pool begin until it is resumed; those that run go on
    #[command(after_help = "Example: eud pool pause agents --reason 'out of credit'")]
    Pause {
        /// The pool.
        #[arg(value_name = "POOL")]
        name: String,
        /// Why; shown until it is resumed.
        #[arg(
            long,
            short = 'm',
            value_name = "TEXT",
            default_value = "paused by hand"
        )]
        reason: String,
    },
    /// Let tasks of a pool begin again
    #[command(after_help = "Example: eud pool resume agents")]
    Resume {
        /// The pool.
        #[arg(value_name = "POOL")]
        name: String,
    },
}
