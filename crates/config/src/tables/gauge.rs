//! Keys of gauges and gates.

use super::daemon::ENV;
use super::{SELECTOR, duration, int};
use crate::keys::{Key, TableSpec, Type, key};

static GLOB: Type = Type::Glob;
static CLOSING: Type = Type::Choice(&["over", "frozen", "under", "warn", "ok"]);

const fn limit(name: &'static str, example: &'static str, doc: &'static str) -> Key {
    const FORMS: Type = Type::Either(&[Type::Table(&LIMIT), Type::Threshold]);
    key(name, FORMS, example, doc)
}

pub(crate) static GAUGE: TableSpec = TableSpec {
    name: "a gauge",
    doc: "A number that is sampled again and again. One that cannot be read is `unknown`, never \
          zero.",
    keys: &[
        key(
            "description",
            Type::Line,
            "\"Waits.\"",
            "One line for people.",
        ),
        key(
            "files",
            Type::Either(&[Type::Table(&FILES), Type::Many(&GLOB)]),
            "\"in/*.json\"",
            "How many files match a glob, or a table.",
        ),
        key(
            "sqlite",
            Type::Table(&SQLITE),
            "{ db = \"q.db\", query = \"select 1\" }",
            "The first column of the first row of a query.",
        ),
        key(
            "command",
            Type::Command,
            "\"bin/depth\"",
            "The first number on a command's standard output.",
        ),
        key(
            "http",
            Type::Either(&[Type::Table(&HTTP), Type::HttpUrl]),
            "\"http://127.0.0.1:80/depth\"",
            "A number in a JSON document.",
        ),
        key(
            "machine",
            Type::Either(&[Type::Table(&MACHINE), Type::Choice(&MACHINE_WORDS)]),
            "\"memory\"",
            "A number of the machine: percent of `memory` or `swap` in use, `load` of the last \
             minute, percent of the last 10 s in which something waited (`cpu-pressure`, \
             `memory-pressure`, `io-pressure`), percent of the `open-files` that are possible; or \
             a table.",
        ),
        key(
            "cwd",
            Type::Path,
            "\"work\"",
            "Working directory of `command`. Default: the folder of the main file.",
        ),
        key(
            "env",
            Type::Map(&ENV),
            "{ A = \"b\" }",
            "Environment variables of `command`.",
        ),
        key(
            "every",
            duration(100),
            "\"5s\"",
            "Time between two samples.",
        )
        .or("\"30s\""),
        key(
            "timeout",
            duration(1),
            "\"1s\"",
            "Time one sample may take.",
        )
        .or("\"5s\""),
        limit("warn", "400", "It is `warn` at and above."),
        limit("over", "500", "It is `over` at and above."),
        limit("under", "2", "It is `under` at and below."),
        key(
            "frozen",
            duration(1_000),
            "\"30m\"",
            "It is `frozen` when it is above zero and has not changed for this long.",
        ),
    ],
    required: &[],
    one_of: &["files", "sqlite", "command", "http", "machine"],
    hints: &[
        ("overflow", "write `over`"),
        ("max", "write `over`"),
        ("min", "write `under`"),
        ("critical", "write `over`"),
        ("warning", "write `warn`"),
        ("interval", "write `every`"),
        ("glob", "write `files`"),
        ("path", "write `files`"),
        ("query", "write `sqlite = { db = …, query = … }`"),
        ("db", "write `sqlite = { db = …, query = … }`"),
        ("exec", "write `command`"),
        ("url", "write `http`"),
        ("disk", "write `machine = { disk = \"/path\" }`"),
    ],
};

static MACHINE_WORDS: [&str; 7] = [
    "memory",
    "swap",
    "load",
    "cpu-pressure",
    "memory-pressure",
    "io-pressure",
    "open-files",
];

pub(crate) static FILES: TableSpec = TableSpec {
    name: "files",
    doc: "A number about the files whose paths match a glob.",
    keys: &[
        key(
            "glob",
            Type::Many(&GLOB),
            "[\"in/*.json\", \"in/**/*.csv\"]",
            "Globs, relative to the fleet file; `*` stays within a folder, `**` does not.",
        ),
        key(
            "measure",
            Type::Choice(&["count", "size", "oldest", "newest"]),
            "\"oldest\"",
            "How many there are, their `size` in bytes together, or the seconds since the \
             `oldest` or the `newest` was modified.",
        )
        .or("\"count\""),
    ],
    required: &["glob"],
    one_of: &[],
    hints: &[("path", "write `glob`"), ("globs", "write `glob`")],
};

pub(crate) static SQLITE: TableSpec = TableSpec {
    name: "sqlite",
    doc: "The first column of the first row. The database is opened read-only.",
    keys: &[
        key("db", Type::Path, "\"other.db\"", "The database's file."),
        key(
            "query",
            Type::Text,
            "\"select count(*) from jobs\"",
            "One `select`.",
        ),
    ],
    required: &["db", "query"],
    one_of: &[],
    hints: &[("path", "write `db`"), ("database", "write `db`")],
};

pub(crate) static HTTP: TableSpec = TableSpec {
    name: "http",
    doc: "A number in a JSON document that a GET of the URL answers with.",
    keys: &[
        key(
            "url",
            Type::HttpUrl,
            "\"http://127.0.0.1:80/x\"",
            "Where it is got from.",
        ),
        key(
            "pointer",
            Type::Pointer,
            "\"/queues/0/depth\"",
            "A JSON pointer (RFC 6901); empty: the document itself.",
        )
        .or("\"\""),
    ],
    required: &["url"],
    one_of: &[],
    hints: &[("path", "write `pointer`"), ("json", "write `pointer`")],
};

pub(crate) static MACHINE: TableSpec = TableSpec {
    name: "machine",
    doc: "A number of a part of the machine.",
    keys: &[
        key(
            "disk",
            Type::Path,
            "\"/var\"",
            "Percent in use of the file system that this path is on.",
        ),
        key(
            "gpu",
            int(0, 255),
            "1",
            "Percent of the time that the GPU with this index is at work.",
        ),
        key(
            "gpu_memory",
            int(0, 255),
            "1",
            "Percent in use of the memory of the GPU with this index.",
        ),
    ],
    required: &[],
    one_of: &["disk", "gpu", "gpu_memory"],
    hints: &[],
};

pub(crate) static LIMIT: TableSpec = TableSpec {
    name: "a limit",
    doc: "Two thresholds, so that a value at the edge does not flutter. A threshold is a number; \
          a size such as `2GB` stands for bytes, a duration for seconds, `90%` for 90.",
    keys: &[
        key("at", Type::Threshold, "600", "The level begins here."),
        key(
            "clear",
            Type::Threshold,
            "300",
            "It ends beyond this. Default: 90 % of `at`; for `under` 110 %.",
        ),
    ],
    required: &["at"],
    one_of: &[],
    hints: &[(
        "for",
        "limits apply at once; write `every` to look more rarely",
    )],
};

pub(crate) static GATE: TableSpec = TableSpec {
    name: "a gate",
    doc: "Pauses its members while a gauge is at certain levels: services among them are stopped, \
          jobs do not begin. It opens by itself. While the gauge is unknown it stays as it was.",
    keys: &[
        key("gauge", Type::GaugeName, "\"g2\"", "Name of the gauge."),
        key(
            "closes_at",
            Type::Many(&CLOSING),
            "[\"over\", \"frozen\"]",
            "Levels at which it is closed.",
        )
        .or("[\"over\"]"),
        key(
            "members",
            Type::Many(&SELECTOR),
            "[\"we*\"]",
            "The daemons, as in a profile.",
        ),
    ],
    required: &["gauge", "members"],
    one_of: &[],
    hints: &[
        ("daemons", "write `members`"),
        ("pauses", "write `members`"),
        ("level", "write `closes_at`"),
        ("levels", "write `closes_at`"),
        ("when", "write `closes_at`"),
    ],
};
