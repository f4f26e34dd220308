//! `state.db`: what eudaemon must remember.
//!
//! Purpose: keep intents, restart memory, the journal of runs and the last good fleet in one SQLite
//! file that people can also read with `sqlite3`.
//! Invariants: [`Store::apply`] is one transaction, durable when it returns (WAL,
//! `synchronous=FULL`); [`Store::apply_unsynced`] is one that the next [`Store::sync`] makes
//! durable; a generation is recorded at most once and never used again, not even after its run was
//! forgotten; the first exit record of a run stays; a file that is not ours, is damaged or is of a
//! newer program is refused, never repaired, moved or deleted.
//! Deliberately absent: any decision, any clock, logs, and more than one writer.

mod bus;
mod channel;
mod create;
mod error;
mod read;
mod rule;
mod schema;
mod write;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

pub use bus::{DeadFilter, EventFilter, Page};
pub use error::{Result, StoreError};
pub use read::{Journal, TaskCounts, TaskFilter};

/// Ended runs that are kept for each unit. Older ones are deleted; their folders go earlier.
pub const RUNS_KEPT_PER_UNIT: u32 = 1_000;

/// How many runs may end before old ones are looked for. The journal holds at most this many runs
/// more than [`RUNS_KEPT_PER_UNIT`] for each unit.
pub const PRUNE_EVERY_RUNS: u32 = 256;

/// The write-ahead log is cut back to this size after a checkpoint, in bytes.
const WAL_SIZE_BYTES_MAX: i64 = 4 << 20;

/// How long a writer waits for another process's lock (`sqlite3 state.db` by hand), in
/// milliseconds.
const BUSY_TIMEOUT_MS: u64 = 2_000;

/// The open database. One writer: the manager that holds `manager.lock`.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    path: PathBuf,
    ended_since_prune: u32,
    /// The connection is set to `synchronous=FULL`.
    syncs: bool,
    /// Something was recorded that is not surely on the disk.
    unsynced: bool,
}

impl Store {
    /// Opens or creates the database and brings its schema up to date.
    ///
    /// # Errors
    /// When the file is no database, is damaged, was written by a newer program, cannot be written,
    /// or the disk is full. The file is left as it is.
    pub fn open(path: &Path) -> Result<Self> {
        let wrap = |source| StoreError::of(path, source);
        if is_new(path) {
            create::whole(path)?;
        }
        let mut conn = open_wal(path, "full")?;
        conn.pragma_update(None, "journal_size_limit", WAL_SIZE_BYTES_MAX)
            .map_err(wrap)?;
        schema::migrate(&mut conn, path)?;
        let mut store = Self {
            conn,
            path: path.into(),
            ended_since_prune: 0,
            syncs: true,
            unsynced: false,
        };
        store.prune()?;
        Ok(store)
    }

    /// Opens the database to look at it, for a client that finds no manager. Reads go on while a
    /// manager writes.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such file; otherwise as [`Store::open`].
    pub fn open_read_only(path: &Path) -> Result<Reader> {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.into() });
        }
        let wrap = |source| StoreError::of(path, source);
        // A WAL database needs its `-shm` file, which a strictly read-only handle could not create.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).map_err(wrap)?;
        conn.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))
            .map_err(wrap)?;
        conn.pragma_update(None, "query_only", "on").map_err(wrap)?;
        schema::refuse_newer(&conn, path)?;
        schema::refuse_empty(&conn, path)?;
        Ok(Reader {
            conn,
            path: path.into(),
        })
    }

    /// SQLite's `synchronous` of the last commit: 1 is NORMAL, 2 is FULL. For tests and
    /// diagnostics.
    pub fn synchronous(&self) -> i64 {
        self.conn
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap_or(-1)
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Opens for writing, with a write-ahead log and a level of `synchronous`. Refuses what is not
/// ours.
fn open_wal(path: &Path, synchronous: &str) -> Result<Connection> {
    let wrap = |source| StoreError::of(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(wrap)?;
    conn.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))
        .map_err(wrap)?;
    schema::refuse_newer(&conn, path)?;
    conn.pragma_update(None, "synchronous", synchronous)
        .map_err(wrap)?;
    let mode: String = conn
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(wrap)?;
    if mode != "wal" {
        return Err(StoreError::NoWal {
            path: path.into(),
            mode,
        });
    }
    Ok(conn)
}

/// There is no file, or one with nothing in it and no log beside it.
fn is_new(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let is_empty = std::fs::metadata(path).map_or_else(
        |error| error.kind() == std::io::ErrorKind::NotFound,
        |found| found.is_file() && found.len() == 0,
    );
    is_empty && !Path::new(&log).exists()
}

/// A database opened by [`Store::open_read_only`].
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    path: PathBuf,
}
