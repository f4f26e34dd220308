//! The keeper: the small process that is the parent of one run's command.
//!
//! Purpose: what must hold even while no manager lives: output is logged, limits are kept, a stop
//! ends in death, nothing of the tree stays behind, and the end is on record. The story of the loop
//! is in `run`, that of the end in `stop`.
//! Invariants: one thread; no wakeups while nothing happens; at most 100 kB of memory of its own
//! (see `examples/footprint.rs`); nothing that comes in can end it but the end of its run.
//! Deliberately absent: decisions (restarts, probes, schedules), async, serde, and the command's
//! secrets, which only the forked child ever decodes.
//!
//! The manager uses [`LaunchSpec`], [`spawn_keeper`], [`Spare`], [`noted`], [`unpublished_record`],
//! [`cgroup_of`] and [`sweep`]; the binary is [`main`].

mod child;
mod control;
mod flow;
#[doc(hidden)]
pub mod fuzz;
mod json;
mod launch;
mod log;
mod note;
mod notify;
mod record;
mod run;
mod spare;
mod spec;
mod stamp;
mod stop;
mod sweep;
mod tree;

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use eud_sys::cgroup::Cgroup;
use eud_sys::durable::Reserved;
use eud_sys::signal::{self, Signal, SignalFd};
use eud_sys::{fd, process, reap};

use crate::control::Control;
use crate::log::Log;
use crate::note::{Note, Standing};
use crate::notify::Notify;
use crate::record::{Reason, Record};
use crate::run::{Prepared, Run};

pub use crate::launch::{Started, spawn_keeper, unpublished_record};
pub use crate::note::{Noted, noted};
pub use crate::spare::Spare;
pub use crate::spec::LaunchSpec;
pub use crate::sweep::{SweepReport, cgroup_of, sweep};

/// Name of the control socket in the run's folder.
pub const CONTROL_SOCKET: &str = "control.sock";
/// Name of the exit record in the run's folder.
pub const EXIT_RECORD: &str = "exit.json";
/// Space reserved for the exit record, in bytes.
const RECORD_BYTES: u64 = 4096;
/// How long the news that nothing was started may take to tell, in milliseconds.
const FAREWELL_MS: u64 = 100;

/// The whole program `eud-keeper <unit> <run-id>`; returns its exit code.
///
/// It must be started in the run's folder, with the launch spec on standard input and a control
/// connection, or `/dev/null`, on standard output. Exits 0 when the run's end is on record, 1 when
/// it is not, 2 when it was started by hand. As `eud-keeper --spare …`, with the connection on
/// standard output, it waits until that tells it of its run; 0 when there never was one.
///
/// Meant to be called as the C library's `main`, with the words that gives: the standard library's
/// own start-up would cost each daemon memory and time.
pub fn main(words: &[OsString]) -> i32 {
    let text = |word: &OsString| word.clone().into_string().ok();
    let named = match words {
        [program, unit, run] => text(unit).zip(text(run)).map(|names| (program, names)),
        _ => None,
    };
    let Some((program, (unit, run))) = named else {
        complain(
            "?",
            "?",
            "usage: eud-keeper UNIT RUN-ID; it is started by the manager, not by hand",
        );
        return 2;
    };
    let (unit, run, done) = match begin_with(program, unit.clone(), run.clone()) {
        Ok(None) => return 0,
        Ok(Some(beginning)) => (
            beginning.unit.clone(),
            beginning.run.clone(),
            keep(beginning),
        ),
        Err(error) => (unit, run, Err(error)),
    };
    if let Err(error) = done {
        complain(&unit, &run, &error.to_string());
        return 1;
    }
    0
}

/// What a keeper begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    unit: String,
    run: String,
    /// The launch spec.
    input: File,
    /// The first connection.
    first: Option<UnixStream>,
    standing: io::Result<Standing>,
}

/// `None` when there is to be no run.
fn begin_with(program: &OsStr, unit: String, run: String) -> io::Result<Option<Beginning>> {
    let (input, first) = settle_in()?;
    // Before there is a run, where this one waits for it.
    let standing = Standing::find();
    if unit == spare::FLAG {
        return spare::wait(program, first, standing);
    }
    Ok(Some(Beginning {
        unit,
        run,
        input,
        first,
        standing,
    }))
}

/// A line in the manager's log.
pub(crate) fn complain(unit: &str, run: &str, what: &str) {
    // There is nowhere else to say that this fails.
    let _ = writeln!(io::stderr(), "eud-keeper {unit} {run}: {what}");
}

/// Removes what is of no use once the run has ended.
pub(crate) fn tidy() {
    // They may never have been there.
    let _ = std::fs::remove_file(CONTROL_SOCKET);
    Notify::remove_file();
}

fn keep(beginning: Beginning) -> io::Result<()> {
    let Beginning {
        unit,
        run,
        input,
        first,
        standing,
    } = beginning;
    let inherited_umask = process::set_umask(0o077);
    let signals = SignalFd::new(&[Signal::CHLD, Signal::TERM, Signal::INT, Signal::QUIT])?;
    let spec = match child::read_spec(&input, LaunchSpec::decode_settings) {
        Ok(spec) => spec,
        Err(error) => {
            let nameless = LaunchSpec {
                unit,
                run,
                ..LaunchSpec::default()
            };
            return never_started(&nameless, first, &error.to_string());
        }
    };
    let lock = match take_lock(&spec.lock) {
        Ok(Some(lock)) => lock,
        Ok(None) => return never_started(&spec, first, "another keeper holds the lock"),
        Err(error) => return never_started(&spec, first, &error.to_string()),
    };
    if Path::new(EXIT_RECORD).exists() {
        // The manager gave this run up before it began. It must not begin now.
        return Ok(());
    }
    let prepared = match prepare(
        spec.clone(),
        input,
        lock,
        signals,
        inherited_umask,
        standing,
    ) {
        Ok(prepared) => prepared,
        Err(error) => return never_started(&spec, first, &error.to_string()),
    };
    begin(prepared, first)
}

fn begin(prepared: Box<Prepared>, first: Option<UnixStream>) -> io::Result<()> {
    match Run::start(prepared) {
        Ok(run) => run.keep(first),
        Err((prepared, error)) => {
            let Prepared {
                spec,
                lock,
                mut record,
                mut control,
                ..
            } = *prepared;
            let reason = Reason::SpawnFailed;
            let mut end = Record::without_process(&spec.run, &spec.unit, spec.generation, reason);
            end.code = Some(child::CODE_NOT_EXECUTABLE);
            end.message = Some(format!("fork: {error}"));
            let json = end.to_json();
            record.publish(json.as_bytes())?;
            drop(lock);
            if let Some(first) = first {
                control.add(first, &run::hello_before_start(&spec));
            }
            control.tell(&run::ended_event(&json));
            control.flush(FAREWELL_MS);
            tidy();
            record.sync()
        }
    }
}

/// Becomes independent of whoever started it: own session, own children, no descriptors but what is
/// meant for it, no signals that end it by accident.
#[inline(never)]
fn settle_in() -> io::Result<(File, Option<UnixStream>)> {
    fd::close_from(3)?;
    let (input, output) = fd::take_standard_io()?;
    for number in [
        "PIPE", "HUP", "USR1", "USR2", "ALRM", "TTIN", "TTOU", "TSTP",
    ] {
        if let Some(signal) = Signal::parse(number) {
            signal::ignore(signal);
        }
    }
    process::new_session();
    reap::become_subreaper()?;
    let first = fd::is_socket(output.as_fd()).then(|| UnixStream::from(output));
    Ok((File::from(input), first))
}

/// `None` when somebody else holds it.
fn take_lock(path: &Path) -> io::Result<Option<File>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let file = file.map_err(named)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(named(error)),
    }
}

#[inline(never)]
fn prepare(
    spec: LaunchSpec,
    spec_file: File,
    lock: File,
    signals: SignalFd,
    inherited_umask: u32,
    standing: io::Result<Standing>,
) -> io::Result<Box<Prepared>> {
    // With the lock held, a socket file that is there already is a dead one.
    tidy();
    let named = |what: &'static str| {
        move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
    };
    let record = Reserved::new(Path::new(EXIT_RECORD), RECORD_BYTES).map_err(named(EXIT_RECORD))?;
    let control = Control::listen(Path::new(CONTROL_SOCKET)).map_err(named(CONTROL_SOCKET))?;
    let notify = if spec.notify {
        Some(Notify::open(&spec.run, spec.uid).map_err(named("notify socket"))?)
    } else {
        None
    };
    let (cgroup, note) = note(&spec, standing).map_err(named(note::LIVE))?;
    let log = Log::new(spec.log.clone(), spec.log_max_size, spec.log_keep)?;
    Ok(Box::new(Prepared {
        spec,
        spec_file: Some(spec_file),
        inherited_umask,
        signals,
        lock,
        record,
        control,
        notify,
        cgroup,
        note,
        log,
    }))
}

/// A control group for the run, if one can be had, and the note of it.
///
/// # Errors
/// When the note cannot be written, say because the disk is full: what nobody could tell from what
/// never began, should this process be killed, does not begin.
fn note(
    spec: &LaunchSpec,
    standing: io::Result<Standing>,
) -> io::Result<(Option<Cgroup>, Option<Note>)> {
    let standing = match standing {
        Ok(standing) => standing,
        // Without /proc there is nothing to note, and nobody could clear up after us: no group.
        Err(error) => {
            complain(&spec.unit, &spec.run, &format!("{}: {error}", note::LIVE));
            return Ok((None, None));
        }
    };
    let cgroup = (standing.group.as_deref())
        .filter(|_| spec.cgroup)
        .and_then(|group| Cgroup::create(group, &sweep::cgroup_name(&spec.run)).ok());
    match Note::create(&standing, cgroup.as_ref().map(Cgroup::path)) {
        Ok(note) => Ok((cgroup, Some(note))),
        Err(error) => {
            if let Some(cgroup) = cgroup {
                // Empty as it is, it does no harm if it stays.
                let _ = cgroup.remove();
            }
            Err(error)
        }
    }
}

/// Records that nothing was started, unless an end is on record already.
fn never_started(spec: &LaunchSpec, first: Option<UnixStream>, why: &str) -> io::Result<()> {
    let reason = Reason::NeverStarted;
    let mut record = Record::without_process(&spec.run, &spec.unit, spec.generation, reason);
    record.message = Some(why.to_owned());
    let json = record.to_json();
    // Written at once: there is nothing to reserve.
    let mut file = Reserved::new(Path::new(EXIT_RECORD), 0)?;
    match file.publish_new(json.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    if let Some(first) = first {
        let mut control = Control::deaf();
        control.add(first, &run::hello_before_start(spec));
        control.tell(&run::ended_event(&json));
        control.flush(FAREWELL_MS);
    }
    file.sync()
}

/// A pipe of which both ends close on exec: reading end, writing end.
pub(crate) fn report_pipe() -> io::Result<(File, OwnedFd)> {
    let (read, write) = io::pipe()?;
    Ok((File::from(OwnedFd::from(read)), write.into()))
}
