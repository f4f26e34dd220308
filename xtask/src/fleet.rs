//! Talking to a fleet under test through the `eud` command, as a person would.
//!
//! Invariants: the fleet's state lies in a folder of its own; a fleet that goes out of scope is
//! brought down, so that a failed task leaves nothing running.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Failure, cmd};

/// A fleet file with a state folder, and the binaries to run it with.
pub(crate) struct Fleet {
    eud: PathBuf,
    file: PathBuf,
    state: PathBuf,
    env: Vec<(String, String)>,
    /// This program blocks signals to read them from a descriptor; its children must not.
    unblocks_signals: bool,
}

impl Fleet {
    /// A fleet that is not running yet.
    pub(crate) fn new(eud: PathBuf, file: PathBuf, state: PathBuf) -> Self {
        Self {
            eud,
            file,
            state,
            env: Vec::new(),
            unblocks_signals: false,
        }
    }

    /// Lets every command begin with no signal blocked, by way of `cargo xtask exec`.
    pub(crate) fn unblock_signals(&mut self) {
        self.unblocks_signals = true;
    }

    /// Sets a variable for every command, and so for the manager and its daemons.
    pub(crate) fn env(&mut self, name: &str, value: impl Into<String>) {
        self.env.push((name.to_owned(), value.into()));
    }

    /// Value of a variable set before.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// `eud -f FILE ARGS`, in the fleet file's folder.
    pub(crate) fn eud(&self, args: &[&str]) -> Command {
        let mut command = if self.unblocks_signals {
            // The path of this program may be gone: `cargo build` replaces it while it runs.
            let mut command = Command::new("/proc/self/exe");
            command.arg("exec").arg(&self.eud);
            command
        } else {
            Command::new(&self.eud)
        };
        command.arg("-f").arg(&self.file).args(args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env("EUD_STATE", &self.state);
        command.current_dir(self.file.parent().unwrap_or(Path::new("/")));
        command
    }

    /// `eud status --json`.
    pub(crate) fn status(&self) -> Result<Value, Failure> {
        let text = cmd::output(&mut self.eud(&["status", "--json"]))?;
        serde_json::from_str(&text).map_err(|e| format!("eud status --json: {e}"))
    }

    /// One daemon of `eud status --json`.
    pub(crate) fn daemon(&self, name: &str) -> Result<Value, Failure> {
        let status = self.status()?;
        let daemons = status["daemons"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let found = daemons.iter().find(|d| d["name"] == name).cloned();
        found.ok_or(format!("no daemon `{name}` in eud status --json"))
    }

    /// Process ids of the manager and of every running command.
    pub(crate) fn pids(&self) -> Result<(u32, Vec<u32>), Failure> {
        let status = self.status()?;
        let daemons = status["daemons"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let pids = daemons.iter().filter_map(|d| pid(&d["pid"])).collect();
        let manager = pid(&status["manager"]["pid"]).ok_or("eud status shows no manager")?;
        Ok((manager, pids))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.state.join("eud.sock").exists() {
            let mut down = self.eud(&["down"]);
            let _ = down.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// A process id in JSON.
pub(crate) fn pid(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

/// Fleet files in a folder and the folders right below it.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let below = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let files = std::iter::once(dir.to_owned())
        .chain(below)
        .map(|dir| dir.join("eud.toml"));
    files.filter(|file| file.is_file()).collect()
}
