//! Keys of guards: limits on what a run may do.

use super::{SIZE_MAX, duration};
use crate::keys::{Key, TableSpec, Type, key};

const SIZE: Type = Type::Size {
    min: 1,
    max: SIZE_MAX,
};

const ACTION: Key = key(
    "action",
    Type::Choice(&["event", "restart", "hold"]),
    "\"hold\"",
    "What follows: it is said and the daemon is `degraded` (`event`), it is restarted as after a \
     failure, or it is held.",
)
.or("\"event\"");

const fn lasting(default: &'static str) -> Key {
    key(
        "for",
        duration(0),
        "\"42s\"",
        "The limit must be broken for this long.",
    )
    .or(default)
}

const HINTS: &[(&str, &str)] = &[
    ("limit", "write `max`"),
    ("then", "write `action`"),
    ("within", "write `for`"),
    ("window", "write `for`"),
];

pub(crate) static GUARDS: TableSpec = TableSpec {
    name: "guards",
    doc: "Limits on what a run may do. Each is a limit, or a table.",
    keys: &[
        key(
            "memory",
            Type::Either(&[Type::Table(&MEMORY), SIZE]),
            "\"2GB\"",
            "Memory of the whole process tree.",
        ),
        key(
            "cpu",
            Type::Either(&[Type::Table(&CPU), Type::Percent]),
            "\"150%\"",
            "CPU time of the whole process tree, in percent of one core.",
        ),
        key(
            "silent_for",
            Type::Either(&[Type::Table(&SILENCE), duration(1_000)]),
            "\"30m\"",
            "Longest time without a line of output.",
        ),
        key(
            "heartbeat",
            Type::Either(&[Type::Table(&HEARTBEAT), Type::Path]),
            "\"x.beat\"",
            "A file that it writes again and again.",
        ),
        key(
            "log_rate",
            Type::Either(&[Type::Table(&LOG_RATE), SIZE]),
            "\"1MB\"",
            "Output in a second.",
        ),
    ],
    required: &[],
    one_of: &[],
    hints: &[
        ("mem", "write `memory`"),
        ("rss", "write `memory`"),
        ("silence", "write `silent_for`"),
        ("silent", "write `silent_for`"),
        ("log", "write `log_rate`"),
    ],
};

pub(crate) static MEMORY: TableSpec = TableSpec {
    name: "memory",
    doc: "Memory of the whole process tree. It is measured; with `action = \"restart\"` and `for = \
          \"0s\"` the kernel keeps the limit too, where it can (cgroup v2).",
    keys: &[
        key("max", SIZE, "\"1GB\"", "At most."),
        lasting("\"10s\""),
        ACTION,
    ],
    required: &["max"],
    one_of: &[],
    hints: HINTS,
};

pub(crate) static CPU: TableSpec = TableSpec {
    name: "cpu",
    doc: "CPU time of the whole process tree, over the last `for`.",
    keys: &[
        key(
            "max",
            Type::Percent,
            "\"80%\"",
            "At most, in percent of one core; a number is percent too.",
        ),
        lasting("\"5m\""),
        ACTION,
    ],
    required: &["max"],
    one_of: &[],
    hints: HINTS,
};

pub(crate) static SILENCE: TableSpec = TableSpec {
    name: "silent_for",
    doc: "Time without a line of output.",
    keys: &[
        key("max", duration(1_000), "\"1h\"", "At most."),
        lasting("\"0s\""),
        ACTION,
    ],
    required: &["max"],
    one_of: &[],
    hints: HINTS,
};

pub(crate) static HEARTBEAT: TableSpec = TableSpec {
    name: "heartbeat",
    doc: "A file that it writes again and again.",
    keys: &[
        key("file", Type::Path, "\"y.beat\"", "The file."),
        key(
            "max_age",
            duration(1_000),
            "\"9s\"",
            "Longest time since it was written.",
        )
        .or("\"60s\""),
        lasting("\"0s\""),
        ACTION,
    ],
    required: &["file"],
    one_of: &[],
    hints: &[("path", "write `file`"), ("max", "write `max_age`")],
};

pub(crate) static LOG_RATE: TableSpec = TableSpec {
    name: "log_rate",
    doc: "Output in a second, over the last `for`.",
    keys: &[
        key("max", SIZE, "\"2MB\"", "At most."),
        lasting("\"10s\""),
        ACTION,
    ],
    required: &["max"],
    one_of: &[],
    hints: HINTS,
};
