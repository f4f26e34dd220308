//! Playing a page: a folder, an environment, and an end.
//!
//! Invariants: whatever became of the page, its fleets are brought down and its folder removed.
//! Commands see no colour, a fixed width and `eud` first in `PATH`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::page::{self, Step};
use crate::processes::TempDir;
use crate::{Failure, cmd, fleet};

pub(super) struct Session {
    dir: TempDir,
    /// Print what each command prints.
    shown: bool,
}

impl Session {
    /// An empty folder for a page.
    pub(super) fn new(page: &Path, shown: bool) -> Result<Self, Failure> {
        let stem = page.file_stem().and_then(|s| s.to_str()).unwrap_or("page");
        let dir = TempDir::new(&format!("eud-docs-{}", stem.to_lowercase()))?;
        Ok(Self { dir, shown })
    }

    /// Does everything in order. The failure begins with `:LINE: `.
    pub(super) fn play(&mut self, steps: &[Step]) -> Result<usize, Failure> {
        let mut commands = 0;
        for step in steps {
            match step {
                Step::File { name, text } => self.write(name, text)?,
                Step::Command(command) => {
                    self.check(command)?;
                    commands += 1;
                }
            }
        }
        Ok(commands)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.dir.path().join(name);
        let parent = path.parent().unwrap_or(self.dir.path());
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
        written.map_err(|e| format!(": {}: {e}", path.display()))
    }

    fn check(&self, command: &page::Command) -> Result<(), Failure> {
        let output = self.shell(&command.text).output();
        let output = output.map_err(|e| format!(":{}: cannot run sh: {e}", command.line))?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        // People see both; what goes to standard error is shown after the rest.
        let printed = out + &err;
        if self.shown {
            cmd::say(&format!("$ {}\n{}", command.text, printed.trim_end()));
        }
        let place = format!(":{}: `{}`", command.line, command.text);
        let code = output.status.code().unwrap_or(-1);
        if code != command.exit {
            return Err(format!(
                "{place} exits {code}, not {}:\n{printed}",
                command.exit
            ));
        }
        let missing = command.matches(&printed);
        missing.map_err(|line| format!("{place} does not print `{line}`, but:\n{printed}"))
    }

    fn shell(&self, text: &str) -> Command {
        let bin = cmd::target("debug");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::iter::once(bin.clone()).chain(std::env::split_paths(&path));
        let mut command = Command::new("sh");
        command
            .args(["-c", text])
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command.env("PATH", std::env::join_paths(dirs).unwrap_or(path));
        command.envs([("NO_COLOR", "1"), ("COLUMNS", "100"), ("TZ", "UTC")]);
        command
            .env("FACTORY_BIN", bin.join("factory"))
            .env("HOME", self.dir.path());
        command.env("EXAMPLES", cmd::root().join("examples"));
        command.env_remove("EUD_STATE");
        command
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for file in fleet::files_below(self.dir.path()) {
            if file.with_file_name(".eud").join("eud.sock").exists() {
                let down = format!("eud -f '{}' down", file.display());
                let _ = self
                    .shell(&down)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
            }
        }
    }
}
