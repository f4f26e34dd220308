//! Watched paths: what changes lead to, and when a job runs in circles.
//!
//! Invariants: paths are watched while the daemon is armed, and not else; a batch that was dealt
//! with is never dealt with again, although the shell tells of it again after a crash; its paths
//! are given up only when nobody will ask for them.

use super::{JobSlot, Suspect, Watching};
use crate::engine::Core;
use crate::fleet::{Kind, WatchAction};
use crate::happened::{Happened, What};
use crate::io::{Batch, Effect, Now, Persist};
use crate::record::{Fire, Trigger};

/// Batches that are remembered after they were dealt with.
const HANDLED_MAX: usize = 64;

/// A job that seems to trigger itself rests this long, and for what it takes to tell of changes.
const REST_MS: u64 = 3_000;

/// Changes that are seen this much after the end of a run may still be its own.
const OWN_SLACK_MS: i64 = 1_000;

impl Core {
    /// Asks for the watches of all daemons that are armed.
    pub(super) fn tend_watches(&mut self, out: &mut Vec<Effect>) {
        let mut names: Vec<String> = self.jobs.watches.keys().cloned().collect();
        let watched = self.fleet.daemons.values().filter(|d| d.watch.is_some());
        names.extend(watched.map(|daemon| daemon.name.clone()));
        for name in names {
            self.tend_watch(&name, out);
        }
    }

    /// Asks for what is to be watched for a daemon, when that is not what is watched.
    pub(crate) fn tend_watch(&mut self, name: &str, out: &mut Vec<Effect>) {
        let wanted = self
            .fleet
            .daemons
            .get(name)
            .and_then(|daemon| daemon.watch.clone())
            .filter(|_| self.is_armed(name) && !self.shutting_down);
        let present = self.jobs.watches.get(name).map(|w| &w.watch);
        if present == wanted.as_ref() {
            return;
        }
        let keep = self.jobs.jobs.get(name).map_or_else(Vec::new, |slot| {
            let active = slot.book.active.values();
            let fires = slot.book.pending.iter().chain(active);
            fires.flat_map(|fire| fire.batches.clone()).collect()
        });
        match &wanted {
            Some(watch) => {
                let watching = Watching {
                    watch: watch.clone(),
                    problem: None,
                };
                self.jobs.watches.insert(name.to_owned(), watching);
            }
            None => {
                self.jobs.watches.remove(name);
            }
        }
        out.push(Effect::Watch {
            daemon: name.to_owned(),
            watch: wanted,
            keep,
        });
    }

    pub(crate) fn on_watching(
        &mut self,
        name: &str,
        problem: Option<String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(watching) = self.jobs.watches.get_mut(name) else {
            return;
        };
        if watching.problem == problem {
            return;
        }
        watching.problem.clone_from(&problem);
        out.push(Effect::Happened(Happened {
            at_ms: now.wall_ms,
            what: What::Watching {
                daemon: name.to_owned(),
                problem,
            },
        }));
        self.dirty.extend(self.replicas(name).to_vec());
    }

    pub(crate) fn watch_problem(&self, name: &str) -> Option<String> {
        self.jobs.watches.get(name)?.problem.clone()
    }

    pub(crate) fn on_changed(&mut self, name: &str, batch: Batch, now: Now, out: &mut Vec<Effect>) {
        let drop = |out: &mut Vec<Effect>, id: String| {
            out.push(Effect::DropBatches {
                daemon: name.to_owned(),
                batches: vec![id],
            });
        };
        let Some(daemon) = self.fleet.daemons.get(name) else {
            return drop(out, batch.id);
        };
        if !self.is_armed(name) || self.shutting_down || daemon.watch.is_none() {
            return drop(out, batch.id);
        }
        let restarts = daemon
            .watch
            .as_ref()
            .is_some_and(|watch| watch.action == WatchAction::Restart);
        if daemon.kind == Kind::Service || restarts {
            drop(out, batch.id.clone());
            return self.restart_for(name, &batch, out);
        }
        let Some(mut slot) = self.jobs.jobs.remove(name) else {
            return;
        };
        if slot.knows(&batch.id) {
            self.jobs.jobs.insert(name.to_owned(), slot);
            return;
        }
        self.mind_loop(name, &mut slot, &batch, now);
        let fire = Fire {
            due_ms: now.wall_ms,
            trigger: Trigger::Watch,
            batches: vec![batch.id],
            ..Fire::default()
        };
        self.admit(&mut slot, fire, now, out);
        out.push(Effect::Persist(Persist::Book(slot.book.clone())));
        self.jobs.jobs.insert(name.to_owned(), slot);
        self.dirty.extend(self.replicas(name).to_vec());
    }

    fn restart_for(&mut self, name: &str, batch: &Batch, out: &mut Vec<Effect>) {
        for unit in self.replicas(name).to_vec() {
            let Some(slot) = self.slots.get_mut(&unit) else {
                continue;
            };
            if slot.run.is_some() {
                let others = batch.count.saturating_sub(1);
                let more = match others {
                    0 => String::new(),
                    n => format!(" and {n} more"),
                };
                slot.bounce
                    .get_or_insert_with(|| format!("`{}`{more} changed", batch.example));
            } else {
                // What failed before the change deserves a try after it.
                self.forget_failures(&unit, out);
            }
            self.mark_around(&unit);
        }
    }

    /// Counts fires that the job brings about itself.
    fn mind_loop(&mut self, name: &str, slot: &mut JobSlot, batch: &Batch, now: Now) {
        let daemon = self.fleet.daemons.get(name);
        let watch = daemon.and_then(|daemon| daemon.watch.as_ref());
        let (limit, rest_ms) = watch.map_or((0, 0), |watch| {
            let telling = watch.debounce_ms.saturating_mul(2);
            (watch.loop_limit, telling.saturating_add(REST_MS))
        });
        let is_own = self.replicas(name).iter().any(|lane| {
            let Some(lane) = self.slots.get(lane) else {
                return false;
            };
            let present = lane.run.as_ref().and_then(|run| run.started_ms);
            let last = lane.last.as_ref().and_then(|row| row.exit.as_ref());
            let in_last = last.is_some_and(|exit| {
                exit.started_at_ms <= batch.first_ms
                    && batch.last_ms <= exit.ended_at_ms.saturating_add(OWN_SLACK_MS)
            });
            present.is_some_and(|started| started <= batch.first_ms) || in_last
        });
        if !is_own {
            // Somebody else writes there, whether or not it runs.
            slot.book.loops = 0;
            slot.suspect = None;
            return;
        }
        slot.book.loops = slot.book.loops.saturating_add(1);
        if limit == 0 || slot.book.loops < limit || slot.book.paused.is_some() {
            return;
        }
        let why = format!(
            "it seems to trigger itself: `{}` changed while it ran, {} times in a row",
            batch.example, slot.book.loops
        );
        let rest = i64::try_from(rest_ms).unwrap_or(i64::MAX);
        slot.suspect.get_or_insert(Suspect {
            until_ms: now.wall_ms.saturating_add(rest),
            rest_ms: rest,
            why,
        });
    }
}

impl JobSlot {
    /// It has rested: nothing changed meanwhile, so nobody else does it.
    pub(super) fn convict(&mut self, now: Now, out: &mut Vec<Effect>) {
        // More left than it was to be: the clock was set back.
        let is_over = |s: &mut Suspect| {
            let left = s.until_ms.saturating_sub(now.wall_ms);
            left <= 0 || left > s.rest_ms
        };
        let Some(suspect) = self.suspect.take_if(is_over) else {
            return;
        };
        self.book.paused = Some(suspect.why.clone());
        let what = What::JobPaused {
            job: self.book.job.clone(),
            why: suspect.why,
        };
        self.tell(what, now, out);
    }

    fn knows(&self, batch: &str) -> bool {
        let waits = self.book.pending.iter().chain(self.book.active.values());
        let mut waiting = waits.flat_map(|fire| &fire.batches);
        waiting.any(|id| id == batch) || self.book.handled.iter().any(|id| id == batch)
    }

    /// Nobody will ask for these again.
    pub(super) fn drop_batches(&mut self, batches: Vec<String>, out: &mut Vec<Effect>) {
        if batches.is_empty() {
            return;
        }
        self.book.handled.extend(batches.iter().cloned());
        let over = self.book.handled.len().saturating_sub(HANDLED_MAX);
        self.book.handled.drain(..over);
        out.push(Effect::DropBatches {
            daemon: self.book.job.clone(),
            batches,
        });
    }
}
