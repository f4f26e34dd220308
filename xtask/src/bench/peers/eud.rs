//! eud itself.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::{Job, LOG_BYTES, LOG_FILES, Peer, Stop, quiet, write};
use crate::Failure;

/// With the binaries in a folder.
pub(crate) struct Eud {
    /// That folder.
    pub(crate) bin: PathBuf,
}

impl Eud {
    fn eud(&self, job: &Job<'_>, args: &[&str]) -> Command {
        let mut command = quiet(job, self.bin.join("eud"), args);
        command.args(["--file", "eud.toml"]);
        command
    }
}

impl Peer for Eud {
    fn name(&self) -> &'static str {
        "eud"
    }

    fn version(&self) -> Vec<String> {
        vec![
            self.bin.join("eud").display().to_string(),
            "--version".into(),
        ]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["eud"]
    }

    fn chief(&self) -> &'static str {
        "eud"
    }

    fn configure(&self, job: &Job<'_>) -> Result<(), Failure> {
        let mut text = format!(
            "[fleet]\nname = \"bench\"\n[defaults]\nlog = {{ max_size = \"{LOG_BYTES}B\", keep = {LOG_FILES}, \
             compress = false }}\n"
        );
        for service in job.services {
            let _ = write!(
                text,
                "[daemons.{}]\ncommand = {:?}\n",
                service.name, service.words
            );
        }
        write(&job.dir.join("eud.toml"), &text)
    }

    fn start(&self, job: &Job<'_>) -> Command {
        self.eud(job, &["up"])
    }

    fn stop(&self, job: &Job<'_>) -> Stop {
        Stop::Command(self.eud(job, &["down"]))
    }

    fn status(&self, job: &Job<'_>) -> Option<Command> {
        Some(self.eud(job, &["status"]))
    }

    fn last_exit(&self, job: &Job<'_>, name: &str) -> Option<(Command, String)> {
        let command = self.eud(job, &["runs", name, "--json"]);
        Some((command, "\"code\": 7".to_owned()))
    }

    fn logs(&self, job: &Job<'_>, name: &str) -> PathBuf {
        job.dir.join(".eud/daemons").join(name).join("log")
    }

    fn note(&self) -> &'static str {
        "always captures, timestamps and rotates; its start includes the first fsyncs of a new state database"
    }
}
