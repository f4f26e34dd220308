//! Making a new database: under another name, and at the end the right one.
//!
//! Purpose: a database is there whole or not at all, and the first start of a fleet waits for the
//! disk twice and not seven times.
//! Invariants: the file and its name are on the disk when this returns; mode 0600, which SQLite
//! takes over for the companions; what an earlier try left behind is thrown away.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};
use crate::{open_wal, schema};

/// Creates the database with all its tables, and nothing in them.
pub(crate) fn whole(path: &Path) -> Result<()> {
    let new = companion(path, ".new");
    let io = |error| StoreError::of_io(path, &error);
    clear(&new).map_err(io)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(io)?;
    fill(&new)?;
    publish(&new, path).map_err(io)
}

fn fill(new: &Path) -> Result<()> {
    let wrap = |source| StoreError::of(new, source);
    // Nothing in it counts before it has its name.
    let mut conn = open_wal(new, "off")?;
    schema::migrate(&mut conn, new)?;
    // Asked for: the last connection writes the log back too, but says nothing when it cannot.
    let is_busy: bool = conn
        .query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0))
        .map_err(wrap)?;
    conn.close().map_err(|(_, source)| wrap(source))?;
    let left = fs::metadata(companion(new, "-wal")).map_or(0, |log| log.len());
    if is_busy || left > 0 {
        return Err(StoreError::Locked { path: new.into() });
    }
    Ok(())
}

fn publish(new: &Path, path: &Path) -> io::Result<()> {
    File::open(new)?.sync_all()?;
    fs::rename(new, path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn clear(new: &Path) -> io::Result<()> {
    for name in ["", "-wal", "-shm", "-journal"] {
        match fs::remove_file(companion(new, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The file beside the database whose name ends so.
pub(crate) fn companion(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
