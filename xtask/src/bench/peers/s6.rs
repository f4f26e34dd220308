//! s6: s6-svscan, an s6-supervise for each service, an s6-log for each log.

use std::process::Command;

use super::{Job, LOG_BYTES, LOG_FILES, Peer, Stop, quiet, service_folders};
use crate::Failure;

/// From Debian's package.
pub(crate) struct S6;

impl Peer for S6 {
    fn name(&self) -> &'static str {
        "s6"
    }

    fn version(&self) -> Vec<String> {
        ["dpkg-query", "-W", "s6"].map(Into::into).to_vec()
    }

    fn programs(&self) -> &'static [&'static str] {
        &["s6-"]
    }

    fn chief(&self) -> &'static str {
        "s6-svscan"
    }

    fn configure(&self, job: &Job<'_>) -> Result<(), Failure> {
        service_folders(job, |dir| {
            format!("s6-log T n{LOG_FILES} s{LOG_BYTES} {}", dir.display())
        })
    }

    fn start(&self, job: &Job<'_>) -> Command {
        quiet(job, "s6-svscan", &["-c", "4000", "scan"])
    }

    fn stop(&self, job: &Job<'_>) -> Stop {
        Stop::Command(quiet(job, "s6-svscanctl", &["-t", "scan"]))
    }

    fn status(&self, job: &Job<'_>) -> Option<Command> {
        let first = format!("scan/{}", job.services.first()?.name);
        Some(quiet(job, "s6-svstat", &[&first]))
    }

    fn last_exit(&self, job: &Job<'_>, name: &str) -> Option<(Command, String)> {
        let dir = format!("scan/{name}");
        Some((quiet(job, "s6-svdt", &[&dir]), "exitcode 7".to_owned()))
    }

    fn note(&self) -> &'static str {
        "waits one second before it restarts what ran for less than a second; its status command tells of one service"
    }
}
