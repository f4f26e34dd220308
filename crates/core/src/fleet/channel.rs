//! Channels: ways to people.
//!
//! Invariants: templates were parsed once by `eud-config`, so they parse again; every channel and
//! pool that is named exists.

use serde::{Deserialize, Serialize};

use super::{EnvValue, Origin, Retry, Webhook};

/// A message for people, with templates over `event`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Name of the channel.
    pub channel: String,
    /// One line; a template. Absent: the type and the subject.
    pub title: Option<String>,
    /// Further lines; a template. Absent: the payload.
    pub body: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// Messages of the same key within the channel's time are one; a template. Absent: the title.
    pub key: Option<String>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it some time.
    #[default]
    Warning,
    /// Look at it today.
    Error,
    /// Look at it now. Quiet hours do not hold it back.
    Critical,
}

impl Severity {
    /// Name as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// A way to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Unique among channels.
    pub name: String,
    /// What it is.
    pub via: Via,
    /// Messages below are dropped, and counted. Default `info`.
    pub min_severity: Severity,
    /// Messages are collected this long and sent as one. Default 0: each alone.
    pub group_ms: u64,
    /// A message with the key of one sent this recently is dropped, and counted. Default 0.
    pub dedup_ms: u64,
    /// Messages wait for the end of these hours, but for critical ones.
    pub quiet: Option<Quiet>,
    /// A delivery may take this long. Default 30 s.
    pub timeout_ms: u64,
    /// Tries after the first one.
    pub retry: Retry,
    /// Where it was declared.
    pub origin: Origin,
}

/// Hours of the day, in a zone; may pass midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    /// Minutes after midnight.
    pub from_min: u32,
    /// Minutes after midnight.
    pub to_min: u32,
    /// IANA name; UTC when absent.
    pub zone: Option<String>,
}

/// How a channel sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "via")]
pub enum Via {
    /// The desktop's notifications: `org.freedesktop.Notifications` by `notify-send`.
    Desktop,
    /// A command with the message as JSON on its standard input, as a task of the pool
    /// `channel.<name>`, which `eud-config` makes.
    Exec {
        /// Name of that pool.
        pool: String,
    },
    /// An HTTP request with the message as JSON.
    Webhook(Webhook),
    /// SMTP.
    Email(Email),
}

/// How mail is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// Host of the server.
    pub host: String,
    /// Port. Default 587; 465 with `tls = "always"`, 25 with `tls = "never"`.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// User name, when the server asks for one.
    pub user: Option<String>,
    /// Password.
    pub password: Option<EnvValue>,
    /// Address of the sender.
    pub from: String,
    /// Addresses of the receivers. At least one.
    pub to: Vec<String>,
}

/// How a mail connection is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// STARTTLS, or it fails.
    #[default]
    Starttls,
    /// From the first byte.
    Always,
    /// Not at all: for a server on this machine.
    Never,
}
