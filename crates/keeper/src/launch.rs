//! Starting a keeper: the manager's side.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::spare::spec_file;
use crate::spec::LaunchSpec;

/// A keeper that was just started.
#[derive(Debug)]
pub struct Started {
    /// Its process id. Whoever started it has to collect it.
    pub pid: u32,
    /// The manager's end of the first control connection. Blocking until set otherwise.
    pub socket: UnixStream,
}

/// Starts a keeper in the run's folder. Returns as soon as it executes; it says the rest itself.
///
/// `program` is the absolute path of `eud-keeper`; `stderr` takes its complaints. It gets no
/// environment.
///
/// # Errors
/// When `spec` cannot be encoded, or the program cannot be started.
pub fn spawn_keeper(
    program: &Path,
    run_dir: &Path,
    spec: &LaunchSpec,
    stderr: impl Into<Stdio>,
) -> io::Result<Started> {
    let input = spec_file(spec)?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(program);
    command
        .args([&spec.unit, &spec.run])
        .env_clear()
        .current_dir(run_dir);
    command
        .stdin(input)
        .stdout(OwnedFd::from(theirs))
        .stderr(stderr);
    let child = command.spawn()?;
    Ok(Started {
        pid: child.id(),
        socket: ours,
    })
}

/// An exit record that a keeper had made durable but not yet named `exit.json` when it, or the
/// machine, died. JSON on one line. `None` when it had not come to that.
///
/// Only for a run whose keeper is gone (its lock is free) and that has no `exit.json`.
///
/// # Errors
/// When it cannot be told for want of descriptors or memory.
pub fn unpublished_record(run_dir: &Path) -> io::Result<Option<String>> {
    let bytes = match eud_sys::durable::unpublished(&run_dir.join(crate::EXIT_RECORD)) {
        Err(error) if eud_sys::is_want(&error) => return Err(error),
        bytes => bytes.unwrap_or_default(),
    };
    let text = String::from_utf8(bytes).ok();
    Ok(text.filter(|text| text.starts_with('{') && text.ends_with('}')))
}
