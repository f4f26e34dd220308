//! Reading files, and finding those that a file includes.
//!
//! Purpose: texts of the main file and of all it includes, each once.
//! Invariants: the number, size and depth of files are bounded; a file is never read into itself.
//! Deliberately absent: what is in the files.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Largest file in bytes: 4 MiB.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;
/// Most files of one fleet.
pub(crate) const FILES_MAX: usize = 1_000;
/// Largest size of all files of a fleet together: 64 MiB.
pub(crate) const BYTES_MAX: usize = 64 << 20;
/// Deepest chain of includes.
pub(crate) const DEPTH_MAX: usize = 8;
/// Most folders below one `**`.
const FOLDERS_MAX: usize = 10_000;

/// A text, or why there is none.
pub(crate) enum Contents {
    Text(String),
    /// Text with replacement characters, and where the first invalid byte was.
    NotUtf8(String, usize),
    /// A reason that follows the file's name.
    Failed(String),
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Contents {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Contents::Failed("does not exist".into()),
        std::io::ErrorKind::PermissionDenied => Contents::Failed("may not be read".into()),
        _ => Contents::Failed(format!("cannot be read: {error}")),
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return failed(error),
    };
    if metadata.is_dir() {
        return Contents::Failed("is a folder".into());
    }
    // A pipe or a device could keep the reader for ever.
    if !metadata.is_file() {
        return Contents::Failed("is not a regular file".into());
    }
    let mut bytes = Vec::new();
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) => return failed(error),
    };
    if let Err(error) = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes) {
        return failed(error);
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Contents::Failed(format!("is larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Contents::Text(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Contents::NotUtf8(String::from_utf8_lossy(error.as_bytes()).into_owned(), at)
        }
    }
}

/// Whether a path holds a glob.
pub(crate) fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '{'])
}

/// What a glob found.
pub(crate) struct Found {
    /// Files, sorted.
    pub(crate) files: Vec<PathBuf>,
    /// The folder in which it looked, when that does not exist.
    pub(crate) missing: Option<PathBuf>,
}

/// Files that match `pattern`, relative to `folder`. Names that begin with a dot match only a
/// pattern that does.
///
/// # Errors
/// The reason, when the pattern is not a valid glob.
pub(crate) fn find(folder: &Path, pattern: &str) -> Result<Found, String> {
    let parts: Vec<&str> = pattern
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let literal = parts.iter().take_while(|part| !is_glob(part)).count();
    let mut root = if pattern.starts_with('/') {
        PathBuf::from("/")
    } else {
        folder.to_owned()
    };
    let (fixed, globbed) = parts.split_at(literal);
    root.extend(fixed);
    let steps: Vec<Step> = globbed
        .iter()
        .map(|part| step(part))
        .collect::<Result<_, _>>()?;
    if !root.is_dir() {
        return Ok(Found {
            files: Vec::new(),
            missing: Some(root),
        });
    }
    let mut files = Vec::new();
    let mut budget = FOLDERS_MAX;
    walk(&root, &steps, &mut files, &mut budget);
    files.sort();
    files.dedup();
    Ok(Found {
        files,
        missing: None,
    })
}

enum Step {
    /// `**`: any folders.
    Any,
    Name(GlobMatcher, bool),
}

fn step(part: &str) -> Result<Step, String> {
    if part == "**" {
        return Ok(Step::Any);
    }
    let glob = GlobBuilder::new(part).literal_separator(true).build();
    let glob = glob.map_err(|error| error.kind().to_string())?;
    Ok(Step::Name(glob.compile_matcher(), part.starts_with('.')))
}

fn walk(folder: &Path, steps: &[Step], files: &mut Vec<PathBuf>, budget: &mut usize) {
    let Some((first, rest)) = steps.split_first() else {
        return;
    };
    *budget = budget.saturating_sub(1);
    if *budget == 0 || files.len() > FILES_MAX {
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<fs::DirEntry> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    if matches!(first, Step::Any) {
        walk(folder, rest, files, budget);
    }
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let hidden = name.to_string_lossy().starts_with('.');
        match first {
            // Not through symbolic links, which may lead round in a circle.
            Step::Any if !hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) => {
                walk(&path, steps, files, budget);
            }
            Step::Name(glob, dotted) if glob.is_match(&name) && (*dotted || !hidden) => {
                if !rest.is_empty() {
                    walk(&path, rest, files, budget);
                } else if path.is_file() {
                    files.push(path);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_find_files_in_order_and_skip_hidden_ones() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "b.toml",
            "a.toml",
            ".c.toml",
            "d.txt",
            "sub/e.toml",
            "sub/deep/f.toml",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern| -> Vec<String> {
            let files = find(folder.path(), pattern).unwrap().files;
            files
                .iter()
                .map(|f| f.strip_prefix(folder.path()).unwrap().display().to_string())
                .collect()
        };
        assert_eq!(found("*.toml"), ["a.toml", "b.toml"]);
        assert_eq!(found(".*.toml"), [".c.toml"]);
        assert_eq!(found("./sub/*.toml"), ["sub/e.toml"]);
        assert_eq!(
            found("**/*.toml"),
            ["a.toml", "b.toml", "sub/deep/f.toml", "sub/e.toml"]
        );
        assert_eq!(found("*/e.toml"), ["sub/e.toml"]);
        assert!(find(folder.path(), "nowhere/*").unwrap().missing.is_some());
        assert!(find(folder.path(), "[").is_err());
    }
}
