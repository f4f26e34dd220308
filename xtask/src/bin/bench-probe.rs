//! The stop-watch of the benchmarks: the command that every measured service runs.
//!
//! Purpose: say when it began to execute, as seen by the process itself.
//! Invariants: a stamp is one line `<name> <pid> <CLOCK_MONOTONIC ns>`, appended with one write, so
//! stamps of many processes never mix.
//! Deliberately absent: signal handlers (it obeys at once) and output (it is idle).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Time for a supervisor to come to rest before its work is measured.
const BEFORE_WRITING: Duration = Duration::from_millis(2_000);
/// Pause between two counted lines.
const COUNT_EVERY: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [_, "idle", stamps, name] => stamp(stamps, name).map(|()| idle()),
        [_, "once", stamps, name] => stamp(stamps, name).map(|()| ExitCode::SUCCESS),
        [me, "shim", stamps, name] => shim(me, stamps, name),
        [_, "write", stamps, name, lines] => write_lines(stamps, name, lines).map(|()| idle()),
        [_, "write-later", stamps, name, lines] => {
            std::thread::sleep(BEFORE_WRITING);
            write_lines(stamps, name, lines).map(|()| idle())
        }
        [_, "count", stamps, name, diary] => count(stamps, name, diary),
        _ => Err(std::io::Error::other(
            "usage: bench-probe idle|once|shim|write|write-later|count STAMPS NAME [LINES|DIARY]",
        )),
    };
    match outcome {
        Ok(code) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Appends this moment.
fn stamp(stamps: &str, name: &str) -> std::io::Result<()> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let ns = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    let line = format!("{name} {} {ns}\n", std::process::id());
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(stamps)?
        .write_all(line.as_bytes())
}

/// Writes the numbers on from the one in its diary, which holds the last one that was written
/// whole, until it is killed. What nobody reads is lost, and the diary says that it was written.
fn count(stamps: &str, name: &str, diary: &str) -> std::io::Result<ExitCode> {
    stamp(stamps, name)?;
    let mut number: u64 = std::fs::read_to_string(diary)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(diary)?;
    loop {
        number += 1;
        file.write_all_at(format!("{number:012}\n").as_bytes(), 0)?;
        // A reader that is gone is what is measured.
        let _ = writeln!(std::io::stdout(), "line {number}");
        std::thread::sleep(COUNT_EVERY);
    }
}

fn idle() -> ExitCode {
    loop {
        std::thread::park();
    }
}

/// The least a keeper could be: starts the command and waits for it.
fn shim(me: &str, stamps: &str, name: &str) -> std::io::Result<ExitCode> {
    Command::new(me).args(["idle", stamps, name]).status()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes lines of 100 bytes, one write each, between two stamps.
fn write_lines(stamps: &str, name: &str, lines: &str) -> std::io::Result<()> {
    let lines: u64 = lines.parse().map_err(std::io::Error::other)?;
    // A writer of its own: std's standard output would copy every line once more.
    let stdout = rustix::io::dup(rustix::stdio::stdout()).map_err(std::io::Error::from)?;
    let mut out = std::fs::File::from(stdout);
    let mut line = [b'x'; 100];
    line[99] = b'\n';
    stamp(stamps, &format!("{name}:begin"))?;
    for number in 0..lines {
        let digits = format!("{number:012} ");
        line[..digits.len()].copy_from_slice(digits.as_bytes());
        out.write_all(&line)?;
    }
    stamp(stamps, &format!("{name}:end"))
}
