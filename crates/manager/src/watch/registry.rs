//! Which watch of the system is for what.
//!
//! Invariants: a watch that is for nothing any more is ended; the system gives one watch for one
//! folder, by however many ways it is meant, so a watch may be for several things.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use eud_sys::inotify::{Inotify, WatchId};

use super::tree::FolderId;

/// What a watch is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder of the tree of a root.
    Folder(usize, FolderId),
    /// A root that is a file.
    File(usize),
    /// A name on which it rests where a root leads; `None`: any.
    Name(usize, Option<OsString>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) inotify: Inotify,
    places: BTreeMap<WatchId, Vec<Place>>,
}

impl Registry {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::new()?,
            places: BTreeMap::new(),
        })
    }

    /// What a watch is for.
    pub(crate) fn places(&self, watch: WatchId) -> Vec<Place> {
        self.places.get(&watch).cloned().unwrap_or_default()
    }

    /// The system ended a watch.
    pub(crate) fn ended(&mut self, watch: WatchId) -> Vec<Place> {
        self.places.remove(&watch).unwrap_or_default()
    }

    /// Watches what a place is about.
    pub(crate) fn add(&mut self, path: &Path, place: Place) -> io::Result<WatchId> {
        let watch = match place {
            Place::Folder(_, id) => self.inotify.watch_folder(path, id == super::tree::TOP)?,
            Place::File(_) => self.inotify.watch_file(path)?,
            Place::Name(..) => self.inotify.watch_names(path)?,
        };
        let places = self.places.entry(watch).or_default();
        if !places.contains(&place) {
            places.push(place);
        }
        Ok(watch)
    }

    /// A watch is no longer for this.
    pub(crate) fn remove(&mut self, watch: WatchId, is_it: impl Fn(&Place) -> bool) {
        let Some(places) = self.places.get_mut(&watch) else {
            return;
        };
        places.retain(|place| !is_it(place));
        if places.is_empty() {
            self.places.remove(&watch);
            self.inotify.unwatch(watch);
        }
    }
}
