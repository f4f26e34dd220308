//! Paths that may have changed and were not told yet.
//!
//! Purpose: one entry a path, however often it changes, and the moment when a batch is complete.
//! Invariants: what was told of a path before its first change is kept until it is told again; at
//! most [`PENDING_MAX`] paths are remembered, the others only counted.
//! Deliberately absent: looking at the disk.

use std::collections::BTreeMap;

use eud_core::fleet::Watch;
use eud_core::record::WallMs;

use super::records::PathBytes;
use super::tree::Told;

/// Paths of one batch, and paths that wait for one.
pub const PENDING_MAX: usize = 100_000;

/// A path that may have changed.
#[derive(Debug, Clone)]
pub(crate) struct Dirty {
    /// Index of the root.
    pub(crate) root: usize,
    /// As it was told last.
    pub(crate) told: Option<Told>,
    /// The system said that it was written: it may look as before.
    pub(crate) written: bool,
    /// Since when nothing was heard of it; 0: nothing was ever. Monotonic.
    pub(crate) since_ms: u64,
    /// How it looked last.
    pub(crate) looked: Option<(u64, u64, i64)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) paths: BTreeMap<PathBytes, Dirty>,
    /// Changes whose paths there was no room for.
    pub(crate) more: u64,
    first_at_ms: u64,
    last_at_ms: u64,
    /// No sooner, because files must settle or something failed.
    not_before_ms: u64,
    pub(crate) first_wall_ms: WallMs,
    pub(crate) last_wall_ms: WallMs,
}

/// The time by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) mono_ms: u64,
    pub(crate) wall_ms: WallMs,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let now = crate::clock::now();
        Self {
            mono_ms: now.mono_ms,
            wall_ms: now.wall_ms,
        }
    }
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.more == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.paths.len() >= PENDING_MAX
    }

    /// Something happened now.
    pub(crate) fn note(&mut self, now: Moment) {
        if self.is_empty() {
            self.first_at_ms = now.mono_ms;
            self.first_wall_ms = now.wall_ms;
        }
        self.last_at_ms = now.mono_ms;
        self.last_wall_ms = now.wall_ms;
    }

    /// A path may have changed. `dirty` counts if it is the first time.
    pub(crate) fn mark(&mut self, path: PathBytes, dirty: Dirty, now: Moment) {
        self.note(now);
        match self.paths.get_mut(&path) {
            Some(known) => {
                known.written |= dirty.written;
                known.since_ms = known.since_ms.max(dirty.since_ms);
            }
            None => {
                self.paths.insert(path, dirty);
            }
        }
    }

    /// When the batch is complete. `None`: there is none.
    pub(crate) fn due_ms(&self, watch: &Watch) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let quiet = self.last_at_ms.saturating_add(watch.debounce_ms);
        let longest = self.first_at_ms.saturating_add(watch.debounce_max_ms);
        Some(quiet.min(longest).max(self.not_before_ms))
    }

    /// A batch was told; these stay, and are looked at again at `not_before_ms`.
    pub(crate) fn begin_anew(
        &mut self,
        left: BTreeMap<PathBytes, Dirty>,
        not_before_ms: u64,
        now: Moment,
    ) {
        *self = Self {
            not_before_ms: if left.is_empty() { 0 } else { not_before_ms },
            ..Self::default()
        };
        self.note(now);
        self.paths = left;
    }

    /// It could not be told: everything stays as it was until then.
    pub(crate) fn postpone(&mut self, until_ms: u64) {
        self.not_before_ms = until_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Moment {
        Moment {
            mono_ms,
            wall_ms: mono_ms.cast_signed() + 1_000_000,
        }
    }

    fn dirty(since_ms: u64) -> Dirty {
        Dirty {
            root: 0,
            told: None,
            written: false,
            since_ms,
            looked: None,
        }
    }

    fn watch() -> Watch {
        Watch {
            debounce_ms: 500,
            debounce_max_ms: 2_000,
            ..Watch::default()
        }
    }

    #[test]
    fn a_batch_is_complete_when_it_is_quiet_and_at_the_latest_after_the_longest_wait() {
        let mut pending = Pending::default();
        assert_eq!(pending.due_ms(&watch()), None);
        for ms in (0..=1_800).step_by(300) {
            pending.mark((*b"/a").into(), dirty(ms), at(ms));
            assert_eq!(pending.due_ms(&watch()), Some((ms + 500).min(2_000)));
        }
        assert_eq!(pending.paths.len(), 1);
        assert_eq!(pending.paths[&b"/a"[..]].since_ms, 1_800);
        assert_eq!(
            (pending.first_wall_ms, pending.last_wall_ms),
            (1_000_000, 1_001_800)
        );
    }

    #[test]
    fn what_has_to_settle_waits_for_its_own_time() {
        let mut pending = Pending::default();
        pending.mark((*b"/a").into(), dirty(0), at(0));
        let left = std::mem::take(&mut pending.paths);
        pending.begin_anew(left, 5_000, at(500));
        assert_eq!(pending.due_ms(&watch()), Some(5_000));
        pending.begin_anew(BTreeMap::new(), 5_000, at(5_000));
        assert_eq!(pending.due_ms(&watch()), None);
    }
}
