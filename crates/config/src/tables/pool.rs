//! Keys of pools of tasks.

use super::daemon::{LOG, RLIMITS, SECRET, STOP};
use super::guard::GUARDS;
use super::job::RETRY;
use super::{duration, int};
use crate::keys::{KeyRule, MapSpec, TableSpec, Type, key};

static EXIT: Type = int(0, 255);
static ENV_FILE: Type = Type::EnvFile;
static GATE_NAME: Type = Type::GateName;

pub(crate) static POOL: TableSpec = TableSpec {
    name: "a pool",
    doc: "Runs tasks, a few at a time. `[defaults]` hold for it as far as it has the same keys. In \
          `command`, `cwd` and `env`, `{{ … }}` is a template over `task`: `id`, `pool`, \
          `attempt`, `args`, `prompt`, `prompt_file`, `key` and `dir`.",
    keys: &[
        key(
            "command",
            Type::TaskCommand,
            "[\"claude\", \"-p\", \"{{ task.prompt }}\"]",
            "What a task runs: an array of words, or a string that is split into words without a \
             shell. A task's arguments stand where a word is `{{ task.args }}`, else at the end.",
        )
        .own(),
        key(
            "description",
            Type::Line,
            "\"Answers.\"",
            "One line for people.",
        )
        .own(),
        key(
            "cwd",
            Type::TaskPath,
            "\"work\"",
            "Working directory. Default: the folder of the main file, or `task.dir` with a \
             `work_dir` of its own.",
        ),
        key(
            "env",
            Type::Map(&TASK_ENV),
            "{ LEVEL = \"debug\", TOKEN = { file = \"token\" }, TASK = \"{{ task.id }}\" }",
            "Environment variables. A secret is a table with `env`, `file` or `command`; its \
             value is read at launch and shown nowhere.",
        ),
        key(
            "env_file",
            Type::Many(&ENV_FILE),
            "[\"x.env\", \"?local.env\"]",
            "Files of `KEY=value` lines, read at launch, in order; `env` goes before them. A \
             leading `?` makes one optional.",
        ),
        key(
            "clear_env",
            Type::Bool,
            "true",
            "Start from an empty environment.",
        )
        .or("false"),
        key(
            "user",
            Type::Account,
            "\"www-data\"",
            "User to run as. Default: that of the manager.",
        ),
        key(
            "group",
            Type::Account,
            "\"www-data\"",
            "Group to run as. Default: the user's primary group.",
        ),
        key(
            "umask",
            Type::Umask,
            "\"027\"",
            "File mode creation mask, octal.",
        ),
        key(
            "nice",
            int(-20, 19),
            "5",
            "Scheduling priority: -20 is the most urgent, 19 the least.",
        ),
        key(
            "rlimits",
            Type::Map(&RLIMITS),
            "{ nofile = 1024, as = [\"1GB\", \"2GB\"] }",
            "Resource limits, as in `ulimit`: one value, or soft and hard.",
        ),
        key(
            "stop",
            Type::Table(&STOP),
            "{ signal = \"INT\" }",
            "How a task is asked to stop.",
        ),
        key(
            "timeout",
            duration(1),
            "\"2h\"",
            "Longest time of one try of a task without a time of its own. Default: no limit.",
        ),
        key(
            "log",
            Type::Table(&LOG),
            "{ keep = 9 }",
            "How much of a task's output is kept.",
        ),
        key(
            "guards",
            Type::Either(&[Type::Table(&GUARDS), Type::False]),
            "{ memory = \"2GB\" }",
            "Limits on what a run may do, and what follows when it does. `false` drops inherited \
             ones.",
        ),
        key(
            "success_exits",
            Type::Many(&EXIT),
            "[0, 3]",
            "Exit codes that mean success.",
        )
        .or("[0]")
        .own(),
        key("concurrency", int(1, 10_000), "3", "Tasks at once.")
            .or("1")
            .own(),
        key(
            "ageing",
            duration(0),
            "\"5m\"",
            "Waiting this long counts like one more priority, so that no task waits for ever; \
             `\"0s\"`: waiting does not count.",
        )
        .or("\"1m\"")
        .own(),
        key(
            "rate",
            Type::Table(&RATE),
            "{ count = 10, per = \"1m\" }",
            "At most so many tasks begin in a time.",
        )
        .own(),
        key(
            "retries",
            Type::Either(&[Type::Table(&RETRY), int(0, 1_000)]),
            "2",
            "Tries after a failure, or a table as `retry` of a job.",
        )
        .or("0")
        .own(),
        key(
            "retry_exits",
            Type::Many(&EXIT),
            "[1, 75]",
            "Only after these exit codes a task is tried again. Default: after every failure.",
        )
        .own(),
        key(
            "delivery",
            Type::Choice(&["at-least-once", "at-most-once"]),
            "\"at-most-once\"",
            "A task of which nobody knows how it ended is tried again, or is `lost`.",
        )
        .or("\"at-least-once\"")
        .own(),
        key(
            "work_dir",
            Type::Either(&[Type::Table(&WORK_DIR), Type::Choice(&["shared", "own"])]),
            "\"own\"",
            "Tasks work in `cwd`, all in the same; or each in a folder of its `own`, \
             `{{ task.dir }}`, which is deleted after a success; or a table.",
        )
        .or("\"shared\"")
        .own(),
        key(
            "prompt",
            Type::Choice(&["argv", "stdin", "file"]),
            "\"stdin\"",
            "How a task's prompt gets to its command: where `{{ task.prompt }}` stands, on \
             standard input, or in the file `{{ task.prompt_file }}`. One that is too long for an \
             argument goes to standard input if no word asks for it.",
        )
        .or("\"argv\"")
        .own(),
        key(
            "progress",
            Type::Choice(&["output", "json"]),
            "\"json\"",
            "What counts as progress: any line of output, or lines of JSON as agent programs \
             write them; tokens and cost are read from those.",
        )
        .or("\"output\"")
        .own(),
        key(
            "stall",
            duration(1_000),
            "\"10m\"",
            "A task without progress for this long is stopped, and has failed; at half of it \
             somebody is told. Default: never.",
        )
        .own(),
        key(
            "breaker",
            Type::Table(&BREAKER),
            "{ failures = 5, rest = \"10m\" }",
            "Rests after failures in a row.",
        )
        .own(),
        key(
            "gates",
            Type::Many(&GATE_NAME),
            "[\"gpu\"]",
            "Tasks begin only while all of these gates are open.",
        )
        .or("[]")
        .own(),
        key(
            "interactive",
            Type::Choice(&["tmux"]),
            "\"tmux\"",
            "Reserved for tasks in a window of tmux: it does nothing yet.",
        )
        .own(),
        key(
            "queue_max",
            int(1, 10_000_000),
            "500",
            "More tasks than this are refused.",
        )
        .or("1000000")
        .own(),
        key(
            "keep",
            duration(1_000),
            "\"1d\"",
            "Tasks that are over are kept this long, with their logs.",
        )
        .or("\"7d\"")
        .own(),
        key(
            "keep_max",
            int(0, 1_000_000),
            "100",
            "At most this many tasks that are over are kept.",
        )
        .or("10000")
        .own(),
    ],
    required: &[],
    one_of: &["command"],
    hints: &[
        (
            "shell",
            "write `command = [\"/bin/sh\", \"-c\", …]`; what a template fills in, the shell reads",
        ),
        ("cmd", "write `command`"),
        ("exec", "write `command`"),
        ("workers", "write `concurrency`"),
        ("size", "write `concurrency`"),
        ("max_concurrent", "write `concurrency`"),
        ("retry", "write `retries`"),
        ("environment", "write `env`"),
        ("stall_timeout", "write `stall`"),
        ("workdir", "write `work_dir`, or `cwd` for a folder"),
        ("memory", "write `guards = { memory = … }`"),
        ("gate", "write `gates`"),
    ],
};

static TASK_ENV: MapSpec = MapSpec {
    keys: KeyRule::Variable,
    value: Type::Either(&[Type::Table(&SECRET), Type::TaskText]),
    noun: "variable",
};

pub(crate) static RATE: TableSpec = TableSpec {
    name: "rate",
    doc: "So many in a time.",
    keys: &[
        key("count", int(1, 100_000), "10", "How many."),
        key("per", duration(1), "\"1m\"", "The time."),
    ],
    required: &["count", "per"],
    one_of: &[],
    hints: &[("within", "write `per`"), ("limit", "write `count`")],
};

pub(crate) static WORK_DIR: TableSpec = TableSpec {
    name: "work_dir",
    doc: "A folder for each task, the same for all its tries.",
    keys: &[key(
        "keep",
        Type::Choice(&["failed", "always", "never"]),
        "\"always\"",
        "When the task is over: `failed` deletes it after a success, and keeps it as long as \
             the task otherwise; `always` keeps it as long as the task; `never` deletes it.",
    )
    .or("\"failed\"")],
    required: &[],
    one_of: &[],
    hints: &[],
};

pub(crate) static BREAKER: TableSpec = TableSpec {
    name: "breaker",
    doc: "Rests after failures in a row.",
    keys: &[
        key(
            "failures",
            int(1, 1_000_000),
            "5",
            "So many tasks that failed, one after the other.",
        ),
        key(
            "rest",
            duration(0),
            "\"10m\"",
            "The rest. Then one task is tried. `\"0s\"`: until a person resumes the pool.",
        ),
    ],
    required: &["failures", "rest"],
    one_of: &[],
    hints: &[("limit", "write `failures`"), ("cool_down", "write `rest`")],
};
