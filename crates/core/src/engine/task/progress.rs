//! Progress of a run, and the lack of it.
//!
//! Invariants: news of another run changes nothing; time in which nobody looked, since the machine
//! slept, is no lack of progress; a run that is being stopped, or cannot be reached, does not
//! stall.

use crate::engine::Core;
use crate::fleet::{task_of, task_unit};
use crate::happened::TaskStep;
use crate::io::{Effect, Now, TaskEffect, TaskNews};
use crate::record::TaskId;
use crate::words;

/// Progress is made durable at most so often, in milliseconds, and at the end.
const PROGRESS_EVERY_MS: u64 = 5_000;
/// A look at a run that is this late says nothing about it, in milliseconds.
const LATE_MS: u64 = 10_000;

/// The progress of one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    /// Monotonic time of the last progress, or of the start of the command.
    since: u64,
    /// That it stalls was told.
    warned: bool,
    /// When to look again.
    due: Option<u64>,
    /// Monotonic time at which progress was made durable last.
    put: u64,
}

impl Core {
    /// The command of a task executes.
    pub(crate) fn task_executes(&mut self, unit: &str, now: Now, out: &mut Vec<Effect>) {
        let run = self.slots.get(unit).and_then(|slot| slot.run.as_ref());
        let (Some((pool, id)), Some(run)) = (task_of(unit), run) else {
            return;
        };
        let from = self.tasks.pool(pool).rules().progress;
        out.push(Effect::Task(TaskEffect::WatchProgress {
            unit: unit.to_owned(),
            generation: run.generation,
            from,
        }));
        if let Some(task) = self.tasks.tasks.get_mut(&id) {
            task.watched = Some(Watched {
                since: now.mono_ms,
                warned: false,
                due: None,
                put: now.mono_ms,
            });
            self.await_progress(id);
        }
    }

    pub(crate) fn on_task_news(&mut self, news: TaskNews, now: Now, out: &mut Vec<Effect>) {
        let Some((_, id)) = task_of(&news.unit) else {
            return;
        };
        if self.generation(&news.unit) != Some(news.generation) {
            return;
        }
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return;
        };
        task.row.progress = news.progress;
        let Some(watched) = task.watched.as_mut() else {
            return;
        };
        watched.since = now.mono_ms;
        watched.warned = false;
        let is_due = now.mono_ms.saturating_sub(watched.put) >= PROGRESS_EVERY_MS;
        if is_due {
            watched.put = now.mono_ms;
            self.put_task(id, out);
        }
        self.await_progress(id);
    }

    /// Sets the time at which to look at the progress of a run.
    fn await_progress(&mut self, id: TaskId) {
        self.unwatch(id);
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return;
        };
        let pool = self.tasks.pools.get(&task.row.pool);
        let limit = pool.and_then(|slot| slot.rules().stall_ms);
        let (Some(limit), Some(watched)) = (limit, task.watched.as_mut()) else {
            return;
        };
        let patience = if watched.warned { limit } else { limit / 2 };
        let due = watched.since.saturating_add(patience.max(1));
        watched.due = Some(due);
        self.tasks.stalls.insert((due, id));
    }

    /// Nobody looks at the progress of a task any more.
    pub(super) fn unwatch(&mut self, id: TaskId) {
        let watched = self.tasks.tasks.get_mut(&id);
        let due = watched.and_then(|task| task.watched.as_mut()?.due.take());
        if let Some(due) = due {
            self.tasks.stalls.remove(&(due, id));
        }
    }

    /// Tells of runs that stall, and stops those that stalled for too long.
    pub(super) fn tend_stalls(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((due, id)) = self.tasks.stalls.first().copied() {
            if due > now.mono_ms {
                break;
            }
            self.tasks.stalls.pop_first();
            self.look_at_progress(id, due, now, out);
        }
    }

    fn look_at_progress(&mut self, id: TaskId, due: u64, now: Now, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return;
        };
        let unit = task_unit(&task.row.pool, id);
        let run = self.slots.get(&unit).and_then(|slot| slot.run.as_ref());
        let reachable = run.is_some_and(|run| run.unreachable.is_none());
        let stopping = run.is_none_or(|run| run.stopping.is_some());
        let pool = self.tasks.pools.get(&task.row.pool);
        let limit = pool.and_then(|slot| slot.rules().stall_ms);
        let (Some(watched), Some(limit)) = (task.watched.as_mut(), limit) else {
            return;
        };
        watched.due = None;
        if stopping {
            return;
        }
        if !reachable || now.mono_ms.saturating_sub(due) > LATE_MS {
            watched.since = now.mono_ms;
            watched.warned = false;
            return self.await_progress(id);
        }
        let silent = words::duration(now.mono_ms.saturating_sub(watched.since));
        if watched.warned {
            let why = format!("no progress for {}", words::duration(limit));
            return self.stop_failed(&unit, why);
        }
        watched.warned = true;
        let limit = words::duration(limit);
        let why = format!("no progress for {silent}; it is stopped after {limit}");
        out.push(super::tell(&task.row, TaskStep::Stalling, Some(why), now));
        self.await_progress(id);
    }
}
