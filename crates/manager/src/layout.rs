//! Where everything of a state directory is.
//!
//! Purpose: one place that knows the names of files and folders.
//! Invariants: names of units come from a checked fleet or from folders that exist; none contains a
//! slash. A unit with a `#` in its name is a task's, and its folder has the same shape as a
//! daemon's.

use std::path::{Path, PathBuf};

/// Paths of one state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// `root` is absolute.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The state directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// Locked by the manager as long as it lives.
    pub fn manager_lock(&self) -> PathBuf {
        self.root.join("manager.lock")
    }

    /// Process id of the manager, for people.
    pub fn manager_pid(&self) -> PathBuf {
        self.root.join("manager.pid")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("eud.sock")
    }

    /// Proof of life, rewritten every [`crate::HEARTBEAT_MS`].
    pub fn heartbeat(&self) -> PathBuf {
        self.root.join("heartbeat")
    }

    /// The status as JSON, for `jq` and old scripts.
    pub fn state_json(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// The manager's own log.
    pub fn manager_log(&self) -> PathBuf {
        self.root.join("manager.log")
    }

    /// Folder of all units of daemons.
    pub fn daemons(&self) -> PathBuf {
        self.root.join("daemons")
    }

    /// Folder of all tasks.
    pub fn tasks(&self) -> PathBuf {
        self.root.join("tasks")
    }

    /// Folder of a unit.
    pub fn unit(&self, unit: &str) -> PathBuf {
        let all = if unit.contains('#') {
            self.tasks()
        } else {
            self.daemons()
        };
        all.join(unit)
    }

    /// A task's own working folder.
    pub fn work(&self, unit: &str) -> PathBuf {
        self.unit(unit).join("work")
    }

    /// Locked by the keeper of the unit's run, and by whoever declares a run dead.
    pub fn unit_lock(&self, unit: &str) -> PathBuf {
        self.unit(unit).join("lock")
    }

    /// Folder of a unit's logs.
    pub fn logs(&self, unit: &str) -> PathBuf {
        self.unit(unit).join("log")
    }

    /// The log being written.
    pub fn log(&self, unit: &str) -> PathBuf {
        self.logs(unit).join("current")
    }

    /// Folder of what is known of a daemon's watched paths.
    pub fn watch(&self, daemon: &str) -> PathBuf {
        self.unit(daemon).join("watch")
    }

    /// Folder of a unit's runs.
    pub fn runs(&self, unit: &str) -> PathBuf {
        self.unit(unit).join("runs")
    }

    /// Folder of a run.
    pub fn run(&self, unit: &str, run: &str) -> PathBuf {
        self.runs(unit).join(run)
    }
}

/// Names of the files in a run's folder.
pub(crate) mod run_file {
    /// What was started.
    pub(crate) const SPEC: &str = "spec.json";
    /// The keeper's socket.
    pub(crate) const SOCKET: &str = "control.sock";
    /// The exit record.
    pub(crate) const EXIT: &str = "exit.json";
    /// Empty; exists once a line matched the `log` readiness probe.
    pub(crate) const READY: &str = "ready";
    /// What a task's command reads on standard input.
    pub(crate) const STDIN: &str = "stdin";
    /// A task's prompt.
    pub(crate) const PROMPT: &str = "prompt.txt";
    /// An exit record that could not be read.
    pub(crate) const EXIT_BAD: &str = "exit.json.bad";
}
