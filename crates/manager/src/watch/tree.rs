//! The files under one root, as they were last told.
//!
//! Purpose: what a look at the disk is compared with.
//! Invariants: a file is here as its reader was told of it, and not as it is by now: what differs
//! is what is to be told; folders are here as they are, with their watches; numbers of folders are
//! never used twice.
//! Deliberately absent: the disk.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use eud_sys::inotify::WatchId;
use ignore::gitignore::Gitignore;

use super::records::Seen;

/// Names a folder of one tree.
pub(crate) type FolderId = u32;

/// The topmost folder. For a root that is a file, the file is in it under an empty name.
pub(crate) const TOP: FolderId = 0;

type Name = Box<[u8]>;

/// A file that was told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) seen: Seen,
    /// It had been changed so shortly before it was seen that a later change may look the same.
    pub(crate) racy: bool,
    /// Number of the scan that found it last.
    pub(crate) scan: u32,
}

/// A folder.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    parent: Option<FolderId>,
    name: Name,
    pub(crate) watch: Option<WatchId>,
    pub(crate) files: BTreeMap<Name, Told>,
    pub(crate) folders: BTreeMap<Name, FolderId>,
    pub(crate) rules: Option<Box<Gitignore>>,
    pub(crate) scan: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    folders: BTreeMap<FolderId, Folder>,
    next: FolderId,
    files: usize,
}

/// A folder that was taken out, with all that was in it.
#[derive(Debug, Default)]
pub(crate) struct TakenOut {
    pub(crate) watches: Vec<WatchId>,
    pub(crate) files: Vec<(PathBuf, Seen)>,
}

impl Tree {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            folders: BTreeMap::from([(TOP, Folder::default())]),
            next: TOP + 1,
            files: 0,
        }
    }

    /// How many files and folders.
    pub(crate) fn len(&self) -> usize {
        self.files + self.folders.len()
    }

    pub(crate) fn has_files(&self) -> bool {
        self.files > 0
    }

    pub(crate) fn get(&self, id: FolderId) -> Option<&Folder> {
        self.folders.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: FolderId) -> Option<&mut Folder> {
        self.folders.get_mut(&id)
    }

    /// Where a folder is, as it is called below the root of the fleet file.
    pub(crate) fn path(&self, id: FolderId) -> PathBuf {
        let mut names = Vec::new();
        let mut at = self.folders.get(&id);
        while let Some(folder) = at {
            names.push(&folder.name);
            at = folder.parent.and_then(|parent| self.folders.get(&parent));
        }
        let mut path = self.root.clone();
        // The topmost has no name.
        for name in names.iter().rev().skip(1) {
            path.push(OsStr::from_bytes(name));
        }
        path
    }

    /// A file in a folder, or the folder itself for an empty name.
    pub(crate) fn path_in(&self, id: FolderId, name: &[u8]) -> PathBuf {
        let mut path = self.path(id);
        if !name.is_empty() {
            path.push(OsStr::from_bytes(name));
        }
        path
    }

    /// The folder and those above it, innermost first.
    pub(crate) fn upwards(&self, id: FolderId) -> impl Iterator<Item = &Folder> {
        std::iter::successors(self.folders.get(&id), |folder| {
            self.folders.get(&folder.parent?)
        })
    }

    /// A folder in a folder, made if there is none.
    pub(crate) fn folder_in(&mut self, parent: FolderId, name: &[u8]) -> FolderId {
        let known = self.folders.get(&parent);
        if let Some(id) = known.and_then(|parent| parent.folders.get(name)) {
            return *id;
        }
        let id = self.next;
        self.next += 1;
        let folder = Folder {
            parent: Some(parent),
            name: name.into(),
            ..Folder::default()
        };
        self.folders.insert(id, folder);
        if let Some(parent) = self.folders.get_mut(&parent) {
            parent.folders.insert(name.into(), id);
        }
        id
    }

    /// Where a path is: its folder and its name, if that folder is here.
    pub(crate) fn place(&self, path: &Path) -> Option<(FolderId, Name)> {
        let (folders, name) = split(&self.root, path)?;
        let mut at = TOP;
        for folder in folders {
            at = *self.folders.get(&at)?.folders.get(folder)?;
        }
        Some((at, name.into()))
    }

    /// Notes what was told of a file; folders above it are made. False when it is not below the
    /// root.
    pub(crate) fn set(&mut self, path: &Path, told: Told) -> bool {
        let root = self.root.clone();
        let Some((folders, name)) = split(&root, path) else {
            return false;
        };
        let at = folders
            .into_iter()
            .fold(TOP, |at, folder| self.folder_in(at, folder));
        self.set_in(at, name, told);
        true
    }

    pub(crate) fn set_in(&mut self, folder: FolderId, name: &[u8], told: Told) {
        if let Some(folder) = self.folders.get_mut(&folder)
            && folder.files.insert(name.into(), told).is_none()
        {
            self.files += 1;
        }
    }

    /// Forgets a file.
    pub(crate) fn unset(&mut self, path: &Path) {
        if let Some((folder, name)) = self.place(path) {
            self.unset_in(folder, &name);
        }
    }

    pub(crate) fn unset_in(&mut self, folder: FolderId, name: &[u8]) {
        if let Some(folder) = self.folders.get_mut(&folder)
            && folder.files.remove(name).is_some()
        {
            self.files -= 1;
        }
    }

    /// Takes out a folder with all below it; of the topmost only what is in it.
    pub(crate) fn take_out(&mut self, id: FolderId) -> TakenOut {
        let mut out = TakenOut::default();
        let mut left = vec![id];
        while let Some(at) = left.pop() {
            let path = self.path(at);
            let Some(folder) = self.folders.get_mut(&at) else {
                continue;
            };
            out.watches.extend(folder.watch.take());
            let files = std::mem::take(&mut folder.files);
            self.files -= files.len();
            out.files.extend(files.into_iter().map(|(name, told)| {
                let path = if name.is_empty() {
                    path.clone()
                } else {
                    path.join(OsStr::from_bytes(&name))
                };
                (path, told.seen)
            }));
            left.extend(folder.folders.values());
        }
        self.strike(id);
        out
    }

    /// Removes folders that hold no files any more.
    fn strike(&mut self, id: FolderId) {
        let mut left = vec![id];
        while let Some(at) = left.pop() {
            let Some(folder) = self.folders.get_mut(&at) else {
                continue;
            };
            left.extend(std::mem::take(&mut folder.folders).into_values());
            let (parent, name) = (folder.parent, folder.name.clone());
            if at == TOP {
                continue;
            }
            self.folders.remove(&at);
            let parent = parent.and_then(|parent| self.folders.get_mut(&parent));
            if let Some(parent) = parent.filter(|_| at == id) {
                parent.folders.remove(&name);
            }
        }
    }

    /// Ends all watches; files stay as they were told.
    pub(crate) fn unwatch(&mut self) -> Vec<WatchId> {
        let folders = self.folders.values_mut();
        folders.filter_map(|folder| folder.watch.take()).collect()
    }

    /// All files, folder by folder.
    pub(crate) fn each_file(&self, mut take: impl FnMut(PathBuf, &Told)) {
        for (id, folder) in &self.folders {
            let path = self.path(*id);
            for (name, told) in &folder.files {
                if name.is_empty() {
                    take(path.clone(), told);
                } else {
                    take(path.join(OsStr::from_bytes(name)), told);
                }
            }
        }
    }
}

/// Names of the folders between root and path, and the last name.
fn split<'a>(root: &Path, path: &'a Path) -> Option<(Vec<&'a [u8]>, &'a [u8])> {
    let below = path.strip_prefix(root).ok()?;
    let mut names: Vec<&[u8]> = below.iter().map(OsStr::as_bytes).collect();
    let name = names.pop().unwrap_or(&[]);
    Some((names, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(n: u64) -> Told {
        Told {
            seen: Seen {
                inode: n,
                size: 0,
                mtime_ns: 0,
                ctime_ns: 0,
            },
            racy: false,
            scan: 0,
        }
    }

    fn files(tree: &Tree) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        tree.each_file(|path, told| all.push((path.display().to_string(), told.seen.inode)));
        all.sort();
        all
    }

    #[test]
    fn files_are_found_where_they_were_put_and_counted() {
        let mut tree = Tree::new("/r".into());
        for (n, path) in ["/r/a", "/r/x/b", "/r/x/y/c"].into_iter().enumerate() {
            assert!(tree.set(Path::new(path), told(n as u64)));
            assert!(tree.set(Path::new(path), told(n as u64)));
        }
        assert!(!tree.set(Path::new("/rest"), told(9)));
        assert_eq!(tree.len(), 3 + 3);
        let (folder, name) = tree.place(Path::new("/r/x/y/c")).unwrap();
        assert_eq!(tree.path_in(folder, &name), Path::new("/r/x/y/c"));
        assert!(tree.place(Path::new("/r/z/c")).is_none());
        let x = tree.folder_in(TOP, b"x");
        let out = tree.take_out(x);
        assert_eq!(out.files.len(), 2);
        assert_eq!(files(&tree), [("/r/a".to_owned(), 0)]);
        assert_eq!(tree.len(), 2);
        tree.unset(Path::new("/r/a"));
        tree.unset(Path::new("/r/a"));
        assert!(!tree.has_files());
    }

    #[test]
    fn a_root_that_is_a_file_holds_itself() {
        let mut tree = Tree::new("/r/f".into());
        assert!(tree.set(Path::new("/r/f"), told(1)));
        assert_eq!(files(&tree), [("/r/f".to_owned(), 1)]);
        let out = tree.take_out(TOP);
        assert_eq!(out.files[0].0, Path::new("/r/f"));
        assert!(tree.get(TOP).is_some());
    }
}
