//! The tables of the fleet file and their keys.
//!
//! Purpose: the one place that says which keys there are; [`crate::keys`] says what can be said of
//! one.
//! Invariants: `default` and `example` are TOML that the parser accepts (tested).

use crate::keys::{Key, KeyRule, MapSpec, TableSpec, Type, key};

/// Longest duration that a key takes: 10 years.
const DURATION_MS_MAX: u64 = 315_360_000_000;
/// Largest size that a key takes: 1 TiB.
const SIZE_MAX: u64 = 1 << 40;

const fn duration(min: u64) -> Type {
    Type::Duration {
        min,
        max: DURATION_MS_MAX,
    }
}

const fn int(min: i64, max: i64) -> Type {
    Type::Int { min, max }
}

static EXIT: Type = int(0, 255);
static PORT: Type = int(1, 65_535);
static DAEMON_NAME: Type = Type::DaemonName;
static LABEL: Type = Type::Line;
static RESOURCE: Type = Type::Resource;
static SELECTOR: Type = Type::Selector;
static ENV_FILE: Type = Type::EnvFile;
static INCLUDE: Type = Type::Include;

/// The whole file.
pub(crate) static ROOT: TableSpec = TableSpec {
    name: "the top level",
    doc: "A fleet of daemons for eudaemon.",
    keys: &[
        key(
            "include",
            Type::Many(&INCLUDE),
            "[]",
            "Further files: paths or globs, relative to this file. They may hold `include`, \
             `[defaults]`, `[profiles]` and `[daemons]`. A glob does not match names that begin \
             with a dot.",
        ),
        key(
            "fleet",
            Type::Table(&FLEET),
            "{ name = \"x\" }",
            "The fleet as a whole. Main file only.",
        ),
        key(
            "defaults",
            Type::Table(&DAEMON),
            "{ nice = 5 }",
            "Values for every daemon of this file that does not give its own; tables are merged \
             key by key. The defaults of the main file come first for daemons of included files \
             too.",
        ),
        key(
            "profiles",
            Type::Map(&PROFILES),
            "{ small = [\"web\"] }",
            "Named sets of daemons, for the role of a node.",
        ),
        key(
            "daemons",
            Type::Map(&DAEMONS),
            "{ web = { command = \"x\" } }",
            "The daemons, by name.",
        ),
    ],
    one_of: &[],
    hints: &[
        ("gauges", LATER),
        ("pools", LATER),
        ("rules", LATER),
        ("subscriptions", LATER),
        ("pipelines", LATER),
        ("daemon", "write `[daemons.<name>]`"),
        ("services", "write `[daemons.<name>]`"),
        ("service", "write `[daemons.<name>]`"),
        ("processes", "write `[daemons.<name>]`"),
        ("programs", "write `[daemons.<name>]`"),
    ],
};

/// Marks a key of a feature to come.
pub(crate) const LATER: &str = "not supported by this version";

static FLEET: TableSpec = TableSpec {
    name: "[fleet]",
    doc: "The fleet as a whole.",
    keys: &[
        key(
            "name",
            Type::Line,
            "\"factory\"",
            "Name of the fleet. Default: the name of the file's folder.",
        ),
        key(
            "profile",
            Type::ProfileName,
            "\"small\"",
            "Profile that `eud up` starts when none is asked for. Default: every daemon that is \
             enabled and not deprecated.",
        ),
    ],
    one_of: &[],
    hints: &[
        ("profiles", "write a table `[profiles]`"),
        ("daemons", "write `[daemons.<name>]`"),
    ],
};

static PROFILES: MapSpec = MapSpec {
    keys: KeyRule::Name,
    value: Type::Many(&SELECTOR),
    noun: "profile",
};

static DAEMONS: MapSpec = MapSpec {
    keys: KeyRule::Name,
    value: Type::Table(&DAEMON),
    noun: "daemon",
};

/// A daemon, and with other rules `[defaults]`.
pub(crate) static DAEMON: TableSpec = TableSpec {
    name: "a daemon",
    doc: "A daemon: a service that is kept alive.",
    keys: &[
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
            "How many run at once, called `name@1`, `name@2` and so on.",
        )
        .or("1")
        .own(),
        key(
            "restart",
            Type::Either(&[Type::Table(&RESTART), Type::Choice(&RESTART_MODES)]),
            "\"on-failure\"",
            "What happens after an exit that nobody asked for: a mode, or a table.",
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
            "Proof that it still works; failing it restarts the daemon. `false` drops an \
             inherited one.",
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
    ],
    one_of: &["command", "shell"],
    hints: &[
        ("schedule", LATER),
        ("watch", LATER),
        ("kind", LATER),
        ("overlap", LATER),
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

static DEPRECATED: TableSpec = TableSpec {
    name: "deprecated",
    doc: "Marks a daemon as deprecated.",
    keys: &[key("use", Type::Text, "\"web\"", "What to use instead.")],
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
    one_of: &[],
    hints: &[
        ("window", "write `within`"),
        ("max_restarts", "write `limit`"),
        ("retries", "write `limit`"),
        ("policy", "write `mode`"),
        ("delay", "write `backoff = { initial = … }`"),
    ],
};

static BACKOFF: TableSpec = TableSpec {
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
    one_of: &[],
    hints: &[],
};

static STOP: TableSpec = TableSpec {
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
    one_of: &[],
    hints: &[("timeout", "write `grace`")],
};

static PROBES: [&str; 6] = ["http", "tcp", "exec", "log", "file", "notify"];
static LIVE_PROBES: [&str; 5] = ["http", "tcp", "exec", "file", "notify"];

static FILE_FORMS: [Type; 2] = [Type::Table(&FILE_PROBE), Type::Path];
static NOTIFY_FORMS: [Type; 2] = [Type::Table(&NOTIFY_PROBE), Type::True];

const HTTP: Key = key(
    "http",
    Type::HttpUrl,
    "\"http://127.0.0.1:80/x\"",
    "A GET of this URL answers with a status from 200 to 399.",
);
const TCP: Key = key(
    "tcp",
    Type::HostPort,
    "\"127.0.0.1:80\"",
    "A connection to `host:port` is accepted.",
);
const EXEC: Key = key(
    "exec",
    Type::Command,
    "\"bin/check x\"",
    "The command exits 0. It runs as the daemon's user, in its directory and environment.",
);
const FILE_DOC: &str = "The file exists; with `max_age`, it was also modified that recently.";
const FILE: Key = key(
    "file",
    Type::Either(&FILE_FORMS),
    "{ path = \"x\", max_age = \"9s\" }",
    FILE_DOC,
);
const NOTIFY: Key = key(
    "notify",
    Type::Either(&NOTIFY_FORMS),
    "{ watchdog = \"30s\" }",
    "It says so itself by sd_notify(3): `READY=1`, and `WATCHDOG=1` for liveness.",
);

static READY: TableSpec = TableSpec {
    name: "ready",
    doc: "Readiness probe. Asked often until it passes, then at intervals.",
    keys: &[
        HTTP,
        TCP,
        EXEC,
        key(
            "log",
            Type::Regex,
            "\"listening on\"",
            "A line of output matches this regular expression.",
        ),
        FILE,
        NOTIFY,
        key(
            "every",
            duration(100),
            "\"5s\"",
            "Time between two tests once it is ready.",
        )
        .or("\"10s\""),
        key("timeout", duration(1), "\"1s\"", "Time one test may take.").or("\"2s\""),
        key(
            "failures",
            int(1, 1_000),
            "5",
            "Failures in a row that make it degraded.",
        )
        .or("3"),
        key(
            "within",
            duration(1),
            "\"60s\"",
            "It is restarted when it is not ready this long after its start. Default: wait, and \
             say so.",
        ),
    ],
    one_of: &PROBES,
    hints: &PROBE_HINTS,
};

static LIVE: TableSpec = TableSpec {
    name: "live",
    doc: "Liveness probe. Begins when the daemon is ready.",
    keys: &[
        HTTP,
        TCP,
        EXEC,
        FILE,
        NOTIFY,
        key("every", duration(100), "\"5s\"", "Time between two tests.").or("\"10s\""),
        key("timeout", duration(1), "\"1s\"", "Time one test may take.").or("\"2s\""),
        key(
            "failures",
            int(1, 1_000),
            "5",
            "Failures in a row that restart it.",
        )
        .or("3"),
    ],
    one_of: &LIVE_PROBES,
    hints: &[
        (
            "log",
            "a line of output proves readiness only: write it in `ready`",
        ),
        ("within", "a limit for becoming ready: write it in `ready`"),
        ("interval", "write `every`"),
        ("period", "write `every`"),
        ("retries", "write `failures`"),
        ("max_age", "write `file = { path = …, max_age = … }`"),
        ("watchdog", "write `notify = { watchdog = … }`"),
        ("command", "write `exec`"),
        ("url", "write `http`"),
    ],
};

static PROBE_HINTS: [(&str, &str); 7] = [
    ("interval", "write `every`"),
    ("period", "write `every`"),
    ("retries", "write `failures`"),
    ("max_age", "write `file = { path = …, max_age = … }`"),
    ("watchdog", "write `notify = { watchdog = … }`"),
    ("command", "write `exec`"),
    ("url", "write `http`"),
];

static FILE_PROBE: TableSpec = TableSpec {
    name: "file",
    doc: FILE_DOC,
    keys: &[
        key(
            "path",
            Type::Path,
            "\"x\"",
            "The file, relative to the fleet file.",
        ),
        key(
            "max_age",
            duration(1),
            "\"9s\"",
            "Oldest acceptable modification time.",
        ),
    ],
    one_of: &["path"],
    hints: &[],
};

static NOTIFY_PROBE: TableSpec = TableSpec {
    name: "notify",
    doc: "The daemon reports by sd_notify(3).",
    keys: &[key(
        "watchdog",
        duration(1),
        "\"30s\"",
        "Longest time between two `WATCHDOG=1`.",
    )],
    one_of: &[],
    hints: &[],
};

static LOG: TableSpec = TableSpec {
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
    one_of: &[],
    hints: &[
        ("size", "write `max_size`"),
        ("path", "logs are kept in the state directory"),
    ],
};

static ENV: MapSpec = MapSpec {
    keys: KeyRule::Variable,
    value: Type::Either(&[Type::Table(&SECRET), Type::EnvText]),
    noun: "variable",
};

static SECRET: TableSpec = TableSpec {
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
    one_of: &["env", "file", "command"],
    hints: &[],
};

static RLIMITS: MapSpec = MapSpec {
    keys: KeyRule::Limit,
    value: Type::Limit,
    noun: "resource limit",
};

/// Every table with known keys, for suggestions across tables, the schema and the reference.
pub(crate) static TABLES: [&TableSpec; 13] = [
    &ROOT,
    &FLEET,
    &DAEMON,
    &DEPRECATED,
    &RESTART,
    &BACKOFF,
    &STOP,
    &READY,
    &LIVE,
    &FILE_PROBE,
    &NOTIFY_PROBE,
    &LOG,
    &SECRET,
];
