//! Watching real folders: what is told, and what is not.
//!
//! A channel stands in for the engine. What shall not be told is shown by what is told next.

mod limits;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use eud_core::fleet::{Watch, WatchEvent};
use eud_core::io::{Batch, Input};
use eud_core::record::{Book, Fire};
use tokio::sync::mpsc;

use super::Watches;
use super::folder::Folder;
use super::records::{PathBytes, Record};
use crate::diary::Diary;
use crate::layout::Layout;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a batch says of each path: `c`, `m`, `d`, or `r OLD`.
type Told = BTreeMap<String, String>;

struct Place {
    dir: tempfile::TempDir,
    layout: Layout,
    runtime: tokio::runtime::Runtime,
    watches: Option<Watches>,
    inputs: mpsc::Receiver<Input>,
    /// Batches that were told before something else that was waited for.
    early: VecDeque<Batch>,
    diary: Arc<Diary>,
}

impl Place {
    fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap(), 1_000)
    }

    /// Where many files cost little. So many inputs wait for the engine at most.
    fn in_memory(inputs: usize) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::at(dir.unwrap(), inputs)
    }

    fn at(dir: tempfile::TempDir, inputs: usize) -> Self {
        let layout = Layout::new(dir.path().join("state"));
        fs::create_dir(layout.root()).unwrap();
        fs::create_dir(dir.path().join("w")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let diary = Arc::new(Diary::open(&layout.manager_log()).unwrap());
        let (sender, inputs) = mpsc::channel(inputs);
        let watches = Watches::new(layout.clone(), sender, Arc::clone(&diary));
        Self {
            dir,
            layout,
            runtime,
            watches: Some(watches),
            inputs,
            early: VecDeque::new(),
            diary,
        }
    }

    /// A path below the root.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("w").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn spec(&self) -> Watch {
        self.spec_of(&["w"])
    }

    fn spec_of(&self, roots: &[&str]) -> Watch {
        let path = |root: &&str| self.dir.path().join(root).to_string_lossy().into_owned();
        Watch {
            paths: roots.iter().map(path).collect(),
            debounce_ms: 50,
            poll_ms: 50,
            ..Watch::default()
        }
    }

    fn watch(&mut self, watch: Watch) {
        self.order(Some(watch), &[]);
    }

    fn order(&mut self, watch: Option<Watch>, keep: &[&str]) {
        let keep = keep.iter().map(|&id| id.to_owned()).collect();
        self.watches.as_mut().unwrap().watch("a", watch, keep);
    }

    /// Watches, and says what is not as it should be. All that is there counts as known by then.
    fn begin(&mut self, watch: Watch) -> Option<String> {
        self.watch(watch);
        self.problem()
    }

    fn next(&mut self) -> Input {
        let next = async { tokio::time::timeout(PATIENCE, self.inputs.recv()).await };
        let next = self.runtime.block_on(next);
        next.expect("something is told in time").unwrap()
    }

    /// The next that is told of how it is watched.
    fn problem(&mut self) -> Option<String> {
        loop {
            match self.next() {
                Input::Watching { problem, .. } => return problem,
                Input::Changed { batch, .. } => self.early.push_back(batch),
                other => panic!("{other:?}"),
            }
        }
    }

    fn batch(&mut self) -> Batch {
        if let Some(early) = self.early.pop_front() {
            return early;
        }
        loop {
            if let Input::Changed { daemon, batch } = self.next() {
                assert_eq!(daemon, "a");
                return batch;
            }
        }
    }

    /// What the next batch tells, by names below the root.
    fn told(&mut self) -> Told {
        let batch = self.batch();
        let told = self.read(&batch);
        self.drop_batch(&batch);
        told
    }

    /// Collects batches until one tells of this name.
    fn told_until(&mut self, name: &str) -> Told {
        let mut all = Told::new();
        while !all.contains_key(name) {
            all.extend(self.told());
        }
        all
    }

    fn drop_batch(&mut self, batch: &Batch) {
        let batches = vec![batch.id.clone()];
        self.watches.as_mut().unwrap().drop_batches("a", batches);
    }

    fn read(&self, batch: &Batch) -> Told {
        let root = self.path("");
        let name = |path: &PathBytes| {
            let path = String::from_utf8_lossy(path).into_owned();
            let below = Path::new(&path).strip_prefix(&root);
            below.map_or(path.clone(), |p| p.to_string_lossy().into_owned())
        };
        let (head, mut records) = Folder::new(&self.layout, "a").open(&batch.id).unwrap();
        assert_eq!(&head, batch);
        let mut told = Told::new();
        let mut count = 0;
        loop {
            let (path, how) = match records.next().unwrap().unwrap() {
                Record::There(WatchEvent::Create, _, path) => (path, "c".to_owned()),
                Record::There(_, _, path) => (path, "m".to_owned()),
                Record::Gone(path) => (path, "d".to_owned()),
                Record::Renamed(_, path, old) => (path, format!("r {}", name(&old))),
                Record::Left(_) => continue,
                Record::More(more) => {
                    count += more;
                    continue;
                }
                Record::End => break,
                other => panic!("{other:?}"),
            };
            count += 1;
            told.insert(name(&path), how);
        }
        assert_eq!(count, batch.count);
        assert!(batch.first_ms <= batch.last_ms);
        told
    }

    /// The manager is killed: nothing is written down.
    fn restart(&mut self, is_killed: bool) {
        let watches = self.watches.take().unwrap();
        let saved = self.dir.path().join("saved");
        if is_killed {
            copy(&self.layout.watch("a"), &saved);
        }
        drop(watches);
        if is_killed {
            fs::remove_dir_all(self.layout.watch("a")).unwrap();
            fs::rename(&saved, self.layout.watch("a")).unwrap();
        }
        let (sender, inputs) = mpsc::channel(100);
        self.inputs = inputs;
        let watches = Watches::new(self.layout.clone(), sender, Arc::clone(&self.diary));
        self.watches = Some(watches);
    }
}

/// Looks until there is something.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn told(pairs: &[(&str, &str)]) -> Told {
    let pairs = pairs.iter();
    pairs
        .map(|(path, how)| ((*path).to_owned(), (*how).to_owned()))
        .collect()
}

#[test]
fn every_kind_of_change_is_told_and_what_was_there_is_not() {
    let mut place = Place::new();
    for name in ["old", "gone", "a/moved", "same"] {
        place.write(name, name);
    }
    assert_eq!(place.begin(place.spec()), None);
    place.write("new", "x");
    place.write("old", "changed");
    fs::remove_file(place.path("gone")).unwrap();
    fs::rename(place.path("a/moved"), place.path("b")).unwrap();
    // Removed before it could be told; permissions are not contents.
    place.write("short", "x");
    fs::remove_file(place.path("short")).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(place.path("same"), open).unwrap();
    place.write("zz", "x");
    let expected = [
        ("new", "c"),
        ("old", "m"),
        ("gone", "d"),
        ("b", "r a/moved"),
        ("zz", "c"),
    ];
    assert_eq!(place.told_until("zz"), told(&expected));
}

#[test]
fn only_kinds_that_are_asked_for_are_told() {
    let mut place = Place::new();
    for name in ["m", "d", "r"] {
        place.write(name, name);
    }
    let events = [WatchEvent::Create, WatchEvent::Delete].into();
    place.begin(Watch {
        events,
        ..place.spec()
    });
    place.write("m", "changed");
    fs::remove_file(place.path("d")).unwrap();
    // Where renames are not asked for, they are what they look like.
    fs::rename(place.path("r"), place.path("s")).unwrap();
    let expected = [("d", "d"), ("r", "d"), ("s", "c")];
    assert_eq!(place.told_until("s"), told(&expected));
}

#[test]
fn a_file_saved_by_renaming_over_it_was_modified() {
    let mut place = Place::new();
    place.write("doc.md", "one");
    let ignore = vec!["*.tmp".to_owned()];
    place.begin(Watch {
        ignore,
        ..place.spec()
    });
    place.write("doc.md.tmp", "two");
    fs::rename(place.path("doc.md.tmp"), place.path("doc.md")).unwrap();
    assert_eq!(place.told(), told(&[("doc.md", "m")]));
    // With a copy of the old one kept beside, as some editors do.
    fs::rename(place.path("doc.md"), place.path("doc.md~")).unwrap();
    place.write("doc.md", "three");
    let expected = [("doc.md", "m"), ("doc.md~", "c")];
    assert_eq!(place.told(), told(&expected));
    // The same length within the same tick of the clock.
    place.write("doc.md", "3hree");
    assert_eq!(place.told(), told(&[("doc.md", "m")]));
}

#[test]
fn new_folders_are_looked_into_and_moved_ones_take_their_files_along() {
    let mut place = Place::new();
    place.write("d/e/f", "x");
    place.begin(place.spec());
    place.write("n/m/o/p", "x");
    assert_eq!(place.told_until("n/m/o/p"), told(&[("n/m/o/p", "c")]));
    fs::rename(place.path("d"), place.path("n/d")).unwrap();
    assert_eq!(place.told(), told(&[("n/d/e/f", "r d/e/f")]));
    // It is watched where it is now.
    place.write("n/d/e/f", "changed");
    assert_eq!(place.told(), told(&[("n/d/e/f", "m")]));
    fs::remove_dir_all(place.path("n")).unwrap();
    let expected = [("n/d/e/f", "d"), ("n/m/o/p", "d")];
    let mut all = Told::new();
    while all.len() < 2 {
        all.extend(place.told());
    }
    assert_eq!(all, told(&expected));
}

#[test]
fn ignore_files_are_heeded_and_read_again_when_they_change() {
    let mut place = Place::new();
    place.write(".gitignore", "dist\n/top\n*.log\n!keep.log\n");
    place.write("sub/.gitignore", "!x.log\ninner/\n");
    place.write(".git/HEAD", "x");
    place.write("was/f", "x");
    let gitignore = true;
    place.begin(Watch {
        gitignore,
        ..place.spec()
    });
    for name in [
        ".git/index",
        ".github/a",
        "dist/a",
        "distribution.ts",
        "top",
        "sub/top",
        "a.log",
        "keep.log",
        "sub/x.log",
        "sub/y.log",
        "sub/inner/a",
        "inner/a",
        "zz",
    ] {
        place.write(name, "x");
    }
    let expected = [
        ".github/a",
        "distribution.ts",
        "inner/a",
        "keep.log",
        "sub/top",
        "sub/x.log",
        "zz",
    ]
    .map(|name| (name, "c"));
    assert_eq!(place.told_until("zz"), told(&expected));

    // By other rules: what counts now is not told for that reason, but from now on.
    place.write(".gitignore", "was\n");
    assert_eq!(place.told(), told(&[(".gitignore", "m")]));
    place.write("was/f", "changed");
    place.write("a.log", "changed");
    place.write("dist/a", "changed");
    let expected = [("a.log", "m"), ("dist/a", "m")];
    let mut all = place.told();
    while all.len() < 2 {
        all.extend(place.told());
    }
    assert_eq!(all, told(&expected));
}

#[test]
fn the_state_directory_never_counts_by_whatever_way() {
    let mut place = Place::new();
    symlink(place.layout.root(), place.path("link")).unwrap();
    let state = place.layout.root().to_owned();
    // The root holds the state directory.
    place.begin(place.spec_of(&[""]));
    fs::write(state.join("heartbeat"), "x").unwrap();
    place.write("a", "x");
    assert_eq!(place.told(), told(&[("a", "c")]));
    // A root that is the state directory, or leads there.
    place.watch(place.spec_of(&["w/link"]));
    let problem = place.problem().unwrap();
    assert!(problem.contains("state directory"), "{problem}");
}

#[test]
fn extensions_choose() {
    let mut place = Place::new();
    let extensions = ["md".to_owned(), "test.ts".to_owned()].into();
    place.begin(Watch {
        extensions,
        ..place.spec()
    });
    for name in ["a.ts", "a.test.ts", "md", "x/b.md"] {
        place.write(name, "x");
    }
    let expected = [("a.test.ts", "c"), ("x/b.md", "c")];
    assert_eq!(place.told_until("x/b.md"), told(&expected));
}

#[test]
fn a_root_that_comes_later_is_waited_for_without_asking() {
    let mut place = Place::new();
    let root = "w/not/yet/there";
    let spec = place.spec_of(&[root]);
    let problem = place.begin(Watch {
        poll_ms: 1_000_000,
        ..spec
    });
    assert!(problem.unwrap().ends_with("there` does not exist"));
    place.write("not/yet/there/f", "x");
    assert_eq!(place.problem(), None);
    assert_eq!(place.told(), told(&[("not/yet/there/f", "c")]));
}

#[test]
fn a_root_that_goes_and_comes_back_tells_what_differs() {
    let mut place = Place::new();
    for name in ["r/same", "r/changed", "r/gone"] {
        place.write(name, "x");
    }
    place.begin(place.spec_of(&["w/r"]));
    fs::rename(place.path("r"), place.path("elsewhere")).unwrap();
    assert!(place.problem().unwrap().contains("does not exist"));
    place.write("elsewhere/changed", "other");
    fs::remove_file(place.path("elsewhere/gone")).unwrap();
    place.write("elsewhere/new", "x");
    fs::rename(place.path("elsewhere"), place.path("r")).unwrap();
    assert_eq!(place.problem(), None);
    let expected = [("r/changed", "m"), ("r/gone", "d"), ("r/new", "c")];
    assert_eq!(place.told(), told(&expected));
    // It is watched again.
    place.write("r/same", "changed");
    assert_eq!(place.told(), told(&[("r/same", "m")]));
}

#[test]
fn a_root_that_is_removed_whole_is_a_problem_and_no_deletion() {
    let mut place = Place::new();
    place.write("r/a/f", "x");
    place.write("r/g", "x");
    let debounce_ms = 300;
    let spec = place.spec_of(&["w/r"]);
    place.begin(Watch {
        debounce_ms,
        ..spec
    });
    fs::remove_dir_all(place.path("r")).unwrap();
    assert!(place.problem().unwrap().contains("does not exist"));
    place.write("r/h", "x");
    assert_eq!(place.problem(), None);
    let expected = [("r/a/f", "d"), ("r/g", "d"), ("r/h", "c")];
    assert_eq!(place.told(), told(&expected));
}

#[test]
fn a_root_may_be_a_file() {
    let mut place = Place::new();
    place.write("conf", "one");
    place.begin(place.spec_of(&["w/conf"]));
    place.write("beside", "x");
    place.write("conf", "two");
    assert_eq!(place.told(), told(&[("conf", "m")]));
    place.write("conf.tmp", "three");
    fs::rename(place.path("conf.tmp"), place.path("conf")).unwrap();
    assert_eq!(place.told(), told(&[("conf", "m")]));
    fs::remove_file(place.path("conf")).unwrap();
    assert!(place.problem().unwrap().contains("does not exist"));
    assert_eq!(place.told(), told(&[("conf", "d")]));
    place.write("conf", "four");
    assert_eq!(place.problem(), None);
    assert_eq!(place.told(), told(&[("conf", "c")]));
}

#[test]
fn a_root_may_be_a_link_that_is_turned() {
    let mut place = Place::new();
    place.write("v1/f", "x");
    place.write("v2/f", "other");
    place.write("v2/g", "x");
    symlink("v1", place.path("now")).unwrap();
    place.begin(place.spec_of(&["w/now"]));
    symlink("v2", place.path("next")).unwrap();
    fs::rename(place.path("next"), place.path("now")).unwrap();
    let expected = [("now/f", "m"), ("now/g", "c")];
    assert_eq!(place.told(), told(&expected));
    fs::write(place.path("v2/g"), "changed").unwrap();
    assert_eq!(place.told(), told(&[("now/g", "m")]));
    fs::remove_file(place.path("now")).unwrap();
    symlink("gone", place.path("now")).unwrap();
    let mut problem = place.problem();
    while !problem.as_ref().is_some_and(|p| p.contains("is a link")) {
        problem = place.problem();
    }
}

#[test]
fn one_file_written_on_and_on_is_told_once_it_settles() {
    let mut place = Place::new();
    let settle_ms = 400;
    place.begin(Watch {
        settle_ms,
        ..place.spec()
    });
    place.write("big", "");
    place.write("small", "x");
    let path = place.path("big");
    let writer = std::thread::spawn(move || {
        for size in 0..30 {
            fs::write(&path, vec![b'x'; size]).unwrap();
            std::thread::sleep(Duration::from_millis(50));
        }
        std::time::Instant::now()
    });
    assert_eq!(place.told(), told(&[("small", "c")]));
    assert_eq!(place.told(), told(&[("big", "c")]));
    let written = writer.join().unwrap();
    assert!(written.elapsed() >= Duration::from_millis(settle_ms - 60));
}

#[test]
fn what_was_not_told_before_the_end_is_told_after_it_once() {
    for is_killed in [false, true] {
        let mut place = Place::new();
        for name in ["changed", "gone", "told"] {
            place.write(name, "x");
        }
        place.begin(place.spec());
        place.write("told", "changed");
        assert_eq!(place.told(), told(&[("told", "m")]));
        let spec = Watch {
            debounce_ms: 1_000_000,
            debounce_max_ms: 1_000_000,
            ..place.spec()
        };
        // The same paths, so what is known stays.
        place.begin(spec);
        place.write("pending", "x");
        place.restart(is_killed);
        place.write("meanwhile", "x");
        place.write("changed", "changed");
        fs::remove_file(place.path("gone")).unwrap();
        place.watch(place.spec());
        let mut all = Told::new();
        while all.len() < 4 {
            all.extend(place.told());
        }
        let expected = [
            ("pending", "c"),
            ("meanwhile", "c"),
            ("changed", "m"),
            ("gone", "d"),
        ];
        assert_eq!(all, told(&expected));
    }
}

#[test]
fn batches_nobody_took_are_told_again_and_those_taken_are_not() {
    let mut place = Place::new();
    place.begin(place.spec());
    place.write("kept", "x");
    let kept = place.batch();
    place.write("untaken", "x");
    let untaken = place.batch();
    place.write("done", "x");
    let done = place.batch();
    // The core made the first and the last durable; then it was done with the last, and the
    // manager died before it could be removed.
    let fire = |batch: &Batch| Fire {
        batches: vec![batch.id.clone()],
        ..Fire::default()
    };
    let book = Book {
        job: "a".into(),
        pending: vec![fire(&kept), fire(&done)],
        ..Book::default()
    };
    place.watches.as_mut().unwrap().taken(&book);
    place.restart(true);
    place.order(Some(place.spec()), &[&kept.id]);
    assert_eq!(place.batch(), untaken);
    place.write("next", "x");
    let next = place.batch();
    assert_eq!(place.read(&next), told(&[("next", "c")]));
    assert!(next.id > done.id);
    let folder = Folder::new(&place.layout, "a");
    assert!(folder.open(&kept.id).is_ok());
    assert!(folder.open(&done.id).is_err());
    // Nothing is watched any more: nothing stays but what is asked for.
    place.order(None, &[&kept.id]);
    place.order(Some(place.spec()), &[&kept.id]);
    place.problem();
    let left: Vec<_> = folder.list().into_iter().map(|found| found.id).collect();
    assert_eq!(left, [kept.id]);
}

#[test]
fn roots_within_roots_tell_a_change_once() {
    let mut place = Place::new();
    place.write("in/f", "x");
    let ignore = vec!["hidden".to_owned()];
    let spec = place.spec_of(&["w", "w/in", "w/hidden"]);
    place.begin(Watch { ignore, ..spec });
    place.write("in/f", "changed");
    assert_eq!(place.told(), told(&[("in/f", "m")]));
    // What one root ignores another may name.
    place.write("hidden/g", "x");
    place.write("in/f", "again");
    let mut all = place.told();
    while all.len() < 2 {
        all.extend(place.told());
    }
    assert_eq!(all, told(&[("hidden/g", "c"), ("in/f", "m")]));
}
