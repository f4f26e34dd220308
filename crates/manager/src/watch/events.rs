//! What the system says.
//!
//! Purpose: from events to paths that are looked at, and folders that are entered or left.
//! Invariants: events are read until there are none before anything is told, so that one that was
//! there before a look is not taken for news after it; nothing is believed but that it is worth a
//! look.

use eud_sys::inotify::{Kind, WatchId};

use super::filter::RULES_FILE;
use super::registry::Place;
use super::roots::folder_identity;
use super::scan::{Admitted, How, News};
use super::tree::{FolderId, TOP};
use super::watcher::Watcher;

/// An event that owns its name.
struct Event {
    watch: WatchId,
    name: Vec<u8>,
    is_folder: bool,
    kind: Kind,
}

/// Events taken out of the system's queue at once: more than it holds by default.
const EVENTS_MAX: usize = 20_000;

impl Watcher {
    /// Takes note of everything that happened until now.
    pub(super) fn read_events(&mut self) {
        loop {
            let Some(registry) = &self.registry else {
                return;
            };
            let mut events = Vec::new();
            let drained = registry.inotify.drain(EVENTS_MAX, |event| {
                events.push(Event {
                    watch: event.watch,
                    name: event.name.to_vec(),
                    is_folder: event.is_folder,
                    kind: event.kind,
                });
            });
            if drained.is_err() {
                // Whatever it was, something may have been lost.
                self.rescan_soon();
            }
            let is_all = events.len() < EVENTS_MAX;
            for event in events {
                self.on_event(&event);
            }
            if is_all {
                return;
            }
        }
    }

    fn on_event(&mut self, event: &Event) {
        let Some(registry) = &mut self.registry else {
            return;
        };
        if event.kind == Kind::Overflow {
            self.rescan_soon();
            return;
        }
        let places = if event.kind == Kind::Ended {
            registry.ended(event.watch)
        } else {
            registry.places(event.watch)
        };
        for place in places {
            match place {
                Place::Folder(root, id) => self.on_folder(root, id, event),
                Place::File(root) => match event.kind {
                    Kind::Written => self.look_at(root, TOP, &[], News::Written),
                    Kind::Touched => self.look_at(root, TOP, &[], News::Touched),
                    _ => {
                        self.to_attend.insert(root);
                    }
                },
                Place::Name(root, name) => {
                    let is_it = name.is_none_or(|name| name.as_encoded_bytes() == event.name);
                    if is_it || event.name.is_empty() {
                        self.to_attend.insert(root);
                    }
                }
            }
        }
    }

    fn on_folder(&mut self, root: usize, id: FolderId, event: &Event) {
        if !event.name.is_empty() {
            if event.is_folder {
                self.on_child(root, id, &event.name, event.kind);
            } else {
                self.on_file(root, id, &event.name, event.kind);
            }
            return;
        }
        match event.kind {
            Kind::Ended => {
                if let Some(folder) = self.folder_mut(root, id) {
                    folder.watch = None;
                }
                if id == TOP {
                    self.to_attend.insert(root);
                }
            }
            Kind::Moved if id == TOP => {
                self.to_attend.insert(root);
            }
            Kind::Unmounted => {
                self.to_attend.insert(root);
                self.rescan_soon();
            }
            _ => {}
        }
    }

    fn on_file(&mut self, root: usize, id: FolderId, name: &[u8], kind: Kind) {
        let rules_are_heeded = self
            .roots
            .get(root)
            .is_some_and(|found| found.filter.gitignore);
        if name == RULES_FILE && rules_are_heeded {
            self.new_rules.insert((root, id));
        }
        if self.counts(root, id, name) {
            let news = match kind {
                Kind::Written | Kind::Appeared => News::Written,
                _ => News::Touched,
            };
            self.look_at(root, id, name, news);
        }
    }

    fn on_child(&mut self, root: usize, id: FolderId, name: &[u8], kind: Kind) {
        let Some(folder) = self.folder_mut(root, id) else {
            return;
        };
        let known = folder.folders.get(name).copied();
        match kind {
            Kind::Appeared => {
                if let Some(known) = known {
                    self.leave(root, known);
                }
                self.enter(root, id, name);
            }
            Kind::Vanished => {
                if let Some(known) = known {
                    self.leave(root, known);
                }
            }
            // It may be readable now.
            Kind::Touched if known.is_none_or(|known| self.is_unwatched(root, known)) => {
                self.enter(root, id, name);
            }
            _ => {}
        }
    }

    fn is_unwatched(&mut self, root: usize, id: FolderId) -> bool {
        self.folder_mut(root, id)
            .is_none_or(|folder| folder.watch.is_none())
    }

    /// Looks into a folder that is new: what is in it already is new as well.
    fn enter(&mut self, root: usize, id: FolderId, name: &[u8]) {
        let Some(found) = self.roots.get(root) else {
            return;
        };
        let device = folder_identity(&found.tree.path(id)).map(|(device, _)| device);
        if let Admitted::In(child) = self.admit(root, id, name, device) {
            self.scan(root, child, How::Compare);
        }
    }
}
