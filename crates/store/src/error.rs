//! What can go wrong with `state.db`, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Everything that can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such file.
    #[error("{} does not exist; `eud up` creates it", path.display())]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// Its folder is missing or may not be entered.
    #[error(
        "{} cannot be opened ({detail}); check that its folder exists and belongs to you",
        path.display()
    )]
    CannotOpen {
        /// The database.
        path: PathBuf,
        /// SQLite's words.
        detail: String,
    },
    /// It is something else.
    #[error(
        "{} is not a database of eudaemon; it was left as it is. Move it away, or give another state \
         directory with --state",
        path.display()
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error(
        "{} is damaged ({detail}); it was left as it is. Restore a copy, or save what can be read \
         with `sqlite3 {} .recover`, then move it and its -wal file away and start again: running \
         daemons are found by their folders, but what was stopped or held by hand is forgotten",
        path.display(),
        path.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite or the decoder found.
        detail: String,
    },
    /// A later version of the program wrote it.
    #[error(
        "{} has schema version {found}, this program knows up to {known}; use the newer eud that wrote it",
        path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Version found.
        found: i64,
        /// Latest version known here.
        known: i64,
    },
    /// It may not be written.
    #[error("{} cannot be written; check its owner, its mode and the mount", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// No room.
    #[error("no room to write {}: the disk or the quota is full; free some space", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// Another process keeps it locked.
    #[error(
        "{} is locked by another process; close whatever has it open, such as a `sqlite3` shell",
        path.display()
    )]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// The file system cannot do write-ahead logging.
    #[error(
        "{} is on a file system without shared memory for SQLite (journal mode is `{mode}`); use a local \
         disk for the state directory",
        path.display()
    )]
    NoWal {
        /// The database.
        path: PathBuf,
        /// The mode SQLite fell back to.
        mode: String,
    },
    /// A start was recorded twice. The program is at fault.
    #[error(
        "{}: generation {generation} was used before; nothing was recorded. Please report this",
        path.display()
    )]
    GenerationReused {
        /// The database.
        path: PathBuf,
        /// The offending one.
        generation: u64,
    },
    /// Anything else SQLite says.
    #[error("{}: {source}; check the disk and the system log", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts an error of SQLite into one that says what to do.
    pub(crate) fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        let detail = source.to_string();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, detail },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::CannotOpen) => Self::CannotOpen { path, detail },
            _ => Self::Sqlite { path, source },
        }
    }

    /// Sorts an error of the file system likewise.
    pub(crate) fn of_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path }
            }
            _ => Self::CannotOpen {
                path,
                detail: error.to_string(),
            },
        }
    }

    /// Whether waiting may help: the same batch can be tried again.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Full { .. } | Self::Locked { .. } | Self::ReadOnly { .. }
        )
    }
}
