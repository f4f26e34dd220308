//! The files of one unit's log.
//!
//! Purpose: list `current` and the rotated `<timestamp>.log[.zst]` in the order they were written.
//! Invariants: a file that is being compressed is listed once; a temporary file never.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Name of the file that is being written.
pub(super) const CURRENT: &str = "current";

/// A rotated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rotated {
    /// Its name without `.log` and `.zst`: sorts by time.
    pub(super) stem: String,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Compressed with zstd.
    pub(super) packed: bool,
    /// Identity, which a rename keeps.
    pub(super) inode: u64,
    /// Last written, in seconds since the Unix epoch.
    pub(super) modified_s: i64,
}

impl Rotated {
    /// Opens it for reading. `None`: it has been deleted. Follows a compression that happened
    /// meanwhile.
    pub(super) fn open(&self) -> io::Result<Option<Box<dyn Read>>> {
        let plain = |path: &Path| File::open(path).map(|f| Box::new(f) as Box<dyn Read>);
        let packed = |path: &Path| {
            File::open(path)
                .and_then(zstd::stream::read::Decoder::new)
                .map(|d| Box::new(d) as Box<dyn Read>)
        };
        let opened = if self.packed {
            packed(&self.path)
        } else {
            match plain(&self.path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    packed(&self.path.with_extension("log.zst"))
                }
                other => other,
            }
        };
        match opened {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
            Ok(reader) => Ok(Some(reader)),
        }
    }
}

/// Rotated files, oldest first. A folder that is not there has none.
pub(super) fn rotated(folder: &Path) -> io::Result<Vec<Rotated>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let (stem, packed) = match (name.strip_suffix(".log"), name.strip_suffix(".log.zst")) {
            (Some(stem), _) => (stem, false),
            (_, Some(stem)) => (stem, true),
            _ => continue,
        };
        // Retention may delete it between the listing and this look.
        let Ok(meta) = entry.metadata() else { continue };
        files.push(Rotated {
            stem: stem.to_owned(),
            path: entry.path(),
            packed,
            inode: meta.ino(),
            modified_s: meta.mtime(),
        });
    }
    files.sort_by(|a, b| (&a.stem, a.packed).cmp(&(&b.stem, b.packed)));
    files.dedup_by(|b, a| a.stem == b.stem);
    Ok(files)
}

/// Names of units that have a log folder below `daemons`, sorted.
pub(crate) fn units_with_logs(daemons: &Path) -> Vec<String> {
    let entries = fs::read_dir(daemons).into_iter().flatten().flatten();
    let mut units: Vec<String> = entries
        .filter(|e| e.path().join("log").is_dir())
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    units.sort();
    units
}
