//! Looking at the disk.
//!
//! Purpose: find what differs from what was told, and set watches on the way.
//! Invariants: a folder is watched before it is read, so that nothing that happens in between is
//! missed; what cannot be read is not gone; how many paths are remembered is bounded.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use eud_sys::inotify::WatchId;

use super::filter::{self, verdict};
use super::pending::{Dirty, Moment};
use super::records::Seen;
use super::registry::Place;
use super::roots::{bytes_of, folder_identity, is_limit};
use super::tree::{FolderId, TOP, Told};
use super::watcher::Watcher;

/// Files and folders that are remembered for one daemon.
pub const PATHS_MAX: usize = 500_000;

/// Folders that cannot be read and are counted as such.
const UNREADABLE_MAX: usize = 1_000;

/// A file changed this recently may change again and look the same: clocks of file systems tick.
const RACY_NS: i64 = 20_000_000;

/// What a file that is not known is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// For known: nothing was watched before.
    Baseline,
    /// For new.
    Compare,
    /// For known, unless there is news of it: it is counted since a moment ago.
    NewRules,
}

/// Why a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The system says that it was written, or is there now.
    Written,
    /// The system says that something of it changed.
    Touched,
    /// It looks otherwise than before, or is gone.
    Found,
}

/// Whether a folder is looked into.
pub(super) enum Admitted {
    /// Yes.
    In(FolderId),
    /// No.
    Not,
    /// It is not there any more.
    Gone,
}

/// How a file looks; `None` when there is none, or something that does not count.
///
/// # Errors
/// When that cannot be told.
pub(super) fn look(path: &Path) -> io::Result<Option<Seen>> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() || meta.is_symlink() => Ok(Some(Seen {
            inode: meta.ino(),
            size: meta.size(),
            mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        })),
        Ok(_) => Ok(None),
        Err(e) => match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(e),
        },
    }
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// What is remembered of a file that is told now.
pub(super) fn told_of(seen: Seen, scan: u32) -> Told {
    let now = eud_sys::clock::wall_ns();
    Told {
        seen,
        racy: seen.ctime_ns > now.saturating_sub(RACY_NS),
        scan,
    }
}

impl Watcher {
    /// Compares everything with what was told.
    pub(super) fn scan_all(&mut self) {
        let begun = Moment::now().mono_ms;
        self.troubles.unreadable.clear();
        self.troubles.is_full = false;
        for root in 0..self.roots.len() {
            match self.roots.get(root) {
                Some(found) if found.is_folder() => self.scan(root, TOP, How::Compare),
                Some(found) if found.is_file() => self.look_at(root, TOP, &[], News::Found),
                _ => {}
            }
        }
        self.scan_took_ms = Moment::now().mono_ms - begun;
    }

    /// Looks at a folder and all below it.
    pub(super) fn scan(&mut self, root: usize, start: FolderId, how: How) {
        let begun = Moment::now().mono_ms;
        self.scans = self.scans.wrapping_add(1).max(1);
        let scan = self.scans;
        let mut left = vec![start];
        while let Some(id) = left.pop() {
            self.scan_folder(root, id, how, scan, &mut left);
        }
        let took = Moment::now().mono_ms - begun;
        self.scan_took_ms = self.scan_took_ms.max(took);
    }

    fn scan_folder(
        &mut self,
        root: usize,
        id: FolderId,
        how: How,
        scan: u32,
        left: &mut Vec<FolderId>,
    ) {
        let Some(path) = self.folder_path(root, id) else {
            return;
        };
        self.watch_folder(root, id, &path);
        self.read_rules(root, id, &path);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) => return self.cannot_read(root, id, &path, &e),
        };
        self.troubles.unreadable.remove(&path);
        let device = folder_identity(&path).map(|(device, _)| device);
        for entry in entries {
            let found = entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?)));
            let (name, kind) = match found {
                Ok(found) => found,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return self.cannot_read(root, id, &path, &e),
            };
            let name = name.as_bytes();
            if kind.is_dir() {
                self.find_folder(root, id, name, device, scan, left);
            } else if kind.is_file() || kind.is_symlink() {
                self.compare(root, id, name, how, scan);
            }
        }
        self.settle_absent(root, id, scan);
    }

    fn find_folder(
        &mut self,
        root: usize,
        id: FolderId,
        name: &[u8],
        device: Option<u64>,
        scan: u32,
        left: &mut Vec<FolderId>,
    ) {
        match self.admit(root, id, name, device) {
            Admitted::In(child) => {
                if let Some(folder) = self.folder_mut(root, child) {
                    folder.scan = scan;
                }
                left.push(child);
            }
            Admitted::Not => self.forget_folder(root, id, name),
            Admitted::Gone => {}
        }
    }

    /// A folder does not count, or not any more: so do the files in it.
    fn forget_folder(&mut self, root: usize, id: FolderId, name: &[u8]) {
        let folder = self.folder_mut(root, id);
        let child = folder.and_then(|folder| folder.folders.get(name).copied());
        if let Some(child) = child
            && let Some(found) = self.roots.get_mut(root)
        {
            let out = found.tree.take_out(child);
            self.unwatch_folders(root, &out.watches);
        }
    }

    /// What was not found in a folder that was read is gone.
    fn settle_absent(&mut self, root: usize, id: FolderId, scan: u32) {
        let Some(found) = self.roots.get(root) else {
            return;
        };
        let tree = &found.tree;
        let Some(folder) = tree.get(id) else {
            return;
        };
        let files = folder.files.iter();
        let files: Vec<_> = files
            .filter(|(_, told)| told.scan != scan)
            .map(|(name, _)| name.clone())
            .collect();
        let folders = folder.folders.values();
        let is_absent = |id: &&FolderId| tree.get(**id).is_some_and(|child| child.scan != scan);
        let folders: Vec<_> = folders.filter(is_absent).copied().collect();
        for name in files {
            self.look_at(root, id, &name, News::Found);
        }
        for child in folders {
            self.leave(root, child);
        }
    }

    /// Compares one file.
    fn compare(&mut self, root: usize, id: FolderId, name: &[u8], how: How, scan: u32) {
        if !self.counts(root, id, name) {
            if let Some(found) = self.roots.get_mut(root) {
                found.tree.unset_in(id, name);
            }
            return;
        }
        let Some(path) = self.file_path(root, id, name) else {
            return;
        };
        let Ok(Some(seen)) = look(&path) else {
            // Gone this moment, which is found out below, or not to be told.
            return;
        };
        let is_full = self.is_full();
        let told = self
            .folder_mut(root, id)
            .and_then(|folder| folder.files.get_mut(name));
        if let Some(told) = told {
            told.scan = scan;
            // One that may have changed unseen is told once too often rather than not at all.
            let may_differ = std::mem::take(&mut told.racy);
            if may_differ {
                self.look_at(root, id, name, News::Written);
            } else if !told.seen.is_as(&seen) {
                self.look_at(root, id, name, News::Found);
            }
            return;
        }
        let is_news = self.pending.paths.contains_key(&*bytes_of(&path));
        if is_full {
            self.troubles.is_full = true;
        } else if how == How::Compare || is_news {
            self.look_at(root, id, name, News::Found);
        } else if let Some(found) = self.roots.get_mut(root) {
            found.tree.set_in(id, name, told_of(seen, scan));
        }
    }

    /// A root that is a file, for the first time or after it was replaced.
    pub(super) fn scan_file(&mut self, root: usize, how: How) {
        let Some(path) = self.file_path(root, TOP, &[]) else {
            return;
        };
        let is_known = self
            .folder_mut(root, TOP)
            .is_some_and(|top| top.files.contains_key(&[][..]));
        match real_look(&path) {
            Ok(Some(seen)) if how == How::Baseline && !is_known => {
                if let Some(found) = self.roots.get_mut(root) {
                    found.tree.set_in(TOP, &[], told_of(seen, 0));
                }
            }
            _ => self.look_at(root, TOP, &[], News::Found),
        }
    }

    /// Whether a folder found in a folder is looked into.
    pub(super) fn admit(
        &mut self,
        root: usize,
        id: FolderId,
        name: &[u8],
        device: Option<u64>,
    ) -> Admitted {
        let Some(path) = self.file_path(root, id, name) else {
            return Admitted::Gone;
        };
        if self.is_ignored(root, id, &path, true) {
            return Admitted::Not;
        }
        let is_full = self.is_full();
        let (Some(identity), Some(found)) = (folder_identity(&path), self.roots.get_mut(root))
        else {
            return Admitted::Gone;
        };
        if found.filter.is_state(identity)
            || (device != Some(identity.0) && filter::is_pseudo(&path).unwrap_or(false))
        {
            return Admitted::Not;
        }
        let folder = found.tree.get(id);
        if is_full && folder.is_none_or(|folder| !folder.folders.contains_key(name)) {
            self.troubles.is_full = true;
            return Admitted::Not;
        }
        Admitted::In(found.tree.folder_in(id, name))
    }

    /// A folder is gone, or lies elsewhere now: so are the files in it.
    pub(super) fn leave(&mut self, root: usize, id: FolderId) {
        let Some(found) = self.roots.get_mut(root) else {
            return;
        };
        let out = found.tree.take_out(id);
        self.unwatch_folders(root, &out.watches);
        for (path, seen) in out.files {
            let told = Told {
                seen,
                racy: true,
                scan: 0,
            };
            self.mark(root, &path, Some(told), News::Found);
        }
    }

    /// A file may have changed: it is looked at when the batch is complete.
    pub(super) fn look_at(&mut self, root: usize, id: FolderId, name: &[u8], news: News) {
        let Some(found) = self.roots.get(root) else {
            return;
        };
        let told = found.tree.get(id).and_then(|folder| folder.files.get(name));
        let (told, path) = (told.copied(), found.tree.path_in(id, name));
        self.mark(root, &path, told, news);
    }

    pub(super) fn mark(&mut self, root: usize, path: &Path, told: Option<Told>, news: News) {
        let now = Moment::now();
        let bytes = bytes_of(path);
        if self.pending.is_full() && !self.pending.paths.contains_key(&bytes) {
            self.make_room(now);
            if self.pending.is_full() {
                self.absorb(root, path, told, now);
                return;
            }
        }
        let dirty = Dirty {
            root,
            told,
            written: news == News::Written,
            since_ms: if news == News::Found { 0 } else { now.mono_ms },
            looked: None,
        };
        self.pending.mark(bytes, dirty, now);
    }

    /// Whether a file counts: by its name, the patterns and the rules.
    pub(super) fn counts(&self, root: usize, id: FolderId, name: &[u8]) -> bool {
        let Some(found) = self.roots.get(root) else {
            return false;
        };
        // A root that is a file was named as such.
        name.is_empty()
            || found.filter.has_extension(name)
                && !self.is_ignored(root, id, &found.tree.path_in(id, name), false)
    }

    pub(super) fn is_ignored(
        &self,
        root: usize,
        folder: FolderId,
        path: &Path,
        is_folder: bool,
    ) -> bool {
        let Some(found) = self.roots.get(root) else {
            return true;
        };
        if let Some(says) = found.filter.says(path, is_folder) {
            return says;
        }
        let rules = found.tree.upwards(folder);
        let rules = rules.filter_map(|folder| folder.rules.as_deref());
        rules
            .filter_map(|rules| verdict(rules, path, is_folder))
            .next()
            .unwrap_or(false)
    }

    fn read_rules(&mut self, root: usize, id: FolderId, path: &Path) {
        if let Some(found) = self.roots.get_mut(root)
            && found.filter.gitignore
            && let Some(folder) = found.tree.get_mut(id)
        {
            folder.rules = filter::rules_of(path);
        }
    }

    fn watch_folder(&mut self, root: usize, id: FolderId, path: &Path) {
        let Some(registry) = &mut self.registry else {
            return;
        };
        match registry.add(path, Place::Folder(root, id)) {
            Ok(watch) => self.set_watch(root, id, watch),
            Err(e) if is_limit(&e) => self.fall_back(&e),
            // Reading it will tell the same.
            Err(_) => {}
        }
    }

    fn set_watch(&mut self, root: usize, id: FolderId, watch: WatchId) {
        let Some(folder) = self.folder_mut(root, id) else {
            return;
        };
        let before = folder.watch.replace(watch);
        if let Some(before) = before.filter(|before| *before != watch)
            && let Some(registry) = &mut self.registry
        {
            registry.remove(before, |place| *place == Place::Folder(root, id));
        }
    }

    fn cannot_read(&mut self, root: usize, id: FolderId, path: &Path, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if id == TOP => {
                // Where it leads is found out anew.
                self.to_attend.insert(root);
            }
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => self.leave(root, id),
            _ => {
                let unreadable = &mut self.troubles.unreadable;
                if unreadable.len() < UNREADABLE_MAX {
                    unreadable.insert(path.to_owned(), error.to_string());
                }
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let paths: usize = self.roots.iter().map(|root| root.tree.len()).sum();
        paths >= PATHS_MAX
    }

    pub(super) fn folder_mut(
        &mut self,
        root: usize,
        id: FolderId,
    ) -> Option<&mut super::tree::Folder> {
        self.roots.get_mut(root)?.tree.get_mut(id)
    }

    fn folder_path(&self, root: usize, id: FolderId) -> Option<std::path::PathBuf> {
        let tree = &self.roots.get(root)?.tree;
        tree.get(id)?;
        Some(tree.path(id))
    }

    fn file_path(&self, root: usize, id: FolderId, name: &[u8]) -> Option<std::path::PathBuf> {
        let tree = &self.roots.get(root)?.tree;
        tree.get(id)?;
        Some(tree.path_in(id, name))
    }
}

/// As [`look`], through a link.
fn real_look(path: &Path) -> io::Result<Option<Seen>> {
    match fs::canonicalize(path) {
        Ok(real) => look(&real),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
