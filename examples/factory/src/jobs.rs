//! The jobs: a backup of the queue, and an index of notes.
//!
//! Invariants: both end; what they write appears under its name only when it is whole; at most so
//! many backups are kept.
//! Deliberately absent: a schedule. When they run is the fleet file's business.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::args::Args;
use crate::{Failure, say};

/// Backups that are kept.
const BACKUPS_KEPT: usize = 3;
/// Notes beyond this many are left out, and that is said.
const NOTES_MAX: usize = 1_000;
/// Shortest word that is indexed, in characters.
const WORD_CHARS_MIN: usize = 4;

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |error| format!("{}: {error}", path.display())
}

/// `factory backup`: a copy of the queue while it is in use.
pub(crate) fn backup(args: &Args) -> Result<ExitCode, Failure> {
    let data = args.path("data")?;
    let (from, folder) = (data.join("queue.sqlite"), data.join("backup"));
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let db = Connection::open_with_flags(&from, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|e| format!("{}: {e}", from.display()))?;
    let last = numbers(&folder)?.last().copied().unwrap_or(0);
    let (partial, whole) = (folder.join("partial"), named(&folder, last + 1));
    // One that was cut short is of no use.
    let _ = fs::remove_file(&partial);
    db.execute("vacuum into ?1", [partial.to_string_lossy()])
        .map_err(|e| format!("{}: {e}", partial.display()))?;
    fs::rename(&partial, &whole).map_err(failed(&whole))?;
    let numbers: Vec<u64> = numbers(&folder)?.into_iter().collect();
    for old in numbers.iter().rev().skip(BACKUPS_KEPT) {
        let path = named(&folder, *old);
        fs::remove_file(&path).map_err(failed(&path))?;
    }
    let size = fs::metadata(&whole).map_err(failed(&whole))?.len();
    say::news(&format!("saved {} ({size} bytes)", whole.display()));
    Ok(ExitCode::SUCCESS)
}

fn named(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("queue-{number:04}.sqlite"))
}

/// Numbers of the backups that are there.
fn numbers(folder: &Path) -> Result<BTreeSet<u64>, Failure> {
    let entries = fs::read_dir(folder).map_err(failed(folder))?;
    let number = |name: String| {
        let number = name.strip_prefix("queue-")?.strip_suffix(".sqlite")?;
        number.parse().ok()
    };
    let names = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    Ok(names.filter_map(number).collect())
}

/// `factory index`: which words are in which notes.
pub(crate) fn index(args: &Args) -> Result<ExitCode, Failure> {
    let data = args.path("data")?;
    let (notes, path) = (data.join("notes"), data.join("index.json"));
    for changed in changed() {
        say::news(&format!("changed: {changed}"));
    }
    let index = words(&notes)?;
    let count: BTreeSet<&String> = index.values().flatten().collect();
    let text = json!(index).to_string();
    let partial = data.join("index.partial");
    fs::write(&partial, text).map_err(failed(&partial))?;
    fs::rename(&partial, &path).map_err(failed(&path))?;
    say::news(&format!(
        "indexed {} words of {} notes",
        index.len(),
        count.len()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Paths that changed, if that is why it runs.
fn changed() -> Vec<String> {
    let list = std::env::var("EUD_PATHS").ok();
    let text = list.and_then(|path| fs::read_to_string(path).ok());
    let text = text.unwrap_or_default();
    text.lines().take(10).map(str::to_owned).collect()
}

fn words(notes: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let mut index: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let entries = match fs::read_dir(notes) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(index),
        Err(error) => return Err(failed(notes)(error)),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "md"));
    paths.sort();
    if paths.len() > NOTES_MAX {
        say::trouble(&format!(
            "more than {NOTES_MAX} notes; the rest is left out"
        ));
    }
    for path in paths.iter().take(NOTES_MAX) {
        let text = fs::read_to_string(path).map_err(failed(path))?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
        let words = text.split(|c: char| !c.is_alphanumeric());
        for word in words.filter(|word| word.chars().count() >= WORD_CHARS_MIN) {
            let notes = index.entry(word.to_lowercase()).or_default();
            notes.extend(name.clone());
        }
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_their_notes() {
        let folder = std::env::temp_dir().join(format!("factory-notes-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("a.md"), "Vault, vault and a key").expect("a note");
        fs::write(folder.join("b.md"), "the VAULT").expect("a note");
        fs::write(folder.join("c.txt"), "vault").expect("no note");
        let index = words(&folder).expect("an index");
        assert_eq!(index.len(), 1);
        assert_eq!(
            index["vault"],
            BTreeSet::from(["a.md".into(), "b.md".into()])
        );
        assert!(words(&folder.join("none")).expect("no notes").is_empty());
        fs::remove_dir_all(&folder).expect("gone");
    }
}
