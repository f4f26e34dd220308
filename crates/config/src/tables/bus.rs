//! Keys of events and subscriptions.

use super::channel::NOTIFY;
use super::daemon::SECRET;
use super::{duration, int};
use crate::keys::{KeyRule, MapSpec, TableSpec, Type, key};

static PATTERN: Type = Type::EventPattern;
static EVENT_TEXT: Type = Type::EventText;

pub(crate) static EVENTS: TableSpec = TableSpec {
    name: "[events]",
    doc: "How events are kept, and the types that this fleet adds.",
    keys: &[
        key(
            "keep",
            duration(1_000),
            "\"30d\"",
            "Events are kept this long; those that a subscription has not seen, longer. Main \
             file only.",
        )
        .or("\"7d\""),
        key(
            "keep_max",
            int(1_000, 100_000_000),
            "20000",
            "At most this many are kept, but for those not seen. Main file only.",
        )
        .or("100000"),
        key(
            "behind_max",
            int(1_000, 100_000_000),
            "5000",
            "Publishing is refused while a subscription is this many events behind. Main file \
             only.",
        )
        .or("1000000"),
        key(
            "same_content",
            duration(1),
            "\"10s\"",
            "Events of one source with the same type, subject and payload within this time are \
             one. Default: payloads are not compared. Main file only.",
        ),
        key(
            "types",
            Type::Map(&EVENT_TYPES),
            "{ \"model.promoted\" = { description = \"A model serves.\" } }",
            "Types of events, by name. Types that are not declared may be published, too.",
        ),
    ],
    required: &[],
    one_of: &[],
    hints: &[
        ("retention", "write `keep`"),
        ("max", "write `keep_max`"),
        ("dedup", "write `same_content`"),
        ("type", "write `types`"),
    ],
};

pub(crate) static EVENT_TYPES: MapSpec = MapSpec {
    keys: KeyRule::EventType,
    value: Type::Table(&EVENT_TYPE),
    noun: "type of events",
};

pub(crate) static EVENT_TYPE: TableSpec = TableSpec {
    name: "an event type",
    doc: "A type of events that this fleet publishes.",
    keys: &[
        key(
            "description",
            Type::Line,
            "\"A model serves.\"",
            "One line for people.",
        ),
        key(
            "schema",
            Type::Json,
            "{ type = \"object\", required = [\"model\"] }",
            "JSON Schema of the payload. An event that breaks it is refused.",
        ),
        key(
            "schema_file",
            Type::Path,
            "\"promoted.json\"",
            "The same, in a file of JSON.",
        ),
    ],
    required: &[],
    one_of: &[],
    hints: &[("jsonschema", "write `schema`")],
};

pub(crate) static SUBSCRIPTION: TableSpec = TableSpec {
    name: "a subscription",
    doc: "Brings events to a handler, each at least once, until it succeeds or is a dead letter.",
    keys: &[
        key(
            "description",
            Type::Line,
            "\"Indexes.\"",
            "One line for people.",
        ),
        key(
            "on",
            Type::Many(&PATTERN),
            "[\"file.*\", \"model.promoted\"]",
            "Types of events. `*` stands for any text without a dot; a last `.*`, and `*` alone, \
             for any rest.",
        ),
        key(
            "filter",
            Type::Cel,
            "\"event.data.size > 10\"",
            "Only events for which this CEL expression is true. An error is not true, and is \
             counted.",
        ),
        key("job", Type::DaemonName, "\"j\"", "The job that fires."),
        key(
            "task",
            Type::Table(&TASK),
            "{ pool = \"p\" }",
            "A task that is submitted.",
        ),
        key(
            "exec",
            Type::Command,
            "[\"bin/x\", \"-v\"]",
            "A command that gets the event as JSON on its standard input: an array of words, or a \
             string that is split into words without a shell.",
        ),
        key(
            "webhook",
            Type::Either(&[Type::Table(&WEBHOOK), Type::WebUrl]),
            "\"https://example.org/hook\"",
            "A URL that gets the event in an HTTP request (CloudEvents, structured mode), or a \
             table.",
        ),
        key(
            "notify",
            Type::Either(&[Type::Table(&NOTIFY), Type::ChannelName]),
            "\"ops\"",
            "A channel, or a table: a message for people.",
        ),
        key(
            "ordered_by",
            Type::Cel,
            "\"event.subject\"",
            "Events for which this CEL expression gives the same text are delivered one after \
             the other, in order, however many are delivered at once.",
        ),
        key(
            "concurrency",
            int(1, 1_000),
            "4",
            "Deliveries at once. With 1, the order of all is kept.",
        )
        .or("1"),
        key(
            "timeout",
            duration(1),
            "\"2m\"",
            "A delivery may take this long.",
        )
        .or("\"30s\""),
        key(
            "retries",
            Type::Either(&[Type::Table(&RETRIES), int(0, 1_000)]),
            "2",
            "Tries after the first one, or a table. An event that all of them fail is a dead \
             letter.",
        )
        .or("5"),
        key(
            "dead_retries",
            int(0, 1_000),
            "3",
            "A dead letter is tried again by itself this many times.",
        )
        .or("0"),
        key(
            "dead_retry",
            duration(1_000),
            "\"10m\"",
            "Time between those.",
        )
        .or("\"1h\""),
        key(
            "abandon",
            duration(1_000),
            "\"1d\"",
            "A dead letter this old is not tried again by itself, and goes away after as long \
             again.",
        )
        .or("\"7d\""),
        key(
            "from",
            Type::Choice(&["now", "start"]),
            "\"start\"",
            "Where a new subscription begins: with the events from `now` on, or at the `start` \
             of those that are kept.",
        )
        .or("\"now\""),
    ],
    required: &["on"],
    one_of: &["job", "task", "exec", "webhook", "notify"],
    hints: &[
        ("events", "write `on`"),
        ("types", "write `on`"),
        ("when", "write `filter`"),
        ("where", "write `filter`"),
        ("command", "write `exec`"),
        ("run", "write `exec`, or `job` for a job"),
        ("trigger", "write `job`"),
        ("pool", "write `task = { pool = … }`"),
        ("url", "write `webhook`"),
        ("channel", "write `notify`"),
        ("key", "write `ordered_by`"),
        ("retry", "write `retries`"),
        ("ack_timeout", "write `timeout`"),
    ],
};

pub(crate) static RETRIES: TableSpec = TableSpec {
    name: "retries",
    doc: "Tries of a delivery after the first one.",
    keys: &[
        key("limit", int(0, 1_000), "3", "How many.").or("5"),
        key(
            "backoff",
            Type::Table(&RETRIES_BACKOFF),
            "{ initial = \"2s\" }",
            "Delays between tries; each varies by a fifth.",
        ),
    ],
    required: &[],
    one_of: &[],
    hints: &[
        ("max", "write `limit`"),
        ("count", "write `limit`"),
        ("delay", "write `backoff = { initial = … }`"),
    ],
};

pub(crate) static RETRIES_BACKOFF: TableSpec = TableSpec {
    name: "retries.backoff",
    doc: "Delays between tries of a delivery.",
    keys: &[
        key(
            "initial",
            duration(0),
            "\"2s\"",
            "Delay before the second try.",
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
        key("max", duration(0), "\"2m\"", "Longest delay.").or("\"5m\""),
    ],
    required: &[],
    one_of: &[],
    hints: &[],
};

pub(crate) static TASK: TableSpec = TableSpec {
    name: "task",
    doc: "A task to be submitted. Texts are templates over `event`; in a rule, over `rule` too.",
    keys: &[
        key("pool", Type::PoolName, "\"p1\"", "Name of the pool."),
        key(
            "args",
            Type::Many(&EVENT_TEXT),
            "[\"--file\", \"{{ event.subject }}\"]",
            "Arguments of its command.",
        )
        .or("[]"),
        key(
            "prompt",
            Type::EventText,
            "\"Look at {{ event.subject }}.\"",
            "Its prompt.",
        ),
        key(
            "key",
            Type::EventText,
            "\"{{ event.subject }}\"",
            "Tasks of the same key run one after the other.",
        ),
        key(
            "priority",
            int(-1_000_000, 1_000_000),
            "5",
            "Higher goes first.",
        )
        .or("0"),
        key(
            "once",
            Type::Bool,
            "true",
            "At most one such task is queued or running for the same `key`; further ones become \
             part of it.",
        )
        .or("false"),
    ],
    required: &["pool"],
    one_of: &[],
    hints: &[("arguments", "write `args`"), ("text", "write `prompt`")],
};

pub(crate) static WEBHOOK: TableSpec = TableSpec {
    name: "webhook",
    doc: "An HTTP request. Delivered when the answer is 2xx; redirects are not followed.",
    keys: &[
        key(
            "url",
            Type::WebUrl,
            "\"https://example.org/hook\"",
            "Where it goes.",
        ),
        key(
            "headers",
            Type::Map(&HEADERS),
            "{ Authorization = { env = \"AUTH\" } }",
            "Headers to send.",
        ),
        key(
            "secret",
            Type::Table(&SECRET),
            "{ file = \"hook.key\" }",
            "Signs the body: `webhook-signature: v1,<base64 of HMAC-SHA-256>` over \
             `<id>.<unix seconds>.<body>`, as in Standard Webhooks.",
        ),
    ],
    required: &["url"],
    one_of: &[],
    hints: &[
        ("method", "it is always POST"),
        ("header", "write `headers`"),
    ],
};

static HEADERS: MapSpec = MapSpec {
    keys: KeyRule::Header,
    value: Type::Either(&[Type::Table(&SECRET), Type::Line]),
    noun: "header",
};
