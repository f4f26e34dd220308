//! Entries for the fuzzer: what the manager reads from keepers, daemons and files.
//!
//! Invariant: the code of the manager itself, in plain types.

use std::io;
use std::path::Path;

use eud_core::fleet::ProgressFrom;
use eud_core::io::Notify;
use eud_core::record::{ExitRecord, TaskProgress};

use crate::exit_file::{self, ExitFile, RunKey};
use crate::layout::Layout;
use crate::log_follow::{Looked, Mark, OutputLine};
use crate::log_watch::LogWatch;
use crate::progress::Tally;
use crate::watch::{known_again, records_again};
use crate::wire::{self, Asked, Said};
use crate::{gauge, launch, notify, probe};

/// A line of a keeper, as its event's name and its text, if that event has one.
///
/// # Errors
/// In words, when it is none.
pub fn keeper_line(line: &[u8]) -> Result<(&'static str, Option<String>), String> {
    Ok(match wire::read(line)? {
        Said::Hello(hello) => ("hello", Some(hello.unit)),
        Said::Started { .. } => ("started", None),
        Said::Notify { message } => ("notify", Some(message)),
        Said::Output => ("output", None),
        Said::Rotated { file } => ("rotated", Some(file)),
        Said::LogBlocked { error } => ("log-blocked", Some(error)),
        Said::LogUnblocked => ("log-unblocked", None),
        Said::Ended { record } => ("ended", record.message),
        Said::Unknown => ("unknown", None),
    })
}

/// Items of an sd_notify(3) message.
pub fn notify_items(message: &str) -> Vec<Notify> {
    notify::parse(message)
}

/// The line by which a keeper is asked to signal its command.
pub fn signal_line(name: &str) -> String {
    Asked::Signal(name.to_owned()).line()
}

/// The record in the bytes of an `exit.json`.
///
/// # Errors
/// In words, when it is no record of this run.
pub fn exit_record(bytes: &[u8], unit: &str, run: &str) -> Result<ExitRecord, String> {
    let key = RunKey {
        unit: unit.to_owned(),
        run: run.to_owned(),
        generation: 0,
    };
    match exit_file::parse(bytes, &key) {
        ExitFile::Record(record) => Ok(*record),
        ExitFile::Corrupt(why) | ExitFile::Unseen(why) => Err(why),
        ExitFile::Absent => Err("absent".to_owned()),
    }
}

/// Variables in the text of an env file.
///
/// # Errors
/// Line, from 1, and what is wrong there.
pub fn env_file(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    launch::parse_env_file(text)
}

/// The status in what an HTTP server has said so far; `None` when more must come, an error when
/// it is no HTTP.
pub fn http_status(head: &[u8]) -> Option<Result<u16, ()>> {
    probe::http_status(head)
}

/// Body of an answer of at most `bytes_max` bytes; `Ok(None)` while there is more to come.
///
/// # Errors
/// When it is too long or torn.
pub fn http_body(
    answer: &[u8],
    is_over: bool,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, &'static str> {
    match probe::http_body_of(answer, is_over, bytes_max) {
        probe::HttpBody::More => Ok(None),
        probe::HttpBody::Whole(bytes) => Ok(Some(bytes)),
        probe::HttpBody::TooLong => Err("too long"),
        probe::HttpBody::Torn => Err("torn"),
    }
}

/// The first number in a command's output, and the number at a place of a JSON document.
///
/// # Errors
/// In words.
pub fn gauge_numbers(text: &[u8], pointer: &str) -> [Result<f64, String>; 2] {
    [gauge::first_number(text), gauge::number_at(text, pointer)]
}

/// Host and port that the probe of a URL connects to.
///
/// # Errors
/// In words.
pub fn http_host_port(url: &str) -> Result<(String, u16), String> {
    probe::http_host_port(url)
}

/// The records of a batch of changes, behind its head, as they are written.
///
/// # Errors
/// In words, when there is a head or a record that is none.
pub fn watch_batch(bytes: &[u8]) -> Result<Vec<u8>, String> {
    records_again(bytes).map_err(|e| e.to_string())
}

/// What is known of watched paths by a file, as records; `None` when it is damaged, or about
/// something else than `what`.
pub fn watch_known(file: &Path, what: &str) -> Option<Vec<u8>> {
    known_again(file, what)
}

/// The lists that a run is given of the paths in a batch: by lines, and by NUL.
///
/// # Errors
/// In words.
pub fn watch_paths(
    layout: &Layout,
    run: &Path,
    bytes: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), String> {
    const ID: &str = "0000000000000001";
    let folder = layout.watch("a");
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    std::fs::write(folder.join(ID), bytes).map_err(|e| e.to_string())?;
    launch::paths_of(layout, "a", ID, run)
}

/// Whether a line in the log of a unit matches, from its beginning on.
///
/// # Errors
/// A pattern that cannot be used; a log that cannot be read.
pub fn log_matches(layout: &Layout, unit: &str, pattern: &str) -> io::Result<bool> {
    let everything = Mark::now(layout, "no such unit");
    let mut watch =
        LogWatch::new(layout, unit, pattern, Some(everything), 0).map_err(io::Error::other)?;
    loop {
        match watch.look()? {
            Looked::Enough => return Ok(true),
            Looked::AllSeen => return Ok(false),
            Looked::More => {}
        }
    }
}

/// What output says of a task's progress: with each line or, with `is_json`, with those that
/// are JSON objects.
pub fn progress(output: &[u8], is_json: bool) -> TaskProgress {
    let from = if is_json {
        ProgressFrom::Json
    } else {
        ProgressFrom::Output
    };
    let mut tally = Tally::default();
    for text in output.split(|byte| *byte == b'\n') {
        let line = OutputLine {
            time: "2026-11-23T14:02:11.000000001Z",
            text,
            is_cut: false,
        };
        tally.line(from, line);
    }
    tally.progress().clone()
}
