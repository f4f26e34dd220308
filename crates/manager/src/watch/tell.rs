//! Telling a batch of changes.
//!
//! Purpose: look at what may have changed, write down what did, and tell it.
//! Invariants: written before it is told; what could not be written stays; a path is told as what
//! it is now against what was told of it before, so that one which is created and removed again is
//! not told; batches that nobody takes do not pile up for ever: then changes wait here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use eud_core::fleet::WatchEvent;
use eud_core::io::{Batch, Input};

use super::folder::next_id;
use super::pending::{Dirty, Moment, Pending};
use super::records::{PathBytes, Record, Seen};
use super::scan::{look, told_of};
use super::tree::Told;
use super::watcher::Watcher;

/// Batches of one daemon that wait for their run at the same time.
pub const BATCHES_MAX: usize = 64;

/// Bytes of all of them.
pub const BATCH_BYTES_MAX: u64 = 128 << 20;

/// Pause before it is tried again to write one.
const RETRY_MS: u64 = 5_000;

/// Batches that were told and not dropped.
#[derive(Debug, Default)]
pub(super) struct Outstanding(BTreeMap<String, u64>);

impl Outstanding {
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= BATCHES_MAX || self.0.values().sum::<u64>() >= BATCH_BYTES_MAX
    }

    pub(super) fn problem(&self) -> Option<String> {
        self.is_full().then(|| {
            let count = self.0.len();
            format!("{count} batches of changes wait to be taken; further changes wait for that")
        })
    }
}

/// A path that did change.
struct Change {
    root: usize,
    path: PathBytes,
    dirty: Dirty,
    now: Option<Seen>,
    /// It was renamed from, or to, the change of this index.
    other: Option<usize>,
}

/// What is told of the paths that were looked at.
#[derive(Default)]
struct Looked {
    changes: Vec<Change>,
    /// Still being written.
    moving: BTreeMap<PathBytes, Dirty>,
    not_before_ms: u64,
}

impl Watcher {
    /// Tells what changed.
    pub(super) fn tell(&mut self, now: Moment) {
        // What is waiting was there before the looks that follow.
        self.read_events();
        let mut pending = mem::take(&mut self.pending);
        let looked = self.look_at_all(mem::take(&mut pending.paths), now);
        let changes = with_renames(looked.changes);
        let told = self.write_down(&changes, &pending);
        let batch = match told {
            Ok(batch) => batch,
            Err(e) => {
                self.troubles.disk = Some(e.to_string());
                self.known.give_up();
                self.put_back(pending, looked.moving, changes, now);
                return;
            }
        };
        self.troubles.disk = None;
        for change in &changes {
            self.set_told(change);
        }
        self.pending
            .begin_anew(looked.moving, looked.not_before_ms, now);
        self.keep_known();
        if let Some(batch) = batch {
            self.send(Input::Changed {
                daemon: self.setup.daemon.clone(),
                batch,
            });
        }
    }

    /// There is no room for more paths: a batch is told at once, unless too many wait.
    pub(super) fn make_room(&mut self, now: Moment) {
        if !self.outstanding.is_full() && self.setup.watch.settle_ms == 0 {
            self.tell_without_events(now);
        }
    }

    fn tell_without_events(&mut self, now: Moment) {
        // Events lead here: they must not be read by the way.
        let registry = self.registry.take();
        self.tell(now);
        self.registry = registry;
    }

    /// Changes of paths that there is no room for are counted.
    pub(super) fn absorb(&mut self, root: usize, path: &Path, told: Option<Told>, now: Moment) {
        let Ok(seen) = look(path) else {
            return;
        };
        let is_same = match (&told, &seen) {
            (Some(told), Some(seen)) => told.seen.is_as(seen),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            self.pending.note(now);
            self.pending.more += 1;
            // Additions cannot tell of it.
            self.known.give_up();
        }
        self.set_everywhere(root, path, seen.map(|seen| told_of(seen, 0)));
    }

    fn look_at_all(&mut self, paths: BTreeMap<PathBytes, Dirty>, now: Moment) -> Looked {
        let settle_ms = self.setup.watch.settle_ms;
        let mut looked = Looked::default();
        for (path, mut dirty) in paths {
            let place = Path::new(OsStr::from_bytes(&path));
            let root = dirty.root;
            let is_unknown = self
                .roots
                .get(root)
                .is_none_or(|root| !root.is_folder() && !root.is_file());
            let found = if is_unknown {
                None
            } else {
                self.see(root, place)
            };
            let Some(seen) = found else {
                // What cannot be looked at has not changed.
                if let Some(told) = dirty.told {
                    self.set_everywhere(root, place, Some(told));
                }
                continue;
            };
            let Some(seen) = differs(&dirty, seen) else {
                // It may lie in a folder that was left and entered again.
                self.set_everywhere(root, place, dirty.told);
                continue;
            };
            if let Some(seen) = seen.filter(|_| settle_ms > 0) {
                let key = Some(seen.key());
                let is_other = dirty.looked.is_some() && dirty.looked != key;
                let is_future = seen.ctime_ns / 1_000_000 > now.wall_ms;
                // Its own time says nothing when the clock was set back.
                if is_other || (is_future && dirty.since_ms == 0) {
                    dirty.since_ms = now.mono_ms;
                }
                dirty.looked = key;
                let settled_at = settled_at(&dirty, &seen, settle_ms, now);
                if settled_at > now.mono_ms {
                    let first = looked.moving.is_empty();
                    let sooner = looked.not_before_ms.min(settled_at);
                    looked.not_before_ms = if first { settled_at } else { sooner };
                    looked.moving.insert(path, dirty);
                    continue;
                }
            }
            looked.changes.push(Change {
                root,
                path,
                dirty,
                now: seen,
                other: None,
            });
        }
        looked
    }

    /// How a path looks; outer `None`: that cannot be told.
    #[expect(
        clippy::option_option,
        reason = "not to be told, and not there, are two answers"
    )]
    fn see(&self, root: usize, path: &Path) -> Option<Option<Seen>> {
        let is_root = self
            .roots
            .get(root)
            .is_some_and(|found| found.given == path && found.is_file());
        if is_root {
            // A root is what it leads to.
            return match std::fs::canonicalize(path) {
                Ok(real) => look(&real).ok(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Some(None),
                Err(_) => None,
            };
        }
        look(path).ok()
    }

    /// Writes a batch and adds it to what is known. `None`: nothing of it is to be told.
    fn write_down(&mut self, changes: &[Change], pending: &Pending) -> io::Result<Option<Batch>> {
        let events = self.setup.watch.events.clone();
        let wants = |event: WatchEvent| events.contains(&event);
        let records = changes
            .iter()
            .flat_map(|change| told_as(change, changes, wants(WatchEvent::Rename)));
        let is_told = |record: &Record| match record {
            Record::There(event, ..) => wants(*event),
            Record::Gone(_) => wants(WatchEvent::Delete),
            Record::Renamed(..) | Record::Left(_) => wants(WatchEvent::Rename),
            _ => false,
        };
        let mut batch = Batch {
            first_ms: pending.first_wall_ms,
            last_ms: pending.last_wall_ms,
            count: pending.more,
            ..Batch::default()
        };
        for record in records.clone().filter(|record| is_told(record)) {
            batch.count += u64::from(!matches!(record, Record::Left(_)));
            if batch.example.is_empty() {
                batch.example = example(&record);
            }
        }
        if batch.count == 0 {
            records.for_each(|record| self.note_known(&record));
            let last = self.last_id.clone();
            if !changes.is_empty() {
                self.known.commit(&last);
            }
            return Ok(None);
        }
        batch.id = next_id(Some(&self.last_id));
        let mut writing = self.setup.folder.begin(&batch.id, &batch)?;
        for record in records {
            if is_told(&record) {
                writing.write(&record)?;
            }
            self.note_known(&record);
        }
        if pending.more > 0 {
            writing.write(&Record::More(pending.more))?;
        }
        let bytes = writing.finish()?;
        self.known.commit(&batch.id);
        self.last_id.clone_from(&batch.id);
        self.outstanding.0.insert(batch.id.clone(), bytes);
        Ok(Some(batch))
    }

    /// Nothing could be written: all of it changed and was not told.
    fn put_back(
        &mut self,
        mut pending: Pending,
        moving: BTreeMap<PathBytes, Dirty>,
        changes: Vec<Change>,
        now: Moment,
    ) {
        pending.paths = moving;
        let changes = changes.into_iter();
        pending
            .paths
            .extend(changes.map(|change| (change.path, change.dirty)));
        pending.postpone(now.mono_ms + RETRY_MS);
        self.pending = pending;
    }

    fn set_told(&mut self, change: &Change) {
        let path = Path::new(OsStr::from_bytes(&change.path));
        let told = change.now.map(|seen| told_of(seen, 0));
        self.set_everywhere(change.root, path, told);
    }

    /// Notes what was told of a path under its root, and under others that hold it too.
    fn set_everywhere(&mut self, root: usize, path: &Path, told: Option<Told>) {
        let has_room = !self.is_full();
        for index in 0..self.roots.len() {
            let place = self
                .roots
                .get(index)
                .and_then(|found| found.tree.place(path));
            // Of the others only what they have looked into, and count.
            let is_here = |(id, name): &(_, Box<[u8]>)| self.counts(index, *id, name);
            if index != root && !place.as_ref().is_some_and(is_here) {
                continue;
            }
            let Some(found) = self.roots.get_mut(index) else {
                continue;
            };
            match told {
                Some(told) => {
                    let is_known = place.is_some_and(|(id, name)| {
                        let folder = found.tree.get(id);
                        folder.is_some_and(|folder| folder.files.contains_key(&name))
                    });
                    if is_known || has_room {
                        found.tree.set(path, told);
                    } else {
                        self.troubles.is_full = true;
                    }
                }
                None => found.tree.unset(path),
            }
        }
    }

    /// What an earlier manager wrote and may not have told.
    pub(super) fn tell_again(&mut self) {
        let folder = self.setup.folder.clone();
        for found in folder.list() {
            if self.setup.keep.contains(&found.id) {
                folder.take(&found.id);
            } else if found.is_taken {
                folder.remove(&found.id);
                continue;
            } else {
                match folder.open(&found.id) {
                    Ok((batch, _)) => self.send(Input::Changed {
                        daemon: self.setup.daemon.clone(),
                        batch,
                    }),
                    Err(e) => {
                        let (daemon, id) = (&self.setup.daemon, &found.id);
                        let words = format!("{daemon}: batch {id} of changes cannot be read: {e}");
                        self.setup.diary.error(&words);
                        folder.remove(id);
                        continue;
                    }
                }
            }
            self.outstanding.0.insert(found.id, found.bytes);
        }
    }

    /// Nobody will ask for these again.
    pub(super) fn drop_batches(&mut self, batches: &[String]) {
        for id in batches {
            self.setup.folder.remove(id);
            self.outstanding.0.remove(id);
        }
    }
}

/// What a path is now, if that is other than what was told.
#[expect(
    clippy::option_option,
    reason = "no difference, and not there, are two answers"
)]
fn differs(dirty: &Dirty, seen: Option<Seen>) -> Option<Option<Seen>> {
    let differs = match (&dirty.told, &seen) {
        (None, None) => false,
        (Some(told), Some(seen)) if told.seen.is_as(seen) => {
            // It looks as before. It was written all the same if the system says so, and not about
            // a time before the look.
            dirty.written && (told.racy || told.seen.ctime_ns != seen.ctime_ns)
        }
        _ => true,
    };
    differs.then_some(seen)
}

/// When it will not have been written for so long. Monotonic.
fn settled_at(dirty: &Dirty, seen: &Seen, settle_ms: u64, now: Moment) -> u64 {
    // Nobody can set this time back, but for the clock's owner.
    let age_ms = now.wall_ms.saturating_sub(seen.ctime_ns / 1_000_000);
    let age_ms = u64::try_from(age_ms).unwrap_or(u64::MAX);
    let since_ms = now.mono_ms.saturating_sub(age_ms).max(dirty.since_ms);
    since_ms.saturating_add(settle_ms)
}

/// Finds out which of those that are gone are there under another name.
fn with_renames(mut changes: Vec<Change>) -> Vec<Change> {
    let mut gone = BTreeMap::new();
    for (index, change) in changes.iter().enumerate() {
        if let (Some(told), None) = (&change.dirty.told, &change.now) {
            gone.insert(told.seen.key(), index);
        }
    }
    if gone.is_empty() {
        return changes;
    }
    for index in 0..changes.len() {
        let Some(Change {
            dirty: Dirty { told: None, .. },
            now: Some(seen),
            ..
        }) = changes.get(index)
        else {
            continue;
        };
        let Some(old) = gone.remove(&seen.key()) else {
            continue;
        };
        if let Some(change) = changes.get_mut(index) {
            change.other = Some(old);
        }
        if let Some(change) = changes.get_mut(old) {
            change.other = Some(index);
        }
    }
    changes
}

/// How a change is told.
fn told_as(change: &Change, all: &[Change], renames: bool) -> Option<Record> {
    let path = change.path.clone();
    let other = change.other.filter(|_| renames);
    let other = other.and_then(|other| all.get(other));
    match (&change.dirty.told, change.now, other) {
        (None, Some(seen), Some(old)) => Some(Record::Renamed(seen, path, old.path.clone())),
        (Some(_), None, Some(_)) => Some(Record::Left(path)),
        (None, Some(seen), None) => Some(Record::There(WatchEvent::Create, seen, path)),
        (Some(_), Some(seen), _) => Some(Record::There(WatchEvent::Modify, seen, path)),
        (Some(_), None, None) => Some(Record::Gone(path)),
        (None, None, _) => None,
    }
}

fn example(record: &Record) -> String {
    match record {
        Record::There(_, _, path)
        | Record::Gone(path)
        | Record::Renamed(_, path, _)
        | Record::Left(path) => String::from_utf8_lossy(path).into_owned(),
        _ => String::new(),
    }
}
