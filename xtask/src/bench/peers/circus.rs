//! circus: one Python process for everything.

use std::fmt::Write as _;
use std::process::Command;

use super::{Job, LOG_BYTES, LOG_FILES, Peer, Stop, installed, quiet, shell_words, write};
use crate::Failure;

/// From PyPI.
pub(crate) struct Circus;

fn endpoint(job: &Job<'_>) -> String {
    format!("ipc://{}/c.sock", job.dir.display())
}

fn control(job: &Job<'_>, word: &str) -> Command {
    let program = installed("venv/bin/circusctl");
    quiet(job, program, &["--endpoint", &endpoint(job), word])
}

impl Peer for Circus {
    fn name(&self) -> &'static str {
        "circus"
    }

    fn version(&self) -> Vec<String> {
        vec![installed("venv/bin/circusd"), "--version".into()]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["circusd"]
    }

    fn chief(&self) -> &'static str {
        "circusd"
    }

    fn configure(&self, job: &Job<'_>) -> Result<(), Failure> {
        let mut text = format!(
            "[circus]\nendpoint = {}\npubsub_endpoint = ipc://{}/p.sock\n",
            endpoint(job),
            job.dir.display()
        );
        for service in job.services {
            let _ = write!(
                text,
                "[watcher:{}]\ncmd = {}\n",
                service.name,
                shell_words(&service.words)
            );
            if job.logs {
                let log = job.log_of(&service.name);
                std::fs::create_dir_all(&log).map_err(|e| format!("{}: {e}", log.display()))?;
                let (file, keep) = (log.join("out"), LOG_FILES);
                let _ = write!(
                    text,
                    "stdout_stream.class = FileStream\nstdout_stream.filename = {}\n\
                     stdout_stream.time_format = %Y-%m-%d %H:%M:%S\n\
                     stdout_stream.max_bytes = {LOG_BYTES}\nstdout_stream.backup_count = {keep}\n",
                    file.display()
                );
            }
        }
        write(&job.dir.join("c.ini"), &text)
    }

    fn start(&self, job: &Job<'_>) -> Command {
        quiet(job, installed("venv/bin/circusd"), &["c.ini"])
    }

    fn stop(&self, job: &Job<'_>) -> Stop {
        Stop::Command(control(job, "quit"))
    }

    fn status(&self, job: &Job<'_>) -> Option<Command> {
        Some(control(job, "status"))
    }

    fn note(&self) -> &'static str {
        "default check_delay of 5 s"
    }
}
