//! Inputs of a target: those to begin with, and those worth keeping.
//!
//! Invariants: `fuzz/corpus/TARGET` holds at most [`FILES_MAX`] files and [`BYTES_MAX`] bytes that
//! were found, of every size some; files whose names begin with `seed-` or `regression-` were put
//! there by a person and stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{create, home, work};
use crate::{Failure, cmd};

/// Most files of a target that were found.
const FILES_MAX: usize = 200;
/// Most bytes of them.
const BYTES_MAX: u64 = 300_000;

/// Where a target's inputs are.
pub(super) struct Places {
    /// In the repository.
    pub(super) committed: PathBuf,
    /// All that was ever found on this machine.
    pub(super) found: PathBuf,
    /// Copies of the product's own files.
    pub(super) seeds: PathBuf,
    merged: PathBuf,
}

impl Places {
    pub(super) fn of(target: &str) -> Result<Self, Failure> {
        let of = |kind: &str| work().join(kind).join(target);
        let places = Self {
            committed: home().join("corpus").join(target),
            found: of("found"),
            seeds: of("seeds"),
            merged: of("merged"),
        };
        // What an interrupted merge left is not what this one finds.
        let _ = fs::remove_dir_all(&places.merged);
        for folder in [
            &places.committed,
            &places.found,
            &places.seeds,
            &places.merged,
        ] {
            create(folder)?;
        }
        if target == "fleet" {
            let config = cmd::root().join("crates/config/tests");
            for folder in [
                config.join("bad"),
                config.join("good"),
                cmd::root().join("examples"),
            ] {
                gather(&folder, &places.seeds)?;
            }
        }
        Ok(places)
    }
}

/// Copies all TOML files below a folder.
fn gather(folder: &Path, into: &Path) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            gather(&path, into)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let parts = path.strip_prefix(cmd::root()).unwrap_or(&path).components();
            let name: Vec<_> = parts
                .map(|part| part.as_os_str().to_string_lossy())
                .collect();
            let copied = fs::copy(&path, into.join(name.join("-")));
            copied.map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    Ok(())
}

/// Keeps the fewest inputs that reach everything that was reached.
pub(super) fn merge(fuzzer: &mut Command, places: &Places) -> Result<(), Failure> {
    fuzzer.arg("-set_cover_merge=1");
    fuzzer.args([
        &places.merged,
        &places.committed,
        &places.seeds,
        &places.found,
    ]);
    cmd::output(fuzzer)?;
    for path in files(&places.committed)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !is_by_hand(&name) {
            fs::remove_file(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    let mut kept: Vec<(u64, PathBuf)> = Vec::new();
    for path in files(&places.merged)? {
        let length = fs::metadata(&path).map_or(0, |meta| meta.len());
        kept.push((length, path));
    }
    kept.sort();
    let found = kept.len();
    if found > FILES_MAX {
        // Of every size some: the smallest alone would reach little.
        let chosen = (0..FILES_MAX).map(|n| kept[n * found / FILES_MAX].clone());
        kept = chosen.collect();
    }
    let mut bytes = 0;
    kept.retain(|(length, _)| {
        bytes += length;
        bytes <= BYTES_MAX
    });
    for (_, path) in &kept {
        let to = places.committed.join(path.file_name().unwrap_or_default());
        fs::copy(path, &to).map_err(|e| format!("{}: {e}", to.display()))?;
    }
    cmd::say(&format!(
        "{} of {found} inputs are kept in {}",
        kept.len(),
        places.committed.display()
    ));
    Ok(())
}

fn is_by_hand(name: &str) -> bool {
    name.starts_with("seed-") || name.starts_with("regression-")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}
