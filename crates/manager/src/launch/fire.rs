//! What a run of a job is told about its fire.
//!
//! Purpose: `EUD_TRIGGER`, `EUD_FIRE_TIME`, `EUD_ATTEMPT`, for changed paths `EUD_PATHS` and
//! `EUD_PATHS0`, and for events `EUD_EVENTS`.
//! Invariants: a path is listed once, in the order of its bytes; a name with a newline in it is
//! only in the list whose entries end with NUL, so that no name can pass itself off as two; how
//! many are listed is bounded, and a list that is cut off or incomplete is said to be; events are
//! listed in their order, each a CloudEvent in JSON on a line of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use eud_core::record::Fire;
use eud_store::Store;

use crate::clock;
use crate::watch::folder::{Folder, Reading};
use crate::watch::records::{PathBytes, Record};

/// Paths that a run is told.
pub const FIRE_PATHS_MAX: usize = 1_000_000;

/// Files in the run's folder: one path a line, and each ended by NUL.
const LINES: &str = "paths";
const NULS: &str = "paths0";

/// File in the run's folder: one event a line.
const EVENTS: &str = "events.jsonl";

/// Variables for a run of this fire; paths and events are written into the run's folder.
pub(super) fn environment(
    fire: &Fire,
    folder: &Folder,
    database: &Path,
    run: &Path,
) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::from([
        ("EUD_TRIGGER".to_owned(), fire.trigger.as_str().to_owned()),
        ("EUD_FIRE_TIME".to_owned(), clock::rfc3339(fire.due_ms)),
        ("EUD_ATTEMPT".to_owned(), fire.attempt.to_string()),
    ]);
    if !fire.events.is_empty() {
        let is_whole = write_events(fire, database, run)
            .map_err(|why| format!("cannot write the events in {}: {why}", run.display()))?;
        let path = run.join(EVENTS).to_string_lossy().into_owned();
        env.insert("EUD_EVENTS".to_owned(), path);
        if !is_whole {
            env.insert("EUD_EVENTS_TRUNCATED".to_owned(), "1".to_owned());
        }
    }
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

/// False when an event is not kept any more.
fn write_events(fire: &Fire, database: &Path, run: &Path) -> Result<bool, String> {
    let reader = Store::open_read_only(database).map_err(|e| e.to_string())?;
    let mut seqs = fire.events.clone();
    seqs.sort_unstable();
    seqs.dedup();
    let mut lines = list(&run.join(EVENTS)).map_err(|e| e.to_string())?;
    let mut is_whole = true;
    for seq in seqs {
        match reader.event(seq).map_err(|e| e.to_string())? {
            Some(event) => writeln!(lines, "{}", event.to_cloudevent()),
            None => {
                is_whole = false;
                Ok(())
            }
        }
        .map_err(|e| e.to_string())?;
    }
    lines.flush().map_err(|e| e.to_string())?;
    Ok(is_whole)
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
    let folder = Folder::new(layout, daemon);
    environment(&fire, &folder, &layout.database(), run)?;
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
    use std::sync::Arc;

    use super::*;
    use crate::layout::Layout;
    use eud_core::event::Event;
    use eud_core::io::{Batch, BusPersist, Persist};
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

    /// What is not about events needs none.
    fn no_database() -> std::path::PathBuf {
        "/no/such/state.db".into()
    }

    #[test]
    fn events_are_listed_in_order_and_those_not_kept_are_said_to_be_missing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let mut store = Store::open(&layout.database()).unwrap();
        let event = |seq| {
            let event = Event {
                seq,
                id: format!("id {seq}"),
                source: "test".into(),
                kind: "a.b".into(),
                data: serde_json::json!({"line": "one\ntwo"}),
                ..Event::default()
            };
            let event = Arc::new(event);
            Persist::Bus(BusPersist::Event {
                event,
                content: None,
            })
        };
        store.apply(&[event(3), event(5), event(4)]).unwrap();
        let folder = Folder::new(&layout, "a");
        for (events, truncated) in [(vec![5, 3, 4], false), (vec![2, 4, 3, 5], true)] {
            let run = tempfile::tempdir().unwrap();
            let about = Fire {
                events,
                ..fire(&[])
            };
            let env = environment(&about, &folder, &layout.database(), run.path()).unwrap();
            assert_eq!(env.contains_key("EUD_EVENTS_TRUNCATED"), truncated);
            let text = std::fs::read_to_string(&env["EUD_EVENTS"]).unwrap();
            let ids = text.lines().map(|line| {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                event["id"].as_str().unwrap().to_owned()
            });
            assert_eq!(ids.collect::<Vec<_>>(), ["id 3", "id 4", "id 5"]);
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
        let env = environment(&fire(&[A, B]), &folder, &no_database(), dir.path()).unwrap();
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
            let env = environment(&fire(&ids), &folder, &no_database(), dir.path()).unwrap();
            assert_eq!(env["EUD_PATHS_TRUNCATED"], "1");
            assert_eq!(std::fs::read(&env["EUD_PATHS"]).unwrap(), b"/a\n");
        }
    }

    #[test]
    fn a_fire_without_paths_has_no_lists() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&Layout::new(dir.path()), "a");
        let env = environment(&fire(&[]), &folder, &no_database(), dir.path()).unwrap();
        assert_eq!(env.len(), 3);
    }
}
