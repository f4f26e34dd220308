//! Files that match globs: how many, how large, how old.
//!
//! A glob is absolute. `*` and `?` stay within one name, `**` goes any number of folders deep,
//! names that begin with a dot are names like others. What counts is a regular file, or a link to
//! one. A link to a folder is not followed below the part of the glob that has no wildcards, so no
//! loop can lead anywhere.
//!
//! Invariants: each file counts once, however many globs it matches; at most [`ENTRIES_MAX`]
//! entries are looked at; a folder that cannot be read is an error, never an empty folder, for a
//! queue that nobody may look into is not empty. What vanishes while one looks was not there.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use eud_core::fleet::FileMeasure;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::Deadline;

/// Entries of folders that one sample looks at.
pub const ENTRIES_MAX: usize = 1_000_000;

/// The clock and the limits are looked at after every so many entries.
const LOOK_EVERY: usize = 256;

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    count: u64,
    bytes: u64,
    oldest: Option<SystemTime>,
    newest: Option<SystemTime>,
}

/// A folder to begin in, and how many levels below it can match.
#[derive(Debug, PartialEq, Eq)]
struct Root {
    path: PathBuf,
    levels: usize,
}

/// Measures the files that match.
pub(super) fn measure(
    globs: &[String],
    measure: FileMeasure,
    deadline: Deadline,
) -> Result<f64, String> {
    let matcher = matcher(globs)?;
    let mut walk = Walk {
        matcher,
        measure,
        deadline,
        entries: 0,
        found: Found::default(),
    };
    for root in roots(globs) {
        walk.from(&root)?;
    }
    walk.found.result(measure, SystemTime::now())
}

fn matcher(globs: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let built = GlobBuilder::new(glob).literal_separator(true).build();
        set.add(built.map_err(|e| format!("`{glob}`: {}", e.kind()))?);
    }
    set.build().map_err(|e| e.to_string())
}

/// Where to look for all of them. No root is below another.
fn roots(globs: &[String]) -> Vec<Root> {
    let mut roots: Vec<Root> = globs.iter().map(|glob| root(glob)).collect();
    roots.sort_by(|a, b| a.path.cmp(&b.path));
    let mut kept: Vec<Root> = Vec::new();
    for root in roots {
        // In this order a folder comes before all that is below it.
        let above = kept
            .iter_mut()
            .find(|above| root.path.starts_with(&above.path));
        match above {
            Some(above) => {
                let between = root.path.components().count() - above.path.components().count();
                above.levels = above.levels.max(root.levels.saturating_add(between));
            }
            None => kept.push(root),
        }
    }
    kept
}

fn root(glob: &str) -> Root {
    let parts: Vec<&str> = glob.split('/').filter(|part| !part.is_empty()).collect();
    let is_wild = |part: &&str| part.contains(['*', '?', '[', ']', '{', '}', '\\']);
    let plain = parts.iter().take_while(|part| !is_wild(part)).count();
    // Without wildcards the last part is the file itself.
    let plain = plain.min(parts.len().saturating_sub(1));
    let rest = &parts[plain..];
    // Alternatives may hold separators of their own.
    let is_deep = rest
        .iter()
        .any(|part| part.contains("**") || part.contains('{'));
    Root {
        path: Path::new("/").join(parts[..plain].join("/")),
        levels: if is_deep { usize::MAX } else { rest.len() },
    }
}

struct Walk {
    matcher: GlobSet,
    measure: FileMeasure,
    deadline: Deadline,
    entries: usize,
    found: Found,
}

impl Walk {
    fn from(&mut self, root: &Root) -> Result<(), String> {
        let mut todo = vec![(root.path.clone(), root.levels)];
        let mut is_root = true;
        while let Some((folder, levels)) = todo.pop() {
            let shown = folder.display();
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    if is_root {
                        return Err(format!("{shown} does not exist"));
                    }
                    continue;
                }
                Err(e) => return Err(format!("{shown}: {e}")),
            };
            is_root = false;
            for entry in entries {
                let entry = entry.map_err(|e| format!("{shown}: {e}"))?;
                self.note_entry(&shown)?;
                let kind = entry.file_type().map_err(|e| format!("{shown}: {e}"))?;
                if kind.is_dir() {
                    if levels > 1 {
                        todo.push((entry.path(), levels - 1));
                    }
                } else if kind.is_file() || kind.is_symlink() {
                    self.look(&entry.path(), kind.is_symlink());
                }
            }
        }
        Ok(())
    }

    fn note_entry(&mut self, place: &impl std::fmt::Display) -> Result<(), String> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(format!("more than {ENTRIES_MAX} entries, at {place}"));
        }
        if self.entries.is_multiple_of(LOOK_EVERY) && self.deadline.is_over() {
            return Err(self.deadline.words(&format!("the walk, at {place},")));
        }
        Ok(())
    }

    fn look(&mut self, path: &Path, is_link: bool) {
        if !self.matcher.is_match(path) {
            return;
        }
        if !is_link && self.measure == FileMeasure::Count {
            self.found.count += 1;
            return;
        }
        // It may have gone, or be a link to nowhere.
        if let Some(meta) = fs::metadata(path).ok().filter(Metadata::is_file) {
            self.found.add(&meta);
        }
    }
}

impl Found {
    fn add(&mut self, meta: &Metadata) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(meta.len());
        let Ok(at) = meta.modified() else { return };
        self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
        self.newest = Some(self.newest.map_or(at, |newest| newest.max(at)));
    }

    fn result(&self, measure: FileMeasure, now: SystemTime) -> Result<f64, String> {
        // A time in the future is no older than anything.
        let age = |at: SystemTime| now.duration_since(at).unwrap_or_default().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "exact up to 9 PB")]
        match measure {
            FileMeasure::Count => Ok(self.count as f64),
            FileMeasure::Size => Ok(self.bytes as f64),
            FileMeasure::Oldest => Ok(self.oldest.map_or(0.0, age)),
            FileMeasure::Newest => {
                let newest = self.newest.ok_or("no file matches")?;
                Ok(age(newest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, Instant};

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(60))
    }

    fn count(globs: &[String]) -> Result<f64, String> {
        measure(globs, FileMeasure::Count, soon())
    }

    /// A folder with these files, and a function from a relative glob to an absolute one.
    fn tree(files: &[&str]) -> (tempfile::TempDir, impl Fn(&str) -> Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "12345").unwrap();
        }
        let base = dir.path().to_str().unwrap().to_owned();
        (dir, move |glob| vec![format!("{base}/{glob}")])
    }

    #[test]
    fn roots_are_what_has_no_wildcard_and_none_is_below_another() {
        let root_of = |glob: &str| {
            let found = root(glob);
            (found.path.to_str().unwrap().to_owned(), found.levels)
        };
        assert_eq!(root_of("/a/b/*.json"), ("/a/b".into(), 1));
        assert_eq!(root_of("/a/*/c/*.json"), ("/a".into(), 3));
        assert_eq!(root_of("/a/**/x"), ("/a".into(), usize::MAX));
        assert_eq!(root_of("/a/b"), ("/a".into(), 1));
        assert_eq!(root_of("/*"), ("/".into(), 1));
        let globs = ["/a/b/c/*", "/a/*", "/ab/*", "/a/b/*"].map(str::to_owned);
        let found = roots(&globs);
        let root = |path: &str, levels| Root {
            path: path.into(),
            levels,
        };
        assert_eq!(found, [root("/a", 3), root("/ab", 1)]);
    }

    #[test]
    fn what_matches_counts_once() {
        let files = [
            "q/a.json",
            "q/b.json",
            "q/c.tmp",
            "q/sub/d.json",
            "q/.e.json",
        ];
        let (_dir, at) = tree(&files);
        assert_eq!(count(&at("q/*.json")), Ok(3.0));
        assert_eq!(count(&at("q/**/*.json")), Ok(4.0));
        assert_eq!(count(&at("q/*/*.json")), Ok(1.0));
        assert_eq!(count(&at("q/{a,sub/d}.json")), Ok(2.0));
        assert_eq!(count(&at("q/a.json")), Ok(1.0));
        assert_eq!(count(&at("q/none*")), Ok(0.0));
        let both = [at("q/*.json"), at("q/**/*"), at("q/a.json")].concat();
        assert_eq!(count(&both), Ok(5.0));
        let size = measure(&at("q/*"), FileMeasure::Size, soon());
        assert_eq!(size, Ok(20.0));
    }

    #[test]
    fn links_lead_to_files_but_never_in_circles() {
        let (dir, at) = tree(&["q/a.json"]);
        let q = dir.path().join("q");
        symlink(&q, q.join("loop")).unwrap();
        symlink(q.join("a.json"), q.join("b.json")).unwrap();
        symlink(q.join("nowhere"), q.join("c.json")).unwrap();
        assert_eq!(count(&at("q/**/*.json")), Ok(2.0));
        symlink(&q, dir.path().join("spool")).unwrap();
        assert_eq!(count(&at("spool/*.json")), Ok(2.0), "a root may be a link");
    }

    #[test]
    fn ages_are_of_the_oldest_and_the_newest() {
        let (dir, at) = tree(&["q/a", "q/b"]);
        let old = SystemTime::now() - Duration::from_secs(3_600);
        let file = fs::File::options()
            .write(true)
            .open(dir.path().join("q/a"))
            .unwrap();
        file.set_modified(old).unwrap();
        let oldest = measure(&at("q/*"), FileMeasure::Oldest, soon()).unwrap();
        assert!((3_600.0..3_700.0).contains(&oldest), "{oldest}");
        let newest = measure(&at("q/*"), FileMeasure::Newest, soon()).unwrap();
        assert!((0.0..100.0).contains(&newest), "{newest}");
        assert_eq!(measure(&at("q/x*"), FileMeasure::Oldest, soon()), Ok(0.0));
        let none = measure(&at("q/x*"), FileMeasure::Newest, soon());
        assert_eq!(none, Err("no file matches".to_owned()));
    }

    #[test]
    fn what_cannot_be_looked_at_is_unknown_and_not_empty() {
        let (dir, at) = tree(&["q/a"]);
        let why = count(&at("missing/*.json")).unwrap_err();
        assert!(why.ends_with("/missing does not exist"), "{why}");
        let why = count(&at("q/a/*")).unwrap_err();
        assert!(why.contains("Not a directory"), "{why}");
        assert!(count(&at("q/[")).unwrap_err().contains("unclosed"));
        let late = Deadline {
            at: Instant::now(),
            limit: Duration::ZERO,
        };
        for number in 0..=LOOK_EVERY {
            fs::write(dir.path().join(format!("q/{number}")), "").unwrap();
        }
        let why = measure(&at("q/*"), FileMeasure::Count, late).unwrap_err();
        assert!(why.contains("gave no answer within 0 ms"), "{why}");
    }

    #[test]
    fn ten_thousand_files_are_no_trouble() {
        let (dir, at) = tree(&["q/a"]);
        for number in 0..10_000 {
            fs::write(dir.path().join(format!("q/{number}.json")), "x").unwrap();
        }
        let limit = Deadline::after(Duration::from_secs(60));
        let globs = at("q/*.json");
        assert_eq!(measure(&globs, FileMeasure::Count, limit), Ok(10_000.0));
        assert_eq!(measure(&globs, FileMeasure::Size, limit), Ok(10_000.0));
    }
}
