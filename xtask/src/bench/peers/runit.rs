//! runit: runsvdir, a runsv for each service, an svlogd for each log.

use std::process::Command;

use rustix::process::Signal;

use super::{Job, LOG_BYTES, LOG_FILES, Peer, Stop, quiet, service_folders, write};
use crate::Failure;

/// From Debian's package.
pub(crate) struct Runit;

impl Peer for Runit {
    fn name(&self) -> &'static str {
        "runit"
    }

    fn version(&self) -> Vec<String> {
        ["dpkg-query", "-W", "runit"].map(Into::into).to_vec()
    }

    fn programs(&self) -> &'static [&'static str] {
        &["runsv", "svlogd"]
    }

    fn chief(&self) -> &'static str {
        "runsvdir"
    }

    fn configure(&self, job: &Job<'_>) -> Result<(), Failure> {
        service_folders(job, |dir| format!("svlogd -tt {}", dir.display()))?;
        for service in job.services.iter().filter(|_| job.logs) {
            let path = job.log_of(&service.name).join("config");
            write(&path, &format!("s{LOG_BYTES}\nn{LOG_FILES}\n"))?;
        }
        Ok(())
    }

    fn start(&self, job: &Job<'_>) -> Command {
        quiet(job, "runsvdir", &["scan"])
    }

    fn stop(&self, _: &Job<'_>) -> Stop {
        Stop::Signal(Signal::HUP)
    }

    fn status(&self, job: &Job<'_>) -> Option<Command> {
        let dirs: Vec<String> = job
            .services
            .iter()
            .map(|s| format!("scan/{}", s.name))
            .collect();
        let mut status = quiet(job, "sv", &["status"]);
        status.args(dirs);
        Some(status)
    }

    fn note(&self) -> &'static str {
        "runsvdir looks at its folder once a second and starts what it finds then"
    }
}
