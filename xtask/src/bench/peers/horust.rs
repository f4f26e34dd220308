//! Horust: one process for everything; output goes to files without capture.

use std::process::Command;

use rustix::process::Signal;

use super::{Job, Peer, Stop, installed, quiet, shell_words, write};
use crate::Failure;

/// As installed by `cargo xtask bench --install`.
const VERSION: &str = "0.1.14";

/// From crates.io.
pub(crate) struct Horust;

impl Peer for Horust {
    fn name(&self) -> &'static str {
        "horust"
    }

    fn version(&self) -> Vec<String> {
        // It has no option for that.
        let program = installed("cargo/bin/horust");
        let words = format!("test -x {program} && echo {VERSION}");
        vec!["/bin/sh".into(), "-c".into(), words]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["horust"]
    }

    fn chief(&self) -> &'static str {
        "horust"
    }

    fn configure(&self, job: &Job<'_>) -> Result<(), Failure> {
        for service in job.services {
            let command = shell_words(&service.words);
            let mut text = format!("command = {command:?}\n");
            if job.logs {
                let dir = job.log_of(&service.name);
                std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
                text.push_str(&format!(
                    "stdout = {:?}\n",
                    dir.join("out").display().to_string()
                ));
            }
            text.push_str("[restart]\nstrategy = \"always\"\n");
            write(
                &job.dir.join(format!("services/{}.toml", service.name)),
                &text,
            )?;
        }
        Ok(())
    }

    fn start(&self, job: &Job<'_>) -> Command {
        quiet(
            job,
            installed("cargo/bin/horust"),
            &["--services-path", "services"],
        )
    }

    fn stop(&self, _: &Job<'_>) -> Stop {
        Stop::Signal(Signal::TERM)
    }

    fn note(&self) -> &'static str {
        "hands a file to the service: no timestamps, no rotation; has no status command; stopped by TERM"
    }
}
