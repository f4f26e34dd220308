//! Any bytes for every parser that reads what somebody else wrote.
//!
//! Purpose: one function a parser, from bytes to a panic when a promise is broken: no panic, no
//! hang, what is read is what was written, and what is accepted is usable by whoever gets it next.
//! Invariants: a target depends on its bytes alone, leaves nothing behind, and ends; it calls the
//! product's code, never a copy.
//! Deliberately absent: the fuzzer itself. `cargo xtask fuzz` builds the program that has one; the
//! tests of this package replay what it found, with an ordinary compiler.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a target says that a promise is broken"
)]

mod core;
mod env_file;
mod exit_record;
mod fleet;
mod gauge;
mod http;
mod keeper;
mod lines;
mod log_files;
mod log_watch;
#[path = "../../crates/cli/src/logs/mod.rs"]
mod logs;
mod proc;
mod progress;
mod records;
mod rpc;
mod schedules;
mod select;
mod texts;
mod values;
mod watch;

/// Something that reads bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folders in `corpus` and `failures`.
    pub name: &'static str,
    /// What it reads, for people.
    pub about: &'static str,
    /// Longest input worth trying, in bytes.
    pub bytes_max: usize,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident, $bytes_max:literal, $run:path, $about:literal;)*) => {
        &[$(Target {
            name: stringify!($name),
            about: $about,
            bytes_max: $bytes_max,
            run: $run,
        }),*]
    };
}

/// All targets.
pub const TARGETS: &[Target] = targets! {
    fleet, 4096, fleet::run, "fleet files, with what they include";
    values, 256, values::run, "durations, sizes, addresses and the other values of a fleet file";
    rpc, 4096, rpc::run, "lines of clients to the control socket";
    lines, 1024, lines::run, "lines of any stream, however they arrive";
    launch_spec, 2048, keeper::launch_spec, "the launch spec a keeper is given";
    keeper_says, 2048, keeper::says, "what keepers say to the manager";
    keeper_is_told, 9000, keeper::is_told, "what the manager, or anybody, says to keepers";
    exit_record, 2048, exit_record::run, "exit.json and the notes in a run's folder";
    log_records, 2048, records::run, "lines of a log";
    log_files, 2048, log_files::run, "rotated, packed, torn and growing log files of several units";
    log_round_trip, 2048, log_files::round_trip, "what the keeper writes and the client reads";
    log_watch, 1024, log_watch::run, "the pattern of a log probe, and the log it looks at";
    progress, 4096, progress::run, "what agent programs say of their progress";
    http, 2048, http::run, "answers of HTTP servers to probes, and URLs";
    gauge, 1024, gauge::run, "answers of commands and servers to gauges";
    env_file, 1024, env_file::run, "env files and sd_notify messages";
    proc, 512, proc::run, "text of /proc and of cgroups";
    schedules, 128, schedules::run, "cron and calendar expressions";
    select, 512, select::run, "selectors";
    texts, 1024, texts::run, "expressions and templates, over any variables";
    watch, 512, watch::run, "batches of changed paths, and what is known of watched paths";
    core, 4096, core::run, "inputs to the core in any order";
};

/// The target that panics, to see whether anybody notices.
#[cfg(feature = "planted")]
const PLANTED: Target = Target {
    name: "planted",
    about: "panics when it finds a word",
    bytes_max: 64,
    // One comparison after the other, so that only coverage leads there.
    run: |bytes| {
        if let [b'e', b'u', b'd', b'-', b'x', b'!', ..] = bytes {
            panic!("the planted defect");
        }
    },
};

/// A target by its name.
pub fn target(name: &str) -> Option<Target> {
    #[cfg(feature = "planted")]
    if name == PLANTED.name {
        return Some(PLANTED);
    }
    TARGETS.iter().find(|target| target.name == name).copied()
}

/// An empty folder of its own, removed with the value. In memory where there is such a place.
fn scratch() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("eud-fuzz-");
    let shm = std::path::Path::new("/dev/shm");
    let made = match std::env::var_os("TMPDIR") {
        None if shm.is_dir() => builder.tempdir_in(shm),
        _ => builder.tempdir(),
    };
    made.expect("a temporary folder can be made")
}
