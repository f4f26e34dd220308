//! Starting a manager in the background.
//!
//! Purpose: run this program again as `eud manager`, detached, and wait until it answers.
//! Invariants: one that cannot start is not left behind unnoticed: its last words are shown.
//! Deliberately absent: a second manager; the lock in the state directory sees to that.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eud_api::client::{Client, ClientError};
use eud_manager::Layout;

use crate::error::Error;

/// How long a manager may take until it answers. It reads the journal and looks at every keeper
/// first.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(3);
/// How much of its log is shown when it could not start, in lines.
const LOG_LINES: usize = 12;
/// How much of its log is looked at for that, in bytes.
const LOG_BYTES_MAX: u64 = 64 << 10;

/// Starts a manager and waits until its socket answers.
///
/// # Errors
/// [`Error::ManagerDied`] with its last words; [`Error::TimedOut`] when it does not answer.
pub(crate) fn manager(
    layout: &Layout,
    fleet: &Path,
    profile: Option<&str>,
) -> Result<Client, Error> {
    let root = layout.root();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(|e| Error::file("create", root, e))?;
    let log = layout.manager_log();
    let stderr = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log)
        .map_err(|e| Error::file("open", &log, e))?;
    let said_before = stderr.metadata().map_or(0, |m| m.len());
    let mut child = spawn(layout, fleet, profile, &stderr)?;
    let deadline = Instant::now() + ANSWER_LIMIT;
    loop {
        match Client::connect(&layout.socket()) {
            Ok(mut client) => {
                match client.call::<serde_json::Value>("ping", &serde_json::json!({})) {
                    Ok(_) => return Ok(client),
                    Err(ClientError::Closed { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match child.try_wait() {
            // One that ends well was second to another, which then answers; or was dying, and does
            // not.
            Ok(Some(status)) if status.success() => {
                child = spawn(layout, fleet, profile, &stderr)?;
            }
            Ok(Some(_)) => {
                return Err(Error::ManagerDied {
                    last_lines: last_words(&log, said_before),
                    log,
                });
            }
            Ok(None) | Err(_) => {}
        }
        if Instant::now() >= deadline {
            return Err(Error::TimedOut {
                what: format!(
                    "the manager does not answer on {}",
                    layout.socket().display()
                ),
                help: format!("read {}", log.display()),
            });
        }
        std::thread::sleep(ASK_EVERY);
    }
}

fn spawn(
    layout: &Layout,
    fleet: &Path,
    profile: Option<&str>,
    stderr: &File,
) -> Result<Child, Error> {
    let stderr = stderr
        .try_clone()
        .map_err(|e| Error::file("open", &layout.manager_log(), e))?;
    let program = std::env::current_exe()
        .map_err(|e| Error::Internal(format!("cannot tell where this program is: {e}")))?;
    let profile = profile.iter().flat_map(|name| ["--profile", name]);
    Command::new(&program)
        .arg("manager")
        .args(profile)
        .arg("--fleet")
        .arg(fleet)
        .arg("--dir")
        .arg(layout.root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .map_err(|e| Error::file("run", &program, e))
}

/// What was written to the log since it had `from` bytes.
fn last_words(log: &Path, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        // A shorter file has been rotated: everything in it is new.
        let from = if length < from { 0 } else { from };
        file.seek(SeekFrom::Start(
            from.max(length.saturating_sub(LOG_BYTES_MAX)),
        ))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Waits until the manager that holds the state directory's lock has ended.
///
/// # Errors
/// [`Error::TimedOut`] when it has not within the limit.
pub(crate) fn until_gone(layout: &Layout, limit: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    while is_locked(&layout.manager_lock()) {
        if Instant::now() >= deadline {
            return Err(Error::TimedOut {
                what: "the manager has not ended".into(),
                help: format!("read {}", layout.manager_log().display()),
            });
        }
        std::thread::sleep(ASK_EVERY);
    }
    Ok(())
}

/// Whether somebody holds the lock in this file. A shared lock is tried and at once given back.
pub(crate) fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    matches!(
        file.try_lock_shared(),
        Err(std::fs::TryLockError::WouldBlock)
    )
}
