//! Keys of a daemon, and of the tables within it that are no feature of their own.

use super::guard::GUARDS;
use super::job::{
    ON_GAUGE_TABLE, ONLY_WHEN_TABLE, OVERLAP_FORMS, RETRY, SCHEDULE, WATCH, WATCH_PATHS,
};
use super::probe::{LIVE, READY};
use super::{SIZE_MAX, duration, int};
use crate::keys::{KeyRule, MapSpec, TableSpec, Type, key};

static EXIT: Type = int(0, 255);
static PORT: Type = int(1, 65_535);
static DAEMON_NAME: Type = Type::DaemonName;
static LABEL: Type = Type::Line;
static RESOURCE: Type = Type::Resource;
static ENV_FILE: Type = Type::EnvFile;

/// A daemon, and with other rules `[defaults]`.
pub(crate) static DAEMON: TableSpec = TableSpec {
    name: "a daemon",
    doc: "A daemon: a service that is kept alive, or a job that runs to completion when it is \
          triggered.",
    keys: &[
        key(
            "kind",
            Type::Choice(&["service", "job"]),
            "\"job\"",
            "`service` or `job`. Default: `job` with `schedule` or `on_gauge`, or with a `watch` \
             whose `action` is not `restart`; `service` otherwise.",
        )
        .own(),
        key(
            "command",
            Type::Command,
            "[\"bin/x\", \"-v\"]",
            "What is run: an array of words, or a string that is split into words without a \
             shell. A program with a `/` is relative to this file, one without is looked up in \
             PATH.",
        )
        .own(),
        key(
            "shell",
            Type::Script,
            "\"a | b\"",
            "What is run by `/bin/sh -c`, instead of `command`. The shell expands variables, eud \
             does not.",
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
            Type::Path,
            "\"work\"",
            "Working directory. Default: the folder of the main file.",
        ),
        key(
            "env",
            Type::Map(&ENV),
            "{ LOG_LEVEL = \"debug\", TOKEN = { file = \"token\" } }",
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
            "{ nofile = 1024, core = \"unlimited\", as = [\"1GB\", \"2GB\"] }",
            "Resource limits, as in `ulimit`: one value, or soft and hard.",
        ),
        key(
            "category",
            Type::Line,
            "\"memory\"",
            "For `category:` selectors and the dashboard.",
        ),
        key(
            "tags",
            Type::Many(&LABEL),
            "[\"gpu\"]",
            "For `tag:` selectors.",
        )
        .or("[]"),
        key(
            "deprecated",
            Type::Either(&[Type::Table(&DEPRECATED), Type::Bool]),
            "{ use = \"web\" }",
            "Keeps it out of `*`, of globs, categories and tags; selecting it by name warns.",
        )
        .own(),
        key(
            "enabled",
            Type::Bool,
            "false",
            "`false` keeps it out of everything and refuses a start.",
        )
        .or("true"),
        key(
            "replicas",
            int(1, 256),
            "3",
            "How many run at once, called `name@1`, `name@2` and so on. Services only; jobs have \
             `overlap`.",
        )
        .or("1")
        .own(),
        key(
            "restart",
            Type::Either(&[Type::Table(&RESTART), Type::Choice(&RESTART_MODES)]),
            "\"on-failure\"",
            "What happens after an exit that nobody asked for: a mode, or a table. Services only; \
             jobs have `retry`.",
        )
        .or("\"always\""),
        key(
            "success_exits",
            Type::Many(&EXIT),
            "[0, 3]",
            "The same as `restart.success_exits`.",
        ),
        key(
            "alarm_exits",
            Type::Many(&EXIT),
            "[2]",
            "The same as `restart.alarm_exits`.",
        ),
        key(
            "stop",
            Type::Table(&STOP),
            "{ signal = \"INT\" }",
            "How it is asked to stop.",
        ),
        key(
            "ready",
            Type::Either(&[Type::Table(&READY), Type::False]),
            "{ tcp = \"127.0.0.1:80\" }",
            "Proof that it can serve. Without it, it counts as ready when it runs. `false` drops \
             an inherited one.",
        ),
        key(
            "live",
            Type::Either(&[Type::Table(&LIVE), Type::False]),
            "{ tcp = \"127.0.0.1:80\" }",
            "Proof that it still works; failing it restarts the daemon. Services only. `false` \
             drops an inherited one.",
        ),
        key(
            "needs",
            Type::Many(&DAEMON_NAME),
            "[\"web\"]",
            "Daemons that must be ready first; when one is stopped or restarted, so is this one.",
        )
        .or("[]")
        .own(),
        key(
            "wants",
            Type::Many(&DAEMON_NAME),
            "[\"web\"]",
            "Daemons to start too and to wait for, if they can be had.",
        )
        .or("[]")
        .own(),
        key(
            "after",
            Type::Many(&DAEMON_NAME),
            "[\"web\"]",
            "Daemons to wait for, if they are going to run anyway.",
        )
        .or("[]")
        .own(),
        key(
            "conflicts",
            Type::Many(&DAEMON_NAME),
            "[\"web\"]",
            "Daemons that never run at the same time as this one.",
        )
        .or("[]")
        .own(),
        key(
            "on_need_lost",
            Type::Choice(&["keep", "restart"]),
            "\"restart\"",
            "When a needed daemon dies on its own: `keep` on, degraded, or stop and wait for it.",
        )
        .or("\"keep\""),
        key(
            "ports",
            Type::Many(&PORT),
            "[8080]",
            "TCP ports it listens on.",
        )
        .or("[]")
        .own(),
        key(
            "reads",
            Type::Many(&RESOURCE),
            "[\"queue:in\"]",
            "Resources it reads.",
        )
        .or("[]")
        .own(),
        key(
            "writes",
            Type::Many(&RESOURCE),
            "[\"file:out\"]",
            "Resources it writes.",
        )
        .or("[]")
        .own(),
        key(
            "timeout",
            duration(1),
            "\"30m\"",
            "Longest time one run may take. Default: no limit.",
        ),
        key(
            "log",
            Type::Table(&LOG),
            "{ keep = 9 }",
            "How much of its output is kept.",
        ),
        key(
            "schedule",
            Type::Either(&[Type::Table(&SCHEDULE), Type::Moment]),
            "\"0 3 * * *\"",
            "When a job runs: a cron expression, `\"once\"` (each time it is brought up), \
             `\"@reboot\"` (once in each boot of the machine), or a table.",
        )
        .own(),
        key(
            "watch",
            Type::Either(&[Type::Table(&WATCH), WATCH_PATHS]),
            "[\"src/\"]",
            "Paths whose changes run the job, or restart the service: one or more, or a table.",
        )
        .own(),
        key(
            "on_gauge",
            Type::Many(&ON_GAUGE_TABLE),
            "{ gauge = \"g\" }",
            "Gauges that run the job when they come to a level.",
        )
        .own(),
        key(
            "only_when",
            Type::Many(&ONLY_WHEN_TABLE),
            "{ gauge = \"g\", below = 5 }",
            "The job begins only while all of these hold; until then it waits.",
        )
        .own(),
        key(
            "overlap",
            OVERLAP_FORMS,
            "\"kill-old\"",
            "The same as `schedule.overlap`, for jobs without a schedule too. Changes of watched \
             paths are never skipped.",
        )
        .or("\"skip\"")
        .own(),
        key(
            "retry",
            Type::Either(&[Type::Table(&RETRY), int(0, 1_000)]),
            "{ limit = 3 }",
            "How often a failed run of a job is tried again before its next time.",
        )
        .or("0")
        .own(),
        key(
            "guards",
            Type::Either(&[Type::Table(&GUARDS), Type::False]),
            "{ memory = \"2GB\" }",
            "Limits on what a run may do, and what follows when it does. `false` drops inherited \
             ones.",
        ),
    ],
    required: &[],
    one_of: &["command", "shell"],
    hints: &[
        ("cron", "write `schedule = { cron = … }`"),
        ("calendar", "write `schedule = { calendar = … }`"),
        ("on_calendar", "write `schedule = { calendar = … }`"),
        ("interval", "write `schedule = { every = … }`"),
        ("every", "write `schedule = { every = … }`"),
        ("trigger", "write `schedule`, `watch` or `on_gauge`"),
        ("type", "write `kind`"),
        ("retries", "write `retry`"),
        ("memory_max", "write `guards = { memory = … }`"),
        ("cmd", "write `command`"),
        ("exec", "write `command`"),
        ("run", "write `command`"),
        ("script", "write `shell`"),
        ("args", "add the arguments to `command`"),
        (
            "depends_on",
            "write `needs`, or `wants` for a soft dependency",
        ),
        ("depends", "write `needs`, or `wants` for a soft dependency"),
        ("requires", "write `needs`"),
        ("before", "write `after` in the other daemon"),
        ("environment", "write `env`"),
        ("envs", "write `env`"),
        ("working_dir", "write `cwd`"),
        ("workdir", "write `cwd`"),
        ("directory", "write `cwd`"),
        ("dir", "write `cwd`"),
        ("autorestart", "write `restart`"),
        ("healthcheck", "write `ready` and `live`"),
        ("health", "write `ready` and `live`"),
        ("liveness", "write `live`"),
        ("readiness", "write `ready`"),
        ("instances", "write `replicas`"),
        ("numprocs", "write `replicas`"),
        ("disabled", "write `enabled = false`"),
        ("profile", "list the daemon in `[profiles]`"),
        ("profiles", "list the daemon in `[profiles]`"),
        ("port", "write `ports`"),
        ("logs", "write `log`"),
        ("notify", "write `ready = { notify = true }`"),
    ],
};

static RESTART_MODES: [&str; 3] = ["always", "on-failure", "never"];

pub(crate) static DEPRECATED: TableSpec = TableSpec {
    name: "deprecated",
    doc: "Marks a daemon as deprecated.",
    keys: &[key("use", Type::Text, "\"web\"", "What to use instead.")],
    required: &[],
    one_of: &[],
    hints: &[],
};

/// Also holds what is written as `success_exits` and `alarm_exits` of the daemon.
pub(crate) static RESTART: TableSpec = TableSpec {
    name: "restart",
    doc: "Restart policy. The first restart is immediate; later ones wait.",
    keys: &[
        key(
            "mode",
            Type::Choice(&RESTART_MODES),
            "\"on-failure\"",
            "`always` restarts after every exit that nobody asked for, `on-failure` after \
             failures, `never` not at all.",
        )
        .or("\"always\""),
        key(
            "success_exits",
            Type::Many(&EXIT),
            "[0, 3]",
            "Exit codes that mean success.",
        )
        .or("[0]"),
        key(
            "alarm_exits",
            Type::Many(&EXIT),
            "[2]",
            "Exit codes that are a report, not a failure.",
        )
        .or("[]"),
        key(
            "backoff",
            Type::Table(&BACKOFF),
            "{ initial = \"2s\" }",
            "Delays between restarts.",
        ),
        key(
            "reset",
            duration(1),
            "\"30s\"",
            "A run at least this long starts the delays anew.",
        )
        .or("\"60s\""),
        key(
            "limit",
            int(0, 1_000_000),
            "5",
            "This many restarts `within` are too many; 0 means no limit.",
        )
        .or("10"),
        key("within", duration(1), "\"1h\"", "Window of `limit`.").or("\"10m\""),
        key(
            "then",
            Type::Choice(&["cool-down", "hold"]),
            "\"hold\"",
            "After too many restarts: wait for `cool_down` and try again, or hold until a person \
             releases it.",
        )
        .or("\"cool-down\""),
        key(
            "cool_down",
            duration(1),
            "\"1m\"",
            "How long a cool-down lasts.",
        )
        .or("\"5m\""),
    ],
    required: &[],
    one_of: &[],
    hints: &[
        ("window", "write `within`"),
        ("max_restarts", "write `limit`"),
        ("retries", "write `limit`"),
        ("policy", "write `mode`"),
        ("delay", "write `backoff = { initial = … }`"),
    ],
};

pub(crate) static BACKOFF: TableSpec = TableSpec {
    name: "backoff",
    doc: "Delays between restarts.",
    keys: &[
        key(
            "initial",
            duration(0),
            "\"2s\"",
            "Delay before the second restart.",
        )
        .or("\"1s\""),
        key(
            "factor",
            Type::Number {
                min: 1.0,
                max: 100.0,
            },
            "1.5",
            "Each further delay is this many times the one before.",
        )
        .or("2"),
        key("max", duration(0), "\"2m\"", "Longest delay.").or("\"60s\""),
        key(
            "jitter",
            Type::Number { min: 0.0, max: 1.0 },
            "0.2",
            "Delays vary by up to this part of them, either way.",
        )
        .or("0.1"),
    ],
    required: &[],
    one_of: &[],
    hints: &[],
};

pub(crate) static STOP: TableSpec = TableSpec {
    name: "stop",
    doc: "How a run is asked to stop.",
    keys: &[
        key(
            "signal",
            Type::Signal,
            "\"INT\"",
            "Signal that asks it to stop.",
        )
        .or("\"TERM\""),
        key(
            "grace",
            duration(0),
            "\"3s\"",
            "Time before the whole process tree is killed.",
        )
        .or("\"10s\""),
        key(
            "command",
            Type::Command,
            "\"bin/x stop\"",
            "Run instead of sending the signal; it gets `EUD_PID`.",
        ),
    ],
    required: &[],
    one_of: &[],
    hints: &[("timeout", "write `grace`")],
};

pub(crate) static LOG: TableSpec = TableSpec {
    name: "log",
    doc: "How much output is kept.",
    keys: &[
        key(
            "max_size",
            Type::Size {
                min: 4_096,
                max: SIZE_MAX,
            },
            "\"1MB\"",
            "A log file is rotated when it reaches this size.",
        )
        .or("\"50MB\""),
        key("keep", int(0, 1_000), "9", "Rotated files kept.").or("5"),
        key(
            "compress",
            Type::Bool,
            "true",
            "Compress rotated files with zstd.",
        )
        .or("false"),
    ],
    required: &[],
    one_of: &[],
    hints: &[
        ("size", "write `max_size`"),
        ("path", "logs are kept in the state directory"),
    ],
};

pub(crate) static ENV: MapSpec = MapSpec {
    keys: KeyRule::Variable,
    value: Type::Either(&[Type::Table(&SECRET), Type::EnvText]),
    noun: "variable",
};

pub(crate) static SECRET: TableSpec = TableSpec {
    name: "a secret",
    doc: "A reference to a secret: its value is read at launch and shown nowhere.",
    keys: &[
        key(
            "env",
            Type::Text,
            "\"TOKEN\"",
            "A variable of the manager's environment.",
        ),
        key(
            "file",
            Type::Path,
            "\"token\"",
            "Contents of a file, without the trailing newline.",
        ),
        key(
            "command",
            Type::Command,
            "\"pass show x\"",
            "Standard output of a command, without the trailing newline.",
        ),
    ],
    required: &[],
    one_of: &["env", "file", "command"],
    hints: &[],
};

pub(super) static RLIMITS: MapSpec = MapSpec {
    keys: KeyRule::Limit,
    value: Type::Limit,
    noun: "resource limit",
};
