//! The tables of the fleet file and their keys.
//!
//! Purpose: the one place that says which keys there are; [`crate::keys`] says what can be said of
//! one.
//! Invariants: `default` and `example` are TOML that the parser accepts (tested).

mod bus;
mod channel;
mod daemon;
mod gauge;
mod guard;
mod job;
mod pool;
mod probe;
mod rule;

use crate::keys::{KeyRule, MapSpec, TableSpec, Type, key};

pub(crate) use bus::{EVENT_TYPE, EVENT_TYPES, EVENTS, SUBSCRIPTION};
pub(crate) use channel::CHANNEL;
pub(crate) use daemon::{DAEMON, RESTART};
pub(crate) use gauge::{GATE, GAUGE};
pub(crate) use job::WATCH;
pub(crate) use pool::POOL;
pub(crate) use rule::RULE;

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

static SELECTOR: Type = Type::Selector;
static INCLUDE: Type = Type::Include;
static A_RULE: Type = Type::Table(&RULE);

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
             `[defaults]`, `[profiles]`, `[daemons]`, `[gauges]`, `[gates]`, `[events.types]`, \
             `[subscriptions]`, `[pools]`, `[[rules]]` and `[channels]`. A glob does \
             not match names that begin with a dot.",
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
        key(
            "gauges",
            Type::Map(&GAUGES),
            "{ depth = { files = \"in/*\" } }",
            "Numbers that are sampled again and again, by name.",
        ),
        key(
            "gates",
            Type::Map(&GATES),
            "{ shut = { gauge = \"g\", members = [\"web\"] } }",
            "What pauses daemons while a gauge is at certain levels, by name.",
        ),
        key(
            "events",
            Type::Table(&EVENTS),
            "{ keep = \"1d\" }",
            "How events are kept, and the types that this fleet adds.",
        ),
        key(
            "subscriptions",
            Type::Map(&SUBSCRIPTIONS),
            "{ index = { on = \"file.*\", job = \"j\" } }",
            "What brings events to handlers, by name.",
        ),
        key(
            "pools",
            Type::Map(&POOLS),
            "{ agents = { command = \"x\" } }",
            "What runs tasks, by name.",
        ),
        key(
            "rules",
            Type::Many(&A_RULE),
            "{ name = \"r\", on = \"*\", then = { stop = \"web\" } }",
            "What is done when something happens: `[[rules]]` for each. They see an event in this \
             order.",
        ),
        key(
            "channels",
            Type::Map(&CHANNELS),
            "{ desk = { via = \"desktop\" } }",
            "Ways to people, by name.",
        ),
    ],
    required: &[],
    one_of: &[],
    hints: &[
        ("pipelines", LATER),
        ("subscription", "write `[subscriptions.<name>]`"),
        ("pool", "write `[pools.<name>]`"),
        ("rule", "write `[[rules]]`"),
        ("channel", "write `[channels.<name>]`"),
        ("notify", "write `[channels.<name>]`"),
        ("event", "write `[events]`"),
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
    required: &[],
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

static GAUGES: MapSpec = MapSpec {
    keys: KeyRule::Name,
    value: Type::Table(&GAUGE),
    noun: "gauge",
};

static GATES: MapSpec = MapSpec {
    keys: KeyRule::Name,
    value: Type::Table(&GATE),
    noun: "gate",
};

static SUBSCRIPTIONS: MapSpec = MapSpec {
    keys: KeyRule::OutletName,
    value: Type::Table(&SUBSCRIPTION),
    noun: "subscription",
};

static POOLS: MapSpec = MapSpec {
    keys: KeyRule::OutletName,
    value: Type::Table(&POOL),
    noun: "pool",
};

static CHANNELS: MapSpec = MapSpec {
    keys: KeyRule::OutletName,
    value: Type::Table(&CHANNEL),
    noun: "channel",
};

/// Every table with known keys, for suggestions across tables, the schema and the reference.
pub(crate) static TABLES: [&TableSpec; 55] = [
    &ROOT,
    &FLEET,
    &DAEMON,
    &daemon::DEPRECATED,
    &RESTART,
    &daemon::BACKOFF,
    &daemon::STOP,
    &probe::READY,
    &probe::LIVE,
    &probe::FILE_PROBE,
    &probe::NOTIFY_PROBE,
    &daemon::LOG,
    &daemon::SECRET,
    &job::SCHEDULE,
    &job::LAUNCHD,
    &job::MISSED,
    &job::OVERLAP,
    &job::RETRY,
    &job::RETRY_BACKOFF,
    &job::ON_GAUGE,
    &job::ONLY_WHEN,
    &WATCH,
    &guard::GUARDS,
    &guard::MEMORY,
    &guard::CPU,
    &guard::SILENCE,
    &guard::HEARTBEAT,
    &guard::LOG_RATE,
    &GAUGE,
    &gauge::FILES,
    &gauge::SQLITE,
    &gauge::HTTP,
    &gauge::MACHINE,
    &gauge::LIMIT,
    &GATE,
    &EVENTS,
    &EVENT_TYPE,
    &SUBSCRIPTION,
    &bus::TASK,
    &bus::WEBHOOK,
    &bus::RETRIES,
    &bus::RETRIES_BACKOFF,
    &POOL,
    &pool::RATE,
    &pool::WORK_DIR,
    &pool::BREAKER,
    &RULE,
    &rule::ACTION,
    &rule::LADDER,
    &rule::RUNG,
    &rule::APPROVE,
    &CHANNEL,
    &channel::EMAIL,
    &channel::QUIET,
    &channel::NOTIFY,
];
