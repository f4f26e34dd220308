//! Keys of channels and messages.

use super::bus::{RETRIES, WEBHOOK};
use super::daemon::SECRET;
use super::{LATER, duration, int};
use crate::keys::{TableSpec, Type, key};

static ADDRESS: Type = Type::MailAddress;
const SEVERITIES: Type = Type::Choice(&["info", "warning", "error", "critical"]);

pub(crate) static CHANNEL: TableSpec = TableSpec {
    name: "a channel",
    doc: "A way to people.",
    keys: &[
        key(
            "via",
            Type::Choice(&["desktop"]),
            "\"desktop\"",
            "The desktop's notifications, by `notify-send`.",
        ),
        key(
            "exec",
            Type::Command,
            "[\"bin/x\", \"-v\"]",
            "A command that gets the message as JSON on its standard input.",
        ),
        key(
            "webhook",
            Type::Either(&[Type::Table(&WEBHOOK), Type::WebUrl]),
            "\"https://example.org/hook\"",
            "A URL that gets the message as JSON in an HTTP request, or a table.",
        ),
        key(
            "email",
            Type::Table(&EMAIL),
            "{ host = \"h\", from = \"eud@example.org\", to = \"ada@example.org\" }",
            "Mail, by SMTP.",
        ),
        key(
            "min_severity",
            SEVERITIES,
            "\"error\"",
            "Messages below are dropped, and counted.",
        )
        .or("\"info\""),
        key(
            "group",
            duration(0),
            "\"1m\"",
            "Messages are collected this long and sent as one.",
        )
        .or("\"0s\""),
        key(
            "dedup",
            duration(0),
            "\"1h\"",
            "A message with the key of one sent this recently is dropped, and counted.",
        )
        .or("\"0s\""),
        key(
            "quiet",
            Type::Table(&QUIET),
            "{ from = \"22:00\", to = \"07:00\" }",
            "Hours in which messages wait, but for critical ones.",
        ),
        key("timeout", duration(1), "\"2m\"", "Longest time of one try.").or("\"30s\""),
        key(
            "retries",
            Type::Either(&[Type::Table(&RETRIES), int(0, 1_000)]),
            "2",
            "Tries after the first one, or a table.",
        )
        .or("5"),
    ],
    required: &[],
    one_of: &["via", "exec", "webhook", "email"],
    hints: &[
        ("slack", LATER),
        ("discord", LATER),
        ("telegram", LATER),
        ("desktop", "write `via = \"desktop\"`"),
        ("command", "write `exec`"),
        ("url", "write `webhook`"),
        ("mail", "write `email`"),
        ("smtp", "write `email`"),
        ("severity", "write `min_severity`"),
        ("quiet_hours", "write `quiet`"),
    ],
};

pub(crate) static QUIET: TableSpec = TableSpec {
    name: "quiet",
    doc: "Hours of the day; they may pass midnight.",
    keys: &[
        key("from", Type::TimeOfDay, "\"22:30\"", "When they begin."),
        key("to", Type::TimeOfDay, "\"07:00\"", "When they are over."),
        key(
            "tz",
            Type::Zone,
            "\"Europe/Oslo\"",
            "Zone of these times. Default: that of the machine, or UTC if it has no name.",
        ),
    ],
    required: &["from", "to"],
    one_of: &[],
    hints: &[("zone", "write `tz`"), ("until", "write `to`")],
};

pub(crate) static EMAIL: TableSpec = TableSpec {
    name: "email",
    doc: "Mail, by SMTP.",
    keys: &[
        key(
            "host",
            Type::Host,
            "\"mail.example.org\"",
            "Host of the server.",
        ),
        key(
            "port",
            int(1, 65_535),
            "2525",
            "Port. Default: 587; 465 with `tls = \"always\"`, 25 with `tls = \"never\"`.",
        ),
        key(
            "tls",
            Type::Choice(&["starttls", "always", "never"]),
            "\"always\"",
            "STARTTLS, or it fails; from the first byte; or not at all, for a server on this \
             machine.",
        )
        .or("\"starttls\""),
        key(
            "user",
            Type::Line,
            "\"ada\"",
            "User name, when the server asks for one.",
        ),
        key(
            "password",
            Type::Table(&SECRET),
            "{ file = \"mail.key\" }",
            "Password, with `user`.",
        ),
        key(
            "from",
            Type::MailAddress,
            "\"eud@example.com\"",
            "Address of the sender.",
        ),
        key(
            "to",
            Type::Many(&ADDRESS),
            "[\"ada@example.com\", \"ben@example.com\"]",
            "Addresses of the receivers.",
        ),
    ],
    required: &["host", "from", "to"],
    one_of: &[],
    hints: &[
        ("server", "write `host`"),
        ("username", "write `user`"),
        ("sender", "write `from`"),
        ("recipients", "write `to`"),
    ],
};

pub(crate) static NOTIFY: TableSpec = TableSpec {
    name: "a message",
    doc: "A message for people. Texts are templates over `event`.",
    keys: &[
        key(
            "channel",
            Type::ChannelName,
            "\"ops\"",
            "Name of the channel.",
        ),
        key(
            "title",
            Type::MessageText,
            "\"{{ event.subject }} is down\"",
            "One line. Default: the type and the subject.",
        ),
        key(
            "body",
            Type::MessageText,
            "\"{{ event.data.reason }}\"",
            "Further lines. Default: the payload.",
        ),
        key("severity", SEVERITIES, "\"critical\"", "How bad it is.").or("\"warning\""),
        key(
            "key",
            Type::MessageText,
            "\"{{ event.subject }}\"",
            "Messages of the same key within the channel's `dedup` are one. Default: the title.",
        ),
    ],
    required: &["channel"],
    one_of: &[],
    hints: &[
        ("to", "write `channel`"),
        ("text", "write `body`"),
        ("message", "write `body`"),
        ("subject", "write `title`"),
        ("level", "write `severity`"),
    ],
};
