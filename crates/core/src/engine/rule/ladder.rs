//! Ladders: which remedy comes next.
//!
//! A key begins at the first rung, uses each so many times as it says, and then goes on to the
//! next. What happens within a rung's cooldown is put down to what was before it: nothing is done.
//! Beyond the last rung nothing is done either, and that is told once. The ladder is begun anew
//! when the target is well, or when no event came for its time.

use std::sync::Arc;

use super::see::since;
use super::slot::Slot;
use crate::io::Now;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// There is no ladder.
    Plain,
    /// This rung, and how often it is used then.
    Rung(u32, u32),
    /// The last rung has just been used.
    Quiet { left_ms: u64 },
    /// There is none left; that was told already.
    Exhausted { told: bool },
}

impl Slot {
    /// An event came: the ladder goes on, or is begun anew after a time without any.
    pub(super) fn note_ladder(&mut self, key: &str, now: Now) {
        let rule = Arc::clone(&self.definition);
        let Some(ladder) = &rule.ladder else {
            return;
        };
        if !self.row.keys.contains_key(key) {
            return;
        }
        let memory = self.memory(key, now);
        if since(memory.touched_ms, now) >= ladder.reset_ms {
            memory.rung = None;
        }
        memory.touched_ms = now.wall_ms;
    }

    pub(super) fn choose(&self, key: &str, now: Now) -> Choice {
        let Some(ladder) = &self.definition.ladder else {
            return Choice::Plain;
        };
        let memory = self.row.keys.get(key);
        let Some((at, used, used_ms)) = memory.and_then(|memory| memory.rung) else {
            return Choice::Rung(0, 1);
        };
        let Some(rung) = ladder.rungs.get(at as usize) else {
            // The ladder became shorter.
            return Choice::Exhausted { told: false };
        };
        let left_ms = rung.cooldown_ms.saturating_sub(since(used_ms, now));
        let times = rung.times.max(1);
        if left_ms > 0 && used <= times {
            Choice::Quiet { left_ms }
        } else if used < times {
            Choice::Rung(at, used + 1)
        } else if (at as usize) + 1 < ladder.rungs.len() {
            Choice::Rung(at + 1, 1)
        } else {
            Choice::Exhausted { told: used > times }
        }
    }

    /// Remembers that there is no rung left, and that it was told.
    pub(super) fn exhaust(&mut self, key: &str, now: Now) {
        let rule = Arc::clone(&self.definition);
        let Some(last) = rule.ladder.as_ref().and_then(|ladder| ladder.rungs.last()) else {
            return;
        };
        let rungs = rule.ladder.as_ref().map_or(0, |ladder| ladder.rungs.len());
        let at = u32::try_from(rungs.saturating_sub(1)).unwrap_or(u32::MAX);
        let memory = self.memory(key, now);
        let used_ms = memory.rung.map_or(now.wall_ms, |(_, _, used_ms)| used_ms);
        memory.rung = Some((at, last.times.max(1).saturating_add(1), used_ms));
    }
}
