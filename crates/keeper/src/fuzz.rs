//! Entries for the fuzzer: what the keeper reads from others, and what it writes for others to
//! read.
//!
//! Invariant: the code of the keeper itself, called as `run` calls it. The binary has none of this.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use eud_sys::fd::{Interest, wait};

use crate::LaunchSpec;
use crate::control::{Control, Request};
use crate::json::Object;
use crate::log::{Log, Stream};
use crate::record::{Reason, Record};
use crate::run;

/// What a control connection asks for when these bytes arrive, piece by piece, and whether the
/// connection was given up.
///
/// # Errors
/// Those of the sockets.
pub fn requests(pieces: &[&[u8]]) -> io::Result<(Vec<String>, bool)> {
    let (near, mut far) = UnixStream::pair()?;
    let mut control = Control::deaf();
    control.add(near, "{}");
    let mut taken = Vec::new();
    for piece in pieces.iter().flat_map(|piece| piece.chunks(64 << 10)) {
        if far.write_all(piece).is_err() {
            break;
        }
        loop {
            let Some((fd, _)) = control.peers().next() else {
                return Ok((taken, true));
            };
            if !wait(fd, Interest::Read, Some(0))? {
                break;
            }
            control.serve(0, |request| {
                taken.push(match request {
                    Request::Stop => "stop".to_owned(),
                    Request::Kill => "kill".to_owned(),
                    Request::Signal(signal) => format!("signal {}", signal.number()),
                });
            });
            control.forget_lost();
        }
    }
    Ok((taken, false))
}

/// The greeting of a keeper whose command does not run yet.
pub fn hello(spec: &LaunchSpec) -> String {
    run::hello_before_start(spec)
}

/// An event with one member that is a text.
pub fn event(name: &str, key: &str, text: &str) -> String {
    Object::event(name).text(key, text).end()
}

/// An exit record, as `exit.json` has it, and the event that tells it.
pub fn record(unit: &str, run: &str, message: &str, numbers: [i64; 6]) -> (String, String) {
    let reasons = [
        Reason::Exited,
        Reason::Stopped,
        Reason::StopKilled,
        Reason::Timeout,
        Reason::SpawnFailed,
        Reason::NeverStarted,
    ];
    let [which, generation, code, pid, started_at_ms, ended_at_ms] = numbers;
    let reason = reasons[which.rem_euclid(6).unsigned_abs() as usize % reasons.len()];
    let record = Record {
        code: i32::try_from(code).ok(),
        signal: i32::try_from(code.rotate_left(32)).ok(),
        core: code % 2 == 0,
        message: (!message.is_empty()).then(|| message.to_owned()),
        pid: u32::try_from(pid).unwrap_or(0),
        started_at_ms,
        ended_at_ms,
        max_rss_kb: pid.unsigned_abs(),
        cpu_user_us: generation.unsigned_abs(),
        cpu_system_us: u64::MAX,
        ..Record::without_process(run, unit, generation.unsigned_abs(), reason)
    };
    let json = record.to_json();
    let told = run::ended_event(&json);
    (json, told)
}

/// Writes what a command says (`true`: on standard error), piece by piece, to the log in `folder`.
///
/// # Errors
/// Those of the pipes, and a log that cannot be written.
pub fn write_log(folder: PathBuf, size_max: u64, pieces: &[(bool, &[u8])]) -> io::Result<()> {
    let mut log = Log::new(folder, size_max, u32::MAX)?;
    let (read, write) = io::pipe()?;
    let mut write = File::from(std::os::fd::OwnedFd::from(write));
    for (on_stderr, piece) in pieces {
        for part in piece.chunks(32 << 10) {
            write.write_all(part)?;
            log.read_from(read.as_fd(), stream(*on_stderr), 0)?;
            if let Some(why) = log.blocked() {
                return Err(io::Error::other(why.to_owned()));
            }
        }
    }
    for on_stderr in [false, true] {
        log.end(stream(on_stderr), 0);
    }
    match log.is_clear() {
        true => Ok(()),
        false => Err(io::Error::other("something was not written")),
    }
}

fn stream(on_stderr: bool) -> Stream {
    if on_stderr {
        Stream::Stderr
    } else {
        Stream::Stdout
    }
}

/// What a run's folder says about what lives, and about its unpublished end.
pub fn notes(run_dir: &Path) -> (Option<crate::Noted>, Option<String>) {
    let noted = crate::noted(run_dir).ok().flatten();
    (noted, crate::unpublished_record(run_dir).ok().flatten())
}
