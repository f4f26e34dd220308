//! `eud run`: a command once, under a keeper, without a manager.
//!
//! Purpose: the same folder, log and exit record as any run has, for something that is run by hand.
//! Invariants: the exit code is that of the keeper's record; an interruption stops the whole tree
//! by way of the keeper, so that nothing stays behind.
//! Deliberately absent: restarts, probes, a place in the fleet.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eud_core::record::{EndReason, ExitRecord};
use eud_keeper::{LaunchSpec, Started, spawn_keeper};
use eud_manager::Layout;
use eud_sys::signal::{Signal, SignalFd};
use serde_json::json;

use crate::args::RunArgs;
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::logs::cri::Stream;
use crate::logs::{Line, Start, UnitReader};

/// How often output and signals are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the keeper may take to say that the command is executing.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Where a one-off run is.
struct Place {
    id: String,
    task: PathBuf,
    run: PathBuf,
}

/// `eud run`
///
/// # Errors
/// When no keeper can be started or its record cannot be read.
pub(crate) fn run(context: &Context, args: &RunArgs) -> Result<u8, Error> {
    let layout = layout(context)?;
    let place = create(&layout)?;
    let cwd = std::env::current_dir().map_err(|e| Error::file("read", Path::new("."), e))?;
    let mut env: Vec<_> = std::env::vars_os().collect();
    env.push(("EUD_RUN_ID".into(), place.id.clone().into()));
    let spec = LaunchSpec {
        unit: format!("task-{}", place.id),
        run: place.id.clone(),
        args: args.command.iter().map(Into::into).collect(),
        env,
        cwd,
        grace_ms: u64::try_from(args.grace.as_millis()).unwrap_or(u64::MAX),
        timeout_ms: args
            .timeout
            .map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
        ..LaunchSpec::default()
    };
    let program = keeper_path()?;
    let stderr = std::fs::File::create(place.task.join("keeper.log"))
        .map_err(|e| Error::file("create", &place.task.join("keeper.log"), e))?;
    let started = spawn_keeper(&program, &place.run, &spec, stderr)
        .map_err(|e| Error::file("run", &program, e))?;
    if args.detach {
        detach(context, &place, started)
    } else {
        attend(context, &place, started)
    }
}

/// State beside the fleet file, or here when there is none: a run needs no fleet.
fn layout(context: &Context) -> Result<Layout, Error> {
    match context.layout() {
        Err(Error::NoFleetFile { .. }) if context.common.file.is_none() => {
            let here = std::path::absolute(".eud");
            Ok(Layout::new(
                here.map_err(|e| Error::file("use", Path::new(".eud"), e))?,
            ))
        }
        other => other,
    }
}

fn create(layout: &Layout) -> Result<Place, Error> {
    let id = uuid_v7()?;
    let task = layout.root().join("tasks").join(&id);
    let run = task.join("runs").join(&id);
    for folder in [&run, &task.join("log")] {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| Error::file("create", folder, e))?;
    }
    Ok(Place { id, task, run })
}

/// A fresh UUIDv7 (RFC 9562 §5.7).
fn uuid_v7() -> Result<String, Error> {
    let random = eud_sys::random::bytes::<10>()
        .map_err(|e| Error::Internal(format!("cannot get random numbers: {e}")))?;
    let ms = u64::try_from(eud_sys::clock::wall_ms()).unwrap_or(0);
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random);
    bytes[6] = 0x70 | bytes[6] & 0x0f;
    bytes[8] = 0x80 | bytes[8] & 0x3f;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Ok(parts.join("-"))
}

/// The keeper: `EUD_KEEPER`, or beside this program.
fn keeper_path() -> Result<PathBuf, Error> {
    let given = std::env::var_os("EUD_KEEPER").map(PathBuf::from);
    let beside = || std::env::current_exe().map(|own| own.with_file_name("eud-keeper"));
    let path = match given {
        Some(path) => path,
        None => beside().map_err(|e| Error::Internal(format!("cannot find this program: {e}")))?,
    };
    let path = std::path::absolute(&path).unwrap_or(path);
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::Usage {
        what: format!("eud-keeper is not at {}", path.display()),
        help: "install it beside eud, or set EUD_KEEPER to its path".into(),
    })
}

/// Waits until the command executes, says where everything is, and leaves it to its keeper.
fn detach(context: &Context, place: &Place, started: Started) -> Result<u8, Error> {
    let mut keeper = Keeper::new(started.socket, START_LIMIT)?;
    let pid = loop {
        match keeper.hear()? {
            Heard::Event(event) => {
                let pid = event.get("pid").and_then(serde_json::Value::as_u64);
                match (event["event"].as_str(), pid) {
                    (Some("started" | "hello"), Some(pid)) => break Some(pid),
                    (Some("ended"), _) => break None,
                    _ => {}
                }
            }
            Heard::Nothing | Heard::Gone => break None,
        }
    };
    let log = place.task.join("log/current");
    if context.common.json {
        context::print_json(&json!({
            "run": place.id, "pid": pid, "folder": place.run, "log": log,
        }))?;
    } else {
        let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        context::print(&format!(
            "run {}{pid}\n  log: {}\n",
            place.id,
            log.display()
        ))?;
    }
    Ok(code::OK)
}

/// Shows the output until the end and passes the exit code on.
fn attend(context: &Context, place: &Place, started: Started) -> Result<u8, Error> {
    // After the keeper was started, for it would inherit the blocked signals.
    let signals = SignalFd::new(&[Signal::INT, Signal::TERM, Signal::HUP])
        .map_err(|e| Error::Internal(format!("cannot listen to signals: {e}")))?;
    let mut keeper = Keeper::new(started.socket, LOOK_EVERY)?;
    let folder = place.task.join("log");
    let mut log =
        UnitReader::open(&folder, Start::Oldest).map_err(|e| Error::file("read", &folder, e))?;
    let mut interruptions = 0;
    loop {
        let gone = matches!(keeper.hear()?, Heard::Gone);
        while let Some(line) = log
            .next_line()
            .map_err(|e| Error::file("read", &folder, e))?
        {
            show(&line)?;
        }
        if gone {
            break;
        }
        while signals.next().is_some() {
            interruptions += 1;
            keeper.ask(if interruptions == 1 { "stop" } else { "kill" });
        }
    }
    for line in log.finish() {
        show(&line)?;
    }
    let path = place.run.join(eud_keeper::EXIT_RECORD);
    let bytes = std::fs::read(&path).map_err(|e| Error::file("read", &path, e))?;
    let record: ExitRecord = serde_json::from_slice(&bytes)
        .map_err(|e| Error::Internal(format!("cannot understand {}: {e}", path.display())))?;
    if context.common.json {
        let text = json!({ "exit": record, "folder": place.run });
        // The command's own output is on standard output.
        let _ = writeln!(std::io::stderr(), "{text}");
    } else if record.reason != EndReason::Exited {
        let text = eud_core::words::ending(&record);
        let _ = writeln!(std::io::stderr(), "eud: the command {text}");
    }
    Ok(exit_code(&record))
}

/// As a shell has it: the code, 128 and the signal, 124 for a timeout, 127 for what could not be
/// started.
fn exit_code(record: &ExitRecord) -> u8 {
    match (record.reason, record.code, record.signal) {
        (EndReason::Timeout, ..) => 124,
        (EndReason::SpawnFailed | EndReason::NeverStarted, ..) => 127,
        (_, Some(code), _) => u8::try_from(code & 0xff).unwrap_or(code::INTERNAL),
        (_, None, Some(signal)) => u8::try_from(128 + (signal & 0x7f)).unwrap_or(code::INTERNAL),
        (_, None, None) => code::INTERNAL,
    }
}

fn show(line: &Line) -> Result<(), Error> {
    let write = |out: &mut dyn Write| {
        out.write_all(&line.text)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
    };
    let written = match line.stream {
        Stream::Stdout => write(&mut std::io::stdout().lock()),
        Stream::Stderr => write(&mut std::io::stderr().lock()),
    };
    written.map_err(Error::Output)
}

/// What came from the keeper.
enum Heard {
    Event(serde_json::Value),
    Nothing,
    Gone,
}

/// The control connection.
struct Keeper {
    socket: UnixStream,
    buffer: Vec<u8>,
}

impl Keeper {
    fn new(socket: UnixStream, limit: Duration) -> Result<Self, Error> {
        socket
            .set_read_timeout(Some(limit))
            .map_err(|e| Error::Internal(format!("cannot listen to the keeper: {e}")))?;
        Ok(Self {
            socket,
            buffer: Vec::new(),
        })
    }

    /// A request that the keeper no longer takes is one it no longer needs.
    fn ask(&mut self, word: &str) {
        let _ = self.socket.write_all(format!("{word}\n").as_bytes());
    }

    /// The next event, waiting up to the limit.
    fn hear(&mut self) -> Result<Heard, Error> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if let Ok(event) = serde_json::from_slice(&line) {
                    return Ok(Heard::Event(event));
                }
                continue;
            }
            let mut chunk = [0; 4096];
            match self.socket.read(&mut chunk) {
                Ok(0) => return Ok(Heard::Gone),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(Heard::Gone),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(Heard::Nothing);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Internal(format!("the keeper is not heard: {e}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(reason: EndReason, code: Option<i32>, signal: Option<i32>) -> ExitRecord {
        let text = json!({
            "run": "r", "unit": "u", "generation": 1, "reason": reason, "code": code,
            "signal": signal, "ended_at_ms": 1,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn exit_codes_are_as_a_shell_has_them() {
        assert_eq!(exit_code(&record(EndReason::Exited, Some(3), None)), 3);
        assert_eq!(exit_code(&record(EndReason::Exited, None, Some(9))), 137);
        assert_eq!(exit_code(&record(EndReason::Stopped, None, Some(15))), 143);
        assert_eq!(exit_code(&record(EndReason::Timeout, Some(0), None)), 124);
        assert_eq!(exit_code(&record(EndReason::SpawnFailed, None, None)), 127);
        assert_eq!(
            exit_code(&record(EndReason::KeeperLost, None, None)),
            code::INTERNAL
        );
    }

    #[test]
    fn ids_are_uuids_of_version_7() {
        let id = uuid_v7().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "7"));
        assert!("89ab".contains(&id[19..20]), "{id}");
    }
}
