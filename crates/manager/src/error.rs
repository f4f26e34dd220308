//! What can go wrong with a manager, and what to do about it.

use std::io;
use std::path::PathBuf;

use eud_core::io::Refusal;
use eud_core::select::SelectError;

/// Why a manager cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// A file or folder of the state directory.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// A verb: `create`, `lock`, `read`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else's state directory.
    #[error(
        "{} belongs to user {owner}, not to you; give another state directory with --state",
        path.display()
    )]
    NotOurs {
        /// The state directory.
        path: PathBuf,
        /// Owner's number.
        owner: u32,
    },
    /// A second manager.
    #[error(
        "a manager is already running for {}{}; talk to it with `eud status`, or end it with `eud down`",
        state_dir.display(),
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    AlreadyRunning {
        /// The state directory.
        state_dir: PathBuf,
        /// Process id found in `manager.pid`.
        pid: Option<u32>,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] eud_store::StoreError),
    /// The fleet file has errors and nothing runs that would need care.
    #[error("{rendered}")]
    FleetInvalid {
        /// Diagnostics as JSON.
        diagnostics: serde_json::Value,
        /// For people.
        rendered: String,
    },
    /// `eud-keeper` is not where it should be.
    #[error(
        "eud-keeper was not found at {}; install it beside eud, or set EUD_KEEPER to its path",
        path.display()
    )]
    NoKeeper {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The core refused the profile.
    #[error("{0}")]
    Refused(String),
    /// The runtime or a signal handler.
    #[error("cannot {what}: {source}")]
    System {
        /// A verb phrase.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl ManagerError {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File {
            what,
            path: path.into(),
            source,
        }
    }
}

/// Why a request to a running manager was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandError {
    /// The core refused.
    #[error("{message}")]
    Refused {
        /// What it says.
        refusal: Refusal,
        /// The same for people.
        message: String,
    },
    /// A selector means nothing.
    #[error("{0}")]
    Selector(SelectError),
    /// A selector that must mean one unit means another number of them.
    #[error(
        "`{name}` means {count} units, not one{}",
        example.as_ref().map(|unit| format!("; try `{unit}`")).unwrap_or_default()
    )]
    NotOne {
        /// As given.
        name: String,
        /// How many.
        count: usize,
        /// One of them.
        example: Option<String>,
    },
    /// The fleet file has errors; the running fleet is unchanged.
    #[error("the fleet file has errors; the running fleet is unchanged")]
    FleetInvalid {
        /// Diagnostics as JSON.
        diagnostics: serde_json::Value,
        /// For people.
        rendered: String,
    },
    /// A parameter makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be made durable, so it is not acknowledged.
    #[error("{0}")]
    Storage(String),
    /// The manager is ending or has a fault.
    #[error("the manager is ending; ask again when it has been started anew")]
    Ending,
}
