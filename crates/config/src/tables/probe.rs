//! Keys of probes.

use super::{duration, int};
use crate::keys::{Key, TableSpec, Type, key};

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

pub(crate) static READY: TableSpec = TableSpec {
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
    required: &[],
    one_of: &PROBES,
    hints: &PROBE_HINTS,
};

pub(crate) static LIVE: TableSpec = TableSpec {
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
    required: &[],
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

pub(crate) static FILE_PROBE: TableSpec = TableSpec {
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
    required: &[],
    one_of: &["path"],
    hints: &[],
};

pub(crate) static NOTIFY_PROBE: TableSpec = TableSpec {
    name: "notify",
    doc: "The daemon reports by sd_notify(3).",
    keys: &[key(
        "watchdog",
        duration(1),
        "\"30s\"",
        "Longest time between two `WATCHDOG=1`.",
    )],
    required: &[],
    one_of: &[],
    hints: &[],
};
