//! A command as a test, or for a number that it writes.
//!
//! Invariants: it and its process group are gone when the answer is given; at most
//! [`OUTPUT_BYTES_MAX`] of each of its outputs are kept: of errors the last ones, for the reason of
//! a failure, of its output proper the first ones.
//! Deliberately absent: the supplementary groups of another user, which the standard library cannot
//! set.

use std::os::fd::OwnedFd;
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

/// Bytes that a pipe holds at most when its writer is gone.
const PIPE_BYTES_MAX: usize = 1 << 20;

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
    let around = around.ok_or_else(|| "there is nothing to run".to_owned())?;
    execute(argv, around, limit, Stdio::null()).await.map(drop)
}

/// What a command wrote to its standard output, if it exits 0 within the limit.
pub(crate) async fn output(
    argv: &[String],
    around: Surrounded,
    limit: Duration,
) -> Result<Vec<u8>, String> {
    execute(argv, around, limit, Stdio::piped()).await
}

async fn execute(
    argv: &[String],
    around: Surrounded,
    limit: Duration,
    stdout: Stdio,
) -> Result<Vec<u8>, String> {
    let Some((program, args)) = argv.split_first() else {
        return Err("there is nothing to run".to_owned());
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(&around.cwd)
        .env_clear()
        .envs(&around.surroundings.env)
        .stdin(Stdio::null())
        .stdout(stdout)
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
    let mut output = Pipe::new(child.stdout.take().map(Into::into));
    let mut errors = Pipe::new(child.stderr.take().map(Into::into));
    let watching = watch(told, &mut output, &mut errors);
    let Ok(ending) = timeout(limit, watching).await else {
        around.reaper.kill(child.id());
        return Err(format!(
            "{program} did not end within {} ms and was killed",
            limit.as_millis()
        ));
    };
    let said = last_line(&errors.kept);
    match ending {
        Some(Ending::Exited(0)) => Ok(output.kept),
        Some(Ending::Exited(code)) => Err(format!("{program} exited with code {code}{said}")),
        Some(Ending::Killed { signal, .. }) => {
            let signal = eud_core::words::signal(signal);
            Err(format!("{program} was killed by {signal}{said}"))
        }
        None => Err(format!("{program} ended with an unknown code")),
    }
}

/// One of a command's outputs, and what is kept of it.
struct Pipe {
    open: Option<Receiver>,
    kept: Vec<u8>,
}

impl Pipe {
    fn new(fd: Option<OwnedFd>) -> Self {
        Self {
            open: fd.and_then(|fd| Receiver::from_owned_fd(fd).ok()),
            kept: Vec::new(),
        }
    }

    /// The next piece; for ever without one.
    async fn read(&mut self, piece: &mut [u8]) -> Option<usize> {
        match &mut self.open {
            Some(pipe) => pipe.read(piece).await.ok().filter(|n| *n > 0),
            None => std::future::pending().await,
        }
    }

    /// What is there without waiting. Another process may hold the pipe open and go on writing, so
    /// this ends.
    fn drain(&mut self) -> Vec<u8> {
        let mut found = Vec::new();
        let mut piece = [0; OUTPUT_BYTES_MAX];
        while let Some(Ok(n @ 1..)) = self.open.as_ref().map(|pipe| pipe.try_read(&mut piece)) {
            found.extend_from_slice(&piece[..n]);
            if found.len() >= PIPE_BYTES_MAX {
                break;
            }
        }
        found
    }
}

/// Waits for the end, reading on meanwhile so that the command is not held up.
async fn watch(
    mut told: oneshot::Receiver<Ending>,
    output: &mut Pipe,
    errors: &mut Pipe,
) -> Option<Ending> {
    let ending = loop {
        let mut piece = [0; OUTPUT_BYTES_MAX];
        let mut other = [0; OUTPUT_BYTES_MAX];
        tokio::select! {
            biased;
            read = output.read(&mut piece) => match read {
                Some(n) => keep_first(&mut output.kept, &piece[..n]),
                None => output.open = None,
            },
            read = errors.read(&mut other) => match read {
                Some(n) => keep(&mut errors.kept, &other[..n]),
                None => errors.open = None,
            },
            ending = &mut told => break ending.ok(),
        }
    };
    let rest = output.drain();
    keep_first(&mut output.kept, &rest);
    let rest = errors.drain();
    keep(&mut errors.kept, &rest);
    ending
}

/// Appends, up to [`OUTPUT_BYTES_MAX`].
fn keep_first(kept: &mut Vec<u8>, piece: &[u8]) {
    let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len());
    kept.extend_from_slice(&piece[..piece.len().min(room)]);
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
