//! What the core wants done about tasks.
//!
//! Purpose: read what a task is to do when its run begins, follow its progress, delete its folders.
//! Invariants: a launch that cannot know its task fails, and says why; a folder is deleted off the
//! engine's thread, with no link followed out of it.

use std::path::PathBuf;
use std::sync::Arc;

use eud_core::fleet::{Fleet, ProgressFrom, task_of};
use eud_core::io::TaskEffect;
use eud_core::record::Generation;
use eud_store::Store;

use super::Hands;
use crate::files;
use crate::launch::TaskLaunch;
use crate::link;

impl Hands {
    pub(super) fn task_effect(&self, effect: TaskEffect) {
        match effect {
            TaskEffect::WatchProgress {
                unit,
                generation,
                from,
            } => self.watch_progress(&unit, generation, from),
            TaskEffect::Over { unit, drop_dir } => {
                if drop_dir {
                    self.delete(self.context.layout.work(&unit));
                }
            }
            TaskEffect::Drop { unit } => self.delete(self.context.layout.unit(&unit)),
        }
    }

    /// The run is watched since its launch or adoption, in the way its pool had then. It may have
    /// ended by now.
    fn watch_progress(&self, unit: &str, generation: Generation, from: ProgressFrom) {
        let run = self.runs.get(unit);
        if let Some(run) = run.filter(|run| run.generation == generation) {
            let _ = run.requests.try_send(link::Request::WatchProgress(from));
        }
    }

    fn delete(&self, folder: PathBuf) {
        let diary = Arc::clone(&self.context.diary);
        self.runtime.spawn_blocking(move || {
            if let Err(e) = files::remove_tree(&folder) {
                diary.error(&format!("cannot delete {}: {e}", folder.display()));
            }
        });
    }
}

/// What counts as progress of a unit; `None` when it is no task's.
pub(super) fn progress_of(fleet: &Fleet, unit: &str) -> Option<ProgressFrom> {
    let (pool, _) = task_of(unit)?;
    Some(
        fleet
            .pools
            .get(pool)
            .map(|pool| pool.progress)
            .unwrap_or_default(),
    )
}

/// What there is to know of a task whose run begins; `None` when the unit is no task's.
pub(super) fn task_of_launch(
    fleet: &Fleet,
    store: &Store,
    unit: &str,
) -> Option<Result<Box<TaskLaunch>, String>> {
    let (name, id) = task_of(unit)?;
    let found = || {
        let pool = fleet
            .pools
            .get(name)
            .ok_or_else(|| format!("there is no pool `{name}` any more"))?;
        let task = store.task(id).map_err(|e| e.to_string())?;
        let (row, spec) = task.ok_or_else(|| format!("state.db has no task {id}"))?;
        let event = match spec.event {
            Some(seq) => {
                let event = store.event(seq).map_err(|e| e.to_string())?;
                Some(event.ok_or_else(|| format!("its event {seq} is not kept any more"))?)
            }
            None => None,
        };
        Ok(Box::new(TaskLaunch {
            event,
            row,
            spec,
            prompt: pool.prompt,
            work_dir: pool.work_dir,
            interactive: pool.interactive,
        }))
    };
    Some(found())
}
