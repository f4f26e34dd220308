//! What a run of a job is told about its fire.
//!
//! Purpose: `EUD_TRIGGER`, `EUD_FIRE_TIME`, `EUD_ATTEMPT`, and for changed paths `EUD_PATHS` and
//! `EUD_PATHS0`.
//! Invariants: a path is listed once, in the order of its bytes; a name with a newline in it is
//! only in the list whose entries end with NUL, so that no name can pass itself off as two; how
//! many are listed is bounded, and a list that is cut off or incomplete is said to be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use eud_core::record::Fire;

use crate::clock;
use crate::watch::folder::{Folder, Reading};
use crate::watch::records::{PathBytes, Record};

/// Paths that a run is told.
pub const FIRE_PATHS_MAX: usize = 1_000_000;

/// Files in the run's folder: one path a line, and each ended by NUL.
const LINES: &str = "paths";
const NULS: &str = "paths0";

/// Variables for a run of this fire; the paths are written into the run's folder.
pub(super) fn environment(
    fire: &Fire,
    folder: &Folder,
    run: &Path,
) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::from([
        ("EUD_TRIGGER".to_owned(), fire.trigger.as_str().to_owned()),
        ("EUD_FIRE_TIME".to_owned(), clock::rfc3339(fire.due_ms)),
        ("EUD_ATTEMPT".to_owned(), fire.attempt.to_string()),
    ]);
    if fire.batches.is_empty() {
        return Ok(env);
    }
    let is_whole = write_paths(fire, folder, run)
        .map_err(|e| format!("cannot write the changed paths in {}: {e}", run.display()))?;
    for (name, file) in [("EUD_PATHS", LINES), ("EUD_PATHS0", NULS)] {
        let path = run.join(file).to_string_lossy().into_owned();
        env.insert(name.to_owned(), path);
    }
    if !is_whole {
        env.insert("EUD_PATHS_TRUNCATED".to_owned(), "1".to_owned());
    }
    Ok(env)
}

/// For the fuzzer: both lists of the paths in one batch.
pub(crate) fn paths_of(
    layout: &crate::layout::Layout,
    daemon: &str,
    batch: &str,
    run: &Path,
) -> Result<(Vec<u8>, Vec<u8>), String> {
    let fire = Fire {
        batches: vec![batch.to_owned()],
        ..Fire::default()
    };
    environment(&fire, &Folder::new(layout, daemon), run)?;
    let read = |name| std::fs::read(run.join(name)).map_err(|e| e.to_string());
    Ok((read(LINES)?, read(NULS)?))
}

/// False when paths are missing.
fn write_paths(fire: &Fire, folder: &Folder, run: &Path) -> io::Result<bool> {
    let mut is_whole = true;
    let mut sources: Vec<Source> = Vec::new();
    for id in &fire.batches {
        match folder.open(id) {
            Ok((_, reading)) => sources.push(Source::new(reading)),
            // A power cut took it.
            Err(_) => is_whole = false,
        }
    }
    let mut lines = list(&run.join(LINES))?;
    let mut nuls = list(&run.join(NULS))?;
    let mut count = 0;
    while let Some(path) = least(&mut sources) {
        count += 1;
        if count > FIRE_PATHS_MAX {
            is_whole = false;
            break;
        }
        nuls.write_all(&path)?;
        nuls.write_all(b"\0")?;
        if !path.contains(&b'\n') {
            lines.write_all(&path)?;
            lines.write_all(b"\n")?;
        }
    }
    lines.flush()?;
    nuls.flush()?;
    Ok(is_whole && sources.iter().all(|source| source.is_whole))
}

fn list(path: &Path) -> io::Result<BufWriter<File>> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    Ok(BufWriter::new(options.open(path)?))
}

/// The paths of one batch, in order.
struct Source {
    reading: Reading,
    next: Option<PathBytes>,
    is_whole: bool,
}

impl Source {
    fn new(reading: Reading) -> Self {
        let mut source = Self {
            reading,
            next: None,
            is_whole: true,
        };
        source.advance();
        source
    }

    fn advance(&mut self) {
        self.next = loop {
            match self.reading.next() {
                Ok(Some(record)) => match record {
                    Record::There(_, _, path)
                    | Record::Gone(path)
                    | Record::Renamed(_, path, _)
                    | Record::Left(path) => break Some(path),
                    Record::More(_) => self.is_whole = false,
                    Record::End => break None,
                    Record::Device(..) | Record::Told(_) => {}
                },
                Ok(None) | Err(_) => {
                    self.is_whole = false;
                    break None;
                }
            }
        };
    }
}

/// Takes the least path out of all sources that have it.
fn least(sources: &mut [Source]) -> Option<PathBytes> {
    let next = sources.iter().filter_map(|source| source.next.as_ref());
    let least = next.min()?.clone();
    for source in sources {
        if source.next.as_ref() == Some(&least) {
            source.advance();
        }
    }
    Some(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use eud_core::io::Batch;
    use eud_core::record::Trigger;

    fn write(folder: &Folder, id: &str, paths: &[&str], more: u64) {
        let mut writing = folder.begin(id, &Batch::default()).unwrap();
        for path in paths {
            let path = path.as_bytes().into();
            writing.write(&Record::Gone(path)).unwrap();
        }
        if more > 0 {
            writing.write(&Record::More(more)).unwrap();
        }
        writing.finish().unwrap();
    }

    fn fire(batches: &[&str]) -> Fire {
        Fire {
            due_ms: 1_000,
            trigger: Trigger::Watch,
            attempt: 2,
            batches: batches.iter().map(|&id| id.to_owned()).collect(),
            ..Fire::default()
        }
    }

    const A: &str = "0000000000000001";
    const B: &str = "0000000000000002";

    #[test]
    fn paths_of_all_batches_are_listed_once_and_newlines_pass_for_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&Layout::new(dir.path()), "a");
        write(&folder, A, &["/a", "/b\n/etc/passwd", "/c"], 0);
        write(&folder, B, &["/a", "/aa", "/d"], 0);
        folder.take(B);
        let env = environment(&fire(&[A, B]), &folder, dir.path()).unwrap();
        assert_eq!(env["EUD_TRIGGER"], "watch");
        assert_eq!(env["EUD_FIRE_TIME"], "1970-01-01T00:00:01.000Z");
        assert_eq!(env["EUD_ATTEMPT"], "2");
        assert!(!env.contains_key("EUD_PATHS_TRUNCATED"));
        let lines = std::fs::read_to_string(&env["EUD_PATHS"]).unwrap();
        assert_eq!(lines, "/a\n/aa\n/c\n/d\n");
        let nuls = std::fs::read_to_string(&env["EUD_PATHS0"]).unwrap();
        assert_eq!(nuls, "/a\0/aa\0/b\n/etc/passwd\0/c\0/d\0");
    }

    #[test]
    fn lists_that_miss_something_say_so() {
        for (more, ids) in [(1, vec![A]), (0, vec![A, B])] {
            let dir = tempfile::tempdir().unwrap();
            let folder = Folder::new(&Layout::new(dir.path()), "a");
            write(&folder, A, &["/a"], more);
            let env = environment(&fire(&ids), &folder, dir.path()).unwrap();
            assert_eq!(env["EUD_PATHS_TRUNCATED"], "1");
            assert_eq!(std::fs::read(&env["EUD_PATHS"]).unwrap(), b"/a\n");
        }
    }

    #[test]
    fn a_fire_without_paths_has_no_lists() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&Layout::new(dir.path()), "a");
        let env = environment(&fire(&[]), &folder, dir.path()).unwrap();
        assert_eq!(env.len(), 3);
    }
}
