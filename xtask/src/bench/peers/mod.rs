//! Other supervisors, as the benchmarks use them, and eud in the same shape.
//!
//! Purpose: one trait, one small file for each of them.
//! Invariants: every one of them gets the same commands and, when logs are on, the same duty:
//! capture, timestamps where it can, rotation at 10 MB with 20 files kept.
//! Deliberately absent: judgement. What they do is measured, not described.

mod circus;
mod daemontools;
mod eud;
mod horust;
pub(crate) mod install;
mod pm2;
mod runit;
mod s6;
mod supervisor;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::Setting;
use crate::{Failure, cmd};

/// Bytes in a log file before it is rotated.
pub(crate) const LOG_BYTES: u64 = 10_000_000;
/// Log files kept: more than are ever written, so that every line can be counted.
pub(crate) const LOG_FILES: u64 = 200;

/// A service to be kept.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) words: Vec<String>,
}

/// What is measured: some services in a folder of their own.
#[derive(Debug, Clone)]
pub(crate) struct Job<'a> {
    /// Empty when it begins.
    pub(crate) dir: PathBuf,
    /// Services to keep.
    pub(crate) services: &'a [Service],
    /// Capture their output into `dir/logs/<name>`.
    pub(crate) logs: bool,
}

impl Job<'_> {
    /// Folder of a service's log.
    pub(crate) fn log_of(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(name)
    }
}

/// How all services are ended.
pub(crate) enum Stop {
    /// By a command.
    Command(Command),
    /// By a signal to the supervisor.
    Signal(Signal),
    /// By a command, once the supervisor is killed, which would start them again.
    KillThen(Command),
}

/// A supervisor.
pub(crate) trait Peer {
    /// Its name in the tables.
    fn name(&self) -> &'static str;
    /// A command that prints its version; the first word tells whether it is there.
    fn version(&self) -> Vec<String>;
    /// Beginnings of the names of its processes, helpers included.
    fn programs(&self) -> &'static [&'static str];
    /// The process that is killed in the scenario that kills the supervisor.
    fn chief(&self) -> &'static str;
    /// Writes what it needs.
    fn configure(&self, job: &Job<'_>) -> Result<(), Failure>;
    /// Starts it and all services.
    fn start(&self, job: &Job<'_>) -> Command;
    /// Ends all services.
    fn stop(&self, job: &Job<'_>) -> Stop;
    /// Shows the state of all services, if it has such a command.
    fn status(&self, _: &Job<'_>) -> Option<Command> {
        None
    }
    /// Shows how a service ended last, if it has such a command, and the words in it that tell of
    /// code 7.
    fn last_exit(&self, _: &Job<'_>, _: &str) -> Option<(Command, String)> {
        None
    }
    /// Folder of a service's log files.
    fn logs(&self, job: &Job<'_>, name: &str) -> PathBuf {
        job.log_of(name)
    }
    /// What a reader should know.
    fn note(&self) -> &'static str {
        ""
    }
}

/// eud first, then the others.
pub(crate) fn all(setting: &Setting) -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(eud::Eud {
            bin: setting.bin.clone(),
        }),
        Box::new(s6::S6),
        Box::new(runit::Runit),
        Box::new(daemontools::Daemontools),
        Box::new(supervisor::Supervisor),
        Box::new(circus::Circus),
        Box::new(pm2::Pm2),
        Box::new(horust::Horust),
    ]
}

/// Words of its version, or `None` when it is not installed.
pub(crate) fn version(peer: &dyn Peer) -> Option<String> {
    let words = peer.version();
    let (program, args) = words.split_first()?;
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    if !output.status.success() && line.is_none() {
        return None;
    }
    Some(line.unwrap_or("installed").trim().replace('\t', " "))
}

/// A program of `target/peers`.
pub(crate) fn installed(path: &str) -> String {
    cmd::target("peers").join(path).display().to_string()
}

/// A command without input and with its output in a file of the job.
pub(crate) fn quiet(job: &Job<'_>, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(&job.dir)
        .stdin(Stdio::null());
    let out = fs::File::options()
        .append(true)
        .create(true)
        .open(job.dir.join("supervisor.out"));
    if let Ok((out, err)) = out.and_then(|out| Ok((out.try_clone()?, out))) {
        command.stdout(out).stderr(err);
    }
    command
}

/// Starts a command.
pub(crate) fn spawn(mut command: Command) -> Result<Child, Failure> {
    command
        .spawn()
        .map_err(|e| format!("{}: {e}", command.get_program().display()))
}

/// Writes a file, and its folder when there is none.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    parent
        .and_then(|()| fs::write(path, text))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Service folders as daemontools made them: `run`, and `log/run`.
pub(crate) fn service_folders(
    job: &Job<'_>,
    logger: impl Fn(&Path) -> String,
) -> Result<(), Failure> {
    for service in job.services {
        let folder = job.dir.join("scan").join(&service.name);
        executable(
            &folder.join("run"),
            &format!("#!/bin/sh\nexec {} 2>&1\n", shell_words(&service.words)),
        )?;
        if job.logs {
            let logs = job.log_of(&service.name);
            fs::create_dir_all(&logs).map_err(|e| format!("{}: {e}", logs.display()))?;
            let text = format!("#!/bin/sh\nexec {}\n", logger(&logs));
            executable(&folder.join("log/run"), &text)?;
        }
    }
    Ok(())
}

fn executable(path: &Path, text: &str) -> Result<(), Failure> {
    write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Words for a POSIX shell.
pub(crate) fn shell_words(words: &[String]) -> String {
    let quoted = words
        .iter()
        .map(|w| format!("'{}'", w.replace('\'', "'\\''")));
    quoted.collect::<Vec<_>>().join(" ")
}
