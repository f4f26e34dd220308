//! The manager's own log, `manager.log`.
//!
//! Purpose: transitions and errors, one line each, for people who ask what happened.
//! Invariants: one entry is one line; at most [`FILE_BYTES_MAX`] bytes a file and [`FILES_KEPT`]
//! old files; a failure to write never stops the manager; no secret is ever passed here.
//! Deliberately absent: levels to configure, and the output of daemons, which has logs of its own.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use eud_core::happened::Happened;
use eud_core::view::Transition;

use crate::clock;
use crate::error::ManagerError;

/// A file is renamed when it reaches this many bytes.
pub const FILE_BYTES_MAX: u64 = 10_000_000;

/// Old files kept, `manager.log.1` being the newest.
pub const FILES_KEPT: u32 = 3;

/// Longest entry, in characters.
const ENTRY_CHARS_MAX: usize = 2_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Diary {
    path: PathBuf,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl Diary {
    /// Opens or creates the log.
    pub(crate) fn open(path: &Path) -> Result<Self, ManagerError> {
        let open = open(path).map_err(|e| ManagerError::file("open", path, e))?;
        Ok(Self {
            path: path.into(),
            open: Mutex::new(open),
        })
    }

    /// Something a person may want to know.
    pub(crate) fn note(&self, text: &str) {
        self.write("info", text);
    }

    /// Something that went wrong.
    pub(crate) fn error(&self, text: &str) {
        self.write("error", text);
    }

    /// A change of state.
    pub(crate) fn transition(&self, t: &Transition) {
        let reason = t
            .reason
            .as_deref()
            .map(|r| format!(": {r}"))
            .unwrap_or_default();
        self.write(
            "state",
            &format!("{} {} -> {}{reason}", t.unit, t.from, t.to),
        );
    }

    /// Something that is no change of a state.
    pub(crate) fn happened(&self, happened: &Happened) {
        self.write("event", &eud_core::happened::words(&happened.what));
    }

    /// A handle for keepers to write their last words to.
    pub(crate) fn file(&self) -> std::io::Result<File> {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .file
            .try_clone()
    }

    fn write(&self, level: &str, text: &str) {
        let entry: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(ENTRY_CHARS_MAX)
            .collect();
        let line = format!(
            "{} {level:5} {entry}\n",
            clock::rfc3339(clock::now().wall_ms)
        );
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.bytes >= FILE_BYTES_MAX
            && let Ok(fresh) = rotate(&self.path)
        {
            *open = fresh;
        }
        // With a full disk there is nowhere to say so but the status, which says it already.
        if open.file.write_all(line.as_bytes()).is_ok() {
            open.bytes += line.len() as u64;
        }
    }
}

fn open(path: &Path) -> std::io::Result<Open> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Open { file, bytes })
}

fn rotate(path: &Path) -> std::io::Result<Open> {
    let name = |n: u32| path.with_extension(format!("log.{n}"));
    for n in (1..FILES_KEPT).rev() {
        if name(n).exists() {
            fs::rename(name(n), name(n + 1))?;
        }
    }
    fs::rename(path, name(1))?;
    open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_whatever_it_contains() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manager.log");
        let diary = Diary::open(&path).unwrap();
        diary.note("two\nlines \u{1b}[31m");
        diary.error(&"x".repeat(10_000));
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("info  two lines  [31m"), "{}", lines[0]);
        assert!(lines[1].len() < 2_100);
    }

    #[test]
    fn old_files_are_kept_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manager.log");
        for round in 0..6 {
            let diary = Diary::open(&path).unwrap();
            diary.open.lock().unwrap().bytes = FILE_BYTES_MAX;
            diary.note(&format!("round {round}"));
        }
        let mut names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "manager.log",
                "manager.log.1",
                "manager.log.2",
                "manager.log.3"
            ]
        );
        assert!(fs::read_to_string(&path).unwrap().contains("round 5"));
        assert!(
            fs::read_to_string(path.with_extension("log.1"))
                .unwrap()
                .contains("round 4")
        );
    }
}
