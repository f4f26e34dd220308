//! Keys of what makes a job run: schedules, watched paths, gauges; and of what happens then.

use super::{duration, int};
use crate::keys::{Key, TableSpec, Type, key};

static CRON: Type = Type::Cron;
static CALENDAR: Type = Type::Calendar;
static INSTANT: Type = Type::Instant;
static LAUNCHD_TABLE: Type = Type::Table(&LAUNCHD);
static PATH: Type = Type::Path;
static IGNORED: Type = Type::Ignored;
static EXTENSION: Type = Type::Extension;
static EVENT: Type = Type::Choice(&["create", "modify", "delete", "rename"]);

/// One or more paths to watch, without anything else.
pub(super) const WATCH_PATHS: Type = Type::Many(&PATH);
pub(super) static ON_GAUGE_TABLE: Type = Type::Table(&ON_GAUGE);
pub(super) static ONLY_WHEN_TABLE: Type = Type::Table(&ONLY_WHEN);

/// Forms of `overlap`.
pub(super) const OVERLAP_FORMS: Type = Type::Either(&[
    Type::Table(&OVERLAP),
    Type::Choice(&["skip", "queue-one", "kill-old"]),
]);

pub(crate) static SCHEDULE: TableSpec = TableSpec {
    name: "schedule",
    doc: "When a job runs. The forms of expressions are in [schedules.md](schedules.md).",
    keys: &[
        key(
            "cron",
            Type::Many(&CRON),
            "\"0 3 * * 1-5\"",
            "Cron expressions: five fields, six with seconds, or `@daily` and the like.",
        ),
        key(
            "calendar",
            Type::Many(&CALENDAR),
            "\"Mon..Fri 03:00\"",
            "Calendar expressions, as in systemd's `OnCalendar=`.",
        ),
        key(
            "launchd",
            Type::Many(&LAUNCHD_TABLE),
            "{ Hour = 3, Minute = 0 }",
            "Dictionaries as in `StartCalendarInterval` of launchd.plist(5).",
        ),
        key("every", duration(1_000), "\"5m\"", "Again and again."),
        key(
            "at",
            Type::Many(&INSTANT),
            "\"2027-01-01T03:00:00Z\"",
            "Once, at each of these times (RFC 3339); without an offset, in `tz`.",
        ),
        key(
            "after_boot",
            duration(0),
            "\"2m\"",
            "Once in each boot of the machine, this long after it.",
        ),
        key(
            "after_up",
            duration(0),
            "\"5s\"",
            "Once each time it is brought up, this long after it.",
        ),
        key(
            "tz",
            Type::Zone,
            "\"Europe/Oslo\"",
            "Time zone in which the times are meant. Default: the machine's.",
        ),
        key(
            "from",
            Type::Choice(&["clock", "start", "end"]),
            "\"end\"",
            "What `every` is counted from: the `clock` (an hour is a full hour), the `start`, \
             when the job was first brought up, or the `end` of the run before.",
        )
        .or("\"start\""),
        key(
            "jitter",
            duration(0),
            "\"30s\"",
            "It runs up to this much later, by an amount that is fixed for each job and time.",
        )
        .or("\"0s\""),
        key(
            "missed",
            Type::Either(&[Type::Table(&MISSED), Type::Choice(&["run-once", "skip"])]),
            "\"skip\"",
            "What makes up for times that passed while no manager ran or the machine slept: one \
             run for all, none, or as many as the table says.",
        )
        .or("\"run-once\""),
        key(
            "overlap",
            OVERLAP_FORMS,
            "\"queue-one\"",
            "When it is due while it still runs: `skip` this time, let one wait (`queue-one`), \
             stop the old run (`kill-old`), or let several run.",
        )
        .or("\"skip\""),
        key(
            "overdue",
            duration(1_000),
            "\"1h\"",
            "It is `overdue` this long after it should have succeeded. Default: the time from one \
             run to the next, at least 1 minute and at most 1 day.",
        ),
        key(
            "start_within",
            duration(1),
            "\"10m\"",
            "A run that could not begin this long after its time is given up.",
        ),
    ],
    required: &[],
    one_of: &[
        "cron",
        "calendar",
        "launchd",
        "every",
        "at",
        "after_boot",
        "after_up",
    ],
    hints: &[
        ("timezone", "write `tz`"),
        ("time_zone", "write `tz`"),
        ("zone", "write `tz`"),
        ("interval", "write `every`"),
        ("on_calendar", "write `calendar`"),
        ("random_delay", "write `jitter`"),
        ("persistent", "write `missed`"),
        ("catch_up", "write `missed`"),
        ("deadline", "write `start_within`"),
        ("grace", "write `overdue`"),
        ("timeout", "write `timeout` beside `schedule`"),
    ],
};

const LAUNCHD_DOC: &str = "Any value if absent.";

const fn part(name: &'static str, min: i64, max: i64) -> Key {
    key(name, int(min, max), "3", LAUNCHD_DOC)
}

pub(crate) static LAUNCHD: TableSpec = TableSpec {
    name: "launchd",
    doc: "A dictionary of `StartCalendarInterval`. What is absent may have any value, so that \
          `{ Hour = 3 }` is every minute from 3:00 to 3:59; with `Day` and `Weekday`, either will \
          do.",
    keys: &[
        part("Minute", 0, 59),
        part("Hour", 0, 23),
        part("Day", 1, 31),
        part("Weekday", 0, 7),
        part("Month", 1, 12),
        part("minute", 0, 59),
        part("hour", 0, 23),
        part("day", 1, 31),
        part("weekday", 0, 7),
        part("month", 1, 12),
    ],
    required: &[],
    one_of: &[],
    hints: &[],
};

pub(crate) static MISSED: TableSpec = TableSpec {
    name: "missed",
    doc: "A run for each time that was missed.",
    keys: &[key(
        "run_all",
        int(1, 1_000),
        "10",
        "This many at most, the latest ones.",
    )],
    required: &["run_all"],
    one_of: &[],
    hints: &[],
};

pub(crate) static OVERLAP: TableSpec = TableSpec {
    name: "overlap",
    doc: "Several runs at once, called `name@1`, `name@2` and so on.",
    keys: &[key(
        "allow",
        int(2, 256),
        "3",
        "This many; when as many run, further times are skipped.",
    )],
    required: &["allow"],
    one_of: &[],
    hints: &[],
};

pub(crate) static RETRY: TableSpec = TableSpec {
    name: "retry",
    doc: "What follows a failed run of a job, or of a task.",
    keys: &[
        key(
            "limit",
            int(0, 1_000),
            "3",
            "This many more tries for each occasion, or task.",
        ),
        key(
            "backoff",
            Type::Table(&RETRY_BACKOFF),
            "{ initial = \"2s\" }",
            "Delays between tries.",
        ),
    ],
    required: &["limit"],
    one_of: &[],
    hints: &[
        ("max", "write `limit`"),
        ("count", "write `limit`"),
        ("delay", "write `backoff = { initial = … }`"),
    ],
};

pub(crate) static RETRY_BACKOFF: TableSpec = TableSpec {
    name: "retry.backoff",
    doc: "Delays between tries.",
    keys: &[
        key(
            "initial",
            duration(0),
            "\"2s\"",
            "Delay before the first further try.",
        )
        .or("\"10s\""),
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

pub(crate) static ON_GAUGE: TableSpec = TableSpec {
    name: "on_gauge",
    doc: "A gauge that runs the job when it comes to a level.",
    keys: &[
        key("gauge", Type::GaugeName, "\"g\"", "Name of the gauge."),
        key(
            "level",
            Type::Choice(&["over", "warn", "under", "frozen", "ok", "unknown"]),
            "\"frozen\"",
            "The level.",
        )
        .or("\"over\""),
        key(
            "again",
            duration(1_000),
            "\"10m\"",
            "Once more this long after the time before, while the level lasts. Default: once.",
        ),
    ],
    required: &["gauge"],
    one_of: &[],
    hints: &[("every", "write `again`")],
};

pub(crate) static ONLY_WHEN: TableSpec = TableSpec {
    name: "only_when",
    doc: "A condition on a gauge, with `below`, `above` or both. It does not hold while the gauge \
          is unknown.",
    keys: &[
        key("gauge", Type::GaugeName, "\"g\"", "Name of the gauge."),
        key("below", Type::Threshold, "50", "The value must be below."),
        key("above", Type::Threshold, "5", "The value must be above."),
    ],
    required: &["gauge"],
    one_of: &[],
    hints: &[],
};

pub(crate) static WATCH: TableSpec = TableSpec {
    name: "watch",
    doc: "Paths that are watched, with all that is below them.",
    keys: &[
        key(
            "paths",
            Type::Many(&PATH),
            "[\"docs/\"]",
            "Folders and files, relative to the fleet file. They need not exist yet.",
        ),
        key(
            "events",
            Type::Many(&EVENT),
            "[\"create\", \"delete\"]",
            "Changes that count.",
        )
        .or("[\"create\", \"modify\", \"delete\", \"rename\"]"),
        key(
            "ignore",
            Type::Many(&IGNORED),
            "[\"*.tmp\", \"/build/\"]",
            "Paths that do not count, written as in gitignore(5), relative to each path.",
        )
        .or("[]"),
        key(
            "gitignore",
            Type::Bool,
            "true",
            "Heed the `.gitignore` files there.",
        )
        .or("false"),
        key(
            "extensions",
            Type::Many(&EXTENSION),
            "[\"md\"]",
            "Only files with these extensions count.",
        )
        .or("[]"),
        key(
            "debounce",
            duration(0),
            "\"2s\"",
            "Changes are put together until there were none for this long.",
        )
        .or("\"500ms\""),
        key(
            "debounce_max",
            duration(1),
            "\"1m\"",
            "They are put together for this long at most.",
        )
        .or("\"10s\""),
        key(
            "settle",
            duration(0),
            "\"3s\"",
            "A file counts when it has not been written for this long.",
        )
        .or("\"0s\""),
        key(
            "poll",
            duration(100),
            "\"1m\"",
            "Time between two looks where the system cannot tell of changes.",
        )
        .or("\"5s\""),
        key(
            "action",
            Type::Choice(&["trigger", "restart"]),
            "\"restart\"",
            "`trigger` the job, or `restart` the service.",
        ),
        key(
            "loop_limit",
            int(0, 1_000_000),
            "9",
            "A job that brings itself about this many times in a row, by writing what it \
             watches, is paused; 0: never.",
        )
        .or("5"),
    ],
    required: &["paths"],
    one_of: &[],
    hints: &[
        ("path", "write `paths`"),
        ("globs", "write `paths`, and `extensions` or `ignore`"),
        ("exclude", "write `ignore`"),
        ("delay", "write `debounce`"),
        ("interval", "write `poll`"),
        ("recursive", "folders are watched with all that is in them"),
    ],
};
