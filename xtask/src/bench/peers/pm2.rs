//! PM2: one Node.js process for everything.

use std::process::Command;

use serde_json::json;

use super::{Job, Peer, Stop, installed, quiet, write};
use crate::Failure;

/// From the npm registry.
pub(crate) struct Pm2;

fn pm2(job: &Job<'_>, args: &[&str]) -> Command {
    let mut command = quiet(job, installed("npm/node_modules/.bin/pm2"), args);
    command.env("PM2_HOME", job.dir.join("pm2"));
    command
}

impl Peer for Pm2 {
    fn name(&self) -> &'static str {
        "pm2"
    }

    fn version(&self) -> Vec<String> {
        vec![
            "sed".into(),
            "-n".into(),
            "s/.*\"version\": *\"\\(.*\\)\".*/\\1/p".into(),
            installed("npm/node_modules/pm2/package.json"),
        ]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["PM2", "node", "pm2"]
    }

    fn chief(&self) -> &'static str {
        "PM2"
    }

    fn configure(&self, job: &Job<'_>) -> Result<(), Failure> {
        let app = |s: &super::Service| {
            let (script, args) = s
                .words
                .split_first()
                .map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
            let log = job.log_of(&s.name).join("out");
            let out = if job.logs {
                log.display().to_string()
            } else {
                "/dev/null".into()
            };
            json!({
                "name": s.name, "script": script, "args": args, "interpreter": "none",
                "out_file": out, "error_file": out, "time": true, "merge_logs": true,
            })
        };
        for service in job.services.iter().filter(|_| job.logs) {
            let dir = job.log_of(&service.name);
            std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        }
        let apps: Vec<_> = job.services.iter().map(app).collect();
        write(
            &job.dir.join("apps.json"),
            &json!({ "apps": apps }).to_string(),
        )
    }

    fn start(&self, job: &Job<'_>) -> Command {
        pm2(job, &["start", "apps.json"])
    }

    fn stop(&self, job: &Job<'_>) -> Stop {
        Stop::Command(pm2(job, &["kill"]))
    }

    fn status(&self, job: &Job<'_>) -> Option<Command> {
        Some(pm2(job, &["jlist"]))
    }

    fn note(&self) -> &'static str {
        "timestamps on; rotation needs a module of its own and is off"
    }
}
