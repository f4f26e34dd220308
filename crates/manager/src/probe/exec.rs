//! A command as a test.
//!
//! Invariants: it and its process group are gone when the answer is given; at most
//! [`OUTPUT_BYTES_MAX`] of its output are kept, for the reason of a failure.
//! Deliberately absent: the supplementary groups of another user, which the standard library cannot
//! set.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use eud_sys::reap::Ending;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::launch::Surroundings;
use crate::reaper::Reaper;

/// Output kept, in bytes.
const OUTPUT_BYTES_MAX: usize = 4 << 10;

/// How long past its limit the end of a killed command may take to be seen.
pub(super) const SLACK: Duration = Duration::from_secs(2);

/// Where a command runs.
#[derive(Debug, Clone)]
pub(crate) struct Surrounded {
    pub(crate) reaper: Reaper,
    pub(crate) cwd: String,
    pub(crate) surroundings: Arc<Surroundings>,
}

/// Passes when the command exits 0 within the limit.
pub(super) async fn run(
    argv: &[String],
    around: Option<Surrounded>,
    limit: Duration,
) -> Result<(), String> {
    let (Some((program, args)), Some(around)) = (argv.split_first(), around) else {
        return Err("there is nothing to run".to_owned());
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(&around.cwd)
        .env_clear()
        .envs(&around.surroundings.env)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(gid) = around.surroundings.gid {
        command.gid(gid);
    }
    if let Some(uid) = around.surroundings.uid {
        command.uid(uid);
    }
    let (mut child, told) = around
        .reaper
        .start(&mut command)
        .map_err(|e| format!("{program}: {e}"))?;
    let errors = child
        .stderr
        .take()
        .and_then(|pipe| Receiver::from_owned_fd(pipe.into()).ok());
    let Ok((ending, said)) = timeout(limit, watch(told, errors)).await else {
        around.reaper.kill(child.id());
        return Err(format!(
            "{program} did not end within {} ms and was killed",
            limit.as_millis()
        ));
    };
    match ending {
        Some(Ending::Exited(0)) => Ok(()),
        Some(Ending::Exited(code)) => Err(format!("{program} exited with code {code}{said}")),
        Some(Ending::Killed { signal, .. }) => {
            let signal = eud_core::words::signal(signal);
            Err(format!("{program} was killed by {signal}{said}"))
        }
        None => Err(format!("{program} ended with an unknown code")),
    }
}

/// Waits for the end, reading on meanwhile so that the command is not held up. Gives its last words
/// too.
async fn watch(
    mut told: oneshot::Receiver<Ending>,
    mut errors: Option<Receiver>,
) -> (Option<Ending>, String) {
    let mut kept = Vec::new();
    let ending = loop {
        let mut piece = [0; OUTPUT_BYTES_MAX];
        let read = async {
            match &mut errors {
                Some(pipe) => pipe.read(&mut piece).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            read = read => match read {
                Ok(n) if n > 0 => keep(&mut kept, &piece[..n]),
                _ => errors = None,
            },
            ending = &mut told => break ending.ok(),
        }
    };
    let mut piece = [0; OUTPUT_BYTES_MAX];
    if let Some(Ok(n)) = errors.as_ref().map(|pipe| pipe.try_read(&mut piece)) {
        keep(&mut kept, &piece[..n]);
    }
    (ending, last_line(&kept))
}

/// Appends, and forgets the oldest beyond [`OUTPUT_BYTES_MAX`].
fn keep(kept: &mut Vec<u8>, piece: &[u8]) {
    kept.extend_from_slice(piece);
    let excess = kept.len().saturating_sub(OUTPUT_BYTES_MAX);
    kept.drain(..excess);
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {}", line.trim()),
        None => String::new(),
    }
}
