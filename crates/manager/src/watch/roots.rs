//! The roots of a watch: where they lead by now, and what follows when that changes.
//!
//! Invariants: a folder that is gone is a problem that is told, not the end of all that was in it:
//! when it is there again, what differs from before is told; a file that is gone was deleted.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use eud_core::fleet::{Watch, WatchEvent};
use eud_sys::inotify::WatchId;

use super::filter::{Filter, Identity};
use super::records::{PathBytes, Record};
use super::registry::Place;
use super::root::{self, Leads};
use super::scan::{How, News};
use super::tree::{TOP, Told, Tree};
use super::watcher::Watcher;

/// How often a root is followed until two looks agree.
const LOOKS_MAX: u32 = 8;

/// One root.
#[derive(Debug)]
pub(super) struct Root {
    /// As in the fleet file.
    pub(super) given: PathBuf,
    pub(super) filter: Filter,
    pub(super) tree: Tree,
    /// `None`: not looked at yet.
    pub(super) leads: Option<Leads>,
    real: PathBuf,
    /// The state directory, without links.
    state: PathBuf,
    names: Vec<(WatchId, Place)>,
    file: Option<WatchId>,
    /// Some name on which it rests cannot be watched.
    is_blind: bool,
    /// Of the file system, as long as it was a folder.
    device: Option<u64>,
}

/// The roots of a watch, each once.
pub(super) fn of(watch: &Watch, state: &Path) -> Vec<Root> {
    let paths: BTreeSet<PathBuf> = watch
        .paths
        .iter()
        .map(|path| Path::new(path).components().collect())
        .collect();
    let real_state = fs::canonicalize(state).unwrap_or_else(|_| state.to_owned());
    paths
        .into_iter()
        .map(|given| Root {
            filter: Filter::new(watch, &given, state),
            tree: Tree::new(given.clone()),
            leads: None,
            real: given.clone(),
            state: real_state.clone(),
            names: Vec::new(),
            file: None,
            is_blind: false,
            device: None,
            given,
        })
        .collect()
}

/// Takes over a record of what was told.
pub(super) fn recall(roots: &mut [Root], record: Record) {
    match record {
        Record::There(_, seen, path) => set(roots, &path, seen),
        Record::Gone(path) | Record::Left(path) => unset(roots, &path),
        Record::Renamed(seen, path, old) => {
            unset(roots, &old);
            set(roots, &path, seen);
        }
        Record::Device(device, path) => {
            let path = Path::new(OsStr::from_bytes(&path));
            if let Some(root) = roots.iter_mut().find(|root| root.given == path) {
                root.device = Some(device);
            }
        }
        Record::Told(_) | Record::More(_) | Record::End => {}
    }
}

fn set(roots: &mut [Root], path: &PathBytes, seen: super::records::Seen) {
    let told = Told {
        seen,
        racy: false,
        scan: 0,
    };
    let path = Path::new(OsStr::from_bytes(path));
    for root in roots {
        root.tree.set(path, told);
    }
}

fn unset(roots: &mut [Root], path: &PathBytes) {
    let path = Path::new(OsStr::from_bytes(path));
    for root in roots {
        root.tree.unset(path);
    }
}

impl Root {
    /// Whether it is a folder that is there.
    pub(super) fn is_folder(&self) -> bool {
        matches!(self.leads, Some(Leads::Folder(_)))
    }

    /// Whether it holds itself: it is a file, or was one when it was last there.
    pub(super) fn is_file(&self) -> bool {
        let top = self.tree.get(TOP);
        matches!(self.leads, Some(Leads::File(_)))
            || top.is_some_and(|top| top.files.contains_key(&[][..]))
    }

    /// Why it is not watched.
    pub(super) fn problem(&self) -> Option<String> {
        match &self.leads {
            Some(Leads::Nowhere(why)) => Some(why.clone()),
            _ => None,
        }
    }

    /// Whether the system will not say when it is there.
    pub(super) fn needs_polling(&self) -> bool {
        self.is_blind && matches!(self.leads, Some(Leads::Nowhere(_)))
    }

    /// Whether a path, without links, is on the way to it or below it.
    pub(super) fn holds(&self, path: &[u8]) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        path.starts_with(&self.real) || self.real.starts_with(path)
    }

    /// All that was told, as records.
    pub(super) fn each_record(&self, put: &mut dyn FnMut(&Record)) {
        if let Some(device) = self.device {
            put(&Record::Device(device, bytes_of(&self.given)));
        }
        self.tree.each_file(|path, told| {
            put(&Record::There(
                WatchEvent::Create,
                told.seen,
                bytes_of(&path),
            ));
        });
    }

    /// The system's watches are gone, all at once.
    pub(super) fn unwatch(&mut self) {
        self.tree.unwatch();
        self.names.clear();
        self.file = None;
    }
}

pub(super) fn bytes_of(path: &Path) -> PathBytes {
    path.as_os_str().as_bytes().into()
}

impl Watcher {
    /// Looks where a root leads, and acts if that is elsewhere than before. `how` is what is new
    /// there to be taken for.
    pub(super) fn attend(&mut self, index: usize, how: How) {
        let Some(leads) = self.follow(index) else {
            return;
        };
        let is_watched = self.has_top(index);
        let Some(root) = self.roots.get_mut(index) else {
            return;
        };
        let before = root.leads.replace(leads.clone());
        let was_file = root.is_file();
        match leads {
            Leads::Folder(_) if before.as_ref() == Some(&leads) && is_watched => {}
            Leads::Folder((device, _)) => {
                let is_other = root.device != Some(device);
                root.device = Some(device);
                self.unwatch_tree(index);
                self.unwatch_file(index);
                if is_other {
                    self.known.give_up();
                }
                if was_file {
                    self.leave(index, TOP);
                }
                self.scan(index, TOP, how);
            }
            Leads::File(_) if before.as_ref() == Some(&leads) && self.is_watched(index) => {}
            Leads::File(_) => {
                self.unwatch_tree(index);
                self.unwatch_file(index);
                if !was_file {
                    self.leave(index, TOP);
                }
                self.watch_file(index);
                self.scan_file(index, how);
            }
            Leads::Nowhere(_) => {
                self.unwatch_tree(index);
                self.unwatch_file(index);
                if was_file {
                    self.look_at(index, TOP, &[], News::Found);
                }
            }
        }
    }

    /// Follows a root until nothing changes between looking and watching.
    fn follow(&mut self, index: usize) -> Option<Leads> {
        let given = self.roots.get(index)?.given.clone();
        let mut found = root::follow(&given);
        for _ in 0..LOOKS_MAX {
            let mut names: Vec<(PathBuf, Option<_>)> = found
                .rests_on
                .iter()
                .map(|(folder, name)| (folder.clone(), Some(name.clone())))
                .collect();
            if self.seems_unmounted(index, &found) {
                let words = format!(
                    "`{}` is empty and on another file system than before; is it mounted?",
                    given.display()
                );
                found.leads = Leads::Nowhere(words);
                names.push((found.real.clone(), None));
            }
            self.watch_names(index, &names);
            let again = root::follow(&given);
            if again.rests_on == found.rests_on
                && (again.leads == found.leads || names.len() > found.rests_on.len())
            {
                break;
            }
            found = again;
        }
        let root = self.roots.get_mut(index)?;
        root.real = found.real;
        if root.real.starts_with(&root.state) {
            let words = format!(
                "`{}` is in the state directory, which is never watched",
                given.display()
            );
            return Some(Leads::Nowhere(words));
        }
        Some(found.leads)
    }

    /// An empty folder where files were, on another file system: most likely what is below a mount
    /// point.
    fn seems_unmounted(&self, index: usize, found: &root::Found) -> bool {
        let (Some(root), Leads::Folder((device, _))) = (self.roots.get(index), &found.leads) else {
            return false;
        };
        root.tree.has_files()
            && root.device.is_some_and(|before| before != *device)
            && fs::read_dir(&found.real).is_ok_and(|mut entries| entries.next().is_none())
    }

    fn watch_names(&mut self, index: usize, names: &[(PathBuf, Option<std::ffi::OsString>)]) {
        let Some(root) = self.roots.get_mut(index) else {
            return;
        };
        let before = std::mem::take(&mut root.names);
        root.is_blind = false;
        let mut now = Vec::new();
        for (folder, name) in names {
            let place = Place::Name(index, name.clone());
            let Some(registry) = &mut self.registry else {
                return;
            };
            match registry.add(folder, place.clone()) {
                Ok(watch) => now.push((watch, place)),
                Err(e) if is_limit(&e) => return self.fall_back(&e),
                Err(_) => {
                    if let Some(root) = self.roots.get_mut(index) {
                        root.is_blind = true;
                    }
                }
            }
        }
        if let Some(registry) = &mut self.registry {
            for (watch, place) in before.iter().filter(|pair| !now.contains(pair)) {
                registry.remove(*watch, |other| other == place);
            }
        }
        if let Some(root) = self.roots.get_mut(index) {
            root.names = now;
        }
    }

    /// Whether the topmost folder is watched: another one may have got its number.
    fn has_top(&self, index: usize) -> bool {
        let top = self.roots.get(index).and_then(|root| root.tree.get(TOP));
        self.registry.is_none() || top.is_some_and(|top| top.watch.is_some())
    }

    fn is_watched(&self, index: usize) -> bool {
        self.registry.is_none()
            || self
                .roots
                .get(index)
                .is_some_and(|root| root.file.is_some())
    }

    fn watch_file(&mut self, index: usize) {
        let (Some(root), Some(registry)) = (self.roots.get_mut(index), &mut self.registry) else {
            return;
        };
        match registry.add(&root.given, Place::File(index)) {
            Ok(watch) => root.file = Some(watch),
            Err(e) if is_limit(&e) => self.fall_back(&e),
            // It was replaced this moment; the name is watched, so that will be heard of.
            Err(_) => {}
        }
    }

    fn unwatch_file(&mut self, index: usize) {
        let file = self.roots.get_mut(index).and_then(|root| root.file.take());
        if let (Some(watch), Some(registry)) = (file, &mut self.registry) {
            registry.remove(watch, |place| *place == Place::File(index));
        }
    }

    fn unwatch_tree(&mut self, index: usize) {
        let Some(root) = self.roots.get_mut(index) else {
            return;
        };
        let watches = root.tree.unwatch();
        self.unwatch_folders(index, &watches);
    }

    pub(super) fn unwatch_folders(&mut self, index: usize, watches: &[WatchId]) {
        if let Some(registry) = &mut self.registry {
            let is_it = |place: &Place| matches!(place, Place::Folder(root, _) if *root == index);
            for watch in watches {
                registry.remove(*watch, is_it);
            }
        }
    }
}

/// Whether the system allows no more.
pub(super) fn is_limit(error: &std::io::Error) -> bool {
    let limits = [
        eud_sys::inotify::TOO_MANY_WATCHES,
        eud_sys::inotify::TOO_MANY_INSTANCES,
    ];
    let code = error.raw_os_error();
    code.is_some_and(|code| limits.contains(&code))
        || error.kind() == std::io::ErrorKind::OutOfMemory
}

/// Identity of a folder that is looked at, or nothing when it is not one by now.
pub(super) fn folder_identity(path: &Path) -> Option<Identity> {
    let meta = fs::symlink_metadata(path).ok()?;
    meta.is_dir().then(|| super::filter::identity(&meta))
}
