//! A daemon that keeps a diary, so that nobody has to be believed about it.
//!
//! Purpose: it numbers the lines it prints and writes the same numbers, each of its starts and its
//! end, into a diary of its own; tests compare the diary with what the supervisor says.
//! Invariants: a start and an end are on the disk before anything follows; a line is in the diary
//! before it is printed, and printed before a wish to end is heard, so both agree unless the
//! diarist is killed. Every process of its family holds one flock on `<unit>.lock`; whoever finds
//! it taken writes `overlap`.
//! Deliberately absent: any knowledge of the supervisor but `EUD_UNIT` and `EUD_RUN_ID`.
//!
//! ```text
//! diarist [--diary DIR] [--every MS] [--lines N] [--code C,…] [--odds K] [--seed S] [--width W]
//!         [--stderr-each K] [--ignore-term] [--family] [--swarm N] [--listen PORT]
//! ```
//!
//! A diary has one record a line: `start NUMBER PID BORN RUN`, `line NUMBER out|err`, `child PID
//! BORN`, `grandchild PID BORN`, `term`, `exit CODE`, `overlap PID RUN`. BORN is the process's
//! start time in ticks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use eud_sys::fd::{self, Interest};
use eud_sys::signal::{self, Signal, SignalFd};

/// Lines between two looks for a signal while it floods.
const FLOOD_BATCH: u64 = 64;
/// Exit code when the port is in use.
const CODE_PORT: u8 = 98;

#[derive(Debug)]
struct Wishes {
    diary: PathBuf,
    every_ms: u64,
    /// Lines after which it ends with a code, or sleeps for ever when it has none.
    lines: u64,
    /// Codes of its ends, by number of start, again and again.
    codes: Vec<u8>,
    /// It crashes at each line with a chance of one in this; 0 is never.
    odds: u64,
    seed: u64,
    width: usize,
    stderr_each: u64,
    ignore_term: bool,
    family: bool,
    /// Children like those of a family, so many at once.
    swarm: u32,
    listen: Option<u16>,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let outcome = match args.next().as_deref() {
        Some("child") => child(Path::new(&args.next().unwrap_or_default())),
        Some("between") => between(Path::new(&args.next().unwrap_or_default())),
        Some("grandchild") => grandchild(Path::new(&args.next().unwrap_or_default())),
        _ => wishes().and_then(|wishes| live(&wishes)),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "diarist: {error}");
            ExitCode::from(99)
        }
    }
}

fn wishes() -> io::Result<Wishes> {
    let mut wishes = Wishes {
        diary: "diary".into(),
        every_ms: 50,
        lines: u64::MAX,
        codes: Vec::new(),
        odds: 0,
        seed: 0,
        width: 0,
        stderr_each: 7,
        ignore_term: false,
        family: false,
        swarm: 0,
        listen: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        match name.as_str() {
            "--ignore-term" => wishes.ignore_term = true,
            "--family" => wishes.family = true,
            _ => {
                let value = args.next().unwrap_or_default();
                set(&mut wishes, &name, &value)
                    .ok_or_else(|| io::Error::other(format!("what is {name} {value}?")))?;
            }
        }
    }
    Ok(wishes)
}

fn set(wishes: &mut Wishes, name: &str, value: &str) -> Option<()> {
    match name {
        "--diary" => wishes.diary = value.into(),
        "--every" => wishes.every_ms = value.parse().ok()?,
        "--lines" => wishes.lines = value.parse().ok()?,
        "--code" => {
            wishes.codes = value
                .split(',')
                .map(|code| code.parse().ok())
                .collect::<Option<_>>()?;
        }
        "--odds" => wishes.odds = value.parse().ok()?,
        "--seed" => wishes.seed = value.parse().ok()?,
        "--width" => wishes.width = value.parse().ok()?,
        "--swarm" => wishes.swarm = value.parse().ok()?,
        "--stderr-each" => wishes.stderr_each = value.parse().ok()?,
        "--listen" => wishes.listen = Some(value.parse().ok()?),
        _ => return None,
    }
    Some(())
}

/// The diary, open for appending.
struct Diary(File);

impl Diary {
    fn open(folder: &Path, unit: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{unit}.diary"));
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map(Self)
    }

    fn write(&mut self, record: &str) -> io::Result<()> {
        self.0.write_all(format!("{record}\n").as_bytes())
    }

    /// As [`Diary::write`], and it is on the disk.
    fn write_down(&mut self, record: &str) -> io::Result<()> {
        self.write(record)?;
        self.0.sync_data()
    }
}

fn name(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| "nobody".to_owned())
}

fn born(pid: u32) -> u64 {
    eud_sys::process::identity(pid).map_or(0, |identity| identity.start_ticks)
}

fn live(wishes: &Wishes) -> io::Result<u8> {
    let (unit, run, pid) = (name("EUD_UNIT"), name("EUD_RUN_ID"), std::process::id());
    let mut diary = Diary::open(&wishes.diary, &unit)?;
    let lock = File::create(wishes.diary.join(format!("{unit}.lock")))?;
    if lock.try_lock().is_err() {
        diary.write_down(&format!("overlap {pid} {run}"))?;
    }
    // The family is to hold it too.
    rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty())?;
    let before = fs::read_to_string(wishes.diary.join(format!("{unit}.diary")))?;
    let start = 1 + before
        .lines()
        .filter(|line| line.starts_with("start "))
        .count();
    diary.write_down(&format!("start {start} {pid} {} {run}", born(pid)))?;
    let signals = if wishes.ignore_term {
        signal::ignore(Signal::TERM);
        None
    } else {
        Some(SignalFd::new(&[Signal::TERM])?)
    };
    for _ in 0..u32::from(wishes.family) + wishes.swarm {
        start_role("child", &wishes.diary)?;
    }
    let listener = wishes
        .listen
        .map(|port| TcpListener::bind(("127.0.0.1", port)));
    // Nothing is printed that has no number.
    if let Some(Err(_)) = &listener {
        diary.write_down(&format!("exit {CODE_PORT}"))?;
        return Ok(CODE_PORT);
    }
    talk(wishes, &unit, start, &mut diary, signals.as_ref())
}

/// Prints lines until its time has come. Gives the exit code.
fn talk(
    wishes: &Wishes,
    unit: &str,
    start: usize,
    diary: &mut Diary,
    signals: Option<&SignalFd>,
) -> io::Result<u8> {
    let padding = "x".repeat(wishes.width);
    let mut dice = wishes.seed ^ (start as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut number = 0;
    loop {
        let is_done = number >= wishes.lines || (number > 0 && falls(&mut dice, wishes.odds));
        let code = wishes
            .codes
            .get((start - 1) % wishes.codes.len().max(1))
            .copied();
        if let (true, Some(code)) = (is_done, code) {
            diary.write_down(&format!("exit {code}"))?;
            return Ok(code);
        }
        let pause_ms = if is_done { None } else { Some(wishes.every_ms) };
        if (wishes.every_ms > 0 || is_done || number % FLOOD_BATCH == 0) && told(signals, pause_ms)?
        {
            diary.write("term")?;
            diary.write_down("exit 0")?;
            return Ok(0);
        }
        if is_done {
            continue;
        }
        number += 1;
        let to_stderr = wishes.stderr_each > 0 && number % wishes.stderr_each == 0;
        let stream = if to_stderr { "err" } else { "out" };
        diary.write(&format!("line {number} {stream}"))?;
        let line = format!("{unit} {start} {number} {stream} {padding}\n");
        if to_stderr {
            io::stderr().write_all(line.as_bytes())?;
        } else {
            io::stdout().write_all(line.as_bytes())?;
        }
    }
}

/// Waits for the wish to end, for ever when there is no time given.
fn told(signals: Option<&SignalFd>, pause_ms: Option<u64>) -> io::Result<bool> {
    match signals {
        Some(signals) => {
            fd::wait(signals.as_fd(), Interest::Read, pause_ms)?;
            Ok(signals.next().is_some())
        }
        None => {
            std::thread::sleep(Duration::from_millis(pause_ms.unwrap_or(1_000)));
            Ok(false)
        }
    }
}

/// One throw of a die with `odds` sides (splitmix64).
fn falls(dice: &mut u64, odds: u64) -> bool {
    *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *dice;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    odds > 0 && (z ^ (z >> 31)).is_multiple_of(odds)
}

/// Starts this program in another role.
fn start_role(role: &str, diary: &Path) -> io::Result<std::process::Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role).arg(diary).stdin(Stdio::null()).spawn()
}

/// Ignores TERM, in its parent's group.
fn child(folder: &Path) -> io::Result<u8> {
    signal::ignore(Signal::TERM);
    enter(folder, "child")?;
    start_role("between", folder)?.wait()?;
    sleep()
}

/// Begins a session, leaves a child behind in it and goes, so that the child is nobody's.
fn between(folder: &Path) -> io::Result<u8> {
    rustix::process::setsid()?;
    start_role("grandchild", folder)?;
    Ok(0)
}

/// In a session of its own, its parent gone.
fn grandchild(folder: &Path) -> io::Result<u8> {
    signal::ignore(Signal::TERM);
    signal::ignore(Signal::HUP);
    enter(folder, "grandchild")?;
    sleep()
}

fn enter(folder: &Path, role: &str) -> io::Result<()> {
    let pid = std::process::id();
    Diary::open(folder, &name("EUD_UNIT"))?.write_down(&format!("{role} {pid} {}", born(pid)))
}

fn sleep() -> io::Result<u8> {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
