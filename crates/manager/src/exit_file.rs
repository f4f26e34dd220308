//! Exit records on disk, and how a run is declared dead.
//!
//! Purpose: read `exit.json`, and write it in the place of a keeper that no longer can.
//! Invariants: a record is written here only while the unit's lock is held, and never over a
//! readable one; a keeper takes the lock before it looks for `exit.json`, so a run that was
//! declared dead never starts; a record that cannot be read is kept beside, as `exit.json.bad`;
//! what cannot be seen for want of descriptors or memory is not taken for absent or corrupt.
//! Deliberately absent: any guess about an exit code.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use eud_core::record::{EndReason, ExitRecord, Generation};
use eud_keeper::Noted;
use eud_sys::durable::{self, Depth};

use crate::clock;
use crate::layout::{Layout, run_file};

/// Longest record that is read, in bytes.
const BYTES_MAX: u64 = 64 << 10;

/// Who a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunKey {
    pub(crate) unit: String,
    pub(crate) run: String,
    pub(crate) generation: Generation,
}

/// What `exit.json` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExitFile {
    /// There is none.
    Absent,
    /// The record.
    Record(Box<ExitRecord>),
    /// Something that is no record of this run, or cannot be read.
    Corrupt(String),
    /// It cannot be told now, for want of descriptors or memory.
    Unseen(String),
}

/// Why a run could not be declared dead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuryError {
    /// Its keeper, or another manager, holds the lock.
    #[error("its keeper holds the lock")]
    Held,
    /// The folder or the lock cannot be used, or the record cannot be written.
    #[error("cannot {0}: {1}")]
    File(String, io::Error),
}

impl BuryError {
    fn file(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |e| Self::File(what, e)
    }
}

/// Reads the record of a run.
pub(crate) fn read(layout: &Layout, key: &RunKey) -> ExitFile {
    use std::io::Read;
    let path = layout.run(&key.unit, &key.run).join(run_file::EXIT);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return ExitFile::Absent,
        Err(e) => return unreadable(&e),
    };
    let mut bytes = Vec::new();
    if let Err(e) = file.take(BYTES_MAX).read_to_end(&mut bytes) {
        return unreadable(&e);
    }
    parse(&bytes, key)
}

fn unreadable(error: &io::Error) -> ExitFile {
    if eud_sys::is_want(error) {
        ExitFile::Unseen(error.to_string())
    } else {
        ExitFile::Corrupt(error.to_string())
    }
}

/// Reads the bytes of a record.
pub(crate) fn parse(bytes: &[u8], key: &RunKey) -> ExitFile {
    match serde_json::from_slice::<ExitRecord>(bytes) {
        Ok(record) if record.run != key.run || record.unit != key.unit => ExitFile::Corrupt(
            format!("it is the record of run {} of {}", record.run, record.unit),
        ),
        Ok(record) => ExitFile::Record(Box::new(record)),
        Err(e) => ExitFile::Corrupt(e.to_string()),
    }
}

/// How many processes a run left behind that its keeper ended; `None` when nobody counted.
pub(crate) fn leftovers(layout: &Layout, key: &RunKey) -> Option<u32> {
    use std::io::Read;
    #[derive(serde::Deserialize)]
    struct Counted {
        leftovers: Option<u32>,
    }
    let path = layout.run(&key.unit, &key.run).join(run_file::EXIT);
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice::<Counted>(&bytes).ok()?.leftovers
}

/// Holds a unit's lock until dropped.
#[derive(Debug)]
pub(crate) struct UnitLock(
    #[expect(dead_code, reason = "held, not read: dropping it unlocks")] File,
);

/// Takes the unit's lock, without waiting.
///
/// # Errors
/// [`BuryError::Held`] when somebody has it.
pub(crate) fn lock(layout: &Layout, unit: &str) -> Result<UnitLock, BuryError> {
    let path = layout.unit_lock(unit);
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
    };
    let opened = match open() {
        // The manager that meant to start it was killed before it created the folder.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            crate::files::create_private_dir(&layout.unit(unit)).and_then(|()| open())
        }
        opened => opened,
    };
    let file = opened.map_err(BuryError::file(format!("open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(UnitLock(file)),
        Err(TryLockError::WouldBlock) => Err(BuryError::Held),
        Err(TryLockError::Error(e)) => Err(BuryError::file(format!("lock {}", path.display()))(e)),
    }
}

/// Declares a run dead whose keeper is gone: kills what is left of its tree and writes its record,
/// unless the keeper wrote one. Blocks.
///
/// `pid` is the command's, if the journal knows that it was started: what its keeper noted of it
/// may be lost in a power cut.
///
/// # Errors
/// When the keeper is not gone after all, or the record cannot be written; then nothing is
/// declared.
pub(crate) fn bury(
    layout: &Layout,
    key: &RunKey,
    pid: Option<u32>,
) -> Result<ExitRecord, BuryError> {
    let held = lock(layout, &key.unit)?;
    let record = bury_locked(layout, key, pid)?;
    drop(held);
    Ok(record)
}

/// As [`bury`], for a caller that holds the unit's lock or knows that another run of the unit holds
/// it.
pub(crate) fn bury_locked(
    layout: &Layout,
    key: &RunKey,
    pid: Option<u32>,
) -> Result<ExitRecord, BuryError> {
    let dir = layout.run(&key.unit, &key.run);
    let (reason, message) = match read(layout, key) {
        ExitFile::Record(record) => return Ok(*record),
        ExitFile::Unseen(why) => {
            let what = format!("read {}", dir.join(run_file::EXIT).display());
            return Err(BuryError::File(what, io::Error::other(why)));
        }
        ExitFile::Corrupt(why) => {
            let path = dir.join(run_file::EXIT);
            fs::rename(&path, dir.join(run_file::EXIT_BAD))
                .map_err(BuryError::file(format!("move {} aside", path.display())))?;
            (
                EndReason::RecordCorrupt,
                format!("{}: {why}", path.display()),
            )
        }
        ExitFile::Absent => (
            EndReason::KeeperLost,
            "its keeper died without a record".to_owned(),
        ),
    };
    let unpublished = unpublished(&dir, key)?;
    let noted = match eud_keeper::noted(&dir) {
        Err(e) if eud_sys::is_want(&e) => {
            return Err(BuryError::File(format!("read in {}", dir.display()), e));
        }
        // What cannot be read tells nothing.
        noted => noted.ok().flatten(),
    };
    let killed = sweep(&dir, key, noted.as_ref())?;
    if let Some(record) = unpublished {
        write_new(layout, key, &record)?;
        return Ok(record);
    }
    let is_born = noted.as_ref().is_some_and(|noted| noted.is_born);
    let command = noted.and_then(|noted| noted.command);
    let pid = command.map(|command| command.pid).or(pid);
    let mut record = blank(key, reason, message);
    let is_lost = reason == EndReason::KeeperLost;
    if is_lost && pid.is_none() && !is_born && killed == 0 {
        record.reason = EndReason::NeverStarted;
        record.message = Some("the manager or its keeper died before it was started".to_owned());
    }
    record.pid = pid.unwrap_or(0);
    if killed > 0 {
        let text = record.message.unwrap_or_default();
        record.message = Some(format!("{text}; {killed} left-over processes were killed"));
    }
    write_new(layout, key, &record)?;
    Ok(record)
}

/// The record that the keeper, or a manager in its place, had written when it died, or the machine
/// did, before it could give it its name.
fn unpublished(dir: &Path, key: &RunKey) -> Result<Option<ExitRecord>, BuryError> {
    let what = || format!("read in {}", dir.display());
    let text = eud_keeper::unpublished_record(dir).map_err(BuryError::file(what()))?;
    Ok(text.and_then(|text| match parse(text.as_bytes(), key) {
        ExitFile::Record(record) => Some(*record),
        ExitFile::Absent | ExitFile::Corrupt(_) | ExitFile::Unseen(_) => None,
    }))
}

/// Kills what is left of a run's tree. Says how many processes that were.
fn sweep(dir: &Path, key: &RunKey, noted: Option<&Noted>) -> Result<usize, BuryError> {
    let what = format!("end what is left of {}", key.unit);
    let boot = eud_sys::process::boot_id().map_err(BuryError::file(what.clone()))?;
    if noted.is_some_and(|noted| noted.boot_id != boot) {
        // Nothing outlives the machine.
        return Ok(0);
    }
    let report = eud_keeper::sweep(dir, &key.run).map_err(BuryError::file(what.clone()))?;
    match report.survivors.first() {
        None => Ok(report.killed.len()),
        Some(pid) => {
            let why = io::Error::other(format!("pid {pid} does not die"));
            Err(BuryError::File(what, why))
        }
    }
}

/// Records that a run could not be started. The caller started no keeper.
///
/// # Errors
/// As [`bury`].
pub(crate) fn spawn_failed(
    layout: &Layout,
    key: &RunKey,
    message: String,
) -> Result<ExitRecord, BuryError> {
    let _held = lock(layout, &key.unit)?;
    let record = blank(key, EndReason::SpawnFailed, message);
    write_new(layout, key, &record)?;
    Ok(record)
}

/// A record with an unknown code.
pub(crate) fn blank(key: &RunKey, reason: EndReason, message: String) -> ExitRecord {
    ExitRecord {
        run: key.run.clone(),
        unit: key.unit.clone(),
        generation: key.generation,
        reason,
        code: None,
        signal: None,
        core: false,
        message: Some(message),
        pid: 0,
        started_at_ms: 0,
        ended_at_ms: clock::now().wall_ms,
        max_rss_kb: 0,
        cpu_user_us: 0,
        cpu_system_us: 0,
    }
}

fn write_new(layout: &Layout, key: &RunKey, record: &ExitRecord) -> Result<(), BuryError> {
    let dir = layout.run(&key.unit, &key.run);
    crate::files::create_private_dir(&dir)
        .map_err(BuryError::file(format!("create {}", dir.display())))?;
    let path = dir.join(run_file::EXIT);
    let bytes = serde_json::to_vec(record)
        .map_err(|e| BuryError::file("encode a record")(io::Error::other(e)))?;
    durable::write(&path, &bytes, Depth::Disk)
        .map_err(BuryError::file(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Layout, RunKey) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let key = RunKey {
            unit: "a".into(),
            run: "r1".into(),
            generation: 4,
        };
        fs::create_dir_all(layout.run("a", "r1")).unwrap();
        (dir, layout, key)
    }

    #[test]
    fn a_run_without_a_process_was_never_started() {
        let (_dir, layout, key) = place();
        let record = bury(&layout, &key, None).unwrap();
        assert_eq!(record.reason, EndReason::NeverStarted);
        assert_eq!((record.code, record.generation), (None, 4));
        assert_eq!(read(&layout, &key), ExitFile::Record(Box::new(record)));
    }

    #[test]
    fn what_was_born_was_not_never_started() {
        let (_dir, layout, key) = place();
        let boot = eud_sys::process::boot_id().unwrap();
        // Its keeper was killed before it noted who the command is.
        let note = format!("boot {boot}\nkeeper 1 2\nborn 1\n");
        fs::write(layout.run("a", "r1").join("live"), note).unwrap();
        let record = bury(&layout, &key, None).unwrap();
        assert_eq!(
            (record.reason, record.pid, record.code),
            (EndReason::KeeperLost, 0, None)
        );
    }

    #[test]
    fn what_the_journal_knows_to_have_started_was_not_never_started() {
        let (_dir, layout, key) = place();
        let record = bury(&layout, &key, Some(42)).unwrap();
        assert_eq!(
            (record.reason, record.pid, record.code),
            (EndReason::KeeperLost, 42, None)
        );
    }

    #[test]
    fn an_intent_without_any_folder_was_never_started() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("state"));
        let key = RunKey {
            unit: "a".into(),
            run: "r1".into(),
            generation: 4,
        };
        assert_eq!(
            bury(&layout, &key, None).unwrap().reason,
            EndReason::NeverStarted
        );
    }

    #[test]
    fn the_keepers_own_record_wins() {
        let (_dir, layout, key) = place();
        let mut own = blank(&key, EndReason::Exited, String::new());
        own.code = Some(3);
        write_new(&layout, &key, &own).unwrap();
        assert_eq!(bury(&layout, &key, None).unwrap(), own);
    }

    #[test]
    fn a_record_without_its_name_is_believed_when_it_is_whole_and_of_this_run() {
        let (_dir, layout, key) = place();
        let path = layout.run("a", "r1").join("exit.json.tmp");
        let mut own = blank(&key, EndReason::Exited, String::new());
        own.code = Some(3);
        let whole = serde_json::to_vec(&own).unwrap();
        fs::write(&path, &whole).unwrap();
        assert_eq!(bury(&layout, &key, None).unwrap(), own);
        assert_eq!(read(&layout, &key), ExitFile::Record(Box::new(own.clone())));

        own.run = "r2".into();
        let other = serde_json::to_vec(&own).unwrap();
        for bytes in [&b""[..], &whole[..whole.len() - 1], &other] {
            let (_dir, layout, key) = place();
            let path = layout.run("a", "r1").join("exit.json.tmp");
            fs::write(&path, bytes).unwrap();
            assert_eq!(bury(&layout, &key, None).unwrap().code, None);
        }
    }

    #[test]
    fn a_want_of_descriptors_is_no_corruption() {
        let error = io::Error::from_raw_os_error;
        let (want, broken) = (unreadable(&error(24)), unreadable(&error(5)));
        assert!(matches!(want, ExitFile::Unseen(_)), "EMFILE: {want:?}");
        assert!(matches!(broken, ExitFile::Corrupt(_)), "EIO: {broken:?}");
    }

    #[test]
    fn a_held_lock_forbids_it() {
        let (_dir, layout, key) = place();
        let held = lock(&layout, "a").unwrap();
        assert!(matches!(bury(&layout, &key, None), Err(BuryError::Held)));
        assert_eq!(read(&layout, &key), ExitFile::Absent);
        drop(held);
        assert!(bury(&layout, &key, None).is_ok());
    }

    #[test]
    fn a_corrupt_record_is_kept_beside_and_said_so() {
        for bytes in [
            &b""[..],
            b"{\"run\":",
            b"null",
            b"\xff\xff",
            br#"{"run":"other","unit":"a",
            "generation":1,"reason":"exited","ended_at_ms":1}"#,
        ] {
            let (_dir, layout, key) = place();
            let path = layout.run("a", "r1").join(run_file::EXIT);
            fs::write(&path, bytes).unwrap();
            let record = bury(&layout, &key, None).unwrap();
            assert_eq!(record.reason, EndReason::RecordCorrupt);
            assert_eq!(record.code, None);
            assert_eq!(
                fs::read(path.with_file_name(run_file::EXIT_BAD)).unwrap(),
                bytes
            );
            assert_eq!(read(&layout, &key), ExitFile::Record(Box::new(record)));
        }
    }
}
