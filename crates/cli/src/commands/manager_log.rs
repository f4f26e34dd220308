//! `eud logs --manager`: the manager's own log, as it is.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use regex::bytes::Regex;

use crate::args::{Lines, LogsArgs};
use crate::context::Context;
use crate::error::Error;

/// Lines shown unless asked otherwise.
const LINES_DEFAULT: usize = 100;
/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// `eud logs --manager`
///
/// # Errors
/// When there is no such log or it cannot be read.
pub(crate) fn run(context: &Context, args: &LogsArgs) -> Result<(), Error> {
    let path = context.layout()?.manager_log();
    let unreadable = |e| Error::file("read", &path, e);
    let grep = args
        .grep
        .as_deref()
        .map(Regex::new)
        .transpose()
        .map_err(|e| Error::Usage {
            what: format!("--grep is no regular expression: {e}"),
            help: "put a \\ before characters that have a meaning, such as ( [ . *".into(),
        })?;
    let mut file = File::open(&path).map_err(unreadable)?;
    // It is bounded: see `eud_manager::MANAGER_LOG_BYTES_MAX`.
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    let wanted = |line: &&[u8]| grep.as_ref().is_none_or(|g| g.is_match(line));
    let whole = bytes
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    let rest = bytes.split_off(whole);
    let lines: Vec<&[u8]> = bytes
        .split_inclusive(|b| *b == b'\n')
        .filter(wanted)
        .collect();
    let count = match args.lines {
        Some(Lines::All) => lines.len(),
        Some(Lines::Last(count)) => count,
        None => LINES_DEFAULT,
    };
    write(&lines[lines.len().saturating_sub(count)..])?;
    if !args.follow {
        return if rest.is_empty() {
            Ok(())
        } else {
            write(&[&rest[..]])
        };
    }
    let mut pending = rest;
    loop {
        std::thread::sleep(FOLLOW_EVERY);
        // Asked before reading: what is written to the old file after a rotation was there before
        // it.
        let rotated = std::fs::metadata(&path).map_or(true, |now| {
            file.metadata().is_ok_and(|own| own.ino() != now.ino())
        });
        file.read_to_end(&mut pending).map_err(unreadable)?;
        let whole = pending
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let rest = pending.split_off(whole);
        write(
            &pending
                .split_inclusive(|b| *b == b'\n')
                .filter(wanted)
                .collect::<Vec<_>>(),
        )?;
        pending = rest;
        if rotated && let Ok(mut next) = File::open(&path) {
            next.seek(SeekFrom::Start(0)).map_err(unreadable)?;
            file = next;
        }
    }
}

fn write(lines: &[&[u8]]) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let written = lines
        .iter()
        .try_for_each(|line| out.write_all(line))
        .and_then(|()| out.flush());
    written.map_err(Error::Output)
}
