//! Which paths count.
//!
//! Purpose: ignore patterns, `.gitignore` files, extensions, and the state directory.
//! Invariants: patterns mean what gitignore(5) says, each relative to its root or to the folder of
//! its file; what is in an ignored folder is never looked at, so it cannot be taken back in; the
//! state directory never counts, by whatever way one comes there.
//! Deliberately absent: `.gitignore` files above a root, `.git/info/exclude`, and anybody's global
//! ignore file: what a daemon is told must not depend on who looks.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use eud_core::fleet::Watch;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Name of the files that are heeded.
pub(crate) const RULES_FILE: &[u8] = b".gitignore";

/// Largest `.gitignore` file, in bytes.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// Device and inode of a folder.
pub(crate) type Identity = (u64, u64);

/// What counts under one root.
#[derive(Debug)]
pub(crate) struct Filter {
    ignore: Gitignore,
    pub(crate) gitignore: bool,
    extensions: Vec<Vec<u8>>,
    state: Option<Identity>,
}

impl Filter {
    /// For the root as it is called in the fleet file. `state` is the state directory.
    pub(crate) fn new(watch: &Watch, root: &Path, state: &Path) -> Self {
        let mut builder = GitignoreBuilder::new(root);
        // Git itself never looks there, and writes there whenever it is asked anything.
        let git = watch.gitignore.then_some(".git");
        let patterns = watch.ignore.iter().map(String::as_str);
        for pattern in git.into_iter().chain(patterns) {
            // The fleet file was checked for it; a pattern that is none matches nothing.
            let _ = builder.add_line(None, pattern);
        }
        let extensions = watch.extensions.iter();
        Self {
            ignore: builder.build().unwrap_or_else(|_| Gitignore::empty()),
            gitignore: watch.gitignore,
            extensions: extensions.map(|e| format!(".{e}").into_bytes()).collect(),
            state: fs::metadata(state).ok().map(|meta| identity(&meta)),
        }
    }

    /// Whether it is the state directory.
    pub(crate) fn is_state(&self, folder: Identity) -> bool {
        self.state == Some(folder)
    }

    /// What the patterns of the fleet file say; `None`: nothing.
    pub(crate) fn says(&self, path: &Path, is_folder: bool) -> Option<bool> {
        verdict(&self.ignore, path, is_folder)
    }

    /// Whether a file may count by its name.
    pub(crate) fn has_extension(&self, name: &[u8]) -> bool {
        let ends = |end: &Vec<u8>| name.len() > end.len() && name.ends_with(end);
        self.extensions.is_empty() || self.extensions.iter().any(ends)
    }
}

/// The rules of the `.gitignore` file in a folder, if there is one that can be read.
pub(crate) fn rules_of(folder: &Path) -> Option<Box<Gitignore>> {
    let path = folder.join(std::ffi::OsStr::from_bytes(RULES_FILE));
    let meta = fs::symlink_metadata(&path).ok()?;
    if !meta.is_file() || meta.len() > RULES_BYTES_MAX {
        return None;
    }
    let mut builder = GitignoreBuilder::new(folder);
    // What it cannot make sense of, it leaves out, as git does.
    let _ = builder.add(path);
    let rules = builder.build().ok().filter(|rules| !rules.is_empty());
    rules.map(Box::new)
}

/// True: ignored; false: taken back in.
pub(crate) fn verdict(rules: &Gitignore, path: &Path, is_folder: bool) -> Option<bool> {
    match rules.matched(path, is_folder) {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

/// Identity of what the metadata are of.
pub(crate) fn identity(meta: &fs::Metadata) -> Identity {
    (meta.dev(), meta.ino())
}

/// Whether a folder is on a file system that has no files of anybody: `/proc`, `/sys`.
pub(crate) fn is_pseudo(folder: &Path) -> io::Result<bool> {
    eud_sys::fd::is_pseudo_file_system(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(ignore: &[&str], extensions: &[&str]) -> Filter {
        let watch = Watch {
            ignore: ignore.iter().map(|&p| p.to_owned()).collect(),
            extensions: extensions.iter().map(|&e| e.to_owned()).collect(),
            ..Watch::default()
        };
        Filter::new(&watch, Path::new("/r"), Path::new("/no/such/state"))
    }

    #[test]
    fn patterns_are_anchored_as_in_git() {
        // Pattern, path, is a folder, ignored.
        for (pattern, path, is_folder, expected) in [
            ("dist", "/r/distribution.ts", false, None),
            ("dist", "/r/a/dist", true, Some(true)),
            (".git", "/r/.github", true, None),
            ("/build", "/r/build", true, Some(true)),
            ("/build", "/r/a/build", true, None),
            ("a/b", "/r/a/b", false, Some(true)),
            ("a/b", "/r/x/a/b", false, None),
            ("logs/", "/r/logs", true, Some(true)),
            ("logs/", "/r/logs", false, None),
            ("*.tmp", "/r/a/b/x.tmp", false, Some(true)),
            ("*.tmp", "/r/x.tmp.md", false, None),
            ("**/cache", "/r/a/cache", true, Some(true)),
            ("tmp/**", "/r/tmp/x", false, Some(true)),
            ("tmp/**", "/r/tmp", true, None),
            ("!keep", "/r/keep", false, Some(false)),
            ("\\#x", "/r/#x", false, Some(true)),
            ("# x", "/r/# x", false, None),
            ("a?c", "/r/a/c", false, None),
            ("[a-c]x", "/r/bx", false, Some(true)),
            ("*", "/r/x", false, Some(true)),
        ] {
            let says = filter(&[pattern], &[]).says(Path::new(path), is_folder);
            assert_eq!(says, expected, "{pattern} on {path}");
        }
        let later = filter(&["*.log", "!keep.log"], &[]);
        assert_eq!(later.says(Path::new("/r/keep.log"), false), Some(false));
    }

    #[test]
    fn extensions_are_ends_of_names_behind_a_dot() {
        let filter = filter(&[], &["ts", "test.js"]);
        for (name, counts) in [
            ("a.ts", true),
            ("a.d.ts", true),
            ("ts", false),
            (".ts", false),
            ("a.mts", false),
            ("a.test.js", true),
            ("a.js", false),
            ("a.ts~", false),
        ] {
            assert_eq!(filter.has_extension(name.as_bytes()), counts, "{name}");
        }
    }
}
