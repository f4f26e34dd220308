//! daemontools: svscan, a supervise for each service, a multilog for each log.

use std::process::Command;

use super::{Job, LOG_BYTES, LOG_FILES, Peer, Stop, quiet, service_folders};
use crate::Failure;

/// From Debian's package.
pub(crate) struct Daemontools;

impl Peer for Daemontools {
    fn name(&self) -> &'static str {
        "daemontools"
    }

    fn version(&self) -> Vec<String> {
        ["dpkg-query", "-W", "daemontools"].map(Into::into).to_vec()
    }

    fn programs(&self) -> &'static [&'static str] {
        &["svscan", "supervise", "multilog", "readproctitle"]
    }

    fn chief(&self) -> &'static str {
        "svscan"
    }

    fn configure(&self, job: &Job<'_>) -> Result<(), Failure> {
        service_folders(job, |dir| {
            format!("multilog t n{LOG_FILES} s{LOG_BYTES} {}", dir.display())
        })
    }

    fn start(&self, job: &Job<'_>) -> Command {
        quiet(job, "svscan", &["scan"])
    }

    fn stop(&self, job: &Job<'_>) -> Stop {
        let mut down = quiet(job, "svc", &["-dx"]);
        for service in job.services {
            down.arg(format!("scan/{}", service.name));
            if job.logs {
                down.arg(format!("scan/{}/log", service.name));
            }
        }
        Stop::KillThen(down)
    }

    fn status(&self, job: &Job<'_>) -> Option<Command> {
        let mut status = quiet(job, "svstat", &[]);
        status.args(job.services.iter().map(|s| format!("scan/{}", s.name)));
        Some(status)
    }
}
