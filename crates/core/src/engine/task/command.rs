//! Commands about tasks and pools.
//!
//! Invariant: a command is accepted or refused as a whole.

use crate::engine::Core;
use crate::fleet::task_unit;
use crate::happened::{Happened, TaskStep, What};
use crate::io::{Accepted, Effect, Now, Numbers, Refusal, TaskCommand};
use crate::record::{TaskId, TaskRow, TaskState};

use super::end::cancelled;

impl Core {
    pub(crate) fn on_task_command(
        &mut self,
        command: TaskCommand,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        match command {
            TaskCommand::Submit(tasks) => {
                let tasks = self.submit_tasks(tasks, now, out)?;
                let count = tasks.len() as u64;
                Ok(Accepted {
                    tasks,
                    count,
                    ..Accepted::default()
                })
            }
            TaskCommand::Cancel { which, by } => self.cancel_tasks(&which, &by, now, out),
            TaskCommand::Retry(which) => self.retry_tasks(&which, now, out),
            TaskCommand::PausePool { name, pause } => self.pause_pool(&name, pause, now, out),
        }
    }

    /// Calls tasks off. Those that run are cancelled once they are stopped.
    pub(crate) fn cancel_tasks(
        &mut self,
        which: &Numbers,
        by: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let ids = match which {
            Numbers::All => self.tasks.tasks.keys().copied().collect(),
            Numbers::These(ids) => ids.clone(),
        };
        for id in &ids {
            if !self.tasks.tasks.contains_key(id) && !self.tasks.over.contains_key(id) {
                return Err(unknown_task(*id));
            }
        }
        let mut accepted = Accepted::default();
        for id in ids {
            if let Some(over) = self.tasks.over.get(&id) {
                let state = over.state.as_str();
                let said = format!("task {id} is over already: {state}");
                accepted.warnings.push(said);
                continue;
            }
            self.cancel_task(id, by, now, out);
            accepted.tasks.push(id);
        }
        accepted.count = accepted.tasks.len() as u64;
        Ok(accepted)
    }

    fn cancel_task(&mut self, id: TaskId, by: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return;
        };
        task.row.cancel.get_or_insert_with(|| by.to_owned());
        if task.row.state != TaskState::Running {
            return self.task_over(id, TaskState::Cancelled, cancelled(by), now, out);
        }
        task.row.reason = Some(format!("being cancelled by {by}"));
        self.put_task(id, out);
        self.stop_cancelled(id);
    }

    /// Stops the run of a task that somebody called off.
    pub(super) fn stop_cancelled(&mut self, id: TaskId) {
        let Some(task) = self.tasks.tasks.get(&id) else {
            return;
        };
        let unit = task_unit(&task.row.pool, id);
        if let (Some(by), Some(slot)) = (&task.row.cancel, self.slots.get_mut(&unit)) {
            slot.bounce = Some(cancelled(by));
            self.dirty.insert(unit);
        }
    }

    /// Queues tasks again that are over and did not succeed.
    fn retry_tasks(
        &mut self,
        which: &Numbers,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let over = &self.tasks.over;
        let ids: Vec<TaskId> = match which {
            Numbers::All => over
                .values()
                .filter(|over| over.row.is_some())
                .map(|over| over.id)
                .collect(),
            Numbers::These(ids) => ids.clone(),
        };
        for id in &ids {
            let why = match (over.get(id), self.tasks.tasks.get(id)) {
                (Some(over), _) if over.state == TaskState::Succeeded => {
                    format!("task {id} succeeded; submit a new one to do it again")
                }
                (Some(over), _) if over.row.is_none() => {
                    format!("what task {id} was is not known any more; submit a new one")
                }
                (Some(_), _) => continue,
                (None, Some(task)) => format!("task {id} is {}", task.row.state.as_str()),
                (None, None) => return Err(unknown_task(*id)),
            };
            return Err(Refusal::Invalid { why });
        }
        let mut accepted = Accepted::default();
        for id in ids {
            let over = self.tasks.over.remove(&id);
            if let Some((ended_ms, row)) = over.and_then(|o| Some((o.ended_ms, o.row?))) {
                self.tasks.pool(&row.pool).over.remove(&(ended_ms, id));
                self.queue_again(*row, now, out);
                accepted.tasks.push(id);
            }
        }
        accepted.count = accepted.tasks.len() as u64;
        Ok(accepted)
    }

    fn queue_again(&mut self, mut row: TaskRow, now: Now, out: &mut Vec<Effect>) {
        let old = std::mem::replace(&mut row.state, TaskState::Queued);
        let slot = self.tasks.pool(&row.pool);
        slot.recount(Some(old), Some(TaskState::Queued));
        row.reason = Some("tried again by hand".to_owned());
        row.failures = 0;
        row.cancel = None;
        row.ended_ms = None;
        row.not_before_ms = None;
        row.after.clear();
        out.push(super::put(&row));
        out.push(super::tell(&row, TaskStep::Queued, row.reason.clone(), now));
        self.place(row, now, out);
    }

    fn pause_pool(
        &mut self,
        name: &str,
        pause: Option<String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let Some(slot) = self.tasks.pools.get_mut(name) else {
            return Err(Refusal::Unknown {
                what: "pool".to_owned(),
                name: name.to_owned(),
            });
        };
        let before = slot.row.clone();
        let what = match &pause {
            Some(why) => What::PoolRests {
                pool: name.to_owned(),
                why: format!("paused: {why}"),
                until_ms: None,
            },
            None => {
                slot.row.rests_until_ms = None;
                slot.row.failures = 0;
                What::PoolResumed {
                    pool: name.to_owned(),
                    why: "by hand".to_owned(),
                }
            }
        };
        slot.row.paused = pause;
        let mut accepted = Accepted::default();
        if slot.row == before {
            return Ok(accepted);
        }
        accepted.count = 1;
        self.put_pool(name, out);
        let at_ms = now.wall_ms;
        out.push(Effect::Happened(Happened { at_ms, what }));
        self.tasks.dirty.insert(name.to_owned());
        Ok(accepted)
    }
}

fn unknown_task(id: TaskId) -> Refusal {
    Refusal::Unknown {
        what: "task".to_owned(),
        name: id.to_string(),
    }
}
