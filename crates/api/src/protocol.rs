//! Methods, parameters and results of the control socket.
//!
//! Purpose: one description of the protocol for server and client.
//! Invariants: version [`VERSION`] only grows by optional fields and new methods; unknown fields in
//! parameters are errors, unknown fields in results are to be ignored.
//!
//! | method | parameters | result |
//! |---|---|---|
//! | `ping` | – | [`Pong`] |
//! | `manager.info` | – | [`Info`] |
//! | `fleet.status` | – | [`eud_core::view::Status`] |
//! | `fleet.up` | [`UpParams`] | [`eud_core::io::Accepted`] |
//! | `fleet.reload` | – | [`eud_core::io::Accepted`] |
//! | `fleet.shutdown` | [`ShutdownParams`] | [`eud_core::io::Accepted`], then the manager ends |
//! | `daemon.start`, `daemon.stop`, `daemon.restart`, `daemon.release`, `daemon.trigger` | [`NamesParams`] | [`eud_core::io::Accepted`] |
//! | `daemon.hold` | [`HoldParams`] | [`eud_core::io::Accepted`] |
//! | `daemon.signal` | [`SignalParams`] | [`eud_core::io::Accepted`] |
//! | `daemon.show` | [`NameParams`] | [`Shown`] |
//! | `daemon.runs` | [`RunsParams`] | array of [`eud_core::record::RunRow`], newest first |
//! | `daemon.why` | [`NameParams`] | [`eud_core::view::Explanation`] |
//! | `task.submit` | [`SubmitParams`] | [`eud_core::io::Accepted`] |
//! | `task.cancel` | [`CancelParams`] | [`eud_core::io::Accepted`] |
//! | `task.retry` | [`RetryParams`] | [`eud_core::io::Accepted`] |
//! | `task.list` | [`ListParams`] | array of [`eud_core::record::TaskRow`], newest first |
//! | `task.show` | [`IdParams`] | [`ShownTask`] |
//! | `pool.list` | – | array of [`eud_core::view::PoolView`] |
//! | `pool.pause` | [`PauseParams`] | [`eud_core::io::Accepted`] |
//! | `pool.resume` | [`PoolParams`] | [`eud_core::io::Accepted`] |
//! | `subscription.list` | – | [`eud_core::view::BusView`] |
//! | `subscription.add` | [`AddParams`] | [`eud_core::io::Accepted`] |
//! | `subscription.remove`, `subscription.pause`, `subscription.resume` | [`SubscriptionParams`] | [`eud_core::io::Accepted`] |
//! | `subscription.replay` | [`ReplayParams`] | [`eud_core::io::Accepted`] |
//! | `dlq.list` | [`DeadListParams`] | array of [`eud_core::record::DeadLetterRow`], newest first |
//! | `dlq.show` | [`DeadParams`] | [`ShownDeadLetter`] |
//! | `dlq.retry`, `dlq.drop` | [`DeadNumbersParams`] | [`eud_core::io::Accepted`] |
//! | `rule.list` | – | array of [`eud_core::view::RuleView`] |
//! | `rule.enable` | [`EnableParams`] | [`eud_core::io::Accepted`] |
//! | `rule.reset` | [`RuleParams`] | [`eud_core::io::Accepted`] |
//! | `rule.test` | [`TestParams`] | [`eud_core::view::RuleTrial`] |
//! | `approval.list` | – | array of [`eud_core::record::ApprovalRow`], oldest first |
//! | `approval.decide` | [`DecideParams`] | [`eud_core::io::Accepted`] |
//! | `channel.list` | – | array of [`eud_core::view::ChannelView`] |
//! | `channel.test` | [`ChannelParams`] | [`eud_core::io::Accepted`]; the message is on its way then |
//! | `message.list` | – | array of [`eud_core::view::MessageView`]: what is not sent, oldest first |
//! | `message.retry` | [`MessagesParams`] | [`eud_core::io::Accepted`] |
//! | `message.drop` | [`MessagesParams`] | [`eud_core::io::Accepted`] |
//! | `events.subscribe` | – | [`Subscribed`], then `transition` notifications |
//! | `event.emit` | [`EmitParams`] | array of [`eud_core::event::Receipt`], one for each event |
//! | `event.follow` | [`FollowParams`] | [`Following`], then `event` notifications: CloudEvents |
//!
//! Parameters are an object, or absent when there are none to give. A manager that has ended closes
//! the connection instead of answering.

mod bus;
mod channel;
mod rule;
mod task;

use eud_core::fleet::Daemon;
use eud_core::record::{RunId, RunRow};
use eud_core::view::DaemonView;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use bus::{
    AddParams, DEAD_LETTERS_MAX, DeadListParams, DeadNumbersParams, DeadParams, ReferenceParam,
    ReplayParams, ShownDeadLetter, SubscriptionParams, TaskParams, ValueParam, WebhookParams,
};
pub use channel::{ChannelParams, MessagesParams};
pub use rule::{DecideParams, EnableParams, RuleParams, TestParams};
pub use task::{
    CancelParams, IdParams, ListParams, PauseParams, PoolParams, RetryParams, ShownTask,
    Submission, SubmitParams, TASK_NAME_BYTES_MAX, TASK_TEXT_BYTES_MAX, TASKS_DEFAULT, TASKS_MAX,
    TASKS_PER_CALL_MAX,
};

/// Version of this protocol, as in [`Info`].
pub const VERSION: u32 = 1;

/// Longest line a client may send, in bytes, without its newline: a prompt of 1 MB fits, however it
/// is escaped.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// Runs that `daemon.runs` gives when no limit is asked for.
pub const RUNS_DEFAULT: u32 = 20;

/// Name of the notification that carries an [`eud_core::view::Transition`].
pub const NOTE_TRANSITION: &str = "transition";

/// Name of the notification that carries an event, as a CloudEvent in JSON.
pub const NOTE_EVENT: &str = "event";

/// Name of the last notification of a subscriber that reads too slowly; the connection is closed
/// after it.
pub const NOTE_LAGGED: &str = "lagged";

/// Error codes.
pub mod code {
    /// Not JSON, not UTF-8, or a line that is too long.
    pub const PARSE: i64 = -32700;
    /// JSON, but no request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Parameters that the method does not take.
    pub const INVALID_PARAMS: i64 = -32602;
    /// A fault of the manager.
    pub const INTERNAL: i64 = -32603;
    /// The core refused; `data` is an [`eud_core::io::Refusal`].
    pub const REFUSED: i64 = 1;
    /// The fleet file has errors; `data` is a [`super::FleetInvalid`].
    pub const FLEET_INVALID: i64 = 2;
    /// A selector means nothing in this fleet; `data` is an [`super::UnknownSelector`].
    pub const UNKNOWN_SELECTOR: i64 = 3;
    /// It cannot be recorded, so it is not acknowledged. See `problems` in the status.
    pub const STORAGE: i64 = 4;
}

/// Answer to `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// Always true.
    pub pong: bool,
    /// RFC 3339, UTC.
    pub timestamp: String,
}

/// Answer to `manager.info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Process id of the manager.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// [`VERSION`] of the server.
    pub protocol: u32,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Absolute path of the state directory.
    pub state_dir: String,
    /// Absolute path of the fleet file.
    pub fleet_file: String,
    /// Name of the fleet.
    pub fleet: String,
    /// Runs in the foreground of a terminal.
    pub foreground: bool,
}

/// Parameters of `fleet.up`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpParams {
    /// Profile to bring up; the fleet's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// Parameters of `fleet.shutdown`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownParams {
    /// Leave the daemons running under their keepers. Default false.
    #[serde(default)]
    pub keep_daemons: bool,
}

/// Parameters of `daemon.start`, `stop`, `restart`, `release` and `trigger`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamesParams {
    /// Selectors, at least one.
    pub names: Vec<String>,
}

/// Parameters of `daemon.hold`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldParams {
    /// Selectors, at least one.
    pub names: Vec<String>,
    /// Why; shown until the release.
    #[serde(default)]
    pub reason: String,
}

/// Parameters of `daemon.signal`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalParams {
    /// Selectors, at least one.
    pub names: Vec<String>,
    /// Name of the signal, with or without `SIG`.
    pub signal: String,
}

/// Parameters of `daemon.show` and `daemon.why`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameParams {
    /// A unit, or a selector that means exactly one.
    pub name: String,
}

/// Parameters of `daemon.runs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunsParams {
    /// A unit, or a selector that means exactly one. A unit no longer declared is known by its
    /// runs.
    pub name: String,
    /// How many; [`RUNS_DEFAULT`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Answer to `daemon.show`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// What it is.
    pub view: DaemonView,
    /// What the fleet file says. Secrets are references here, never values.
    pub daemon: Daemon,
    /// What the run in progress was started with, when that differs from `daemon`.
    pub launched: Option<Daemon>,
    /// Run in progress or last run.
    pub run: Option<RunId>,
    /// Absolute path of that run's folder.
    pub run_dir: Option<String>,
    /// Absolute path of the log that is being written.
    pub log: String,
    /// Last runs, newest first.
    pub runs: Vec<RunRow>,
}

/// Parameters of `event.emit`. All are published, or none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmitParams {
    /// CloudEvents 1.0 in JSON, at most [`eud_core::event::BATCH_MAX`]. `type` and `source` are
    /// needed.
    pub events: Vec<Value>,
}

/// Parameters of `event.follow`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowParams {
    /// Events after this one; from now on when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Patterns of types; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// What they are about; anything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// Answer to `event.follow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// Every event after this one that is wanted follows. A connection follows once; asked again,
    /// it follows anew.
    pub after: u64,
}

/// Answer to `events.subscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// Always true. Every transition after this line is delivered, or the connection is closed.
    pub subscribed: bool,
}

/// `data` of [`code::FLEET_INVALID`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetInvalid {
    /// Every error and warning, one object each.
    pub diagnostics: Value,
    /// The same for people, without colour.
    pub rendered: String,
}

/// `data` of [`code::UNKNOWN_SELECTOR`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownSelector {
    /// The term.
    pub term: String,
    /// The nearest thing that exists.
    pub suggestion: Option<String>,
}

/// An error as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// See [`code`].
    pub code: i64,
    /// For people.
    pub message: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}
