//! supervisor: one Python process for everything.

use std::fmt::Write as _;
use std::process::Command;

use super::{Job, LOG_BYTES, LOG_FILES, Peer, Stop, installed, quiet, shell_words, write};
use crate::Failure;

/// From PyPI.
pub(crate) struct Supervisor;

impl Peer for Supervisor {
    fn name(&self) -> &'static str {
        "supervisor"
    }

    fn version(&self) -> Vec<String> {
        vec![installed("venv/bin/supervisord"), "--version".into()]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["supervisord"]
    }

    fn chief(&self) -> &'static str {
        "supervisord"
    }

    fn configure(&self, job: &Job<'_>) -> Result<(), Failure> {
        let mut text = String::from(
            "[unix_http_server]\nfile=s.sock\n[supervisord]\nnodaemon=true\nminfds=8192\nlogfile=s.log\n\
             pidfile=s.pid\n[rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://s.sock\n",
        );
        for service in job.services {
            let command = shell_words(&service.words);
            let _ = write!(
                text,
                "[program:{}]\ncommand={command}\nautorestart=true\nstartsecs=0\nredirect_stderr=true\n",
                service.name
            );
            if job.logs {
                let log = job.log_of(&service.name);
                std::fs::create_dir_all(&log).map_err(|e| format!("{}: {e}", log.display()))?;
                let (file, keep) = (log.join("out"), LOG_FILES);
                let _ = write!(
                    text,
                    "stdout_logfile={}\nstdout_logfile_maxbytes={LOG_BYTES}\nstdout_logfile_backups={keep}\n",
                    file.display()
                );
            } else {
                text.push_str("stdout_logfile=NONE\n");
            }
        }
        write(&job.dir.join("s.conf"), &text)
    }

    fn start(&self, job: &Job<'_>) -> Command {
        quiet(job, installed("venv/bin/supervisord"), &["-c", "s.conf"])
    }

    fn stop(&self, job: &Job<'_>) -> Stop {
        let program = installed("venv/bin/supervisorctl");
        Stop::Command(quiet(job, program, &["-c", "s.conf", "shutdown"]))
    }

    fn status(&self, job: &Job<'_>) -> Option<Command> {
        let program = installed("venv/bin/supervisorctl");
        Some(quiet(job, program, &["-c", "s.conf", "status"]))
    }

    fn note(&self) -> &'static str {
        "startsecs=0, so that it restarts at once; writes no timestamps"
    }
}
