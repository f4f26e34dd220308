//! Keys of rules.

use super::bus::{RETRIES, TASK, WEBHOOK};
use super::channel::NOTIFY;
use super::pool::RATE;
use super::{duration, int};
use crate::keys::{TableSpec, Type, key};

static PATTERN: Type = Type::EventPattern;
static UNIT: Type = Type::RuleSelector;
static AN_ACTION: Type = Type::Table(&ACTION);
static A_RUNG: Type = Type::Table(&RUNG);

pub(crate) static RULE: TableSpec = TableSpec {
    name: "a rule",
    doc: "Does something when something happens.",
    keys: &[
        key(
            "name",
            Type::RuleName,
            "\"again\"",
            "Its name; no two rules have the same.",
        ),
        key(
            "description",
            Type::Line,
            "\"Restarts.\"",
            "One line for people.",
        ),
        key(
            "on",
            Type::Many(&PATTERN),
            "[\"daemon.exited\", \"file.*\"]",
            "Types of events. `*` stands for any text without a dot; a last `.*`, and `*` alone, \
             for any rest. Either this or `sequence`.",
        ),
        key(
            "sequence",
            Type::Many(&PATTERN),
            "[\"file.found\", \"file.lost\"]",
            "Types of events that must come one after the other, for the same `key` and within \
             `within`.",
        ),
        key(
            "when",
            Type::Cel,
            "\"event.data.code == 127\"",
            "Only events for which this CEL expression is true. An error is not true, and is \
             counted.",
        ),
        key(
            "key",
            Type::Cel,
            "\"event.data.key\"",
            "Events for which this CEL expression gives the same text are counted together; \
             `cooldown`, `for` and ladders are for each key. Default: the event's subject.",
        ),
        key(
            "count",
            int(1, 1_000),
            "5",
            "So many events of one key within `within`.",
        )
        .or("1"),
        key(
            "within",
            duration(1),
            "\"10m\"",
            "Window of `count` and `sequence`.",
        ),
        key(
            "for",
            duration(1),
            "\"2m\"",
            "It acts this long after the event, unless one of `unless` came for the same key.",
        ),
        key(
            "unless",
            Type::Many(&PATTERN),
            "\"daemon.ready\"",
            "Types of events that call off what waits for `for`, and begin counts and sequences \
             anew.",
        )
        .or("[]"),
        key(
            "then",
            Type::Many(&AN_ACTION),
            "[{ restart = \"web\" }]",
            "What it does, in order.",
        ),
        key(
            "ladder",
            Type::Table(&LADDER),
            "{ rungs = [{ then = [{ restart = \"web\" }] }] }",
            "What it does the first time, the second time, and so on.",
        ),
        key(
            "cooldown",
            duration(0),
            "\"10m\"",
            "It does nothing more for the same key this long.",
        )
        .or("\"0s\""),
        key(
            "once_per_key",
            Type::Bool,
            "true",
            "It acts once for each key, until a person resets the rule.",
        )
        .or("false"),
        key(
            "limit",
            Type::Table(&RATE),
            "{ count = 5, per = \"1h\" }",
            "More actions than this disable it, and somebody is told.",
        )
        .or("{ count = 60, per = \"1m\" }"),
        key(
            "approve",
            Type::Either(&[Type::Table(&APPROVE), Type::Bool]),
            "{ within = \"2h\" }",
            "A person must agree first: `true`, or a table that says within which time.",
        )
        .or("false"),
        key(
            "enabled",
            Type::Bool,
            "false",
            "It is in force. A person may change that at run time.",
        )
        .or("true"),
    ],
    required: &["name"],
    one_of: &["then", "ladder"],
    hints: &[
        ("event", "write `on`"),
        ("events", "write `on`"),
        ("trigger", "write `on`"),
        ("if", "write `when`"),
        ("filter", "write `when`"),
        ("condition", "write `when`"),
        ("do", "write `then`"),
        ("action", "write `then`"),
        ("actions", "write `then`"),
        ("window", "write `within`"),
        ("throttle", "write `cooldown`"),
        ("group_by", "write `key`"),
        ("approval", "write `approve`"),
    ],
};

pub(crate) static APPROVE: TableSpec = TableSpec {
    name: "approve",
    doc: "A person must agree first.",
    keys: &[key(
        "within",
        duration(1_000),
        "\"2h\"",
        "When nobody decided in this time, nothing is done.",
    )
    .or("\"1d\"")],
    required: &[],
    one_of: &[],
    hints: &[("timeout", "write `within`"), ("expires", "write `within`")],
};

pub(crate) static LADDER: TableSpec = TableSpec {
    name: "ladder",
    doc: "Remedies, from the mildest to the last.",
    keys: &[
        key(
            "rungs",
            Type::Many(&A_RUNG),
            "[{ then = [{ stop = \"web\" }] }, { then = [{ hold = \"web\" }] }]",
            "The remedies, in order.",
        ),
        key(
            "healthy",
            Type::Many(&PATTERN),
            "\"daemon.ready\"",
            "Types of events that say that the target is well: for the same key, the ladder is \
             begun anew.",
        )
        .or("[]"),
        key(
            "reset",
            duration(1_000),
            "\"30m\"",
            "It is also begun anew when nothing happened for this long.",
        )
        .or("\"1h\""),
    ],
    required: &["rungs"],
    one_of: &[],
    hints: &[
        ("steps", "write `rungs`"),
        ("cooldown", "each rung has its own"),
    ],
};

pub(crate) static RUNG: TableSpec = TableSpec {
    name: "a rung",
    doc: "One remedy.",
    keys: &[
        key(
            "then",
            Type::Many(&AN_ACTION),
            "[{ hold = \"web\" }]",
            "What is done, in order.",
        ),
        key(
            "cooldown",
            duration(0),
            "\"2m\"",
            "What happens this soon after it is put down to what was before: nothing is done.",
        )
        .or("\"0s\""),
        key(
            "times",
            int(1, 1_000),
            "3",
            "It is used so many times before the next one.",
        )
        .or("1"),
    ],
    required: &["then"],
    one_of: &[],
    hints: &[
        ("do", "write `then`"),
        ("action", "write `then`"),
        ("retries", "write `times`"),
    ],
};

pub(crate) static ACTION: TableSpec = TableSpec {
    name: "an action",
    doc: "Something a rule does. Texts are templates over `event` and `rule` (`name`, `key`, \
          `description`); names without a template must exist.",
    keys: &[
        key(
            "restart",
            Type::Many(&UNIT),
            "\"{{ event.subject }}\"",
            "Daemons to restart, with the running ones that need them: selectors.",
        ),
        key(
            "stop",
            Type::Many(&UNIT),
            "[\"web\", \"j\"]",
            "Daemons to stop.",
        ),
        key("start", Type::Many(&UNIT), "\"web\"", "Daemons to start."),
        key(
            "hold",
            Type::Many(&UNIT),
            "\"web\"",
            "Daemons to hold: stopped until they are released.",
        ),
        key(
            "release",
            Type::Many(&UNIT),
            "\"web\"",
            "Daemons to release.",
        ),
        key("trigger", Type::Many(&UNIT), "\"j\"", "Jobs to fire."),
        key(
            "task",
            Type::Table(&TASK),
            "{ pool = \"p\" }",
            "A task to submit.",
        ),
        key(
            "emit",
            Type::Published,
            "\"model.lost\"",
            "The type of an event to publish; none of the manager's own.",
        ),
        key(
            "subject",
            Type::EventText,
            "\"{{ event.subject }}\"",
            "Its subject; with `emit`.",
        ),
        key(
            "data",
            Type::RuleData,
            "{ code = 3, text = \"{{ rule.name }}\" }",
            "Its payload, taken as JSON; with `emit`.",
        ),
        key(
            "webhook",
            Type::Either(&[Type::Table(&WEBHOOK), Type::WebUrl]),
            "\"https://example.org/hook\"",
            "A URL that gets the event in an HTTP request, or a table.",
        ),
        key(
            "exec",
            Type::Command,
            "[\"bin/x\", \"-v\"]",
            "A command that gets the event as JSON on its standard input.",
        ),
        key(
            "timeout",
            duration(1),
            "\"2m\"",
            "Longest time of one try; with `webhook` and `exec`.",
        )
        .or("\"30s\""),
        key(
            "retries",
            Type::Either(&[Type::Table(&RETRIES), int(0, 1_000)]),
            "2",
            "Tries after the first one; with `webhook` and `exec`.",
        )
        .or("5"),
        key(
            "notify",
            Type::Either(&[Type::Table(&NOTIFY), Type::ChannelName]),
            "\"ops\"",
            "A channel, or a table: a message for people.",
        ),
        key(
            "close_gate",
            Type::GateName,
            "\"gpu\"",
            "A gate to close until it is opened; a name, never a template.",
        ),
        key(
            "open_gate",
            Type::GateName,
            "\"gpu\"",
            "A gate to open that an action closed.",
        ),
        key(
            "reason",
            Type::EventText,
            "\"as {{ event.type }} says\"",
            "Why; with `hold` and `close_gate`. Default: the rule's name.",
        ),
    ],
    required: &[],
    one_of: &[
        "restart",
        "stop",
        "start",
        "hold",
        "release",
        "trigger",
        "task",
        "emit",
        "webhook",
        "exec",
        "notify",
        "close_gate",
        "open_gate",
    ],
    hints: &[
        ("job", "write `trigger`"),
        ("run", "write `exec`, or `trigger` for a job"),
        ("command", "write `exec`"),
        ("submit", "write `task = { pool = … }`"),
        ("pool", "write `task = { pool = … }`"),
        ("publish", "write `emit`"),
        ("message", "write `notify`"),
        ("close", "write `close_gate`"),
        ("open", "write `open_gate`"),
        ("why", "write `reason`"),
    ],
};
